"""Steps that run if a condition is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.run.runnable import Runnable
from agno_nb.types import OnReject, StepKind, StepOutput, StepRequirement
from agno_nb.workflow.cel import compiled
from agno_nb.workflow.execution import WorkflowExecution
from agno_nb.workflow.human_review import HumanReview, takes_review_keywords
from agno_nb.workflow.step import call_step_function
from agno_nb.workflow.steps import StepGroup, StepLike, run_sequence, to_nodes
from agno_nb.workflow.types import StepInput


@takes_review_keywords
@suggest_on_unknown_kwarg({})
class Condition(StepGroup):
    """Steps that run if a condition is true, and others that run if it is false.

    Parameters
    ----------
    evaluator : bool, callable or str, default True
        A sync or async function of the :class:`StepInput`, and of `session_state` and `run_context` if it has
        parameters with these names; or a CEL expression. Not used if a person decides (`requires_confirmation`).
    steps : list
        Steps to run if the condition is true.
    else_steps : list, optional
        Steps to run if it is false.
    name : str, optional
    human_review : HumanReview, optional
        With `requires_confirmation`, approval runs `steps`, and rejection `else_steps` unless `on_reject` says
        otherwise.
    """

    kind: ClassVar[StepKind] = "condition"

    takes_else = True
    default_on_reject = OnReject.else_branch

    def __init__(
        self,
        evaluator: Callable[..., Any] | bool | str = True,
        steps: StepLike = None,
        else_steps: StepLike = None,
        *,
        name: str = "",
        description: str | None = None,
        human_review: HumanReview | None = None,
    ) -> None:
        super().__init__(steps, name, description, human_review)
        self.evaluator = compiled(evaluator)
        self.else_steps = else_steps
        self._else_nodes = to_nodes(else_steps, f"else_steps of condition {self.name!r}") if else_steps else []

    @property
    def runnables(self) -> list[Runnable]:
        return [*super().runnables, *(runnable for node in self._else_nodes for runnable in node.runnables)]

    def decision_of(self, answer: StepRequirement) -> bool:
        return answer.is_approved

    async def _run_children(
        self, step_input: StepInput, execution: WorkflowExecution, decision: bool | None = None
    ) -> list[StepOutput]:
        async def evaluate() -> bool:
            if decision is not None or not callable(self.evaluator):
                return bool(self.evaluator) if decision is None else decision
            return bool(await call_step_function(self.evaluator, step_input, execution))

        is_true = await self._decide_once(evaluate, execution)
        return await run_sequence(self._nodes if is_true else self._else_nodes, step_input, execution)
