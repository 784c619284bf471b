"""Tools: functions that the model may call."""

from __future__ import annotations

from agno_nb.tools.function import INJECTED, Tool, tool, toolbox

__all__ = ["INJECTED", "Tool", "tool", "toolbox"]
