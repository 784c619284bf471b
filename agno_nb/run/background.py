"""Work that follows a run off the critical path: its session's summary, what is remembered of its user.

The answer is returned at once. Whoever needs what the work makes waits for it with :func:`settled`: the next run of
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

from agno_nb._loop import Job, before_thread_pools_end, finish_jobs, is_closing
from agno_nb.db.base import Db
from agno_nb.errors import AgnoNbError, describe
from agno_nb.redact import displayable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Line:
    """Work that is done in order: all that changes one session's summary, or one user's memories, in one store."""

    changes: str
    of: str
    store: str

    @classmethod
    def summary(cls, db: Db, session_id: str) -> Line:
        return cls("summary", session_id, db.identity)

    @classmethod
    def memories(cls, db: Db, user_id: str) -> Line:
        return cls("memories", user_id, db.identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """What is to be done when a run is completed and its turn is over."""

    line: Line
    work: Callable[[], Coroutine[Any, Any, Any]]
    on_failure: str
    """What it means that the work failed: the beginning of the warning."""


_last: dict[Line, asyncio.Task[Any]] = {}
"""The work of each line that was asked for last and has not ended."""
_failures: dict[Line, list[str]] = {}
"""What went wrong, until somebody who waits is told."""
_of_the_parent: list[asyncio.Task[Any]] = []
"""In a forked child: work that the parent does. It is kept because asyncio complains of pending tasks that vanish."""


def begin(follow_ups: Iterable[FollowUp]) -> None:
    """Begin work that nobody waits for yet. A failure is told to whoever does."""
    for follow_up in follow_ups:
        in_turn(follow_up.line, _reporting(follow_up))


def in_turn(line: Line, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
    """Do `work` after the earlier work of its line, whatever becomes of who asks for it."""
    _wait_at_exit()
    task = asyncio.get_running_loop().create_task(
        _after(_last.get(line), work),
        # An empty one: the work is not a part of the run that it follows.
        context=contextvars.Context(),
    )
    _last[line] = task

    def forget(ended: asyncio.Task[T]) -> None:
        if _last.get(line) is ended:
            del _last[line]

    task.add_done_callback(forget)
    return task


async def _after(earlier: asyncio.Task[Any] | None, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    if earlier is not None:
        await asyncio.wait({earlier})
    return await work()


def _reporting(follow_up: FollowUp) -> Callable[[], Coroutine[Any, Any, None]]:
    async def work() -> None:
        try:
            await follow_up.work()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # Nothing may leave the task: KeyboardInterrupt or SystemExit would stop the event loop of all runs.
            if is_closing(error):
                raise
            said = str(error) if isinstance(error, AgnoNbError) else describe(error)
            _failures.setdefault(follow_up.line, []).append(displayable(f"{follow_up.on_failure}: {said}"))

    return work


async def settled(*lines: Line) -> None:
    """Wait until the work of `lines` is done, and warn of what failed. Cancelling stops the waiting only."""
    working = {task for line in lines if (task := _last.get(line)) is not None}
    if working:
        await asyncio.wait(working)
    for line in lines:
        for sentence in _failures.pop(line, []):
            # Python shows the same sentence of the same place once: work that fails again and again is told once.
            warnings.warn(sentence, stacklevel=1)


@cache
def _wait_at_exit() -> None:
    before_thread_pools_end(_finish)


def _finish() -> None:
    """Do what is left at the end of the interpreter, unless the user does not want to wait."""
    finish_jobs()  # What they begin is left too.
    if not _last and not _failures:
        return
    try:
        Job(_all_settled()).wait()
    except KeyboardInterrupt:
        warnings.warn("interrupted: what was to be summarised and remembered of the last runs is lost", stacklevel=1)


async def _all_settled() -> None:
    while lines := {*_last, *_failures}:
        await settled(*lines)


def _leave_to_the_parent() -> None:
    _of_the_parent.extend(_last.values())
    _last.clear()
    _failures.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)
