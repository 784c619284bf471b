"""The interface of a way to condense memories."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from agno_nb.models.base import Model
from agno_nb.types import UserMemory

_CHARS_PER_TOKEN = 4


class MemoryOptimizationStrategy(ABC):
    """A way to condense the memories of a user, for :meth:`~agno_nb.memory.MemoryManager.optimize_memories`."""

    @abstractmethod
    def optimize(self, memories: list[UserMemory], model: Model) -> list[UserMemory]:
        """Return the memories to keep, which may be new ones."""

    @abstractmethod
    async def aoptimize(self, memories: list[UserMemory], model: Model) -> list[UserMemory]:
        """Async version of :meth:`optimize`."""

    def count_tokens(self, memories: Iterable[UserMemory]) -> int:
        """Return the approximate number of tokens of some memories: a quarter of their characters."""
        return sum(-(-len(memory.memory) // _CHARS_PER_TOKEN) for memory in memories)
