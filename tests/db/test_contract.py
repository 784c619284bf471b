"""What every store does, of ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.postgres import PostgresDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.testing import StoreContract
from tests.postgres_server import Postgres

_numbers = itertools.count()


class TestDuckDb(StoreContract):
    def make_db(self, folder: Path) -> Db:
        return DuckDb(folder / "store.duckdb")


class TestInMemoryDb(StoreContract):
    def make_db(self, folder: Path) -> Db:
        return InMemoryDb()


class TestSqliteDb(StoreContract):
    def make_db(self, folder: Path) -> Db:
        return SqliteDb(folder / "store.db")


class TestPostgresDb(StoreContract):
    @pytest.fixture
    def db(self, postgres_server: Postgres) -> Iterator[Db]:
        # A schema is made much faster than a database.
        store = PostgresDb(postgres_server.url(), db_schema=f'"Test" {next(_numbers)}')
        yield store
        store.close()
