"""agno's path."""

from agno_nb.models.providers import xAI

__all__ = ["xAI"]
