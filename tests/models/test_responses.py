"""The Responses API: requests, and responses of real servers, byte for byte over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from openai.types.responses import ResponseInputItemParam
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from agno_nb.models.base import ModelRequest
from agno_nb.models.openai import OpenAIResponses
from agno_nb.types import JsonDict, Message, Metrics, ToolCall
from tests.fakes.http import Answer, FakeServer, sse_events
from tests.models.asking import WEATHER, ask

PARIS, OSLO = '{"city": "Paris"}', '{"city": "Oslo"}'


A, B = "callAAAAA", "callBBBBB"


def event(kind: str, **fields: Any) -> JsonDict:
    return {"type": f"response.{kind}", "sequence_number": 1, **fields}


def ended(kind: str = "completed", **response: Any) -> JsonDict:
    whole = {"id": "resp_1", "model": "m", "status": kind, "output": [], "usage": None, **response}
    return event(kind, response=whole)


def message(text: str, **more: Any) -> JsonDict:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content, **more}


def call(name: str, arguments: Any, call_id: str, item_id: str) -> JsonDict:
    return {
        "type": "function_call",
        "id": item_id,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": "completed",
    }


def text_events(text: str, place: int = 0) -> list[JsonDict]:
    """A message as OpenAI streams it, one word at a time."""
    empty = {**message(""), "content": [], "status": "in_progress"}
    where = {"output_index": place, "item_id": "msg_1", "content_index": 0}
    return [
        event("output_item.added", output_index=place, item=empty),
        event("content_part.added", **where, part={"type": "output_text", "text": ""}),
        *[event("output_text.delta", **where, delta=letter) for letter in text],
        event("output_text.done", **where, text=text),
        event("output_item.done", output_index=place, item=message(text)),
    ]


def call_events(item: JsonDict, place: int) -> list[JsonDict]:
    where = {"output_index": place, "item_id": item["id"]}
    half = len(item["arguments"]) // 2
    return [
        event("output_item.added", output_index=place, item={**item, "arguments": "", "status": "in_progress"}),
        event("function_call_arguments.delta", **where, delta=item["arguments"][:half]),
        event("function_call_arguments.delta", **where, delta=item["arguments"][half:]),
        event("function_call_arguments.done", **where, arguments=item["arguments"]),
        event("output_item.done", output_index=place, item=item),
    ]


def without(names: set[str], events: list[JsonDict]) -> list[JsonDict]:
    return [{key: value for key, value in one.items() if key not in names} for one in events]


REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Hmm."}],
    "encrypted_content": "c2VjcmV0",
}
CALLS = [call("get_weather", PARIS, A, "fc_1"), call("get_weather", OSLO, B, "fc_2")]
PLACES = {"output_index", "content_index", "sequence_number"}


@dataclass
class Dialect:
    who: str
    events: list[JsonDict]
    content: str | None = None
    reasoning: str | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    finish: str = "stop"
    metrics: Metrics = field(default_factory=Metrics)
    items: list[JsonDict] | None = None


DIALECTS = [
    Dialect(
        "openai: text and usage",
        [
            event("created", response={"id": "resp_1"}),
            event("in_progress", response={"id": "resp_1"}),
            *text_events("Hello"),
            ended(
                output=[message("Hello")],
                usage={
                    "input_tokens": 12,
                    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
                    "output_tokens": 7,
                    "output_tokens_details": {"reasoning_tokens": 5},
                    "total_tokens": 19,
                },
            ),
        ],
        content="Hello",
        metrics=Metrics(
            input_tokens=12, output_tokens=7, cache_read_tokens=4, cache_write_tokens=1, reasoning_tokens=5
        ),
        items=[message("Hello")],
    ),
    Dialect(
        "openai: reasoning, a commentary and parallel calls",
        [
            event("output_item.added", output_index=0, item={**REASONING, "summary": [], "encrypted_content": "half"}),
            event("reasoning_summary_part.added", output_index=0, item_id="rs_1", summary_index=0, part={}),
            event("reasoning_summary_text.delta", output_index=0, item_id="rs_1", delta="First."),
            event("reasoning_summary_part.added", output_index=0, item_id="rs_1", summary_index=1, part={}),
            event("reasoning_summary_text.delta", output_index=0, item_id="rs_1", delta="Then."),
            event("output_item.done", output_index=0, item=REASONING),
            *text_events("Let me look.", 1)[:-1],
            event("output_item.done", output_index=1, item=message("Let me look.", phase="commentary")),
            *call_events(CALLS[0], 2),
            *call_events(CALLS[1], 3),
            ended(),
        ],
        content="Let me look.",
        reasoning="First.\n\nThen.",
        calls=[("get_weather", PARIS), ("get_weather", OSLO)],
        finish="tool_calls",
        items=[REASONING, message("Let me look.", phase="commentary"), *CALLS],
    ),
    Dialect(
        "vllm, gpt-oss: the reasoning itself",
        [event("reasoning_text.delta", item_id="rs_1", delta="Hmm."), *text_events("Hello"), ended()],
        content="Hello",
        reasoning="Hmm.",
        items=[message("Hello")],
    ),
    Dialect(
        "llama-server: events without their places",
        without(PLACES, [*text_events("Hello"), *call_events(CALLS[0], 1), *call_events(CALLS[1], 2), ended()]),
        content="Hello",
        calls=[("get_weather", PARIS), ("get_weather", OSLO)],
        finish="tool_calls",
        items=[message("Hello"), *CALLS],
    ),
    Dialect(
        "items without ids are told apart by their place",
        [
            *without({"item_id"}, call_events({**CALLS[0], "id": None}, 0)),
            *call_events({**CALLS[1], "id": None}, 1),
            ended(),
        ],
        calls=[("get_weather", PARIS), ("get_weather", OSLO)],
        finish="tool_calls",
        items=[{**CALLS[0], "id": None}, {**CALLS[1], "id": None}],
    ),
    Dialect(
        "no output_item.done: the arguments come from their pieces",
        [*call_events(CALLS[0], 0)[:3], ended()],
        calls=[("get_weather", PARIS)],
        finish="tool_calls",
        items=[{**CALLS[0], "status": "in_progress"}],
    ),
    Dialect(
        "the whole answer only at the end",
        [ended(output=[message("Hello"), CALLS[0]])],
        content="Hello",
        calls=[("get_weather", PARIS)],
        finish="tool_calls",
        items=[message("Hello"), CALLS[0]],
    ),
    Dialect(
        "text in its item and in no delta",
        [event("output_item.done", output_index=0, item=message("Hello")), ended()],
        content="Hello",
        items=[message("Hello")],
    ),
    Dialect(
        "arguments as an object",
        [event("output_item.done", output_index=0, item={**CALLS[0], "arguments": {"city": "Paris"}}), ended()],
        calls=[("get_weather", PARIS)],
        finish="tool_calls",
        items=[CALLS[0]],
    ),
    Dialect(
        "null arguments",
        [event("output_item.done", output_index=0, item={**CALLS[0], "arguments": None}), ended()],
        calls=[("get_weather", "{}")],
        finish="tool_calls",
        items=[{**CALLS[0], "arguments": "{}"}],
    ),
    Dialect(
        "a refusal",
        [
            event("refusal.delta", item_id="msg_1", delta="I can"),
            event("refusal.delta", item_id="msg_1", delta="not."),
            ended(),
        ],
        content="I cannot.",
        finish="refusal",
    ),
    Dialect(
        "the answer reached its longest",
        [*text_events("Hel")[:-2], ended("incomplete", incomplete_details={"reason": "max_output_tokens"})],
        content="Hel",
        finish="length",
        items=[{**message(""), "content": [], "status": "in_progress"}],
    ),
    Dialect(
        "events that nobody knows, and what comes after the end",
        [event("sparkle.delta", delta="*"), {"type": "ping"}, *text_events("Hello"), ended(), *text_events(" again")],
        content="Hello",
        items=[message("Hello")],
    ),
]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.who)
def test_understands(dialect: Dialect, server: FakeServer) -> None:
    server.will_say(Answer(chunks=sse_events(dialect.events)))

    outcome = ask(OpenAIResponses("m", base_url=server.base_url))

    whole = outcome.whole
    assert (whole.content, whole.reasoning_content) == (dialect.content, dialect.reasoning)
    assert (outcome.text or None, outcome.reasoning or None) == (dialect.content, dialect.reasoning)
    assert [(call.tool_name, call.arguments) for call in whole.tool_calls] == dialect.calls
    assert (whole.finish_reason, whole.metrics, whole.model) == (dialect.finish, dialect.metrics, "m")
    expected = dialect.items and {"provider": server.host, "model": "m", "items": dialect.items}
    assert whole.provider_data == expected


def test_ids_that_are_missing_or_used_twice_are_replaced_in_the_items_too(server: FakeServer) -> None:
    items = [
        call("get_weather", PARIS, A, "fc_1"),
        call("get_weather", OSLO, A, "fc_2"),
        call("get_time", "", "", ""),
    ]
    server.will_say(Answer(chunks=sse_events([ended(output=items)])))

    whole = ask(OpenAIResponses("m", base_url=server.base_url)).whole

    ids = [call.tool_call_id for call in whole.tool_calls]
    assert ids[0] == A
    assert len(set(ids)) == 3
    assert all(ids)
    assert whole.provider_data is not None
    assert [item["call_id"] for item in whole.provider_data["items"]] == ids


def sent(server: FakeServer, model: OpenAIResponses, request: ModelRequest) -> dict[str, Any]:
    """Let `model` send `request`, and give the body after the SDK's own types have accepted it."""
    server.will_say(Answer(chunks=sse_events([*text_events("ok"), ended()])))
    assert ask(model, request).whole.content == "ok"
    body = server.requests[-1].body
    TypeAdapter(list[ResponseInputItemParam]).validate_python(body["input"], strict=True)
    TypeAdapter(ResponseCreateParamsStreaming).validate_python(body)
    assert server.requests[-1].path == "/v1/responses"
    return dict(body)


