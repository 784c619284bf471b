"""The differences between backends: connections, transactions, reading tables."""

from __future__ import annotations

import os
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from agno_nb.db import sandbox, schema
from agno_nb.db.arrow_tables import empty, from_rows
from agno_nb.db.encoding import micros
from agno_nb.db.pushdown import ColumnFilter
from agno_nb.db.statements import Connection

if TYPE_CHECKING:
    import pyarrow as pa


class Driver(ABC):
    """Connections to a backend. The schema exists before a transaction starts."""

    row_lock: ClassVar[str] = ""
    """Clause of a SELECT that locks its rows until the end of the transaction, if writers overlap."""

    @property
    def groups_commits(self) -> bool:
        """Whether waiting writes are committed together, because writers don't overlap."""
        return not self.row_lock

    @property
    def is_uncontended(self) -> bool:
        """Whether a transaction would probably start without waiting."""
        return False

    @abstractmethod
    def transaction(self, *, write: bool) -> AbstractContextManager[Connection]:
        """Open a short transaction, which must not include a model call or a user's code.

        It is committed at the end of the block, or rolled back if the block raises an exception.
        """

    def exclusive_transaction(self) -> AbstractContextManager[Connection]:
        """Open a transaction that is the only writer, which each is if writers never overlap."""
        return self.transaction(write=True)

    @abstractmethod
    def rows(self, columns_read: schema.ColumnsRead, column_filter: ColumnFilter | None = None) -> dict[str, pa.Table]:
        """Read the columns of each table that a query needs, all at the same moment.

        Others may be null, and filtered rows may be missing. Of a store that doesn't exist, tables may be missing.
        """

    def tables(self, names: Collection[str]) -> dict[str, pa.Table]:
        """Read whole tables of schema.sql, all at the same moment."""
        # With a filter, although an empty one, SqliteDriver doesn't keep whole tables in memory.
        read = self.rows({name: frozenset(schema.tables()[name].columns) for name in names}, {})
        if "raw_schema" in names and "raw_schema" not in read:
            # A store that doesn't exist is an empty one of the newest version.
            read["raw_schema"] = from_rows("raw_schema", [(schema.VERSION, micros(time.time()))])
        return {name: read.get(name, empty(name)) for name in names}

    def frame(self, sql: str, parameters: Sequence[Any], column_filter: ColumnFilter | None = None) -> pa.Table:
        """Run one of our own statements over the views. It only depends on the filtered rows."""
        return sandbox.run(lambda needs: self.rows(needs, column_filter), sql, parameters, {})

    def vacuum(self) -> None:
        """Implement :meth:`agno_nb.db.base.Db.vacuum`; the default is to do nothing."""

    @abstractmethod
    def backup(self, path: Path, memories: pa.Table | None = None) -> None:
        """Copy the store into a new file: a DuckDB file, if the store itself is not a file.

        `memories` are the rows of raw_memories, if those are in another store.
        """

    @abstractmethod
    def close(self) -> None:
        """Close connections and files that are kept open between transactions."""


class Closable(Protocol):
    """An open connection."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class ConnectionPool(Generic[C]):
    """A pool of connections, each used by one thread at a time. At exit, and with the pool, they are closed.

    Parameters
    ----------
    max_size : int
        Maximum number of idle connections. Any number may be in use.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._idle: list[tuple[int, C]] = []
        weakref.finalize(self, _close, self._idle)

    def acquire(self) -> C | None:
        """Return the most recently released connection of this process, or None."""
        while True:
            try:
                pid, connection = self._idle.pop()
            except IndexError:
                return None
            if pid == os.getpid():
                return connection
            _inherited.append(connection)

    def release(self, connection: C) -> None:
        if len(self._idle) < self._max_size:
            self._idle.append((os.getpid(), connection))
        else:
            connection.close()

    def close(self) -> None:
        _close(self._idle)


_inherited: list[Closable] = []
"""Connections of the parent of a forked process. Closing them would release the locks of the parent."""


def _close(waiting: list[tuple[int, C]]) -> None:
    while waiting:
        pid, connection = waiting.pop()
        if pid == os.getpid():
            connection.close()
        else:
            _inherited.append(connection)
