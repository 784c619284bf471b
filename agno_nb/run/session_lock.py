"""The turns of a session run one after the other, also if one process starts several at once."""

from __future__ import annotations

import asyncio
import warnings
from typing import Literal
from weakref import WeakValueDictionary

_WARN_AFTER_S = 2.0
"""Seconds after which runs that wait for each other are reported."""


class SessionLock(asyncio.Lock):
    """The lock of a session in this process. If several runs wait for it, a warning says how they run at once."""

    def __init__(self, session_id: str) -> None:
        super().__init__()
        self._session_id = session_id
        self._num_waiting = 0
        self._has_warned = False

    async def acquire(self) -> Literal[True]:
        if not self.locked():
            return await super().acquire()
        self._num_waiting += 1
        timer = asyncio.get_running_loop().call_later(_WARN_AFTER_S, self._warn)
        try:
            return await super().acquire()
        finally:
            timer.cancel()
            self._num_waiting -= 1

    def _warn(self) -> None:
        # One waiting run is a question that was sent during an answer. Several are a batch.
        if self._num_waiting < 2 or self._has_warned:
            return
        self._has_warned = True
        warnings.warn(
            f"{self._num_waiting} runs wait for session {self._session_id!r}, because the turns of a session run one "
            "after the other; to run prompts at the same time, pass each run its own session_id",
            stacklevel=1,
        )


_locks: WeakValueDictionary[tuple[str, str], SessionLock] = WeakValueDictionary()


def session_lock(store: str, session_id: str) -> SessionLock:
    """Return the lock of a session in a store."""
    return _locks.setdefault((store, session_id), SessionLock(session_id))
