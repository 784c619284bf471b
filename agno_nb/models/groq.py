"""agno's path."""

from agno_nb.models.providers import Groq

__all__ = ["Groq"]
