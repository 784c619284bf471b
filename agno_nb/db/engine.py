"""The in-memory DuckDB of this process: what stores attach to it, and the SQL of users that it runs."""

from __future__ import annotations

import os
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from agno_nb.db import schema
from agno_nb.db.encoding import micros
from agno_nb.db.sql import Driver
from agno_nb.db.statements import Connection
from agno_nb.errors import NotAStoreError, QueryError, StoreError, StoreLocked

if TYPE_CHECKING:
    import pyarrow as pa

POLL_S = 0.01
"""How often what cannot be waited for is tried again."""
_MOST_STATEMENTS = 256


class Engine:
    """An in-memory DuckDB of this process, to which one store is attached as ``store``.

    It reaches no file but that store, whatever SQL it is given, and sees no Python variables.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self._started: duckdb.DuckDBPyConnection | None = None
        self._cursor: duckdb.DuckDBPyConnection | None = None
        """The one of :meth:`lease`, while a store is attached."""
        self._statements: dict[str, duckdb.Statement] = {}

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._started is None:
            self._started = self._start()
        return self._started

    def _start(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(
            ":memory:",
            config={
                "python_enable_replacements": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        # These are all the names that DuckDB gives to the files of a database (duckdb pull request 21379).
        suffixes = ("", ".wal", ".wal.checkpoint", ".wal.recovery")
        files = [f"{self.path}{suffix}" for suffix in suffixes] if self.path else []
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        # A detach writes the latest rows of a table anew, some thousands of them. To find out how they compress best
        # takes ten times as long as to write them: 100 ms after a thousand turns.
        connection.execute("SET GLOBAL force_compression = 'uncompressed'")
        connection.execute("SET GLOBAL allowed_paths = ?", [files])
        connection.execute("SET GLOBAL enable_external_access = false")
        connection.execute("SET GLOBAL lock_configuration = true")
        return connection

    def stop(self) -> None:
        """Let go of the store in any case. The next use starts the engine again."""
        self._close_cursor()
        self._statements.clear()
        connection, self._started = self._started, None
        if connection is not None:
            connection.close()

    @contextmanager
    def lease(self, *, write: bool) -> Iterator[Connection]:
        """Open a transaction on the attached store for its own statements."""
        if self._cursor is None:
            self._cursor = self._connection.cursor()
            self._cursor.execute("USE store")
        try:
            with _in_transaction(self._cursor, write=write):
                yield _Lease(self)
        except BaseException:
            self._close_cursor()
            raise

    def execute(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run one of the store's own statements in the open :meth:`lease`; return all its rows."""
        assert self._cursor is not None
        statement = self._statements.get(sql)
        if statement is None:
            (statement,) = self._cursor.extract_statements(sql)
            # They come again and again, and to parse one takes a third of its time. Only lists differ, in length.
            if len(self._statements) >= _MOST_STATEMENTS:
                self._statements.clear()
            self._statements[sql] = statement
        return self._cursor.execute(statement, list(parameters)).fetchall()

    def _close_cursor(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a transaction on the attached store, on a cursor of its own: frames registered there go with it."""
        with self._connection.cursor() as cursor:
            cursor.execute("USE store")
            with _in_transaction(cursor, write=write):
                yield cursor

    def attach_file(self, *, write: bool) -> bool:
        """Attach the store's file; return whether there is a store in it, as there always is after writing began."""
        if not write:
            options = "READ_ONLY"
        elif self.path is not None and self.path.exists():
            options = "READ_WRITE"
        else:
            # An empty store takes 28 kB with such blocks, and ten times as much with DuckDB's default. The storage
            # version stays DuckDB's newest: with an older one, each detach rewrites what a primary key indexes.
            options = "BLOCK_SIZE 16384"
        self._attach(str(self.path), options)
        if self._has_schema():
            return True
        if write:
            self._create_schema()
        return write

    def attach_empty(self) -> None:
        """Attach an empty store in memory."""
        self._attach(":memory:", "READ_WRITE")
        self._create_schema()

    def detach(self) -> None:
        self._close_cursor()
        self._connection.execute("DETACH DATABASE IF EXISTS store")

    def _attach(self, source: str, options: str) -> None:
        # What an interrupt in the middle of a lease may have left attached would be in the way.
        self.detach()
        quoted = source.replace("'", "''")
        self._connection.execute(f"ATTACH '{quoted}' AS store (TYPE DUCKDB, {options})")

    def _create_schema(self) -> None:
        with self.transaction(write=True) as cursor:
            cursor.execute(schema.text("schema.sql"))
            cursor.execute(schema.text("views.sql"))
            cursor.execute("INSERT INTO raw_schema VALUES (?, ?)", [schema.VERSION, micros(time.time())])

    def _has_schema(self) -> bool:
        """Tell a store from an empty database."""
        try:
            ((version,),) = self._connection.execute("SELECT max(version) FROM store.raw_schema").fetchall()
        except duckdb.CatalogException:
            sql = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'store' LIMIT 1"
            if self._connection.execute(sql).fetchall():
                raise NotAStoreError(
                    f"{self.path} is a DuckDB file with other tables than a store of agno_nb has; "
                    "choose another db_file. It was not touched."
                ) from None
            return False
        if self.path is not None:
            schema.check_version(version, self.path)
        return True

    def arrow(self, sql: str, parameters: Sequence[Any], frames: Mapping[str, Any]) -> pa.Table:
        """Do what :meth:`agno_nb.db.base.Db.arrow` says with the attached store."""
        with self.transaction(write=False) as cursor:
            try:
                statement = _read_only_statement(cursor, sql)
                for name, frame in frames.items():
                    cursor.register(name, frame)
                return _interruptible(cursor, statement, parameters)
            except duckdb.Error as error:
                raise QueryError(_one_line(error)) from error


class EngineDriver(Driver):
    """What the stores in a file and in memory share."""

    @abstractmethod
    def attached(self, *, write: bool) -> AbstractContextManager[Engine]:
        """Give the engine with the store attached to it, to one user at a time."""

    @contextmanager
    def lease(self, *, write: bool) -> Iterator[Connection]:
        with self.attached(write=write) as engine, engine.lease(write=write) as connection:
            yield connection

    def arrow(self, sql: str, parameters: Sequence[Any], frames: Mapping[str, Any]) -> pa.Table:
        with self.attached(write=False) as engine:
            return engine.arrow(sql, parameters, frames)


class _Lease:
    """The engine while a transaction is open. It holds nothing of DuckDB, whose objects must not outlive a lease."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        return self._engine.execute(sql, parameters)

    def change(self, sql: str, parameters: Sequence[Any], /) -> int:
        ((count,),) = self.execute(sql, parameters)
        return int(count)


@contextmanager
def _in_transaction(cursor: duckdb.DuckDBPyConnection, *, write: bool) -> Iterator[None]:
    cursor.execute("BEGIN TRANSACTION" if write else "BEGIN TRANSACTION READ ONLY")
    try:
        yield
    except BaseException:
        # DuckDB has done so itself after some errors. What the caller must hear of is the first error.
        with suppress(duckdb.Error):
            cursor.execute("ROLLBACK")
        raise
    cursor.execute("COMMIT")


def _read_only_statement(cursor: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """Return the one statement of `sql` when its type is one that reads.

    The type is half of the gate: DuckDB calls a ``WITH`` that deletes a SELECT. The transaction, which is read-only,
    and the engine, which reaches no files, are the other half.
    """
    reading = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    statements = cursor.extract_statements(sql)
    # The client has no name for some types of statement (CONNECT), and raises a ValueError when asked for them.
    with suppress(ValueError):
        if len(statements) == 1 and statements[0].type in reading:
            return statements[0]
    raise QueryError("only one statement that reads (SELECT, WITH, FROM, DESCRIBE, SUMMARIZE, EXPLAIN) can be run")


def _interruptible(
    cursor: duckdb.DuckDBPyConnection, statement: duckdb.Statement, parameters: Sequence[Any]
) -> pa.Table:
    """Run a statement on another thread: on the main one DuckDB does not see the interrupt of a kernel."""
    with ThreadPoolExecutor(1) as pool:
        table = pool.submit(lambda: cursor.sql(statement, params=list(parameters)).to_arrow_table())
        try:
            return table.result()
        except KeyboardInterrupt:
            # Asked again until it stops: an interrupt that comes before the query has begun is not remembered.
            while not table.done():
                cursor.interrupt()
                wait([table], timeout=POLL_S)
            raise


@contextmanager
def our_errors(path: Path | None) -> Iterator[None]:
    """Raise what DuckDB and the system say of a store as an error of ours, with what to do."""
    store = f"the store {path}" if path else "the store in memory"
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{store} cannot be used: {error.strerror or error}; choose a db_file in a folder that you can write to"
        ) from error
    except duckdb.Error as error:
        text = _one_line(error)
        if "not a valid DuckDB database file" in text:
            raise NotAStoreError(f"{path} is not a DuckDB file; choose another db_file. It was not touched.") from error
        if "Could not set lock on file" in text or "Unique file handle conflict" in text:
            raise StoreLocked(
                f"another program, or a duckdb.connect of this one, has {path} open; close it and try again ({text})"
            ) from error
        raise StoreError(
            f"{store} failed, and what was being written is not stored; make sure that the disk has space and that "
            f"you can write there, and try again ({text})"
        ) from error


def _one_line(error: duckdb.Error) -> str:
    """Return DuckDB's message without the drawing of where in the SQL it happened."""
    return " ".join(str(error).split("\n\nLINE ")[0].split())
