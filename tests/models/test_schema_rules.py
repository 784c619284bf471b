"""Schemas of tools and answers without the keywords that a server refuses."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from pydantic import BaseModel

from agno_nb.models.base import ModelRequest
from agno_nb.models.openai import OpenAIChat
from agno_nb.models.openai.profiles import PROFILES, SchemaRules
from agno_nb.models.openai.schema_rules import MAX_INLINED, rewrite_schema
from agno_nb.run.output_schema import OutputSchema
from agno_nb.tools import Tool
from agno_nb.types import JsonDict, Message, ToolSpec
from tests.fakes.http import Answer, FakeServer, sse
from tests.models.asking import WEATHER, ask
from tests.models.test_strict import HINTS, function_of

GEMINI = PROFILES["google"].schema_rules
OLLAMA = PROFILES["ollama"].schema_rules
LLAMACPP = PROFILES["llamacpp"].schema_rules
TEXT, NUMBER = {"type": "string"}, {"type": "integer"}


class Leaf(BaseModel):
    kind: Literal["leaf"]
    level: Literal[1, 2] = 1


class Branch(BaseModel):
    kind: Literal["branch"]
    left: "Branch | Leaf | None" = None  # noqa: UP037
    names: dict[str, int] = {}


def gemini_problems(schema: Any, place: str = "") -> Iterator[str]:
    """Return what Gemini's endpoint says about a schema, whose form is OpenAPI's."""
    known = (
        "type format title description nullable enum items properties required minItems maxItems minLength maxLength "
    )
    known += "pattern anyOf default minimum maximum minProperties maxProperties example propertyOrdering"
    yield from (f"Unknown name {key!r} at {place!r}: Cannot find field" for key in schema.keys() - set(known.split()))
    if isinstance(schema.get("type"), list):
        yield f"{place}: Proto field is not repeating, cannot start list"
    if "enum" in schema and (schema.get("type") != "string" or any(type(each) is not str for each in schema["enum"])):
        yield f"{place}: enum: only allowed for STRING type"
    if schema.get("type") == "string" and schema.get("format", "enum") not in ("enum", "date-time"):
        yield f"{place}: only 'enum' and 'date-time' are supported for STRING type"
    if schema.get("type") == "array" and not schema.get("items"):
        yield f"{place}.items: missing field"
    for name, part in schema.get("properties", {}).items():
        yield from gemini_problems(part, f"{place}.{name}")
    for number, part in enumerate(schema.get("anyOf", [])):
        yield from gemini_problems(part, f"{place}[{number}]")
    if "items" in schema:
        yield from gemini_problems(schema["items"], f"{place}.items")


@pytest.mark.parametrize(
    ("rules", "schema", "rewritten"),
    [
        pytest.param(GEMINI, {"const": "a"}, {"type": "string", "enum": ["a"]}, id="const"),
        pytest.param(
            GEMINI, {"const": 3, "type": "integer"}, {"type": "integer", "description": "One of 3."}, id="number"
        ),
        pytest.param(
            GEMINI, {"enum": ["a", None]}, {"type": "string", "enum": ["a"], "nullable": True}, id="an enum with null"
        ),
        pytest.param(
            GEMINI,
            {"enum": [1, "a"], "description": "A level."},
            {"description": 'A level. One of 1, "a".'},
            id="an enum of several types",
        ),
        pytest.param(GEMINI, {"oneOf": [TEXT, NUMBER]}, {"anyOf": [TEXT, NUMBER]}, id="oneOf"),
        pytest.param(GEMINI, {"type": ["string", "null"]}, {"type": "string", "nullable": True}, id="nullable"),
        pytest.param(
            GEMINI,
            {"type": ["string", "integer", "null"], "description": "D"},
            {"description": "D", "anyOf": [TEXT, NUMBER, {"type": "null"}]},
            id="several types",
        ),
        pytest.param(
            GEMINI,
            {
                "type": "object",
                "additionalProperties": False,
                "propertyNames": TEXT,
                "$schema": "x",
                "minProperties": 1,
            },
            {"type": "object", "minProperties": 1},
            id="keywords of objects",
        ),
        pytest.param(GEMINI, {"type": "string", "format": "uuid"}, TEXT, id="an unknown format"),
        pytest.param(GEMINI, {"type": "array"}, {"type": "array", "items": TEXT}, id="a list of anything"),
        pytest.param(
            GEMINI,
            {"type": "object", "properties": {"const": {"const": "a"}, "$ref": {"type": "string", "not": {}}}},
            {"type": "object", "properties": {"const": {"type": "string", "enum": ["a"]}, "$ref": TEXT}},
            id="properties with the names of keywords",
        ),
        pytest.param(
            GEMINI,
            {"allOf": [{"$ref": "#/$defs/A"}], "description": "D", "$defs": {"A": TEXT}},
            {"type": "string", "description": "D"},
            id="allOf with one part",
        ),
        pytest.param(
            GEMINI,
            {
                "allOf": [
                    {"type": "object", "properties": {"a": TEXT}, "required": ["a"]},
                    {"properties": {"b": NUMBER}, "required": ["b"]},
                ]
            },
            {"type": "object", "properties": {"a": TEXT, "b": NUMBER}, "required": ["a", "b"]},
            id="allOf with several parts",
        ),
        pytest.param(
            OLLAMA,
            {"properties": {"a": {"$ref": "#/$defs/A", "description": "D"}}, "$defs": {"A": {"type": "string"}}},
            {"properties": {"a": {"type": "string", "description": "D"}}},
            id="ollama: a reference",
        ),
        pytest.param(OLLAMA, {"$ref": "#/$defs/Missing", "title": "T"}, {"title": "T"}, id="a reference to nothing"),
        pytest.param(
            LLAMACPP,
            {"properties": {"a": {"type": "string", "pattern": r"\d+", "not": {}}}, "const": 1},
            {"properties": {"a": TEXT}, "const": 1},
            id="llama.cpp: patterns",
        ),
        pytest.param(None, {"const": 1, "not": {}}, {"const": 1, "not": {}}, id="a server without rules"),
    ],
)
def test_what_is_refused_is_rewritten(rules: SchemaRules | None, schema: JsonDict, rewritten: JsonDict) -> None:
    assert rewrite_schema(schema, rules) == rewritten


def test_a_recursive_schema_ends_with_a_description() -> None:
    branch = rewrite_schema(OutputSchema(Branch).json_schema, GEMINI)

    inner, leaf, _ = branch["properties"]["left"]["anyOf"]
    assert inner == {"type": "object", "description": "Of the same form as Branch, of which it is a part."}
    assert leaf["properties"]["kind"] == {"type": "string", "enum": ["leaf"], "title": "Kind"}
    assert branch["properties"]["kind"] == {"type": "string", "enum": ["branch"], "title": "Kind"}
    assert list(gemini_problems(branch)) == []


def test_definitions_that_refer_to_each_other_do_not_grow_without_end() -> None:
    definitions = {
        f"D{n}": {"type": "object", "properties": {name: {"$ref": f"#/$defs/D{n + 1}"} for name in "ab"}}
        for n in range(40)
    }
    schema = {"$ref": "#/$defs/D0", "$defs": {**definitions, "D40": TEXT}}

    assert str(rewrite_schema(schema, GEMINI)).count("'object'") <= 2 * MAX_INLINED


@settings(max_examples=100, deadline=None)
@given(hint=HINTS)
def test_gemini_accepts_the_parameters_of_any_function(hint: Any) -> None:
    parameters = Tool(function_of({"value": (hint, inspect.Parameter.empty)}), name="f").spec.parameters

    assert list(gemini_problems(rewrite_schema(parameters, GEMINI))) == []


FINISHED = Answer(chunks=sse([{"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}]))
ANSWER = {"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]}


def sent(server: FakeServer, provider: str, **request: Any) -> JsonDict:
    server.will_say(FINISHED)
    model = OpenAIChat("m", base_url=server.base_url, provider=provider, api_key="no-key")
    assert ask(model, ModelRequest(messages=[Message(role="user", content="Hi")], **request)).whole.content == "ok"
    return dict(server.requests[-1].body)


def test_schemas_of_tools_and_answers_are_rewritten_in_a_request(server: FakeServer) -> None:
    tool = ToolSpec(name="f", description="", parameters=ANSWER)
    kind = {"type": "string", "enum": ["a"]}

    (described,) = sent(server, "google", tools=[tool])["tools"]
    answer = sent(server, "google", output_schema=ANSWER)["response_format"]["json_schema"]

    assert described["function"]["parameters"]["properties"] == {"kind": kind}
    assert answer["schema"] == {"type": "object", "properties": {"kind": kind}, "required": ["kind"]}


@pytest.mark.parametrize(
    ("provider", "alone", "with_tools"),
    [
        ("openai", "json_schema", "json_schema"),
        ("google", "json_schema", None),
        ("deepseek", "json_object", "json_object"),
        ("groq", "json_object", None),
        ("anthropic", None, None),
    ],
)
def test_a_schema_is_in_the_prompt_where_the_server_does_not_take_it(
    provider: str, alone: str | None, with_tools: str | None, server: FakeServer
) -> None:
    for tools, expected in (([], alone), ([WEATHER], with_tools)):
        body = sent(server, provider, output_schema=ANSWER, tools=tools)

        assert body.get("response_format", {}).get("type") == expected
        assert ("JSON schema" in body["messages"][0]["content"]) == (expected != "json_schema")
