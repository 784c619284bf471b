"""agno's path of :class:`UserMemory`."""

from agno_nb.types import UserMemory

__all__ = ["UserMemory"]
