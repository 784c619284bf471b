"""Tools: functions that the model may call."""

from __future__ import annotations

from agno_nb.tools.function import INJECTED, Tool, Toolkit, tool, toolbox

__all__ = ["INJECTED", "Tool", "Toolkit", "tool", "toolbox"]
