"""A DuckDB file that several processes use, one at a time and each for a moment.

DuckDB lets one process have a file open for writing, so nobody keeps it open. Each use is a *lease*: lock, attach, one
transaction, detach, unlock. To detach is to checkpoint, which takes longer than all that a turn writes; so after a
write the process *lingers*: it detaches when the store was not used for `LINGER_S` (`LINGER_ALONE_S` where it has the
store for itself), or at once when another process asks. What was committed is on the disk before that, in DuckDB's log.

Whoever finds the store as it left it need not read again what it knows (:mod:`agno_nb.db.session_cache`). That is
certain where nobody else has had the lock since, and the file was not changed since either.

Four things make it safe, all of them measured on DuckDB 2.0.0:

- The lock is a file of its own, taken before the store is attached and released after it is detached. DuckDB reads a
  file's header before it takes its own lock, and would overwrite what another process committed in between.
- The store itself is never opened or locked by us while it is attached: closing any handle of it drops DuckDB's lock
  (POSIX).
- Nothing leaves a lease unread: an open result would keep the file open after the detach.
- Nothing is attached when the process forks: what a child inherits of an engine it must neither use nor close.
"""

from __future__ import annotations

import atexit
import errno
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import duckdb

from agno_nb.db.duckdb.deferred_interrupts import DeferredInterrupts
from agno_nb.db.duckdb.engine import Engine
from agno_nb.db.duckdb.lock_file import LOCK, POLL_S, LockFile
from agno_nb.db.file_names import FileId, check_links, exists, file_id, path_in_use, register
from agno_nb.errors import NotAStoreError, StoreError, StoreLocked

LINGER_S = 0.01
"""How long a store stays attached after it was used last, where other processes use it too."""
LINGER_ALONE_S = 0.25
"""The same where none does."""
ALONE_AFTER_S = 10.0
"""For how long nobody else must have used it."""
QUIET_S = 0.005
"""How long after its last use it is left alone. Until then the next use looks whether another process asks for it."""
LONGEST_HOLD_S = 1.0
"""How long it stays attached when it is used again and again, so that DuckDB's log stays short."""
INTERRUPT_POLL_S = 0.05
"""How often a thread that waits for another looks whether it was interrupted."""
UNLOCKED_S = 1.0
"""How long a process that has the lock waits for another that uses the file without it."""
LET_GO_WAIT_S = 10.0
"""How long a fork, and the interpreter's end, wait for a use of a store by another thread to end."""


@dataclass(frozen=True, slots=True)
class _Use:
    """What one user of a store asks for."""

    interrupts: DeferredInterrupts
    write: bool
    read_only: bool
    timeout_s: float
    since: float


