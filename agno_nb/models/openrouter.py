"""agno's path."""

from agno_nb.models.providers import OpenRouter

__all__ = ["OpenRouter"]
