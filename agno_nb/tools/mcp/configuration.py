"""Servers from a configuration file in the format of other MCP clients."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from agno_nb.errors import InvalidInputError
from agno_nb.tools.mcp.mcp import MCPTools

_TRANSPORTS: dict[Any, Any] = {
    **{None: None, "stdio": "stdio", "sse": "sse"},
    **dict.fromkeys(("http", "streamable-http", "streamableHttp", "streamable_http"), "streamable-http"),
}
_VARIABLE = re.compile(r"\$\{(?:env:)?(\w+)(?::-([^}]*))?\}")


def load_servers(path: str | Path, **settings: Any) -> list[MCPTools]:
    """Return the servers of a file with ``mcpServers`` (or ``servers``), each with the name that it has there.

    ``${VARIABLE}`` and ``${VARIABLE:-default}`` in its strings are replaced by variables of this process, so that the
    file needs no keys. Servers with ``"disabled": true`` are left out. `settings` are passed to each
    :class:`MCPTools`.

    Raises
    ------
    InvalidInputError
        The file cannot be read, is not in this format, or names a variable that is not set.
    """
    try:
        content = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"cannot read the MCP servers in {str(path)!r}: {error}") from None
    servers = (content.get("mcpServers") or content.get("servers")) if isinstance(content, dict) else None
    if not isinstance(servers, dict):
        raise InvalidInputError(f'{str(path)!r} has no MCP servers; expected {{"mcpServers": {{"NAME": {{...}}}}}}')
    return [
        _server(path, name, described, settings)
        for name, described in servers.items()
        if not (isinstance(described, dict) and described.get("disabled"))
    ]


def _server(path: str | Path, name: str, described: Any, settings: dict[str, Any]) -> MCPTools:
    where = f"server {name!r} in {str(path)!r}"
    if not isinstance(described, dict) or not ("command" in described or "url" in described):
        raise InvalidInputError(f"{where} has neither a command nor a url")
    values = _expanded(described, where)
    kind = values.get("type") or values.get("transport")
    if kind not in _TRANSPORTS:
        raise InvalidInputError(f"{where} has the type {kind!r}; use 'stdio', 'http' or 'sse'")
    if "url" in values:
        return MCPTools(
            url=values["url"], headers=values.get("headers"), transport=_TRANSPORTS[kind], name=name, **settings
        )
    from mcp import StdioServerParameters

    try:
        params = StdioServerParameters(
            command=values["command"], args=values.get("args") or [], env=values.get("env"), cwd=values.get("cwd")
        )
    except ValueError as error:
        raise InvalidInputError(f"{where} is not valid: {error}") from None
    return MCPTools(server_params=params, name=name, **settings)


def _expanded(value: Any, where: str) -> Any:
    """Return a JSON value with variables of the environment in its strings."""
    if isinstance(value, dict):
        return {key: _expanded(each, where) for key, each in value.items()}
    if isinstance(value, list):
        return [_expanded(each, where) for each in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], match[2])
        if found is None:
            raise InvalidInputError(f"{where} needs the environment variable {match[1]}, which is not set")
        return found

    return _VARIABLE.sub(variable, value)
