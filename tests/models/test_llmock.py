"""Tests against llmock, an independent server."""

from __future__ import annotations

from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.errors import (
    ContextLengthError,
    ModelConnectionError,
    ModelError,
    ModelRateLimitError,
    ModelServerError,
    ModelStreamError,
    ModelTimeoutError,
)
from agno_nb.models.base import ModelRequest
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.types import Message
from tests.models.asking import WEATHER, ask

APIS = pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses])
SENTENCE = "It is sunny in Paris, and it will stay so for the rest of the week."


@APIS
def test_an_answer_streams(kind: type[OpenAIModel], llmock: Any) -> None:
    llmock.reply(SENTENCE)

    outcome = ask(kind("gpt-4o-mini"), ModelRequest(messages=[Message(role="user", content="Weather?")]))

    whole = outcome.whole
    assert (whole.content, outcome.text, whole.finish_reason) == (SENTENCE, SENTENCE, "stop")
    assert len(outcome.deltas) > 1
    assert whole.metrics.input_tokens
    assert whole.metrics.output_tokens
    llmock.assert_resilient(strict=True)


@APIS
def test_a_tool_is_called_and_its_result_answered(kind: type[OpenAIModel], llmock: Any) -> None:
    llmock.call_tool("get_weather", {"city": "Paris"}).reply(SENTENCE)
    model = kind("gpt-4o-mini")
    messages = [Message(role="user", content="Weather?")]

    asked = ask(model, ModelRequest(messages=messages, tools=[WEATHER])).whole
    (call,) = asked.tool_calls
    messages += [
        Message(role="assistant", tool_calls=[call], provider_data=asked.provider_data),
        Message(role="tool", tool_call_id=call.tool_call_id, content="sunny"),
    ]
    answered = ask(model, ModelRequest(messages=messages, tools=[WEATHER])).whole

    assert (call.tool_name, call.tool_args, asked.finish_reason) == ("get_weather", {"city": "Paris"}, "tool_calls")
    assert answered.content == SENTENCE
    llmock.assert_resilient(strict=True)


@APIS
@pytest.mark.parametrize(
    ("fault", "settings", "error"),
    [
        ("truncate", {}, ModelStreamError),
        ("corrupt", {}, ModelStreamError),
        ("disconnect", {}, ModelConnectionError),
        ("stall", {"seconds": 1.0}, ModelTimeoutError),
    ],
)
def test_a_broken_stream(
    fault: str, settings: dict[str, Any], error: type[ModelError], kind: type[OpenAIModel], llmock: Any
) -> None:
    llmock.reply(SENTENCE)
    # Responses begins with events that hold no text.
    getattr(llmock, fault)(after_chunks=3 if kind is OpenAIChat else 6, **settings)

    outcome = ask(kind("gpt-4o-mini", timeout=0.3))

    assert type(outcome.failure) is error
    assert outcome.text
    assert SENTENCE.startswith(outcome.text)


@APIS
def test_a_limit_is_waited_for_when_it_is_short_and_told_when_it_is_long(kind: type[OpenAIModel], llmock: Any) -> None:
    llmock.rate_limit(retry_after=0.01).reply(SENTENCE)
    assert Agent(kind("gpt-4o-mini")).run("Hi").content == SENTENCE
    llmock.assert_resilient()

    llmock.reset().rate_limit(retry_after=61.0)
    with pytest.raises(ModelRateLimitError, match="asks to wait 61 seconds") as caught:
        Agent(kind("gpt-4o-mini")).run("Hi")

    assert caught.value.retry_after_s == 61.0
    assert len(llmock.requests) == 1


@APIS
def test_an_outage_and_a_conversation_that_is_too_long(kind: type[OpenAIModel], llmock: Any) -> None:
    llmock.outage()
    assert type(ask(kind("gpt-4o-mini")).failure) is ModelServerError

    llmock.reset().context_overflow()
    assert type(ask(kind("gpt-4o-mini")).failure) is ContextLengthError
