"""Write the store of the current version: see the package."""

from __future__ import annotations

from agno_nb.db.in_memory import InMemoryDb
from tests.db.stores import write
from tests.db.test_maintenance import fill

if __name__ == "__main__":
    db = InMemoryDb()
    fill(db)
    write(db)
