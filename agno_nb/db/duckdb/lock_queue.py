"""Wait for a file lock without polling: the system wakes waiting processes one at a time, in their order.

The call that waits has no time limit and cannot be interrupted, so a thread of its own makes it. If its caller gives up
first, the thread releases the lock as soon as it gets it.
"""

from __future__ import annotations

import os
import threading

try:
    import fcntl
except ImportError:  # Windows has no call that waits for a lock.
    fcntl = None  # type: ignore[assignment]


class LockQueue:
    """Waits for the lock of an open file, which it closes unless the lock is taken."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._state = threading.Lock()
        self._is_waiting = False
        self._is_given_up = False
        self._is_over = threading.Event()
        self._error: OSError | None = None

    def start(self) -> bool:
        """Begin to wait; return False if this system cannot wait, or an interpreter that exits starts no threads."""
        if fcntl is None:
            return False
        self._is_waiting = True
        try:
            # A daemon: the lock may never be released.
            threading.Thread(target=self._wait, name="agno_nb-lock", daemon=True).start()
        except RuntimeError:
            self._is_waiting = False
        return self._is_waiting

    def take(self, timeout_s: float) -> bool:
        """Wait until the file is locked, which the caller then owns; return False after `timeout_s`.

        Raises
        ------
        OSError
            The file cannot be locked.
        """
        if not self._is_over.wait(timeout_s):
            return False
        if self._error is not None:
            raise self._error
        self._descriptor = None
        return True

    def give_up(self) -> None:
        """Close the file, and with it release the lock, as soon as the thread no longer waits."""
        with self._state:
            self._is_given_up = True
            if not self._is_waiting:
                self._close()

    def _wait(self) -> None:
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as error:
            self._error = error
        with self._state:
            self._is_waiting = False
            if self._is_given_up:
                self._close()
            self._is_over.set()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if fcntl is not None:
                # Unlocked first, because a forked process may still have the descriptor, and with it the lock.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
