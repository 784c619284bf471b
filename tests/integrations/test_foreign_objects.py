"""Objects that look like tools, and tools of packages that are not handled."""

from __future__ import annotations

import subprocess
import types
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock, NonCallableMagicMock

import pytest
from agno.tools import Toolkit as AgnoToolkit
from agno.tools.function import Function
from langchain_core.tools import StructuredTool
from pydantic import BaseModel

from agno_nb.agent import Agent
from agno_nb.errors import InvalidInputError
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import resolve_tools
from agno_nb.tools.toolkit import tool_instructions


def foreign(module: str, name: str, *bases: type, **attributes: Any) -> Any:
    """Return an object of a class with a name of another package."""
    return type(name, bases or (object,), {"__module__": module, **attributes})()


def look() -> str:
    """Look."""
    return "seen"


FOREIGN = [
    (foreign("pydantic_ai.tools", "Tool"), "pass its function, `tool.function`"),
    (foreign("pydantic_ai.toolsets.function", "AbstractToolset", tools={"look": look}), "that were added to it"),
    (foreign("smolagents.tools", "Tool", __call__=lambda self: ""), "pass its method `tool.forward`"),
    (foreign("agents.tool", "FunctionTool"), "pass the function that was decorated with @function_tool"),
    (foreign("llama_index.core.tools.function_tool", "FunctionTool", __call__=lambda self: ""), "`tool.fn`"),
    (foreign("llama_index.core.tools.types", "BaseTool"), "pass a function that calls it"),
    (foreign("haystack.tools.tool", "Tool"), "pass its function, `tool.function`"),
    (foreign("crewai.tools.base_tool", "BaseTool"), "pass its method `tool._run`"),
    (foreign("dspy.adapters.types.tool", "Tool"), "pass its function, `tool.func`"),
    (foreign("autogen_core.tools._base", "BaseTool"), "pass the function that it was made of"),
    (foreign("semantic_kernel.functions.kernel_function", "KernelFunction"), "decorated with @kernel_function"),
    (foreign("mcp.client.session", "ClientSession"), "pass MCPTools(...) of agno_nb.tools.mcp"),
    (foreign("fastmcp.tools.tool", "Tool"), "pass its function, `tool.fn`"),
    (Agent(name="a", tools=[look]), "make it a member of a Team"),
    (Team([], name="t"), "make it a member of a Team"),
    (types, "pass the functions of the module"),
    (object(), "pass a function, or a toolkit with tools"),
    (SimpleNamespace(name="x", run=look), "pass a function, or a toolkit with tools"),
]


@pytest.mark.parametrize(
    ("value", "remedy"),
    FOREIGN,
    ids=[f"{type(each).__module__.partition('.')[0]} {type(each).__name__}" for each, _ in FOREIGN],
)
def test_other_objects_are_refused_with_a_remedy(value: Any, remedy: str) -> None:
    for tools in ([value], [[look, value]]):
        with pytest.raises(InvalidInputError, match=r"^a tool must be a function, not .* of type ") as caught:
            Agent(ScriptedModel([]), tools=tools).run("Go")
        assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (BaseModel, "is a class; pass an instance"),
        (AgnoToolkit, "is a class; pass an instance"),
        ({"type": "function", "function": {"name": "look"}}, "gives a function the parameters that a dict describes"),
    ],
    ids=["class", "class of a toolkit", "dict"],
)
def test_descriptions_and_classes_are_refused(value: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Agent(ScriptedModel([]), tools=[value]).run("Go")


@pytest.mark.parametrize("mock", [Mock, MagicMock, NonCallableMagicMock], ids=lambda each: each.__name__)
def test_objects_that_answer_every_attribute_are_not_toolkits(mock: type[Mock]) -> None:
    with pytest.raises(InvalidInputError, match=r"which a model cannot fill|a tool must be a function"):
        resolve_tools([mock()], tool_cache=[])
    assert tool_instructions([mock()]) == []
    kit = mock()
    kit.tools = [look]
    assert [*resolve_tools([kit], tool_cache=[])] == ["look"]


@pytest.mark.parametrize("name", ["tools", "functions", "instructions"])
def test_a_property_that_raises_is_named(name: str) -> None:
    def fail(self: Any) -> Any:
        raise KeyError("no key")

    kit = type("Kit", (), {name: property(fail)})()
    with pytest.raises(InvalidInputError, match=rf"^cannot read `{name}` of a tool of type Kit: KeyError: 'no key'; "):
        Agent(ScriptedModel([]), tools=[kit]).run("Go")


def test_a_toolkit_whose_tools_are_text_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="a tool must be a function"):
        resolve_tools([SimpleNamespace(tools="look")], tool_cache=[])


@pytest.mark.parametrize("name", ["???", ""], ids=["signs", "empty"])
def test_a_foreign_tool_without_a_usable_name(name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be the name of a tool"):
        resolve_tools([Function(name=name or "!", entrypoint=look)], tool_cache=[])


def test_a_foreign_tool_with_the_name_of_another_is_left_out() -> None:
    other = StructuredTool.from_function(func=lambda: "other", name="look again", description="Look.")
    first = Function(name="look_again", entrypoint=look)
    with pytest.warns(UserWarning, match="two tools have the name 'look_again'"):
        tools = resolve_tools([first, other], tool_cache=[])
    assert tools["look_again"].function.source is first


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


def test_recursive_schemas() -> None:
    def count(tree: Tree) -> int:
        """Count."""
        return tree.value + sum(count(each) for each in tree.children)

    tools = [
        Function(name="of_agno", entrypoint=count),
        StructuredTool.from_function(func=count, name="of_langchain"),
    ]
    tree = {"value": 1, "children": [{"value": 2, "children": [{"value": 3}]}]}
    replies = [[call("of_agno", tree=tree), call("of_langchain", tree=tree)], "Done."]
    assert [each.result for each in Agent(ScriptedModel(replies), tools=tools).run("Go").tools] == ["6", "6"]


@pytest.mark.parametrize(
    "schema",
    [{"type": "object", "properties": {"a": {"type": "nonsense"}}}, {"properties": {"a": 1}}, {"properties": []}],
    ids=["type", "property", "properties"],
)
def test_broken_schemas_are_refused(schema: Any) -> None:
    made = Function(name="broken", parameters=schema, entrypoint=lambda **_: "", skip_entrypoint_processing=True)
    for each in (made, StructuredTool(name="broken", description="d", func=look, args_schema=schema)):
        with pytest.raises(InvalidInputError, match="the JSON schema of tool 'broken' is not valid: "):
            resolve_tools([each], tool_cache=[])


def test_nothing_of_other_packages_is_imported(python: str) -> None:
    code = (
        "import agno_nb, sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "InteractiveShell.instance().run_line_magic('load_ext', 'agno_nb')\n"
        "from agno_nb.tools import resolve_tools\n"
        "class Callable:\n    def __call__(self, a: int) -> int: ...\n"
        "loaded = 'agno_nb.integrations' in sys.modules\n"
        "resolve_tools([Callable()], tool_cache=[])\n"
        "print(loaded, [name for name in ('agno', 'langchain_core', 'mcp') if name in sys.modules])"
    )
    done = subprocess.run([python, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("False []", "")
