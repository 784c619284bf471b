"""agno's path."""

from agno_nb.models.providers import Ollama

__all__ = ["Ollama"]