def conversation(provider_data: JsonDict | None = None) -> list[Message]:
    calls = [
        ToolCall(tool_call_id=A, tool_name="get_weather", arguments=PARIS),
        ToolCall(tool_call_id=B, tool_name="get_weather", arguments=OSLO),
    ]
    return [
        Message(role="system", content="Be kind."),
        Message(role="user", content="Weather?"),
        Message(role="assistant", content="Let me look.", tool_calls=calls, provider_data=provider_data),
        Message(role="tool", tool_call_id=A, content="sunny"),
        Message(role="tool", tool_call_id=B, content=None),
        Message(role="user", content="Thanks"),
    ]


NEUTRAL = [
    {"type": "message", "role": "assistant", "content": "Let me look."},
    {"type": "function_call", "call_id": A, "name": "get_weather", "arguments": PARIS},
    {"type": "function_call", "call_id": B, "name": "get_weather", "arguments": OSLO},
]


def around(items: list[JsonDict], *, is_split: bool = True) -> list[JsonDict]:
    """The input for `conversation()`, with `items` for the assistant's message."""
    results = [
        {"type": "function_call_output", "call_id": A, "output": "sunny"},
        {"type": "function_call_output", "call_id": B, "output": ""},
    ]
    return [
        {"type": "message", "role": "system", "content": "Be kind."},
        {"type": "message", "role": "user", "content": "Weather?"},
        *items[:-1],
        *results[: -1 if is_split else 0],
        items[-1],
        *results[-1 if is_split else 0 :],
        # Chat templates require an answer after the results.
        {"type": "message", "role": "assistant", "content": "(The turn ended here.)"},
        {"type": "message", "role": "user", "content": "Thanks"},
    ]


