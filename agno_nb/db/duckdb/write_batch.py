"""The writes of a transaction in few statements, because planning one takes DuckDB longer than writing a few rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from agno_nb.db.statements import Connection, Write, write_sql

_MAX_BATCHED = 8
"""Maximum number of statements in a batch. DuckDB plans each statement inside the one before it."""


class WriteBatch(Connection):
    """One transaction of a DuckDB store.

    Writes are batched: rows of the same columns into one statement, and these statements into one, which takes DuckDB a
    fifth less time than one statement for each table. If there are only writes, it is the whole transaction.
    """

    def __init__(
        self, execute: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]], begin: Callable[[], object]
    ) -> None:
        self._execute = execute
        # The caller ends the transaction.
        self._begin: Callable[[], object] | None = begin
        self._pending: list[Write] = []

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        self.flush()
        return self._execute(sql, parameters)

    def change(self, sql: str, parameters: Sequence[Any], /) -> int:
        ((count,),) = self.execute(sql, parameters)
        return int(count)

    def write(self, write: Write, /) -> None:
        for place, earlier in enumerate(self._pending):
            if earlier.table == write.table and self._is_merged(write, place):
                return
        self._pending.append(write)
        if write.then or len(self._pending) == _MAX_BATCHED:
            # A statement with an ON CONFLICT doesn't see the rows of others in its batch.
            self.flush()

    def _is_merged(self, write: Write, place: int) -> bool:
        """Whether the rows could be added to an earlier write, without changing the order of two writes of one row."""
        earlier = self._pending[place]
        if write.then or earlier.then or (earlier.columns, earlier.key) != (write.columns, write.key):
            return False
        if any(each.has_rows_of(write) for each in self._pending[place:]):
            return False
        earlier.rows += write.rows
        return True

    def flush(self) -> None:
        """Write the batch in a transaction that continues after it."""
        if self._begin is not None:
            self._begin()
            self._begin = None
        self.finish()

    def finish(self) -> None:
        """Write the batch, which may be the whole transaction."""
        if not self._pending:
            return
        statements = []
        for write in self._pending:
            if len(write.rows) == 1:
                statements.append((write_sql(write.table, write.columns, write.key, write.then), write.rows[0]))
            else:
                statements.append(_of_all_rows(write))
        self._pending = []
        self._execute(*_combine(statements))


def _of_all_rows(write: Write) -> tuple[str, Sequence[Any]]:
    """Return the statement for all rows of a write, whose text doesn't depend on their number, and its parameters.

    >>> _of_all_rows(Write("t", ("a", "b"), (), [[1, "x"], [2, "y"]]))
    ('INSERT INTO t (a, b) SELECT unnest(?), unnest(?)', [[1, 2], ['x', 'y']])
    """
    columns = [list(column) for column in zip(*write.rows, strict=True)]
    if not write.key:
        values = ", ".join(["unnest(?)"] * len(columns))
        return f"INSERT INTO {write.table} ({', '.join(write.columns)}) SELECT {values} {write.then}".rstrip(), columns
    new = ", ".join(f"unnest(?) AS {name}" for name in (*write.columns, *(f"key_{name}" for name in write.key)))
    changes = ", ".join(f"{name} = new.{name}" for name in write.columns)
    where = " AND ".join(f"{write.table}.{name} = new.key_{name}" for name in write.key)
    return f"UPDATE {write.table} SET {changes} FROM (SELECT {new}) AS new WHERE {where}", columns


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
