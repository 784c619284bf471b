"""The lock of a store's file: a small file beside it, which says who has the store and whether somebody waits.

The system's lock on the file is what counts, and it ends with the process that has it, however that ends. What stands
in the file is only for people and good manners: a file that is stale, empty or new changes nothing.
"""

from __future__ import annotations

import os
import time
import uuid
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

from agno_nb.db.process_id import current_process_id, describe_process, is_dead
from agno_nb.errors import StoreLocked
from agno_nb.redact import displayable

LOCK = ".lock"
"""Suffix of the lock file's name, after the name of the store."""
POLL_S = 0.001
"""How often a lock that somebody else has is tried again."""
PATIENCE_S = 2.0
"""How long a process waits before it says for whom."""

# The first byte is left alone, because Windows lets nobody else read a byte that is locked. Whoever waits writes into
# the second; the next one to have the lock writes anew from the first on.
_WANTED_AT, _SIZE = 1, 512
_NOBODY_WAITS, _WANTED = b"-", b"?"

_TOKEN = uuid.uuid4().hex
"""Tells this process, and those forked from it, from others of its name."""


class LockFile:
    """The lock of the store `store`, for one process. Its threads must see to it that one of them uses it at a time.

    It is a lock on a descriptor, and not a `filelock.FileLock`, which would remember the thread that has it and refuse
    that thread a lock of its own on the same file, although another thread is about to let go.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._path = Path(f"{store}{LOCK}")
        self._descriptor: int | None = None
        self.is_back = False
        """Whether nobody else has had the lock since this process had it last. What is not sure is taken for False."""
        self.is_shared = False
        """Whether another process that may go on has had it last."""
        self.is_new = False
        """Whether this process created the file when it opened it last."""

    def acquire(self, timeout_s: float, *, since: float, write: bool, meanwhile: Callable[[], None]) -> None:
        """Wait until nobody else has the store. Nothing happens where this process has it already.

        The time of waiting counts from `since`, on the monotonic clock. `meanwhile` is called between the attempts, and
        ends the waiting by raising.

        Raises
        ------
        StoreLocked
            It took longer than `timeout_s`.
        OSError
            The file cannot be created or opened. Reading needs no such file.
        """
        is_told = False
        while not self._try(write=write):
            waited_s = time.monotonic() - since
            if waited_s >= timeout_s:
                raise StoreLocked(
                    f"{self._holder()} has kept the store {self._store} for {timeout_s:g} s; let it finish, or give "
                    "this notebook another db_file"
                )
            if waited_s >= PATIENCE_S and not is_told:
                is_told = True
                warnings.warn(
                    displayable(f"waiting for {self._holder()}, which has the store {self._store}"), stacklevel=2
                )
            meanwhile()
            time.sleep(min(POLL_S, timeout_s - waited_s))

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # Unlocked first: a process forked meanwhile may still have the descriptor, and with it the lock.
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
        """Forget, in a forked process, what the parent has locked; the parent still has it then."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @property
    def is_held(self) -> bool:
        """Whether this process has the lock."""
        return self._descriptor is not None

    def is_wanted(self) -> bool:
        """Tell whether another process waits for the lock, which this one has."""
        return self._descriptor is not None and _read(self._descriptor, _WANTED_AT, 1) == _WANTED

    def is_lost(self) -> bool:
        """Tell whether the locked file is not the one that others would lock: somebody deleted it."""
        return self._descriptor is not None and not self._is_in_place(self._descriptor)

    def _try(self, *, write: bool) -> bool:
        if self._descriptor is not None:
            return True
        descriptor = self._open(write=write)
        if descriptor is None:
            self.is_back = False
            return True
        try:
            if lock_descriptor(descriptor, blocking=False) and self._is_in_place(descriptor):
                who = b"%b\n%b" % (
                    describe_process().encode()[: _SIZE // 2],
                    f"{current_process_id()} {_TOKEN}".encode(),
                )
                last = _read(descriptor, _WANTED_AT + 1, _SIZE).rstrip()
                self.is_back = last == who
                self.is_shared = not self.is_back and _is_alive(last)
                _write(descriptor, 0, b" " + _NOBODY_WAITS + who.ljust(_SIZE - 2))
                self._descriptor = descriptor
                return True
            _write(descriptor, _WANTED_AT, _WANTED)
            return False
        finally:
            if self._descriptor != descriptor:
                os.close(descriptor)

    def _open(self, *, write: bool) -> int | None:
        """Open the file, and create it to write to the store. Return None if a reader has no file that it can lock.

        A reader creates none: it would belong to the reader, and keep the owner of the store from writing.
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
            # Enough for the lock. Its holder does not see that this process waits, and keeps it a little longer.
            return os.open(self._path, os.O_RDONLY | binary)
        except OSError:
            return None

    def _create(self, binary: int) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | binary, 0o666)
        self.is_new = True
        # Everyone who may write to the store may take its lock, whatever the umask.
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
    """Whether the process that has written so into the file may go on. In an empty one there was none."""
    worker = who.decode(errors="replace").rpartition("\n")[2].partition(" ")[0]
    try:
        return who != b"" and not is_dead(worker)
    except ValueError:  # Something else stands there.
        return True


def _write(descriptor: int, place: int, text: bytes) -> None:
    # The lock does without what is written, as it must on a full disk.
    with suppress(OSError):
        os.lseek(descriptor, place, os.SEEK_SET)
        os.write(descriptor, text)


def _read(descriptor: int, place: int, size: int) -> bytes:
    os.lseek(descriptor, place, os.SEEK_SET)
    return os.read(descriptor, size)
