from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.postgres import PostgresDb
from agno_nb.db.sqlite import SqliteDb
from tests.postgres_server import Postgres

BACKENDS: dict[str, Callable[[Path], Db]] = {
    "duckdb": lambda folder: DuckDb(folder / "store.duckdb"),
    "in_memory": lambda folder: InMemoryDb(),
    "sqlite": lambda folder: SqliteDb(folder / "store.db"),
}
"""Those that need nothing but a folder."""
_numbers = itertools.count()


@pytest.fixture
def postgres_db(postgres_server: Postgres) -> Iterator[Db]:
    """An empty store on Postgres, in a schema of its own, which is made much faster than a database."""
    store = PostgresDb(postgres_server.url(), db_schema=f'"Test" {next(_numbers)}')
    yield store
    store.close()


@pytest.fixture(params=[*BACKENDS, "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Db]:
    """An empty store of each backend."""
    if request.param == "postgres":
        yield request.getfixturevalue("postgres_db")
        return
    store = BACKENDS[request.param](tmp_path)
    yield store
    store.close()
