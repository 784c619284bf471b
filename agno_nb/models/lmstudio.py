"""agno's path."""

from agno_nb.models.providers import LMStudio

__all__ = ["LMStudio"]
