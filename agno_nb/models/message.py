"""agno's path of :class:`Message`."""

from agno_nb.types import Message

__all__ = ["Message"]
