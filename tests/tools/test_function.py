"""Functions as tools: descriptions, arguments and results."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
import pytest

from agno_nb.errors import InvalidInputError
from agno_nb.tools import Tool, resolve_tools, tool
from tests.tools.samples import Box, Point, Size, called


def measure(species: Literal["Adelie", "Gentoo"], column: str = "mass", limit: int | None = None) -> str:
    """Describe penguins.

    A longer remark.

    Parameters
    ----------
    species : str
        Which penguins.
    column : str
        What is measured.
    """
    return f"{species} {column} {limit}"


def test_signature_and_docstring_become_the_schema() -> None:
    spec = Tool(measure).spec
    assert (spec.name, spec.description) == ("measure", "Describe penguins.\n\nA longer remark.")
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "species": {"type": "string", "enum": ["Adelie", "Gentoo"], "description": "Which penguins."},
            "column": {"type": "string", "default": "mass", "description": "What is measured."},
            "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        },
        "required": ["species"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "docstring",
    [
        "Do.\n\nArgs:\n    a (int): The first.\n    b: The second.",
        "Do.\n\n:param a: The first.\n:param b: The second.",
        "Do.\n\nParameters\n----------\na : int\n    The first.\nb : int\n    The second.",
    ],
    ids=["google", "sphinx", "numpy"],
)
def test_every_docstring_style_describes_parameters(docstring: str) -> None:
    def do(a: int, b: int) -> None: ...

    do.__doc__ = docstring
    properties = Tool(do).spec.parameters["properties"]
    assert {name: schema["description"] for name, schema in properties.items()} == {
        "a": "The first.",
        "b": "The second.",
    }


def test_any_parameter_name_may_be_used() -> None:
    def odd(schema: int, copy: int, model_dump: int, json: int, class_: int = 1) -> int:
        return schema + copy + model_dump + json

    assert called(odd, '{"schema": 1, "copy": 2, "model_dump": 3, "json": 4}').value == 10


def test_arguments_arrive_as_the_types_that_were_asked_for() -> None:
    def take(point: Point, box: Box, size: Size, numbers: list[float], anything: dict[str, Any]) -> Any:
        return point, box, size, numbers, anything

    arguments = (
        '{"point": {"x": 1}, "box": {"width": 2, "corner": {"x": 3}}, "size": "l", "numbers": ["3", 4], '
        '"anything": {"k": null}}'
    )
    assert called(take, arguments).value == (
        Point(x=1),
        Box(width=2, corner=Point(x=3)),
        Size.LARGE,
        [3.0, 4.0],
        {"k": None},
    )


def test_injected_parameters_are_filled_and_not_told_to_the_model() -> None:
    def look(what: str, session_state: dict[str, Any], run_context: Any = None) -> str:
        session_state["seen"] = what
        return f"{what} {run_context}"

    state: dict[str, Any] = {}
    made = called(look, '{"what": "x"}', session_state=state, run_context="ctx", agent="unused")
    assert (made.result, state) == ("x ctx", {"seen": "x"})
    assert list(Tool(look).spec.parameters["properties"]) == ["what"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"species": "Emu"}', "- species: Input should be 'Adelie' or 'Gentoo'"),
        ("{}", "- species: Field required"),
        (
            '{"species": "Adelie", "colour": 1}',
            "- colour: there is no such parameter; there are: species, column, limit",
        ),
        ("{oops", "- arguments: Invalid JSON: key must be a string at line 1 column 2"),
        ("[1]", "- arguments: Input should be an object"),
    ],
)
def test_bad_arguments_are_told_to_the_model(arguments: str, told: str) -> None:
    made = called(measure, arguments)
    assert made.tool_call_error
    assert made.result == f"measure does not take these arguments:\n{told}"


def test_an_exception_of_the_tool_is_told_to_the_model() -> None:
    def fail() -> None:
        raise KeyError("no such column")

    made = called(fail, "{}")
    assert (made.result, made.tool_call_error) == ("KeyError: 'no such column'", True)


def test_async_functions_methods_and_objects_are_tools() -> None:
    class Counter:
        """Counts."""

        total = 0

        def count(self, by: int) -> int:
            """Count up."""
            self.total += by
            return self.total

        async def __call__(self, by: int) -> int:
            return self.count(by)

    async def later(a: int) -> int:
        return a + 1

    counter = Counter()
    assert called(later, '{"a": 1}').value == 2
    assert called(counter.count, '{"by": 2}').value == 2
    assert called(counter, '{"by": 3}').value == 5
    assert Tool(counter.count).spec.description == "Count up."


def test_what_a_model_cannot_fill_is_refused_when_the_tool_is_made() -> None:
    def star(*numbers: int) -> None: ...

    def frame(df: pd.DataFrame) -> None: ...

    with pytest.raises(InvalidInputError, match=r"'star' has a parameter \*numbers"):
        Tool(star)
    with pytest.raises(InvalidInputError, match="parameter 'df' of tool 'frame' is of a type that a model cannot fill"):
        Tool(frame)
    with pytest.raises(InvalidInputError, match="'<lambda>' cannot be the name of a tool"):
        Tool(lambda: None)
    with pytest.raises(InvalidInputError, match="a tool must be a function, not 3"):
        Tool(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"Point'> is a class; pass an instance"):
        Tool(Point)
    with pytest.raises(InvalidInputError, match="timeout_s is 0; pass a number of seconds greater than 0"):
        Tool(measure, timeout_s=0)
    with pytest.raises(InvalidInputError, match="cannot read the signature of tool 'max': no signature found"):
        Tool(max)


def test_of_two_tools_with_one_name_the_first_is_used_and_made_tools_are_kept() -> None:
    made: list[Tool] = []
    first = resolve_tools([measure], tool_cache=made)["measure"]
    assert resolve_tools([measure], tool_cache=made)["measure"] is first
    box = Box(1, Point(x=0))
    for _ in range(2):
        resolve_tools([box.__repr__], tool_cache=made)
    assert [tool.name for tool in made] == ["measure", "repr"]
    with pytest.warns(UserWarning, match="two tools have the name 'measure', and only the first one is used"):
        assert resolve_tools([measure, tool(measure)], tool_cache=made) == {"measure": first}
    assert resolve_tools([tool(measure), measure], tool_cache=made)["measure"] is not first  # Reported before.
