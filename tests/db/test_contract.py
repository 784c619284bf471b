"""The store contract, for each built-in store."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_nb.db.base import Db
from agno_nb.testing import StoreContract
from tests.db.conftest import BACKENDS


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
