"""SQL over the store: it reads, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from agno_nb.db.columns import FRAMES
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, QueryError
from agno_nb.frames import query, runs_df
from agno_nb.testing.conversation import say
from tests.test_frames import READERS, dtypes, fill


@pytest.fixture
def db() -> InMemoryDb:
    return InMemoryDb()


def test_a_query_sees_the_store_and_the_frames_it_is_given(db: InMemoryDb) -> None:
    fill(db)
    people = pd.DataFrame({"user_id": ["alice", "bob"], "team": ["red", None]})
    ages = pa.table({"user_id": ["alice", "bob"], "age": [3, 4]})
    found = query(
        "SELECT user_id, team, age, sum(total_tokens) AS tokens, bool_or(stale) AS stale, max(created_at) AS last "
        "FROM runs JOIN people USING (user_id) JOIN ages USING (user_id) GROUP BY ALL ORDER BY ALL",
        db=db, people=people, ages=ages,
    )  # fmt: skip
    frame = found.df()
    assert dtypes(frame) == {
        "user_id": "str", "team": "str", "age": "Int64", "tokens": "Int64", "stale": "boolean",
        "last": "datetime64[us, UTC]",
    }  # fmt: skip
    assert frame[["user_id", "age"]].values.tolist() == [["alice", 3], ["bob", 4]]
    assert frame["tokens"].isna().tolist() == [False, True]
    assert found.arrow().num_rows == 2
    polars = found.pl()
    assert polars["age"].to_list() == [3, 4]
    assert str(polars.schema["last"]) == "Datetime(time_unit='us', time_zone='UTC')"
    assert repr(found) == repr(frame)
    assert "<table" in (found._repr_html_() or "")
    frame["age"] = 0
    assert found.df()["age"].tolist() == [3, 4]
    # A frame is there for its own query only.
    with pytest.raises(QueryError, match="people"):
        query("FROM people", db=db)


def test_sums_keep_their_value(db: InMemoryDb) -> None:
    sql = "SELECT sum(n) AS whole, sum(n) * 10**30::HUGEINT AS huge, sum(n::DECIMAL(9, 2)) AS money FROM range(4) t(n)"
    frame = query(sql, db=db).df()
    assert dtypes(frame) == {"whole": "Int64", "huge": "float64", "money": "float64"}
    assert frame.values.tolist() == [[6, pytest.approx(6e30), 6.0]]


@pytest.mark.parametrize(
    "sql", ["EXPLAIN SELECT * FROM runs", "DESCRIBE runs", "SUMMARIZE runs", "SHOW TABLES", "FROM runs"]
)
def test_looking_at_the_store_is_reading(db: InMemoryDb, sql: str) -> None:
    assert len(query(sql, db=db).arrow().column_names) > 0


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
""".strip().splitlines()


@pytest.mark.parametrize("sql", ["", "-- nothing", *HOSTILE])
@pytest.mark.parametrize("backend", ["duckdb", "in_memory"])
def test_a_query_reads_the_store_and_nothing_else(tmp_path: Path, backend: str, sql: str) -> None:
    secret_in_python = pd.DataFrame({"key": [1]})
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "data.csv").write_text("a\n1\n")
    db = DuckDb(tmp_path / "store.duckdb") if backend == "duckdb" else InMemoryDb()
    fill(db)
    before = {view: READERS[view](db=db) for view in FRAMES}
    with pytest.raises(QueryError) as caught:
        query(sql.format(folder=folder), db=db)
    assert "\n" not in str(caught.value)
    for view in FRAMES:
        pd.testing.assert_frame_equal(READERS[view](db=db), before[view])
    assert [path.name for path in folder.iterdir()] == ["data.csv"]
    assert len(secret_in_python) == 1
    say(db, "still works", user_id="alice")


def test_an_error_in_a_query_is_one_readable_line(db: InMemoryDb) -> None:
    with pytest.raises(QueryError) as caught:
        query("SELECT inputt\nFROM runs", db=db)
    told = str(caught.value)
    assert 'Referenced column "inputt" not found' in told
    assert "input" in told
    assert "\n" not in told
    with pytest.raises(QueryError, match="not suitable"):
        query("FROM x", db=db, x=[1, 2])


@pytest.mark.parametrize("name", ["runs", "Messages", "raw_runs", "raw_schema", "raw_media", "memories"])
def test_a_frame_cannot_stand_in_for_a_table_of_the_store(db: InMemoryDb, name: str) -> None:
    with pytest.raises(InvalidInputError, match="is a table of the store"):
        query("SELECT 1", db=db, **{name: pd.DataFrame({"a": [1]})})


def test_an_interrupt_stops_a_query_and_frees_the_store(db: InMemoryDb, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import Future

    fill(db)
    monkeypatch.setattr(Future, "result", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        query("SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000) c", db=db)
    monkeypatch.undo()
    assert len(runs_df(db=db)) == 3
