"""Tools: functions that the model may call."""

from __future__ import annotations

from agno_nb.tools.arguments import INJECTED
from agno_nb.tools.function import Tool, tool
from agno_nb.tools.sql import SqlTools
from agno_nb.tools.toolkit import Toolkit, toolbox

__all__ = ["INJECTED", "SqlTools", "Tool", "Toolkit", "tool", "toolbox"]
