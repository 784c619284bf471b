"""A DuckDB file that several processes share, each for a short time.

DuckDB allows one process to open a file for writing, so none keeps it open. Each use locks the store, attaches it,
executes one transaction, detaches and unlocks. A detach is a checkpoint, which takes longer than the writes of a turn.
After a write the process therefore *lingers*: it only detaches once the store has not been used for `LINGER_S`
(`LINGER_ALONE_S` if no other process uses it), or as soon as another process waits. Commits are on disk before that, in
DuckDB's log.

If no other process has had the lock since, and the file has not changed, the store still has the data version that this
process left, and cached rows (:mod:`agno_nb.db.session_cache`) are valid.

Four rules make this safe, all of them measured on DuckDB 2.0.0:

- The lock is a separate file, taken before the store is attached and released after it is detached. DuckDB reads the
  header of a file before it takes its own lock, and would overwrite commits of another process in between.
- We never open the store's file while it is attached: closing any handle of it drops DuckDB's lock (POSIX).
- All results are read within the transaction, because an open result would keep the file open after the detach.
- Nothing is attached when the process forks, because a child must neither use nor close an inherited engine.
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
from agno_nb.db.duckdb.lock_file import POLL_S, LockFile
from agno_nb.db.file_locks import check_file_locks
from agno_nb.db.file_names import LOCK, FileId, check_links, exists, file_id, path_in_use, register
from agno_nb.errors import NotAStoreError, StoreError, StoreLocked

_HEADER_SIZE = 3 * 4096
"""Size of the three headers that DuckDB writes when it creates a file, in bytes."""
LINGER_S = 0.01
"""Time that a store stays attached after its last use if other processes use it, in seconds."""
LINGER_ALONE_S = 0.25
"""The same if no other process uses it."""
ALONE_AFTER_S = 10.0
"""Time after which another process no longer counts as a user of the store, in seconds."""
QUIET_S = 0.005
"""Time after a use in which only the next use checks whether another process waits, in seconds."""
LONGEST_HOLD_S = 1.0
"""Maximum time that a store in continuous use stays attached, so that DuckDB's log stays short, in seconds."""
INTERRUPT_POLL_S = 0.05
"""Interval at which a waiting thread checks for interrupts, in seconds."""
UNLOCKED_S = 1.0
"""Time that a process with the lock waits for one that uses the file without it, in seconds."""
LET_GO_WAIT_S = 10.0
"""Time that a fork, and the end of the interpreter, wait for other threads that use a store, in seconds."""


@dataclass(frozen=True, slots=True)
class _Use:
    """Arguments of one use of a store."""

    interrupts: DeferredInterrupts
    write: bool
    read_only: bool
    timeout_s: float
    since: float


