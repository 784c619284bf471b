"""The default store: a DuckDB file that several notebooks can use at the same time, without a server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from agno_nb._keywords import listed_kwargs, suggest_on_unknown_kwarg
from agno_nb.db import schema
from agno_nb.db.arrow_tables import with_all_columns
from agno_nb.db.base import AsyncDb
from agno_nb.db.driver import Driver
from agno_nb.db.duckdb.engine import Engine, check_path, translate_errors
from agno_nb.db.duckdb.shared_file import SharedFile
from agno_nb.db.file_names import LOCK, FileId, check_lock_timeout, file_id, path_in_use, store_path
from agno_nb.db.pushdown import ColumnFilter, with_filtered_tables
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.statements import Connection
from agno_nb.db.table_names import StoreNames, TableNames, TableOptions, file_of, ignore_unused_tables

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AsyncDuckDb", "DuckDb"]


@ignore_unused_tables
@suggest_on_unknown_kwarg({})
class DuckDb(SqlDb):
    """Sessions, runs, messages and tool calls in a DuckDB file.

    Several processes and threads may use one file at the same time. Don't open it with another program while they do;
    use a :meth:`snapshot` for that. After a write, the file stays attached for a quarter of a second, or until `close`.

    Parameters
    ----------
    db_file : str or Path
        The file. It is created, with its folder, by the first write. Until then the store is empty. A relative path is
        resolved now, against the working directory.
    lock_timeout_s : float
        Maximum time to wait for another process or thread that uses the file, in seconds.
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
        On any use: the file was in use for longer than `lock_timeout_s`.
    StoreError
        On any use: the file cannot be read or written.

    Examples
    --------
    >>> db = DuckDb("examples/lesson.duckdb")
    >>> db.get_session("s1") is None
    True
    """

    @listed_kwargs(StoreNames)
    def __init__(
        self,
        db_file: str | Path = "agno_nb.duckdb",
        *,
        lock_timeout_s: float = 15.0,
        **tables: Unpack[TableOptions],
    ) -> None:
        self._given_file = store_path(db_file)
        check_lock_timeout(lock_timeout_s)
        self.lock_timeout_s = lock_timeout_s
        names = TableNames.of(tables)
        self.db_file, of_memories = (file_of(self._given_file, ending) for ending in names.endings)
        memories = None if of_memories == self.db_file else DuckDb(of_memories, lock_timeout_s=lock_timeout_s)
        driver = FileDriver(self.db_file, lock_timeout_s)
        super().__init__(driver, tables=names, memory_store=memories, id=tables.get("id"))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), lock_timeout_s=self.lock_timeout_s, **self._options), (self._given_file,)

    @property
    def identity(self) -> str:
        return str(path_in_use(self.db_file, LOCK))

    def __repr__(self) -> str:
        return f"DuckDb({str(self._given_file)!r}{self._tables.describe()})"


@ignore_unused_tables
@suggest_on_unknown_kwarg({})
class AsyncDuckDb(AsyncDb):
    """Async version of :class:`DuckDb`, with the same arguments and methods."""

    @listed_kwargs(StoreNames)
    def __init__(
        self,
        db_file: str | Path = "agno_nb.duckdb",
        *,
        lock_timeout_s: float = 15.0,
        **tables: Unpack[TableOptions],
    ) -> None:
        super().__init__(DuckDb(db_file, lock_timeout_s=lock_timeout_s, **tables))


class FileDriver(Driver):
    """The driver of :class:`DuckDb`.

    Parameters
    ----------
    path : Path
    timeout_s : float
    read_only : bool
        Whether to reject a store of an older version, and a file without a store, instead of changing them.
    """

    def __init__(self, path: Path, timeout_s: float, *, read_only: bool = False) -> None:
        check_path(path)
        self._path = path
        self._timeout_s = timeout_s
        self._read_only = read_only
        self._file: SharedFile | None = None
        self._found: FileId | None = None
        """The file that was at the path when `_file` was looked up."""

    @property
    def is_uncontended(self) -> bool:
        return self._shared().is_uncontended

    @contextmanager
    def attached(self, *, write: bool) -> Iterator[Engine]:
        """Return the engine with the store attached to it, for one user at a time."""
        with translate_errors(self._path):
            shared = self._shared()
            with shared.use(write=write, timeout_s=self._timeout_s, read_only=self._read_only) as engine:
                yield engine

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[Connection]:
        with self.attached(write=write) as engine, engine.transaction(write=write) as connection:
            yield connection

    def rows(self, columns_read: schema.ColumnsRead, column_filter: ColumnFilter | None = None) -> dict[str, pa.Table]:
        with self.attached(write=False) as engine:
            return {
                table: with_all_columns(table, engine.frame(f"SELECT {', '.join(columns)} FROM {table}", ()))
                for table, columns in columns_read.items()
            }

    def frame(self, sql: str, parameters: Sequence[Any], column_filter: ColumnFilter | None = None) -> pa.Table:
        # A file may have the views of an older version.
        sql, values = with_filtered_tables(sql, column_filter or {})
        with self.attached(write=False) as engine:
            return engine.frame(sql, [*values, *parameters])

    def backup(self, path: Path, memories: pa.Table | None = None) -> None:
        write_store(path, self.tables(tuple(schema.tables())), memories)

    def vacuum(self) -> None:
        with self.attached(write=True) as engine:
            engine.compact()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None and file.pid == os.getpid():
            file.let_go()

    def _shared(self) -> SharedFile:
        file, found = self._file, file_id(self._path)
        is_same = file is not None and (file.path == self._path or (found is not None and file_id(file.path) == found))
        if file is None or file.pid != os.getpid() or found != self._found or not is_same:
            file = self._file = SharedFile.at(self._path)
            self._found = found
        return file


def write_store(path: Path, tables: Mapping[str, pa.Table], memories: pa.Table | None) -> None:
    """Create a store in a new file, with the rows of `tables`, and `memories` if those are in another store."""
    tables = tables if memories is None else {**tables, "raw_memories": memories}
    check_path(path)
    with translate_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Under another name, so that a file at `path` is always complete.
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
