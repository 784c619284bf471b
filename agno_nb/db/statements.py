"""The portable statements of a store, as functions of one open transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any

from agno_nb.db.encoding import Redact, Row, encode_row, to_sql
from agno_nb.db.process_id import is_over
from agno_nb.db.rows import (
    MESSAGE_COLUMNS,
    MESSAGE_MEDIA_COLUMNS,
    SESSION_COLUMNS,
    TOOL_CALL_COLUMNS,
    media_rows,
    message_media_rows,
    message_row,
    messages_from_rows,
    tool_call_rows,
)
from agno_nb.errors import InvalidInputError
from agno_nb.redact import redactor
from agno_nb.types import MAX_COST, MAX_TOKENS, Message, RunOutput, RunStatus, whole_number

_MAX_PARAMETERS = 30_000
"""Of one statement: SQLite takes 32,766, Postgres 65,535."""


class Connection(ABC):
    """One open transaction of a backend."""

    data_version: int | None = None
    """What the store was found at: a number, another one whenever it may have changed. None where nobody knows."""
    next_data_version: int | None = None
    """What the transaction leaves it at when it is committed."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""

    @abstractmethod
    def change(self, sql: str, parameters: Sequence[Any], /) -> int:
        """Run one statement that changes rows and returns none; return how many it changed."""

    def write(self, sql: str, parameters: Sequence[Any], /) -> None:
        """Run one statement that changes rows, after those before it and before the next that returns something."""
        self.change(sql, parameters)


