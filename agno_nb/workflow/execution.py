"""A workflow's run in progress: completed steps, and how each result is stored."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

from agno_nb.errors import StoreError
from agno_nb.event_loop import uncancellable
from agno_nb.run.context import RunContext
from agno_nb.run.recorder import store_unstored
from agno_nb.types import StepOutput, StepStatus


@dataclass
class WorkflowExecution:
    """A workflow's run while it goes on: what it has done already, and where to write what comes of the next step."""

    context: RunContext
    add_history: bool
    """Whether steps are shown the session's earlier runs, where they do not say themselves."""
    num_history_runs: int
    completed: dict[str, StepOutput] = field(init=False)
    """By path: the steps that are not done again when a run is continued."""

    def __post_init__(self) -> None:
        results = self.context.run.step_results
        self.completed = {output.path: output for output in results if output.status is not StepStatus.ERROR}

    async def record(self, output: StepOutput) -> None:
        """Store what came of a step, and the state as it left it."""
        context = self.context
        index = len(context.run.step_results)
        context.run.step_results.append(output)
        if context.db is not None:
            try:
                await store_unstored(context.db)
                await uncancellable(self._store_output(output, index))
            except StoreError as error:
                # The step is done. The end of the run stores it.
                error.run_output = context.run
                context.unsaved_steps.append((output, index))
                context.has_failed_save = True
                raise
            except BaseException:
                context.run.step_results.remove(output)
                raise

    async def _store_output(self, output: StepOutput, index: int) -> None:
        context = turn = self.context
        assert context.db is not None
        while turn.enclosing_turn is not None:
            turn = turn.enclosing_turn
        async with turn.state_lock:
            state, earlier_changes = context.copy_state(), turn.run.state_changes
            turn.record_state_changes(state)
            add = partial(
                context.db.add_step,
                session_state=state,
                base_state=turn.session.session_state,
                state_changes=None if turn.run.state_changes == earlier_changes else turn.run.state_changes,
            )
            try:
                await asyncio.to_thread(add, context.run, output, index)
            except BaseException:
                turn.run.state_changes = earlier_changes
                raise
            # What is stored of it by now is not a change any more.
            turn.session.session_state = state
