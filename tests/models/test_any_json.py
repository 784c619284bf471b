"""Arbitrary JSON from servers results in an answer or an error of agno_nb."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings, strategies as st

from agno_nb.errors import ModelError
from agno_nb.models.base import Delta, ModelRequest, ModelResponse, join_characters
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.types import Message
from tests.fakes.http import sse

KEYS = [
    *["choices", "delta", "content", "tool_calls", "function", "name", "arguments", "index", "id", "finish_reason"],
    *["usage", "prompt_tokens", "prompt_tokens_details", "cost", "model", "reasoning", "refusal", "error", "code"],
    *["type", "item", "item_id", "output_index", "response", "output", "call_id", "summary", "text", "message"],
]
TYPES = [
    *["function_call", "message", "reasoning", "error"],
    *["response.output_item.added", "response.output_item.done", "response.function_call_arguments.delta"],
    *["response.function_call_arguments.done", "response.output_text.delta", "response.completed"],
    *["response.incomplete", "response.failed", "response.reasoning_summary_part.added"],
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 600),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from([*TYPES, "stop", "{", "}", "{}"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)),
    max_leaves=12,
)
PIECES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.one_of(st.integers(0, 2), JSON),
        "id": st.one_of(st.sampled_from(["", "a", "b"]), JSON),
        "function": st.fixed_dictionaries(
            {}, optional={"name": st.one_of(st.sampled_from(["f", "g"]), JSON), "arguments": JSON}
        ),
    },
)
CHUNKS = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries(
                {"delta": st.one_of(JSON, st.fixed_dictionaries({"tool_calls": st.lists(PIECES, max_size=3)}))},
                optional={"finish_reason": st.one_of(st.just("stop"), JSON)},
            ),
            max_size=2,
        )
    },
    optional={"usage": JSON, "model": JSON},
)
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES)},
    optional={
        "item": st.fixed_dictionaries({"type": st.sampled_from(TYPES)}, optional={"id": JSON, "arguments": JSON}),
        "item_id": JSON,
        "output_index": JSON,
        "delta": JSON,
        "arguments": JSON,
        "response": st.one_of(JSON, st.fixed_dictionaries({"output": st.lists(JSON, max_size=2), "usage": JSON})),
        "code": JSON,
        "message": JSON,
    },
)


class Saying(httpx2.AsyncBaseTransport):
    def __init__(self, frames: list[Any]) -> None:
        self.content = b"".join(sse(frames))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=self.content)


async def pieces(model: OpenAIModel) -> list[Delta | ModelResponse]:
    request = ModelRequest(messages=[Message(role="user", content="Hi")])
    return [piece async for piece in join_characters(model.stream(request))]


@pytest.mark.parametrize(
    ("kind", "frames"), [(OpenAIChat, CHUNKS), (OpenAIResponses, EVENTS)], ids=["chat", "responses"]
)
def test_an_answer_or_an_error_of_ours(kind: type[OpenAIModel], frames: st.SearchStrategy[Any]) -> None:
    @settings(max_examples=150, deadline=None, database=None)
    @given(st.lists(st.one_of(frames, JSON), max_size=5))
    def check(frames: list[Any]) -> None:
        model = kind("m", base_url="https://llm.example/v1", transport=Saying(frames))
        try:
            *deltas, whole = asyncio.run(pieces(model))
        except ModelError:
            return
        assert isinstance(whole, ModelResponse)
        assert "".join(delta.content for delta in deltas if isinstance(delta, Delta)) == (whole.content or "")
        assert len({call.tool_call_id for call in whole.tool_calls} - {""}) == len(whole.tool_calls)

    check()
