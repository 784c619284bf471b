"""Teams: an agent whose tools are its members."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from agno_nb._agno_parts import explain_missing_names, missing_name
from agno_nb.models.fallback import FallbackConfig
from agno_nb.team.mode import TeamMode
from agno_nb.team.task import Task, TaskList, TaskStatus
from agno_nb.team.team import RunOutput, RunResponse, Team

__all__ = ["FallbackConfig", "RunOutput", "RunResponse", "Task", "TaskList", "TaskStatus", "Team", "TeamMode"]

explain_missing_names("agno_nb.team.team")


def __getattr__(name: str) -> Any:
    """Return an event class or enum of ``agno_nb.run.team``, which agno exports here too."""
    events = import_module("agno_nb.run.team")
    if name.startswith("_") or name not in events.__all__:
        raise missing_name(__name__, name)
    return getattr(events, name)
