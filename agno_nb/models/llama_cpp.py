"""agno's path."""

from agno_nb.models.providers import LlamaCpp

__all__ = ["LlamaCpp"]
