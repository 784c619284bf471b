"""Steps that run at the same time."""

from __future__ import annotations

from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import failed_save, leaves
from agno_nb.event_loop import run_together
from agno_nb.types import StepKind, StepOutput
from agno_nb.workflow.execution import WorkflowExecution
from agno_nb.workflow.human_review import HumanReview, WorkflowRejected, takes_review_keywords
from agno_nb.workflow.steps import StepGroup, StepLike, _has_paused, with_places
from agno_nb.workflow.types import StepInput, merge_outputs


@takes_review_keywords
@suggest_on_unknown_kwarg({})
class Parallel(StepGroup):
    """Steps that run at the same time, each with the same input.

    They share the session's state, which is one dict: no key is lost, and the later write of a key wins. If a step
    fails, the others finish first. The content is the content of all steps, each under its name, in the order of the
    arguments.

    Parameters
    ----------
    *steps : Step, agent, team, workflow or function
    name : str, optional
    """

    kind: ClassVar[StepKind] = "parallel"

    def __init__(
        self,
        *steps: StepLike,
        name: str = "",
        description: str | None = None,
        human_review: HumanReview | None = None,
    ) -> None:
        # agno also takes the name as the first argument.
        first, rest = (str(steps[0]), steps[1:]) if steps and isinstance(steps[0], str) else ("", steps)
        super().__init__(list(rest), name or first, description, human_review)

    async def _run_children(
        self, step_input: StepInput, execution: WorkflowExecution, decision: Any = None
    ) -> list[StepOutput]:
        places = with_places(self._nodes, execution)
        outputs, failures = await run_together(node.run_step(step_input, place) for node, place in places)
        for failure in sorted(failures, key=_precedence):
            raise failure
        return outputs

    def _combined_content(self, outputs: list[StepOutput], step_input: StepInput) -> Any:
        return merge_outputs(output for output in outputs if output.content is not None)


def _precedence(failure: BaseException) -> tuple[bool, ...]:
    """Return a key that sorts the failures of the steps.

    A run that could not be stored comes first, because it can still be continued. The next is a rejection that ends the
    workflow. A pause precedes other failures: the failed step is retried when the run is continued.
    """
    was_rejected = any(isinstance(part, WorkflowRejected) for part in leaves(failure))
    return failed_save(failure) is None, not was_rejected, not _has_paused(failure)
