"""SQL of models, restricted to DataFrames and the user's own history."""

from __future__ import annotations

import threading
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from agno_nb import Agent, DuckDb, InMemoryDb, SqlTools
from agno_nb.db.base import Db
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import InvalidInputError, QueryError
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.tools.sql import HISTORY
from agno_nb.types import RunOutput, UserMemory

PENGUINS = pd.DataFrame({"species": ["Adelie", "Gentoo", "Adelie"], "mass": [3700.0, 5000.0, None]})


@pytest.fixture(params=["in_memory", "duckdb", "sqlite"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Db:
    if request.param == "in_memory":
        return InMemoryDb()
    return DuckDb(tmp_path / "s.duckdb") if request.param == "duckdb" else SqliteDb(tmp_path / "s.sqlite")


def asked(query: str, tools: SqlTools, **settings: Any) -> RunOutput:
    return Agent(ScriptedModel([call("run_sql", query=query), "ok"]), tools=[tools], **settings).run("x")


def test_a_model_asks_dataframes_and_the_rows_stay_at_hand() -> None:
    run = asked(
        "SELECT species, avg(mass) AS mass FROM penguins GROUP BY ALL ORDER BY ALL", SqlTools(penguins=PENGUINS)
    )
    assert run.tools[0].result == (
        "DataFrame, 2 rows x 2 columns\nColumns: species (str), mass (float64)\nFirst 2 rows as CSV:\n"
        "species,mass\nAdelie,3700.0\nGentoo,5000.0"
    )
    assert run.tools[0].value["mass"].tolist() == [3700.0, 5000.0]


def test_a_description_has_columns_rows_and_statistics() -> None:
    assert SqlTools(penguins=PENGUINS).describe_table("penguins") == (
        "DataFrame, 3 rows x 2 columns\nColumns: species (str), mass (float64)\nFirst 3 rows as CSV:\n"
        "species,mass\nAdelie,3700.0\nGentoo,5000.0\nAdelie,nan\n\n"
        "Statistics as CSV:\ncolumn,type,missing_percent,distinct_about,min,max,mean\n"
        "species,VARCHAR,0.0,2,Adelie,Gentoo,\nmass,DOUBLE,33.33,2,3700.0,5000.0,4350.0"
    )


def test_frames_of_every_library_under_any_name() -> None:
    tools = SqlTools({"my frame": PENGUINS}, p=pl.DataFrame({"a": [1]}), t=pa.table({"a": [2]}))
    found = tools.run_sql('SELECT count(*) AS n, (SELECT a FROM p), (SELECT a FROM t) FROM "my frame"')
    assert found.iloc[0].tolist() == [3, 1, 2]
    assert tools.describe_table("my frame").startswith("DataFrame, 3 rows x 2 columns")


def test_the_names_of_a_notebook_are_looked_up_when_they_are_asked_for() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__", "penguins": PENGUINS, "_1": PENGUINS, "n": 3}
    tools = SqlTools(namespace)
    model = ScriptedModel(["ok", "ok"])
    agent = Agent(model, tools=[tools])
    agent.run("x")
    namespace["more"] = PENGUINS.head(1)
    agent.run("x")
    names = [request.tools[0].parameters["properties"]["name"] for request in model.requests]
    assert names == [{"const": "penguins", "type": "string"}, {"enum": ["penguins", "more"], "type": "string"}]
    assert tools.run_sql("SELECT count(*) AS n FROM more")["n"].tolist() == [1]


def test_history_is_the_users_own(db: Db) -> None:
    echo = FunctionModel(lambda messages, tools: "heard")
    for user, secret in (("ada", "ada's secret"), ("bob", "bob's secret"), (None, "nobody's secret")):
        Agent(echo, db=db).run(secret, user_id=user, session_id=f"of {user}")
        if user is not None:
            db.upsert_user_memory(UserMemory(user_id=user, memory=secret))
    tools = SqlTools(history=True)

    def seen(query: str, user: str | None) -> list[Any]:
        run = asked(query, tools, db=db, user_id=user, session_id=f"of {user}")
        return list(run.tools[0].value.iloc[:, 0])

    for user, own in (("ada", "ada's secret"), (None, "nobody's secret")):
        assert seen("SELECT DISTINCT input FROM runs WHERE input <> 'x'", user) == [own]
        assert seen("SELECT DISTINCT session_id FROM messages", user) == [f"of {user}"]
        assert seen("SELECT session_id FROM sessions", user) == [f"of {user}"]
        assert seen("SELECT DISTINCT session_id FROM events", user) == [f"of {user}"]
        assert seen("SELECT count(*) FROM query_table('raw_' || 'sessions')", user) == [1]
        assert seen("SELECT memory FROM memories", user) == ([own] if user else [])
        assert seen("SELECT content FROM raw_media", user) == []


def test_without_history_there_is_none(db: Db) -> None:
    Agent(FunctionModel(lambda messages, tools: "ok"), db=db).run("secret")
    run = asked("SELECT count(*) AS n FROM runs", SqlTools(penguins=PENGUINS), db=db)
    assert run.tools[0].value["n"].tolist() == [0]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("DROP TABLE penguins", "QueryError: the query is not a single read-only statement"),
        ("SELECT 1; SELECT 2", "QueryError: the query is not a single read-only statement"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled by configuration"),
        ("COPY penguins TO 'x.csv'", "QueryError: the query is not a single read-only statement"),
        ("SELECT nosuch FROM penguins", 'Referenced column "nosuch" not found'),
        ("SELECT * FROM range(1000000)", "QueryError: the query returns more than 100,000 rows; add a LIMIT"),
        ("not SQL", 'QueryError: Parser Error: syntax error at or near "not"; correct the query there'),
    ],
)
def test_what_cannot_be_asked_is_told_to_the_model(query: str, told: str) -> None:
    (made,) = asked(query, SqlTools(penguins=PENGUINS)).tools
    assert made.tool_call_error
    assert told in (made.result or "")


@pytest.mark.parametrize(
    ("history", "tables"), [(False, "penguins, _x"), (True, f"penguins, _x, {', '.join(HISTORY)}")]
)
def test_a_table_that_is_not_there_is_told_with_those_that_are(history: bool, tables: str) -> None:
    tools = SqlTools({"penguins": PENGUINS, "_x": PENGUINS}, history=history)
    for query in ("SELECT * FROM pengins", "FROM penguins JOIN pengins USING (mass)"):
        with pytest.raises(QueryError) as raised:
            tools.run_sql(query)
        assert str(raised.value) == f"there is no table 'pengins'. The tables: {tables}."
    with pytest.raises(QueryError, match="there is no table 'pengins'"):
        tools.describe_table("pengins")
    with pytest.raises(QueryError, match=r"there is no table 'x'. The tables: none\.$"):
        SqlTools().run_sql("FROM x")
    assert len(tools.run_sql("FROM _x")) == 3


def test_a_query_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(QueryError, match=r"the query was stopped after 0.05 s"):
        SqlTools(timeout_s=0.05).run_sql("SELECT count(*) FROM range(100000000) a, range(100000000) b")


def test_what_is_no_dataframe_and_names_of_the_store_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="penguins is 3; pass a pandas"):
        SqlTools(penguins=3)
    with pytest.raises(InvalidInputError, match="DataFrame 'Runs' has the name of a store table; rename it"):
        SqlTools(Runs=PENGUINS)


