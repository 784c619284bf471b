"""What a list of messages as the input of a run must have. Their order in a request is in test_run_hooks."""

from __future__ import annotations

from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.errors import InvalidInputError
from agno_nb.run.runnable import Runnable
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel
from agno_nb.types import Message
from agno_nb.workflow import Workflow

ASSISTANT = Message(role="assistant", content="Hi")


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        (ASSISTANT, "the input has no message with the role 'user'"),
        ([{"role": "system", "content": "Be brief."}], "the input has no message with the role 'user'"),
        ([Message(role="user", content=" ")], r"the user's message .* is empty; pass a content"),
        ([ASSISTANT, "Hello"], "the input has 'Hello' among its messages; pass messages only"),
        ({"role": "user", "content": {"a": 1}}, r"invalid message .* in the input; pass a role"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], r"has the part .*; pass text and image_url"),
        (
            [{"role": "assistant", "content": "", "tool_calls": [{}]}, {"role": "user", "content": "Hi"}],
            r"invalid tool call \{\} in the input; pass",
        ),
    ],
    ids=["no user", "system only", "empty", "text among messages", "content", "part", "tool call"],
)
@pytest.mark.parametrize("kind", ["agent", "team"])
def test_invalid_messages_are_refused_before_the_model_is_called(kind: str, messages: Any, problem: str) -> None:
    model = ScriptedModel(["Yes."])
    runnable: Runnable = Agent(model) if kind == "agent" else Team([Agent("demo", name="a")], model=model)
    with pytest.raises(InvalidInputError, match=problem):
        runnable.run(messages)
    assert model.requests == []


def test_an_invalid_example_is_named_as_such() -> None:
    with pytest.raises(InvalidInputError, match=r"invalid message .* in additional_input; pass a role"):
        Agent("demo", additional_input=[{"role": "user", "content": 1}])


def test_a_workflow_takes_dicts_as_data_and_no_message_objects() -> None:
    shown = Workflow([lambda step_input: step_input.input])
    assert shown.run([{"role": "user", "content": "Hi"}]).content == '[{"role":"user","content":"Hi"}]'
    with pytest.raises(InvalidInputError, match="a workflow takes the user's text, got Message objects; pass a string"):
        shown.run([Message(role="user", content="Hi")])
