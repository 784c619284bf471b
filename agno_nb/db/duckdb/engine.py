"""The in-memory DuckDB engine of this process, to which stores are attached."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from agno_nb.db import schema
from agno_nb.db.duckdb.write_batch import WriteBatch
from agno_nb.db.encoding import micros
from agno_nb.db.file_names import os_error, store_failure, unstorable_value
from agno_nb.db.migrations import migrate
from agno_nb.db.sandbox import interruptible, open_sandbox, optimizers_except, short_error
from agno_nb.db.statements import Connection
from agno_nb.errors import InvalidInputError, NotAStoreError, StoreError, StoreLocked

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_STATEMENTS = 256
_data_versions = itertools.count()

# The statements of a turn read and write a few rows each, and would spend most of their time on planning and on waking
# threads. They therefore run on the calling thread, with only those optimizer rules that avoid full scans.
_RULES = {
    "expression_rewriter", "filter_pushdown", "in_clause", "join_filter_pushdown", "row_group_pruner", "top_n",
    "unused_columns",
}  # fmt: skip


class Engine:
    """An in-memory DuckDB of this process, with one attached store, named ``store``.

    It can only access the file of that store, whatever SQL it runs, and no Python variables.
    """

    def __init__(self, path: Path | None = None, *, migrations: Mapping[int, str] | None = None) -> None:
        self.path = path
        self._migrations = schema.migrations() if migrations is None else migrations
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.data_version = next(_data_versions)
        """Version of the attached store. It changes whenever the store may have been changed, and is never reused."""
        self._started: duckdb.DuckDBPyConnection | None = None
        self._cursor: duckdb.DuckDBPyConnection | None = None
        """The cursor of :meth:`transaction`, while a store is attached."""
        self._statements: dict[str, duckdb.Statement] = {}
        self._log_mode: int | None = None
        """Permissions of the attached store's log, if others than the owner may write to the store."""

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._started is None:
            self._started = self._start()
        return self._started

    def _start(self) -> duckdb.DuckDBPyConnection:
        # The names of all files of a DuckDB database (duckdb pull request 21379).
        logs = ("", ".wal", ".wal.checkpoint", ".wal.recovery")
        files = [f"{self.path}{name}{log}" for name in ("", ".vacuum") for log in logs] if self.path else []
        connection = open_sandbox(files)
        # A detach rewrites the latest thousands of rows of a table. Choosing a compression takes ten times as long as
        # writing them: 100 ms after a thousand turns.
        connection.execute("SET GLOBAL force_compression = 'uncompressed'")
        # An update of more rows than this would not look them up in the index, but read the whole table.
        connection.execute("SET GLOBAL dynamic_or_filter_threshold = 256")
        self._spared = optimizers_except(connection, _RULES)
        self._point_query_settings(connection)
        return connection

    def _point_query_settings(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("SET GLOBAL threads = 1")
        connection.execute("SET GLOBAL disabled_optimizers = ?", [self._spared])

    @contextmanager
    def _scan_settings(self) -> Iterator[None]:
        """Use all threads and optimizer rules in this block."""
        self._connection.execute("RESET GLOBAL threads")
        self._connection.execute("RESET GLOBAL disabled_optimizers")
        try:
            yield
        finally:
            self._point_query_settings(self._connection)

    def stop(self) -> None:
        """Close the engine, and with it the store. The next use starts it again."""
        self._close_cursor()
        self._statements.clear()
        connection, self._started = self._started, None
        if connection is not None:
            connection.close()

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[Connection]:
        """Open a transaction on the attached store for short statements."""
        if self._cursor is None:
            self._cursor = self._connection.cursor()
            self._cursor.execute("USE store")
        data_version = self.data_version
        if write:
            self.data_version = next(_data_versions)
        try:
            with ExitStack() as stack:
                transaction = _in_transaction(self.execute, write=write)
                batch = WriteBatch(self.execute, lambda: stack.enter_context(transaction))
                batch.data_version, batch.next_data_version = data_version, self.data_version
                yield batch
                batch.finish()
        except BaseException:
            self._close_cursor()
            raise

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement in the open :meth:`transaction`; return all its rows.

        DuckDB's objects are not returned, because they must not outlive the transaction.
        """
        assert self._cursor is not None
        return self._cursor.execute(self._parsed(sql), list(parameters)).fetchall()

    def _parsed(self, sql: str) -> duckdb.Statement:
        """Parse a statement, or return it from the cache: parsing takes a third of the time of a statement."""
        statement = self._statements.get(sql)
        if statement is None:
            # Statements only differ in the length of lists.
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
        """Open a transaction on a separate cursor, with which tables registered in it are dropped."""
        if write:
            self.data_version = next(_data_versions)
        with self._connection.cursor() as cursor:
            cursor.execute("USE store")
            with _in_transaction(cursor.execute, write=write):
                yield cursor

    def attach_file(self, *, write: bool, migrates: bool = True) -> bool:
        """Attach the file; return whether there is a store in it, which there always is if it is opened for writing.

        A store of an older version is migrated, or rejected if `migrates` is False.
        """
        if not write:
            options = "READ_ONLY"
        elif self.path is not None and self.path.exists():
            options = "READ_WRITE"
        else:
            # An empty store takes 28 kB with this block size, and ten times as much with the default. The storage
            # version is the newest, because with an older one each detach rewrites the indexes of primary keys.
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
        """Allow all users who may write to the attached store to write to its log, whatever the umask.

        DuckDB creates the log with the first write and after a checkpoint. A killed process leaves it behind, and
        another user could not attach the store. DuckDB uses an existing log, so it is created here.
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
        """Replace the attached file, which still has deleted data, by a new file with the same rows."""
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
                raise StoreError(
                    f"cannot rewrite {self.path}, because its log could not be merged into it; make sure that the disk "
                    "has space, and try again"
                )
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
        # An interrupt may have left another store attached.
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
        """Return the version of the attached store, or None for an empty database."""
        try:
            rows = self._connection.execute("SELECT version FROM store.raw_schema").fetchall()
        except duckdb.CatalogException:
            sql = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'store' LIMIT 1"
            if self._connection.execute(sql).fetchall():
                raise NotAStoreError(
                    f"{self.path} is a DuckDB file, but not a store; choose another db_file. It was not changed."
                ) from None
            return None
        version: int = max(rows)[0]
        return version

    def _migrate(self, version: int) -> None:
        """Copy the file of the attached store, and migrate the store from `version` to the newest one."""
        path = str(self.path)
        # Attaching merges the log into the file, which can only be copied while it is not open.
        self._attach(path, "READ_WRITE")
        self.detach()
        shutil.copyfile(path, schema.backup_path(path, version))
        self._attach(path, "READ_WRITE")
        with self.transaction(write=True) as connection:
            sql = "SELECT view_name FROM duckdb_views() WHERE database_name = 'store' AND NOT internal"
            for (view,) in connection.execute(sql):
                connection.execute(f'DROP VIEW "{view}"')
            migrate(connection, self._migrations, with_indexes=False)
            for statement in schema.statements("views.sql"):
                connection.execute(statement)

    def frame(self, sql: str, parameters: Sequence[Any]) -> pa.Table:
        """Run one of our own statements on the attached store."""
        with self._scan_settings():
            return self._frame(sql, parameters)

    def _frame(self, sql: str, parameters: Sequence[Any]) -> pa.Table:
        with self.frame_cursor(write=False) as cursor:
            return interruptible(cursor.interrupt, lambda: cursor.sql(sql, params=list(parameters)).to_arrow_table())


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
        # After some errors DuckDB has already rolled back. The first error is the one to raise.
        with suppress(duckdb.Error):
            do("ROLLBACK")
        raise
    do("COMMIT")


def check_path(path: Path) -> None:
    """Reject a path that DuckDB would read as another one.

    Raises
    ------
    InvalidInputError
    """
    text, reason = str(path), ""
    if "?" in text:
        reason = "DuckDB reads the part after a question mark as options"
    elif "\\" in text and os.sep != "\\":
        reason = "DuckDB reads a backslash as the separator of folders"
    elif not text.isprintable() and text != text.encode(errors="replace").decode():
        reason = "DuckDB only accepts paths that are valid UTF-8"
    if reason:
        raise InvalidInputError(
            f"a DuckDb cannot use the path {text!r}, because {reason}; choose another db_file, or use a SqliteDb"
        )


@contextmanager
def translate_errors(path: Path | None) -> Iterator[None]:
    """Convert errors of DuckDB and the system to ours, with a remedy."""
    try:
        yield
    except OSError as error:
        raise os_error(path, error) from error
    except duckdb.Error as error:
        text = short_error(error)
        if "not a valid DuckDB database file" in text:
            raise NotAStoreError(f"{path} is not a DuckDB file; choose another db_file. It was not changed.") from error
        if "Could not set lock on file" in text or "Unique file handle conflict" in text:
            raise StoreLocked(
                f"{path} is open in another program, or by duckdb.connect() in this one; close it there ({text})"
            ) from error
        if isinstance(error, duckdb.DataError | duckdb.IntegrityError):
            raise unstorable_value(path, text) from error
        raise store_failure(path, text) from error
