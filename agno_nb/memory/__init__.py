"""User memories, shared by all sessions of a user."""

from __future__ import annotations

from agno_nb.memory.manager import MemoryManager
from agno_nb.memory.strategies import (
    MemoryOptimizationStrategy,
    MemoryOptimizationStrategyFactory,
    MemoryOptimizationStrategyType,
    SummarizeStrategy,
)
from agno_nb.types import UserMemory

__all__ = [
    "MemoryManager",
    "MemoryOptimizationStrategy",
    "MemoryOptimizationStrategyFactory",
    "MemoryOptimizationStrategyType",
    "SummarizeStrategy",
    "UserMemory",
]
