"""Users' DataFrames in SQL: any dtype and name, and only those in the query."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import uuid
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from agno_nb import Agent, SqlTools, frames
from agno_nb.db import sandbox, schema
from agno_nb.db.frame_reader import run_query
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sandbox import MAX_CONDITIONS
from agno_nb.errors import InvalidInputError, QueryError
from agno_nb.frames import query
from agno_nb.notebook.variables import inject

UTC = dt.UTC


@pytest.fixture
def db() -> InMemoryDb:
    return InMemoryDb()


class Model:
    """An object without a form in SQL."""


def objects(*values: Any) -> pd.Series[Any]:
    return pd.Series(list(values), dtype=object)


COLUMNS: dict[str, tuple[Any, str, list[Any]]] = {
    # The values of a column, its type in SQL, and each value as SQL writes it.
    "period": (pd.period_range("2024", periods=2, freq="M"), "VARCHAR", ["2024-01", "2024-02"]),
    "interval": (pd.interval_range(0, 2), "VARCHAR", ["(0, 1]", "(1, 2]"]),
    "sparse": (pd.arrays.SparseArray([0, 1]), "BIGINT", ["0", "1"]),
    "complex": ([1j, 2.0], "VARCHAR", ["1j", "(2+0j)"]),
    "ordered": (pd.Categorical(["m", "s"], ["s", "m"], ordered=True), "ENUM('s', 'm')", ["m", "s"]),
    "bins": (pd.cut([1, 3], 2), "ENUM('(0.998, 2.0]', '(2.0, 3.0]')", ["(0.998, 2.0]", "(2.0, 3.0]"]),
    "number categories": (pd.Categorical([3, 1]), "BIGINT", ["3", "1"]),
    "mixed": (objects("a", 1), "VARCHAR", ["a", "1"]),
    "true and one": (objects(True, 1), "VARCHAR", ["True", "1"]),
    "numbers": (objects(1, 2.5), "DOUBLE", ["1.0", "2.5"]),
    "numbers that would round": (objects(2**53 + 1, 2.5), "VARCHAR", ["9007199254740993", "2.5"]),
    "large": (objects(2**70, 1), "DECIMAL(38,0)", ["1180591620717411303424", "1"]),
    "larger": (objects(10**40, 1), "VARCHAR", ["1" + "0" * 40, "1"]),
    "decimals": ([decimal.Decimal("1.10"), decimal.Decimal(2)], "DECIMAL(3,2)", ["1.10", "2.00"]),
    "fractions": ([fractions.Fraction(1, 3), None], "VARCHAR", ["1/3", None]),
    "lists": ([[1], [2, 3]], "BIGINT[]", ["[1]", "[2, 3]"]),
    "mixed lists": ([[1], ["a"]], "VARCHAR", ["[1]", '["a"]']),
    "arrays": ([np.array([1, 2]), None], "BIGINT[]", ["[1, 2]", None]),
    "dicts": ([{"a": 1}, {"b": 2}], "STRUCT(a BIGINT, b BIGINT)", ["{'a': 1, 'b': NULL}", "{'a': NULL, 'b': 2}"]),
    "mixed dicts": ([{"a": 1}, {"a": "x"}], "VARCHAR", ['{"a": 1}', '{"a": "x"}']),
    "sets": ([{1}, None], "BIGINT[]", ["[1]", None]),
    "zone": (
        pd.date_range("2024", periods=2, tz="Europe/Paris"), "TIMESTAMP WITH TIME ZONE",
        ["2023-12-31 23:00:00+00", "2024-01-01 23:00:00+00"],
    ),
    "with and without zone": (
        objects(dt.datetime(2024, 1, 1, tzinfo=UTC), dt.datetime(2024, 1, 1)), "VARCHAR",
        ["2024-01-01 00:00:00+00:00", "2024-01-01 00:00:00"],
    ),
    "times with zone": ([dt.time(1, tzinfo=UTC), None], "VARCHAR", ["01:00:00+00:00", None]),
    "dates and times": (
        objects(dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, 5)), "VARCHAR", ["2024-01-01", "2024-01-01 05:00:00"]
    ),
    "dates": ([dt.date(2024, 1, 1), None], "DATE", ["2024-01-01", None]),
    "durations": (pd.to_timedelta([1, 2], unit="s"), "INTERVAL", ["00:00:01", "00:00:02"]),
    "ids": ([uuid.UUID(int=1), None], "UUID", ["00000000-0000-0000-0000-000000000001", None]),
    "bytes": ([b"a", None], "BLOB", ["a", None]),
    "nothing": ([None, None], "VARCHAR", [None, None]),
    "nullable": (pd.array([1, None], dtype="Int64"), "BIGINT", ["1", None]),
    "half precision": (np.array([1, 2], dtype="float16"), "FLOAT", ["1.0", "2.0"]),
    "text of Arrow": (pd.array(["a", None], dtype="string[pyarrow]"), "VARCHAR", ["a", None]),
    "struct of Arrow": (
        pd.Series([{"a": 1}, None], dtype=pd.ArrowDtype(pa.struct([("a", pa.int64())]))), "STRUCT(a BIGINT)",
        ["{'a': 1}", None],
    ),
    "wide decimals of Arrow": (
        pd.array([decimal.Decimal("1." + "1" * 45), None], dtype=pd.ArrowDtype(pa.decimal256(60, 45))), "VARCHAR",
        ["1." + "1" * 45, None],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_dtype_can_be_read(db: InMemoryDb, name: str) -> None:
    values, kind, texts = COLUMNS[name]
    df = pd.DataFrame({"x": values})
    for isolated in (False, True):
        described = query("DESCRIBE df", db=db, df=df, isolated=isolated).df()
        assert described["column_type"].tolist() == [kind]
        found = query("SELECT x::VARCHAR AS x FROM df", db=db, df=df, isolated=isolated).arrow()["x"].to_pylist()
        assert found == texts
    # Without rows nothing is known of objects but that they are none.
    assert query("SUMMARIZE df", db=db, df=df.iloc[:0]).arrow().num_rows == 1
    tools = SqlTools({"df": df})
    assert "x" in tools.describe_table("df")
    assert "2 rows" in inject("{df}", {"df": df}).text


@pytest.mark.parametrize(
    ("column", "held"),
    [
        (objects(Model(), None), "objects of type Model"),
        (objects("\ud800", None), "unpaired surrogates"),
        (objects(b"a", "a"), "objects of type bytes"),
        (objects({"a": Model()}, None), "objects of type dict that are not valid JSON"),
        (pl.Series([Model(), None], dtype=pl.Object), "objects of type Model"),
    ],
)
def test_a_column_that_would_lose_something_is_named_once_it_is_read(db: InMemoryDb, column: Any, held: str) -> None:
    df = pl.DataFrame({"id": [1, 2], "x": column}) if isinstance(column, pl.Series) else pd.DataFrame({"id": [1, 2]})
    if isinstance(df, pd.DataFrame):
        df["x"] = column
    assert query("SELECT sum(id) AS n FROM df", db=db, df=df).df()["n"].tolist() == [3]
    assert query("SHOW df", db=db, df=df).df()["column_name"].tolist() == ["id", "x"]
    for sql in ("FROM df", "SELECT id FROM df WHERE x IS NOT NULL", "SUMMARIZE df", "PIVOT df ON id USING max(x)"):
        for isolated in (False, True):
            with pytest.raises(QueryError, match=f"the column 'x' of 'df' has {held}, which cannot be converted to"):
                query(sql, db=db, df=df, isolated=isolated)
    described = SqlTools({"df": df}).describe_table("df")
    assert f"SQL cannot read 'x': {held}." in described
    assert "id,BIGINT" in described


def test_columns_have_names_that_are_text_and_differ(db: InMemoryDb) -> None:
    def named(df: Any) -> list[str]:
        return list(query("FROM df", db=db, df=df).arrow().column_names)

    assert named(pd.DataFrame([[1, 2, 3, 4]], columns=["a", "A", "a_1", ""])) == ["a", "A_1", "a_1_1", "column"]
    assert named(pd.DataFrame([[1, 2]], columns=[0, pd.Timestamp("2024")])) == ["0", "2024-01-01 00:00:00"]
    means = pd.DataFrame({"k": ["a", "b"], "v": [1, 2]}).groupby("k").agg({"v": ["min", "max"]})
    assert named(means) == ["k", "v_min", "v_max"]
    assert named(pa.table([[1], [2]], names=["a", "a"])) == ["a", "a_1"]
    quoted = query('SELECT "v_min" + "v_max" AS n FROM df ORDER BY k', db=db, df=means)
    assert quoted.df()["n"].tolist() == [2, 4]
    assert "Columns: k (str), v_min (int64), v_max (int64)" in SqlTools({"df": means}).describe_table("df")


def test_an_index_that_says_something_is_columns(db: InMemoryDb) -> None:
    df = pd.DataFrame({"k": ["a", "b"], "l": [1, 2], "v": [3, 4]})
    assert query("SELECT v FROM df WHERE k = 'b' AND l = 2", db=db, df=df.set_index(["k", "l"])).df()["v"].tolist() == [
        4
    ]
    assert query("FROM df", db=db, df=df[df.v > 3]).arrow().column_names == ["k", "l", "v"]
    assert query("FROM df", db=db, df=df.describe()).arrow().column_names == ["index", "l", "v"]
    assert query("FROM df", db=db, df=df[["v"]].set_index(pd.Index([7, 8], name="v"))).df().values.tolist() == [
        [7, 3],
        [8, 4],
    ]


NAMESPACE: dict[str, Any] = {
    "df": pd.DataFrame({"x": ["a", "b", "b"], "y": [1, 2, 3]}),
    "empty": pd.DataFrame(),
    "no rows": pd.DataFrame({"a": []}),
    "runs": pd.DataFrame({"mine": [1]}),
    "weird": pd.DataFrame({"x": [Model()]}),
    "größe": pl.DataFrame({"a": [1]}),
    'a "quoted" name': pa.table({"a": [2]}),
    "select": pd.DataFrame({"a": [3]}),
    "db": pd.DataFrame({"a": [4]}),
    "timeout_s": pd.DataFrame({"a": [5]}),
    "_12": pd.DataFrame({"a": [6]}),
    "text": "no table",
    "number": 3,
}


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT count(*) FROM df", 3),
        ("select 1; -- comment", 1),
        ("select 1;", 1),
        ("/* a */ select /* b */ 1 -- c\n; -- d\n", 1),
        (";select 1;;", 1),
        ("-- empty\nselect count(*) from df -- weird", 3),
        ("SELECT count(*) FROM \"no rows\" -- 'empty'", 0),
        ('SELECT a FROM "größe"', 1),
        ("SELECT a FROM Größe", 1),
        ('SELECT a FROM "a ""quoted"" name"', 2),
        ('SELECT a FROM "select"', 3),
        ("SELECT a FROM db", 4),
        ("SELECT a FROM timeout_s", 5),
        ("SELECT count(*) FROM query_table('d' || 'f')", 3),
        ("SELECT count(*) FROM query('FROM ' || 'df')", 3),
        ("SELECT count(*) FROM weird", 1),
        ("pivot df on x using sum(y)", 1),
        ("PIVOT df ON x USING sum(y); -- done", 1),
        ("FROM (PIVOT df ON x USING sum(y))", 1),
        ("WITH wide AS (PIVOT df ON x USING sum(y)) SELECT b FROM wide", 5),
        ("unpivot (select 1 as a, 2 as b) on a, b into name n value v", "a"),
        ("FROM df SELECT max(y)", 3),
        ("VALUES (1)", 1),
        ("TABLE df", "a"),
        ("WITH a AS (FROM df) SELECT count(*) FROM a", 3),
        ("(SELECT 1)", 1),
    ],
)
def test_a_query_needs_only_what_it_names(db: InMemoryDb, sql: str, found: Any) -> None:
    assert run_query(db, sql, {}, NAMESPACE)[0].df().iloc[0, 0] == found
    assert SqlTools(NAMESPACE).run_sql(sql).iloc[0, 0] == found
    frames = {
        name: value for name, value in NAMESPACE.items() if name not in ("runs", "db", "timeout_s", "text", "number")
    }
    if "db" not in sql and "timeout" not in sql:
        assert query(sql, db=db, **frames).df().iloc[0, 0] == found


@pytest.mark.parametrize(
    "sql",
    [
        "DESCRIBE df", "SUMMARIZE df", "SHOW TABLES", "SHOW ALL TABLES", "DESCRIBE", "EXPLAIN FROM df",
        "EXPLAIN ANALYZE FROM df", "EXPLAIN (FORMAT json) SELECT 1", "EXPLAIN pivot df on x using sum(y)",
        "explain /* a */ analyze select 1", "SUMMARIZE PIVOT df ON x USING sum(y)",
        "DESCRIBE PIVOT df ON x USING sum(y)", "-- a\nEXPLAIN (SELECT 1);",
    ],
)  # fmt: skip
def test_looking_at_dataframes_is_reading(db: InMemoryDb, sql: str) -> None:
    assert len(run_query(db, sql, {}, NAMESPACE)[0].df()) > 0
    assert len(SqlTools(NAMESPACE).run_sql(sql)) > 0


@pytest.mark.parametrize("sql", ["show tables", "SHOW ALL TABLES;", "describe -- all", "/* all */ Show Tables"])
def test_a_list_of_tables_has_those_that_are_documented_and_the_dataframes(
    db: InMemoryDb, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    monkeypatch.setattr(frames, "notebook_namespace", {"own": pd.DataFrame({"a": [1]}), "_7": pd.DataFrame({"a": [1]})})
    odd = pd.DataFrame({"a": [1], "b": [object()]})
    listed = sorted(query(sql, db=db, odd=odd).df()["name"])
    assert listed == sorted([*schema.views(), "own", "odd"])


def test_a_query_finds_the_dataframes_of_the_notebook_and_prefers_those_it_is_given(
    db: InMemoryDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = pd.DataFrame({"a": [1]})
    monkeypatch.setattr(frames, "notebook_namespace", {"own": own, "timeout_s": own, "runs": own, "x": 1})
    assert query("from own", db=db).df()["a"].tolist() == [1]
    assert query("from own join timeout_s using (a)", db=db).df()["a"].tolist() == [1]
    assert query("from OWN", db=db, Own=own + 1).df()["a"].tolist() == [2]
    with pytest.warns(UserWarning, match="^runs is the store's table, not your DataFrame of the same name; rename"):
        assert query("from runs", db=db).df().empty
    with pytest.raises(QueryError, match=r"there is no table 'owm'.*Your DataFrames: more, own, runs, timeout_s\.$"):
        query("from owm", db=db, more=own)
    # The method knows nothing of a notebook.
    with pytest.raises(QueryError, match=r"there is no table 'own'.*Your DataFrames: none\.$"):
        db.query("from own")


def test_a_dataframe_that_is_the_table_of_the_store_gives_way_without_a_note(db: InMemoryDb) -> None:
    Agent("demo", db=db).run("Hello")
    runs = db.runs_df(tz=None)
    assert run_query(db, "from runs", {}, {"runs": runs})[1] == []
    # One with other rows or columns would have another result.
    for other in (runs.head(0), runs.assign(x=1).drop(columns="cost"), pd.DataFrame({"a": [1]})):
        assert len(run_query(db, "from runs", {}, {"runs": other})[1]) == 1


def test_tables_are_listed_without_being_named(db: InMemoryDb) -> None:
    listed = set(run_query(db, "SHOW TABLES", {}, NAMESPACE)[0].df()["name"])
    assert {"df", "no rows", "größe", "select", "runs"} <= listed
    assert not {"_12", "text", "number"} & listed
    assert run_query(db, "SELECT count(*) AS n FROM _12", {}, NAMESPACE)[0].df()["n"].tolist() == [1]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TEMP TABLE t AS PIVOT df ON x USING sum(y)", "CREATE TABLE t AS PIVOT df ON x USING sum(y)",
        "INSERT INTO df PIVOT df ON x USING sum(y)", "COPY (PIVOT df ON x USING sum(y)) TO 'x.csv'",
        "EXPORT DATABASE 'x'", "WITH a AS (PIVOT df ON x USING sum(y)) INSERT INTO df FROM a",
        "PREPARE p AS PIVOT df ON x USING sum(y)", "WITH a AS (PIVOT df ON x USING sum(y)) DELETE FROM df",
        "PIVOT df ON x USING sum(y); DELETE FROM df",
        "WITH d AS (DELETE FROM raw_runs RETURNING *) PIVOT d ON run_id USING count(*)", "IMPORT DATABASE 'x'",
        "PIVOT read_csv('/etc/passwd') ON column0 USING count(*)", "PIVOT 'x.csv' ON a USING count(*)",
        "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", "EXPLAIN ANALYZE SET threads = 1",
        "EXPLAIN ANALYZE BEGIN", "EXPLAIN ANALYZE CREATE TEMP TABLE t AS PIVOT df ON x USING sum(y)",
        "EXPLAIN (ANALYZE) CREATE TEMP TABLE t AS SELECT 1", "EXPLAIN ANALYZE COPY df TO 'x.csv'",
        "EXPLAIN INSERT INTO df PIVOT df ON x USING sum(y)", "EXPLAIN CHECKPOINT", "EXPLAIN",
        "SUMMARIZE df; DROP TABLE df", "CALL pragma_version()", "PRAGMA show_tables", "EXPLAIN ANALYZE EXECUTE p",
        "explain/**/", "--",
    ],
)  # fmt: skip
def test_what_writes_or_reads_files_stays_refused(db: InMemoryDb, sql: str, working_directory: Any) -> None:
    for ask in (lambda: query(sql, db=db, df=NAMESPACE["df"]), lambda: SqlTools(NAMESPACE).run_sql(sql)):
        with pytest.raises(QueryError) as caught:
            ask()
        assert "\n" not in str(caught.value)
    assert list(working_directory.iterdir()) == []
    assert db.runs_df().empty


# Each once hung, ended the process, or raised an error of Python's own.
HUGE: dict[str, str] = {
    "600 joins": "SELECT count(*) FROM " + " JOIN ".join(f"df t{n} USING (y)" if n else "df t0" for n in range(600)),
    "600 tables": "SELECT 1 FROM " + ", ".join(f"df t{n}" for n in range(600)),
    "an explained join of 600": "EXPLAIN SELECT 1 FROM " + ", ".join(f"df t{n}" for n in range(600)),
    "parentheses": f"SELECT {'(' * 10_000}1{')' * 10_000}",
    "subqueries": f"{'SELECT * FROM (' * 5_000}SELECT 1{')' * 5_000}",
    "conditions": "FROM df WHERE " + " OR ".join(["y = 1"] * (MAX_CONDITIONS + 2)),
    "a name of many parts": "SELECT a" + ".b" * 20_000,
    "a sum": f"SELECT {'+'.join('1' * 20_000)}",
    "nested lists": f"SELECT {'[' * 5_000}1{']' * 5_000}",
    "nested structs": f"SELECT {'{a: ' * 300}1{'}' * 300}",
    "comments": "/*" * 50_000,
    "quotes": "'" * 50_001,
    "a long name": f"SELECT {'x' * 100_000}",
    "a long error": f"SELECT error('{'y' * 100_000}')",
    "lines in an error": r"SELECT error('a' || chr(10) || chr(10) || 'LINE 1' || chr(10) || 'b')",
    "half a character": "SELECT '\ud800'",
    "half a character in a name": "SELECT \ud800",
    "no type in Python": "SELECT DATE '290000-01-01' AS d",
}


@pytest.mark.parametrize("name", HUGE)
def test_a_query_that_is_too_much_is_one_typed_line(db: InMemoryDb, name: str) -> None:
    df = pd.DataFrame({"y": [1]})
    for ask in (lambda: query(HUGE[name], db=db, df=df).df(), lambda: SqlTools({"df": df}).run_sql(HUGE[name])):
        with pytest.raises(QueryError) as caught:
            ask()
        told = str(caught.value)
        assert "\n" not in told
        # The error of DuckDB, and a short remedy.
        assert len(told) < sandbox.ERROR_LIMIT + 60


def test_large_but_plain_queries_are_answered(db: InMemoryDb) -> None:
    df = pd.DataFrame({"y": [1, 2]})
    listed = f"SELECT count(*) AS n FROM df WHERE y IN ({', '.join(map(str, range(20_000)))})"
    assert query(listed, db=db, df=df).df()["n"].tolist() == [2]
    assert query(f"SELECT length('{'x' * 1_000_000}') AS n", db=db).df()["n"].tolist() == [1_000_000]
    joins = "SELECT count(*) AS n FROM " + " JOIN ".join(f"df t{n} USING (y)" if n else "df t0" for n in range(40))
    assert query(joins, db=db, df=df).df()["n"].tolist() == [2]
    assert query("SELECT union_value(a := 1) AS u", db=db).df()["u"].tolist() == ["1"]


def test_dataframes_that_cannot_be_meant_are_named(db: InMemoryDb) -> None:
    df = NAMESPACE["df"]
    with pytest.raises(QueryError, match="the DataFrame 'empty' has no columns"):
        SqlTools(NAMESPACE).run_sql("FROM empty")
    with pytest.raises(QueryError, match="does not distinguish the names of the DataFrames 'DF' and 'df'"):
        query("FROM Df", db=db, df=df, DF=df)
    assert query("SELECT count(*) AS n FROM DF", db=db, df=df, DF=df.head(1)).df()["n"].tolist() == [1]
    with pytest.raises(InvalidInputError, match="DataFrame 'runs' has the name of a store table; rename it"):
        SqlTools(NAMESPACE).run_sql("FROM runs")
    assert SqlTools(NAMESPACE).run_sql("SELECT 1 AS empty")["empty"].tolist() == [1]
    assert SqlTools(NAMESPACE).run_sql("WITH empty AS (SELECT 2 AS a) FROM empty")["a"].tolist() == [2]
    assert "runs" not in SqlTools(NAMESPACE).tables
    assert run_query(db, "FROM runs", {}, NAMESPACE)[1] == [
        "runs is the store's table, not your DataFrame of the same name; rename the DataFrame to query it"
    ]
    assert run_query(db, "SELECT 'runs' FROM df -- runs", {}, NAMESPACE)[1] == []


def test_every_table_of_a_notebook_can_be_described() -> None:
    tools = SqlTools({name: value for name, value in NAMESPACE.items() if name != "empty"})
    for name in tools.tables:
        assert tools.describe_table(name).startswith("DataFrame, ")
    assert SqlTools(NAMESPACE).describe_table("empty") == (
        "DataFrame, 0 rows x 0 columns\nColumns: none\n\nSQL can read none of its columns."
    )
    assert "SQL can read none of its columns." in tools.describe_table("weird")


def test_a_value_that_cannot_be_shown_hides_no_other() -> None:
    class Silent:
        def __str__(self) -> str:
            raise OSError("no text")

    shown = inject("{df}", {"df": pd.DataFrame({"a": [1], "b": [Silent()]})}).text
    assert shown.endswith("a,b\n1,(Silent that cannot be shown: OSError)")
