"""Portable SQL statements, and the transaction through which a store executes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar

from agno_nb.db.encoding import Redact, Row, encode_row, micros, to_sql
from agno_nb.errors import InvalidInputError
from agno_nb.redact import redactor
from agno_nb.types import MAX_COST, MAX_TOKENS, SessionReader, now, whole_number

if TYPE_CHECKING:
    from agno_nb.db.base import Db
    from agno_nb.db.session_cache import CacheUpdate, SessionCache
    from agno_nb.db.tables import ObjectTable

_MAX_PARAMETERS = 30_000
"""Parameters of one statement. SQLite accepts 32,766, Postgres 65,535."""

T = TypeVar("T")


@dataclass(slots=True)
class Write:
    """Rows to insert into a table, or changes to some of its rows; all with the same columns."""

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    """Columns that identify a row to change, whose values follow those of `columns`. Empty if rows are inserted."""
    rows: list[Sequence[Any]]
    then: str = ""
    """End of the statement, such as an ON CONFLICT."""

    def has_rows_of(self, other: Write) -> bool:
        """Whether rows that `other` changes are among the rows of this, or may be."""
        if self.table != other.table or not other.key:
            return False
        names = (*self.columns, *self.key)
        if self.key != other.key and (self.key or not set(other.key) <= set(names)):
            return True
        start = len(self.columns) if self.key else 0
        places = [names.index(name, start) for name in other.key]
        own = {tuple(row[place] for place in places) for row in self.rows}
        return not own.isdisjoint(tuple(row[len(other.columns) :]) for row in other.rows)

    def statements(self) -> Iterator[tuple[str, Sequence[Any]]]:
        """Yield statements for all rows, each with its parameters."""
        at_once = 1 if self.key else _MAX_PARAMETERS // len(self.columns)
        for start in range(0, len(self.rows), at_once):
            some = self.rows[start : start + at_once]
            yield (
                write_sql(self.table, self.columns, self.key, self.then, len(some)),
                [value for row in some for value in row],
            )


@lru_cache(maxsize=512)
def write_sql(table: str, columns: tuple[str, ...], key: tuple[str, ...], then: str = "", num_rows: int = 1) -> str:
    """Return the statement that inserts rows, or changes the one that `key` identifies."""
    if key:
        return f"UPDATE {table} SET {' = ?, '.join(columns)} = ? WHERE {' = ? AND '.join(key)} = ?"
    # DuckDB plans a single row faster as a SELECT. With an ON CONFLICT, SQLite would read that as a join.
    if num_rows == 1 and not then:
        values = f"SELECT {marks(columns)}"
    else:
        values = "VALUES " + ", ".join([f"({marks(columns)})"] * num_rows)
    return f"INSERT INTO {table} ({', '.join(columns)}) {values} {then}"


class Connection(ABC):
    """One open transaction of a backend."""

    data_version: int | None = None
    """Data version of the store at the start of the transaction: a number that changes whenever the store may have been
    changed. None if the backend doesn't know."""
    next_data_version: int | None = None
    """Data version after the transaction is committed."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""

    @abstractmethod
    def change(self, sql: str, parameters: Sequence[Any], /) -> int:
        """Run one statement that changes rows and returns none; return how many it changed."""

    def write(self, write: Write, /) -> None:
        """Insert or change rows, before the next statement that returns something."""
        for sql, parameters in write.statements():
            self.change(sql, parameters)

    def flush(self) -> None:
        """Do the writes that have not been done yet."""


class Transaction:
    """One transaction of a store. API keys are removed from everything written through it.

    It begins with its first statement, so that an invalid argument is rejected before the store is locked or created.
    Sessions that are read load their runs from `store` later. `memory_store` has the user memories, if it is another
    one. `row_lock` is the :attr:`Driver.row_lock`.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        store: SessionReader,
        memory_store: Db | None,
        cache: SessionCache,
        row_lock: str,
    ) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self.store, self.memory_store, self.cache, self.row_lock = store, memory_store, cache, row_lock
        self.next_data_version: int | None = None
        self.on_commit: list[Callable[[CacheUpdate], None]] = []
        """Functions to call once the transaction is committed."""
        self.on_rollback: list[Callable[[], None]] = []
        """Functions to call before the same is written again, because a common transaction was rolled back."""
        self.missing_sessions: set[str] = set()
        """IDs of sessions that are known not to exist."""

    def begin(self) -> Connection:
        """Begin the transaction, which has not begun yet."""
        self._connection = self._connect()
        self.next_data_version = self._connection.next_data_version
        return self._connection

    def now(self) -> int:
        """Return the time in microseconds. It is taken after the wait for other writers, so that times are in order."""
        if self._connection is None:
            self.begin()
        return micros(now())

    @property
    def data_version(self) -> int | None:
        return (self._connection or self.begin()).data_version

    @cached_property
    def redact(self) -> Redact:
        return redactor()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return (self._connection or self.begin()).execute(sql, [to_sql(value) for value in parameters])

    def select(self, table: ObjectTable, where: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a table that match `where`, which may end with an ORDER BY."""
        return table.rows(self.execute(f"SELECT {table.sql_columns} FROM {table.name} WHERE {where}", parameters))

    def insert(self, table: str, rows: Sequence[Row], then: str = "") -> list[Row]:
        """Insert rows with the same columns in as few statements as the backend allows; return them as stored."""
        if not rows:
            return []
        stored = [*map(encode_row, rows, repeat(self.redact))]
        # Columns that are null in all rows are left out: DuckDB plans a statement of fewer columns faster.
        filled = {name for row in stored for name, value in row.items() if value is not None}
        columns = [name for name in stored[0] if name in filled]
        values: list[Sequence[Any]] = [tuple(map(row.__getitem__, columns)) for row in stored]
        (self._connection or self.begin()).write(Write(table, tuple(columns), (), values, then))
        return stored

    def update(self, table: str, changes: Row, key: Row, *, gone: Exception | None = None) -> Row:
        """Change the rows that match `key`; return the changes as stored.

        If there are no such rows, raise `gone`. Without it, rows are not counted.
        """
        stored = encode_row(changes, self.redact)
        write = _update(table, stored, key)
        if gone is None:
            (self._connection or self.begin()).write(write)
        elif not self._count(write):
            raise gone
        return stored

    def change(self, table: str, changes: Row, key: Row) -> int:
        """Change the rows that match `key`; return their number."""
        return self._count(_update(table, encode_row(changes, self.redact), key))

    def _count(self, write: Write) -> int:
        return (self._connection or self.begin()).change(
            write_sql(write.table, write.columns, write.key), write.rows[0]
        )


def _update(table: str, stored: Row, key: Row) -> Write:
    return Write(table, tuple(stored), tuple(key), [[*stored.values(), *map(to_sql, key.values())]])


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield up to 500 of `values` at a time, as parameters of a statement."""
    for start in range(0, len(values), 500):
        yield values[start : start + 500]


def marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def where_equal(key: Row) -> tuple[str, list[Any]]:
    """Return the condition that the columns of `key` have its values, and its parameters."""
    return f"{' = ? AND '.join(key)} = ?" if key else "TRUE", list(key.values())


def non_null(**arguments: str | None) -> Row:
    """Return the arguments that are not None, which matches any value."""
    return {name: value for name, value in arguments.items() if value is not None}


def valid_usage(column: str) -> str:
    """Return portable SQL for a column of tokens or cost with null for impossible values."""
    maximum = MAX_COST if column == "cost" else MAX_TOKENS
    return f"CASE WHEN {column} BETWEEN 0 AND {maximum} THEN {column} END"


def page_of(limit: int | None, page: int | None) -> tuple[int, int | None]:
    """Return start and end of page number `page`, from 1, with `limit` rows per page, or raise an InvalidInputError."""
    limit, page = whole_number("limit", limit), whole_number("page", page)
    if (limit is not None and limit < 0) or (page is not None and (limit is None or page < 1)):
        raise InvalidInputError(f"limit is {limit!r} and page {page!r}; pages count from 1 and need a limit")
    if limit is None:
        return 0, None
    start = limit * ((page or 1) - 1)
    return start, start + limit