class SharedFile:
    """The file of a store in this process. There is one object per file: see :meth:`at`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pid = os.getpid()
        """The process of this object."""
        self._engine = Engine(path)
        self._lock_file = LockFile(path)
        self._next = threading.Lock()
        self._attached: FileId | None = None
        """ID of the file that is attached for writing. Its path may later belong to another file."""
        self._left: tuple[object, int] | None = None
        """:meth:`_mark` and data version of the store when this process detached it."""
        self._attached_at = self._used_at = self._not_before = 0.0
        self._others_at = -math.inf
        """Last time at which another living process was seen to use the store."""
        self._lingering: threading.Thread | None = None

    @property
    def is_uncontended(self) -> bool:
        """Whether no other thread uses the store, and no other process has used it recently."""
        return (self._attached is not None or self._is_alone) and not self._engine.lock.locked()

    @property
    def _is_alone(self) -> bool:
        return time.monotonic() - self._others_at >= ALONE_AFTER_S

    @staticmethod
    def at(path: Path) -> SharedFile:
        """Return the object of a file in this process, which is the same for all paths of the file."""
        used = path_in_use(path, LOCK)
        with _files_lock:
            file = _files.get(used) or SharedFile(used)
            _files[used] = file
            others = [other for other in _files.values() if other is not file]
        found = file_id(used)
        for other in others:
            if found is not None and other._attached == found:
                # It was attached by a path that has since been deleted or renamed.
                other.let_go()
        return file

    @contextmanager
    def use(self, *, write: bool, timeout_s: float, read_only: bool = False) -> Iterator[Engine]:
        """Return the engine with the store attached to it, for one user at a time.

        Parameters
        ----------
        write : bool
        timeout_s : float
        read_only : bool
            Whether to reject a store of an older version, and a file without a store.

        Raises
        ------
        StoreLocked
            Others used it for longer than `timeout_s`.
        """
        with DeferredInterrupts() as interrupts:
            use = _Use(interrupts, write, read_only, timeout_s, time.monotonic())
            if not self._enter(timeout_s, interrupts.deliver):
                raise StoreLocked(
                    f"timed out after {timeout_s:g} s waiting for store {self.path}, used by another thread; wait for "
                    "it to finish, or raise lock_timeout_s"
                )
            if _has_ended and threading.current_thread().daemon:
                # The thread would be stopped inside DuckDB, which would crash the process.
                self._engine.lock.release()
                raise StoreError(f"cannot use {self.path} in a daemon thread while the interpreter is shutting down")
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
        """Detach the store as soon as its current use has ended, without lingering."""
        with DeferredInterrupts() as interrupts:
            if self._enter(LET_GO_WAIT_S, interrupts.deliver):
                self._let_go()
                self._engine.lock.release()

    def _enter(self, timeout_s: float, check: Callable[[], None]) -> bool:
        """Acquire ``engine.lock``; return whether that succeeded in time.

        Threads queue for it, so that a thread that uses the store continuously cannot starve the others.
        """
        deadline = time.monotonic() + timeout_s

        def acquired(lock: threading.Lock) -> bool:
            while not lock.acquire(timeout=min(INTERRUPT_POLL_S, timeout_s)):
                check()
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
        """Attach the store; if that fails, remove a new lock file, because the file may not be a store."""
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
        """Attach the store, at least for reading."""
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
                # Checked before a lock file is created, which would belong to a user who may only read.
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path))
            check_links(self.path)
        elif not is_there:
            # There is nothing to lock, and no lock file is left without a store.
            self._engine.attach_empty()
            return
        check_file_locks(self.path)
        time.sleep(max(0.0, self._not_before - time.monotonic()))
        self._lock_file.acquire(use.timeout_s, since=use.since, write=use.write, check=use.interrupts.deliver)
        if self._lock_file.is_shared:
            self._others_at = time.monotonic()
        left, self._left = self._left, None
        mark = self._mark()
        # A process was killed while it created the file, or something else has created it for us.
        is_empty = exists(self.path) and self.path.stat().st_size == 0 and not self._log.exists()
        if is_empty and use.write:
            self.path.unlink()
        # Attaching for writing merges any log next to the file into it, even the log of another file. Attaching for
        # reading finds out whether it belongs to the file.
        if use.write and self._log.exists():
            self._attach_file(use, write=False)
        # Reading an empty file doesn't turn it into a store.
        if (is_empty and not use.write) or not self._attach_or_remove(use):
            if use.read_only:
                raise NotAStoreError(f"{self.path} has no tables in it")
            self._engine.attach_empty()
        # No other process has had the lock, and no other program has changed the file.
        elif left is not None and self._lock_file.is_back and left[0] == mark:
            self._engine.data_version = left[1]
        if use.write:
            self._attached, self._attached_at = file_id(self.path), time.monotonic()
            if not is_there:
                register(self.path)

    def _attach_or_remove(self, use: _Use) -> bool:
        """Attach the file; remove it if it is created, but without its headers, for example because the disk is full.

        Such a file could not be attached later.
        """
        is_new = use.write and not exists(self.path)
        try:
            return self._attach_file(use, write=use.write)
        except duckdb.Error:
            if is_new and exists(self.path) and self.path.stat().st_size < _HEADER_SIZE:
                self.path.unlink()
            raise

    def _attach_file(self, use: _Use, *, write: bool) -> bool:
        """Attach the file; return whether there is a store in it.

        This waits for a process that has attached the file, if this one is a reader without the lock, or a writer while
        the other uses the file without the lock.
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
        """Return a value that changes with the file, as far as the resolution of its times allows."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, self._log.exists()

    def _lingers(self) -> bool:
        """Start or continue to linger; return False if the store has to be detached now."""
        self._used_at = time.monotonic()
        if self._lock_file.is_wanted():
            # The waiting process tries every POLL_S. This one must not come back earlier.
            self._not_before = self._used_at + 2 * POLL_S
            self._others_at = self._used_at
            return False
        if self._used_at - self._attached_at > LONGEST_HOLD_S or not threading.main_thread().is_alive():
            return False
        if self._lingering is None:
            self._lingering = threading.Thread(target=self._linger, name="agno_nb-store", daemon=False)
            try:
                self._lingering.start()
            except RuntimeError:  # The interpreter is shutting down and starts no threads.
                self._lingering = None
                return False
        return True

    def _linger(self) -> None:
        """Detach the store when its time is over. Runs in a thread that the end of the interpreter waits for."""
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
        """Detach and unlock, if that has not been done yet. The caller has ``engine.lock``."""
        try:
            self._engine.detach()
        except duckdb.Error:
            # For example, there is no space for a checkpoint. Commits are in DuckDB's log, which the next process that
            # attaches the file merges into it.
            self._engine.stop()
        else:
            if self._lock_file.is_held:
                self._left = self._mark(), self._engine.data_version
        self._attached = None
        self._lock_file.release()


_files: WeakValueDictionary[Path, SharedFile] = WeakValueDictionary()
_files_lock = threading.Lock()
_stopped: list[SharedFile] = []
"""The files that are locked while the process forks."""
_inherited: list[SharedFile] = []
"""In a forked process, the files of its parent, which must be neither used nor closed."""
_has_ended = False


def _nothing() -> None:
    """Do nothing between attempts."""


def _before_fork() -> None:
    """Detach all stores, so that no thread of DuckDB is active while the process is copied."""
    _files_lock.acquire()
    for file in list(_files.values()):
        # If a use doesn't end, for example because it forks itself, the child cannot use that store.
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
    """Detach all stores, so that no thread is inside DuckDB when the interpreter ends."""
    global _has_ended
    _has_ended = True
    for file in list(_files.values()):
        if file._enter(LET_GO_WAIT_S, _nothing):
            file._let_go()
            # Not left to the last reference, which a daemon thread may hold.
            file._engine.stop()
            file._engine.lock.release()
