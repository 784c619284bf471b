"""Connections to a SQLite file, and the care of its log.

SQLite writes changes to a log next to the file, which a renamed or replaced file would leave behind. The log is merged
into the file soon after a write, and at the latest when another file is found at the path.

A process that inherits a connection shares its locks, and both would overwrite each other's changes. All connections
are therefore closed before a fork.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agno_nb.db.driver import ConnectionPool
from agno_nb.db.file_locks import check_file_locks
from agno_nb.db.file_names import FileId, check_links, exists, file_id, path_in_use, register, store_failure
from agno_nb.errors import StoreError, StoreLocked

LOG, SHARED = "-wal", "-shm"
"""Suffixes of the files that SQLite keeps next to an open one: its log, and the memory that processes share."""
_KEPT_CONNECTIONS = 16
POLL_S = 0.01
"""Interval between attempts if SQLite itself doesn't wait for a lock, in seconds."""
FORK_WAIT_S = 10.0
"""Maximum time that a fork waits for other threads that use a store, in seconds."""
MERGE_AFTER_S = 0.25
"""Time after its last write after which a process merges the log into the file, in seconds."""
_LAST_RETRY_S, _MAX_RETRIES = 5.0, 20

_unmerged: set[FileId | None] = set()
"""Files with changes of this process in their logs."""
_leases: weakref.WeakSet[_Lease] = weakref.WeakSet()
_fork_lock = threading.Lock()
"""Held while the process forks, and to begin a lease."""
_all_stores: weakref.WeakValueDictionary[int, SqliteConnections] = weakref.WeakValueDictionary()


