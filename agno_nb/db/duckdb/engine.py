"""The in-memory DuckDB of this process, to which stores are attached."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from agno_nb.db import schema
from agno_nb.db.driver import Driver
from agno_nb.db.duckdb.write_batch import WriteBatch
from agno_nb.db.encoding import micros
from agno_nb.db.file_names import os_error, store_failure, unstorable_value
from agno_nb.db.migrations import migrate
from agno_nb.db.pushdown import ColumnFilter, with_filtered_tables
from agno_nb.db.sandbox import interruptible, open_sandbox, short_error
from agno_nb.db.statements import Connection
from agno_nb.db.tables import with_all_columns
from agno_nb.errors import InvalidInputError, NotAStoreError, StoreError, StoreLocked

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_STATEMENTS = 256
_data_versions = itertools.count()

# A turn's statements read and write a few rows each, and most of their time is spent on plans and on waking threads. So
# they run on the thread that asks, and DuckDB plans them by the rules that find rows without looking at all of them.
_RULES = {
    "expression_rewriter", "filter_pushdown", "in_clause", "row_group_pruner", "top_n", "unused_columns",
}  # fmt: skip


class Engine:
    """An in-memory DuckDB of this process, to which one store is attached as ``store``.

    It reaches no file but that store, whatever SQL it is given, and sees no Python variables.
    """

    def __init__(self, path: Path | None = None, *, migrations: Mapping[int, str] | None = None) -> None:
        self.path = path
        self._migrations = schema.migrations() if migrations is None else migrations
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.data_version = next(_data_versions)
        """A number that what is attached has as long as nobody may have changed it, and nothing else ever has."""
        self._started: duckdb.DuckDBPyConnection | None = None
        self._cursor: duckdb.DuckDBPyConnection | None = None
        """The one of :meth:`transaction`, while a store is attached."""
        self._statements: dict[str, duckdb.Statement] = {}
        self._log_mode: int | None = None
        """Permissions of the attached store's log, if others than the owner may write to the store."""

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._started is None:
            self._started = self._start()
        return self._started

    def _start(self) -> duckdb.DuckDBPyConnection:
        # These are all the names that DuckDB gives to the files of a database (duckdb pull request 21379).
        logs = ("", ".wal", ".wal.checkpoint", ".wal.recovery")
        files = [f"{self.path}{name}{log}" for name in ("", ".vacuum") for log in logs] if self.path else []
        connection = open_sandbox(files)
        # A detach writes the latest rows of a table anew, some thousands of them. To find out how they compress best
        # takes ten times as long as to write them: 100 ms after a thousand turns.
        connection.execute("SET GLOBAL force_compression = 'uncompressed'")
        known = connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()
        self._spared = ",".join(name for (name,) in known if name not in _RULES)
        self._point_query_settings(connection)
        return connection

    def _point_query_settings(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("SET GLOBAL threads = 1")
        connection.execute("SET GLOBAL disabled_optimizers = ?", [self._spared])

    @contextmanager
    def _scan_settings(self) -> Iterator[None]:
        """Let DuckDB use all its threads and rules."""
        self._connection.execute("RESET GLOBAL threads")
        self._connection.execute("RESET GLOBAL disabled_optimizers")
        try:
            yield
        finally:
            self._point_query_settings(self._connection)

    def stop(self) -> None:
        """Let go of the store in any case. The next use starts the engine again."""
        self._close_cursor()
        self._statements.clear()
        connection, self._started = self._started, None
        if connection is not None:
            connection.close()

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[Connection]:
        """Open a transaction on the attached store for its own statements."""
        if self._cursor is None:
            self._cursor = self._connection.cursor()
            self._cursor.execute("USE store")
        data_version = self.data_version
        if write:
            self.data_version = next(_data_versions)
        try:
            with ExitStack() as stack:
                cursor_context = _in_transaction(self.execute, write=write)
                lease = WriteBatch(
                    self.execute,
                    begin=lambda: stack.enter_context(cursor_context),
                    data_version=data_version,
                    next_data_version=self.data_version,
                )
                yield lease
                lease.flush()
        except BaseException:
            self._close_cursor()
            raise

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one of the store's own statements in the open :meth:`transaction`; return all its rows.

        Nothing of DuckDB is given out, whose objects must not outlive a lease.
        """
        assert self._cursor is not None
        return self._cursor.execute(self._parsed(sql), list(parameters)).fetchall()

    def _parsed(self, sql: str) -> duckdb.Statement:
        """Parse a statement, once: they come again and again, and to parse one takes a third of its time."""
        statement = self._statements.get(sql)
        if statement is None:
            # Only lists differ, in length.
            if len(self._statements) >= _MAX_STATEMENTS:
                self._statements.clear()
            (statement,) = self._connection.extract_statements(sql)
            self._statements[sql] = statement
        return statement

    def _close_cursor(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()

    @contextmanager
    def frame_cursor(self, *, write: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open a transaction on the attached store, on a cursor of its own: frames registered there go with it."""
        if write:
            self.data_version = next(_data_versions)
        with self._connection.cursor() as cursor:
            cursor.execute("USE store")
            with _in_transaction(cursor.execute, write=write):
                yield cursor

    def attach_file(self, *, write: bool, migrates: bool = True) -> bool:
        """Attach the store's file; return whether there is a store in it, as there always is after writing began.

        A store of an older version is brought to the newest, or refused where `migrates` says that it must not be.
        """
        if not write:
            options = "READ_ONLY"
        elif self.path is not None and self.path.exists():
            options = "READ_WRITE"
        else:
            # An empty store takes 28 kB with such blocks, and ten times as much with DuckDB's default. The storage
            # version stays DuckDB's newest: with an older one, each detach rewrites what a primary key indexes.
            options = "BLOCK_SIZE 16384"
        self._attach(str(self.path), options)
        if write:
            self._log_mode = _shared_mode(self.path) if self.path is not None else None
            self.share_log()
        version = self._version()
        if version is not None:
            if schema.is_older(version, str(self.path), newest=max(self._migrations, default=1)):
                if not migrates or (self.path is not None and not os.access(self.path, os.W_OK)):
                    raise schema.too_old_error(self.path)
                self._migrate(version)
            return True
        if write:
            self._create_schema()
        return write

    def share_log(self) -> None:
        """Let everyone who may write to the attached store write to its log, whatever the umask.

        DuckDB creates the log with the first write and after a checkpoint. A killed process leaves it behind, and
        another user could not attach the store. DuckDB uses a log that is there, so it is created here.
        """
        if self._log_mode is None:
            return
        log = f"{self.path}.wal"
        with suppress(OSError):
            if not os.path.exists(log):
                os.close(os.open(log, os.O_WRONLY | os.O_CREAT, 0o600))
            if os.stat(log).st_mode & 0o777 != self._log_mode:
                os.chmod(log, self._log_mode)

    def attach_empty(self) -> None:
        """Attach an empty store in memory."""
        self._attach(":memory:", "READ_WRITE")
        self._create_schema()

    def compact(self) -> None:
        """Put a new file with the same rows in place of the attached one, which keeps what was deleted."""
        assert self.path is not None
        fresh = Path(f"{self.path}.vacuum")
        fresh.unlink(missing_ok=True)
        try:
            self._attach(str(fresh), "BLOCK_SIZE 16384", name="fresh")
            with self._scan_settings():
                self._connection.execute("COPY FROM DATABASE store TO fresh")
            self._connection.execute("DETACH DATABASE fresh")
            self.detach()
            if Path(f"{self.path}.wal").exists():
                raise StoreError(f"{self.path} was not rewritten: what is in its log could not be put into it first")
            shutil.copymode(self.path, fresh)
            fresh.replace(self.path)
        finally:
            self._connection.execute("DETACH DATABASE IF EXISTS fresh")
            fresh.unlink(missing_ok=True)
            self.attach_file(write=True)

    def detach(self) -> None:
        self._close_cursor()
        self._connection.execute("DETACH DATABASE IF EXISTS store")
        if self._log_mode is not None:
            self._log_mode = None
            with suppress(OSError):
                # Nothing was written since the last checkpoint.
                if os.stat(log := f"{self.path}.wal").st_size == 0:
                    os.unlink(log)

    def _attach(self, source: str, options: str, *, name: str = "store") -> None:
        # What an interrupt in the middle of a lease may have left attached would be in the way.
        self._close_cursor()
        self.data_version = next(_data_versions)
        self._connection.execute(f"DETACH DATABASE IF EXISTS {name}")
        quoted = source.replace("'", "''")
        self._connection.execute(f"ATTACH '{quoted}' AS {name} (TYPE DUCKDB, {options})")

    def _create_schema(self) -> None:
        with self.frame_cursor(write=True) as cursor:
            cursor.execute(schema.text("schema.sql"))
            cursor.execute(schema.text("views.sql"))
            cursor.execute("INSERT INTO raw_schema VALUES (?, ?)", [schema.VERSION, micros(time.time())])

    def _version(self) -> int | None:
        """Return the version of the store that is attached; None of an empty database."""
        try:
            rows = self._connection.execute("SELECT version FROM store.raw_schema").fetchall()
        except duckdb.CatalogException:
            sql = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'store' LIMIT 1"
            if self._connection.execute(sql).fetchall():
                raise NotAStoreError(
                    f"{self.path} is a DuckDB file with other tables than a store of agno_nb has; "
                    "choose another db_file. It was not touched."
                ) from None
            return None
        version: int = max(rows)[0]
        return version

    def _migrate(self, version: int) -> None:
        """Bring the attached store of a `version` to the newest one, after a copy of its file was made."""
        path = str(self.path)
        # What may still be in its log is put into the file first. It can be copied while nothing has it open.
        self._attach(path, "READ_WRITE")
        self.detach()
        shutil.copyfile(path, schema.backup_path(path, version))
        self._attach(path, "READ_WRITE")
        with self.transaction(write=True) as connection:
            sql = "SELECT view_name FROM duckdb_views() WHERE database_name = 'store' AND NOT internal"
            for (view,) in connection.execute(sql):
                connection.execute(f'DROP VIEW "{view}"')
            migrate(connection, self._migrations)
            for statement in schema.statements("views.sql"):
                connection.execute(statement)

    def tables(self, names: Collection[str]) -> dict[str, pa.Table]:
        """Read whole tables of the attached store."""
        columns = {table: ", ".join(schema.column_types()[table]) for table in names}
        with self._scan_settings():
            return {table: self._frame(f"SELECT {columns[table]} FROM {table}", ()) for table in names}

    def frame(self, sql: str, parameters: Sequence[Any]) -> pa.Table:
        """Run a statement of ours on the attached store."""
        with self._scan_settings():
            return self._frame(sql, parameters)

    def _frame(self, sql: str, parameters: Sequence[Any]) -> pa.Table:
        with self.frame_cursor(write=False) as cursor:
            return interruptible(cursor, lambda: cursor.sql(sql, params=list(parameters)).to_arrow_table())


class EngineDriver(Driver):
    """What the stores in a file and in memory share."""

    @abstractmethod
    def attached(self, *, write: bool) -> AbstractContextManager[Engine]:
        """Give the engine with the store attached to it, to one user at a time."""

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[Connection]:
        with self.attached(write=write) as engine, engine.transaction(write=write) as connection:
            yield connection

    def tables(self, names: Collection[str]) -> dict[str, pa.Table]:
        with self.attached(write=False) as engine:
            return engine.tables(names)

    def rows(self, columns_read: schema.ColumnsRead, column_filter: ColumnFilter | None = None) -> dict[str, pa.Table]:
        with self.attached(write=False) as engine:
            return {
                table: with_all_columns(table, engine.frame(f"SELECT {', '.join(columns)} FROM {table}", ()))
                for table, columns in columns_read.items()
            }

    def frame(self, sql: str, parameters: Sequence[Any], column_filter: ColumnFilter | None = None) -> pa.Table:
        # The views in a file may be from an older version.
        sql, values = with_filtered_tables(sql, column_filter or {})
        with self.attached(write=False) as engine:
            return engine.frame(sql, [*values, *parameters])


def _shared_mode(store: Path) -> int | None:
    """Return the permissions for files next to a store that others than its owner may write to; else None."""
    mode = store.stat().st_mode & 0o666
    return 0o600 | mode if mode & 0o022 and os.name != "nt" else None


@contextmanager
def _in_transaction(do: Callable[[str], object], *, write: bool) -> Iterator[None]:
    do("BEGIN TRANSACTION" if write else "BEGIN TRANSACTION READ ONLY")
    try:
        yield
    except BaseException:
        # DuckDB has done so itself after some errors. What the caller must hear of is the first error.
        with suppress(duckdb.Error):
            do("ROLLBACK")
        raise
    do("COMMIT")


def write_store(path: Path, tables: Mapping[str, pa.Table]) -> None:
    """Make a store in a new file, with the rows of `tables`."""
    check_path(path)
    with translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made under another name, so that a store at `path` is a whole one.
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        engine = Engine(partial)
        try:
            engine.attach_file(write=True)
            with engine.frame_cursor(write=True) as cursor:
                for table, rows in tables.items():
                    if table != "raw_schema":
                        cursor.register("copied", rows)
                        cursor.execute(f"INSERT INTO {table} BY NAME FROM copied")
                        cursor.unregister("copied")
            engine.detach()
            partial.replace(path)
        finally:
            engine.detach()
            partial.unlink(missing_ok=True)


def check_path(path: Path) -> None:
    """Refuse a path that DuckDB would take for another.

    Raises
    ------
    InvalidInputError
    """
    text, reason = str(path), ""
    if "?" in text:
        reason = "DuckDB reads what follows a question mark as options"
    elif "\\" in text and os.sep != "\\":
        reason = "DuckDB reads a backslash as the separator of folders"
    elif not text.isprintable() and text != text.encode(errors="replace").decode():
        reason = "DuckDB takes only paths that are valid UTF-8"
    if reason:
        raise InvalidInputError(
            f"a DuckDb cannot use the path {text!r}: {reason}. Choose another db_file, or use a SqliteDb"
        )


@contextmanager
def translate_errors(path: Path | None) -> Iterator[None]:
    """Raise what DuckDB and the system say of a store as an error of ours, with what to do."""
    try:
        yield
    except OSError as error:
        raise os_error(path, error) from error
    except duckdb.Error as error:
        text = short_error(error)
        if "not a valid DuckDB database file" in text:
            raise NotAStoreError(f"{path} is not a DuckDB file; choose another db_file. It was not touched.") from error
        if "Could not set lock on file" in text or "Unique file handle conflict" in text:
            raise StoreLocked(
                f"another program, or a duckdb.connect of this one, has {path} open; close it and try again ({text})"
            ) from error
        if isinstance(error, duckdb.DataError | duckdb.IntegrityError):
            raise unstorable_value(path, text) from error
        raise store_failure(path, text) from error
