"""Session summaries and user memories of a SQL store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agno_nb.db import tables
from agno_nb.db.encoding import check_ids, micros
from agno_nb.db.statements import Transaction, non_null, page_of, where_equal
from agno_nb.errors import InvalidInputError, SessionNotFoundError
from agno_nb.types import RunOutput, SessionSummary, UserMemory, now

SUMMARY_HOLDS = (
    "NOT EXISTS (SELECT 1 FROM raw_runs WHERE raw_runs.session_id = raw_summaries.session_id AND attempt > 0 "
    "AND run_index <= to_run_index AND created_at > updated_at)"
)
"""Condition on summaries: none of the turns that they cover was rerun after they were written."""

_CHANGEABLE = ("memory", "topics", "input", "component_id", "updated_at")
"""Columns of a memory that a later version replaces."""


def add_summary(connection: Transaction, summary: SessionSummary) -> SessionSummary:
    # This update changes nothing, but finds the session and, if writers overlap (Postgres), locks it.
    sql = "UPDATE raw_sessions SET updated_at = updated_at WHERE session_id = ? RETURNING session_id"
    if not connection.execute(sql, [summary.session_id]):
        raise SessionNotFoundError(f"cannot store a summary: there is no session {summary.session_id!r}")
    sql = "SELECT COALESCE(MAX(version) + 1, 0) FROM raw_summaries WHERE session_id = ?"
    ((version,),) = connection.execute(sql, [summary.session_id])
    connection.insert("raw_summaries", [tables.summary_row(summary, version)])
    return replace(summary, version=version)


def get_summary(
    connection: Transaction, session_id: str, *, before_run_index: int | None = None
) -> SessionSummary | None:
    check_ids(session_id=session_id)
    where = f"session_id = ? AND {SUMMARY_HOLDS}"
    parameters: list[str | int] = [session_id]
    if before_run_index is not None:
        where += " AND to_run_index < ?"
        parameters.append(before_run_index)
    return _select_summary(connection, "raw_summaries", f"{where} ORDER BY version DESC LIMIT 1", parameters)


def get_summary_after(connection: Transaction, run: RunOutput) -> SessionSummary | None:
    where = (
        "session_id = ? AND to_run_index = ? AND updated_at >= ? "
        # A summary that was written after the turn was rerun is one of the new attempt.
        "AND NOT EXISTS (SELECT 1 FROM raw_runs WHERE raw_runs.session_id = made.session_id AND attempt > 0 "
        "AND run_index <= to_run_index AND created_at >= ? AND created_at <= updated_at) ORDER BY version LIMIT 1"
    )
    ended_at = micros(run.ended_at or run.created_at)
    parameters = [run.session_id, run.run_index, ended_at, ended_at]
    return _select_summary(connection, "raw_summaries AS made", where, parameters)


def _select_summary(
    connection: Transaction, source: str, where: str, parameters: Sequence[str | int | None]
) -> SessionSummary | None:
    sql = f"SELECT {tables.SUMMARIES.sql_columns} FROM {source} WHERE {where}"
    rows = tables.SUMMARIES.rows(connection.execute(sql, parameters))
    return tables.summary_from_row(rows[0]) if rows else None


def upsert_user_memory(connection: Transaction, memory: UserMemory) -> UserMemory:
    if not memory.user_id:
        raise InvalidInputError(f"a memory has user_id {memory.user_id!r}; set the user that it is about")
    replaced = ", ".join(f"{name} = excluded.{name}" for name in _CHANGEABLE)
    row = tables.memory_row(memory, now=micros(now()))
    # A user's memories are in the order in which they were added, even if the clock was set back.
    sql = "SELECT MAX(created_at) FROM raw_memories WHERE user_id = ? AND memory_id <> ?"
    ((latest,),) = connection.execute(sql, [memory.user_id, memory.memory_id])
    if latest is not None and row["created_at"] <= latest:
        row["created_at"] = latest + 1
    connection.insert(
        "raw_memories",
        [row],
        f"ON CONFLICT (memory_id) DO UPDATE SET {replaced} WHERE raw_memories.user_id = excluded.user_id",
    )
    stored = select_memories(connection, "memory_id = ? AND user_id = ?", [memory.memory_id, memory.user_id])
    if not stored:
        raise InvalidInputError(
            f"memory {memory.memory_id!r} does not belong to user {memory.user_id!r}; pass its owner's user_id, or "
            "another memory_id"
        )
    return stored[0]


def get_user_memories(
    connection: Transaction,
    user_id: str | None = None,
    component_id: str | None = None,
    topics: Sequence[str] | None = None,
    search_content: str | None = None,
    limit: int | None = None,
    page: int | None = None,
) -> list[UserMemory]:
    start, stop = page_of(limit, page)
    memories = select_memories(connection, *where_equal(non_null(user_id=user_id, component_id=component_id)))
    # A user has few memories, and backends differ in JSON functions and in how they compare letters of both cases.
    part, topics_wanted = (search_content or "").casefold(), set(topics or ())
    matching = [each for each in memories if part in each.memory.casefold() and topics_wanted <= set(each.topics)]
    return matching[start:stop]


def update_user_memory(connection: Transaction, memory: UserMemory, *, expected_updated_at: float) -> UserMemory | None:
    key = {"memory_id": memory.memory_id, "user_id": memory.user_id, "updated_at": micros(expected_updated_at)}
    row = tables.memory_row(memory, now=micros(now()))
    if not connection.change("raw_memories", {name: row[name] for name in _CHANGEABLE}, key):
        return None
    return select_memories(connection, "memory_id = ?", [memory.memory_id])[0]


def delete_user_memory(
    connection: Transaction, memory_id: str, user_id: str | None = None, *, expected_updated_at: float | None = None
) -> bool:
    key = non_null(memory_id=memory_id, user_id=user_id)
    if expected_updated_at is not None:
        key["updated_at"] = micros(expected_updated_at)
    where, parameters = where_equal(key)
    return bool(connection.execute(f"DELETE FROM raw_memories WHERE {where} RETURNING memory_id", parameters))


def clear_memories(connection: Transaction, user_id: str | None = None) -> None:
    where, parameters = where_equal(non_null(user_id=user_id))
    connection.execute(f"DELETE FROM raw_memories WHERE {where}", parameters)


def select_memories(connection: Transaction, where: str, parameters: Sequence[str | None]) -> list[UserMemory]:
    """Return the memories that match `where`, oldest first."""
    sql = f"SELECT {tables.MEMORIES.sql_columns} FROM raw_memories WHERE {where} ORDER BY created_at, memory_id"
    return [tables.memory_from_row(row) for row in tables.MEMORIES.rows(connection.execute(sql, parameters))]
