"""A store in a SQLite file, with the driver of Python's standard library.

SQLite's own locks are sufficient for several processes and threads. DuckDB runs frames and queries, over the columns of
the tables that they need. These are kept in memory until the store changes.

SQLite writes changes to a log next to the file, which a renamed or replaced file would leave behind. The log is merged
into the file soon after a write, and at the latest when another file is found at the path.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db import schema
from agno_nb.db.arrow_tables import from_rows
from agno_nb.db.base import AsyncDb
from agno_nb.db.connection_pool import ConnectionPool
from agno_nb.db.driver import Driver
from agno_nb.db.encoding import micros
from agno_nb.db.file_names import (
    FileId,
    check_links,
    check_lock_timeout,
    exists,
    file_id,
    os_error,
    path_in_use,
    register,
    store_failure,
    store_path,
    unstorable_value,
)
from agno_nb.db.migrations import migrate
from agno_nb.db.pushdown import ColumnFilter, filter_condition
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.statements import Connection
from agno_nb.errors import InvalidInputError, NotAStoreError, StoreError, StoreLocked
from agno_nb.redact import without_userinfo

if TYPE_CHECKING:
    import pyarrow as pa

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
_all_drivers: weakref.WeakValueDictionary[int, SqliteDriver] = weakref.WeakValueDictionary()


@suggest_on_unknown_kwarg({})
class SqliteDb(SqlDb):
    """Sessions, runs, messages, summaries and memories in a SQLite file.

    Several processes and threads may use one file at the same time.

    Parameters
    ----------
    db_file : str or Path, optional
        The file; default ``agno_nb.db``. It is created, with its folder, by the first write. Until then the store is
        empty. A relative path is resolved now, against the working directory.
    db_url : str, optional
        The same as a URL, for example ``sqlite:///tmp/data.db``.
    lock_timeout_s : float
        Maximum time to wait for another process or thread that writes to the file, in seconds.

    Raises
    ------
    NotAStoreError
        On first use: the file is not a store. It is not changed.
    StoreVersionError
        On first use: the file was written by a newer agno_nb. It is not changed.
    StoreLocked
        On any use: another process or thread wrote to the file for longer than `lock_timeout_s`.
    StoreError
        On any use: the file cannot be read or written.

    Examples
    --------
    >>> db = SqliteDb("examples/lesson.db")
    >>> db.get_session("s1") is None
    True
    """

    def __init__(
        self, db_file: str | Path | None = None, *, db_url: str | None = None, lock_timeout_s: float = 15.0
    ) -> None:
        if db_file is not None and db_url is not None:
            raise InvalidInputError(
                f"db_file is {str(db_file)!r} and db_url {without_userinfo(db_url)!r}; pass one of them"
            )
        path = _path_of_url(db_url) if db_url is not None else "agno_nb.db" if db_file is None else db_file
        self.db_file = store_path(path)
        check_lock_timeout(lock_timeout_s)
        self.lock_timeout_s = lock_timeout_s
        super().__init__(SqliteDriver(self.db_file, lock_timeout_s))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), lock_timeout_s=self.lock_timeout_s), (self.db_file,)

    @property
    def identity(self) -> str:
        return str(path_in_use(self.db_file, LOG))

    def __repr__(self) -> str:
        return f"SqliteDb({str(self.db_file)!r})"


@suggest_on_unknown_kwarg({})
class AsyncSqliteDb(AsyncDb):
    """Async version of :class:`SqliteDb`, with the same arguments and methods."""

    def __init__(
        self, db_file: str | Path | None = None, *, db_url: str | None = None, lock_timeout_s: float = 15.0
    ) -> None:
        super().__init__(SqliteDb(db_file, db_url=db_url, lock_timeout_s=lock_timeout_s))


def _path_of_url(url: str) -> str:
    """Return the path in a URL of SQLAlchemy: three slashes before a relative path, four before an absolute one."""
    found = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]*)", url, re.DOTALL)
    if found is None:
        raise InvalidInputError(
            f"db_url is {without_userinfo(url)!r}; pass a URL such as 'sqlite:///tmp/data.db', without options"
        )
    return unquote(found[1])


class SqliteDriver(Driver):
    """The driver of :class:`SqliteDb`."""

    def __init__(
        self,
        path: Path,
        timeout_s: float,
        *,
        migrations: Mapping[int, str] | None = None,
        read_only: bool = False,
    ) -> None:
        self._path = path
        self._read_only = read_only
        """Whether to write nothing to the file or next to it, even if this process is allowed to."""
        self._migrations = schema.migrations() if migrations is None else migrations
        self._timeout_s = timeout_s
        # The last connection to a file also removes its log, so that the store is a single file again.
        self._idle: ConnectionPool[_Opened] = ConnectionPool(_KEPT_CONNECTIONS)
        self._reader: ConnectionPool[_Opened] = ConnectionPool(1)
        self._reading = threading.Lock()
        self._table_cache = _TableCache()
        self._merge_at = 0.0
        self._merge_lock = threading.Lock()
        self._merging: threading.Thread | None = None
        _all_drivers[id(self)] = self

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[Connection]:
        with self._translate_errors(), self._connection(self._idle, write=write) as opened:
            if opened is None:
                with empty_store() as empty:
                    yield empty
                return
            connection = opened.connection
            if write and not _tables(connection):
                self._keep_log(connection)
            # A transaction that writes takes the lock at its start; after a read it might not get it.
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                if self._has_schema(connection):
                    if self._is_older(opened):
                        connection.execute("ROLLBACK")
                        self._migrate(connection)
                        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                    yield _SqliteTransaction(connection)
                elif write:
                    _create_schema(connection)
                    yield _SqliteTransaction(connection)
                else:
                    with empty_store() as empty:
                        yield empty
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def rows(self, columns_read: schema.ColumnsRead, column_filter: ColumnFilter | None = None) -> dict[str, pa.Table]:
        # This connection never writes: SQLite's data_version only reports changes by other connections.
        # The lease comes first: a fork waits for it, so the child never inherits a locked `_reading`.
        with _lease(), self._reading, self._translate_errors(), self._leased(self._reader, write=False) as opened:
            if opened is None or not self._has_schema(opened.connection):
                return {}
            if self._is_older(opened):
                self._migrate(opened.connection)
            opened.connection.execute("BEGIN")
            try:
                if self._is_older(opened):
                    self._migrate(opened.connection)
                    opened.connection.execute("BEGIN")
                self._table_cache = self._table_cache.as_of(opened)
                return {
                    table: self._table_cache.read(opened.connection, table, columns, column_filter)
                    for table, columns in columns_read.items()
                }
            finally:
                if opened.connection.in_transaction:
                    opened.connection.execute("ROLLBACK")

    def vacuum(self) -> None:
        with self._translate_errors(), self._connection(self._idle, write=True) as opened:
            assert opened is not None
            opened.connection.execute("VACUUM")
            opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def backup(self, path: Path) -> None:
        with self._translate_errors(), self._connection(self._idle, write=False) as opened:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path, isolation_level=None)) as target:
                if opened is not None:
                    opened.connection.backup(target)
                else:
                    _create_schema(target)

    def close(self) -> None:
        self._idle.close()
        self._reader.close()
        self._table_cache = _TableCache()

    @contextmanager
    def _connection(self, idle: ConnectionPool[_Opened], *, write: bool) -> Iterator[_Opened | None]:
        """Open a connection for one user at a time, or None if there is no file to read."""
        with _lease(), self._leased(idle, write=write) as opened:
            yield opened

    @contextmanager
    def _leased(self, idle: ConnectionPool[_Opened], *, write: bool) -> Iterator[_Opened | None]:
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
                raise store_failure(path, _in_the_way(path) or f"{path} is read-only")
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

    def _take(self, idle: ConnectionPool[_Opened], path: Path) -> _Opened | None:
        """Return an idle connection to the current file, if there is one."""
        while (opened := idle.acquire()) is not None and (opened.path, opened.file) != (path, file_id(path)):
            if not opened.is_in_place and not opened.merge_log():
                idle.release(opened)
                raise _left_log(opened.path)
            opened.close()
        return opened

    def leave_moved_file(self) -> list[_Opened]:
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
            with _lease():
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

    def _open(self) -> _Opened:
        path = path_in_use(self._path, LOG)
        _leave_moved_files(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = _connect(path, timeout_s=self._timeout_s)
        try:
            # Commits survive a power failure.
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()  # The file is not a database.
            raise
        return _Opened(connection, path, file_id(path))

    def _keep_log(self, connection: sqlite3.Connection) -> None:
        """Turn on the write-ahead log: readers then don't wait for a writer, and a commit is one write."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                # If two connections do this at the same time, SQLite rejects one immediately, whatever its timeout.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)

    def _has_schema(self, connection: sqlite3.Connection) -> bool:
        """Whether the database is a store, and not empty."""
        tables = _tables(connection)
        if not tables:
            if self._read_only:
                raise NotAStoreError(f"{self._path} has no tables in it")
            return False
        if "raw_schema" not in tables:
            raise NotAStoreError(
                f"{self._path} is a SQLite file, but not a store; choose another db_file. It was not changed."
            )
        return True

    def _is_older(self, opened: _Opened) -> bool:
        """Whether the store has to be migrated; an error if it is opened read-only."""
        ((version,),) = opened.connection.execute("SELECT max(version) FROM raw_schema").fetchall()
        is_older = schema.is_older(version, self._path, newest=max(self._migrations, default=1))
        if is_older and opened.is_read_only:
            raise schema.too_old_error(self._path)
        return is_older

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Copy the file, and migrate the store to the newest version."""
        ((version,),) = connection.execute("SELECT max(version) FROM raw_schema").fetchall()
        with closing(sqlite3.connect(schema.backup_path(self._path, version))) as copy:
            connection.backup(copy)
        # Another process may have migrated it, which migrate() finds out in the transaction.
        connection.execute("BEGIN IMMEDIATE")
        migrate(_SqliteTransaction(connection), self._migrations)
        connection.execute("COMMIT")

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Convert errors of SQLite and the system to ours, with a remedy."""
        try:
            yield
        except OSError as error:
            raise os_error(self._path, error) from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_NOTADB:
                raise NotAStoreError(
                    f"{self._path} is not a SQLite file; choose another db_file. It was not changed."
                ) from error
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreLocked(
                    f"timed out after {self._timeout_s:g} s waiting for store {self._path}, locked by another process; "
                    "wait for it to finish, raise lock_timeout_s, or use another db_file"
                ) from error
            reason = str(error)
            if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
                reason = _in_the_way(self._path) or reason
            if isinstance(error, sqlite3.DataError | sqlite3.IntegrityError):
                raise unstorable_value(self._path, reason) from error
            raise store_failure(self._path, reason) from error


