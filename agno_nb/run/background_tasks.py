"""Work that follows a run off the critical path: its session's summary, what is remembered of its user.

The answer is returned at once. Whoever needs what the work makes waits for it with :func:`wait_for`: the next run of
the session, an accessor, the end of the interpreter. The work of one line is done in order, that of different lines
side by side. All but the wait at the end happens on the background loop, so there is nothing to lock.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import warnings
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from agno_nb.db.base import Db
from agno_nb.errors import AgnoNbError, describe
from agno_nb.event_loop import Job, before_thread_pools_end, finish_jobs, is_closing
from agno_nb.redact import displayable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class QueueKey:
    """Work that is done in order: all that changes one session's summary, or one user's memories, in one store."""

    kind: str
    owner_id: str
    store: str

    @classmethod
    def summary(cls, db: Db, session_id: str) -> QueueKey:
        return cls("summary", session_id, db.identity)

    @classmethod
    def memories(cls, db: Db, user_id: str) -> QueueKey:
        return cls("memories", user_id, db.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundTask:
    """What is to be done when a run is completed and its turn is over."""

    queue_key: QueueKey
    work: Callable[[], Coroutine[Any, Any, Any]]
    on_failure: str
    """What it means that the work failed: the beginning of the warning."""


_last_tasks: dict[QueueKey, asyncio.Task[Any]] = {}
"""The work of each line that was asked for last and has not ended."""
_failures: dict[QueueKey, list[str]] = {}
"""What went wrong, until somebody who waits is told."""
_parent_tasks: list[asyncio.Task[Any]] = []
"""In a forked child: work that the parent does. It is kept because asyncio complains of pending tasks that vanish."""


def schedule(tasks: Iterable[BackgroundTask]) -> None:
    """Begin work that nobody waits for yet. A failure is told to whoever does."""
    for task in tasks:
        run_in_order(task.queue_key, _with_failure_report(task))


def run_in_order(key: QueueKey, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
    """Do `work` after the earlier work of its line, whatever becomes of who asks for it."""
    _wait_at_exit()
    task = asyncio.get_running_loop().create_task(
        _run_after(_last_tasks.get(key), work),
        # An empty one: the work is not a part of the run that it follows.
        context=contextvars.Context(),
    )
    _last_tasks[key] = task

    def forget(ended: asyncio.Task[T]) -> None:
        if _last_tasks.get(key) is ended:
            del _last_tasks[key]

    task.add_done_callback(forget)
    return task


async def _run_after(earlier: asyncio.Task[Any] | None, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    if earlier is not None:
        await asyncio.wait({earlier})
    return await work()


def _with_failure_report(task: BackgroundTask) -> Callable[[], Coroutine[Any, Any, None]]:
    async def work() -> None:
        try:
            await task.work()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # Nothing may leave the task: KeyboardInterrupt or SystemExit would stop the event loop of all runs.
            if is_closing(error):
                raise
            reason = str(error) if isinstance(error, AgnoNbError) else describe(error)
            _failures.setdefault(task.queue_key, []).append(displayable(f"{task.on_failure}: {reason}"))

    return work


async def wait_for(*keys: QueueKey) -> None:
    """Wait until the work of `keys` is done, and warn of what failed. Cancelling stops the waiting only."""
    tasks = {task for key in keys if (task := _last_tasks.get(key)) is not None}
    if tasks:
        await asyncio.wait(tasks)
    for key in keys:
        for message in _failures.pop(key, []):
            # Python shows the same sentence of the same place once: work that fails again and again is told once.
            warnings.warn(message, stacklevel=1)


@cache
def _wait_at_exit() -> None:
    before_thread_pools_end(_finish)


def _finish() -> None:
    """Do what is left at the end of the interpreter, unless the user does not want to wait."""
    finish_jobs()  # What they begin is left too.
    if not _last_tasks and not _failures:
        return
    try:
        Job(_wait_for_all()).wait()
    except KeyboardInterrupt:
        warnings.warn("interrupted: what was to be summarised and remembered of the last runs is lost", stacklevel=1)


async def _wait_for_all() -> None:
    while lines := {*_last_tasks, *_failures}:
        await wait_for(*lines)


def _after_fork_in_child() -> None:
    _parent_tasks.extend(_last_tasks.values())
    _last_tasks.clear()
    _failures.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
