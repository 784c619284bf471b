"""Runs in the background: ``arun(background=True)`` returns when the run is stored, and the run continues."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from agno_nb.errors import AgnoNbError, InvalidInputError
from agno_nb.redact import warn
from agno_nb.run.background_tasks import QueueKey, run_in_order
from agno_nb.run.context import Emit
from agno_nb.run.execute import execute, new_run
from agno_nb.run.options import RunOptions
from agno_nb.types import RunOutput, RunOutputEvent

if TYPE_CHECKING:
    from agno_nb.run.runnable import Runnable

MAX_WAIT_S = 1.0
"""Seconds to wait until the run is stored. It is stored later if its session has another turn in progress."""


async def start_in_background(runnable: Runnable, text: str, options: RunOptions, emit_to: Emit) -> RunOutput:
    """Start a run that is not nested in any other, and return it as it is before its first step.

    Raises
    ------
    InvalidInputError
        There is no store to read the run from.
    AgnoNbError
        The run was refused before it was stored, for example because the session belongs to another user.
    """
    db = runnable.current_db
    if db is None:
        raise InvalidInputError(
            f"background=True needs a store to read the run from, but {runnable!r} has none; set db="
        )
    run = new_run(runnable, text, options, None, db)
    own = RunOptions(run_id=run.run_id, session_id=run.session_id, user_id=run.user_id)
    started = _BackgroundRun()
    key = QueueKey("run", run.run_id, db.identity)
    task = run_in_order(key, partial(started.execute, runnable, text, options | own))
    stored = asyncio.ensure_future(started.is_stored.wait())
    try:
        await asyncio.wait({task, stored}, timeout=MAX_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    except asyncio.CancelledError:
        task.cancel()
        raise
    finally:
        stored.cancel()
        started.is_returned = True
    return run


class _BackgroundRun:
    """A run whose caller waits only until it is stored."""

    def __init__(self) -> None:
        self.is_stored = asyncio.Event()
        self.is_returned = False

    async def execute(self, runnable: Runnable, text: str, options: RunOptions) -> None:
        try:
            await execute(runnable, text, options, self._note)
        except AgnoNbError as error:
            # Of a stored run, the row has the error.
            if self.is_stored.is_set():
                return
            if not self.is_returned:
                raise
            warn(f"background run {options.get('run_id')!r} could not start: {error}")

    def _note(self, event: RunOutputEvent) -> None:
        self.is_stored.set()
