"""Steps that run at the same time."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import failed_save
from agno_nb.types import StepKind, StepOutput
from agno_nb.workflow.execution import WorkflowExecution
from agno_nb.workflow.step import Node
from agno_nb.workflow.steps import StepGroup, StepLike, _has_paused, _with_paths
from agno_nb.workflow.types import StepInput, merge_outputs


@suggest_on_unknown_kwarg({})
class Parallel(StepGroup):
    """Steps side by side, each with the same input.

    They share the session's state as all steps do: there is one dict, so no key is lost; what two of them set under the
    same key is what the later of them set. When one fails, the others are done to their end first. Its content is that
    of all of them, each under its name, in the order in which they are given.

    Parameters
    ----------
    *steps : Step, agent, team, workflow or function
    name : str, optional
    """

    kind: ClassVar[StepKind] = "parallel"

    def __init__(self, *steps: StepLike, name: str = "", description: str | None = None) -> None:
        super().__init__(list(steps), name, description)

    async def _run_children(
        self, step_input: StepInput, execution: WorkflowExecution, path: str, iteration: int | None
    ) -> list[StepOutput]:
        failures: list[BaseException] = []

        async def run_node(node: Node, place: str) -> StepOutput | None:
            try:
                return await node.run_step(step_input, execution, place, iteration)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                failures.append(error)
                return None

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run_node(node, place)) for node, place in _with_paths(self._nodes, path)]
        # A person is asked before a failure ends the run: what failed is tried again when it goes on. Only if a run
        # could not be stored, that comes first; the run can be continued all the same.
        for failure in sorted(failures, key=lambda error: (failed_save(error) is None, not _has_paused(error))):
            raise failure
        return [output for task in tasks if (output := task.result()) is not None]

    def _combined_content(self, outputs: list[StepOutput], step_input: StepInput) -> Any:
        return merge_outputs(output for output in outputs if output.content is not None)
