"""Schemas of parameters, and parsing of arguments written by models."""

from __future__ import annotations

import functools
import json
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, Field
from typing_extensions import Doc

from agno_nb.errors import InvalidInputError
from agno_nb.models.openai.schema import strict_parameters
from agno_nb.tools import Tool
from agno_nb.types import ToolCall
from tests.tools.samples import Box, Point, Size, called

if TYPE_CHECKING:
    from nowhere import Nothing


def properties(function: Any) -> dict[str, Any]:
    schema = Tool(function).spec.parameters["properties"]
    assert isinstance(schema, dict)
    return schema


def everything(
    when: datetime,
    day: date,
    pair: tuple[int, str],
    tags: set[str],
    boxes: list[Box],
    nested: dict[str, list[Point | None]],
    size: Size | Literal["any"] = Size.SMALL,
    maybe: float | None = None,
) -> Any:
    return when, day, pair, tags, boxes, nested, size, maybe


def test_every_kind_of_hint_is_described_and_filled() -> None:
    given_ = {
        "when": "2026-01-02T03:04:05",
        "day": "2026-01-02",
        "pair": [1, "x"],
        "tags": ["a", "a"],
        "boxes": [{"width": "3", "corner": {"x": 1}}],
        "nested": {"k": [{"x": 2}, None]},
        "size": "any",
    }
    made = called(everything, json.dumps(given_))
    assert made.value == (
        datetime(2026, 1, 2, 3, 4, 5),
        date(2026, 1, 2),
        (1, "x"),
        {"a"},
        [Box(3, Point(x=1))],
        {"k": [Point(x=2), None]},
        "any",
        None,
    )
    schema = Tool(everything).spec.parameters
    assert schema["required"] == ["when", "day", "pair", "tags", "boxes", "nested"]
    assert schema["properties"]["when"] == {"type": "string", "format": "date-time"}
    assert schema["properties"]["size"]["default"] == "s"


def test_annotated_descriptions_win_over_the_docstring() -> None:
    def look(
        a: Annotated[int, "The first."],
        b: Annotated[int, Field(description="The second.", ge=1)],
        c: Annotated[int, Doc("The third.")],
        d: int = 4,
    ) -> None:
        """Look.

        Args:
            a: Something else.
            d: The fourth.
        """

    told = properties(look)
    assert {name: schema["description"] for name, schema in told.items()} == {
        "a": "The first.",
        "b": "The second.",
        "c": "The third.",
        "d": "The fourth.",
    }
    assert told["b"]["minimum"] == 1
    assert called(look, '{"a": 1, "b": 0, "c": 1}').result == (
        "look does not take these arguments:\n- b: Input should be greater than or equal to 1"
    )


def test_types_that_only_checkers_know_matter_only_where_the_model_fills() -> None:
    def fine(a: int, agent: Nothing = None) -> Nothing:
        return a

    def not_fine(a: Nothing) -> None: ...

    assert called(fine, '{"a": 1}').value == 1
    with pytest.raises(InvalidInputError, match="the type hints of tool 'not_fine' cannot be read: name 'Nothing'"):
        Tool(not_fine)


@pytest.mark.parametrize(
    ("hint", "reason"),
    [
        (
            Annotated[str, Field(pattern=r"^(?=a)b")],
            "look-around, including look-ahead and look-behind, is not supported",
        ),
        (list[Annotated[str, Field(pattern="(")]], "unclosed group"),
        (Annotated[int, Field(ge="a")], "'ge' must be coercible to an integer"),
    ],
)
def test_a_constraint_that_cannot_be_checked_is_named_with_tool_and_parameter(hint: Any, reason: str) -> None:
    def label(number: int, code: Any = "x") -> str:
        return f"{number}{code}"

    label.__annotations__["code"] = hint
    with pytest.raises(InvalidInputError) as raised:
        Tool(label)
    assert str(raised.value).startswith(
        "parameter 'code' of tool 'label' has a constraint that pydantic does not accept ("
    )
    assert reason in str(raised.value)


def test_partials_hide_what_they_give() -> None:
    def power(base: int, exponent: int, label: str = "") -> str:
        """Raise a number."""
        return f"{label}{base**exponent}"

    square = functools.partial(power, exponent=2, label="= ")
    assert Tool(square).spec.name == "power"
    assert Tool(square).spec.description == "Raise a number."
    assert list(properties(square)) == ["base"]
    assert called(square, '{"base": 3}').result == "= 9"
    assert called(functools.partial(power, 2), '{"exponent": 3}').result == "8"


