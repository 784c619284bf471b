"""Steps that repeat until a condition is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.types import RunEvent, StepKind, StepOutput
from agno_nb.workflow.step import WorkflowExecution, call_step_function
from agno_nb.workflow.steps import StepGroup, run_sequence
from agno_nb.workflow.types import StepInput, flatten


@suggest_on_unknown_kwarg({})
@dataclass(eq=False, repr=False)
class Loop(StepGroup):
    """Steps that repeat, each iteration with the output of the one before.

    Parameters
    ----------
    steps : list
    name : str, optional
    max_iterations : int, optional
    end_condition : callable, optional
        A sync or async function of the list of outputs of one iteration, and of `session_state` and `run_context` if
        it has parameters with these names. The loop ends if it returns true.
    """

    kind: ClassVar[StepKind] = "loop"

    _: KW_ONLY
    max_iterations: int = 3
    end_condition: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.max_iterations, int) or self.max_iterations < 1:
            raise InvalidInputError(f"max_iterations of loop {self.name!r} is {self.max_iterations!r}; pass 1 or more")

    async def _run_children(self, step_input: StepInput, execution: WorkflowExecution) -> list[StepOutput]:
        context, outputs = execution.context, list[StepOutput]()
        for iteration in range(self.max_iterations):
            place = replace(execution, path=f"{execution.path}[{iteration}]", iteration=iteration)
            context.emit(RunEvent.loop_iteration_started, step=place.path)
            latest = await run_sequence(self._nodes, step_input, place)
            outputs += latest
            for output in latest:
                step_input = step_input.append(output)

            async def should_continue(latest: list[StepOutput] = latest) -> bool:
                if self.end_condition is None:
                    return True
                outputs = [each for output in latest for each in flatten(output)]
                return not await call_step_function(self.end_condition, outputs, context)

            stops = any(output.stop for output in latest)
            is_last = (
                stops or iteration + 1 == self.max_iterations or not await self._decide_once(should_continue, place)
            )
            context.emit(RunEvent.loop_iteration_completed, step=place.path)
            if is_last:
                break
        return outputs
