"""Steps chosen by a function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.types import StepKind, StepOutput
from agno_nb.workflow.step import Node, WorkflowExecution, call_step_function
from agno_nb.workflow.steps import StepGroup, StepLike, run_sequence
from agno_nb.workflow.types import StepInput


@suggest_on_unknown_kwarg({})
class Router(StepGroup):
    """Steps from which a function chooses.

    Parameters
    ----------
    selector : callable
        A sync or async function of the :class:`StepInput`, and of `session_state` and `run_context` if it has
        parameters with these names. It returns a choice, the name of one, or a list of them to run in sequence.
    choices : list
        The steps to choose from.
    name : str, optional
    """

    kind: ClassVar[StepKind] = "router"

    def __init__(
        self, selector: Callable[..., Any], choices: StepLike, *, name: str = "", description: str | None = None
    ) -> None:
        super().__init__(choices, name, description)
        self.selector = selector
        duplicates = [each for each, count in Counter(node.name for node in self._nodes).items() if count > 1]
        if duplicates:
            raise InvalidInputError(f"router {self.name!r} has two choices named {duplicates[0]!r}; rename one")

    async def _run_children(self, step_input: StepInput, execution: WorkflowExecution) -> list[StepOutput]:
        async def select() -> list[str]:
            chosen = await call_step_function(self.selector, step_input, execution.context)
            return [self._choice_name(each) for each in (chosen if isinstance(chosen, list) else [chosen])]

        names = await self._decide_once(select, execution)
        by_name = {node.name: node for node in self._nodes}
        unknown = [name for name in names if name not in by_name]
        if unknown:
            raise InvalidInputError(f"router {self.name!r} has no choice {unknown[0]!r}; it has {', '.join(by_name)}")
        return await run_sequence([by_name[name] for name in names], step_input, execution)

    def _choice_name(self, chosen: Any) -> str:
        if isinstance(chosen, str):
            return chosen
        for node, choice in zip(self._nodes, self.steps, strict=True):
            if chosen is node or chosen is choice:
                return node.name
        # A new step created by the selector stands for the choice with its name.
        return chosen.name if isinstance(chosen, Node) else repr(chosen)
