"""Requests are valid for the strictest provider, whatever happened before."""

from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st

from agno_nb.agent.prompt import build_system_prompt, join_parts
from agno_nb.db.session_state import merge_state
from agno_nb.run.continue_run import repair_tool_pairs
from agno_nb.types import INTERRUPTED_RESULT, Message, ToolCall


def system_text(**said: Any) -> str | None:
    return join_parts(build_system_prompt(**said))


def asks(*ids: str) -> Message:
    return Message(role="assistant", tool_calls=[ToolCall(tool_call_id=i, tool_name="t") for i in ids])


def answers(id: str) -> Message:
    return Message(role="tool", content=f"result {id}", tool_call_id=id)


def shape(messages: list[Message]) -> list[tuple[str, str | None, str | None]]:
    return [(m.role, m.tool_call_id, m.content) for m in messages]


def test_what_is_paired_is_left_alone() -> None:
    user = Message(role="user", content="hello")
    messages = [user, asks("a", "b"), answers("b"), answers("a"), Message(role="assistant", content="done")]
    assert repair_tool_pairs(messages) == messages


def test_a_missing_answer_is_written_and_a_stray_one_left_out() -> None:
    messages = [answers("stray"), asks("a", "b"), answers("a"), answers("a"), Message(role="user", content="next")]
    assert shape(repair_tool_pairs(messages)) == [
        ("assistant", None, None),
        ("tool", "a", "result a"),
        ("tool", "b", INTERRUPTED_RESULT),
        ("user", None, "next"),
    ]


ids = st.sampled_from("abc")
message = st.one_of(
    st.just(Message(role="user", content="u")),
    st.just(Message(role="assistant", content="a")),
    st.lists(ids, min_size=1, max_size=3, unique=True).map(lambda names: asks(*names)),
    ids.map(answers),
)


@given(st.lists(message, max_size=12))
def test_whatever_was_said_every_call_has_its_one_answer_right_after_it(messages: list[Message]) -> None:
    result = repair_tool_pairs(messages)
    waiting: set[str] = set()
    for one in result:
        if one.role == "tool":
            assert one.tool_call_id in waiting
            waiting.remove(one.tool_call_id)
        else:
            assert not waiting
            waiting = {call.tool_call_id for call in one.tool_calls}
    assert not waiting
    assert [m for m in result if m.role != "tool"] == [m for m in messages if m.role != "tool"]


def test_the_system_message_holds_what_there_is_to_say() -> None:
    assert system_text() is None
    assert system_text(description=" ", instructions=[]) is None
    assert system_text(instructions=["One thing."]) == "One thing."
    assert (
        system_text(description="You count.", instructions=["Be brief.", "Be right."], facts=["It is noon."])
        == "You count.\n\n- Be brief.\n- Be right.\n\nIt is noon."
    )


def test_states_are_merged_key_by_key_without_sharing_anything() -> None:
    below = {"a": {"x": 1, "y": [1]}, "b": 1}
    merged = merge_state(below, {"a": {"y": [2]}}, None, {"b": {"deep": True}})
    assert merged == {"a": {"x": 1, "y": [2]}, "b": {"deep": True}}
    merged["a"]["x"] = 9
    assert below == {"a": {"x": 1, "y": [1]}, "b": 1}
