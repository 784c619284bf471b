"""Frames and queries of stores that are not DuckDB's: the same views, over a copy of the rows in memory.

Only what a query needs is copied: the tables that it names or that are behind a view that it names, and of those only
the columns that the view shows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from agno_nb.db.engine import Engine, our_errors
from agno_nb.db.schema import sources

if TYPE_CHECKING:
    import pyarrow as pa

_NAMES_MADE_OF_VALUES = {"query", "query_table", "json_execute_serialized_sql"}
"""Functions of DuckDB that read tables whose names need not stand in the query."""
_MOST_SESSIONS = 500
"""More of them are not looked for one by one."""


class Source(Protocol):
    """A store that is read, as it is at one moment."""

    @property
    def version(self) -> object:
        """What stays the same as long as the store does; None where that is not known."""

    def read(self, table: str, columns: Sequence[str], session_ids: Sequence[str] | None) -> pa.Table:
        """Return columns of a table, of the rows of these sessions only where some are given."""


class Copy:
    """A DuckDB engine that is given the rows of another store, and keeps them until they change there."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._version: object = None
        self._session_ids: Sequence[str] | None = None
        self._held: dict[str, frozenset[str]] = {}

    def arrow(
        self,
        opened: AbstractContextManager[Source | None],
        sql: str,
        parameters: Sequence[Any],
        frames: Mapping[str, Any],
        session_ids: Sequence[str] | None = None,
    ) -> pa.Table:
        """Do what :meth:`agno_nb.db.base.Db.arrow` says with the store that `opened` gives; None is an empty one."""
        engine = self._engine_of_this_process()
        if session_ids is not None and len(session_ids) > _MOST_SESSIONS:
            session_ids = None
        with engine.lock:
            held, self._held, known, self._version = self._held, {}, self._version, None
            with opened as source:
                version = source.version if source else None
                needs = _needs(sql) if source else {}
                is_held = all(columns <= held.get(table, frozenset()) for table, columns in needs.items())
                keep = (version is not None and version == known) and (
                    self._session_ids == session_ids or (self._session_ids is None and is_held)
                )
                if not keep:
                    held, self._session_ids = {}, session_ids
                missing = {
                    table: source.read(table, sorted(columns | held.get(table, frozenset())), self._session_ids)
                    for table, columns in needs.items()
                    if source and not columns <= held.get(table, frozenset())
                }
            with our_errors(None):
                if not keep:
                    engine.attach_empty()
                with engine.transaction(write=True) as cursor:
                    for table, rows in missing.items():
                        # The columns that are not needed are null, whatever the table says.
                        cursor.execute(f"CREATE OR REPLACE TABLE {table} AS FROM {table} WITH NO DATA")
                        cursor.register("copied", rows)
                        cursor.execute(f"INSERT INTO {table} BY NAME FROM copied")
                        cursor.unregister("copied")
            self._version = version
            self._held = held | {table: frozenset(rows.column_names) for table, rows in missing.items()}
            with our_errors(None):
                try:
                    return engine.arrow(sql, parameters, frames)
                finally:
                    if version is None:
                        engine.detach()

    def close(self) -> None:
        """Let go of the rows."""
        self._engine, self._version, self._held = None, None, {}

    def _engine_of_this_process(self) -> Engine:
        if self._engine is None or self._engine.pid != os.getpid():
            self._engine, self._version, self._held = Engine(), None, {}
        return self._engine


def _needs(sql: str) -> dict[str, frozenset[str]]:
    """Return the columns of each table that the query may read; more rather than less."""
    words = set(re.findall(r"\w+", sql.lower()))
    needs: dict[str, frozenset[str]] = {}
    for name, tables in sources().items():
        if name in words or words & _NAMES_MADE_OF_VALUES:
            for table, columns in tables.items():
                needs[table] = needs.get(table, frozenset()) | columns
    return needs
