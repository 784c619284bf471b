"""agno's path."""

from agno_nb.models.providers import DeepSeek

__all__ = ["DeepSeek"]
