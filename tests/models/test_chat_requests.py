"""Chat Completions requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import TypeAdapter

from agno_nb.errors import InvalidInputError
from agno_nb.models.base import Delta, ModelRequest
from agno_nb.models.openai import OpenAIChat, Profile
from agno_nb.types import Message, ToolCall, ToolSpec
from tests.fakes.http import Answer, FakeServer, sse
from tests.models.asking import WEATHER, ask

SCHEMA = {
    "title": "City",
    "type": "object",
    "properties": {"name": {"type": "string"}, "inhabitants": {"type": "integer", "default": 0}},
    "required": ["name"],
}
A, B = "callAAAAA", "callBBBBB"
FINISHED = [{"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}]


def sent(server: FakeServer, model: OpenAIChat, request: ModelRequest) -> dict[str, Any]:
    """Let `model` send `request`, and give the body after the SDK's own types have accepted it."""
    server.will_say(Answer(chunks=sse(FINISHED)))
    assert ask(model, request).whole.content == "ok"
    body = server.requests[-1].body
    TypeAdapter(list[ChatCompletionMessageParam]).validate_python(body["messages"], strict=True)
    TypeAdapter(CompletionCreateParamsStreaming).validate_python(body)
    assert server.requests[-1].path == "/v1/chat/completions"
    return dict(body)


def conversation() -> list[Message]:
    calls = [
        ToolCall(tool_call_id=A, tool_name="get_weather", arguments='{"city": "Paris"}'),
        ToolCall(tool_call_id=B, tool_name="get_weather", arguments=""),
    ]
    return [
        Message(role="system", content="Be kind."),
        Message(role="user", content="Weather?"),
        Message(role="assistant", tool_calls=calls),
        Message(role="tool", tool_call_id=A, tool_name="get_weather", content="sunny"),
        Message(role="tool", tool_call_id=B, tool_name="get_weather", content=None),
        Message(role="assistant", content="Sunny.", reasoning_content="Easy.", metrics=None),
        Message(role="user", content="Thanks"),
    ]


def called(call_id: str, arguments: str) -> dict[str, Any]:
    """A message with one call, as an unknown server is sent it."""
    function = {"name": "get_weather", "arguments": arguments}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": call_id, "type": "function", "function": function}],
    }


def test_a_conversation_with_tools(server: FakeServer) -> None:
    request = ModelRequest(messages=conversation(), tools=[WEATHER])

    assert sent(server, OpenAIChat("m", base_url=server.base_url), request) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Weather?"},
            called(A, '{"city": "Paris"}'),
            {"role": "tool", "tool_call_id": A, "content": "sunny"},
            called(B, "{}"),
            {"role": "tool", "tool_call_id": B, "content": ""},
            {"role": "assistant", "content": "Sunny."},
            {"role": "user", "content": "Thanks"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "description": "Weather of a city.",
                    "parameters": WEATHER.parameters,
                },
            }
        ],
    }


def test_settings_are_sent_when_they_are_set(server: FakeServer) -> None:
    model = OpenAIChat(
        "m",
        base_url=server.base_url,
        temperature=0.0,
        top_p=0.5,
        max_completion_tokens=10,
        seed=1,
        stop=["\n"],
        reasoning_effort="low",
        extra_body={"top_k": 5, "temperature": 0.1},
        extra_headers={"X-Team": "blue"},
    )

    assert sent(server, model, ModelRequest(messages=[Message(role="user", content="Hi")])) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.1,
        "top_p": 0.5,
        "max_tokens": 10,
        "seed": 1,
        "stop": ["\n"],
        "reasoning_effort": "low",
        "top_k": 5,
    }
    assert server.requests[-1].headers["x-team"] == "blue"


@pytest.mark.parametrize(("provider", "field"), [("openai", "max_completion_tokens"), ("ollama", "max_tokens")])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_longest_answer_has_the_name_that_the_server_knows(
    provider: str, field: str, name: str, server: FakeServer
) -> None:
    model = OpenAIChat("m", base_url=server.base_url, provider=provider, **{name: 10})

    body = sent(server, model, ModelRequest(messages=[Message(role="user", content="Hi")]))

    assert {key: value for key, value in body.items() if "token" in key} == {field: 10}


def test_two_longest_answers_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="max_tokens=1 and max_completion_tokens=2"):
        OpenAIChat("m", max_tokens=1, max_completion_tokens=2)


def test_tools_may_be_listed_but_not_called(server: FakeServer) -> None:
    request = ModelRequest(messages=conversation(), tools=[WEATHER], allow_tool_calls=False)

    assert sent(server, OpenAIChat("m", base_url=server.base_url), request)["tool_choice"] == "none"


def test_a_message_that_only_calls_tools_has_null_content_where_that_is_usual(server: FakeServer) -> None:
    model = OpenAIChat("m", base_url=server.base_url, provider="openai")

    assert sent(server, model, ModelRequest(messages=conversation()))["messages"][2]["content"] is None


