"""Schemas sent with `strict: true` follow OpenAI's rules, and arguments are parsed into the function's types."""

from __future__ import annotations

import dataclasses
import decimal
import inspect
import typing
import uuid
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import AnyUrl, BaseModel, Field, Json, SecretStr

from agno_nb.models.base import ModelRequest
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.models.openai.profiles import PROFILES
from agno_nb.models.openai.schema import schema_fields, strict_parameters, strict_schema
from agno_nb.run.output_schema import OutputSchema
from agno_nb.tools import Tool
from agno_nb.tools.parameters import InvalidArguments
from agno_nb.types import Message, ToolCall
from tests.fakes.http import FakeServer
from tests.fakes.strict import says
from tests.fakes.strict_schema import strict_problems
from tests.models.asking import ask


class Colour(Enum):
    RED = "red"
    ONE = 1


class Level(IntEnum):
    LOW = 1


class Address(typing.TypedDict):
    street: str
    number: typing.NotRequired[int]


class Person(typing.TypedDict, total=False):
    name: typing.Required[str]
    addresses: list[Address]
    friend: "Person"  # noqa: UP037


@dataclasses.dataclass
class Point:
    x: float
    label: str | None = None


class Node(BaseModel):
    value: int = 0
    children: list["Node"] = []  # noqa: UP037


class Cat(BaseModel):
    name: str


class Dog(BaseModel):
    name: str
    barks: bool


class Kept(BaseModel):
    kind: Literal["kept"]


class Lost(BaseModel):
    kind: Literal["lost"]
    since: date


class Bounded(BaseModel):
    """A model with every constraint."""

    code: str = Field(min_length=2, max_length=3, pattern="^[a-z]+$")
    ahead: str = Field("x", json_schema_extra={"pattern": "^(?!a).*$"})
    share: float = Field(ge=0, lt=1, multiple_of=0.5)
    tags: list[str] = Field(default_factory=list, min_length=1, max_length=4)
    link: AnyUrl | None = None
    secret: SecretStr | None = None
    payload: Json[Any] | None = None
    old: int = Field(3, deprecated=True, examples=[1])


SCALARS = [
    *(str, int, float, bool, None, Any, object, list, dict, tuple, set, frozenset, bytes, Path, decimal.Decimal),
    *(datetime, date, time, timedelta, uuid.UUID, IPv4Address, IPv6Network, AnyUrl, SecretStr, Colour, Level),
    *(Literal["a", 1, None], Literal["a"], Point, Node, Cat, Bounded, Address, Person, Cat | Dog, Kept | Lost),
    *(Annotated[int, Field(gt=3)], Annotated[str, Field(max_length=3)], dict[str, Any], tuple[int, str], Json[int]),
]
FILLED: dict[str, Callable[[Any], Any]] = {
    "list": lambda hint: list[hint],
    "set": lambda hint: set[hint],
    "tuple": lambda hint: tuple[hint, ...],
    "pair": lambda hint: tuple[hint, int],
    "dict": lambda hint: dict[str, hint],
    "optional": lambda hint: Optional[hint],  # noqa: UP045
    "union": lambda hint: Union[hint, int, str],  # noqa: UP007
}
HINTS = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.builds(lambda fill, hint: FILLED[fill](hint), st.sampled_from(sorted(FILLED)), inner),
    max_leaves=3,
)
DEFAULTS = st.sampled_from(
    [
        inspect.Parameter.empty,
        None,
        3,
        "x",
        [],
        {},
        (),
        {1},
        Path("p"),
        float("inf"),
        float("nan"),
        Colour.RED,
        Colour,
    ]
)


def function_of(parameters: dict[str, tuple[Any, Any]]) -> Callable[..., Any]:
    """Make a function with these hints and defaults; a hint that is `empty` is none."""

    def function(**given: Any) -> Any:
        return given

    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)
            for name, (hint, default) in parameters.items()
        ]
    )
    return function


