"""What differs between backends behind one SQL."""

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
    """What differs between backends. The schema is in place before a lease is given."""

    row_lock: ClassVar[str] = ""
    """Ends a SELECT of rows that no other writer may change before the transaction is over, where writers overlap."""

    @property
    def is_uncontended(self) -> bool:
        """Whether a lease would begin at once, as far as one can tell."""
        return False

    @abstractmethod
    def transaction(self, *, write: bool) -> AbstractContextManager[Connection]:
        """Open a transaction, to be held briefly: never across a model call or a user's code.

        It is committed at the end of the block, and rolled back when an exception leaves it.
        """

    def exclusive_transaction(self) -> AbstractContextManager[Connection]:
        """Open a transaction that writes while nobody else does. Any one is that, where writers never overlap."""
        return self.transaction(write=True)

    def tables(self, names: Collection[str]) -> dict[str, pa.Table]:
        """Read whole tables of schema.sql, all at the same moment. Backends that have them as Arrow do so faster."""
        tables = {}
        with self.transaction(write=False) as connection:
            for table in names:
                columns = ", ".join(schema.tables()[table].columns)
                tables[table] = from_rows(table, connection.execute(f"SELECT {columns} FROM {table}"))
        return tables

    def rows(self, columns_read: schema.ColumnsRead, column_filter: ColumnFilter | None = None) -> dict[str, pa.Table]:
        """Read what a query needs of each table. Other columns may be null, and rows outside the part missing."""
        return self.tables(columns_read)

    def frame(self, sql: str, parameters: Sequence[Any], column_filter: ColumnFilter | None = None) -> pa.Table:
        """Run a statement of ours over the views, of which it needs the part. Backends that have them run it there."""
        return sandbox.run(lambda needs: self.rows(needs, column_filter), sql, parameters, {})

    def vacuum(self) -> None:
        """Do what :meth:`agno_nb.db.base.Db.vacuum` says. A store without a file has nothing to do."""

    def backup(self, path: Path) -> None:
        """Copy the store into a file that is not there yet: one of DuckDB, where the store is not a file itself."""
        # Imported here, because the engine is made for drivers, which are defined above.
        from agno_nb.db.duckdb.engine import write_store

        write_store(path, self.tables(tuple(schema.tables())))

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held open between leases."""
