"""agno's path and name of :class:`Requirement`."""

from agno_nb.types import Requirement as RunRequirement

__all__ = ["RunRequirement"]