def test_a_schema_is_enforced_strictly_where_it_fits(server: FakeServer) -> None:
    request = ModelRequest(messages=conversation(), output_schema=SCHEMA, output_name="city")

    assert sent(server, OpenAIChat("m", base_url=server.base_url), request)["response_format"] == {
        "type": "json_schema",
        "json_schema": {
            "name": "city",
            "strict": True,
            "schema": {
                "title": "City",
                "type": "object",
                "properties": {"name": {"type": "string"}, "inhabitants": {"type": "integer"}},
                "required": ["name", "inhabitants"],
                "additionalProperties": False,
            },
        },
    }


@pytest.mark.parametrize(
    ("strict_output", "schema"),
    [(False, SCHEMA), (True, {"type": "object", "additionalProperties": {"type": "integer"}})],
    ids=["not wanted", "does not fit"],
)
def test_else_a_schema_goes_as_it_is(strict_output: bool, schema: dict[str, Any], server: FakeServer) -> None:
    model = OpenAIChat("m", base_url=server.base_url, strict_output=strict_output)

    assert sent(server, model, ModelRequest(messages=conversation(), output_schema=schema))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": False, "schema": schema},
    }


@pytest.mark.parametrize("has_system_message", [True, False])
def test_a_server_without_schemas_and_usage_is_asked_in_words(has_system_message: bool, server: FakeServer) -> None:
    model = OpenAIChat("m", base_url=server.base_url, profile=Profile(json_schema=False, stream_usage=False))
    messages = conversation() if has_system_message else conversation()[1:]

    body = sent(server, model, ModelRequest(messages=messages, output_schema=SCHEMA))

    assert body["response_format"] == {"type": "json_object"}
    assert "stream_options" not in body
    system = [message["content"] for message in body["messages"] if message["role"] == "system"]
    assert len(system) == 1
    assert body["messages"][0]["content"] == system[0]
    assert system[0].startswith("Be kind.") == has_system_message
    assert '"inhabitants"' in system[0]


def test_a_thought_signature_goes_back_to_the_provider_that_gave_it_and_to_no_other(server: FakeServer) -> None:
    signature = {"google": {"thought_signature": "c2lnbmVk"}}
    call = {"id": A, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    frame = {"choices": [{"delta": {"tool_calls": [{**call, "extra_content": signature}]}, "finish_reason": "stop"}]}
    server.will_say(Answer(chunks=sse([frame])))
    gemini = OpenAIChat("gemini-3", base_url=server.base_url, provider="google")
    answer = ask(gemini).whole
    request = ModelRequest(
        messages=[
            Message(role="user", content="Weather?"),
            Message(role="assistant", tool_calls=answer.tool_calls),
            Message(role="tool", tool_call_id=A, content="sunny"),
        ]
    )

    echoed = sent(server, gemini, request)["messages"][1]["tool_calls"]
    elsewhere = sent(server, OpenAIChat("m", base_url=server.base_url), request)["messages"][1]["tool_calls"]

    assert echoed == [{**call, "extra_content": signature}]
    assert elsewhere == [call]


def test_an_id_that_an_earlier_answer_used_is_not_used_again(server: FakeServer) -> None:
    delta = {"tool_calls": [{"index": 0, "id": A, "function": {"name": "get_weather", "arguments": "{}"}}]}
    server.will_say(Answer(chunks=sse([{"choices": [{"delta": delta, "finish_reason": "tool_calls"}]}])))

    (call,) = ask(OpenAIChat("m", base_url=server.base_url), ModelRequest(messages=conversation())).whole.tool_calls

    assert call.tool_call_id not in ("", A, B)


def test_a_model_can_be_used_from_one_event_loop_after_another_and_by_many_tasks(server: FakeServer) -> None:
    model = OpenAIChat("m", base_url=server.base_url)
    request = ModelRequest(messages=[Message(role="user", content="Hi")])
    server.will_say(*[Answer(chunks=sse(FINISHED)) for _ in range(6)])

    async def answer() -> list[object]:
        return [piece async for piece in model.stream(request)]

    async def together() -> list[list[object]]:
        return await asyncio.gather(*(answer() for _ in range(3)))

    answers = asyncio.run(together()) + asyncio.run(together())

    assert [pieces[0] for pieces in answers] == [Delta(content="ok")] * 6
    asyncio.run(model.aclose())


@pytest.mark.parametrize("provider", ["openai", "ollama"])
def test_a_tool_is_described_strictly_where_the_server_enforces_it(provider: str, server: FakeServer) -> None:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 3}},
        "required": ["city"],
        "additionalProperties": False,
    }
    free = {"type": "object", "properties": {"any": {"type": "object", "additionalProperties": True}}}
    tools = [
        ToolSpec(name="forecast", description="", parameters=parameters),
        ToolSpec(name="free", description="", parameters=free),
    ]
    model = OpenAIChat("m", base_url=server.base_url, provider=provider, api_key="sk-test-not-a-key-0")

    first, second = sent(server, model, ModelRequest(messages=conversation(), tools=tools))["tools"]

    assert second["function"] == {"name": "free", "description": "", "parameters": free}
    if provider == "ollama":
        assert first["function"] == {"name": "forecast", "description": "", "parameters": parameters}
    else:
        assert first["function"] == {
            "name": "forecast",
            "description": "",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "days": {
                        "anyOf": [{"type": "integer"}, {"type": "null"}],
                        "description": "null stands for 3.",
                    },
                },
                "required": ["city", "days"],
                "additionalProperties": False,
            },
        }
