"""Tools of other packages as variables of a notebook."""

from __future__ import annotations

from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent as AgnoAgent
from agno.tools import tool as agno_tool
from agno.tools.calculator import CalculatorTools
from langchain_core.tools import tool as langchain_tool

from agno_nb.errors import InvalidInputError
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.settings import AgnoNb
from agno_nb.run import defaults
from tests.notebook.command_line import run_command


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (CalculatorTools(include_tools=["add"]), "calculator: add  Add two numbers and return the result."),
        (agno_tool(add), "add  Add two numbers."),
        (langchain_tool(add), "add  Add two numbers."),
    ],
    ids=["toolkit of agno", "function of agno", "LangChain"],
)
def test_a_variable_with_a_foreign_tool_is_a_tool(
    value: Any, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    namespace: dict[str, Any] = {"sums": value, "other": 1}
    notebook = Notebook(namespace, tmp_path, AgnoNb())
    notebook.use_model("demo")
    notebook.use_tools(["sums"])
    assert "3" in (notebook.runnable.run("add(a=1, b=2)").tools[0].result or "")
    assert "sums" in notebook.functions()
    run_command(notebook, "tools", [])
    assert shown in capsys.readouterr().out
    with pytest.raises(InvalidInputError, match="a tool must be a function, not 1 of type int"):
        notebook.use_tools(["other"])
    assert len(notebook.agent.listed_tools) == 1


def test_an_agent_of_agno_uses_the_store_of_the_notebook_before_its_first_cell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = Notebook({"clerk": AgnoAgent(name="clerk")}, tmp_path, AgnoNb())
    monkeypatch.setattr(defaults, "of_notebook", lambda: notebook)
    run_command(notebook, "use", [])
    shown = literal_eval(capsys.readouterr().out)["text/plain"]
    assert "AgnoAgent clerk, the notebook's store" in shown


def test_the_latest_object_of_a_variable_is_called(tmp_path: Path) -> None:
    namespace: dict[str, Any] = {"sums": langchain_tool(add)}
    notebook = Notebook(namespace, tmp_path, AgnoNb())
    notebook.use_model("demo")
    notebook.use_tools(["sums"])

    @langchain_tool("add")
    def subtract(a: int, b: int) -> int:
        """Subtract."""
        return a - b

    namespace["sums"] = subtract
    assert notebook.runnable.run("add(a=1, b=2)").tools[0].result == "-1"
