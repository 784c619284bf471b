"""agno's path."""

from agno_nb.models.providers import MistralChat

__all__ = ["MistralChat"]
