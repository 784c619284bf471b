"""The turns of a session run one after the other, also if one process starts several at once."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_WARN_AFTER_S = 2.0
"""Seconds after which runs that wait for each other are reported."""


class SessionLock(asyncio.Lock):
    """The lock of a session in this process."""

    # Without methods of its own, so a run that need not wait pays nothing for it.
    num_waiting = 0
    has_warned = False


@asynccontextmanager
async def waiting_for(lock: SessionLock, session_id: str) -> AsyncIterator[None]:
    """Wait for the lock, and hold it. If several runs wait, a warning says how prompts are run at the same time."""
    lock.num_waiting += 1
    timer = asyncio.get_running_loop().call_later(_WARN_AFTER_S, _warn, lock, session_id)
    try:
        await lock.acquire()
    finally:
        timer.cancel()
        lock.num_waiting -= 1
    try:
        yield
    finally:
        lock.release()


def _warn(lock: SessionLock, session_id: str) -> None:
    # One waiting run is a question that was sent during an answer. Several are a batch.
    if lock.num_waiting < 2 or lock.has_warned:
        return
    lock.has_warned = True
    warnings.warn(
        f"{lock.num_waiting} runs wait for session {session_id!r}, because the turns of a session run one after the "
        "other; to run prompts at the same time, pass each run its own session_id",
        stacklevel=1,
    )
