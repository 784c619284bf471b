"""Hostile SQL: statements are rejected, read nothing outside the store, and change nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from agno_nb.db import schema
from agno_nb.db.base import Db
from agno_nb.db.frame_definitions import FRAMES
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sandbox import read_only_statement
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import QueryError
from agno_nb.frames import query
from agno_nb_store_contract.conversation import say
from tests.db.conftest import BACKENDS
from tests.test_frames import READERS, fill

# {folder} has data.csv in it; {store} is the file of the store itself, or a file like it.
HOSTILE = """
DELETE FROM raw_runs
UPDATE raw_runs SET input = ''
INSERT INTO raw_schema VALUES (2, 0)
WITH gone AS (DELETE FROM raw_runs RETURNING *) SELECT * FROM gone
EXPLAIN ANALYZE DELETE FROM raw_runs
CREATE TABLE mine AS SELECT 1
CREATE TEMP VIEW runs AS SELECT 1
DROP VIEW runs
TRUNCATE raw_runs
SELECT 1; DELETE FROM raw_runs
COMMIT; DELETE FROM raw_runs
COPY runs TO '{folder}/out.csv'
COPY (SELECT 1) TO '{folder}/out.parquet'
EXPORT DATABASE '{folder}/out'
ATTACH '{folder}/out.duckdb'
ATTACH ':memory:' AS more
DETACH store
USE memory
SET enable_external_access = true
SET VARIABLE x = 1
RESET lock_configuration
PRAGMA database_list
CALL pragma_version()
INSTALL httpfs
LOAD httpfs
CHECKPOINT
VACUUM
BEGIN
CONNECT
SELECT * FROM read_csv('{folder}/data.csv')
SELECT * FROM '{folder}/data.csv'
SELECT * FROM read_text('{folder}/data.csv')
SELECT * FROM read_blob('/etc/hosts')
SELECT * FROM glob('{folder}/*')
SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')
SELECT getenv('HOME')
SELECT * FROM query('DELETE FROM raw_runs')
SELECT * FROM secret_in_python
CREATE OR REPLACE VIEW runs AS SELECT 1
CREATE MACRO f(x) AS x
CREATE TYPE mood AS ENUM ('a')
CREATE SCHEMA mine
CREATE SEQUENCE counter
CREATE SECRET (TYPE s3, KEY_ID 'a', SECRET 'b')
CREATE TRIGGER t AFTER INSERT ON raw_runs FOR EACH ROW DELETE FROM raw_runs
CREATE INDEX i ON raw_runs (run_id)
ALTER TABLE raw_runs ADD COLUMN mine TEXT
COMMENT ON TABLE raw_runs IS 'mine'
MERGE INTO raw_runs USING (SELECT 'r1' AS run_id) AS s USING (run_id) WHEN MATCHED THEN DELETE
INSERT INTO raw_runs SELECT * FROM raw_runs
WITH new AS (INSERT INTO raw_schema VALUES (2, 0) RETURNING *) FROM new
WITH new AS (UPDATE raw_runs SET input = '' RETURNING *) SELECT count(*) FROM new
SELECT * FROM (DELETE FROM raw_runs RETURNING *)
FROM runs; FROM runs
FROM runs; COPY runs TO '{folder}/out.csv'
ROLLBACK; DELETE FROM raw_runs; BEGIN
PREPARE p AS SELECT 1
EXECUTE p
DEALLOCATE p
IMPORT DATABASE '{folder}'
COPY FROM DATABASE store TO memory
COPY raw_runs FROM '{folder}/data.csv'
SELECT * FROM read_blob('{store}')
SELECT * FROM read_text('{store}')
SELECT * FROM '{store}'
SELECT * FROM read_blob('{store}*')
SELECT * FROM glob('{store}*')
SELECT * FROM read_duckdb('{store}')
SELECT * FROM sqlite_scan('{store}', 'raw_runs')
SELECT * FROM parquet_scan('{folder}/data.csv')
SELECT * FROM parquet_metadata('{folder}/data.csv')
SELECT * FROM read_json_auto('{folder}/data.csv')
SELECT * FROM read_ndjson_objects('{folder}/data.csv')
SELECT * FROM sniff_csv('{folder}/data.csv')
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM pandas_scan(1)
SELECT * FROM python_scan('secret_in_python')
SELECT * FROM query('SELECT * FROM read_csv(''{folder}/data.csv'')')
SELECT * FROM query_table('{folder}/data.csv')
SELECT (SELECT content FROM read_text('{folder}/data.csv')) FROM runs
EXPLAIN ANALYZE COPY runs TO '{folder}/out.csv'
EXPLAIN ANALYZE INSERT INTO raw_schema VALUES (2, 0)
EXPLAIN ANALYZE SELECT * FROM read_csv('{folder}/data.csv')
SELECT * FROM 'https://127.0.0.1:9/x.parquet'
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM read_csv('/proc/self/environ')
SELECT * FROM read_text('/proc/self/cmdline')
SELECT * FROM which_secret('s3://bucket', 's3')
SELECT * FROM test_all_types(), read_blob('{store}')
ATTACH '{store}' AS again (READ_ONLY)
ATTACH 'md:'
USE store
SET memory_limit = '1TB'
SET temp_directory = '{folder}'
SET GLOBAL allowed_paths = ['{folder}']
PRAGMA enable_profiling
PRAGMA temp_directory = '{folder}'
CALL force_checkpoint('store')
CALL dbgen(sf = 0.01)
FORCE CHECKPOINT
ANALYZE
KILL 1
LOAD '{folder}/data.csv'
INSTALL httpfs FROM '{folder}'
UPDATE EXTENSIONS
.shell ls
SELECT nextval('counter')
SELECT writefile('{folder}/out', 'x')
""".strip().splitlines()


@pytest.fixture(params=["duckdb", "in_memory", "sqlite"], scope="module")
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Db, Path]]:
    """A store of each kind and its folder. After all attacks, it has to say what it said before."""
    folder = tmp_path_factory.mktemp("hostile")
    db = BACKENDS[request.param](folder)
    fill(db)
    # Write logs into the files now, not during a test.
    db.close()
    (folder / "files").mkdir()
    (folder / "files" / "data.csv").write_text("a\n1\n")
    said = said_by(db)
    yield db, folder
    assert said_by(db) == said
    say(db, "still works", user_id="alice")
    db.close()


def said_by(db: Db) -> dict[str, pa.Table]:
    return {view: db.frame(f"FROM {view}") for view in FRAMES}


def stored_in(db: Db) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, and the definitions of DuckDB's views; reading the views takes much longer."""
    assert isinstance(db, SqlDb)
    with db._transaction(write=False) as connection:
        stored = {table: connection.execute(f"SELECT * FROM {table}") for table in schema.tables()}
        if not isinstance(db, SqliteDb | InMemoryDb):
            stored["views"] = connection.execute("SELECT sql FROM duckdb_views() WHERE NOT internal ORDER BY sql")
    return stored


