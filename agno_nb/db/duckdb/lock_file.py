"""The lock of a store: a small file next to it, with the name of the process that has it and whether others wait.

Only the system's lock on the file protects the store, and it is released when its process ends. The content of the file
is informative: a stale, empty or new file does no harm.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

from agno_nb.db.duckdb.lock_queue import LockQueue
from agno_nb.db.file_locks import no_locks_error
from agno_nb.db.file_names import LOCK
from agno_nb.db.process_id import current_process_id, describe_process, is_dead
from agno_nb.errors import StoreLocked
from agno_nb.redact import warn

POLL_S = 0.001
"""Interval between attempts to take a lock on systems where a process cannot wait for it, in seconds."""
CHECK_S = 0.05
"""Interval at which a waiting process checks for interrupts, the time limit and a replaced file, in seconds."""
PATIENCE_S = 2.0
"""Waiting time after which a warning names the process that has the lock, in seconds."""

# The first byte is not used, because on Windows other processes cannot read a locked byte. A waiting process writes the
# second, and the next process that takes the lock overwrites the whole file.
_WANTED_AT, _SIZE = 1, 512
_NOBODY_WAITS, _WANTED = b"-", b"?"

_TOKEN = uuid.uuid4().hex
"""Distinguishes this process, and those forked from it, from others with the same ID."""

_warned: set[Path] = set()
"""Stores for which this process has warned that it waits."""


class LockFile:
    """The lock of a store, for one process. Only one of its threads may use it at a time.

    It is a lock on a descriptor. A `filelock.FileLock` would remember the thread that has it, and refuse this thread
    another lock on the same file although another thread is about to release it.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._path = Path(f"{store}{LOCK}")
        self._descriptor: int | None = None
        self._queue: LockQueue | None = None
        """The last wait. If it was given up, the next caller resumes it: each attempt would leave a thread behind."""
        self.is_back = False
        """Whether certainly no other process has had the lock since this one had it last."""
        self.is_shared = False
        """Whether the last process that had the lock is another one that may still be alive."""
        self.is_new = False
        """Whether this process created the file when it last opened it."""

    def acquire(self, timeout_s: float, *, since: float, write: bool, check: Callable[[], None]) -> None:
        """Take the lock, unless this process already has it.

        The waiting time counts from `since`, on the monotonic clock. `check` is called between attempts, and may raise
        an exception to stop waiting.

        Raises
        ------
        StoreLocked
            It took longer than `timeout_s`.
        OSError
            The file cannot be created or opened. Readers don't need it.
        """

        def keep_waiting() -> None:
            waited_s = time.monotonic() - since
            if waited_s >= timeout_s:
                raise StoreLocked(
                    f"timed out after {timeout_s:g} s waiting for store {self._store}, locked by {self._holder()}; "
                    "wait for it to finish, raise lock_timeout_s, or use another db_file"
                )
            if waited_s >= PATIENCE_S and self._store not in _warned:
                _warned.add(self._store)
                warn(f"waiting for {self._holder()}, which has the store {self._store}")
            check()

        while self._descriptor is None:
            descriptor = self._open(write=write)
            if descriptor is None:
                self.is_back = False
                return
            has_waited = not self._lock(descriptor)
            locked = self._wait(descriptor, since + timeout_s, keep_waiting) if has_waited else descriptor
            if locked is None:
                continue
            if self._is_in_place(locked):
                self._take(locked, has_waited=has_waited)
            else:
                unlock_descriptor(locked)
                os.close(locked)

    def _wait(self, descriptor: int, until: float, keep_waiting: Callable[[], None]) -> int | None:
        """Wait for the lock of an open file that another process has, or for a moment if the system has no queue.

        Return the descriptor of the file that is locked now, or None. Any other one is closed.
        """
        queue = self._resumed_wait()
        if queue is None:
            queue = self._queue = LockQueue(descriptor)
        else:
            os.close(descriptor)
            descriptor = queue.descriptor
        _write(descriptor, _WANTED_AT, _WANTED)
        try:
            keep_waiting()
            if not queue.start():
                time.sleep(POLL_S)
                queue.give_up()
                return None
            while (locked := queue.take(min(CHECK_S, max(0.0, until - time.monotonic())))) is None:
                keep_waiting()
                if not self._is_in_place(descriptor):
                    queue.give_up()
                    return None
                # Another process may have got the lock without waiting, and cleared the mark.
                _write(descriptor, _WANTED_AT, _WANTED)
        except BaseException as error:
            queue.give_up()
            if isinstance(error, OSError):
                raise no_locks_error(self._store, error.strerror or str(error)) from error
            raise
        return locked

    def _resumed_wait(self) -> LockQueue | None:
        """Resume the last wait if it was given up but has not ended, and is for the file that is in place."""
        queue = self._queue
        if queue is None or not queue.resume():
            return None
        if not self._is_in_place(queue.descriptor):
            queue.give_up()
            return None
        return queue

    def _take(self, descriptor: int, *, has_waited: bool) -> None:
        """Record that this process has the lock."""
        who = b"%b\n%b" % (describe_process().encode()[: _SIZE // 2], f"{current_process_id()} {_TOKEN}".encode())
        last = _read(descriptor, _WANTED_AT + 1, _SIZE).rstrip()
        self.is_back = last == who
        self.is_shared = not self.is_back and _is_alive(last)
        # After a wait, others may still wait. Only a process that got the lock at once knows that there are none.
        wanted = _read(descriptor, _WANTED_AT, 1) if has_waited else _NOBODY_WAITS
        _write(descriptor, 0, b" " + (wanted or _NOBODY_WAITS) + who.ljust(_SIZE - 2))
        self._descriptor = descriptor

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # Unlocked first, because a forked process may still have the descriptor, and with it the lock.
            unlock_descriptor(descriptor)
            os.close(descriptor)

    def remove(self) -> None:
        """Delete the file, which this process has locked and will release now.

        A process that waits for the deleted file finds out that it is not in place, and locks a new one.
        """
        if self._descriptor is not None and self._is_in_place(self._descriptor):
            with suppress(OSError):
                self._path.unlink()

    def leave_to_parent(self) -> None:
        """In a forked process, close the descriptor without releasing the parent's lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        if self._queue is not None:
            self._queue.leave_to_parent()

    @property
    def is_held(self) -> bool:
        """Whether this process has the lock."""
        return self._descriptor is not None

    def is_wanted(self) -> bool:
        """Whether another process waits for the lock of this one."""
        return self._descriptor is not None and _read(self._descriptor, _WANTED_AT, 1) == _WANTED

    def is_lost(self) -> bool:
        """Whether the locked file was deleted, so that others would lock another one."""
        return self._descriptor is not None and not self._is_in_place(self._descriptor)

    def _lock(self, descriptor: int) -> bool:
        """Lock an open file if it is not locked. If an exception is raised, it is closed."""
        try:
            return lock_descriptor(descriptor, blocking=False)
        except OSError as error:
            os.close(descriptor)
            raise no_locks_error(self._store, error.strerror or str(error)) from error

    def _open(self, *, write: bool) -> int | None:
        """Open the file, which writers create. Return None if a reader finds no file that it can lock.

        A file created by a reader would belong to it, and keep the owner of the store from writing.
        """
        binary = getattr(os, "O_BINARY", 0)
        self.is_new = False
        try:
            return os.open(self._path, os.O_RDWR | binary)
        except FileNotFoundError:
            return self._create(binary) if write else None
        except OSError:
            if write:
                raise
        try:
            # This is enough for the lock, although its holder cannot see that this process waits.
            return os.open(self._path, os.O_RDONLY | binary)
        except OSError:
            return None

    def _create(self, binary: int) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | binary, 0o666)
        self.is_new = True
        # All users who may write to the store may take its lock, whatever the umask.
        with suppress(OSError, AttributeError):
            os.fchmod(descriptor, 0o600 | (self._store.stat().st_mode & 0o666))
        return descriptor

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _holder(self) -> str:
        try:
            with self._path.open("rb") as file:
                file.seek(_WANTED_AT + 1)
                who = file.readline(_SIZE).decode(errors="replace").strip()
        except OSError:
            who = ""
        return who or "another process"


def _is_alive(who: bytes) -> bool:
    """Whether the process that has written `who` into the file may be alive. An empty file had none."""
    worker = who.decode(errors="replace").rpartition("\n")[2].partition(" ")[0]
    try:
        return who != b"" and not is_dead(worker)
    except ValueError:  # The content is of another program.
        return True


def _write(descriptor: int, place: int, text: bytes) -> None:
    # The lock works without the content, for example on a full disk.
    with suppress(OSError):
        os.lseek(descriptor, place, os.SEEK_SET)
        os.write(descriptor, text)


def _read(descriptor: int, place: int, size: int) -> bytes:
    os.lseek(descriptor, place, os.SEEK_SET)
    return os.read(descriptor, size)
