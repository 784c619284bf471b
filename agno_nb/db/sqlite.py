"""A store in a SQLite file: the lightest one, on the driver of Python's standard library.

Every statement sees the file as it is, so processes and threads need nothing but SQLite's own locks. Frames and queries
are DuckDB's, over what they need of the tables, which is kept until the store changes.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db import schema
from agno_nb.db.async_db import AsyncDb
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
)
from agno_nb.db.migrations import migrate
from agno_nb.db.pushdown import ColumnFilter, filter_condition
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.statements import Connection
from agno_nb.db.tables import from_rows
from agno_nb.errors import InvalidInputError, NotAStoreError, StoreError, StoreLocked
from agno_nb.redact import without_userinfo

if TYPE_CHECKING:
    import pyarrow as pa

LOG, SHARED = "-wal", "-shm"
"""Endings of the files that SQLite keeps next to one that is open: its log, and the memory that its users share."""
_KEPT_CONNECTIONS = 16
POLL_S = 0.01
"""How often what SQLite does not wait for is tried again."""


@suggest_on_unknown_kwarg({})
class SqliteDb(SqlDb):
    """Sessions, runs, messages, summaries and memories in a SQLite file.

    Several processes and threads may use one file at the same time.

    Parameters
    ----------
    db_file : str or Path, optional
        The file, ``agno_nb.db`` where not given. It is made, with its folder, when something is first written; until
        then the store reads as empty. A relative path is taken from the working directory of this moment.
    db_url : str, optional
        The same as a URL, as in ``sqlite:///tmp/data.db``.
    lock_timeout_s : float
        How long to wait, in seconds, for another process or thread that writes to the file.

    Raises
    ------
    NotAStoreError
        On first use: the file is something else. It is not touched.
    StoreVersionError
        On first use: the file was written by a newer agno_nb. It is not touched.
    StoreLocked
        On any use: somebody wrote to the file for longer than `lock_timeout_s`.
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
                f"db_file is {str(db_file)!r} and db_url {without_userinfo(db_url)!r}; give one of them"
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
    """:class:`SqliteDb` for async code: the same arguments, the same methods, awaited."""

    def __init__(
        self, db_file: str | Path | None = None, *, db_url: str | None = None, lock_timeout_s: float = 15.0
    ) -> None:
        super().__init__(SqliteDb(db_file, db_url=db_url, lock_timeout_s=lock_timeout_s))


