"""Steps that run if a condition is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.run.runnable import Runnable
from agno_nb.types import StepKind, StepOutput
from agno_nb.workflow.step import WorkflowExecution, call_step_function
from agno_nb.workflow.steps import StepGroup, StepLike, run_sequence, to_nodes
from agno_nb.workflow.types import StepInput


@suggest_on_unknown_kwarg({})
class Condition(StepGroup):
    """Steps that run if a condition is true, and others that run if it is false.

    Parameters
    ----------
    evaluator : bool or callable
        A sync or async function of the :class:`StepInput`, and of `session_state` and `run_context` if it has
        parameters with these names.
    steps : list
        Steps to run if the condition is true.
    else_steps : list, optional
        Steps to run if it is false.
    name : str, optional
    """

    kind: ClassVar[StepKind] = "condition"

    def __init__(
        self,
        evaluator: Callable[..., Any] | bool,
        steps: StepLike,
        else_steps: StepLike = None,
        *,
        name: str = "",
        description: str | None = None,
    ) -> None:
        super().__init__(steps, name, description)
        self.evaluator = evaluator
        self._else_nodes = to_nodes(else_steps, f"else_steps of condition {self.name!r}") if else_steps else []

    @property
    def runnables(self) -> list[Runnable]:
        return [*super().runnables, *(runnable for node in self._else_nodes for runnable in node.runnables)]

    async def _run_children(self, step_input: StepInput, execution: WorkflowExecution) -> list[StepOutput]:
        async def evaluate() -> bool:
            if not callable(self.evaluator):
                return bool(self.evaluator)
            return bool(await call_step_function(self.evaluator, step_input, execution.context))

        is_true = await self._decide_once(evaluate, execution)
        return await run_sequence(self._nodes if is_true else self._else_nodes, step_input, execution)
