"""Values of the domain survive the store."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from agno_nb.agent import Agent
from agno_nb.db.encoding import to_sql
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.testing import ScriptedModel
from agno_nb.types import MAX_TOKENS, Message, Metrics, RunOutput, RunStatus, Session, ToolCall, new_id

# All characters: those beyond the first plane, NUL and lone surrogates are the ones that stores stumble over.
anything = st.text(st.characters(), max_size=40)
storable_text = anything.map(to_sql)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | storable_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(storable_text, inner, max_size=3),
    max_leaves=8,
)
json_dicts = st.dictionaries(storable_text, json_values, max_size=3)
counts = st.none() | st.integers(0, MAX_TOKENS)
seconds = st.integers(0, 2**32).map(float)
numbers = st.none() | st.floats(0, 1e9)
metrics = st.builds(
    Metrics, input_tokens=counts, output_tokens=counts, cache_read_tokens=counts, cache_write_tokens=counts,
    reasoning_tokens=counts, cost=numbers, time_to_first_token_s=numbers, duration_s=numbers,
)  # fmt: skip
tool_calls = st.builds(
    ToolCall, tool_call_id=st.builds(new_id), tool_name=storable_text, arguments=storable_text,
    extra=st.none() | json_dicts, created_at=seconds,
)  # fmt: skip
messages = st.builds(
    Message, role=st.sampled_from(["user", "assistant", "tool"]), content=st.none() | storable_text,
    reasoning_content=st.none() | storable_text, tool_calls=st.lists(tool_calls, max_size=2),
    tool_name=st.none() | storable_text, tool_call_error=st.booleans(), finish_reason=st.none() | storable_text,
    model=st.none() | storable_text, metrics=st.none() | metrics.filter(lambda m: m != Metrics()),
    provider_data=st.none() | json_dicts, created_at=seconds,
)  # fmt: skip


@pytest.fixture(scope="module")
def db() -> InMemoryDb:
    return InMemoryDb()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(messages, max_size=4), content=storable_text, state=json_dicts)
def test_a_run_comes_back_as_it_was_said(
    db: InMemoryDb, said: list[Message], content: str, state: dict[str, Any]
) -> None:
    run = RunOutput(session_id=new_id(), input=content, created_at=1.0, ended_at=2.0)
    db.open_run(run, [], session=Session(session_id=run.session_id))
    for message in said:
        message.run_id = run.run_id
    run.messages = said
    run.tools = [call for message in said for call in message.tool_calls]
    run.content, run.status = content, RunStatus.COMPLETED
    db.end_run(run, said, session_state=state)
    session = db.get_session(run.session_id)
    assert session is not None
    assert (db.get_runs(run.session_id), session.session_state) == ([run], state)


@given(anything)
def test_any_text_can_be_stored_and_what_has_no_fault_is_not_changed(text: str) -> None:
    stored = to_sql(text)
    stored.encode()
    assert "\0" not in stored
    assert to_sql(stored) == stored
    faultless = [letter for letter in text if letter != "\0" and not "\ud800" <= letter <= "\udfff"]
    if len(faultless) == len(text):
        assert stored == text


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("a\0b", "a\ufffdb"),
        ("\ud83d alone", "\ufffd alone"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("two halves: \ud83d\ude00", "two halves: 😀"),
        (None, None),
        (7, 7),
    ],
)
def test_what_a_store_cannot_hold_is_replaced(said: Any, stored: Any) -> None:
    assert to_sql(said) == stored


def test_such_text_is_found_again_by_itself(db: InMemoryDb) -> None:
    run = RunOutput(session_id="s\0\ud800", user_id="\udfff", input="\0")
    for _ in range(2):
        run.run_id, run.run_index = new_id(), None
        db.open_run(run, [], session=Session(session_id=run.session_id))
    assert [r.input for r in db.get_runs("s\0\ud800")] == ["\ufffd", "\ufffd"]
    assert len(db.runs_df(user_id="\udfff")) == 2


def test_subclasses_of_str_are_stored_as_their_text_and_redacted() -> None:
    class Lesson(str, Enum):  # noqa: UP042 - as in users' code
        PLANS = "plans"

    class Marked(str):
        __slots__ = ()

    key = "sk-proj-" + "Ab1" * 10
    db = InMemoryDb()
    agent = Agent(ScriptedModel(["Hi.", "Hi."]), db=db, session_id=Lesson.PLANS)
    agent.run(Lesson.PLANS)
    agent.run(Marked(f"my key is {key}"))
    runs = db.runs_df()
    assert runs["session_id"].tolist() == ["plans"] * 2
    assert runs["input"].tolist() == ["plans", "my key is [redacted]"]
    assert not db.messages_df()["content"].str.contains(key).any()