class SqliteConnections:
    """The connections of one store.

    Parameters
    ----------
    path : Path
    timeout_s : float
    read_only : bool
        Whether to write nothing to the file or next to it, even if this process is allowed to.
    """

    def __init__(self, path: Path, timeout_s: float, *, read_only: bool) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._read_only = read_only
        # The last connection to a file also removes its log, so that the store is a single file again.
        self._idle: ConnectionPool[Opened] = ConnectionPool(_KEPT_CONNECTIONS)
        self._reader: ConnectionPool[Opened] = ConnectionPool(1)
        self._reading = threading.Lock()
        self._merge_at = 0.0
        self._merge_lock = threading.Lock()
        self._merging: threading.Thread | None = None
        _all_stores[id(self)] = self

    @contextmanager
    def use(self, *, write: bool) -> Iterator[Opened | None]:
        """Open a connection for one user at a time, or None if there is no file to read."""
        with lease(), self._opened(self._idle, write=write) as opened:
            yield opened

    @contextmanager
    def read(self) -> Iterator[Opened | None]:
        """Open the connection that never writes: SQLite's data_version only reports changes by other connections."""
        # The lease comes first: a fork waits for it, so the child never inherits a locked `_reading`.
        with lease(), self._reading, self._opened(self._reader, write=False) as opened:
            yield opened

    def close(self) -> None:
        self._idle.close()
        self._reader.close()

    @contextmanager
    def _opened(self, idle: ConnectionPool[Opened], *, write: bool) -> Iterator[Opened | None]:
        if self._path.is_dir():
            raise StoreError(f"{self._path} is a folder; give the path of a file in it")
        path = path_in_use(self._path, LOG)
        is_there = exists(path)
        if not is_there:
            _leave_moved_files(path)
            _check_no_log(path)
        if not write and not is_there:
            yield None
            return
        if is_there and (self._read_only or not _may_write(path)):
            if write:
                raise store_failure(path, unusable_file(path) or f"{path} is read-only")
            _leave_moved_files(path)
            with closing(open_read_only(path)) as opened:
                yield opened
                opened.check_unchanged()
            return
        if write:
            check_links(path)
        opened = self._take(idle, path) or self._open()
        if write:
            _unmerged.add(opened.file)
        try:
            yield opened
        except BaseException:
            opened.close()
            raise
        if not is_there:
            register(path)
        if write:
            _unmerged.add(opened.file)  # Again, because another thread may have merged the log during this use.
        idle.release(opened)
        if write:
            self._merge_soon()

    def _take(self, idle: ConnectionPool[Opened], path: Path) -> Opened | None:
        """Return an idle connection to the current file, if there is one."""
        while (opened := idle.acquire()) is not None and (opened.path, opened.file) != (path, file_id(path)):
            if not opened.is_in_place and not opened.merge_log():
                idle.release(opened)
                raise _left_log(opened.path)
            opened.close()
        return opened

    def leave_moved_file(self) -> list[Opened]:
        """Close the connections to a file that is no longer at its path; return those that must stay open."""
        unmerged = []
        for pool in (self._idle, self._reader):
            connections = []
            while (opened := pool.acquire()) is not None:
                connections.append(opened)
            for opened in connections:
                if opened.is_in_place:
                    pool.release(opened)
                elif opened.merge_log():
                    opened.close()
                else:
                    pool.release(opened)
                    unmerged.append(opened)
        return unmerged

    def _merge_soon(self) -> None:
        """Merge the log into the file once there are no more writes, because a renamed file leaves its log behind."""
        self._merge_at = time.monotonic() + MERGE_AFTER_S
        with self._merge_lock:
            if self._merging is None or not self._merging.is_alive():
                self._merging = threading.Thread(target=self._merge_when_idle, name="agno_nb-sqlite", daemon=False)
                try:
                    self._merging.start()
                except RuntimeError:  # The interpreter is shutting down and starts no threads.
                    self._merging = None

    def _merge_when_idle(self) -> None:
        """Merge the log into the file when it is due. Runs in a thread that the end of the interpreter waits for."""
        wait_s, num_retries = MERGE_AFTER_S, 0
        while threading.main_thread().is_alive():
            if time.monotonic() < self._merge_at:
                time.sleep(POLL_S)
                continue
            with lease():
                is_merged = self._merge()
                with self._merge_lock:
                    if (is_merged or num_retries >= _MAX_RETRIES) and time.monotonic() >= self._merge_at:
                        self._merging = None
                        return
            if is_merged:  # There was another write during the merge.
                wait_s, num_retries = MERGE_AFTER_S, 0
                continue
            wait_s, num_retries = min(wait_s * 2, _LAST_RETRY_S), num_retries + 1
            self._merge_at = max(self._merge_at, time.monotonic() + wait_s)

    def _merge(self) -> bool:
        for pool in (self._idle, self._reader):
            if (opened := pool.acquire()) is not None:
                is_merged = opened.merge_log()
                pool.release(opened)
                return is_merged
        # All connections are in use, or all are closed. Closing the last one removes the log.
        return not exists(Path(f"{path_in_use(self._path, LOG)}{LOG}"))

    def _open(self) -> Opened:
        path = path_in_use(self._path, LOG)
        _leave_moved_files(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        check_file_locks(path)
        connection = connect(path.as_uri(), timeout_s=self._timeout_s)
        try:
            # Commits survive a power failure.
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()  # The file is not a database.
            raise
        return Opened(connection, path, file_id(path))


def _leave_moved_files(path: Path) -> None:
    """Close the files that were renamed or replaced, before the file at `path` is opened.

    Raises
    ------
    StoreError
        The log of such a file could not be merged into it, and `path` is its old or new path.
    """
    unmerged = [opened for store in _stores() for opened in store.leave_moved_file()]
    for opened in unmerged:
        if opened.path == path or opened.file == file_id(path):
            raise _left_log(opened.path)


def _stores() -> list[SqliteConnections]:
    # A list, because another thread may create a store during the iteration.
    return [store for reference in _all_stores.valuerefs() if (store := reference()) is not None]


def _check_no_log(path: Path) -> None:
    """Refuse to create a file next to the log of another one, which SQLite would delete."""
    log = Path(f"{path}{LOG}")
    # In this order, because a process that creates the store creates the log last.
    if exists(log) and log.stat().st_size > 0 and not exists(path):
        raise _left_log(path)


def _left_log(path: Path) -> StoreError:
    log = f"{path}{LOG}"
    return StoreError(
        f"the store at {path} was renamed, replaced or deleted, and {log} still holds changes to it; if you renamed "
        f"the store, rename {log} too, to the store's new name followed by {LOG!r}; otherwise delete it"
    )


@contextmanager
def lease() -> Iterator[None]:
    """A block that uses connections. A fork waits for its end."""
    lease = _Lease()
    with _fork_lock:
        _leases.add(lease)
    try:
        yield
    finally:
        _leases.discard(lease)


class _Lease:
    """A use of a connection. Only the user references it, so that an interrupt removes it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open connection."""

    connection: sqlite3.Connection
    path: Path
    file: FileId | None
    is_read_only: bool = False
    mark: object = None
    """Size and time of a file that is read without a lock. They must not change."""
    folder: tempfile.TemporaryDirectory[str] | None = None
    """Folder of the copy that is read instead."""

    @property
    def is_in_place(self) -> bool:
        """Whether the file is still the one at its path."""
        return file_id(self.path) == self.file

    def merge_log(self) -> bool:
        """Merge the log of this process into the file; return False if another process uses it."""
        if self.file not in _unmerged:
            return True
        # Removed first, because another thread may write at the same time.
        _unmerged.discard(self.file)
        is_busy = 1
        with suppress(sqlite3.Error):
            ((timeout_ms,),) = self.connection.execute("PRAGMA busy_timeout").fetchall()
            self.connection.execute("PRAGMA busy_timeout = 0").fetchall()
            try:
                ((is_busy, *_),) = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                self.connection.execute(f"PRAGMA busy_timeout = {timeout_ms}").fetchall()
        if is_busy:
            _unmerged.add(self.file)
        return not is_busy

    def check_unchanged(self) -> None:
        if self.mark is not None and self.mark != _mark_of(self.path):
            raise StoreLocked(f"{self.path} was changed while it was read without a lock; try again")

    def close(self) -> None:
        if not self.is_read_only and not self.is_in_place:
            # When it closes a file, SQLite only merges the log if the file is at its path.
            self.merge_log()
        self.connection.close()
        if self.folder is not None:
            self.folder.cleanup()


def open_read_only(path: Path) -> Opened:
    """Open a file so that SQLite creates no files next to it.

    SQLite would create the log and the shared memory even for reading. They would belong to the reader, and keep the
    owner of the store from writing.
    """
    log, shared = Path(f"{path}{LOG}"), Path(f"{path}{SHARED}")
    for file in (path, log, shared):
        if file.exists() and not os.access(file, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
    if log.exists() and shared.exists():
        connection = connect(f"{path.as_uri()}?mode=ro&readonly_shm=1")
        return Opened(connection, path, file_id(path), is_read_only=True)
    if not log.exists():
        mark = _mark_of(path)
        connection = connect(f"{path.as_uri()}?mode=ro&immutable=1")
        return Opened(connection, path, file_id(path), is_read_only=True, mark=mark)
    # Its process was killed, or the file was copied together with its log.
    folder = tempfile.TemporaryDirectory(prefix="agno_nb-")
    mark = _mark_of(path)
    for file in (path, log):
        shutil.copy(file, folder.name)
    connection = connect((Path(folder.name) / path.name).as_uri())
    return Opened(connection, path, file_id(path), is_read_only=True, mark=mark, folder=folder)


def connect(uri: str, *, timeout_s: float = 5.0) -> sqlite3.Connection:
    """Open a connection that any thread may use, without transactions of its own."""
    connection = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    # SQLite's own function only converts ASCII letters.
    connection.create_function("lower", 1, lambda text: text and text.lower(), deterministic=True)
    return connection


def _mark_of(path: Path) -> object:
    """Return a value that changes with each write to the file or its log."""
    found = []
    for file in (path, Path(f"{path}{LOG}")):
        try:
            stat = file.stat()
        except FileNotFoundError:
            continue
        found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def unusable_file(path: Path) -> str | None:
    """Return which file SQLite cannot use and why, if that can be determined."""
    for file in (path, Path(f"{path}{LOG}"), Path(f"{path}{SHARED}"), path.parent):
        try:
            file.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"{file}: {error.strerror}"
        if not os.access(file, os.R_OK | os.W_OK):
            return f"{file}: {os.strerror(errno.EACCES)}"
    return None


def _before_fork() -> None:
    """Close all connections. A process that inherits one shares its locks, and they would overwrite each other.

    If a use does not end, as when it forks itself, the child inherits that connection.
    """
    _fork_lock.acquire()
    deadline = time.monotonic() + FORK_WAIT_S
    while _leases and time.monotonic() < deadline:
        time.sleep(POLL_S)
    for store in _stores():
        store.close()


def _after_fork_in_child() -> None:
    _leases.clear()
    _unmerged.clear()
    _fork_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_fork_lock.release, after_in_child=_after_fork_in_child)
