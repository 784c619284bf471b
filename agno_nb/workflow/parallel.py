"""Steps that run at the same time."""

from __future__ import annotations

from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import failed_save
from agno_nb.event_loop import run_together
from agno_nb.types import StepKind, StepOutput
from agno_nb.workflow.step import WorkflowExecution
from agno_nb.workflow.steps import StepGroup, StepLike, _has_paused, with_places
from agno_nb.workflow.types import StepInput, merge_outputs


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

    def __init__(self, *steps: StepLike, name: str = "", description: str | None = None) -> None:
        super().__init__(list(steps), name, description)

    async def _run_children(self, step_input: StepInput, execution: WorkflowExecution) -> list[StepOutput]:
        places = with_places(self._nodes, execution)
        outputs, failures = await run_together(node.run_step(step_input, place) for node, place in places)
        # A pause takes precedence over a failure: the failed step is retried when the run is continued. Only a run that
        # could not be stored comes first; the run can still be continued.
        for failure in sorted(failures, key=lambda error: (failed_save(error) is None, not _has_paused(error))):
            raise failure
        return outputs

    def _combined_content(self, outputs: list[StepOutput], step_input: StepInput) -> Any:
        return merge_outputs(output for output in outputs if output.content is not None)
