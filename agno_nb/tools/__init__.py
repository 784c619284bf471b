"""Tools: functions that the model may call."""

from __future__ import annotations

from agno_nb._agno_parts import explain_missing_names
from agno_nb.tools.decorator import tool
from agno_nb.tools.function import Function, FunctionCall, Tool
from agno_nb.tools.images import ToolResult
from agno_nb.tools.parameters import INJECTED_PARAMETERS
from agno_nb.tools.sql import SqlTools
from agno_nb.tools.toolkit import Toolkit, resolve_tools

__all__ = [
    "INJECTED_PARAMETERS",
    "Function",
    "FunctionCall",
    "SqlTools",
    "Tool",
    "ToolResult",
    "Toolkit",
    "resolve_tools",
    "tool",
]

explain_missing_names(__name__)
