"""agno's paths of values that a store keeps."""

from agno_nb.types import UserMemory

__all__ = ["UserMemory"]
