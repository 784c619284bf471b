"""Agents: a model with instructions and tools, that answers in sessions.

As in agno, the events of an agent's runs can be imported from here too; they are defined in :mod:`agno_nb.run.agent`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agno_nb.agent.agent import Agent, RunOutput, RunResponse
from agno_nb.run.agent import RunEvent, RunInput, RunOutputEvent
from agno_nb.types import AgentSession, Message

__all__ = ["Agent", "AgentSession", "Message", "RunEvent", "RunInput", "RunOutput", "RunOutputEvent", "RunResponse"]

if TYPE_CHECKING:

    def __getattr__(name: str) -> type[RunOutputEvent]: ...

else:

    def __getattr__(name: str) -> Any:
        from agno_nb.run import agent as runs

        if name not in runs.__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(runs, name)
