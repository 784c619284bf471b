"""`%agent tools` with MCP servers, and their progress in the output of a cell."""

from __future__ import annotations

import json
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest

from agno_nb.errors import InvalidInputError, ToolServerError
from agno_nb.event_loop import run_blocking
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.render import render_answer
from agno_nb.notebook.settings import AgnoNb
from agno_nb.run_view import RunFold
from agno_nb.tools import Toolkit, tool
from agno_nb.tools.mcp import MCPTools, load_servers
from agno_nb.types import RunEvent, RunOutputEvent, ToolCall
from tests.notebook.command_line import run_command

SERVERS = Path(__file__).parent.parent / "tools" / "mcp_servers"
ARGS = [str(SERVERS / "misbehaving.py"), "well-behaved"]


@pytest.fixture
def notebook(tmp_path: Path) -> Any:
    made = Notebook({}, tmp_path, AgnoNb())
    yield made
    for each in made.agent.listed_tools:
        if isinstance(each, MCPTools):
            run_blocking(each.close())


def test_a_server_is_added_by_its_command(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    command = " ".join([sys.executable, *ARGS, str(notebook.folder / "starts")])
    for _ in range(2):  # The second one replaces the first.
        run_command(notebook, "tools", ["add", command])
    shown = capsys.readouterr().out
    assert f"misbehaving          MCP server `{command}`, 2 tools" in shown
    (server,) = notebook.agent.listed_tools
    assert [each.name for each in server.tools] == ["go", "starts"]


def test_servers_are_added_from_a_configuration_file(
    notebook: Notebook, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOW", "well-behaved")
    first = {"command": sys.executable, "args": [ARGS[0], "${HOW}", "${WHERE:-starts}"], "cwd": str(notebook.folder)}
    servers = {"first": first, "second": {**first, "env": {"A": "b"}}, "third": {**first, "disabled": True}}
    (notebook.folder / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    with pytest.warns(UserWarning, match="two tools have the name"):
        run_command(notebook, "tools", ["add", "mcp.json"])
    assert [each.name for each in notebook.agent.listed_tools] == ["first", "second"]
    assert (notebook.folder / "starts").exists()
    capsys.readouterr()


def test_the_list_has_tools_resources_and_prompts_as_plain_text(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    server = MCPTools([sys.executable, str(SERVERS / "friendly.py")], include_tools=["add", "erase"])
    notebook.agent.tools = [server]
    run_command(notebook, "tools", [])
    shown = literal_eval(capsys.readouterr().out)["text/plain"]
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines == [
        f"friendly MCP server `{sys.executable} {SERVERS / 'friendly.py'}`, 2 tools",
        "friendly: add Add two numbers.",
        "friendly: erase Erase a file. (needs approval)",
        "friendly: resource notes://all All notes.",
        "friendly: resource notes://{day} The notes of a day.",
        "friendly: prompt summarize Summarize the notes.",
    ]


def test_a_server_that_does_not_start_is_not_added(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ToolServerError, match="there is no program 'no-such-program'"):
        run_command(notebook, "tools", ["add", "no-such-program --fast"])
    assert [*notebook.agent.listed_tools] == []
    notebook.agent.tools = [MCPTools("no-such-program")]
    run_command(notebook, "tools", [])
    assert "cannot be started: there is no program" in capsys.readouterr().out


def test_functions_with_the_name_add_are_still_functions(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.namespace |= {"add": lambda a, b: a + b, "price": len}
    notebook.namespace["add"].__name__ = "add"
    run_command(notebook, "tools", ["add"])
    run_command(notebook, "tools", ["add", "price"])
    assert "tools: add, len" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["uvx", "mcp-server-time"]], ids=["no server", "no quotes"])
def test_a_command_without_quotes_is_no_name_of_a_function(notebook: Notebook, words: list[str]) -> None:
    said = f"takes one server, got {' '.join(words)!r}; pass a URL, .* or a command in quotes"
    with pytest.raises(InvalidInputError, match=said):
        run_command(notebook, "tools", ["add", *words])


def test_the_list_has_the_tools_of_toolkits_and_what_their_calls_wait_for(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    def read() -> str:
        """Read the entries."""
        return ""

    def clear() -> str:
        return ""

    @tool(requires_user_input=True)
    def send(to: str) -> str:
        """Send them."""
        return to

    ledger = Toolkit("ledger", [read, clear], requires_confirmation_tools=["clear"])
    notebook.namespace |= {"ledger": ledger, "send": send}
    assert notebook.functions() == ["ledger", "send"]
    notebook.use_tools(["ledger", "send"])
    run_command(notebook, "tools", [])
    shown = literal_eval(capsys.readouterr().out)["text/plain"]
    assert [" ".join(line.split()) for line in shown.splitlines()] == [
        "ledger toolkit, 2 tools",
        "ledger: read Read the entries.",
        "ledger: clear no docstring (needs approval)",
        "send Send them. (needs values)",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no JSON", "cannot read the MCP servers in "),
        ("{}", "has no MCP servers; expected "),
        ('{"mcpServers": {"a": {}}}', "server 'a' in .* has neither a command nor a url"),
        ('{"mcpServers": {"a": {"url": "http://b", "type": "udp"}}}', "server 'a' in .* has the type 'udp'"),
        ('{"mcpServers": {"a": {"command": "${NOT_SET_HERE}"}}}', "needs the environment variable NOT_SET_HERE"),
        ('{"mcpServers": {"a": {"command": 3}}}', "server 'a' in .* is not valid: "),
    ],
    ids=["no JSON", "no servers", "no address", "unknown type", "unset variable", "wrong type"],
)
def test_a_configuration_file_is_checked(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=message):
        load_servers(path)


def test_a_configuration_file_can_have_urls(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{"servers": {"a": {"type": "sse", "url": "http://b/sse", "headers": {"C": "d"}}}}')
    (server,) = load_servers(path, confirm=True)
    assert (server.name, server.shown_address, server.confirm) == ("a", "http://b/sse", True)


def test_progress_is_shown_with_its_call_as_text() -> None:
    fold = RunFold()
    call = ToolCall(tool_call_id="c", tool_name="count")
    base = {"run_id": "r", "session_id": "s"}
    fold.feed(RunOutputEvent(event=RunEvent.run_started, **base))
    fold.feed(RunOutputEvent(event=RunEvent.tool_call_started, tool=call, **base))
    fold.feed(RunOutputEvent(event=RunEvent.tool_call_progress, tool=call, content="1 of 3: <b>x</b>", **base))
    assert "1 of 3: &lt;b&gt;x&lt;/b&gt;" in render_answer(fold.view)
    call.result = "done"
    fold.feed(RunOutputEvent(event=RunEvent.tool_call_completed, tool=call, **base))
    assert "1 of 3" not in render_answer(fold.view)