def test_a_conversation_with_tools_and_nothing_kept_by_the_provider(server: FakeServer) -> None:
    model = OpenAIResponses("m", base_url=server.base_url)

    assert sent(server, model, ModelRequest(messages=conversation(), tools=[WEATHER], allow_tool_calls=False)) == {
        "model": "m",
        "input": around(NEUTRAL),
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "tools": [
            {
                "type": "function",
                "name": "get_weather",
                "description": "Weather of a city.",
                "parameters": WEATHER.parameters,
                "strict": False,
            }
        ],
        "tool_choice": "none",
    }


def test_settings_are_sent_when_they_are_set(server: FakeServer) -> None:
    model = OpenAIResponses(
        "gpt-4.1",
        base_url=server.base_url,
        temperature=0.0,
        top_p=0.5,
        max_output_tokens=10,
        reasoning_effort="low",
        reasoning_summary="auto",
        extra_body={"user": "u"},
    )
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    request = ModelRequest(messages=[Message(role="user", content="Hi")], output_schema=schema, output_name="city")

    assert sent(server, model, request) == {
        "model": "gpt-4.1",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "stream": True,
        "store": False,
        "temperature": 0.0,
        "top_p": 0.5,
        "max_output_tokens": 10,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {
            "format": {
                "type": "json_schema",
                "name": "city",
                "strict": True,
                "schema": {**schema, "required": ["name"], "additionalProperties": False},
            }
        },
        "user": "u",
    }


COMMENTARY = message("Let me look.", phase="commentary")
RAW = [REASONING, COMMENTARY, *CALLS]


def test_raw_items_go_back_untouched_to_the_model_that_made_them(server: FakeServer) -> None:
    data = {"provider": server.host, "model": "m", "items": RAW}

    body = sent(server, OpenAIResponses("m", base_url=server.base_url), ModelRequest(messages=conversation(data)))

    assert body["input"] == around(RAW, is_split=False)


@pytest.mark.parametrize(
    "other", [{"provider": "openai"}, {"model": "n"}, {"items": [REASONING, CALLS[0]]}, {"items": []}]
)
def test_raw_items_of_another_model_or_of_other_calls_do_not(other: JsonDict, server: FakeServer) -> None:
    data = {"provider": server.host, "model": "m", "items": RAW, **other}

    body = sent(server, OpenAIResponses("m", base_url=server.base_url), ModelRequest(messages=conversation(data)))

    assert body["input"] == around(NEUTRAL)


def test_reasoning_without_its_encrypted_content_is_dropped_and_the_rest_stands_alone(server: FakeServer) -> None:
    bare = {key: value for key, value in REASONING.items() if key != "encrypted_content"}
    data = {"provider": server.host, "model": "m", "items": [bare, *RAW[1:]]}

    body = sent(server, OpenAIResponses("m", base_url=server.base_url), ModelRequest(messages=conversation(data)))

    assert body["input"] == around([{**NEUTRAL[0], "phase": "commentary"}, *NEUTRAL[1:]])
