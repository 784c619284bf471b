"""A model that only reasons, and gives no answer."""

from __future__ import annotations

from typing import Any

import pytest

from agno_nb import Agent, InMemoryDb, ScriptedModel
from agno_nb.models.base import ModelResponse
from agno_nb.notebook.live import LiveAnswer
from agno_nb.testing import call
from agno_nb.types import RunEvent


class Shell:
    """Keeps what is displayed."""

    def __init__(self) -> None:
        self.display_pub = self
        self.shown: list[str] = []

    def publish(self, data: dict[str, str], *args: Any, **kwargs: Any) -> None:
        self.shown.append(data["text/html"])


@pytest.mark.parametrize(
    ("finish", "sentence"),
    [
        ("stop", "scripted only reasoned, and gave no answer; ask again"),
        (
            "length",
            "scripted only reasoned until it reached its limit of tokens, and gave no answer; raise its limit of "
            "tokens, or lower `reasoning_effort`",
        ),
    ],
)
def test_it_is_reported_and_kept(finish: str, sentence: str) -> None:
    db, shell = InMemoryDb(), Shell()
    model = ScriptedModel([ModelResponse(reasoning_content="Hmm.", finish_reason=finish)])
    answer = LiveAnswer(shell)

    events = list(Agent(model, db=db, session_id="s").run("go", stream=True, stream_events=True))
    for event in events:
        answer.feed(event)

    (reported,) = [event for event in events if event.event is RunEvent.answer_missing]
    assert (reported.content, reported.details) == (sentence, {"finish_reason": finish, "reasoning_chars": 4})
    assert "only reasoned" in shell.shown[-1]
    assert db.events_df(event="AnswerMissing")["content"].tolist() == [sentence]
    run = events[-1].run_output
    assert run is not None
    assert (run.content, run.messages[-1].reasoning_content) == ("", "Hmm.")


def test_an_answer_and_a_call_are_not_reported() -> None:
    thinking_call = ModelResponse(reasoning_content="Hmm.", tool_calls=[call("look")])
    model = ScriptedModel([thinking_call, ModelResponse(content="42", reasoning_content="Hmm."), "Hi.", ""])

    def look() -> str:
        """Look it up."""
        return "42"

    for _ in range(3):
        events = list(Agent(model, tools=[look]).run("go", stream=True, stream_events=True))
        assert RunEvent.answer_missing not in {event.event for event in events}
