"""agno's path."""

from agno_nb.models.providers import Claude

__all__ = ["Claude"]
