"""What is written in one transaction of a DuckDB, as one statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agno_nb.db.statements import Connection

_MAX_STATEMENTS, _MANY_PARAMETERS = 8, 1_000
"""How many statements are written as one. DuckDB plans each inside the one before, and long ones faster alone."""


class WriteBatch(Connection):
    """A store in DuckDB for one transaction, which nobody else uses meanwhile.

    What is only written waits, and is one statement at the end: that takes DuckDB a fifth less time than one for each
    table, and where there is nothing else it is the whole transaction.

    Parameters
    ----------
    execute : callable
        Runs a statement with its parameters, in the transaction that was begun or as one by itself; returns its rows.
    begin : callable
        Begins a transaction, which is ended by who gives the lease.
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
        """Write what waits in a transaction that does not end with it."""
        if self._begin is not None:
            self._begin()
            self._begin = None
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._pending:
            sql, parameters = _combine(self._pending)
            self._pending = []
            self._execute(sql, parameters)


def _combine(statements: Sequence[tuple[str, Sequence[Any]]]) -> tuple[str, Sequence[Any]]:
    """Return statements that write as one, which does them in their order, all or none.

    >>> _combine([("INSERT INTO a SELECT ?", [1]), ("UPDATE b SET n = ?", [2])])
    ('WITH done_0 AS (INSERT INTO a SELECT ?) UPDATE b SET n = ?', [1, 2])
    """
    *first, (last, _) = statements
    before = ", ".join(f"done_{number} AS ({sql})" for number, (sql, _) in enumerate(first))
    return f"WITH {before} {last}" if first else last, [value for _, values in statements for value in values]
