"""Steps that repeat until a condition is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.tools.result import to_text
from agno_nb.types import RunEvent, StepKind, StepOutput, StepRequirement
from agno_nb.workflow.cel import compiled
from agno_nb.workflow.execution import WorkflowExecution
from agno_nb.workflow.human_review import Questions, takes_review_keywords
from agno_nb.workflow.step import call_step_function
from agno_nb.workflow.steps import StepGroup, run_sequence
from agno_nb.workflow.types import StepInput, flatten


@takes_review_keywords
@suggest_on_unknown_kwarg({})
@dataclass(eq=False, repr=False)
class Loop(StepGroup):
    """Steps that repeat.

    Parameters
    ----------
    steps : list
    name : str, optional
    max_iterations : int, optional
    end_condition : callable or str, optional
        A sync or async function of the list of outputs of one iteration, and of `session_state` and `run_context` if
        it has parameters with these names. The loop ends if it returns true. Or a CEL expression.
    forward_iteration_output : bool, default False
        Whether each iteration gets the output of the one before, and not the input of the loop. After a rejected
        `requires_iteration_review` it does so in any case.
    human_review : HumanReview, optional
    """

    kind: ClassVar[StepKind] = "loop"

    _: KW_ONLY
    max_iterations: int = 3
    end_condition: Callable[..., Any] | str | None = None
    forward_iteration_output: bool = False

    supported_reviews = frozenset({"confirmation", "iteration_review"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.max_iterations, int) or self.max_iterations < 1:
            raise InvalidInputError(f"max_iterations of loop {self.name!r} is {self.max_iterations!r}; pass 1 or more")

        self._ends = compiled(self.end_condition)

    async def _run_children(
        self, step_input: StepInput, execution: WorkflowExecution, decision: Any = None
    ) -> list[StepOutput]:
        context, outputs, first_input = execution.context, list[StepOutput](), step_input
        for iteration in range(self.max_iterations):
            place = replace(execution, path=f"{execution.path}[{iteration}]", iteration=iteration)
            details = {"iteration": iteration + 1, "max_iterations": self.max_iterations}
            context.emit(RunEvent.loop_iteration_started, step=place.path, details=details)
            latest = await run_sequence(self._nodes, step_input, place)
            is_last = any(output.stop for output in latest) or iteration + 1 == self.max_iterations
            is_last = is_last or not await self._continues(latest, iteration, place)
            context.emit(RunEvent.loop_iteration_completed, step=place.path, details=details)
            review = None if is_last else self._review(latest, place)
            if review is not None and review.edited_output is not None:
                latest[-1] = replace(latest[-1], content=review.edited_output)
            outputs += latest
            if is_last or (review is not None and not self._goes_on_after(review, place)):
                break
            if self.forward_iteration_output or review is not None:
                for output in latest:
                    step_input = step_input.append(output)
            else:
                step_input = first_input
            if review is not None:
                step_input = step_input.with_data(rejection_feedback=review.note)
        return outputs

    async def _continues(self, latest: list[StepOutput], iteration: int, place: WorkflowExecution) -> bool:
        async def decide() -> bool:
            if self._ends is None:
                return True
            outputs = [each for output in latest for each in flatten(output)]
            more = {"current_iteration": iteration + 1, "max_iterations": self.max_iterations}
            return not await call_step_function(self._ends, outputs, place, **more)

        return bool(await self._decide_once(decide, place))

    def _review(self, latest: list[StepOutput], place: WorkflowExecution) -> StepRequirement | None:
        """Return the review of an iteration, if the loop requires one."""
        if self.human_review is None or not self.human_review.requires_iteration_review:
            return None
        questions, content = Questions(self, place), latest[-1].content
        message = self.human_review.iteration_review_message
        text = None if content is None else to_text(content)
        answer = questions.ask("iteration_review", message, output=text, retry_count=place.iteration)
        questions.wait_for(answer)
        return answer

    def _goes_on_after(self, review: StepRequirement, place: WorkflowExecution) -> bool:
        if review.is_approved:
            return False
        Questions(self, place).cancel_if(review)
        return True
