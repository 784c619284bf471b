from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sqlite import SqliteDb

BACKENDS: dict[str, Callable[[Path], Db]] = {
    "duckdb": lambda folder: DuckDb(folder / "store.duckdb"),
    "in_memory": lambda folder: InMemoryDb(),
    "sqlite": lambda folder: SqliteDb(folder / "store.db"),
}


@pytest.fixture(params=BACKENDS)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Db]:
    """An empty store of each backend. What is asked of it here is asked of every one."""
    store = BACKENDS[request.param](tmp_path)
    yield store
    store.close()
