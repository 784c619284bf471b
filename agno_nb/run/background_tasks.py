"""Tasks that no caller waits for: runs in the background, and after a run its summary and memories.

The answer is returned without waiting for them. The next run of the session, methods that return summaries or memories,
and the exit of the interpreter wait with :func:`wait_for`. Tasks with the same key run in order, others concurrently.
Everything but the wait at exit happens on the background loop, so no locks are needed.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

from agno_nb.db.base import Db
from agno_nb.errors import AgnoNbError, describe
from agno_nb.event_loop import Job, before_thread_pools_end, finish_jobs, is_closing, is_on_loop, run_blocking
from agno_nb.redact import displayable, warn

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class QueueKey:
    """Key of tasks that run in order: updates of one session's summary or one user's memories in one store.

    A run in the background has a key of its own.
    """

    kind: str
    owner_id: str
    store: str

    @classmethod
    def summary(cls, db: Db, session_id: str) -> QueueKey:
        return cls("summary", session_id, db.identity)

    @classmethod
    def memories(cls, db: Db, user_id: str) -> QueueKey:
        return cls("memories", user_id, db.memory_store.identity)


@dataclass(frozen=True, slots=True)
class BackgroundTask:
    """A task to run after a completed run, when its turn is over."""

    queue_key: QueueKey
    work: Callable[[], Coroutine[Any, Any, Any]]
    on_failure: str
    """Start of the warning if the work fails."""


_last_tasks: dict[QueueKey, asyncio.Task[Any]] = {}
"""The latest unfinished task of each key."""
_failures: dict[QueueKey, list[str]] = {}
"""Failures by key, until a waiting caller reports them."""
_parent_tasks: list[asyncio.Task[Any]] = []
"""In a forked child: tasks of the parent, kept because asyncio warns about pending tasks that are destroyed."""


def schedule(tasks: Iterable[BackgroundTask]) -> None:
    """Start tasks. A failure is reported by the next :func:`wait_for`."""
    for task in tasks:
        run_in_order(task.queue_key, partial(_run_with_report, task))


def run_in_order(key: QueueKey, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
    """Start `work` after the earlier tasks of its key. It continues if the caller is cancelled."""
    _wait_at_exit()
    task = asyncio.get_running_loop().create_task(
        _run_after(_last_tasks.get(key), work),
        # An empty context, because the task is not part of the run that it follows.
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


async def _run_with_report(task: BackgroundTask) -> None:
    try:
        await task.work()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        # No error may leave the task: KeyboardInterrupt or SystemExit would stop the event loop of all runs.
        if is_closing(error):
            raise
        reason = str(error) if isinstance(error, AgnoNbError) else describe(error)
        _failures.setdefault(task.queue_key, []).append(displayable(f"{task.on_failure}: {reason}"))


async def wait_for(*keys: QueueKey) -> None:
    """Wait for the tasks of `keys`, and warn about failures. Cancelling stops only the waiting."""
    tasks = {task for key in keys if (task := _last_tasks.get(key)) is not None}
    if tasks:
        await asyncio.wait(tasks)
    for key in keys:
        for message in _failures.pop(key, []):
            warn(message)


def when_updated(db: Db | None, session_id: str, user_id: str | None, read: Callable[..., T], *arguments: Any) -> T:
    """Return ``read(*arguments)`` after the pending updates of a session's summary and its user's memories.

    On the background loop, which makes the updates, it does not wait.
    """
    if db is not None and not is_on_loop():
        keys = [QueueKey.summary(db, session_id), *([] if user_id is None else [QueueKey.memories(db, user_id)])]
        run_blocking(wait_for(*keys))
    return read(*arguments)


@cache
def _wait_at_exit() -> None:
    before_thread_pools_end(_finish)


def _finish() -> None:
    """Finish the tasks at the exit of the interpreter. An interrupt ends the wait."""
    finish_jobs()  # They may start tasks.
    if not _last_tasks and not _failures:
        return
    try:
        Job(_wait_for_all()).wait()
    except KeyboardInterrupt:
        warn("interrupted; runs in the background, and summaries and memories of the last runs, may be incomplete")


async def _wait_for_all() -> None:
    while lines := {*_last_tasks, *_failures}:
        await wait_for(*lines)


def _after_fork_in_child() -> None:
    _parent_tasks.extend(_last_tasks.values())
    _last_tasks.clear()
    _failures.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
