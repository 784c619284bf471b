"""Ways to condense the memories of a user."""

from __future__ import annotations

from agno_nb.memory.strategies.base import MemoryOptimizationStrategy
from agno_nb.memory.strategies.summarize import SummarizeStrategy
from agno_nb.memory.strategies.types import MemoryOptimizationStrategyFactory, MemoryOptimizationStrategyType

__all__ = [
    "MemoryOptimizationStrategy",
    "MemoryOptimizationStrategyFactory",
    "MemoryOptimizationStrategyType",
    "SummarizeStrategy",
]
