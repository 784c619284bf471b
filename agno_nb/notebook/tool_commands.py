"""The command ``%agent tools``: functions of the notebook and MCP servers as tools of its agent.

Descriptions by a server are data, and shown as plain text on one line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agno_nb.agent.agent import Agent
from agno_nb.errors import InvalidInputError, ToolServerError
from agno_nb.event_loop import run_blocking
from agno_nb.notebook.displays import LINE_LIMIT, name_of, show_facts, show_note
from agno_nb.notebook.notebook import Notebook, VariableTool
from agno_nb.redact import displayable
from agno_nb.tools.function import Tool
from agno_nb.tools.toolkit import members_of, resolve_tools
from agno_nb.types import counted, one_line

if TYPE_CHECKING:
    from agno_nb.tools.mcp import MCPTools


def use_tools(notebook: Notebook, words: list[str]) -> None:
    """Add functions or MCP servers to the tools of the agent, or list its tools."""
    if words:
        notebook.own_agent("`%agent tools`")
    if words[:1] == ["add"] and len(words) != 2 and "add" not in notebook.namespace:
        raise InvalidInputError(
            f"`%agent tools add` takes one server, got {' '.join(words[1:])!r}; pass a URL, a file such as mcp.json, "
            'or a command in quotes: %agent tools add "uvx mcp-server-time"'
        )
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
    members = resolve_tools([latest], tool_cache=[]).values()
    is_toolkit = members_of(latest) is not None
    if is_toolkit:
        yield name_of(tool), f"toolkit, {counted(len(members), 'tool')}"
    for each in members:
        yield f"{name_of(tool)}: {each.name}" if is_toolkit else each.name, _tool_fact(each)


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
        yield f"{name}: {tool.name}", _tool_fact(tool)
    for resource in listing.resources:
        yield f"{name}: resource {_line(str(resource.uri))}", _line(resource.description or resource.name)
    for template in listing.templates:
        yield f"{name}: resource {_line(template.uri_template)}", _line(template.description or template.name)
    for prompt in listing.prompts:
        yield f"{name}: prompt {_line(prompt.name)}", _line(prompt.description or "")


def _tool_fact(tool: Tool) -> str:
    waits_for = {
        "confirmation": " (needs approval)",
        "user_input": " (needs values)",
        "external_execution": " (needs a result)",
    }
    description = _line(tool.description.partition("\n")[0]) if tool.description else "no docstring"
    return description + (waits_for[tool.approval_kind] if tool.approval_kind else "")


def _line(text: str) -> str:
    return one_line(displayable(text).replace("`", "'"), LINE_LIMIT)
