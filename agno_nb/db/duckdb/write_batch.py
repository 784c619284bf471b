"""Batch the writes of a DuckDB transaction into one statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agno_nb.db.statements import Connection

_MAX_STATEMENTS, _MANY_PARAMETERS = 8, 1_000
"""Limits of a batch. DuckDB plans each statement inside the one before it, and plans long ones faster separately."""


class WriteBatch(Connection):
    """One transaction of a DuckDB store.

    Writes are batched into one statement, which takes DuckDB a fifth less time than one statement for each table. If
    there are only writes, that statement is the whole transaction.

    Parameters
    ----------
    execute : callable
        Runs a statement with its parameters, in the open transaction or as its own; returns its rows.
    begin : callable
        Begins a transaction. The caller ends it.
    data_version, next_data_version : int
    """

    def __init__(
        self,
        execute: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]],
        *,
        begin: Callable[[], object],
        data_version: int,
        next_data_version: int,
    ) -> None:
        self._execute = execute
        self._begin: Callable[[], object] | None = begin
        self.data_version, self.next_data_version = data_version, next_data_version
        self._pending: list[tuple[str, Sequence[Any]]] = []

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        self._flush_in_transaction()
        return self._execute(sql, parameters)

    def change(self, sql: str, parameters: Sequence[Any], /) -> int:
        ((count,),) = self.execute(sql, parameters)
        return int(count)

    def write(self, sql: str, parameters: Sequence[Any], /) -> None:
        self._pending.append((sql, parameters))
        if len(self._pending) == _MAX_STATEMENTS or len(parameters) >= _MANY_PARAMETERS:
            self._flush_in_transaction()

    def _flush_in_transaction(self) -> None:
        """Write the batch in a transaction that continues after it."""
        if self._begin is not None:
            self._begin()
            self._begin = None
        self.flush()

    def flush(self) -> None:
        """Write the batch."""
        if self._pending:
            sql, parameters = _combine(self._pending)
            self._pending = []
            self._execute(sql, parameters)


def _combine(statements: Sequence[tuple[str, Sequence[Any]]]) -> tuple[str, Sequence[Any]]:
    """Combine statements that write into one, which executes them in their order.

    >>> _combine([("INSERT INTO a SELECT ?", [1]), ("UPDATE b SET n = ?", [2])])
    ('WITH done_0 AS (INSERT INTO a SELECT ?) UPDATE b SET n = ?', [1, 2])
    """
    before, parameters = "", list[Any]()
    *first, (last, last_parameters) = statements
    for number, (sql, values) in enumerate(first):
        before += f"{', ' if before else 'WITH '}done_{number} AS ({sql})"
        parameters += values
    return f"{before} {last}" if before else last, [*parameters, *last_parameters]
