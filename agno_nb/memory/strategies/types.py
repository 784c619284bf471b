"""The built-in ways to condense memories, by name."""

from __future__ import annotations

from enum import StrEnum

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.memory.strategies.base import MemoryOptimizationStrategy
from agno_nb.memory.strategies.summarize import SummarizeStrategy


class MemoryOptimizationStrategyType(StrEnum):
    """Name of a way to condense memories."""

    SUMMARIZE = "summarize"


@suggest_on_unknown_kwarg({})
class MemoryOptimizationStrategyFactory:
    """Makes the strategy of a name."""

    @staticmethod
    def create_strategy(strategy_type: MemoryOptimizationStrategyType | str) -> MemoryOptimizationStrategy:
        """Return the strategy. Raises a ValueError for an unknown name."""
        classes = {MemoryOptimizationStrategyType.SUMMARIZE: SummarizeStrategy}
        return classes[MemoryOptimizationStrategyType(strategy_type)]()
