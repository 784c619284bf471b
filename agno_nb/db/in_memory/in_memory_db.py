"""agno's path of :class:`InMemoryDb`."""

from agno_nb.db.in_memory import InMemoryDb

__all__ = ["InMemoryDb"]
