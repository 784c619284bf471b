"""Wait for a file lock without polling: the system wakes waiting processes one at a time, in their order.

The call that waits has no time limit and cannot be interrupted, so a thread of its own makes it. If its caller gives up
first, the thread releases the lock as soon as it gets it, unless another caller has resumed the wait.
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
        self.descriptor = descriptor
        """The open file; -1 after it was closed or taken."""
        self._state = threading.Lock()
        self._is_started = self._is_waiting = False
        self._is_given_up = False
        self._is_over = threading.Event()
        self._error: OSError | None = None

    def start(self) -> bool:
        """Begin to wait; return False if this system cannot wait, or an interpreter that exits starts no threads."""
        if fcntl is None:
            return False
        if not self._is_started:
            self._is_started = self._is_waiting = True
            try:
                # A daemon: the lock may never be released.
                threading.Thread(target=self._wait, name="agno_nb-lock", daemon=True).start()
            except RuntimeError:
                self._is_started = self._is_waiting = False
        return self._is_started

    def take(self, timeout_s: float) -> int | None:
        """Wait until the file is locked; return its descriptor, which the caller then owns, or None after `timeout_s`.

        Raises
        ------
        OSError
            The file cannot be locked.
        """
        if not self._is_over.wait(timeout_s):
            return None
        if self._error is not None:
            raise self._error
        descriptor, self.descriptor = self.descriptor, -1
        return descriptor

    def give_up(self) -> None:
        """Close the file, and with it release the lock, as soon as the thread no longer waits."""
        with self._state:
            self._is_given_up = True
            if not self._is_waiting:
                self._close()

    def resume(self) -> bool:
        """Continue a wait that was given up; return False if the file has been closed since."""
        with self._state:
            self._is_given_up = False
            return self.descriptor >= 0

    def leave_to_parent(self) -> None:
        """In a forked process, where no thread waits, close the file without releasing the parent's lock."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _wait(self) -> None:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        except OSError as error:
            self._error = error
        with self._state:
            self._is_waiting = False
            if self._is_given_up:
                self._close()
            self._is_over.set()

    def _close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            if fcntl is not None:
                # Unlocked first, because a forked process may still have the descriptor, and with it the lock.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
