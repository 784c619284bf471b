"""agno's path."""

from agno_nb.models.providers import Together

__all__ = ["Together"]
