"""Read-only SQL over the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from agno_nb.db import sandbox
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.frame_definitions import FRAMES, MESSAGES
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.pushdown import ColumnFilter
from agno_nb.db.schema import ColumnsRead
from agno_nb.errors import InvalidInputError, QueryError, QueryInterrupted
from agno_nb.frames import query, runs_df
from agno_nb_store_contract.conversation import say
from tests.db.conftest import BACKENDS
from tests.test_frames import dtypes, fill


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


def test_an_error_in_a_query_is_one_readable_line(db: InMemoryDb) -> None:
    with pytest.raises(QueryError) as caught:
        query("SELECT inputt\nFROM runs", db=db)
    told = str(caught.value)
    assert 'Referenced column "inputt" not found' in told
    assert "input" in told
    assert "\n" not in told


def test_a_query_is_told_which_tables_there_are(db: InMemoryDb) -> None:
    with pytest.raises(
        QueryError, match=r"no table 'runz'. The store's tables: sessions, .*\. Your DataFrames: mine\."
    ):
        query("FROM runz", db=db, mine=pd.DataFrame({"a": [1]}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([1, 2], "'x' is of type list; pass a pandas DataFrame"),
        (pd.Series([1]), "is of type Series; .*its .reset_index()"),
    ],
)
def test_what_is_no_table_is_refused(db: InMemoryDb, given: object, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        query("FROM x", db=db, x=given)


@pytest.mark.parametrize("name", ["runs", "Messages", "raw_runs", "raw_schema", "raw_media", "memories"])
def test_a_frame_cannot_stand_in_for_a_table_of_the_store(db: InMemoryDb, name: str) -> None:
    with pytest.raises(InvalidInputError, match="is a table of the store"):
        query("SELECT 1", db=db, **{name: pd.DataFrame({"a": [1]})})


@pytest.mark.parametrize("name", ["duckdb", "in_memory", "sqlite"])
def test_a_query_that_takes_too_long_is_stopped_and_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    db = BACKENDS[name](tmp_path)
    fill(db)
    with pytest.raises(QueryError, match=r"the query was stopped after 0.05 s; read less data, or pass a higher"):
        db.query("SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000) c, runs", timeout_s=0.05)
    assert len(runs_df(db=db)) == 3
    db.close()


def test_the_store_is_free_while_a_query_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = DuckDb(tmp_path / "store.duckdb", lock_timeout_s=5)
    fill(db)
    done: list[int] = []
    rows = sandbox._rows

    def meanwhile(*args: Any) -> pa.Table:
        say(DuckDb(tmp_path / "store.duckdb", lock_timeout_s=5), "meanwhile", session_id="s9")
        done.append(1)
        return rows(*args)

    monkeypatch.setattr("agno_nb.db.sandbox._rows", meanwhile)
    assert db.query("SELECT count(*) AS n FROM runs").df()["n"].tolist() == [3]
    assert (done, len(db.runs_df())) == ([1], 4)


def test_a_query_that_finds_too_much_is_not_cut_but_refused(db: InMemoryDb) -> None:
    fill(db)
    assert len(db.query("FROM runs ORDER BY run_id", max_rows=3).arrow()) == 3
    with pytest.raises(QueryError, match=r"more than 2 rows; add a LIMIT, or pass a higher max_rows="):
        db.query("FROM runs", max_rows=2)
    with pytest.raises(QueryError, match="more than 1,000,000 rows"):
        db.query("FROM range(10000000)")
    assert len(db.query("FROM range(1000001)", max_rows=None).arrow()) == 1_000_001
    assert db.query("FROM runs ORDER BY run_id DESC", max_rows=5).df()["run_id"].tolist() == ["r3", "r2", "r1"]


def test_a_table_is_found_by_whatever_names_it(db: InMemoryDb) -> None:
    fill(db)
    for sql in (
        "SELECT count(*) AS n FROM RUNS",
        'SELECT count(*) AS n FROM "Runs"',
        "SELECT count(*) AS n FROM raw_runs",
        "SELECT count(*) AS n FROM query_table('ru' || 'ns')",
        "WITH x AS (FROM runs) SELECT (SELECT count(*) FROM x) AS n",
        "SELECT count(*)AS n FROM(FROM runs)",
    ):
        assert db.query(sql).df()["n"].tolist() == [3]
    assert "events" in db.query("SHOW TABLES").df()["name"].tolist()
    assert set(db.query("DESCRIBE runs").df()["column_name"]) == set(FRAMES["runs"].columns)


def test_an_interrupt_stops_a_query_and_frees_the_store(db: InMemoryDb, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import Future

    fill(db)
    monkeypatch.setattr(Future, "result", lambda self, timeout: (_ for _ in ()).throw(KeyboardInterrupt))
    # One that IPython shows in one line: to draw a traceback would take it longer than the query to stop.
    with pytest.raises(QueryInterrupted) as caught:
        query("SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000) c", db=db)
    monkeypatch.undo()
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value._render_traceback_() == [f"QueryInterrupted: {caught.value}"]
    assert len(runs_df(db=db)) == 3


def test_invalid_json_that_a_model_wrote_is_an_error_with_a_remedy(db: InMemoryDb) -> None:
    arguments = pd.DataFrame({"arguments": ['{"item": "tea"}', '{"item": tea']})
    with pytest.raises(QueryError, match=r"Malformed JSON .*; try\(\.\.\.\) around the expression is null for invalid"):
        db.query("select arguments->>'item' as item from arguments", arguments=arguments)
    items = db.query("select try(arguments->>'item') as item from arguments", arguments=arguments).df()["item"]
    assert items.fillna("").tolist() == ["tea", ""]


def test_a_difference_of_times_is_a_timedelta_unless_it_has_months(db: InMemoryDb) -> None:
    rows = "(timestamp '2026-01-03 00:00:01'), (null), (timestamp '2025-12-31')"
    waited = db.query(f"select t - timestamp '2026-01-01' as waited from (values {rows}) as own(t)").df()["waited"]
    assert str(waited.dtype) == "timedelta64[us]"
    assert waited.dt.total_seconds().fillna(-1).tolist() == [2 * 86_400 + 1, -1, -86_400]
    assert db.query("select created_at - ended_at as waited from runs").df()["waited"].dtype == waited.dtype
    polars = db.query(f"select t - timestamp '2026-01-01' as waited from (values {rows}) as own(t)").pl()
    assert polars["waited"].dt.total_seconds().to_list() == [2 * 86_400 + 1, None, -86_400]
    with pytest.raises(QueryError, match=r"polars has no type for a column .*; select it as text: name::VARCHAR$"):
        db.query("select interval 1 month as month").pl()
    assert db.query("select interval 1 month as month").df()["month"].tolist() == [
        pd.DateOffset(months=1, days=0, nanoseconds=0)
    ]


def with_run(columns: set[str]) -> dict[str, set[str]]:
    """Return the columns of messages with those that find their run and session."""
    run = set(MESSAGES.columns) & columns & {"superseded_by", "stale"} and {"created_at"}
    ids = {"session_id", "run_id"}
    of_run = {"user_id", "component_name"} & columns | ({"model"} if "run_model" in columns else set())
    parts = columns - {"run_index", "attempt", "superseded_by", "stale", "user_id", "component_name", "run_model"}
    return {
        "raw_messages": (parts - {"session_name"}) | ids,
        "raw_runs": ids | {"root_run_id", "run_index", "attempt"} | of_run | run,
        "raw_sessions": {"session_id"} | ({"session_name"} & columns),
    }


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("SELECT count(*) AS n FROM messages", set()),
        ("SELECT role, count(*) FROM messages GROUP BY 1 ORDER BY 1", {"role"}),
        ("SELECT content FROM query('FROM raw' || '_messages') WHERE role = 'tool'", {"content", "role"}),
        ("SELECT content FROM messages JOIN people ON role = name ORDER BY 1", {"content", "role"}),
        ("WITH said AS MATERIALIZED (FROM messages) SELECT max(created_at) FROM said", {"created_at"}),
        ("SELECT (SELECT max(run_id) FROM messages AS m WHERE m.role = p.name) FROM people AS p", {"role", "run_id"}),
        ("FROM messages", set(MESSAGES.columns)),
        ("DESCRIBE messages", None),
        ("SELECT 1 AS n", None),
    ],
)
def test_a_query_copies_the_columns_that_its_result_depends_on(
    db: InMemoryDb, sql: str, read: set[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db)
    people = pd.DataFrame({"name": ["user", "tool"]})
    asked: list[ColumnsRead] = []
    rows = db._driver.rows

    def noting(needs: ColumnsRead, part: ColumnFilter | None = None) -> dict[str, pa.Table]:
        asked.append(needs)
        return rows(needs, part)

    monkeypatch.setattr(db._driver, "rows", noting)
    found = query(sql, db=db, people=people).arrow()
    assert asked == [{} if read is None else {"raw_messages": read} if "raw" in sql else with_run(read)]
    # Reading all columns of its tables doesn't change the result.
    monkeypatch.setattr(sandbox, "_columns_in_plan", lambda *given: None)
    assert query(sql, db=db, people=people).arrow() == found
    assert len(asked) == 2
    assert all(len(asked[1][table]) >= len(columns) for table, columns in asked[0].items())
