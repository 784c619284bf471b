from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb


@pytest.fixture(params=["DuckDb", "InMemoryDb"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Db]:
    store: Db = DuckDb(tmp_path / "store.duckdb") if request.param == "DuckDb" else InMemoryDb()
    yield store
    store.close()