def _leave_moved_files(path: Path) -> None:
    """Close the files that were renamed or replaced, before the file at `path` is opened.

    Raises
    ------
    StoreError
        The log of such a file could not be merged into it, and `path` is its old or new path.
    """
    unmerged = [opened for driver in _drivers() for opened in driver.leave_moved_file()]
    for opened in unmerged:
        if opened.path == path or opened.file == file_id(path):
            raise _left_log(opened.path)


def _drivers() -> list[SqliteDriver]:
    # A list, because another thread may create a driver during the iteration.
    return [driver for reference in _all_drivers.valuerefs() if (driver := reference()) is not None]


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
def _lease() -> Iterator[None]:
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
class _Opened:
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


@dataclass(frozen=True, slots=True)
class _TableCache:
    """The tables that queries have read, valid until the store changes."""

    version: object = None
    tables: dict[str, pa.Table] = field(default_factory=dict)
    columns: dict[str, frozenset[str]] = field(default_factory=dict)
    """Columns of each table that have been read. Others are null."""

    def as_of(self, opened: _Opened) -> _TableCache:
        """Return the cache for the data version of the open transaction."""
        # A transaction sees the store as of its first read.
        opened.connection.execute("SELECT 1 FROM raw_schema").fetchall()
        ((data_version,),) = opened.connection.execute("PRAGMA data_version").fetchall()
        # Each connection has its own count of versions.
        version = opened, data_version
        return self if version == self.version else _TableCache(version)

    def read(
        self, connection: sqlite3.Connection, table: str, columns: frozenset[str], part: ColumnFilter | None
    ) -> pa.Table:
        cached_columns = self.columns.get(table, frozenset())
        if columns <= cached_columns:
            return self.tables[table]
        names = sorted(columns | cached_columns)
        statement = f"SELECT {', '.join(names)} FROM {table}"
        where, parameters = filter_condition(table, part)
        if part is not None:
            statement += f" WHERE {where}"
            return from_rows(table, connection.execute(statement, parameters), names)
        self.tables[table] = from_rows(table, connection.execute(statement), names)
        self.columns[table] = columns | cached_columns
        return self.tables[table]


