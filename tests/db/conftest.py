from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql

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
    name = f'"Test" {next(_numbers)}'
    store = PostgresDb(postgres_server.url(), db_schema=name)
    yield store
    store.close()
    # ADBC reads the types of all tables in the database whenever it connects, which is before each read of rows.
    with postgres_server.connect() as connection:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture(params=[*BACKENDS, "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Db]:
    """An empty store of each backend."""
    if request.param == "postgres":
        yield request.getfixturevalue("postgres_db")
        return
    store = BACKENDS[request.param](tmp_path)
    yield store
    store.close()