@settings(max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "properties", "anyOf", "enum"]),
        st.tuples(HINTS | st.just(inspect.Parameter.empty), DEFAULTS),
        max_size=3,
    )
)
def test_what_is_sent_of_a_tool_as_strict_passes(parameters: dict[str, tuple[Any, Any]]) -> None:
    schema = Tool(function_of(parameters), name="f").spec.parameters
    for azure in (False, True):
        strict = strict_parameters(schema, limited=azure)
        assert strict is None or strict_problems(strict, azure=azure) == []


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["a", "b"]), HINTS, max_size=2), st.booleans())
def test_what_is_sent_of_an_output_schema_as_strict_passes(hints: dict[str, Any], azure: bool) -> None:
    from pydantic import create_model

    from agno_nb.tools.parameters import with_known_typed_dicts

    fields: Any = {name: (with_known_typed_dicts(hint), ...) for name, hint in hints.items()}
    sent = schema_fields("x", OutputSchema(create_model("Answer", **fields)).json_schema, enforced=True, limited=azure)
    assert not sent["strict"] or strict_problems(sent["schema"], azure=azure) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "type properties items anyOf enum const $ref $defs required format pattern minimum "
                "additionalProperties title default allOf a".split()
            ),
            inner | st.sampled_from(["object", "array", "string", "#", "#/$defs/a", "#/$defs/b"]),
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(["properties", "$defs", "required", "a"]), JSON, max_size=4))
def test_any_json_at_all_is_either_not_strict_or_passes(schema: dict[str, Any]) -> None:
    for strict in (strict_schema({"type": "object", **schema}), strict_parameters({"type": "object", **schema})):
        assert strict is None or strict_problems(strict) == []


def parameters_of(hint: Any) -> dict[str, Any] | None:
    return strict_parameters(Tool(function_of({"x": (hint, inspect.Parameter.empty)}), name="f").spec.parameters)


@pytest.mark.parametrize(
    "hint",
    [
        *(inspect.Parameter.empty, Any, object, list, dict, tuple, set, dict[str, int], tuple[int, str], list[Any]),
        *(list[dict[str, Any]], Annotated[Any, "whatever"], Cat | Dog),
    ],
    ids=repr,
)
def test_what_strict_mode_cannot_say_is_not_sent_as_strict(hint: Any) -> None:
    assert parameters_of(hint) is None


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Path, {"type": "string"}),
        (bytes, {"type": "string"}),
        (set[int], {"type": "array", "items": {"type": "integer"}}),
        (datetime, {"type": "string", "format": "date-time"}),
        (timedelta, {"type": "string", "format": "duration"}),
        (AnyUrl, {"type": "string"}),
        (decimal.Decimal, {"anyOf": [{"type": "number"}, {"type": "string"}]}),
        (Annotated[str, Field(max_length=3, pattern="^a$")], {"type": "string", "pattern": "^a$"}),
        (Annotated[float, Field(ge=0)], {"type": "number", "minimum": 0}),
        (Literal["a", 1, None], {"type": ["string", "integer", "null"], "enum": ["a", 1, None]}),
        (Colour, {"$ref": "#/$defs/Colour"}),
    ],
    ids=repr,
)
def test_keywords_and_formats_that_strict_mode_does_not_know_are_dropped(hint: Any, expected: dict[str, Any]) -> None:
    strict = parameters_of(hint)
    assert strict is not None
    assert strict["properties"]["x"] == expected
    assert strict_problems(strict) == []


def test_azure_is_sent_no_constraints_and_no_more_than_it_allows() -> None:
    def f(when: datetime, share: Annotated[float, Field(ge=0)]) -> None: ...

    strict = strict_parameters(Tool(f).spec.parameters, limited=True)
    assert strict is not None
    assert strict["properties"] == {"when": {"type": "string"}, "share": {"type": "number"}}
    wide = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(101)}}
    assert (strict_schema(wide, limited=True), strict_schema(wide) is None) == (None, False)
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(6):
        deep = {"type": "object", "properties": {"a": deep}}
    assert (strict_schema(deep, limited=True), strict_schema(deep) is None) == (None, False)
    assert [name for name, profile in PROFILES.items() if profile.limited_strict] == ["azure"]


def test_limits_are_kept() -> None:
    assert strict_schema({"type": "object", "properties": {"x": {"enum": [str(i) for i in range(1_001)]}}}) is None
    assert strict_schema({"type": "object", "properties": {"x": {"enum": ["y" * 100] * 251}}}) is None
    assert strict_schema({"type": "object", "properties": {"x" * 120_001: {"type": "string"}}}) is None
    deep: Any = {"type": "string"}
    for _ in range(3_000):
        deep = {"type": "object", "properties": {"a": deep}}
    assert strict_schema(deep) is None
    # Each definition uses the next one twice: to follow every path would never end.
    chain: Any = {"d60": {"type": "string"}}
    for i in range(60):
        twice = {key: {"$ref": f"#/$defs/d{i + 1}"} for key in "ab"}
        chain[f"d{i}"] = {"type": "object", "properties": twice}
    assert strict_schema({"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": chain}) is None


