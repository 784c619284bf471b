"""Every column of every frame has the documented value in some row."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from agno_nb.db.frame_definitions import FRAMES
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.types import (
    Annotation,
    CellInfo,
    ContextPart,
    ContextReport,
    Media,
    Message,
    Metrics,
    RunEvent,
    RunStatus,
    Session,
    SessionSummary,
    SessionType,
    StepOutput,
    StepStatus,
    ToolCall,
    UserMemory,
    Variable,
)
from agno_nb_store_contract.conversation import START, begin, end, say
from tests.test_frames import READERS

METRICS = {
    "input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 4, "cache_write_tokens": 3, "reasoning_tokens": 2,
    "cost": 0.25, "time_to_first_token_s": 0.5,
}  # fmt: skip


def at(seconds: float) -> pd.Timestamp:
    return pd.Timestamp(START + seconds, unit="s", tz="UTC")


@pytest.fixture(scope="module")
def db() -> InMemoryDb:
    """A session with two turns, the first of them tried again, and a run nested in the second; and a fork of it."""
    db = InMemoryDb()
    session = Session(
        session_id="s1", session_type=SessionType.TEAM, component_id="crew-1", session_state={"n": 1},
        metadata={"course": "ml"},
    )  # fmt: skip
    ours: dict[str, Any] = {
        "session": session, "user_id": "alice", "component_id": "crew-1", "component_name": "Crew",
        "kind": SessionType.TEAM, "model": "m", "served_model": "m-1", "model_provider": "P",
    }  # fmt: skip
    first = say(db, "a", run_id="r0", created_at=START, **ours)
    waited = Metrics(duration_s=0.5)
    db.add_event(
        first, RunEvent.model_request_retried, "Tried again.", details={"attempt": 1}, model="m", metrics=waited
    )
    run, _ = begin(
        db, "b", run_id="r1", created_at=START + 10, metadata={"k": 1},
        origin=CellInfo(notebook="/n.ipynb", cell_id="c7", execution_count=7, cell_hash="f" * 16, kernel_id="k1"),
        variables=[
            Variable(name="df", type="pandas.DataFrame", shape=(3, 1), dtypes={"a": "int64"}, hash="a" * 16, chars=9),
        ],
        **ours,
    )  # fmt: skip
    call = ToolCall(
        tool_call_id="c1", tool_name="count", arguments='{"n": 3}', extra={"sig": "x"}, created_at=START + 11
    )
    asks = Message(
        role="assistant", message_id="m1", content="I count.", reasoning_content="Hm.", tool_calls=[call],
        finish_reason="tool_calls", model="m-1", metrics=Metrics(**METRICS, duration_s=1.0), provider_data={"id": "p"},
        created_at=START + 11,
    )  # fmt: skip
    told = Message(
        role="tool", message_id="m2", tool_call_id="c1", tool_name="count", content="no", tool_call_error=True,
        metrics=Metrics(duration_s=0.1), created_at=START + 12,
    )  # fmt: skip
    seen = Message(
        role="user", message_id="m3", content="look", media=[Media(kind="image", url="http://x/y.png")],
        created_at=START + 13,
    )  # fmt: skip
    run.context_hash, run.replay_of_run_id = "e" * 64, "r0"
    run.context_report = ContextReport(parts=[ContextPart(source="prompt", chars=1)])
    run.reasoning_content, run.error_type, run.error = "Hm.", "ModelServerError", "It is down."
    end(db, run, asks, told, seen, status=RunStatus.ERROR)
    begin(
        db, "n", run_id="r2", created_at=START + 14, nested=True, parent_run_id="r1", parent_tool_call_id="c1",
        root_run_id="r1", step="count", **ours,
    )  # fmt: skip
    db.add_step(
        run,
        StepOutput(
            "three", step_name="count", path="all[1]/count", kind="team", iteration=1, input="b", stop=True,
            status=StepStatus.SKIPPED, error="It is down.", run_id="r2", duration_s=0.75, created_at=START + 14,
        ),
        4,
    )  # fmt: skip
    say(db, "a again", run_id="r3", run_index=0, created_at=START + 20, **ours)
    with db._transaction(write=True) as connection:
        stamp = int((START + 30) * 1_000_000)
        connection.execute("UPDATE raw_runs SET interrupted_at = ?, requirements = '[1]' WHERE run_id = 'r2'", [stamp])
        connection.execute("UPDATE raw_runs SET state_changes = '[2]' WHERE run_id = 'r2'")
        connection.execute("UPDATE raw_runs SET time_to_first_token_s = 0.5 WHERE run_id = 'r1'")
        # The clock of a session is the machine's.
        connection.execute("UPDATE raw_sessions SET created_at = ?, updated_at = ?", [stamp - 30_000_000, stamp])
    db.rename_session("s1", session_name="Counting")
    for version in range(2):
        db.add_summary(
            SessionSummary(
                session_id="s1", summary=f"They count, {version}.", topics=["n"], from_run_index=0, to_run_index=1,
                model="m", model_provider="P", metrics=Metrics(**METRICS, duration_s=2.0), updated_at=START + 40,
            )
        )  # fmt: skip
    db.upsert_user_memory(
        UserMemory(
            memory_id="k1", user_id="alice", memory="Counts.", topics=["n"], input="I count.", component_id="crew-1",
            created_at=START,
        )
    )  # fmt: skip
    for run_id in ("r0", "r1"):
        note = Annotation(
            run_id, annotation_id=f"a-{run_id}", label="good", score=0.5, comment="Polite.", annotated_by="bob",
            created_at=START + 45,
        )  # fmt: skip
        db.add_annotations([note])
    db.fork_session("s1")
    noted = say(db, "x", run_id="r9", session_id="s9", created_at=START + 50)
    db.add_event(
        noted, RunEvent.model_request_retried, "Trying again in 1 s.", details={"retry": 1}, model="m",
        metrics=Metrics(duration_s=1.0),
    )  # fmt: skip
    return db


SUMS = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
COMPONENT = {"component_id": "crew-1", "component_name": "Crew"}
OF_RUN = {
    "run_index": 1, "attempt": 0, "stale": True, "user_id": "alice", "component_name": "Crew",
    "session_name": "Counting", "run_model": "m",
}  # fmt: skip
# For each frame: the key of a row, and its values that are not null.
ROWS: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "sessions": [
        (
            {"session_id": "s1"},
            {
                "session_type": "team", "session_name": "Counting", "user_id": "alice", **COMPONENT, "num_runs": 2,
                "first_input": "a again", **SUMS, "known_cost": 0.25, "num_unpriced_runs": 2,
                "session_state": '{"n": 1}', "metadata": '{"course": "ml"}',
                "created_at": at(0), "last_run_at": at(20),
            },
        ),
        (
            {"forked_from_session_id": "s1"},
            {
                "forked_from_run_id": "r1", **SUMS, "num_runs": 2, "user_id": "alice", "cost": None,
                "known_cost": 0.25, "num_unpriced_runs": 1,
            },
        ),
    ],
    "runs": [
        (
            {"run_id": "r1"},
            {
                "session_id": "s1", "run_index": 1, "attempt": 0, "kind": "team", **COMPONENT, "user_id": "alice",
                "status": "ERROR", "interrupted": False, "stale": True, "input": "b", "content": "look",
                "content_type": "str", "reasoning_content": "Hm.", "model": "m", "served_model": "m-1",
                "model_provider": "P", **METRICS, "total_tokens": 15, "duration_s": 2.0,
                "error_type": "ModelServerError", "error": "It is down.",
                "notebook": "/n.ipynb", "cell_id": "c7", "execution_count": 7, "cell_hash": "f" * 16, "kernel_id": "k1",
                "context_hash": "e" * 64, "replay_of_run_id": "r0",
                "context": '{"parts": [{"source": "prompt", "chars": 1}], "left_out": []}',
                "metadata": '{"k": 1}', "created_at": at(10), "ended_at": at(12),
            },
        ),
        (
            {"run_id": "r2"},
            {
                "parent_run_id": "r1", "parent_tool_call_id": "c1", "root_run_id": "r1", "step": "count",
                "status": "RUNNING", "interrupted": True, "interrupted_at": at(30),
                "requirements": "[1]", "state_changes": "[2]", "stale": True,
                "run_index": None, "ended_at": None,
            },
        ),
        ({"run_id": "r0"}, {"superseded_by": "r3", "stale": False, "attempt": 0}),
        ({"run_id": "r3"}, {"superseded_by": None, "stale": False, "attempt": 1, "forked_from_run_id": None}),
        ({"forked_from_run_id": "r3"}, {"input": "a again", "attempt": 1, "created_at": at(20)}),
    ],
    "run_tree": [
        (
            {"run_id": "r1"},
            {
                "session_id": "s1", "root_run_id": "r1", "run_index": 1, "attempt": 0, "depth": 0, "path": "Crew",
                "kind": "team", "component_name": "Crew", "status": "ERROR", "num_nested": 1, "input_tokens": 10,
                "output_tokens": 5, "cost": 0.25, "tree_input_tokens": 10, "tree_output_tokens": 5, "tree_cost": 0.25,
                "tree_known_cost": 0.25, "num_unpriced_runs": 0,
                "duration_s": 2.0, "created_at": at(10), "ended_at": at(12),
            },
        ),
        (
            {"run_id": "r2"},
            {
                "root_run_id": "r1", "parent_run_id": "r1", "parent_tool_call_id": "c1", "step": "count", "depth": 1,
                "path": "Crew > Crew", "num_nested": 0,
            },
        ),
    ],
    "messages": [
        (
            {"message_id": "m1"},
            {
                "run_id": "r1", "session_id": "s1", "message_index": 2, "role": "assistant", "content": "I count.",
                "reasoning_content": "Hm.", "tool_call_error": None, "finish_reason": "tool_calls", "model": "m-1",
                **METRICS, "duration_s": 1.0, "provider_data": '{"id": "p"}', "num_tool_calls": 1, "num_media": 0,
                "from_history": False, **OF_RUN, "created_at": at(11),
            },
        ),
        (
            {"message_id": "m2"},
            {"role": "tool", "tool_call_id": "c1", "tool_name": "count", "tool_call_error": True, "duration_s": 0.1},
        ),
        ({"message_id": "m3"}, {"role": "user", "num_media": 1, "num_tool_calls": 0}),
        ({"run_id": "r0", "role": "user"}, {"superseded_by": "r3", "run_index": 0, "stale": False}),
    ],
    "tool_calls": [
        (
            {"tool_call_id": "c1", "session_id": "s1"},
            {
                "run_id": "r1", "message_id": "m1", "call_index": 0, "tool_name": "count", "arguments": '{"n": 3}',
                "result": "no", "tool_call_error": True, "duration_s": 0.1, "extra": '{"sig": "x"}', **OF_RUN,
                "created_at": at(11), "ended_at": at(12),
            },
        ),
    ],
    "steps": [
        (
            {"run_id": "r1"},
            {
                "session_id": "s1", "step_index": 4, "step_name": "count", "path": "all[1]/count", "kind": "team",
                "iteration": 1, "input": "b", "content": "three", "content_type": "str", "status": "SKIPPED",
                "error": "It is down.", "stop": True, "child_run_id": "r2", "duration_s": 0.75, "created_at": at(14),
            },
        ),
    ],
    "variables": [
        (
            {"run_id": "r1", "variable_index": 0},
            {
                "session_id": "s1", "name": "df", "type": "pandas.DataFrame", "shape": "[3, 1]",
                "dtypes": '{"a": "int64"}', "hash": "a" * 16, "cut": False, "chars": 9, "created_at": at(10),
            },
        ),
    ],
    "summaries": [
        (
            {"session_id": "s1", "version": 1},
            {
                "summary": "They count, 1.", "topics": '["n"]', "from_run_index": 0, "to_run_index": 1, "model": "m",
                "model_provider": "P", **METRICS, "duration_s": 2.0, "updated_at": at(40), **COMPONENT,
                "session_name": "Counting", "session_type": "team", "user_id": "alice",
            },
        ),
    ],
    "annotations": [
        (
            {"annotation_id": "a-r1"},
            {
                "run_id": "r1", "session_id": "s1", "label": "good", "score": 0.5, "comment": "Polite.",
                "annotated_by": "bob", "superseded_by": None, "created_at": at(45), **OF_RUN,
            },
        ),
        ({"annotation_id": "a-r0"}, {"run_index": 0, "superseded_by": "r3", "stale": False}),
    ],
    "memories": [
        (
            {"memory_id": "k1"},
            {
                "user_id": "alice", "memory": "Counts.", "topics": '["n"]', "input": "I count.",
                "component_id": "crew-1", "created_at": at(0),
            },
        ),
    ],
    "events": [
        (
            {"run_id": "r1", "event": "RunStarted"},
            {"session_id": "s1", "model": "m", "created_at": at(10), "duration_s": None, **OF_RUN},
        ),
        ({"run_id": "r0", "event": "RunStarted"}, {"superseded_by": "r3"}),
        (
            {"run_id": "r1", "event": "ModelRequestCompleted"},
            {
                "message_id": "m1", "model": "m-1", "input_tokens": 10, "output_tokens": 5, "cost": 0.25,
                "duration_s": 1.0, "created_at": at(11),
            },
        ),
        (
            {"run_id": "r1", "event": "ToolCallStarted"},
            {"message_id": "m1", "tool_call_id": "c1", "tool_name": "count", "created_at": at(11)},
        ),
        (
            {"run_id": "r1", "event": "ToolCallError"},
            {"message_id": "m2", "tool_call_id": "c1", "tool_name": "count", "duration_s": 0.1, "created_at": at(12)},
        ),
        (
            {"run_id": "r1", "event": "RunError"},
            {"input_tokens": 10, "cost": 0.25, "duration_s": 2.0, "created_at": at(12)},
        ),
        ({"run_id": "r2", "event": "RunStarted"}, {"parent_run_id": "r1"}),
        (
            {"run_id": "r9", "event": "ModelRequestRetried"},
            {"content": "Trying again in 1 s.", "details": '{"retry": 1}', "model": "m", "duration_s": 1.0},
        ),
    ],
}  # fmt: skip

# Times that the store takes from the clock, and what only a session whose runs are all priced has.
ELSEWHERE = {"sessions": {"updated_at", "cost"}, "memories": {"updated_at"}, "tool_calls": {"superseded_by"}}


@pytest.mark.parametrize("view", FRAMES)
def test_values_are_what_the_columns_say(db: InMemoryDb, view: str) -> None:
    frame = READERS[view](db=db)
    for key, expected in ROWS[view]:
        found = frame
        for name, value in key.items():
            found = found[found[name] == value]
        assert len(found) == 1, key
        row = found.iloc[0]
        values = {name: None if pd.isna(row[name]) else row[name] for name in expected}
        assert values == expected, key


@pytest.mark.parametrize("view", FRAMES)
def test_every_column_has_a_row_that_shows_it(view: str) -> None:
    shown = {name for key, expected in ROWS[view] for name, value in (key | expected).items() if value is not None}
    assert set(FRAMES[view].columns) - shown - ELSEWHERE.get(view, set()) == set()


@pytest.mark.parametrize("view", ["messages", "tool_calls", "events"])
def test_the_rows_of_a_run_repeat_its_columns(db: InMemoryDb, view: str) -> None:
    runs = db.runs_df().merge(db.sessions_df()[["session_id", "session_name"]], on="session_id")
    runs = runs.rename(columns={"model": "run_model"}).set_index("run_id")
    parts = READERS[view](db=db)
    assert not parts.empty
    for name in [*OF_RUN, "superseded_by"]:
        expected = runs.loc[parts["run_id"], name].reset_index(drop=True)
        pd.testing.assert_series_equal(parts[name], expected)


def test_times_of_the_clock_and_the_cost_of_a_session() -> None:
    db = InMemoryDb()
    before = pd.Timestamp.now(tz="UTC").floor("us")
    say(db, "x", [Message(role="assistant", content="y", metrics=Metrics(cost=0.5))])
    memory = db.upsert_user_memory(UserMemory(user_id="alice", memory="m"))
    after = pd.Timestamp.now(tz="UTC")
    assert before <= db.sessions_df()["updated_at"][0] <= after
    assert db.sessions_df()["cost"].tolist() == [0.5]
    assert before <= db.memories_df()["updated_at"][0] <= after
    assert memory.updated_at >= memory.created_at


def test_the_events_of_a_run_are_in_their_order(db: InMemoryDb) -> None:
    assert db.events_df(run_id="r1")["event"].tolist() == [
        "RunStarted", "ModelRequestCompleted", "ToolCallStarted", "RunError", "ToolCallError",
    ]  # fmt: skip
    assert db.events_df(session_id="s1", event="RunStarted")["run_id"].tolist() == ["r0", "r1", "r2", "r3"]
    assert db.events_df(tool_name="count", session_id="s1")["event"].tolist() == ["ToolCallStarted", "ToolCallError"]
    assert db.events_df(
        agent="Crew", user_id="alice", session_type="team", since=at(20), until=at(60), session_id="s1", limit=1
    )["event"].tolist() == ["RunCompleted"]


@pytest.mark.parametrize(
    ("status", "event"),
    [("COMPLETED", "RunCompleted"), ("PAUSED", "RunPaused"), ("CANCELLED", "RunCancelled"), ("ERROR", "RunError")],
)
def test_the_end_of_a_run_is_an_event_of_its_status(status: str, event: str) -> None:
    db = InMemoryDb()
    begin(db, "still running", session_id="s2")
    say(db, "x", status=RunStatus(status))
    assert db.events_df(session_id="s1")["event"].tolist() == ["RunStarted", "ModelRequestCompleted", event]
    assert db.events_df(session_id="s2")["event"].tolist() == ["RunStarted"]


def test_sums_over_a_store_leave_copies_out(db: InMemoryDb) -> None:
    runs = db.runs_df()
    assert runs["input_tokens"].sum() == 20
    assert runs[runs["forked_from_run_id"].isna()]["input_tokens"].sum() == 10
