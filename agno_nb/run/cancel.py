"""Cancel a run by its ID, from any thread or event loop of the process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

tasks: dict[str, asyncio.Task[Any] | None] = {}
"""The task of each run in progress. Only the background loop changes it."""
requested: set[str] = set()
"""IDs of the runs in progress that :func:`cancel_run` is cancelling. Only the background loop changes it."""


def cancel_run(run_id: str) -> bool:
    """Cancel a run of this process, of an agent, team or workflow, with all runs nested in it.

    It ends with status CANCELLED, and is returned, or ends its stream, with its partial output, which is stored. A
    function that is running in a thread is not stopped, but its result is not awaited.

    Parameters
    ----------
    run_id : str
        ID of the run. Its events have it, and ``run(..., run_id=...)`` sets it.

    Returns
    -------
    bool
        Whether the run was in progress.
    """
    task = tasks.get(run_id)
    if task is None:
        return False
    with suppress(RuntimeError):  # The loop is closed at the exit of the interpreter.
        task.get_loop().call_soon_threadsafe(_cancel, run_id, task)
    return True


def _cancel(run_id: str, task: asyncio.Task[Any]) -> None:
    # If the run has ended in the meantime, its task may be executing the run around it.
    if tasks.get(run_id) is task:
        requested.add(run_id)
        task.cancel()


async def acancel_run(run_id: str) -> bool:
    """Async version of :func:`cancel_run`."""
    return cancel_run(run_id)


def is_cancelled(run_id: str) -> bool:
    """Return whether a run in progress is being cancelled."""
    return run_id in requested


def get_active_runs() -> dict[str, bool]:
    """Return the IDs of the runs in progress in this process, and whether each is being cancelled."""
    return {run_id: run_id in requested for run_id in list(tasks)}
