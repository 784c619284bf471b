"""Cancel a run by its ID, from any thread or event loop of the process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from agno_nb._agno_parts import explain_missing_names

explain_missing_names(__name__)

MAX_REQUESTED = 10_000
"""Number of IDs of runs that have not started to remember, the latest ones."""

_tasks: dict[str, asyncio.Task[Any]] = {}
"""The task of each run in progress. Only the background loop changes it."""
_requested: dict[str, None] = {}
"""IDs for which :func:`cancel_run` was called, of runs in progress and of runs that have not started."""


def cancel_run(run_id: str) -> bool:
    """Cancel a run of this process, of an agent, team or workflow, with all runs nested in it.

    It ends with status CANCELLED, and is returned, or ends its stream, with its partial output, which is stored. A
    function that is running in a thread is not stopped, but its result is not awaited. A run that has already ended is
    not changed. A run that has not started, or waits for its turn in the session, is cancelled at its start.

    Parameters
    ----------
    run_id : str
        ID of the run. Its events have it, and ``run(..., run_id=...)`` sets it.

    Returns
    -------
    bool
        Whether the run was in progress, or is already to be cancelled at its start.
    """
    # In this order, so that a run that starts now either finds its ID, or has a task.
    is_repeated = run_id in _requested
    _requested[run_id] = None
    task = _tasks.get(run_id)
    if task is None:
        while len(_requested) > MAX_REQUESTED:
            _requested.pop(next(iter(_requested)), None)
        return is_repeated
    with suppress(RuntimeError):  # The loop is closed at the exit of the interpreter.
        task.get_loop().call_soon_threadsafe(_cancel, run_id, task)
    return True


def _cancel(run_id: str, task: asyncio.Task[Any]) -> None:
    """Cancel the task of a run, unless the run has ended. The task may be executing another run then."""
    if _tasks.get(run_id) is task:
        task.cancel()
    else:
        _requested.pop(run_id, None)


async def acancel_run(run_id: str) -> bool:
    """Async version of :func:`cancel_run`."""
    return cancel_run(run_id)


def is_cancelled(run_id: str) -> bool:
    """Return whether a run in progress is being cancelled, or a run that has not started will be."""
    return run_id in _requested


async def ais_cancelled(run_id: str) -> bool:
    """Async version of :func:`is_cancelled`."""
    return is_cancelled(run_id)


def get_active_runs() -> dict[str, bool]:
    """Return the IDs of the runs in progress in this process, and whether each is being cancelled."""
    return {run_id: run_id in _requested for run_id in list(_tasks)}


async def aget_active_runs() -> dict[str, bool]:
    """Async version of :func:`get_active_runs`."""
    return get_active_runs()


def start(run_id: str, *, is_continued: bool) -> None:
    """Allow that a run is cancelled from here on, in the current task.

    Raises
    ------
    asyncio.CancelledError
        :func:`cancel_run` was called for a new run before it started. A paused run is not affected by earlier calls.
    """
    task = asyncio.current_task()
    assert task is not None
    _tasks[run_id] = task
    if run_id in _requested:
        if not is_continued:
            raise asyncio.CancelledError
        del _requested[run_id]


def end(run_id: str) -> bool:
    """Return whether a run was cancelled with :func:`cancel_run`, before its end is stored. Later it cannot be."""
    _tasks.pop(run_id, None)
    if run_id not in _requested:
        return False
    del _requested[run_id]
    return True
