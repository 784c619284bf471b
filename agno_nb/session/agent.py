"""agno's path of :class:`AgentSession`."""

from agno_nb.types import AgentSession

__all__ = ["AgentSession"]
