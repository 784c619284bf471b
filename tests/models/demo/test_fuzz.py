"""For any request, the answer is valid in the protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from jsonschema import Draft202012Validator
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from agno_nb.models.demo.schema import instance
from agno_nb.models.demo.wire import respond

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
PROMPTS = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            """what did I ask first last about my name is Ada Gentoo penguins heaviest double it 12 * 7 and for each
            species 4,000 summarise our conversation "quoted" 2024-01-31 which of those table joke another add_x { } <b>
            never mind how many above between 3 and 5 set to ? ! , . \n""".split(" ")
        ),
        max_size=12,
    ).map(" ".join),
)
WORDS = st.sampled_from(
    ["name", "species", "min_mass", "query", "date", "email", "is_ok", "items", "x", "column", "id"]
)


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    """Schemas that have an instance."""
    leaf = st.one_of(
        st.just({"type": "string"}),
        st.builds(
            lambda a, b: {"type": "string", "minLength": a, "maxLength": a + b}, st.integers(0, 9), st.integers(0, 9)
        ),
        st.sampled_from(["date", "date-time", "email", "uuid", "uri"]).map(lambda f: {"type": "string", "format": f}),
        st.lists(st.one_of(st.text(max_size=5), st.integers(), st.none()), min_size=1, max_size=4).map(
            lambda values: {"enum": values}
        ),
        st.builds(
            lambda kind, low, width: {"type": kind, "minimum": low, "maximum": low + width},
            st.sampled_from(["integer", "number"]),
            st.integers(-50, 50),
            st.integers(0, 9),
        ),
        st.integers(-9, 9).map(lambda low: {"type": "number", "exclusiveMinimum": low}),
        st.builds(lambda low: {"type": "integer", "minimum": low, "multipleOf": 5}, st.integers(-20, 20)),
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {}, {"const": "fixed"}, {"$ref": "#/$defs/node"}]),
        st.just({"type": ["string", "null"]}),
    )

    def inside(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        return st.one_of(
            st.builds(
                lambda properties, required: {
                    "type": "object",
                    "properties": properties,
                    "required": sorted(set(properties) & required),
                    "additionalProperties": False,
                },
                st.dictionaries(WORDS, children, max_size=4),
                st.sets(WORDS),
            ),
            st.builds(
                lambda items, least: {"type": "array", "items": items, "minItems": least}, children, st.integers(0, 3)
            ),
            children.map(lambda child: {"anyOf": [child, {"type": "null"}]}),
            st.lists(children, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
            children.map(lambda child: {"allOf": [child]}),
            st.lists(children, max_size=3).map(
                lambda parts: {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}
            ),
        )

    node = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
        "required": ["name", "children"],
    }
    return st.recursive(leaf, inside, max_leaves=8).map(lambda schema: {**schema, "$defs": {"node": node}})


@settings(max_examples=150, deadline=None)
@given(schema=schemas(), prompt=PROMPTS)
def test_a_structured_answer_is_what_its_schema_allows(schema: dict[str, Any], prompt: str) -> None:
    value = json.loads(json.dumps(instance(schema, prompt), allow_nan=False))
    assert [error.message for error in Draft202012Validator(schema).iter_errors(value)] == []


TOOLS = st.lists(
    st.builds(
        lambda name, description, properties, required: {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": sorted(set(properties) & required),
                "$defs": {"node": {"type": "string"}},
            },
        },
        st.sampled_from(
            ["describe_penguins", "get_weather", "add_memory", "update_memory", "say", "x", "chat_history"]
        ),
        PROMPTS,
        st.dictionaries(WORDS, schemas(), max_size=4),
        st.sets(WORDS),
    ),
    max_size=3,
)
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
RESULTS = st.one_of(PROMPTS, JUNK.map(json.dumps), st.just("a,b\n1,2\n3,4"), st.just("Error: no"), st.just("{'a': 1}"))


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Messages as an agent sends them: each call is answered."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": draw(PROMPTS)}]
    for turn in range(draw(st.integers(0, 3))):
        messages.append({"role": "user", "content": draw(PROMPTS)})
        for place in range(draw(st.integers(0, 2))):
            arguments = draw(st.dictionaries(WORDS, JUNK, max_size=3).map(json.dumps))
            called = {"name": "describe_penguins", "arguments": arguments}
            call_id = f"call_{turn}_{place}"
            messages.append(
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": call_id, "type": "function", "function": called}],
                }
            )
            messages.append({"role": "tool", "tool_call_id": call_id, "content": draw(RESULTS)})
        if draw(st.booleans()):
            messages.append({"role": "assistant", "content": draw(PROMPTS)})
    messages.append({"role": "user", "content": draw(PROMPTS)})
    return messages


def frames_of(body: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def answer(path: str, request: dict[str, Any]) -> bytes:
    exchange = respond("POST", path, json.dumps(request).encode())
    assert exchange.status == 200
    return b"".join(frame.data for frame in exchange.frames)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages=conversations(), tools=TOOLS, schema=st.none() | schemas(), parallel=st.booleans())
def test_chat_answers_are_valid_and_the_same_in_a_stream(
    messages: list[dict[str, Any]], tools: list[dict[str, Any]], schema: dict[str, Any] | None, parallel: bool
) -> None:
    request: dict[str, Any] = {
        "model": "demo",
        "messages": messages,
        "tools": [{"type": "function", "function": tool} for tool in tools],
        "parallel_tool_calls": parallel,
    }
    if schema is not None:
        request["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    whole = ChatCompletion.model_validate_json(answer("/v1/chat/completions", request))
    streamed = frames_of(
        answer("/v1/chat/completions", {**request, "stream": True, "stream_options": {"include_usage": True}})
    )
    chunks = [ChatCompletionChunk.model_validate(frame) for frame in streamed]
    message = whole.choices[0].message
    assert bool(message.content) != bool(message.tool_calls)
    deltas = [chunk.choices[0].delta for chunk in chunks[:-1]]
    assert "".join(delta.content or "" for delta in deltas) == (message.content or "")
    pieces: dict[int, str] = {}
    for piece in [piece for delta in deltas for piece in delta.tool_calls or []]:
        pieces[piece.index] = pieces.get(piece.index, "") + (piece.function.arguments or "" if piece.function else "")
    arguments = [call.function.arguments for call in message.tool_calls or [] if call.type == "function"]
    assert [pieces[index] for index in sorted(pieces)] == arguments
    assert all(isinstance(json.loads(text), dict) for text in arguments)
    assert {call.function.name for call in message.tool_calls or [] if call.type == "function"} <= {
        t["name"] for t in tools
    }
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    if not parallel:
        assert len(arguments) <= 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(prompt=PROMPTS, tools=TOOLS, choice=st.sampled_from(["auto", "none", "required"]))
def test_responses_answers_are_valid_and_the_same_in_a_stream(
    prompt: str, tools: list[dict[str, Any]], choice: str
) -> None:
    request: dict[str, Any] = {
        "model": "demo",
        "input": prompt,
        "tools": [{"type": "function", **tool} for tool in tools],
        "tool_choice": choice,
    }
    whole = Response.model_validate_json(answer("/v1/responses", request))
    streamed = frames_of(answer("/v1/responses", {**request, "stream": True}))
    events = [EVENT.validate_python(frame) for frame in streamed]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response == whole
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    kinds = {item.type for item in whole.output}
    if choice == "none":
        assert kinds == {"message"}
    if choice == "required" and tools:
        assert kinds == {"function_call"}


@settings(max_examples=100, deadline=None)
@given(
    body=st.dictionaries(
        st.sampled_from(["messages", "input", "tools", "tool_choice", "text", "stream", "model"]), JUNK
    )
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_fields_of_a_wrong_type_count_as_absent(path: str, body: dict[str, Any]) -> None:
    assert answer(path, body)


@pytest.mark.parametrize(
    "prompt",
    [
        "1" * 5000,
        "000," * 2000,
        "between 1.2.3 and 4..5 g",
        "what is " + "9" * 200 + " ** 99",
        "<a>" * 2000,
        "\ud800 lone",
    ],
)
def test_hostile_prompts_are_answered(prompt: str) -> None:
    tool = {"name": "f", "parameters": {"type": "object", "properties": {"min_x": {"type": "number"}}}}
    body = {"messages": [{"role": "user", "content": f"f {prompt}"}], "tools": [{"type": "function", "function": tool}]}
    assert ChatCompletion.model_validate_json(answer("/v1/chat/completions", body))
