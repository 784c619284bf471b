"""A store in memory, for tests, lessons and experiments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, Unpack

from agno_nb._keywords import listed_kwargs, suggest_on_unknown_kwarg
from agno_nb.db.duckdb import EngineDriver
from agno_nb.db.duckdb.engine import Engine, translate_errors
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.table_names import TableNames, TableOptions
from agno_nb.errors import StoreError


@suggest_on_unknown_kwarg({})
class InMemoryDb(SqlDb):
    """Sessions, runs, messages and tool calls in the memory of this process.

    It uses the same SQL and engine as :class:`~agno_nb.db.duckdb.DuckDb`. Each object is a separate store, and
    `close` doesn't delete it.

    Parameters
    ----------
    session_table, memory_table : str, optional
        Names of agno's tables, accepted for programs written for it: no two objects share any table.
    id : str, optional
        Identity of the store for your program; derived from the object by default.
    **tables
        Names of agno's other tables, which have no effect.

    Examples
    --------
    >>> len(InMemoryDb().runs_df())
    0
    """

    @listed_kwargs(TableOptions)
    def __init__(self, **tables: Unpack[TableOptions]) -> None:
        super().__init__(_MemoryDriver(), tables=TableNames.of(tables), id=tables.get("id"))

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle an InMemoryDb, because it lives in this process only; use a DuckDb instead")

    @property
    def identity(self) -> str:
        return f"in memory, {id(self):#x}"

    def __repr__(self) -> str:
        return f"InMemoryDb({self._tables.describe().removeprefix(', ')})"


class _MemoryDriver(EngineDriver):
    def __init__(self) -> None:
        self._engine = Engine()
        self._engine.attach_empty()

    @property
    def is_uncontended(self) -> bool:
        return not self._engine.lock.locked()

    @contextmanager
    def attached(self, *, write: bool) -> Iterator[Engine]:
        if self._engine.pid != os.getpid():
            raise StoreError("an InMemoryDb does not survive a fork of its process; use a DuckDb to share a store")
        with self._engine.lock, translate_errors(None):
            yield self._engine

    def close(self) -> None:
        pass
