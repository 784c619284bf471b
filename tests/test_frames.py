"""The store as DataFrames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from agno_nb.db import schema, set_default_db
from agno_nb.db.arrow_tables import sort_if_needed
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.frame_definitions import FRAMES
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError
from agno_nb.frames import (
    annotations_df,
    events_df,
    memories_df,
    messages_df,
    query,
    run_tree_df,
    runs_df,
    sessions_df,
    steps_df,
    summaries_df,
    tool_calls_df,
    variables_df,
)
from agno_nb.types import (
    Annotation,
    CellInfo,
    Message,
    Metrics,
    RunStatus,
    Session,
    SessionSummary,
    SessionType,
    StepOutput,
    ToolCall,
    UserMemory,
    Variable,
)
from agno_nb_store_contract.conversation import START, begin, end, say

READERS: dict[str, Callable[..., pd.DataFrame]] = {
    "sessions": sessions_df,
    "runs": runs_df,
    "run_tree": run_tree_df,
    "messages": messages_df,
    "tool_calls": tool_calls_df,
    "variables": variables_df,
    "steps": steps_df,
    "summaries": summaries_df,
    "annotations": annotations_df,
    "memories": memories_df,
    "events": events_df,
}


FRAME = Variable(name="df", type="pandas.DataFrame", shape=(3, 1), dtypes={"a": "int64"}, hash="a" * 16, chars=9)
NAME = Variable(name="name", type="str", hash="b" * 16, chars=3, cut=True)


@pytest.fixture
def db() -> InMemoryDb:
    return InMemoryDb()


def fill(db: Db) -> None:
    """Alice's session of two agents, and Bob's with a team."""
    say(db, "a", run_id="r1", user_id="alice", component_name="Ann", component_id="ann-1", created_at=START)
    run, _ = begin(
        db, "b", run_id="r2", user_id="alice", component_name="Ben", component_id="ben-1", created_at=START + 60,
        metadata={"k": 1}, variables=[FRAME, NAME],
        origin=CellInfo(notebook="/n.ipynb", cell_id="c", execution_count=2, cell_hash="f" * 16),
    )  # fmt: skip
    call = ToolCall(tool_call_id="c1", tool_name="count", created_at=START + 61)
    asks = Message(role="assistant", tool_calls=[call], metrics=Metrics(input_tokens=5, output_tokens=2, cost=0.5))
    told = Message(role="tool", tool_call_id="c1", tool_name="count", content="3", metrics=Metrics(duration_s=0.1))
    asks.created_at, told.created_at = START + 61, START + 62
    end(db, run, asks, told, Message(role="assistant", content="3", created_at=START + 63), status=RunStatus.ERROR)
    db.add_step(run, StepOutput({"n": 3}, step_name="count", path="loop[1]/count", kind="agent", iteration=1), 0)
    team = Session(session_id="s2", session_type=SessionType.TEAM)
    say(db, "c", run_id="r3", session_id="s2", session=team, user_id="bob", created_at=START + 120)
    for session_id, last in (("s1", 1), ("s1", 1), ("s2", 0)):
        summary = SessionSummary(session_id=session_id, summary="Letters.", topics=["letters"], from_run_index=0)
        db.add_summary(replace(summary, to_run_index=last, metrics=Metrics(input_tokens=9), updated_at=START + 130))
    db.add_annotations([Annotation("r3", label="good", annotated_by="alice")])
    for user_id in ("alice", "bob"):
        db.upsert_user_memory(
            UserMemory(memory_id=f"of {user_id}", user_id=user_id, memory="Likes letters.", created_at=START)
        )


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


@pytest.mark.parametrize("view", FRAMES)
@pytest.mark.parametrize("content", ["nothing", "rows", "rows without values"])
def test_columns_order_and_dtypes_do_not_depend_on_the_data(db: InMemoryDb, view: str, content: str) -> None:
    if content == "rows":
        fill(db)
    elif content == "rows without values":
        run, _ = begin(db, variables=[NAME])
        end(db, run, Message(role="assistant", tool_calls=[ToolCall(tool_call_id="c", tool_name="f")]))
        db.add_step(run, StepOutput(step_name="x"), 0)
        db.add_summary(SessionSummary(session_id="s1", summary="x"))
        db.add_annotations([Annotation(run.run_id, label="x")])
        db.upsert_user_memory(UserMemory(user_id="alice", memory="x"))
    frame = READERS[view](db=db)
    assert list(dtypes(frame).items()) == list(FRAMES[view].columns.items())
    assert frame.empty == (content == "nothing")
    assert frame.index.equals(pd.RangeIndex(len(frame)))


@pytest.mark.parametrize("view", FRAMES)
def test_a_frame_has_all_columns_of_its_view_and_each_is_described(db: InMemoryDb, view: str) -> None:
    assert db.query(f"FROM {view}").arrow().column_names == list(FRAMES[view].columns)
    assert list(schema.views()[view].columns) == list(FRAMES[view].columns)
    assert all(schema.views()[view].descriptions[column] for column in FRAMES[view].columns)


def test_every_column_of_every_table_is_described(tmp_path: Path) -> None:
    db = DuckDb(tmp_path / "t.duckdb")
    db.create()
    sql = (
        "SELECT table_name, list(column_name ORDER BY column_index) AS columns FROM duckdb_columns() "
        "WHERE database_name = 'store' GROUP BY ALL"
    )
    tables = {row["table_name"]: row["columns"] for row in db.frame(sql).to_pylist()}
    raw = {table: columns for table, columns in tables.items() if table.startswith("raw_")}
    assert set(tables) == schema.names()
    assert {name: list(view.columns) for name, view in schema.views().items()} == {
        name: columns for name, columns in tables.items() if name not in raw
    }
    assert {name: list(table.columns) for name, table in schema.tables().items()} == raw
    assert all(description for table in schema.tables().values() for description in table.descriptions.values())
    assert schema.views()["runs"].descriptions["stale"].startswith("Whether an earlier turn was rerun")


def test_a_run_is_a_row(db: InMemoryDb) -> None:
    fill(db)
    row = runs_df(db=db).iloc[1]
    given = {name: value for name, value in row.items() if not pd.isna(value)}
    assert given == {
        "run_id": "r2",
        "session_id": "s1",
        "run_index": 1,
        "attempt": 0,
        "root_run_id": "r2",
        "kind": "agent",
        "component_id": "ben-1",
        "component_name": "Ben",
        "user_id": "alice",
        "status": "ERROR",
        "interrupted": False,
        "stale": False,
        "input": "b",
        "content": "3",
        "content_type": "str",
        "input_tokens": 5,
        "output_tokens": 2,
        "total_tokens": 7,
        "cost": 0.5,
        "duration_s": 2.0,
        "notebook": "/n.ipynb",
        "cell_id": "c",
        "execution_count": 2,
        "cell_hash": "f" * 16,
        "metadata": '{"k": 1}',
        "created_at": pd.Timestamp(START + 60, unit="s", tz="UTC"),
        "ended_at": pd.Timestamp(START + 62, unit="s", tz="UTC"),
    }


def test_frames_join_by_their_ids(db: InMemoryDb) -> None:
    fill(db)
    calls = tool_calls_df(db=db).merge(runs_df(db=db), on=["run_id", "session_id"], suffixes=("", "_run"))
    assert calls[["tool_name", "result", "input"]].values.tolist() == [["count", "3", "b"]]
    joined = sessions_df(db=db).merge(runs_df(db=db, status="ERROR"), on="session_id", how="left")
    assert str(joined["run_index"].dtype) == "Int64"


@pytest.mark.parametrize(
    ("filters", "runs"),
    [
        ({}, ["r1", "r2", "r3"]),
        ({"session_id": "s1"}, ["r1", "r2"]),
        ({"session_id": ["s1", "s2"]}, ["r1", "r2", "r3"]),
        ({"session_id": pd.Series(["s2"])}, ["r3"]),
        ({"session_id": []}, []),
        ({"session_id": "s1' OR true --"}, []),
        ({"user_id": "alice"}, ["r1", "r2"]),
        ({"user_id": ""}, []),
        ({"user_id": None}, ["r1", "r2", "r3"]),
        ({"session_type": "team"}, ["r3"]),
        ({"session_type": SessionType.AGENT}, ["r1", "r2"]),
        ({"agent": "Ann"}, ["r1"]),
        ({"agent": ["ann-1", "Ben"]}, ["r1", "r2"]),
        ({"run_id": ["r1", "r3"], "user_id": "bob"}, ["r3"]),
        ({"since": datetime.fromtimestamp(START + 60, UTC)}, ["r2", "r3"]),
        ({"until": datetime.fromtimestamp(START + 60, UTC)}, ["r1"]),
        ({"since": "2023-11-14 22:14:20", "until": "2023-11-14 22:15:20"}, ["r2"]),
        ({"since": pd.Timestamp("2023-11-14 22:15:20")}, ["r3"]),
        ({"since": datetime(2023, 11, 15, 0, 15, 20, tzinfo=timezone(timedelta(hours=2)))}, ["r3"]),
        ({"since": date(2023, 11, 15)}, []),
        ({"since": pd.Timestamp("2023-11-14 22:15:20").to_numpy()}, ["r3"]),
        ({"limit": 2}, ["r2", "r3"]),
        ({"limit": 0}, []),
    ],
)
def test_filters(db: InMemoryDb, filters: dict[str, Any], runs: list[str]) -> None:
    fill(db)
    assert runs_df(db=db, **filters)["run_id"].tolist() == runs
    if "limit" not in filters and not {"since", "until"} & set(filters):
        assert messages_df(db=db, **filters)["run_id"].drop_duplicates().tolist() == runs
        assert tool_calls_df(db=db, **filters)["run_id"].tolist() == [run for run in runs if run == "r2"]


def test_filters_of_one_frame(db: InMemoryDb) -> None:
    fill(db)
    assert runs_df(db=db, status=["ERROR", "PAUSED"])["run_id"].tolist() == ["r2"]
    assert messages_df(db=db, role="tool", run_id="r2")["content"].tolist() == ["3"]
    assert tool_calls_df(db=db, tool_name="another").empty
    assert messages_df(db=db, tool_name=["another", "count"])["content"].tolist() == ["3"]
    assert sessions_df(db=db, user_id="bob")["session_id"].tolist() == ["s2"]
    assert sessions_df(db=db, agent="Ann", session_type="agent", limit=1)["num_runs"].tolist() == [2]
    assert db.messages_df(limit=2, session_id="s1")["role"].tolist() == ["tool", "assistant"]


def test_a_tree_of_runs_is_counted_over_sessions(db: InMemoryDb) -> None:
    asked, _ = begin(db, "a", run_id="r1", session_id="s1", user_id="alice", component_name="Crew")
    nested, _ = begin(
        db, "b", run_id="r2", session_id="s2", parent_run_id="r1", root_run_id="r2", component_name="Ann"
    )  # fmt: skip
    answer = Message(role="assistant", content="3", metrics=Metrics(input_tokens=5, output_tokens=2, cost=0.5))
    end(db, nested, answer)
    end(db, asked, replace(answer, message_id="m2"))
    columns = ["path", "depth", "num_nested", "tree_input_tokens", "tree_output_tokens", "tree_cost"]
    whole = [["Crew", 0, 1, 10, 4, 1.0], ["Crew > Ann", 1, 0, 5, 2, 0.5]]
    assert run_tree_df(db=db)[columns].values.tolist() == whole
    assert db.run_tree_df(session_id="s1")[columns].values.tolist() == whole[:1]
    assert db.run_tree_df(agent="Ann", root_run_id="r2", status="COMPLETED")["run_id"].tolist() == ["r2"]
    assert db.run_tree_df(user_id="alice", limit=1)["run_id"].tolist() == ["r1"]


def test_times_are_in_the_time_zone_that_is_asked_for(db: InMemoryDb) -> None:
    fill(db)
    utc = runs_df(db=db)
    for view, read in READERS.items():
        assert dtypes(read(db=db, tz="Asia/Tokyo"))[FRAMES[view].time] == "datetime64[us, Asia/Tokyo]"
        assert {"datetime64[us]"} == set(read(db=db, tz=None).select_dtypes("datetime").dtypes.astype(str))
        assert read(db=db, tz="UTC").equals(read(db=db))
    tokyo = runs_df(db=db, tz=timezone(timedelta(hours=9)))
    assert (tokyo["created_at"] == utc["created_at"]).all()
    assert runs_df(db=db, tz=None)["created_at"].tolist() == [each.replace(tzinfo=None) for each in utc["created_at"]]
    assert query("from runs", db=db).df(tz=None)["created_at"].dt.tz is None
    joined = query(
        "SELECT r.created_at, m.created_at, r.created_at AS self FROM runs AS r JOIN messages AS m USING (run_id)",
        db=db,
    )
    naive = joined.df(tz=None)
    assert list(naive.columns) == ["created_at", "created_at", "self"]
    assert {str(dtype) for dtype in naive.dtypes} == {"datetime64[us]"}
    assert {str(dtype) for dtype in joined.df().dtypes} == {"datetime64[us, UTC]"}


def test_variables_are_rows_of_their_run(db: InMemoryDb) -> None:
    fill(db)
    assert variables_df(db=db).drop(columns="created_at").values.tolist()[0] == [
        "r2", "s1", 0, "df", "pandas.DataFrame", "[3, 1]", '{"a": "int64"}', "a" * 16, False, 9,
    ]  # fmt: skip
    assert db.variables_df(name="name", user_id="alice")["variable_index"].tolist() == [1]
    assert db.variables_df(since=datetime.fromtimestamp(START + 61, UTC)).empty
    assert len(db.variables_df(until=datetime.fromtimestamp(START + 61, UTC), limit=1)) == 1


@pytest.mark.parametrize(
    ("filters", "versions"),
    [
        ({}, [("s1", 0), ("s1", 1), ("s2", 0)]),
        ({"user_id": "alice"}, [("s1", 0), ("s1", 1)]),
        ({"session_type": "team"}, [("s2", 0)]),
        ({"agent": "Ann", "session_id": "s1"}, [("s1", 0), ("s1", 1)]),
        ({"agent": "Nobody"}, []),
        ({"limit": 2}, [("s1", 1), ("s2", 0)]),
        ({"since": datetime.fromtimestamp(START + 130, UTC)}, [("s1", 0), ("s1", 1), ("s2", 0)]),
        ({"until": datetime.fromtimestamp(START + 130, UTC)}, []),
    ],
)
def test_summaries_are_chosen_by_their_session(
    db: InMemoryDb, filters: dict[str, Any], versions: list[tuple[str, int]]
) -> None:
    fill(db)
    found = db.summaries_df(**filters)
    assert list(zip(found["session_id"], found["version"], strict=True)) == versions


@pytest.mark.parametrize(
    ("filters", "users"),
    [
        ({}, ["alice", "bob"]),
        ({"user_id": "alice"}, ["alice"]),
        ({"memory_id": ["of bob"]}, ["bob"]),
        ({"agent": "Ben"}, ["carol"]),
        ({"agent": "ben-1"}, ["carol"]),
        ({"until": datetime.fromtimestamp(START, UTC)}, []),
    ],
)
def test_memories_are_chosen_by_user_and_agent(db: InMemoryDb, filters: dict[str, Any], users: list[str]) -> None:
    fill(db)
    if "agent" in filters:
        db.upsert_user_memory(UserMemory(memory="Counts.", user_id="carol", component_id="ben-1"))
    assert db.memories_df(**filters)["user_id"].tolist() == users


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ({"status": "done"}, "status is 'done'; it must be one of RUNNING, COMPLETED"),
        ({"session_type": ["agent", "crew"]}, "session_type is 'crew'"),
        ({"session_id": [3]}, "session_id contains 3"),
        ({"since": 1_700_000_000}, "since is 1700000000; pass a datetime"),
        ({"until": "yesterday-ish"}, "until is 'yesterday-ish'"),
        ({"since": pd.NaT}, "since is NaT"),
        ({"since": "1h"}, "since is '1h'; pass a datetime"),
        ({"attempts": "last"}, "attempts is 'last'; it must be 'all' or 'current'"),
        ({"tz": "Mars/North"}, "tz is 'Mars/North'; pass a name such as 'Europe/Paris', a tzinfo, or None"),
        ({"limit": -1}, "limit is -1"),
        ({"limit": "ten"}, "limit is 'ten'"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(db: InMemoryDb, filters: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        runs_df(db=db, **filters)


def test_an_unknown_filter_is_told_the_nearest_one(db: InMemoryDb) -> None:
    with pytest.raises(TypeError, match='did you mean "session_id"'):
        runs_df(db=db, sesion_id="s1")
    with pytest.raises(TypeError, match="no argument 'status'"):
        db.messages_df(status="ERROR")


def test_the_store_where_none_is_given_is_the_one_of_the_process(working_directory: Path) -> None:
    set_default_db(None)
    try:
        assert runs_df().empty
        assert query("select count(*) as n from runs").df()["n"].tolist() == [0]
        assert list(working_directory.iterdir()) == []
        say(DuckDb("agno_nb.duckdb"), "x")
        assert len(runs_df()) == 1
        set_default_db(InMemoryDb())
        assert runs_df().empty
    finally:
        set_default_db(None)


def test_runs_of_rows_that_threads_deliver_in_any_order_are_put_in_order() -> None:
    first, second, third = (
        pa.table({"at": pa.array(at, pa.int64()), "place": [0, 1]}) for at in ([1, 1], [2, 3], [None, None])
    )
    table = sort_if_needed(pa.concat_tables([third, second, first]), ["at", "place"])
    assert table["at"].to_pylist() == [1, 1, 2, 3, None, None]
    assert table["place"].to_pylist() == [0, 1, 0, 1, 0, 1]
    overlapping = pa.concat_tables([pa.table({"at": [2, 4]}), pa.table({"at": [1, 3]})])
    assert sort_if_needed(overlapping, ["at"])["at"].to_pylist() == [1, 2, 3, 4]
    assert sort_if_needed(overlapping.slice(0, 0), ["at"]).num_rows == 0
