"""What every store does."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agno_nb.db.base import ContextQuery, Db
from agno_nb.errors import InvalidInputError, SessionNotFoundError, SessionOwnershipError
from agno_nb.types import (
    AgentSession,
    Message,
    Metrics,
    Origin,
    RunOutput,
    RunStatus,
    Session,
    SessionType,
    TeamSession,
)
from tests.db.conversation import START, answering, begin, calling, contents, end, say


def test_a_store_begins_empty(db: Db) -> None:
    assert db.get_session("s1") is None
    assert db.get_sessions() == []
    assert db.get_runs("s1") == []
    assert db.get_run("r1") is None
    assert db.get_messages("s1") == []
    assert db.get_session_metrics("s1") == Metrics()
    assert db.delete_session("s1") is False


def test_a_run_comes_back_whole(db: Db) -> None:
    run, opened = begin(
        db,
        "How many?",
        session=Session(session_id="s1", component_id="counter-1"),
        run_id="r1",
        user_id="alice",
        component_id="counter-1",
        component_name="Counter",
        metadata={"topic": "numbers"},
        origin=Origin(notebook="/home/a/x.ipynb", cell_id="c", execution_count=3, cell_hash="0123456789abcdef"),
        model="m1",
        model_provider="demo",
        created_at=START,
    )
    assert (run.run_index, run.attempt, opened.history) == (0, 0, [])
    system = Message(role="system", content="Count.", run_id="r1", created_at=START)
    asks = calling(
        "f",
        run_id="r1",
        reasoning_content="I must count.",
        finish_reason="tool_calls",
        model="m1-2026",
        metrics=Metrics(input_tokens=10, output_tokens=2, reasoning_tokens=1, cost=0.25, duration_s=1.5),
        provider_data={"items": [{"id": "é"}]},
        created_at=START + 1,
    )
    asks.tool_calls[0].extra = {"signature": "x"}
    run.messages = [system, *run.messages, asks]
    db.add_messages(run, [system, asks])
    answer = Message(
        role="assistant", content="42", metrics=Metrics(input_tokens=20, output_tokens=1), created_at=START
    )
    told = answering()
    told.created_at = START
    end(db, run, told, answer, state={"count": 42})

    asks.tool_calls[0].result, asks.tool_calls[0].duration_s = "42", 0.5
    run.tools = asks.tool_calls
    assert db.get_run("r1") == run
    assert db.get_run("r1", session_id="another") is None
    assert db.get_runs("s1") == [run]
    assert db.get_messages("s1") == [system, run.messages[1], asks, told, answer]
    session = db.get_session("s1")
    assert session is not None
    assert session == AgentSession(
        session_id="s1",
        user_id="alice",
        component_id="counter-1",
        session_state={"count": 42},
        created_at=session.created_at,
        updated_at=session.updated_at,
    )
    assert (session.runs, contents(session.messages)[0]) == ([run], ("system", "Count."))


def test_an_answer_that_is_an_object_comes_back_as_one(db: Db) -> None:
    run, _ = begin(db)
    run.content, run.content_type, run.status = {"n": [1, None]}, "Numbers", RunStatus.COMPLETED
    db.end_run(run)
    cut_off, _ = begin(db)
    cut_off.content, cut_off.content_type, cut_off.status = '{"n": [', "Numbers", RunStatus.CANCELLED
    db.end_run(cut_off)
    assert [(r.content, r.content_type) for r in db.get_runs("s1")] == [
        ({"n": [1, None]}, "Numbers"),
        ('{"n": [', "str"),
    ]


def test_each_message_has_a_place_of_its_own_with_or_without_a_system_message(db: Db) -> None:
    say(db, "without")
    run, _ = begin(db, "with")
    system = Message(role="system", content="Be brief.")
    run.messages.insert(0, system)
    db.add_messages(run, [system])
    end(db, run, Message(role="assistant", content="Yes."))
    places = db.arrow("SELECT message_index, role FROM messages ORDER BY created_at, message_index").to_pylist()
    assert sorted((p["message_index"], p["role"]) for p in places) == [
        (0, "system"), (1, "user"), (1, "user"), (2, "assistant"), (2, "assistant"),
    ]  # fmt: skip


@pytest.mark.parametrize(("owner", "other"), [("alice", "bob"), ("alice", None)])
def test_a_session_is_closed_to_anybody_but_its_owner(db: Db, owner: str, other: str | None) -> None:
    say(db, "mine", user_id=owner)
    before = db.get_session("s1"), db.get_runs("s1"), db.get_messages("s1")
    with pytest.raises(SessionOwnershipError, match="session 's1' belongs to user 'alice'"):
        begin(db, "let me in", user_id=other, query=ContextQuery(num_history_runs=3))
    assert (db.get_session("s1"), db.get_runs("s1"), db.get_messages("s1")) == before


def test_an_anonymous_session_is_claimed_once(db: Db) -> None:
    say(db, "nobody")
    say(db, "still nobody")
    say(db, "alice", user_id="alice")
    session = db.get_session("s1")
    assert session is not None
    assert session.user_id == "alice"
    assert [run.user_id for run in db.get_runs("s1")] == [None, None, "alice"]
    with pytest.raises(SessionOwnershipError):
        begin(db, "bob", user_id="bob")


def test_a_session_keeps_its_kind(db: Db) -> None:
    say(db, "one", session=TeamSession(session_id="s1", session_type=SessionType.TEAM))
    with pytest.raises(InvalidInputError, match="is the session of a team"):
        begin(db, "two")
    begin(db, "a member", nested=True)
    assert isinstance(db.get_session("s1"), TeamSession)
    assert db.get_session("s1", session_type="agent") is None


@pytest.mark.parametrize("field", ["session_id", "user_id"])
def test_an_empty_id_is_refused(db: Db, field: str) -> None:
    with pytest.raises(InvalidInputError, match=f"{field} is empty"):
        begin(db, **{field: ""})
    assert db.get_sessions() == []


def test_turns_count_up_and_attempts_count_at_their_turn(db: Db) -> None:
    for text in ("a", "b"):
        say(db, text)
    again = say(db, "a2", run_index=0)
    parent, _ = begin(db, "c")
    nested, _ = begin(db, "of c", nested=True, parent_run_id=parent.run_id)
    assert [(r.input, r.run_index, r.attempt) for r in db.get_runs("s1")] == [
        ("a", 0, 0), ("b", 1, 0), ("a2", 0, 1), ("c", 2, 0), ("of c", None, 0),
    ]  # fmt: skip
    assert (again.attempt, nested.parent_run_id) == (1, parent.run_id)
    assert contents(db.get_messages("s1")) == [
        ("user", "a2"), ("assistant", "answer to a2"), ("user", "b"), ("assistant", "answer to b"), ("user", "c"),
    ]  # fmt: skip
    with pytest.raises(InvalidInputError, match="no turn 9"):
        begin(db, run_index=9)


def test_the_state_of_a_session_is_kept_until_it_is_replaced(db: Db) -> None:
    run, _ = begin(db, session=AgentSession(session_id="s1", session_state={"n": 0}))
    end(db, run, state={"n": 1, "é": [None, 1.5, True]})
    assert say(db, "b").run_index == 1
    session = db.get_session("s1")
    assert session is not None
    assert session.session_state == {"n": 1, "é": [None, 1.5, True]}


def test_the_state_of_a_session_can_be_replaced_by_its_owner(db: Db) -> None:
    say(db, "a", user_id="ann", session=AgentSession(session_id="s1", session_state={"n": 0}))
    assert db.update_session_state("s1", {"n": 9}, user_id="bob") is None
    assert db.update_session_state("missing", {"n": 9}) is None
    changed = db.update_session_state("s1", {"m": [1]}, user_id="ann")
    assert changed is not None
    assert changed.session_state == {"m": [1]}
    assert changed == db.get_session("s1")


def test_only_some_of_the_runs_of_a_session(db: Db) -> None:
    for n, text in enumerate(("a", "b", "c")):
        say(db, text, [calling("f"), answering()], created_at=START + n)
    say(db, "a2", run_index=0, created_at=START + 3)
    begin(db, "nested", nested=True, created_at=START + 4)

    def inputs(**arguments: int) -> list[str]:
        runs = db.get_runs("s1", **arguments)
        assert all(run.messages[0].content == run.input for run in runs)
        return [run.input for run in runs]

    assert inputs() == ["a", "b", "c", "a2", "nested"]
    assert inputs(limit=2) == ["a2", "nested"]
    assert inputs(from_run_index=1) == ["b", "c"]
    assert inputs(from_run_index=0, limit=2) == ["c", "a2"]
    assert inputs(from_run_index=9) == inputs(limit=0) == []
    assert [call.result for call in db.get_runs("s1", from_run_index=2)[0].tools] == ["42"]
    with pytest.raises(InvalidInputError, match="limit is -1"):
        db.get_runs("s1", limit=-1)


class Unstorable:
    pass


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"ok": 1, "a": {"b": [1, Unstorable()]}}, r"session_state\['a'\]\['b'\]\[1\] is of type Unstorable"),
        ({"a": {(1, 2): 3}}, r"session_state\['a'\] has the key \(1, 2\) of type tuple"),
        ({"a": math.nan}, r"session_state\['a'\] is nan"),
        ({"a": LOOP}, r"session_state\['a'\]\[0\] is the list that it is a part of"),
    ],
)
def test_a_state_that_json_cannot_hold_is_refused_by_name(db: Db, state: dict[str, Any], told: str) -> None:
    run, _ = begin(db)
    answer = Message(role="assistant", content="hi")
    with pytest.raises(InvalidInputError, match=told):
        end(db, run, answer, state=state)
    assert [r.status for r in db.get_runs("s1")] == [RunStatus.RUNNING]
    assert contents(db.get_messages("s1")) == [("user", "hello")]


def test_metadata_that_json_cannot_hold_leaves_nothing(db: Db) -> None:
    with pytest.raises(InvalidInputError, match=r"metadata\['x'\] is of type Unstorable"):
        begin(db, metadata={"x": Unstorable()})
    assert db.get_sessions() == []


def test_a_session_that_is_deleted_during_a_run_is_told_and_leaves_no_orphans(db: Db) -> None:
    run, _ = begin(db)
    assert db.delete_session("s1")
    answer = Message(role="assistant", content="late")
    run.messages.append(answer)
    for store in (lambda: db.add_messages(run, [answer]), lambda: db.end_run(run, [answer])):
        with pytest.raises(SessionNotFoundError, match="'s1' was deleted"):
            store()
    assert [db.query(f"SELECT * FROM {t}").arrow().num_rows for t in ("sessions", "runs", "messages")] == [0, 0, 0]


def test_deleting_takes_all_rows_of_the_users_own_sessions(db: Db) -> None:
    for session_id, user_id in (("a", "alice"), ("b", "bob"), ("c", "alice"), ("d", "alice")):
        say(db, "x", [calling("f"), answering()], session_id=session_id, user_id=user_id)
    assert db.delete_session("a", user_id="bob") is False
    assert db.delete_session("a", user_id="") is False
    assert db.delete_session("a", user_id="alice") is True
    db.delete_sessions(["b", "c", "missing"], user_id="alice")
    db.delete_sessions([])
    for table in ("sessions", "runs", "messages", "tool_calls"):
        found = db.query(f"SELECT DISTINCT session_id FROM {table} ORDER BY session_id").arrow().column(0).to_pylist()
        assert found == ["b", "d"], table


def test_renaming(db: Db) -> None:
    say(db, "x", user_id="alice")
    assert db.rename_session("s1", session_name="No", user_id="bob") is None
    assert db.rename_session("s1", "team", "No") is None
    renamed = db.rename_session("s1", SessionType.AGENT, "Penguins", user_id="alice")
    assert renamed is not None
    assert renamed.session_name == "Penguins"
    assert renamed == db.get_session("s1")
    unnamed = db.rename_session("s1")
    assert unnamed is not None
    assert unnamed.session_name is None


def ids(sessions: list[Session]) -> list[str]:
    return [session.session_id for session in sessions]


def test_sessions_are_found_by_what_is_asked(db: Db) -> None:
    team = TeamSession(session_id="c", session_type=SessionType.TEAM, component_id="t")
    for session in (
        Session(session_id="a", session_name="100% Penguins Ærø", component_id="x"),
        Session(session_id="b", session_name="100 penguins_too", component_id="x"),
        team,
    ):
        say(db, "x", session=session, session_id=session.session_id, user_id="bob" if session is team else "alice")
    made = db.get_sessions()[0].created_at
    assert ids(db.get_sessions()) == ["c", "b", "a"]
    assert ids(db.get_sessions(session_type="team")) == ["c"]
    assert ids(db.get_sessions(user_id="alice", sort_order="asc")) == ["a", "b"]
    assert ids(db.get_sessions(user_id="")) == []
    assert ids(db.get_sessions(component_id="x", sort_by="session_id")) == ["b", "a"]
    assert ids(db.get_sessions(session_name="PENGUINS", sort_by="created_at", sort_order="asc")) == ["a", "b"]
    assert ids(db.get_sessions(session_name="0%")) == ids(db.get_sessions(session_name="æRØ")) == ["a"]
    assert ids(db.get_sessions(session_name="s_t")) == ["b"]
    assert ids(db.get_sessions(sort_by="session_name")) == ["a", "b", "c"]
    assert ids(db.get_sessions(start_timestamp=made, end_timestamp=made))
    assert ids(db.get_sessions(start_timestamp=made + 100)) == ids(db.get_sessions(end_timestamp=made - 100)) == []
    assert ids(db.get_sessions(limit=2)) == ["c", "b"]
    assert ids(db.get_sessions(limit=2, page=2)) == ["a"]
    say(db, "y", session_id="a", user_id="alice")
    assert ids(db.get_sessions()) == ["a", "c", "b"]


@pytest.mark.parametrize(
    "arguments", [{"sort_by": "input; DROP"}, {"sort_order": "up"}, {"page": 2}, {"page": 0, "limit": 1}, {"limit": -1},
                  {"session_type": "crew"}]
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_refused(db: Db, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        db.get_sessions(**arguments)


def test_metrics_of_a_session_are_the_sum_of_its_runs(db: Db) -> None:
    def spoken(cost: float | None) -> list[Message]:
        metrics = Metrics(input_tokens=10, output_tokens=1, cache_read_tokens=5, cost=cost)
        return [Message(role="assistant", content="x", metrics=metrics)]

    say(db, "a", spoken(0.5))
    say(db, "a2", spoken(0.25), run_index=0)
    begin(db, "running")
    end(db, begin(db, "refused key")[0], status=RunStatus.ERROR)
    assert db.get_session_metrics("s1") == Metrics(
        input_tokens=20, output_tokens=2, cache_read_tokens=10, cost=0.75, duration_s=6.0
    )
    say(db, "price unknown", spoken(None))
    assert db.get_session_metrics("s1").cost is None
    totals = db.query("SELECT num_runs, first_input, input_tokens, total_tokens, cost FROM sessions").arrow()
    assert totals.to_pylist() == [
        {"num_runs": 4, "first_input": "a2", "input_tokens": 30, "total_tokens": 33, "cost": None}
    ]


def test_runs_at_the_same_time_take_turns_of_their_own(db: Db) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda n: say(db, f"{n}"), range(24)))
    assert sorted(run.run_index for run in runs if run.run_index is not None) == list(range(24))
    assert len(db.get_messages("s1")) == 48


def test_a_store_that_was_closed_opens_again(db: Db) -> None:
    say(db, "x")
    assert [run.input for run in db.get_runs("s1")] == ["x"]
    db.close()
    assert [run.input for run in db.get_runs("s1")] == ["x"]


def test_a_value_of_a_run_is_not_shared_with_the_store(db: Db) -> None:
    run: RunOutput = say(db, "x")
    run.messages[-1].content = "changed later"
    assert contents(db.get_messages("s1"))[-1] == ("assistant", "answer to x")