class SharedFile:
    """The store at `path` as this process uses it. There is one for each path: see :meth:`at`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = Engine(path)
        self._lock_file = LockFile(path)
        self._next = threading.Lock()
        self._attached: FileId | None = None
        """The file that is attached for writing, told from another that may come to be at its path."""
        self._left: tuple[object, int] | None = None
        """Its :meth:`_mark` and the engine's data version, as this process left it."""
        self._attached_at = self._used_at = self._not_before = 0.0
        self._others_at = -math.inf
        """When another process that may go on was last seen to use the store."""
        self._lingering: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """The process that it belongs to."""
        return self._engine.pid

    @property
    def is_uncontended(self) -> bool:
        """Whether nobody uses it, in this process at this moment, and in others lately."""
        return (self._attached is not None or self._is_alone) and not self._engine.lock.locked()

    @property
    def _is_alone(self) -> bool:
        return time.monotonic() - self._others_at >= ALONE_AFTER_S

    @staticmethod
    def at(path: Path) -> SharedFile:
        """Return the one of this process, for as long as somebody has it. All paths of one file have the same."""
        used = path_in_use(path, LOCK)
        with _files_lock:
            file = _files.get(used) or SharedFile(used)
            _files[used] = file
            others = [other for other in _files.values() if other is not file]
        found = file_id(used)
        for other in others:
            if found is not None and other._attached == found:
                # It was attached by a path that has been deleted or renamed since.
                other.let_go()
        return file

    @contextmanager
    def use(self, *, write: bool, timeout_s: float, read_only: bool = False) -> Iterator[Engine]:
        """Give the engine with the store attached to it, to one user at a time.

        Parameters
        ----------
        write : bool
        timeout_s : float
        read_only : bool
            Whether a store of an older version, and a file without a store, are refused.

        Raises
        ------
        StoreLocked
            Others had it for longer than `timeout_s`.
        """
        with DeferredInterrupts() as interrupts:
            use = _Use(interrupts, write, read_only, timeout_s, time.monotonic())
            if not self._enter(timeout_s, interrupts.deliver):
                raise StoreLocked(f"another thread has kept the store {self.path} for {timeout_s:g} s; let it finish")
            if _has_ended and threading.current_thread().daemon:
                # It would be cut off in the middle of DuckDB, which ends the process by a signal.
                self._engine.lock.release()
                raise StoreError(f"the interpreter is ending, and its daemon threads cannot use {self.path} any more")
            try:
                self._attach_or_clean_up(use)
                with interrupts.allowed():
                    yield self._engine
                self._engine.share_log()
                if self._attached is None or not self._lingers():
                    self._let_go()
            except BaseException:
                interrupts.defer()
                self._let_go()
                raise
            finally:
                self._engine.lock.release()

    def let_go(self) -> None:
        """Detach the store now, without lingering, once whoever uses it has done so."""
        with DeferredInterrupts() as interrupts:
            if self._enter(LET_GO_WAIT_S, interrupts.deliver):
                self._let_go()
                self._engine.lock.release()

    def _enter(self, timeout_s: float, meanwhile: Callable[[], None]) -> bool:
        """Keep other threads out until ``engine.lock`` is released; return whether it could be had in time.

        One thread at a time is the next, so that none that uses the store again and again is always faster.
        """
        deadline = time.monotonic() + timeout_s

        def acquired(lock: threading.Lock) -> bool:
            while not lock.acquire(timeout=min(INTERRUPT_POLL_S, timeout_s)):
                meanwhile()
                if time.monotonic() >= deadline:
                    return False
            return True

        if not acquired(self._next):
            return False
        try:
            return acquired(self._engine.lock)
        finally:
            self._next.release()

    def _attach_or_clean_up(self, use: _Use) -> None:
        """Have the store attached; if that fails, leave no new lock file next to a file that may not be a store."""
        is_locked = self._lock_file.is_held
        try:
            self._attach(use)
        except (duckdb.Error, NotAStoreError):
            if not is_locked and self._lock_file.is_new:
                with suppress(duckdb.Error):
                    self._engine.detach()
                self._lock_file.remove()
            raise

    def _attach(self, use: _Use) -> None:
        """Have the store attached, for reading at least."""
        if self._attached is not None:
            if self._attached == file_id(self.path) and not self._lock_file.is_lost():
                return
            self._let_go()
            self._left = None
        if self.path.is_dir():
            raise StoreError(f"{self.path} is a folder; give the path of a file in it")
        is_there = exists(self.path)
        if use.write:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if is_there and not os.access(self.path, os.W_OK):
                # Found out before the lock is created, which would belong to a user who may only read.
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path))
            check_links(self.path)
        elif not is_there:
            # There is nothing to keep others from, and no lock file should be left where there is no store.
            self._engine.attach_empty()
            return
        time.sleep(max(0.0, self._not_before - time.monotonic()))
        self._lock_file.acquire(use.timeout_s, since=use.since, write=use.write, meanwhile=use.interrupts.deliver)
        if self._lock_file.is_shared:
            self._others_at = time.monotonic()
        left, self._left = self._left, None
        mark = self._mark()
        # To attach a file for writing is to put the log beside it into it, if there is one, whosesoever it is.
        if use.write and self._log.exists():
            self._attach_file(use, write=False)
        # Reading a file that has nothing in it does not make it a store.
        if not self._attach_file(use, write=use.write):
            if use.read_only:
                raise NotAStoreError(f"{self.path} has no tables in it")
            self._engine.attach_empty()
        # Nobody who keeps to the lock has had it, and nobody else has changed the file.
        elif left is not None and self._lock_file.is_back and left[0] == mark:
            self._engine.data_version = left[1]
        if use.write:
            self._attached, self._attached_at = file_id(self.path), time.monotonic()
            if not is_there:
                register(self.path)

    def _attach_file(self, use: _Use, *, write: bool) -> bool:
        """Attach the file; return whether there is a store in it.

        A reader that cannot take the lock, and a writer that has it, wait here until the other has detached the file.
        """
        if self._lock_file.is_held:
            deadline = time.monotonic() + min(UNLOCKED_S, use.timeout_s)
        else:
            deadline = use.since + use.timeout_s
        while True:
            try:
                return self._engine.attach_file(write=write, migrates=not use.read_only)
            except duckdb.IOException as error:
                if "Could not set lock on file" not in str(error) or time.monotonic() >= deadline:
                    raise
            use.interrupts.deliver()
            time.sleep(POLL_S)

    @property
    def _log(self) -> Path:
        return Path(f"{self.path}.wal")

    def _mark(self) -> object:
        """Return what is another when the file was changed, as far as the clock of its folder tells."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, self._log.exists()

    def _lingers(self) -> bool:
        """Begin to linger, or go on with it; return False where it is time to let go."""
        self._used_at = time.monotonic()
        if self._lock_file.is_wanted():
            # Whoever waits tries every POLL_S. This process must not be back before.
            self._not_before = self._used_at + 2 * POLL_S
            self._others_at = self._used_at
            return False
        if self._used_at - self._attached_at > LONGEST_HOLD_S or not threading.main_thread().is_alive():
            return False
        if self._lingering is None:
            self._lingering = threading.Thread(target=self._linger, name="agno_nb-store", daemon=False)
            try:
                self._lingering.start()
            except RuntimeError:  # The interpreter is ending, and starts no threads.
                self._lingering = None
                return False
        return True

    def _linger(self) -> None:
        """Let go of the store when it is time to. Runs in a thread of its own, which the interpreter's end awaits."""
        while True:
            time.sleep(max(POLL_S, self._used_at + QUIET_S - time.monotonic()))
            is_ending = not threading.main_thread().is_alive()
            if time.monotonic() - self._used_at < QUIET_S and not is_ending:
                continue
            if not (self._enter(LET_GO_WAIT_S, _nothing) if is_ending else self._engine.lock.acquire(blocking=False)):
                continue
            try:
                is_idle = time.monotonic() - self._used_at >= (LINGER_ALONE_S if self._is_alone else LINGER_S)
                if self._attached is None or is_idle or is_ending or self._lock_file.is_wanted():
                    self._lingering = None
                    self._let_go()
                    return
            finally:
                self._engine.lock.release()

    def _let_go(self) -> None:
        """Detach and unlock, whatever of that is still to be done. The caller is the one user."""
        try:
            self._engine.detach()
        except duckdb.Error:
            # There is no space for a checkpoint, say. What was committed is in DuckDB's log, and is put into the file
            # by the next one to attach it.
            self._engine.stop()
        else:
            if self._lock_file.is_held:
                self._left = self._mark(), self._engine.data_version
        self._attached = None
        self._lock_file.release()


