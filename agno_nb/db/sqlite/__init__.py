"""A store in a SQLite file, with the driver of Python's standard library.

SQLite's own locks are sufficient for several processes and threads. DuckDB runs frames and queries, over the columns of
the tables that they need. These are kept in memory until the store changes.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import unquote

from agno_nb._keywords import listed_kwargs, suggest_on_unknown_kwarg
from agno_nb.db import schema
from agno_nb.db.arrow_tables import from_rows, with_all_columns
from agno_nb.db.base import AsyncDb
from agno_nb.db.driver import Driver
from agno_nb.db.encoding import micros
from agno_nb.db.file_names import (
    check_lock_timeout,
    os_error,
    path_in_use,
    store_failure,
    store_path,
    unstorable_value,
)
from agno_nb.db.migrations import migrate
from agno_nb.db.pushdown import ColumnFilter, filter_condition
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.sqlite_connections import LOG, POLL_S, Opened, SqliteConnections, unusable_file
from agno_nb.db.statements import Connection, marks
from agno_nb.db.table_names import StoreNames, TableNames, TableOptions, file_of, ignore_unused_tables
from agno_nb.errors import InvalidInputError, NotAStoreError, StoreLocked
from agno_nb.redact import without_userinfo

if TYPE_CHECKING:
    import pyarrow as pa


@ignore_unused_tables
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
    session_table : str, optional
        Stores of one file with different names never see each other's sessions. A name other than agno's default,
        ``agno_sessions``, stands for a file next to the given one.
    memory_table : str, optional
        Likewise for user memories: stores of one file share them, unless their names differ. agno's default is
        ``agno_memories``.
    id : str, optional
        Identity of the store for your program; derived from its address by default.
    **tables
        Names of agno's other tables, such as `metrics_table`, have no effect.

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

    @listed_kwargs(StoreNames)
    def __init__(
        self,
        db_file: str | Path | None = None,
        *,
        db_url: str | None = None,
        lock_timeout_s: float = 15.0,
        **tables: Unpack[TableOptions],
    ) -> None:
        if db_file is not None and db_url is not None:
            raise InvalidInputError(
                f"db_file is {str(db_file)!r} and db_url {without_userinfo(db_url)!r}; pass one of them"
            )
        path = _path_of_url(db_url) if db_url is not None else "agno_nb.db" if db_file is None else db_file
        self._given_file = store_path(path)
        check_lock_timeout(lock_timeout_s)
        self.lock_timeout_s = lock_timeout_s
        names = TableNames.of(tables)
        self.db_file, of_memories = (file_of(self._given_file, ending) for ending in names.endings)
        memories = None if of_memories == self.db_file else SqliteDb(of_memories, lock_timeout_s=lock_timeout_s)
        driver = SqliteDriver(self.db_file, lock_timeout_s)
        super().__init__(driver, tables=names, memory_store=memories, id=tables.get("id"))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), lock_timeout_s=self.lock_timeout_s, **self._options), (self._given_file,)

    @property
    def identity(self) -> str:
        return str(path_in_use(self.db_file, LOG))

    def __repr__(self) -> str:
        return f"SqliteDb({str(self._given_file)!r}{self._tables.describe()})"


@ignore_unused_tables
@suggest_on_unknown_kwarg({})
class AsyncSqliteDb(AsyncDb):
    """Async version of :class:`SqliteDb`, with the same arguments and methods."""

    @listed_kwargs(StoreNames)
    def __init__(
        self,
        db_file: str | Path | None = None,
        *,
        db_url: str | None = None,
        lock_timeout_s: float = 15.0,
        **tables: Unpack[TableOptions],
    ) -> None:
        super().__init__(SqliteDb(db_file, db_url=db_url, lock_timeout_s=lock_timeout_s, **tables))


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
        self._migrations = schema.migrations() if migrations is None else migrations
        self._timeout_s = timeout_s
        self._connections = SqliteConnections(path, timeout_s, read_only=read_only)
        self._table_cache = TableCache()

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[Connection]:
        with translate_errors(self._path, self._timeout_s), self._connections.use(write=write) as opened:
            if opened is None:
                with empty_store() as empty:
                    yield empty
                return
            connection = opened.connection
            if write and not _tables(connection):
                self._keep_log(connection)
            # A transaction that writes takes the lock at its start; after a read it might not get it.
            with self._begin(opened, "BEGIN IMMEDIATE" if write else "BEGIN") as is_store:
                if is_store or write:
                    if not is_store:
                        create_schema(connection)
                    yield SqliteTransaction(connection)
                else:
                    with empty_store() as empty:
                        yield empty

    @contextmanager
    def _begin(self, opened: Opened, statement: str) -> Iterator[bool]:
        """Open a transaction. The value is whether the database is a store, which then has the newest version."""
        connection = opened.connection
        connection.execute(statement)
        try:
            is_store = self._has_schema(connection)
            if is_store:
                ((version,),) = connection.execute("SELECT max(version) FROM raw_schema").fetchall()
                if schema.is_older(version, self._path, newest=max(self._migrations, default=1)):
                    self._migrate(opened, version)
                    connection.execute(statement)
            yield is_store
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def rows(self, columns_read: schema.ColumnsRead, column_filter: ColumnFilter | None = None) -> dict[str, pa.Table]:
        with translate_errors(self._path, self._timeout_s), self._connections.read() as opened:
            if opened is None:
                return {}
            with self._begin(opened, "BEGIN") as is_store:
                if not is_store:
                    return {}
                self._table_cache = self._table_cache.as_of(_version_of(opened))
                return self._table_cache.read_all(opened.connection, columns_read, column_filter)

    def vacuum(self) -> None:
        with translate_errors(self._path, self._timeout_s), self._connections.use(write=True) as opened:
            assert opened is not None
            opened.connection.execute("VACUUM")
            opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def backup(self, path: Path, memories: pa.Table | None = None) -> None:
        with translate_errors(self._path, self._timeout_s), self._connections.use(write=False) as opened:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path, isolation_level=None)) as target:
                if opened is not None:
                    opened.connection.backup(target)
                else:
                    create_schema(target)
                if memories is not None:
                    target.execute("DELETE FROM raw_memories")
                    names = memories.column_names
                    sql = f"INSERT INTO raw_memories ({', '.join(names)}) VALUES ({marks(names)})"
                    target.executemany(sql, [tuple(row.values()) for row in memories.to_pylist()])

    def close(self) -> None:
        self._connections.close()
        self._table_cache = TableCache()

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

    def _migrate(self, opened: Opened, version: int) -> None:
        """Copy the file, and migrate the store to the newest version."""
        if opened.is_read_only:
            raise schema.too_old_error(self._path)
        connection = opened.connection
        connection.execute("ROLLBACK")
        with closing(sqlite3.connect(schema.backup_path(self._path, version))) as copy:
            connection.backup(copy)
        # Another process may have migrated it, which migrate() finds out in the transaction.
        connection.execute("BEGIN IMMEDIATE")
        migrate(SqliteTransaction(connection), self._migrations, with_indexes=True)
        connection.execute("COMMIT")


@contextmanager
def translate_errors(path: Path | None, timeout_s: float = 0) -> Iterator[None]:
    """Convert errors of SQLite and the system to ours, with a remedy."""
    try:
        yield
    except OSError as error:
        raise os_error(path, error) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            raise NotAStoreError(f"{path} is not a SQLite file; choose another db_file. It was not changed.") from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreLocked(
                f"timed out after {timeout_s:g} s waiting for store {path}, locked by another process; "
                "wait for it to finish, raise lock_timeout_s, or use another db_file"
            ) from error
        reason = str(error)
        if path is not None and code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            reason = unusable_file(path) or reason
        if isinstance(error, sqlite3.DataError | sqlite3.IntegrityError):
            raise unstorable_value(path, reason) from error
        raise store_failure(path, reason) from error


@dataclass(frozen=True, slots=True)
class TableCache:
    """The tables that queries have read, valid until the store changes."""

    version: object = None
    tables: dict[str, pa.Table] = field(default_factory=dict)
    """With the columns that have been read."""

    def as_of(self, version: object) -> TableCache:
        """Return the cache for this version of the store."""
        return self if version == self.version else TableCache(version)

    def read_all(
        self, connection: sqlite3.Connection, columns_read: schema.ColumnsRead, part: ColumnFilter | None
    ) -> dict[str, pa.Table]:
        """Read the columns of each table, and keep whole tables."""
        return {
            table: with_all_columns(table, self._read(connection, table, columns, part))
            for table, columns in columns_read.items()
        }

    def _read(
        self, connection: sqlite3.Connection, table: str, columns: frozenset[str], part: ColumnFilter | None
    ) -> pa.Table:
        cached = self.tables.get(table)
        cached_columns = set(cached.column_names) if cached is not None else set()
        if columns <= cached_columns:
            return cached
        names = sorted(columns | cached_columns)
        where, parameters = filter_condition(table, part)
        sql = f"SELECT {', '.join(names)} FROM {table} WHERE {where}"
        rows = from_rows(table, connection.execute(sql, parameters), names)
        if part is None:
            self.tables[table] = rows
        return rows


def _version_of(opened: Opened) -> object:
    """Return the data version of the open transaction."""
    # A transaction sees the store as of its first read.
    opened.connection.execute("SELECT 1 FROM raw_schema").fetchall()
    ((data_version,),) = opened.connection.execute("PRAGMA data_version").fetchall()
    # Each connection has its own count of versions.
    return opened, data_version


class SqliteTransaction(Connection):
    """An open transaction on a connection of SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters).fetchall()

    def change(self, sql: str, parameters: Sequence[Any], /) -> int:
        return self._connection.execute(sql, parameters).rowcount


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def create_schema(connection: sqlite3.Connection) -> None:
    for statement in [*schema.statements("schema.sql"), *schema.statements("indexes.sql")]:
        connection.execute(statement)
    connection.execute("INSERT INTO raw_schema VALUES (?, ?)", [schema.VERSION, micros(time.time())])


@contextmanager
def empty_store() -> Iterator[Connection]:
    """Open a transaction on an empty store, in place of one that doesn't exist."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        create_schema(connection)
        yield SqliteTransaction(connection)
