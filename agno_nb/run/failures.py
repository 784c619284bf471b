"""Ends of runs that failed: the status and error of the run, and the error that its caller gets."""

from __future__ import annotations

from contextlib import suppress

from agno_nb.errors import AgnoNbError, RunError, StoreError, describe, failed_save, leaves, message_of
from agno_nb.run.context import RunContext
from agno_nb.run.recorder import keep
from agno_nb.types import RunOutput, RunStatus, StepStatus, now


def end_closed(context: RunContext) -> None:
    """End a run whose coroutine is being closed. It cannot await anything, so its end is stored in the background."""
    run = context.run
    run.status, run.ended_at = RunStatus.ERROR, now()
    run.error_type, run.error = "GeneratorExit", ""
    if context.db is not None:
        with suppress(RuntimeError):
            keep(context.recorder, StoreError("the run was closed before its end was stored"))


def as_run_error(error: BaseException, run: RunOutput) -> AgnoNbError:
    """Mark `run` as failed with `error`, and return the error to raise."""
    if (unsaved := failed_save(error)) is not None:
        error = unsaved
    elif len(parts := list(leaves(error))) == 1:
        error = parts[0]
    if run.status is RunStatus.PAUSED and isinstance(error, StoreError):
        # The run stays paused, and can be continued when the store works again.
        error.run_output = run
        return error
    run.status = RunStatus.ERROR
    run.error_type, run.error = type(error).__name__, message_of(error)
    if isinstance(error, AgnoNbError):
        run_error = error
        if run_error.run_output is not None and run_error.run_output.error is not None:
            run.error_type, run.error = run_error.run_output.error_type, run_error.run_output.error
    else:
        # In a continued run, a step that failed earlier may have succeeded since.
        latest = {step.path: step.status for step in run.step_results}
        where = next((f" in step {path!r}" for path, status in latest.items() if status is StepStatus.ERROR), "")
        run_error = RunError(f"the run failed{where}: {describe(error)}")
        run_error.__cause__ = error
    # The error of a nested run becomes this run's; the nested run is in `nested_runs`.
    run_error.run_output = run
    return run_error
