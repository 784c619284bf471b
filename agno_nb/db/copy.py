"""Frames and queries of stores that are not DuckDB's: the same views, over a copy of the tables in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agno_nb.db.engine import Engine, our_errors
from agno_nb.db.schema import column_descriptions
from agno_nb.db.statements import Connection

if TYPE_CHECKING:
    import pyarrow as pa

_TABLES = {name: list(columns) for name, columns in column_descriptions().items() if name.startswith("raw_")}


class Copy:
    """A DuckDB engine that is given the rows of another store for each query."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def arrow(self, connection: Connection, sql: str, parameters: Sequence[Any], frames: Mapping[str, Any]) -> pa.Table:
        """Do what :meth:`agno_nb.db.base.Db.arrow` says with the store of which `connection` is a transaction."""
        import pyarrow as pa

        if self._engine is None or self._engine.pid != os.getpid():
            self._engine = Engine()
        engine = self._engine
        with engine.lock, our_errors(None):
            engine.attach_empty()
            with engine.transaction(write=True) as cursor:
                for table, columns in _TABLES.items():
                    # No view shows what is in media, which may be much more than all the rest.
                    if table == "raw_schema" or (table == "raw_media" and table not in sql.lower()):
                        continue
                    rows = connection.execute(f"SELECT {', '.join(columns)} FROM {table}")
                    if rows:
                        values = dict(zip(columns, zip(*rows, strict=True), strict=True))
                        cursor.register("copied", pa.table(values))
                        cursor.execute(f"INSERT INTO {table} SELECT * FROM copied")
                        cursor.unregister("copied")
            try:
                return engine.arrow(sql, parameters, frames)
            finally:
                engine.detach()
