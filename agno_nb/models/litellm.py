"""agno's path."""

from agno_nb.models.providers import LiteLLMOpenAI

__all__ = ["LiteLLMOpenAI"]
