"""The default store: a DuckDB file that several notebooks use at the same time, without a server.

DuckDB lets one process have a file open for writing, so nobody keeps it open. Each use is a *lease*: lock, attach,
one transaction, detach, unlock; two to three milliseconds. Three things make it safe, all of them measured on
DuckDB 2.0.0:

- The lock is a file of its own, ``<store>.lock``, taken before the store is attached and released after it is
  detached. DuckDB reads a file's header before it takes its own lock, and would overwrite what another process
  committed in between.
- The store itself is never opened, copied or locked by us: closing any handle of it drops DuckDB's lock (POSIX).
- Nothing leaves a lease unread: an open result would keep the file open after the detach.
"""

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
from weakref import WeakValueDictionary

import duckdb
from filelock import FileLock, Timeout

from agno_nb.db import schema
from agno_nb.db.rows import micros
from agno_nb.db.sql import Driver, SqlDb
from agno_nb.db.statements import Connection
from agno_nb.errors import (
    InvalidInputError,
    NotAStoreError,
    QueryError,
    StoreError,
    StoreLocked,
    StoreVersionError,
)

if TYPE_CHECKING:
    import pyarrow as pa

POLL_S = 0.01
"""How often a lock that is held elsewhere is tried again."""


class DuckDb(SqlDb):
    """Sessions, runs, messages and tool calls in a DuckDB file.

    Several processes and threads may use one file at the same time. While they do, do not open it with another program.

    Parameters
    ----------
    db_file : str or Path
        The file. It is made, with its folder, when something is first written; until then the store reads as empty.
        A relative path is taken from the working directory of this moment.
    lock_timeout_s : float
        How long to wait, in seconds, for another process or thread that uses the file.

    Raises
    ------
    NotAStoreError
        On first use: the file is something else. It is not touched.
    StoreVersionError
        On first use: the file was written by a newer agno_nb. It is not touched.
    StoreLocked
        On any use: the file was in use for longer than `lock_timeout_s`.
    StoreError
        On any use: the file cannot be read or written.

    Examples
    --------
    >>> db = DuckDb("examples/lesson.duckdb")
    >>> db.get_session("s1") is None
    True
    """

    def __init__(self, db_file: str | Path = "agno_nb.duckdb", *, lock_timeout_s: float = 15.0) -> None:
        if str(db_file) in ("", ":memory:"):
            raise InvalidInputError(f"db_file is {str(db_file)!r}; for a store without a file use InMemoryDb()")
        self.db_file = Path(db_file).expanduser().resolve()
        super().__init__(_FileDriver(self.db_file, lock_timeout_s))

    @property
    def identity(self) -> str:
        return str(self.db_file)

    def __repr__(self) -> str:
        return f"DuckDb({self.identity!r})"


class Engine:
    """An in-memory DuckDB of this process, to which one store is attached as ``store``.

    It reaches no file but that store, whatever SQL it is given, and sees no Python variables.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "python_enable_replacements": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        # These are all the names that DuckDB gives to the files of a database (duckdb pull request 21379).
        files = [f"{path}{suffix}" for suffix in ("", ".wal", ".wal.checkpoint", ".wal.recovery")] if path else []
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self._connection.execute("SET GLOBAL allowed_paths = ?", [files])
        self._connection.execute("SET GLOBAL enable_external_access = false")
        self._connection.execute("SET GLOBAL lock_configuration = true")

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a transaction on the attached store, on a cursor of its own: frames registered there go with it."""
        with self._connection.cursor() as cursor:
            cursor.execute("USE store")
            cursor.execute("BEGIN TRANSACTION" if write else "BEGIN TRANSACTION READ ONLY")
            try:
                yield cursor
            except BaseException:
                # DuckDB has done so itself after some errors. What the caller must hear of is the first error.
                with suppress(duckdb.Error):
                    cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

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
        if version > schema.VERSION:
            raise StoreVersionError(
                f"{self.path} has version {version} of the store's schema, and this agno_nb knows versions up to "
                f"{schema.VERSION}; update agno_nb. The file was not touched."
            )
        return True


class EngineDriver(Driver):
    """What the stores in a file and in memory share."""

    @abstractmethod
    def attached(self, *, write: bool) -> AbstractContextManager[Engine]:
        """Give the engine with the store attached to it, to one user at a time."""

    @contextmanager
    def lease(self, *, write: bool) -> Iterator[Connection]:
        with self.attached(write=write) as engine, engine.transaction(write=write) as cursor:
            yield _Lease(cursor)

    def arrow(self, sql: str, parameters: Sequence[Any], frames: Mapping[str, Any]) -> pa.Table:
        with self.attached(write=False) as engine, engine.transaction(write=False) as cursor:
            try:
                statement = _read_only_statement(cursor, sql)
                for name, frame in frames.items():
                    cursor.register(name, frame)
                return _interruptible(cursor, statement, parameters)
            except duckdb.Error as error:
                raise QueryError(_one_line(error)) from error


class _Lease:
    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        return self._cursor.execute(sql, list(parameters)).fetchall()


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


_engines: WeakValueDictionary[Path, Engine] = WeakValueDictionary()
_engines_lock = threading.Lock()
_inherited: list[Engine] = []


def _after_fork_in_child() -> None:
    # An engine does not survive a fork: using it loses data and closing it crashes, so the child only keeps it.
    global _engines_lock
    _engines_lock = threading.Lock()
    _inherited.extend(_engines.values())
    _engines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class _FileDriver(EngineDriver):
    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._engine: Engine | None = None

    @contextmanager
    def attached(self, *, write: bool) -> Iterator[Engine]:
        engine = self._engine_of_this_process()
        with our_errors(self._path), self._alone(engine, write=write) as has_file:
            try:
                # Reading a file that is not there, or has nothing in it, does not make it a store.
                if not (has_file and engine.attach_file(write=write)):
                    engine.attach_empty()
                yield engine
            finally:
                engine.detach()

    def close(self) -> None:
        self._engine = None

    def _engine_of_this_process(self) -> Engine:
        if self._engine is None or self._engine.pid != os.getpid():
            with _engines_lock:
                self._engine = _engines.get(self._path) or Engine(self._path)
                _engines[self._path] = self._engine
        return self._engine

    @contextmanager
    def _alone(self, engine: Engine, *, write: bool) -> Iterator[bool]:
        """Keep other threads and processes out; say whether there is a file to attach, or to make."""
        if self._path.is_dir():
            raise StoreError(f"{self._path} is a folder; give the path of a file in it")
        deadline = time.monotonic() + self._timeout_s
        if not engine.lock.acquire(timeout=self._timeout_s):
            raise StoreLocked(self._waited("another thread", "let it finish"))
        try:
            if write:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            elif not self._path.exists():
                # There is nothing to keep others from, and no lock file should be left where there is no store.
                yield False
                return
            # Made anew each time, because a lock object must not be taken along into a forked process.
            file_lock = FileLock(f"{self._path}.lock", thread_local=False)
            with file_lock.acquire(max(0.0, deadline - time.monotonic()), poll_interval=POLL_S):
                yield True
        except Timeout:
            raise StoreLocked(
                self._waited("another process", "let it finish, or give this notebook another db_file")
            ) from None
        finally:
            engine.lock.release()

    def _waited(self, who: str, remedy: str) -> str:
        return f"{who} has kept the store {self._path} for {self._timeout_s:g} s; {remedy}"


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
