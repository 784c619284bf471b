"""Output schemas."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError
from agno_nb.run.output_schema import check_json_schema
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call

# In a process of its own: here it may have been imported long before.
ASKED = """
import sys, threading
from agno_nb import Agent, FunctionModel

def answer(messages, tools):
    for thread in threading.enumerate():
        if thread.name == "agno_nb-jsonschema":
            thread.join()
    print("jsonschema" in sys.modules)
    return '{"city": "Rome"}'

assert "jsonschema" not in sys.modules
print(Agent(FunctionModel(answer)).run("Where?", output_schema={"type": "object"}).content)
"""


def test_what_checks_an_answer_is_loaded_while_the_model_is_asked(python: str) -> None:
    told = subprocess.run([python, "-c", ASKED], capture_output=True, text=True, check=False)
    assert told.stdout.splitlines() == ["True", "{'city': 'Rome'}"], told.stderr


WITH_GRAMMAR = """
import sys
from agno_nb.types import import_jsonschema

schema = {"type": "string", "format": "iri"}
jsonschema = import_jsonschema()
print(jsonschema.Draft202012Validator(schema).is_valid("no iri"), "rfc3987_syntax" in sys.modules)
checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
print([jsonschema.Draft202012Validator(schema, format_checker=checker).is_valid(text) for text in ("iri", "no iri")])
print("rfc3987_syntax" in sys.modules, import_jsonschema() is jsonschema)
"""


def test_the_slow_grammar_of_jsonschema_is_only_built_to_check_its_formats(python: str, tmp_path: Path) -> None:
    # Without `rfc3987`, which jsonschema prefers.
    (tmp_path / "rfc3987.py").write_text("raise ImportError")
    (tmp_path / "rfc3987_syntax.py").write_text(
        "print('built')\ndef is_valid_syntax(term, value): return (term, value) == ('iri', 'iri')\n"
    )
    done = subprocess.run(
        [python, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{WITH_GRAMMAR}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.splitlines(), done.stderr) == (["True False", "built", "[True, False]", "True True"], "")


class Inner(BaseModel):
    compute: Callable[[], int]


class Outer(BaseModel):
    number: int
    parts: list[Inner]


class Unfinished(BaseModel):
    part: "Nowhere"  # type: ignore[name-defined]  # noqa: F821, UP037


def within(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}, "$defs": {"Node": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"a": {"type": "int"}}, "has no keyword of JSON Schema; describe an object with these keys as"),
        ({"foo": 1}, "has no keyword of JSON Schema"),
        ({"type": "json_object"}, """output_schema['type'] is 'json_object', .*; did you mean "object"?"""),
        (within({"type": "int"}), """output_schema['properties']['a']['type'] is 'int', .*; did you mean "integer"?"""),
        (within({"type": ["string", "none"]}), "there is no JSON type 'none'; known: array, boolean, "),
        (within({"type": {"type": "string"}}), "pass one of array, boolean, .*, or a list of them"),
        (
            within({"$ref": "#/$defs/Nod"}),
            """is '#/$defs/Nod', but the schema has no 'Nod' there; did you mean "Node"?""",
        ),
        (within({"$ref": "http://example.invalid/a"}), "only references within the schema are followed"),
        (within({"$ref": 3}), "pass a reference such as '#/$defs/Name'"),
        ({"type": "object", "properties": ["a"]}, "output_schema['properties'] is ['a']; pass a dict of JSON schemas"),
        (within({"items": 3}), "output_schema['properties']['a']['items'] is 3; pass a JSON schema"),
        (within({"anyOf": {}}), "['anyOf'] is {}; pass a list of JSON schemas"),
        (within({"anyOf": [{"type": "string"}, {"type": "str"}]}), """['anyOf'][1]['type'] is 'str', .*"string"?"""),
        (within({"required": True}), "['required'] is True; pass the list of required properties"),
        (within({"enum": "ab"}), "['enum'] is 'ab'; pass a list of values"),
        (within({"minLength": "3"}), "['minLength'] is '3'; pass a number from 0"),
        (within({"maximum": True}), "['maximum'] is True; pass a number"),
        (within({"pattern": "("}), "['pattern'] is '('; pass a regular expression that Python's re module reads"),
        ({"title": {"type": "string"}}, "output_schema['title'] is {'type': 'string'}; pass a text"),
        ({"type": "json_schema", "json_schema": {"schema": {"type": "array", "items": "str"}}}, "pass a JSON schema"),
        (reduce(lambda inner, _: {"items": inner}, range(5_000), {"type": "string"}), "nested too deeply"),
        (dict, "must be a pydantic model or a JSON schema, not <class 'dict'>"),
        (Outer, "output_schema is Outer, and the field Inner.compute cannot be described to a model"),
        (Unfinished, "the field Unfinished.part cannot be described to a model"),
        (BaseModel, "output_schema is BaseModel, and it cannot be described to a model"),
    ],
)
def test_what_is_no_schema_is_refused_before_the_model_is_asked(schema: Any, message: str) -> None:
    model = ScriptedModel(["{}"])
    with pytest.raises(InvalidInputError, match=re.escape(message).replace(r"\.\*", ".*")):
        Agent(model).run("Where?", output_schema=schema)
    assert model.requests == []


@pytest.mark.parametrize(
    "schema",
    [
        {"description": "anything"},
        {"$ref": "#/$defs/Node", "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#"}}}}},
        {"definitions": {"a/b c": {"type": "object"}}, "anyOf": [{"$ref": "#/definitions/a~1b%20c"}, False]},
        {"type": ["object", "null"], "additionalProperties": True, "x-note": {"type": "int"}},
        {"allOf": [{"$ref": "#/properties/a"}, {"$ref": "#/allOf/0"}], "properties": {"a": {}}},
        {"$defs": {"A": {"$anchor": "here", "type": "object"}}, "$ref": "#here"},
        {"properties": {"type": {"type": "string"}, "items": {"items": [{"type": "null"}]}, "required": {"const": 1}}},
        {"$id": "http://example.invalid/a", "properties": {"a": {"$ref": "http://example.invalid/a"}}},
    ],
)
def test_unusual_schemas_are_schemas(schema: Any) -> None:
    check_json_schema(schema, "output_schema")


class City(BaseModel):
    name: str


@pytest.mark.parametrize("schema", [City, City.model_json_schema()], ids=["pydantic", "dict"])
@pytest.mark.parametrize("answer", ['{"name": "Rome"}', "It is Rome."], ids=["in the form", "not in the form"])
def test_an_answer_that_is_not_parsed_stays_text(schema: Any, answer: str) -> None:
    model = ScriptedModel([answer])
    db = InMemoryDb()
    run = Agent(model, output_schema=schema, parse_response=False, db=db).run("Where?")
    assert (run.content, run.content_type) == (answer, "str")
    assert [request.output_schema for request in model.requests] == [City.model_json_schema()]
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert (stored.content, stored.content_type) == (answer, "str")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_team_that_does_not_parse_answers_with_the_text_of_its_member(stream: bool) -> None:
    leader = ScriptedModel([call("delegate_task_to_member", member_id="a", task="Where?")])
    member = Agent(ScriptedModel(['{"name": "Rome"}']), name="a")
    team = Team([member], model=leader, mode="route", output_schema=City, parse_response=False)
    if stream:
        *_, last = team.run("Where?", stream=True)
        assert last.content == '{"name":"Rome"}'
    else:
        assert team.run("Where?").content == '{"name":"Rome"}'
