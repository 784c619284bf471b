"""The store contract, for each built-in store."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import agno_nb
from agno_nb.db.base import Db
from agno_nb.db.postgres import PostgresDb
from agno_nb_store_contract import StoreContract
from tests.db.conftest import BACKENDS
from tests.postgres_server import Postgres


class TestDuckDb(StoreContract):
    def make_db(self, folder: Path) -> Db:
        return BACKENDS["duckdb"](folder)


class TestInMemoryDb(StoreContract):
    def make_db(self, folder: Path) -> Db:
        return BACKENDS["in_memory"](folder)


class TestSqliteDb(StoreContract):
    def make_db(self, folder: Path) -> Db:
        return BACKENDS["sqlite"](folder)


class TestPostgresDb(StoreContract):
    @pytest.fixture
    def db(self, postgres_db: Db) -> Db:
        return postgres_db

    @pytest.fixture
    def same_store(self, postgres_db: PostgresDb, postgres_server: Postgres) -> Iterator[Db]:
        # A pickle has no password.
        store = PostgresDb(postgres_server.url(), db_schema=postgres_db.db_schema)
        yield store
        store.close()


def test_the_contract_has_the_version_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "contract" / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == agno_nb.__version__
    assert f"agno_nb=={agno_nb.__version__}" in project["dependencies"]