_files: WeakValueDictionary[Path, SharedFile] = WeakValueDictionary()
_files_lock = threading.Lock()
_stopped: list[SharedFile] = []
"""The files that nobody uses while the process forks."""
_inherited: list[SharedFile] = []
"""In a forked process, the files of its parent: never used, and never closed."""
_has_ended = False


def _nothing() -> None:
    """Do nothing meanwhile: only the main thread is interrupted."""


def _before_fork() -> None:
    """Have nothing attached and no thread of DuckDB at work while the process is copied."""
    _files_lock.acquire()
    for file in list(_files.values()):
        # Where a use does not end, as when it forks itself, the child does without that store.
        if file._enter(LET_GO_WAIT_S, _nothing):
            file._let_go()
            _stopped.append(file)


def _after_fork_in_parent() -> None:
    while _stopped:
        _stopped.pop()._engine.lock.release()
    _files_lock.release()


def _after_fork_in_child() -> None:
    global _files_lock
    _files_lock = threading.Lock()
    _stopped.clear()
    for file in _files.values():
        file._lock_file.leave_to_parent()
        _inherited.append(file)
    _files.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


@atexit.register
def _end() -> None:
    """Have nothing attached and no thread of ours in DuckDB when the interpreter ends."""
    global _has_ended
    _has_ended = True
    for file in list(_files.values()):
        if file._enter(LET_GO_WAIT_S, _nothing):
            file._let_go()
            # Not left to whoever has it last, which may be a daemon thread.
            file._engine.stop()
            file._engine.lock.release()
