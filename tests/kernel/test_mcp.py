"""MCP servers as tools in the cells of a real kernel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from agno_nb.db.duckdb import DuckDb
from tests.kernel.conftest import Kernel

pytestmark = pytest.mark.kernel

SERVER = str(Path(__file__).parents[1] / "tools" / "mcp_servers" / "friendly.py")


def test_an_interrupt_cancels_the_call_and_not_the_server(kernel: Kernel) -> None:
    kernel.run(
        f"""
from agno_nb import Agent
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools.mcp import MCPTools

replies = [call("process"), "ready", call("wait", name="mine"), [call("process"), call("was_cancelled")], "ok"]
agent = Agent(ScriptedModel(replies), name="user", tools=[MCPTools([{sys.executable!r}, {SERVER!r}])])
"""
    )
    kernel.run("%agent use agent")
    kernel.run("%%agent -o first\nWhich process are you?")
    interrupted: list[bool] = []

    def interrupt(output: dict[str, Any]) -> None:
        if "waiting" in str(output["content"]) and not interrupted:
            interrupted.append(True)
            kernel.interrupt()

    reply = kernel.run("%%agent\nWait.", on_output=interrupt, expect="error")
    assert reply.content["ename"] == "RunInterrupted"
    kernel.run("%%agent -o last\nIs it over?")
    printed = kernel.run("print([first.tools[0].value] == [last.tools[0].value], last.tools[1].value)").printed
    assert printed.strip() == "True ['mine']"
    runs = DuckDb(kernel.folder / "agno_nb.duckdb").runs_df()
    assert [*runs["status"]] == ["COMPLETED", "CANCELLED", "COMPLETED"]
