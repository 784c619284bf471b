"""agno's path."""

from agno_nb.models.providers import AzureOpenAI

__all__ = ["AzureOpenAI"]