def test_parameters_that_cannot_be_filled_may_stay_empty_where_there_are_others() -> None:
    def look(name: str, *rest: int, **more: Any) -> str:
        return name

    assert list(properties(look)) == ["name"]
    assert called(look, '{"name": "x"}').value == "x"


def test_names_like_injected_ones_are_the_models_where_the_hint_is_a_value() -> None:
    def standing(team: str, agent: Literal["home", "away"] | None, session_state: dict[str, Any]) -> str:
        return f"{team} {agent} {session_state}"

    assert list(properties(standing)) == ["team", "agent"]
    assert called(standing, '{"team": "Celtics", "agent": null}', team=1, agent=2, session_state={}).result == (
        "Celtics None {}"
    )


def take(numbers: list[int], point: Point | None = None, limit: int = 5) -> str:
    return f"{numbers} {point} {limit}"


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        ('{"numbers": "[1, 2]", "point": "{\\"x\\": 1}"}', "[1, 2] x=1.0 y=0.0 5"),
        ('{"numbers": [1], "limit": null}', "[1] None 5"),
        ('"{\\"numbers\\": [1]}"', "[1] None 5"),
        ('{"numbers": ["1"], "limit": "7"}', "[1] None 7"),
    ],
    ids=["json in text", "null for a default", "all in text", "numbers as text"],
)
def test_what_models_do_to_arguments_is_undone(arguments: str, result: str) -> None:
    assert called(take, arguments).result == result


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "- numbers: Field required"),
        ("null", "- arguments: Input should be an object"),
        ('{"numbers": null}', "- numbers: Input should be a valid array"),
        ('{"numbers": [1', "- arguments: Invalid JSON: EOF while parsing a list at line 1 column 14"),
        ("[" * 100_000, "- arguments: Invalid JSON: recursion limit exceeded at line 1 column 202"),
    ],
    ids=["none", "null", "null in it", "broken", "deep"],
)
def test_bad_arguments_are_explained(arguments: str, told: str) -> None:
    made = called(take, arguments)
    assert (made.result, made.tool_call_error) == (f"take does not take these arguments:\n{told}", True)


def test_huge_bad_arguments_are_explained_in_a_few_lines() -> None:
    made = called(take, json.dumps({"numbers": ["x" * 100] * 5000, "y" * 10_000: 1}))
    assert made.result is not None
    assert len(made.result) < 2000
    assert made.result.endswith("- and 4991 more")
    assert ToolCall(tool_call_id="c", tool_name="t", arguments="[" * 100_000).tool_args == {}


@pytest.mark.parametrize("arguments", ["", None, "null", "[1]", "{"])
def test_arguments_that_are_no_object_are_none(arguments: Any) -> None:
    assert ToolCall(tool_call_id="c", tool_name="t", arguments=arguments).tool_args == {}


class Leaf(BaseModel):
    word: str
    weight: float | None = None


@given(
    st.lists(st.builds(Leaf, word=st.text(), weight=st.none() | st.floats(allow_nan=False))),
    st.none() | st.integers(),
    st.datetimes(),
)
def test_arguments_round_trip(leaves: list[Leaf], number: int | None, when: datetime) -> None:
    def keep(leaves: list[Leaf], when: datetime, number: int | None = 3) -> Any:
        return leaves, number, when

    written = json.dumps({"leaves": [leaf.model_dump() for leaf in leaves], "number": number, "when": when.isoformat()})
    assert Tool(keep).parameters.parse(written) == {"leaves": leaves, "number": number, "when": when}


def test_the_strict_form_says_null_where_the_function_has_a_default() -> None:
    schema = strict_parameters(Tool(take).spec.parameters)
    assert schema is not None
    assert schema["required"] == ["numbers", "point", "limit"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["limit"] == {
        "anyOf": [{"type": "integer"}, {"type": "null"}],
        "description": "null stands for 5.",
    }
    assert called(take, '{"numbers": [1], "point": null, "limit": null}').result == "[1] None 5"

    def free(anything: dict[str, Any]) -> None: ...

    assert strict_parameters(Tool(free).spec.parameters) is None


def test_half_a_character_in_arguments_becomes_one_that_can_be_read() -> None:
    def keep(text: str) -> str:
        return text

    assert called(keep, r'{"text": "a\ud800b"}').result == "a\N{REPLACEMENT CHARACTER}b"
    assert called(keep, r'{"text": "\ud83d\ude00"}').result == "\N{GRINNING FACE}"
