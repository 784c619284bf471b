"""Servers of the Model Context Protocol (MCP) as tools."""

from __future__ import annotations

from agno_nb.tools.mcp.configuration import load_servers
from agno_nb.tools.mcp.mcp import MCPTools
from agno_nb.tools.mcp.params import SSEClientParams, StreamableHTTPClientParams
from agno_nb.tools.mcp.results import ServerResult

__all__ = ["MCPTools", "SSEClientParams", "ServerResult", "StreamableHTTPClientParams", "load_servers"]