def _path_of_url(url: str) -> str:
    """Return the path in a URL as SQLAlchemy writes it: three slashes before a relative one, four before another."""
    found = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]*)", url, re.DOTALL)
    if found is None:
        raise InvalidInputError(
            f"db_url is {without_userinfo(url)!r}; give one as 'sqlite:///tmp/data.db', without options"
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
        """Whether nothing is written to the file or next to it, even if this process may write there."""
        self._migrations = schema.migrations() if migrations is None else migrations
        self._timeout_s = timeout_s
        # The last one to close a file also puts its log away, so that the store is one file again.
        self._idle: ConnectionPool[_Opened] = ConnectionPool(_KEPT_CONNECTIONS)
        self._reader: ConnectionPool[_Opened] = ConnectionPool(1)
        self._reading = threading.Lock()
        self._table_cache = _TableCache()

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
            # A transaction that will write locks at its beginning: one that first reads could not write later.
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
        # A connection that never writes: what SQLite tells one of changes are those of all others.
        with self._reading, self._translate_errors(), self._connection(self._reader, write=False) as opened:
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
        """Give a connection to one user at a time; None if there is no file to read."""
        if self._path.is_dir():
            raise StoreError(f"{self._path} is a folder; give the path of a file in it")
        path = path_in_use(self._path, LOG)
        is_there = exists(path)
        if not write and not is_there:
            yield None
            return
        if is_there and (self._read_only or not _may_write(path)):
            if write:
                raise store_failure(path, _in_the_way(path) or f"{path} is read-only")
            with closing(open_read_only(path)) as opened:
                yield opened
                opened.check_unchanged()
            return
        if write:
            check_links(path)
        opened = self._take(idle, path) or self._open()
        try:
            yield opened
        except BaseException:
            opened.close()
            raise
        if not is_there:
            register(path)
        idle.release(opened)

    def _take(self, idle: ConnectionPool[_Opened], path: Path) -> _Opened | None:
        """Return a connection to the file that is there now."""
        while (opened := idle.acquire()) is not None and (opened.path, opened.file) != (path, file_id(path)):
            opened.close()
        return opened

    def _open(self) -> _Opened:
        path = path_in_use(self._path, LOG)
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = _connect(path, timeout_s=self._timeout_s)
        try:
            # Nothing that was committed is lost when the power goes.
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()  # The file is something else.
            raise
        return _Opened(connection, path, file_id(path))

    def _keep_log(self, connection: sqlite3.Connection) -> None:
        """Have changes written to a log first: readers then do not wait for a writer, and a commit is one write."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                # Of two that change it at the same moment SQLite refuses one at once, whatever its timeout.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)

    def _has_schema(self, connection: sqlite3.Connection) -> bool:
        """Tell a store from an empty database."""
        tables = _tables(connection)
        if not tables:
            if self._read_only:
                raise NotAStoreError(f"{self._path} has no tables in it")
            return False
        if "raw_schema" not in tables:
            raise NotAStoreError(
                f"{self._path} is a SQLite file with other tables than a store of agno_nb has; "
                "choose another db_file. It was not touched."
            )
        return True

    def _is_older(self, opened: _Opened) -> bool:
        """Tell whether the store has to be migrated, which it cannot be if it is only read."""
        ((version,),) = opened.connection.execute("SELECT max(version) FROM raw_schema").fetchall()
        is_older = schema.is_older(version, self._path, newest=max(self._migrations, default=1))
        if is_older and opened.is_read_only:
            raise schema.too_old_error(self._path)
        return is_older

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the store to the newest version, after a copy of its file was made."""
        ((version,),) = connection.execute("SELECT max(version) FROM raw_schema").fetchall()
        with closing(sqlite3.connect(schema.backup_path(self._path, version))) as copy:
            connection.backup(copy)
        # Another process may have done it meanwhile: what is still to be done is found out in the transaction.
        connection.execute("BEGIN IMMEDIATE")
        migrate(_SqliteTransaction(connection), self._migrations)
        connection.execute("COMMIT")

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise what SQLite and the system say of the store as an error of ours, with what to do."""
        try:
            yield
        except OSError as error:
            raise os_error(self._path, error) from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_NOTADB:
                raise NotAStoreError(
                    f"{self._path} is not a SQLite file; choose another db_file. It was not touched."
                ) from error
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreLocked(
                    f"another process has kept the store {self._path} for {self._timeout_s:g} s; let it finish, or "
                    "give this notebook another db_file"
                ) from error
            reason = str(error)
            if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
                reason = _in_the_way(self._path) or reason
            raise store_failure(self._path, reason) from error


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: sqlite3.Connection
    path: Path
    file: FileId | None
    is_read_only: bool = False
    mark: object = None
    """Size and time of a file that is read without a lock, which must not change while it is read."""
    folder: tempfile.TemporaryDirectory[str] | None = None
    """Where a copy is read."""

    def check_unchanged(self) -> None:
        if self.mark is not None and self.mark != _mark_of(self.path):
            raise StoreLocked(f"{self.path} was written to while it was read without a lock; try again")

    def close(self) -> None:
        self.connection.close()
        if self.folder is not None:
            self.folder.cleanup()


@dataclass(frozen=True, slots=True)
class _TableCache:
    """The tables that queries needed, kept until something changes."""

    version: object = None
    tables: dict[str, pa.Table] = field(default_factory=dict)
    columns: dict[str, frozenset[str]] = field(default_factory=dict)
    """Those of each table that were read; the others are null."""

    def as_of(self, opened: _Opened) -> _TableCache:
        """Return what is held of the store as the open transaction sees it."""
        # A transaction sees the store as of its first statement.
        opened.connection.execute("SELECT 1 FROM raw_schema").fetchall()
        ((data_version,),) = opened.connection.execute("PRAGMA data_version").fetchall()
        # Each connection counts for itself, so that a number means something together with it only.
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
    """Open a file so that SQLite creates nothing next to it.

    SQLite keeps changes in a log at first, and would create the log and the memory that its users share even to read.
    They would belong to the reader, and keep the owner of the store from writing.
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
    # Its process was killed, or the file was handed in together with its log.
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
    # SQLite itself knows the cases of ASCII only.
    connection.create_function("lower", 1, lambda text: text and text.lower(), deterministic=True)
    return connection


def _mark_of(path: Path) -> object:
    """Return what differs after the file or its log was written to."""
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
    """Return which file SQLite cannot use and why, if that can be seen."""
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
    """Give a transaction on a store in which nothing is, for those that do not exist yet."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _create_schema(connection)
        yield _SqliteTransaction(connection)
