"""Stores of older versions are migrated once, with a backup, or left unchanged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from agno_nb import collect
from agno_nb.db import schema
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.duckdb.engine import Engine
from agno_nb.db.sqlite import SqliteDb, SqliteDriver
from agno_nb.db.statements import Connection
from agno_nb.errors import StoreError, StoreVersionError
from agno_nb_store_contract.conversation import say
from tests.db import stores

SECOND = {
    **schema.migrations(),
    schema.VERSION + 1: """
-- A column, and a table.
ALTER TABLE raw_runs ADD COLUMN mood TEXT;
CREATE TABLE raw_moods (
    -- Name of the mood.
    mood TEXT PRIMARY KEY,
    -- How good it is.
    grade INTEGER NOT NULL
);
INSERT INTO raw_moods SELECT DISTINCT status, 1 FROM raw_runs;
""",
}
BROKEN = {**SECOND, schema.VERSION + 2: "CREATE TABLE raw_more (n INTEGER PRIMARY KEY); SELECT * FROM penguins;"}


def restore_duckdb(path: Path, version: int) -> None:
    stored = stores.read(version)
    with duckdb.connect(path) as connection:
        for statement in [*stored.statements["schema.sql"], *stored.statements["views.sql"]]:
            connection.execute(statement)
        for table, row in stored.rows:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


def restore_sqlite(path: Path, version: int) -> None:
    stored = stores.read(version)
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in [*stored.statements["schema.sql"], *stored.statements["indexes.sql"]]:
            connection.execute(statement)
        for table, row in stored.rows:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


@contextmanager
def opened_duckdb(path: Path, migrations: Mapping[int, str]) -> Iterator[Connection]:
    engine = Engine(path, migrations=migrations)
    try:
        engine.attach_file(write=False)
        yield engine._connection.cursor().execute("USE store")  # type: ignore[misc]
    finally:
        engine.detach()


@contextmanager
def opened_sqlite(path: Path, migrations: Mapping[int, str]) -> Iterator[Connection]:
    driver = SqliteDriver(path, 1.0, migrations=migrations)
    with driver.transaction(write=False) as connection:
        yield connection
    driver.close()


Restore = Callable[[Path, int], None]
Opened = Callable[[Path, Mapping[int, str]], Any]
KINDS = {"duckdb": (restore_duckdb, opened_duckdb), "sqlite": (restore_sqlite, opened_sqlite)}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[str, Restore, Opened]:
    return request.param, *KINDS[request.param]


def made_of(connection: Any, kind: str) -> set[tuple[Any, ...]]:
    """Return every column of every table, with its type and whether it may be null."""
    if kind == "duckdb":
        sql = "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() WHERE NOT internal"
    else:
        sql = (
            "SELECT t.name, c.name, c.type, c.[notnull], c.pk FROM sqlite_master AS t, pragma_table_info(t.name) AS c "
            "WHERE t.type = 'table' UNION ALL SELECT name, tbl_name, NULL, NULL, NULL FROM sqlite_master "
            "WHERE type = 'index'"
        )
    found = connection.execute(sql)
    return set(found.fetchall() if hasattr(found, "fetchall") else found)


def versions(connection: Any) -> list[int]:
    found = connection.execute("SELECT version FROM raw_schema ORDER BY version")
    return [version for (version,) in (found.fetchall() if hasattr(found, "fetchall") else found)]


def test_the_store_of_this_version_is_what_schema_sql_makes() -> None:
    assert list(stores.VERSIONS) == list(range(1, schema.VERSION + 1))
    assert stores.read(schema.VERSION).statements == stores.statements(), "run python -m tests.db.stores"


@pytest.mark.parametrize("version", stores.VERSIONS)
@pytest.mark.parametrize("kind_of_store", [(DuckDb, restore_duckdb), (SqliteDb, restore_sqlite)])
def test_a_store_of_any_version_opens_and_goes_on(
    tmp_path: Path, version: int, kind_of_store: tuple[Callable[[Path], Db], Restore]
) -> None:
    make, restore = kind_of_store
    path = tmp_path / "store"
    restore(path, version)
    db = make(path)
    runs = db.runs_df()
    assert set(runs["run_id"]) > {"r1", "r2", "r3", "r4"}
    assert db.get_messages("s1")[-1].content == "answer to again!"
    assert db.verify() == []
    say(db, "next", session_id="s1", user_id="alice")
    assert len(db.runs_df()) == len(runs) + 1
    assert schema.backup_path(path, version).exists() == (version < schema.VERSION)


@pytest.mark.parametrize("version", stores.VERSIONS)
def test_a_fresh_schema_equals_a_migrated_one(tmp_path: Path, kind: tuple[str, Restore, Opened], version: int) -> None:
    name, restore, opened = kind
    restore(tmp_path / "old", version)
    made = (DuckDb if name == "duckdb" else SqliteDb)(tmp_path / "fresh")
    made.create()
    made.close()
    with opened(tmp_path / "old", schema.migrations()) as old, opened(tmp_path / "fresh", schema.migrations()) as fresh:
        assert made_of(old, name) == made_of(fresh, name)


def test_an_older_store_is_migrated_once_and_a_copy_kept(tmp_path: Path, kind: tuple[str, Restore, Opened]) -> None:
    name, restore, opened = kind
    path = tmp_path / "store"
    restore(path, schema.VERSION)
    for _ in range(2):
        with opened(path, SECOND) as store:
            assert versions(store) == [schema.VERSION, schema.VERSION + 1]
            assert {column[:2] for column in made_of(store, name)} > {("raw_runs", "mood"), ("raw_moods", "grade")}
        copy = schema.backup_path(path, schema.VERSION)
        # The copy is a store of the version before, and of that day.
        with opened(copy, schema.migrations()) as store:
            assert versions(store) == [schema.VERSION]
    with pytest.raises(StoreVersionError, match="update agno_nb"), opened(path, schema.migrations()):
        pass
    with pytest.warns(UserWarning, match="update agno_nb"):
        assert collect([path, copy]).sources["runs"].notna().tolist() == [False, True]


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path, kind: tuple[str, Restore, Opened]) -> None:
    name, restore, opened = kind
    path = tmp_path / "store"
    restore(path, schema.VERSION)
    with opened(path, schema.migrations()) as store:
        before = made_of(store, name)
    with pytest.raises((StoreError, duckdb.Error), match="penguins"), opened(path, BROKEN):
        pass
    with opened(path, schema.migrations()) as store:
        assert (made_of(store, name), versions(store)) == (before, [schema.VERSION])
    with opened(path, SECOND) as store:
        assert versions(store)[-1] == schema.VERSION + 1
