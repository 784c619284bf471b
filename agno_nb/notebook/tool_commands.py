"""The command ``%agent tools``: functions of the notebook and MCP servers as tools of its agent.

Descriptions by a server are data, and shown as plain text on one line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agno_nb.agent.agent import Agent
from agno_nb.errors import ToolServerError
from agno_nb.event_loop import run_blocking
from agno_nb.notebook.displays import LINE_LIMIT, name_of, show_facts, show_note
from agno_nb.notebook.notebook import Notebook, VariableTool
from agno_nb.redact import displayable
from agno_nb.types import counted, one_line

if TYPE_CHECKING:
    from agno_nb.tools.mcp import MCPTools


def use_tools(notebook: Notebook, words: list[str]) -> None:
    """Add functions or MCP servers to the tools of the agent, or list its tools."""
    if words:
        notebook.own_agent("`%agent tools`")
    if len(words) == 2 and words[0] == "add" and words[1] not in notebook.namespace:
        servers = _servers(notebook, words[1])
        notebook.add_tools(servers)
        show_facts({name: text for each in servers for name, text in _server_facts(each)})
        return
    if words:
        notebook.use_tools(words)
    tools = notebook.runnable.listed_tools if isinstance(notebook.runnable, Agent) else []
    if words:
        show_note(f"tools: {', '.join(map(name_of, tools))}")
        return
    facts = {name: text for tool in tools for name, text in _facts(tool)}
    show_facts(facts or {"tools": "none; `%agent tools NAME` adds one"})


def _servers(notebook: Notebook, text: str) -> list[MCPTools]:
    """Return the servers that a command, a URL or the path of a configuration file stands for, which are started."""
    from agno_nb.tools.mcp import MCPTools, load_servers

    if text.startswith(("http://", "https://")):
        servers = [MCPTools(url=text)]
    elif text.endswith(".json"):
        servers = load_servers(notebook.folder / text)
    else:
        servers = [MCPTools(text)]
    for each in servers:
        run_blocking(each.prepare_tools())
    return servers


def _facts(tool: Any) -> Iterator[tuple[str, str]]:
    latest = tool.latest if isinstance(tool, VariableTool) else tool
    if hasattr(latest, "shown_address"):  # Of MCPTools, without importing them.
        yield from _server_facts(latest)
        return
    text = getattr(latest, "description", None) or getattr(latest, "__doc__", None) or "no docstring"
    yield name_of(tool), str(text).strip().partition("\n")[0]


def _server_facts(server: MCPTools) -> Iterator[tuple[str, str]]:
    """Yield what a server offers, or the error if it cannot be asked."""
    name = _line(server.name)
    try:
        listing = run_blocking(server.describe())
    except ToolServerError as error:
        yield name, _line(str(error))
        return
    yield name, f"MCP server `{server.shown_address}`, {counted(len(server.tools), 'tool')}"
    for tool in server.tools:
        approval = " (needs approval)" if tool.requires_confirmation else ""
        yield f"{name}: {tool.name}", _line(tool.description) + approval
    for resource in listing.resources:
        yield f"{name}: resource {_line(str(resource.uri))}", _line(resource.description or resource.name)
    for template in listing.templates:
        yield f"{name}: resource {_line(template.uri_template)}", _line(template.description or template.name)
    for prompt in listing.prompts:
        yield f"{name}: prompt {_line(prompt.name)}", _line(prompt.description or "")


def _line(text: str) -> str:
    return one_line(displayable(text).replace("`", "'"), LINE_LIMIT)