class Transaction:
    """One open transaction of a store. What is written through it holds no keys."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def data_version(self) -> int | None:
        return self._connection.data_version

    @property
    def next_data_version(self) -> int | None:
        return self._connection.next_data_version

    @cached_property
    def redact(self) -> Redact:
        return redactor()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, [to_sql(value) for value in parameters])

    def insert(self, table: str, rows: Sequence[Row], then: str = "") -> list[Row]:
        """Insert rows of the same columns in as few statements as backends take; return them as they are stored."""
        if not rows:
            return []
        stored = [encode_row(row, self.redact) for row in rows]
        # Columns that are null in all rows are left out: DuckDB plans a statement of fewer columns faster.
        filled = {name for row in stored for name, value in row.items() if value is not None}
        columns = [name for name in stored[0] if name in filled]
        at_once = _MAX_PARAMETERS // len(columns)
        for start in range(0, len(stored), at_once):
            some = stored[start : start + at_once]
            # One row is planned faster by DuckDB as a SELECT. With more to say SQLite would take that for a join.
            if len(some) == 1 and not then:
                values = f"SELECT {marks(columns)}"
            else:
                values = "VALUES " + ", ".join([f"({marks(columns)})"] * len(some))
            sql = f"INSERT INTO {table} ({', '.join(columns)}) {values} {then}"
            self._connection.write(sql, [row[name] for row in some for name in columns])
        return stored

    def update(self, table: str, changes: Row, key: Row, *, gone: Exception | None = None) -> Row:
        """Change the rows of `key`; return the changes as they are stored.

        Where there are no such rows, `gone` is raised. Without it nobody asks.
        """
        stored = encode_row(changes, self.redact)
        if gone is None:
            self._connection.write(*_update(table, stored, key))
        elif not self._connection.change(*_update(table, stored, key)):
            raise gone
        return stored

    def change(self, table: str, changes: Row, key: Row) -> int:
        """Change the rows of `key`; return how many there are."""
        return self._connection.change(*_update(table, encode_row(changes, self.redact), key))


def _update(table: str, stored: Row, key: Row) -> tuple[str, list[Any]]:
    where, parameters = where_equal(key)
    assignments = ", ".join(f"{name} = ?" for name in stored)
    return f"UPDATE {table} SET {assignments} WHERE {where}", [*stored.values(), *map(to_sql, parameters)]


def marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def where_equal(key: Row) -> tuple[str, list[Any]]:
    """Return the condition that the columns of `key` have its values, and its parameters."""
    return " AND ".join([f"{name} = ?" for name in key] or ["TRUE"]), list(key.values())


def valid_usage(column: str) -> str:
    """Return, in portable SQL, a column of tokens or cost without values that no server can have meant."""
    maximum = MAX_COST if column == "cost" else MAX_TOKENS
    return f"CASE WHEN {column} BETWEEN 0 AND {maximum} THEN {column} END"


def page_of(limit: int | None, page: int | None) -> tuple[int, int | None]:
    """Return where page number `page`, from 1, of pages of `limit` rows begins and ends.

    Raises
    ------
    InvalidInputError
        There is no such page.
    """
    limit, page = whole_number("limit", limit), whole_number("page", page)
    if (limit is not None and limit < 0) or (page is not None and (limit is None or page < 1)):
        raise InvalidInputError(f"limit is {limit!r} and page {page!r}; pages count from 1 and need a limit")
    if limit is None:
        return 0, None
    start = limit * ((page or 1) - 1)
    return start, start + limit


StoredMessages = tuple[Sequence[Row], Sequence[Row]]
"""Rows of messages and of the tool calls that they ask for."""


def insert_messages(
    connection: Transaction, run: RunOutput, messages: Sequence[Message], places: Sequence[int]
) -> StoredMessages | None:
    """Store messages, each at its place in the run, the tool calls that they ask for and their media.

    Return what is stored, or None where that is not all, because there are media too.
    """
    rows = connection.insert(
        "raw_messages",
        [message_row(message, run=run, message_index=place) for message, place in zip(messages, places, strict=True)],
    )
    calls = connection.insert(
        "raw_tool_calls", [row for message in messages for row in tool_call_rows(message, run=run)]
    )
    connection.insert(
        "raw_message_media", [row for message in messages for row in message_media_rows(message, run=run)]
    )
    contents = {row["media_id"]: row for message in messages for row in media_rows(message)}
    # In order: where writers overlap, two that store the same contents would otherwise wait for each other.
    in_order = [contents[media_id] for media_id in sorted(contents)]
    connection.insert("raw_media", in_order, "ON CONFLICT (media_id) DO NOTHING")
    return None if any(message.media for message in messages) else (rows, calls)


_MESSAGE_INDEX, _NUM_TOOL_CALLS, _NUM_MEDIA = (
    MESSAGE_COLUMNS.index(name) for name in ("message_index", "num_tool_calls", "num_media")
)


def select_messages(
    connection: Transaction, where: str, parameters: Sequence[Any], *, only: str = "TRUE"
) -> dict[str, list[Message]]:
    """Return the messages of each run that `where` selects, those that `only` leaves, with tool calls and media."""
    messages = connection.execute(
        f"SELECT {', '.join(MESSAGE_COLUMNS)} FROM raw_messages WHERE {where} AND {only}", parameters
    )
    # An ORDER BY would take DuckDB half as long again as the query without it.
    messages.sort(key=itemgetter(_MESSAGE_INDEX))
    tool_calls: list[tuple[Any, ...]] = []
    media: list[tuple[Any, ...]] = []
    if any(row[_NUM_TOOL_CALLS] for row in messages):
        columns = ", ".join(TOOL_CALL_COLUMNS)
        tool_calls = connection.execute(
            f"SELECT {columns} FROM raw_tool_calls WHERE {where} ORDER BY call_index", parameters
        )
    if any(row[_NUM_MEDIA] for row in messages):
        columns = ", ".join(MESSAGE_MEDIA_COLUMNS)
        media = connection.execute(
            f"SELECT {columns}, content FROM raw_message_media LEFT JOIN raw_media USING (media_id) WHERE {where} "
            "ORDER BY media_index",
            parameters,
        )
    return messages_from_rows(messages, tool_calls, media)


def select_sessions(connection: Transaction, where: str, parameters: Sequence[Any]) -> list[Row]:
    """Return the rows of the sessions that `where` selects, in the order that it may end with."""
    sql = f"SELECT {', '.join(SESSION_COLUMNS)} FROM raw_sessions WHERE {where}"
    return [dict(zip(SESSION_COLUMNS, row, strict=True)) for row in connection.execute(sql, parameters)]


def mark_interrupted(connection: Transaction, runs: Sequence[RunOutput]) -> None:
    """Tell runs that are still running whether the process that did them has died, or has ended them."""
    running = {run.run_id: run for run in runs if run.status is RunStatus.RUNNING}
    if running:
        sql = f"SELECT run_id, worker FROM raw_runs WHERE run_id IN ({marks(list(running))})"
        for run_id, worker in connection.execute(sql, list(running)):
            running[run_id].interrupted = is_over(worker, run_id)