def bytes_in(folder: Path) -> dict[str, bytes | None]:
    # What SQLite's readers tell each other of their reading, in a file whose name ends in -shm, is not of the store.
    paths = [path for path in sorted(folder.rglob("*")) if not path.name.endswith("-shm")]
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


@pytest.mark.parametrize("isolated", [False, True], ids=["in process", "isolated"])
@pytest.mark.parametrize("sql", ["", "-- nothing", ";", *HOSTILE])
def test_a_query_reads_the_store_and_nothing_else(
    filled: tuple[Db, Path], sql: str, isolated: bool, working_directory: Path
) -> None:
    secret_in_python = pd.DataFrame({"key": [1]})
    db, folder = filled
    store = next((path for path in folder.iterdir() if path.name in ("store.duckdb", "store.db")), folder / "files")
    stored, files, environment = stored_in(db), bytes_in(folder), dict(os.environ)
    with pytest.raises(QueryError) as caught:
        query(sql.format(folder=folder / "files", store=store), db=db, isolated=isolated)
    told = str(caught.value)
    assert "\n" not in told
    # The error names the statement, not the content of files.
    assert "a\n1" not in told
    assert stored_in(db) == stored
    assert (bytes_in(folder), bytes_in(working_directory), dict(os.environ)) == (files, {}, environment)
    assert len(secret_in_python) == 1


@pytest.mark.parametrize("isolated", [False, True], ids=["in process", "isolated"])
def test_settings_cannot_be_changed_from_a_select(filled: tuple[Db, Path], isolated: bool) -> None:
    db, *_ = filled
    found = db.query(
        "SELECT current_setting('enable_external_access') AS files, current_setting('lock_configuration') AS locked, "
        "current_setting('allowed_paths')::VARCHAR AS allowed",
        isolated=isolated,
    )
    assert found.df().values.tolist() == [[False, True, "[]"]]
    assert {view: len(READERS[view](db=db)) > 0 for view in FRAMES} == dict.fromkeys(FRAMES, True)


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) from t" + " join t using (a)" * 600,
        "select count(*) from t" + ", t" * 600,
        "select * from (select 1 as a, 2 as b from t, " + ", ".join(["t"] * 101) + " where a = 1)",
        "from (values (1), (2)) as t(a), " + ", ".join(f"range({n}) as r{n}(a)" for n in range(101)),
    ],
    ids=["join", "comma", "nested", "from first"],
)
def test_too_many_joins_are_refused_before_duckdb_sees_them(sql: str) -> None:
    engine: Any = None
    with pytest.raises(QueryError, match=r"^the query joins more than 100 tables"):
        read_only_statement(engine, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select a is distinct from 1 as x, " + ", ".join(f"a as a{n}" for n in range(150)) + " from t",
        "select " + ", ".join(f"extract(year from date '2026-01-01') as y{n}" for n in range(150)) + " from t",
        "select " + ", ".join(["'a join b'"] * 150) + " from t -- join join",
        "select a from t where a in (" + ", ".join(map(str, range(500))) + ") order by " + ", ".join(["a"] * 150),
        "from (values " + ", ".join(f"({n}, 'from')" for n in range(500)) + ") v(a, b) select a, b",
        "with "
        + ", ".join(f"c{n} as (select {n} as a from t)" for n in range(110))
        + " select count(*) as n from c1, c2",
        "select [t.a, 1, 2] as x, {'join': t.a} as y from t, t as u where t.a = 1 group by all",
    ],
    ids=["distinct from", "extract", "strings", "in", "values", "with", "brackets"],
)
def test_commas_elsewhere_are_not_joins(sql: str) -> None:
    assert len(query(sql, db=InMemoryDb(), t=pd.DataFrame({"a": [1]})).df().columns) > 0
