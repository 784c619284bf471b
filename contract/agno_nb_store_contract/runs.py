"""Runs, their messages and their tool calls."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agno_nb.db.base import Db
from agno_nb.errors import InvalidInputError
from agno_nb.types import (
    AgentSession,
    CellInfo,
    Message,
    Metrics,
    RunOutput,
    RunStatus,
    Session,
    ToolCall,
)
from agno_nb_store_contract.conversation import START, answering, begin, calling, contents, end, say


def nested(depth: int) -> Any:
    """Lists nested `depth` deep."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


class Unstorable:
    """An object that JSON cannot represent."""


LOOP: list[Any] = []
LOOP.append(LOOP)


class RunsContract:
    """Runs and their messages."""

    def test_the_runs_that_a_run_began_are_found_in_every_session(self, db: Db) -> None:
        begun = [
            say(db, text, session_id=session_id, parent_run_id="outer", created_at=place)
            for place, (text, session_id) in enumerate((("a", "s1"), ("b", "s2"), ("c", "s1")))
        ]
        say(db, "d", parent_run_id=begun[0].run_id)
        found = db.get_child_runs("outer")
        assert [(run.run_id, run.session_id, run.input) for run in found] == [
            (run.run_id, run.session_id, run.input) for run in begun
        ]
        assert [[nested.input for nested in run.nested_runs] for run in found] == [[], [], []]
        assert db.get_child_runs("nobody") == []

    def test_a_store_begins_empty(self, db: Db) -> None:
        assert db.get_session("s1") is None
        assert db.get_sessions() == []
        assert db.get_runs("s1") == []
        assert db.get_run("r1") is None
        assert db.get_messages("s1") == []
        assert db.get_session_metrics("s1") == Metrics()
        assert db.delete_session("s1") is False

    def test_a_run_comes_back_whole(self, db: Db) -> None:
        run, opened = begin(
            db,
            "How many?",
            session=Session(session_id="s1", component_id="counter-1"),
            run_id="r1",
            user_id="alice",
            component_id="counter-1",
            component_name="Counter",
            metadata={"topic": "numbers"},
            origin=CellInfo(notebook="/home/a/x.ipynb", cell_id="c", execution_count=3, cell_hash="0123456789abcdef"),
            model="m1",
            served_model="m1-2026",
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

    def test_an_answer_that_is_an_object_comes_back_as_one(self, db: Db) -> None:
        run, _ = begin(db)
        run.content, run.content_type, run.status = {"n": [1, None]}, "Numbers", RunStatus.COMPLETED
        run.ended_at = run.created_at
        db.end_run(run)
        cut_off, _ = begin(db)
        cut_off.content, cut_off.content_type, cut_off.status = '{"n": [', "Numbers", RunStatus.CANCELLED
        db.end_run(cut_off)
        assert [(r.content, r.content_type) for r in db.get_runs("s1")] == [
            ({"n": [1, None]}, "Numbers"),
            ('{"n": [', "str"),
        ]

    def test_each_message_has_a_place_of_its_own_with_or_without_a_system_message(self, db: Db) -> None:
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

    def test_the_result_of_a_call_has_the_place_of_its_call(self, db: Db) -> None:
        run, _ = begin(db)
        calls = [ToolCall(tool_call_id=each, tool_name="f", created_at=START) for each in ("c1", "c2")]
        asks = Message(role="assistant", tool_calls=calls)
        run.messages.append(asks)
        second = answering("c2", "two")
        run.messages.append(second)
        db.add_messages(run, [asks, second])
        first = answering("c1", "one")
        run.messages.insert(-1, first)
        db.add_messages(run, [first])
        end(db, run, Message(role="assistant", content="Done."))
        assert contents(db.get_messages("s1"))[2:] == [("tool", "one"), ("tool", "two"), ("assistant", "Done.")]
        assert db.verify() == []

    def test_a_partial_answer_is_replaced_by_what_is_stored_next(self, db: Db) -> None:
        run, _ = begin(db)
        system = Message(role="system", content="Be brief.")
        run.messages.insert(0, system)
        partial = Message(role="assistant", content="half", reasoning_content="hm", finish_reason="interrupted")
        db.save_partial(run, partial, [system])
        (stored,) = db.get_runs("s1")
        assert (stored.status, stored.content, stored.reasoning_content) == (RunStatus.RUNNING, "half", "hm")
        assert contents(stored.messages) == [("system", "Be brief."), ("user", "hello"), ("assistant", "half")]
        assert stored.messages[-1].finish_reason == "interrupted"
        partial.content = "half an"
        db.save_partial(run, partial)
        assert contents(db.get_messages("s1"))[2:] == [("assistant", "half an")]
        asks = calling("f")
        run.messages.append(asks)
        db.add_messages(run, [asks])
        assert contents(db.get_messages("s1"))[2:] == [("assistant", None)]
        # The partial answer may also be that of another request, and the end replaces it too.
        told = answering()
        run.messages.append(told)
        db.save_partial(run, Message(role="assistant", content="and", finish_reason="interrupted"), [told])
        end(db, run, Message(role="assistant", content="and now"))
        (ended,) = db.get_runs("s1")
        assert contents(ended.messages)[3:] == [("tool", "42"), ("assistant", "and now")]
        assert (ended.status, ended.content, ended.reasoning_content) == (RunStatus.COMPLETED, "and now", None)
        assert db.verify() == []

    @pytest.mark.parametrize("field", ["session_id", "user_id"])
    def test_an_empty_id_is_refused(self, db: Db, field: str) -> None:
        empty: dict[str, Any] = {field: ""}
        with pytest.raises(InvalidInputError, match=f"{field} is empty"):
            begin(db, **empty)
        assert db.get_sessions() == []

    def test_turns_count_up_and_attempts_count_at_their_turn(self, db: Db) -> None:
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

    def test_only_some_of_the_runs_of_a_session(self, db: Db) -> None:
        for n, text in enumerate(("a", "b", "c")):
            say(db, text, [calling("f"), answering()], created_at=START + n)
        say(db, "a2", run_index=0, created_at=START + 3)
        begin(db, "nested", nested=True, created_at=START + 4)

        def inputs(**arguments: Any) -> list[str]:
            runs = db.get_runs("s1", **arguments)
            assert all(run.messages[0].content == run.input for run in runs)
            return [run.input for run in runs]

        assert inputs() == ["a", "b", "c", "a2", "nested"]
        assert inputs(limit=2) == ["a2", "nested"]
        assert inputs(from_run_index=1) == ["b", "c"]
        assert inputs(from_run_index=0, limit=2) == ["c", "a2"]
        assert inputs(to_run_index=0) == ["a", "a2"]
        assert inputs(from_run_index=1, to_run_index=1) == ["b"]
        assert inputs(to_run_index=9, limit=1) == ["a2"]
        assert inputs(from_run_index=9) == inputs(to_run_index=-1) == inputs(limit=0) == []
        assert [call.result for call in db.get_runs("s1", from_run_index=2)[0].tools] == ["42"]
        with pytest.raises(InvalidInputError, match="limit is -1"):
            db.get_runs("s1", limit=-1)

    @pytest.mark.parametrize(
        ("state", "told"),
        [
            ({"ok": 1, "a": {"b": [1, Unstorable()]}}, r"session_state\['a'\]\['b'\]\[1\] is of type Unstorable"),
            ({"a": {(1, 2): 3}}, r"session_state\['a'\] has the key \(1, 2\) of type tuple"),
            ({2023: 1}, r"session_state has the key 2023 of type int, but JSON keys are strings, such as '2023'"),
            ({"a": [0, {"b": {1.5: 1}}]}, r"session_state\['a'\]\[1\]\['b'\] has the key 1.5 of type float"),
            ({"a": {True: 1}}, r"session_state\['a'\] has the key True of type bool"),
            ({"a": {"b": None, None: 1}}, r"session_state\['a'\] has the key None of type NoneType"),
            ({"a": nested(3_000)}, r"session_state.* is nested (too deeply|more than 200 levels deep)"),
            ({"a": nested(300)}, r"session_state.* is nested more than 200 levels deep"),
            ({"a": math.nan}, r"session_state\['a'\] is nan"),
            ({"a": LOOP}, r"session_state\['a'\]\[0\] is of type list and contains itself"),
        ],
    )
    def test_a_state_that_json_cannot_hold_is_refused_by_name(self, db: Db, state: dict[str, Any], told: str) -> None:
        run, _ = begin(db)
        answer = Message(role="assistant", content="hi")
        with pytest.raises(InvalidInputError, match=told):
            end(db, run, answer, state=state)
        assert [r.status for r in db.get_runs("s1")] == [RunStatus.RUNNING]
        assert contents(db.get_messages("s1")) == [("user", "hello")]

    @pytest.mark.parametrize(
        ("metadata", "told"),
        [
            ({"x": Unstorable()}, r"metadata\['x'\] is of type Unstorable"),
            ({"x": {2023: 1}}, r"metadata\['x'\] has the key 2023 of type int"),
        ],
    )
    def test_metadata_that_json_cannot_hold_leaves_nothing(self, db: Db, metadata: dict[str, Any], told: str) -> None:
        with pytest.raises(InvalidInputError, match=told):
            begin(db, metadata=metadata)
        assert db.get_sessions() == []

    @pytest.mark.parametrize(
        ("state", "told"),
        [
            ({"a": {2023: 1}}, r"session_state\['a'\] has the key 2023 of type int"),
            ({"a": Unstorable()}, r"session_state\['a'\] is of type Unstorable"),
            ([1], r"session_state is \[1\]; pass a dict"),
            (None, r"session_state is None; pass a dict"),
        ],
    )
    def test_a_state_from_outside_that_json_cannot_hold_changes_nothing(self, db: Db, state: Any, told: str) -> None:
        run, _ = begin(db)
        end(db, run, state={"n": 1})
        with pytest.raises(InvalidInputError, match=told):
            db.update_session_state("s1", state)
        session = db.get_session("s1")
        assert session is not None
        assert session.session_state == {"n": 1}

    def test_content_with_keys_that_are_not_text_stays_text(self, db: Db) -> None:
        run, _ = begin(db)
        run.status, run.content, run.content_type = RunStatus.COMPLETED, {2023: [{"n": 1}]}, "dict"
        db.end_run(run)
        stored = db.get_run(run.run_id)
        assert stored is not None
        assert stored.content == "{2023: [{'n': 1}]}"

    def test_runs_at_the_same_time_take_turns_of_their_own(self, db: Db) -> None:
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda n: say(db, f"{n}"), range(24)))
        assert sorted(run.run_index for run in runs if run.run_index is not None) == list(range(24))
        assert len(db.get_messages("s1")) == 48

    def test_a_store_that_was_closed_opens_again(self, db: Db) -> None:
        say(db, "x")
        assert [run.input for run in db.get_runs("s1")] == ["x"]
        db.close()
        assert [run.input for run in db.get_runs("s1")] == ["x"]

    def test_a_value_of_a_run_is_not_shared_with_the_store(self, db: Db) -> None:
        run: RunOutput = say(db, "x")
        run.messages[-1].content = "changed later"
        assert contents(db.get_messages("s1"))[-1] == ("assistant", "answer to x")