def test_a_recursive_model_is_an_object_at_the_top_and_strict() -> None:
    sent = schema_fields("Node", OutputSchema(Node).json_schema, enforced=True)
    assert sent["strict"]
    assert strict_problems(sent["schema"]) == []
    assert sent["schema"]["properties"]["children"] == {
        "type": "array",
        "items": {"$ref": "#/$defs/Node"},
        "title": "Children",
    }
    loose = schema_fields("Node", OutputSchema(Node).json_schema, enforced=False)
    assert (loose["strict"], loose["schema"]["type"]) == (False, "object")


@pytest.mark.parametrize(
    ("hint", "said", "value"),
    [
        (Path, '"a/b"', Path("a/b")),
        (set[int], "[1, 1, 2]", {1, 2}),
        (bytes, '"abc"', b"abc"),
        (tuple[int, str], '[1, "a"]', (1, "a")),
        (datetime, '"2026-01-31T12:00:00"', datetime(2026, 1, 31, 12)),
        (timedelta, '"PT1M"', timedelta(minutes=1)),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Any, '{"a": [1]}', {"a": [1]}),
        (inspect.Parameter.empty, "[1]", [1]),
        (list, '[1, "a"]', [1, "a"]),
        (Union[int, str], '"7"', "7"),  # noqa: UP007
        (decimal.Decimal, '"1.50"', decimal.Decimal("1.50")),
        (Node, '{"value": 1, "children": [{"value": 2, "children": []}]}', Node(value=1, children=[Node(value=2)])),
        (Address, '{"street": "x"}', {"street": "x"}),
        (Optional[list[Address]], '[{"street": "x", "number": 2}]', [{"street": "x", "number": 2}]),  # noqa: UP045
        (Annotated[Person, "who"], '{"name": "a", "friend": {"name": "b"}}', {"name": "a", "friend": {"name": "b"}}),
    ],
    ids=repr,
)
def test_arguments_come_back_as_the_annotated_type(hint: Any, said: str, value: Any) -> None:
    tool = Tool(function_of({"x": (hint, inspect.Parameter.empty)}), name="f")
    assert tool.parameters.parse(f'{{"x": {said}}}') == {"x": value}
    assert type(tool.parameters.parse(f'{{"x": {said}}}')["x"]) is type(value)


@pytest.mark.parametrize("hint", [Address, Person, list[Person], dict[str, Address], Address | None], ids=repr)
def test_a_typed_dict_of_typing_works_on_every_python(hint: Any) -> None:
    tool = Tool(function_of({"x": (hint, inspect.Parameter.empty)}), name="f")
    definitions = tool.spec.parameters["$defs"]
    assert definitions["Address"]["required"] == ["street"]
    assert definitions.get("Person", {"required": ["name"]})["required"] == ["name"]
    with pytest.raises(InvalidArguments):
        tool.parse_arguments(ToolCall(tool_call_id="c", tool_name="f", arguments='{"x": 3}'))


def test_a_default_that_json_cannot_hold_is_not_told() -> None:
    def f(limit: float = float("inf"), low: float = float("nan"), n: int = 2) -> None: ...

    properties = Tool(f).spec.parameters["properties"]
    assert properties == {
        "limit": {"type": "number"},
        "low": {"type": "number"},
        "n": {"type": "integer", "default": 2},
    }


def test_null_does_not_stand_for_a_default_where_it_is_a_value() -> None:
    def f(n: int | None = 5) -> int | None:
        return n

    strict = strict_parameters(Tool(f).spec.parameters)
    assert strict is not None
    assert strict["properties"]["n"]["description"] == "The default is 5."
    assert Tool(f).parameters.parse('{"n": null}') == {"n": None}


@pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses])
def test_on_the_wire(kind: type[OpenAIModel], server: FakeServer) -> None:
    def loose(anything, some: list, where: Path = Path("x")) -> None: ...  # type: ignore[no-untyped-def, type-arg]
    def tight(where: Path, tags: set[str]) -> None: ...

    class Answer(BaseModel):
        where: Path
        data: list[Any]

    server.will_say(says("{}"))
    request = ModelRequest(
        messages=[Message(role="user", content="x")],
        tools=[Tool(loose).spec, Tool(tight).spec],
        output_schema=OutputSchema(Answer).json_schema,
    )
    model = kind("m", base_url=server.base_url, provider="openai", api_key="k" * 10)
    ask(model, request)

    body = server.requests[0].body
    tools = [tool.get("function", tool) for tool in body["tools"]]
    assert [bool(tool.get("strict")) for tool in tools] == [False, True]
    assert strict_problems(tools[1]["parameters"]) == []
    form = body["response_format"]["json_schema"] if kind is OpenAIChat else body["text"]["format"]
    assert form["strict"] is False