class _SqliteTransaction(Connection):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters).fetchall()

    def change(self, sql: str, parameters: Sequence[Any], /) -> int:
        return self._connection.execute(sql, parameters).rowcount


def open_read_only(path: Path) -> _Opened:
    """Open a file so that SQLite creates no files next to it.

    SQLite would create the log and the shared memory even for reading. They would belong to the reader, and keep the
    owner of the store from writing.
    """
    log, shared = Path(f"{path}{LOG}"), Path(f"{path}{SHARED}")
    for file in (path, log, shared):
        if file.exists() and not os.access(file, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
    if log.exists() and shared.exists():
        connection = _connect(path, "?mode=ro&readonly_shm=1")
        return _Opened(connection, path, file_id(path), is_read_only=True)
    if not log.exists():
        mark = _mark_of(path)
        connection = _connect(path, "?mode=ro&immutable=1")
        return _Opened(connection, path, file_id(path), is_read_only=True, mark=mark)
    # Its process was killed, or the file was copied together with its log.
    folder = tempfile.TemporaryDirectory(prefix="agno_nb-")
    mark = _mark_of(path)
    for file in (path, log):
        shutil.copy(file, folder.name)
    connection = _connect(Path(folder.name) / path.name)
    return _Opened(connection, path, file_id(path), is_read_only=True, mark=mark, folder=folder)


def _connect(path: Path, how: str = "", *, timeout_s: float = 5.0) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.as_uri()}{how}", uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False
    )
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


def _in_the_way(path: Path) -> str | None:
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


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _create_schema(connection: sqlite3.Connection) -> None:
    for statement in [*schema.statements("schema.sql"), *schema.statements("indexes.sql")]:
        connection.execute(statement)
    connection.execute("INSERT INTO raw_schema VALUES (?, ?)", [schema.VERSION, micros(time.time())])


@contextmanager
def empty_store() -> Iterator[Connection]:
    """Open a transaction on an empty store, in place of one that doesn't exist."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _create_schema(connection)
        yield _SqliteTransaction(connection)


def _before_fork() -> None:
    """Close all connections. A process that inherits one shares its locks, and they would overwrite each other.

    If a use does not end, as when it forks itself, the child inherits that connection.
    """
    _fork_lock.acquire()
    deadline = time.monotonic() + FORK_WAIT_S
    while _leases and time.monotonic() < deadline:
        time.sleep(POLL_S)
    for driver in _drivers():
        driver.close()


def _after_fork_in_child() -> None:
    _leases.clear()
    _unmerged.clear()
    _fork_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_fork_lock.release, after_in_child=_after_fork_in_child)
