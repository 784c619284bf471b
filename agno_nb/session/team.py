"""agno's path of :class:`TeamSession`."""

from agno_nb.types import TeamSession

__all__ = ["TeamSession"]
