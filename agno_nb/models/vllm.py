"""agno's path."""

from agno_nb.models.providers import VLLM

__all__ = ["VLLM"]
