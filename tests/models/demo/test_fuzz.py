"""Whatever is sent, the response is valid and never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from jsonschema import Draft202012Validator

from agno_nb.models.base import ModelRequest
from agno_nb.models.demo.arguments import fill_schema
from agno_nb.types import Message, ToolCall, ToolSpec
from tests.models.demo.talking import NUMBER, respond, tool

PROMPTS = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            """what did I ask first last about my name is Ada Gentoo penguins heaviest remember 12 * 7 and for each
            species 4,000 summarise our conversation "quoted" 2024-01-31 in the weather forget add_x { } <b>
            how many above between 3 and 5 set to ? ! , . \n""".split(" ")
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
def test_structured_output_follows_its_schema(schema: dict[str, Any], prompt: str) -> None:
    value = json.loads(fill_schema(schema, prompt).text, parse_constant=pytest.fail)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(value)] == []


TOOLS = st.lists(
    st.builds(
        lambda name, description, properties, required: ToolSpec(
            name=name,
            description=description,
            parameters={
                "type": "object",
                "properties": properties,
                "required": sorted(set(properties) & required),
                "$defs": {"node": {"type": "string"}},
            },
        ),
        st.sampled_from(
            """describe_penguins get_weather add_memory update_memory delete_memory update_session_state chat_history
            search_past_sessions delegate_task_to_member x""".split()
        ),
        PROMPTS,
        st.dictionaries(WORDS, schemas(), max_size=4),
        st.sets(WORDS),
    ),
    max_size=4,
)
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
RESULTS = st.one_of(PROMPTS, JUNK.map(json.dumps), st.just("a,b\n1,2\n3,4"), st.just("Error: no"), st.just("{'a': 1}"))


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Messages as an agent sends them, with a result for each call."""
    messages = [Message(role="system", content=draw(PROMPTS))]
    for turn in range(draw(st.integers(0, 3))):
        messages.append(Message(role="user", content=draw(PROMPTS)))
        for place in range(draw(st.integers(0, 2))):
            arguments = draw(st.one_of(st.dictionaries(WORDS, JUNK, max_size=3).map(json.dumps), st.just("{no JSON")))
            call = ToolCall(tool_call_id=f"call_{turn}_{place}", tool_name="get_weather", arguments=arguments)
            messages.append(Message(role="assistant", tool_calls=[call]))
            messages.append(Message(role="tool", content=draw(RESULTS), tool_call_id=call.tool_call_id))
        if draw(st.booleans()):
            messages.append(Message(role="assistant", content=draw(PROMPTS)))
    if draw(st.booleans()):
        messages.append(Message(role="user", content=draw(PROMPTS)))
    return messages


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages=conversations(), tools=TOOLS, schema=st.none() | schemas(), allowed=st.booleans())
def test_any_conversation_with_any_tools_gets_a_valid_response(
    messages: list[Message], tools: list[ToolSpec], schema: dict[str, Any] | None, allowed: bool
) -> None:
    response = respond(ModelRequest(messages=messages, tools=tools, output_schema=schema, allow_tool_calls=allowed))
    assert bool(response.content) != bool(response.tool_calls)
    assert allowed or not response.tool_calls
    assert {call.tool_name for call in response.tool_calls} <= {tool.name for tool in tools}
    assert all(isinstance(json.loads(call.arguments), dict) for call in response.tool_calls)
    if schema is not None and response.content is not None:
        json.loads(response.content)


@given(
    schema=st.dictionaries(st.sampled_from(["type", "properties", "items", "enum", "$ref", "anyOf", "format"]), JUNK)
)
def test_malformed_schemas_are_tolerated(schema: dict[str, Any]) -> None:
    fill_schema(schema, "Ada is 36")


@pytest.mark.parametrize(
    "prompt",
    ["1" * 5000, "000," * 2000, "between 1.2.3 and 4..5 g", "what is " + "9" * 200 + " * 99", "<a>" * 2000, "\ud800"],
    ids=range(6),
)
def test_hostile_prompts_are_answered(prompt: str) -> None:
    request = ModelRequest(
        messages=[Message(role="user", content=f"f {prompt}")],
        tools=[tool("f", min_x=NUMBER), tool("g", "", "x", x=NUMBER)],
    )
    assert respond(request).finish_reason