def test_the_demo_model_uses_both_tools() -> None:
    agent = Agent("demo", tools=[SqlTools(penguins=PENGUINS)])
    described = agent.run("Describe the penguins table")
    assert [(each.tool_name, each.tool_args) for each in described.tools] == [("describe_table", {"name": "penguins"})]
    assert "mass,DOUBLE,33.33,2,3700.0,5000.0,4350.0" in described.content
    counted = agent.run("SELECT count(*) AS n FROM penguins")
    assert [(each.tool_name, each.value["n"].tolist()) for each in counted.tools] == [("run_sql", [3])]
    assert "n\n3\n" in counted.content


def test_a_copy_of_an_agent_asks_the_same_dataframes() -> None:
    namespace = {"penguins": PENGUINS, "a_module": threading}  # A module cannot be copied.
    script = ScriptedModel([call("run_sql", query="SELECT count(*) AS n FROM penguins"), "ok"])
    copied = deepcopy(Agent(tools=SqlTools(namespace).tools))
    copied.model = script
    namespace["penguins"] = PENGUINS.head(1)
    assert copied.run("x").tools[0].value["n"].tolist() == [1]


def test_queries_of_several_calls_go_on_together() -> None:
    tools = SqlTools(penguins=PENGUINS)
    calls = [call("run_sql", query=f"SELECT {n} AS n FROM penguins LIMIT 1") for n in range(8)]
    run = Agent(ScriptedModel([calls, "ok"]), tools=[tools]).run("x")
    assert [each.value["n"].tolist() for each in run.tools] == [[n] for n in range(8)]
    assert threading.active_count() < 50
