"""The built-in ways to condense memories, by name."""

from __future__ import annotations

from enum import StrEnum

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.memory.strategies.base import MemoryOptimizationStrategy
from agno_nb.memory.strategies.summarize import SummarizeStrategy


class MemoryOptimizationStrategyType(StrEnum):
    """Name of a way to condense memories."""

    SUMMARIZE = "summarize"


@suggest_on_unknown_kwarg({})
class MemoryOptimizationStrategyFactory:
    """Creates strategies by name."""

    @staticmethod
    def create_strategy(strategy_type: MemoryOptimizationStrategyType | str) -> MemoryOptimizationStrategy:
        """Return the strategy.

        Raises
        ------
        InvalidInputError
            There is no strategy of this name.
        """
        if strategy_type not in tuple(MemoryOptimizationStrategyType):
            names = ", ".join(repr(each.value) for each in MemoryOptimizationStrategyType)
            raise InvalidInputError(f"there is no memory strategy {strategy_type!r}; pass {names}, or your own object")
        classes = {MemoryOptimizationStrategyType.SUMMARIZE: SummarizeStrategy}
        return classes[MemoryOptimizationStrategyType(strategy_type)]()
