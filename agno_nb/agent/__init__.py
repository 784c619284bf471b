"""Agents: a model with instructions and tools, that answers in sessions."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from agno_nb._agno_parts import explain_missing_names, missing_name
from agno_nb.agent.agent import Agent, RunOutput, RunResponse
from agno_nb.models.fallback import FallbackConfig
from agno_nb.tools import Function, Toolkit
from agno_nb.types import AgentSession, Message, RunEvent, RunOutputEvent

__all__ = [
    "Agent",
    "AgentSession",
    "FallbackConfig",
    "Function",
    "Message",
    "RunEvent",
    "RunOutput",
    "RunOutputEvent",
    "RunResponse",
    "Toolkit",
]

explain_missing_names("agno_nb.agent.agent")


def __getattr__(name: str) -> Any:
    """Return an event class or enum of ``agno_nb.run.agent``, which agno exports here too."""
    events = import_module("agno_nb.run.agent")
    if name.startswith("_") or name not in events.__all__:
        raise missing_name(__name__, name)
    return getattr(events, name)
