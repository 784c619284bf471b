"""The portable statements of a store, as functions of one open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from agno_nb.db.base import ContextQuery
from agno_nb.db.rows import (
    MESSAGE_COLUMNS,
    TOOL_CALL_COLUMNS,
    Row,
    message_row,
    messages_from_rows,
    storable,
    tool_call_rows,
)
from agno_nb.errors import InvalidInputError
from agno_nb.types import Message, RunOutput, RunStatus


class Connection(Protocol):
    """One open transaction of a store."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""


def execute(connection: Connection, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    return connection.execute(sql, [storable(value) for value in parameters])


def marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def equal(key: Row) -> tuple[str, list[Any]]:
    """Return the condition that the columns of `key` have its values, and its parameters."""
    return " AND ".join([f"{name} = ?" for name in key] or ["TRUE"]), list(key.values())


def insert(connection: Connection, table: str, rows: Sequence[Row], then: str = "") -> list[tuple[Any, ...]]:
    """Insert rows of the same columns in one statement."""
    if not rows:
        return []
    values = ", ".join([f"({marks(list(rows[0]))})"] * len(rows))
    sql = f"INSERT INTO {table} ({', '.join(rows[0])}) VALUES {values} {then}"
    return execute(connection, sql, [value for row in rows for value in row.values()])


def update(connection: Connection, table: str, changes: Row, key: Row, *, returning: str) -> list[tuple[Any, ...]]:
    """Change the rows of `key`; return the columns `returning` of each."""
    where, parameters = equal(key)
    assignments = ", ".join(f"{name} = ?" for name in changes)
    sql = f"UPDATE {table} SET {assignments} WHERE {where} RETURNING {returning}"
    return execute(connection, sql, [*changes.values(), *parameters])


def insert_messages(connection: Connection, run: RunOutput, messages: Sequence[Message], places: Sequence[int]) -> None:
    """Store messages, each at its place in the run, and the tool calls that they ask for."""
    rows = [message_row(message, run=run, message_index=place) for message, place in zip(messages, places, strict=True)]
    insert(connection, "raw_messages", rows)
    insert(connection, "raw_tool_calls", [row for message in messages for row in tool_call_rows(message, run=run)])


def select_messages(
    connection: Connection, where: str, parameters: Sequence[Any], *, only: str = "TRUE"
) -> dict[str, list[Message]]:
    """Return the messages of each run that `where` selects, those that `only` leaves, with their tool calls."""
    messages = f"SELECT {', '.join(MESSAGE_COLUMNS)} FROM raw_messages WHERE {where} AND {only} ORDER BY message_index"
    tool_calls = f"SELECT {', '.join(TOOL_CALL_COLUMNS)} FROM raw_tool_calls WHERE {where} ORDER BY call_index"
    return messages_from_rows(execute(connection, messages, parameters), execute(connection, tool_calls, parameters))


def next_turn(connection: Connection, session_id: str) -> int:
    sql = "SELECT COALESCE(MAX(run_index) + 1, 0) FROM raw_runs WHERE session_id = ?"
    turn: int = execute(connection, sql, [session_id])[0][0]
    return turn


def next_attempt(connection: Connection, session_id: str, run_index: int) -> int:
    sql = "SELECT MAX(attempt) + 1 FROM raw_runs WHERE session_id = ? AND run_index = ?"
    attempt: int | None = execute(connection, sql, [session_id, run_index])[0][0]
    if attempt is None:
        raise InvalidInputError(f"session {session_id!r} has no turn {run_index}; leave run_index None for a new one")
    return attempt


def current_attempts(connection: Connection, session_id: str, first: int, end: int) -> list[tuple[str, str]]:
    """Return run_id and status of the latest attempt at each turn from `first` to before `end`, oldest turn first."""
    sql = (
        "SELECT run_index, run_id, status FROM raw_runs WHERE session_id = ? AND run_index >= ? AND run_index < ? "
        "ORDER BY run_index, attempt"
    )
    rows = execute(connection, sql, [session_id, first, end])
    return list({run_index: (run_id, status) for run_index, run_id, status in rows}.values())


def history(connection: Connection, session_id: str, *, end: int, query: ContextQuery) -> list[Message]:
    """Return what was said in the turns before turn `end`, as much of it as `query` asks for, oldest first."""
    limit = query.num_history_messages
    # A completed turn has at least one message, so that many turns are enough.
    run_ids = _completed_turns(connection, session_id, end, query.num_history_runs if limit is None else limit)
    if not run_ids:
        return []
    runs = select_messages(
        connection,
        f"session_id = ? AND run_id IN ({marks(run_ids)})",
        [session_id, *run_ids],
        only="role <> 'system' AND NOT from_history",
    )
    messages = [message for run_id in run_ids for message in runs.get(run_id, [])]
    if limit is not None:
        messages = messages[-limit:]
        # An answer to a call that is not shown means nothing to a model, and most providers refuse it.
        while messages and messages[0].role == "tool":
            del messages[0]
    for message in messages:
        message.from_history = True
    return messages


def _completed_turns(connection: Connection, session_id: str, end: int, num_turns: int) -> list[str]:
    """Return the run_ids of the last `num_turns` turns before turn `end` whose current attempt is completed.

    They are looked for among the latest turns first, and further back only when too many of those were not completed,
    so that the cost does not grow with the session.
    """
    found: list[str] = []
    size = num_turns + 4
    while end > 0 and len(found) < num_turns:
        first = max(0, end - size)
        turns = current_attempts(connection, session_id, first, end)
        found = [run_id for run_id, status in turns if status == RunStatus.COMPLETED] + found
        end, size = first, size * 4
    return found[-num_turns:] if num_turns > 0 else []
