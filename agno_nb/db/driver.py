"""The differences between backends: connections, transactions, reading tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from agno_nb.db import sandbox, schema
from agno_nb.db.arrow_tables import from_rows
from agno_nb.db.pushdown import ColumnFilter
from agno_nb.db.statements import Connection

if TYPE_CHECKING:
    import pyarrow as pa


class Driver(ABC):
    """Connections to a backend. The schema exists before a transaction starts."""

    row_lock: ClassVar[str] = ""
    """Clause of a SELECT that locks its rows until the end of the transaction, if writers overlap."""

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

    def tables(self, names: Collection[str]) -> dict[str, pa.Table]:
        """Read whole tables of schema.sql, all at the same moment."""
        tables = {}
        with self.transaction(write=False) as connection:
            for table in names:
                columns = ", ".join(schema.tables()[table].columns)
                tables[table] = from_rows(table, connection.execute(f"SELECT {columns} FROM {table}"))
        return tables

    def rows(self, columns_read: schema.ColumnsRead, column_filter: ColumnFilter | None = None) -> dict[str, pa.Table]:
        """Read the columns of each table that a query needs. Others may be null, and filtered rows may be missing."""
        return self.tables(columns_read)

    def frame(self, sql: str, parameters: Sequence[Any], column_filter: ColumnFilter | None = None) -> pa.Table:
        """Run one of our own statements over the views. It only depends on the filtered rows."""
        return sandbox.run(lambda needs: self.rows(needs, column_filter), sql, parameters, {})

    def vacuum(self) -> None:
        """Implement :meth:`agno_nb.db.base.Db.vacuum`; the default is to do nothing."""

    @abstractmethod
    def backup(self, path: Path) -> None:
        """Copy the store into a new file: a DuckDB file, if the store itself is not a file."""

    @abstractmethod
    def close(self) -> None:
        """Close connections and files that are kept open between transactions."""
