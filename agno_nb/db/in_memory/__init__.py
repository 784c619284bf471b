"""A store in memory, for tests, lessons and experiments."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Unpack

from agno_nb._keywords import listed_kwargs, suggest_on_unknown_kwarg
from agno_nb.db import schema
from agno_nb.db.driver import Driver
from agno_nb.db.duckdb import write_store
from agno_nb.db.pushdown import ColumnFilter
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.sqlite import SqliteTransaction, TableCache, create_schema, translate_errors
from agno_nb.db.sqlite_connections import connect
from agno_nb.db.statements import Connection
from agno_nb.db.table_names import StoreNames, TableNames, TableOptions, ignore_unused_tables
from agno_nb.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa


@ignore_unused_tables
@suggest_on_unknown_kwarg({})
class InMemoryDb(SqlDb):
    """Sessions, runs, messages and tool calls in the memory of this process.

    It uses the same SQL and engine as :class:`~agno_nb.db.sqlite.SqliteDb`. Each object is a separate store, and
    `close` doesn't delete it.

    Parameters
    ----------
    session_table, memory_table : str, optional
        Names of agno's tables, accepted for programs written for it: no two objects share any table.
    id : str, optional
        Identity of the store for your program; derived from the object by default.
    **tables
        Names of agno's other tables, such as `metrics_table`, have no effect.

    Examples
    --------
    >>> len(InMemoryDb().runs_df())
    0
    """

    @listed_kwargs(StoreNames)
    def __init__(self, **tables: Unpack[TableOptions]) -> None:
        super().__init__(_MemoryDriver(), tables=TableNames.of(tables), id=tables.get("id"))

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle an InMemoryDb, because it lives in this process only; use a DuckDb instead")

    @property
    def identity(self) -> str:
        return f"in memory, {id(self):#x}"

    def __repr__(self) -> str:
        return f"InMemoryDb({self._tables.describe().removeprefix(', ')})"


class _MemoryDriver(Driver):
    """One connection to a SQLite database in memory, for one thread at a time."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._connection = connect("file::memory:")
        create_schema(self._connection)
        self._version = 0
        self._table_cache = TableCache()

    @property
    def is_uncontended(self) -> bool:
        return not self._lock.locked()

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[Connection]:
        with self._begun() as connection:
            transaction = SqliteTransaction(connection)
            transaction.data_version = self._version
            if write:
                self._version += 1
            transaction.next_data_version = self._version
            yield transaction

    def rows(self, columns_read: schema.ColumnsRead, column_filter: ColumnFilter | None = None) -> dict[str, pa.Table]:
        with self._begun() as connection:
            self._table_cache = self._table_cache.as_of(self._version)
            return self._table_cache.read_all(connection, columns_read, column_filter)

    @contextmanager
    def _begun(self) -> Iterator[sqlite3.Connection]:
        if self._pid != os.getpid():
            raise StoreError("an InMemoryDb does not survive a fork of its process; use a DuckDb to share a store")
        with self._lock, translate_errors(None):
            connection = self._connection
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def backup(self, path: Path, memories: pa.Table | None = None) -> None:
        write_store(path, self.tables(tuple(schema.tables())), memories)

    def close(self) -> None:
        pass
