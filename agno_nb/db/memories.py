"""Summaries, memories and events: rows of a SQL store that accompany its runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, Literal

from agno_nb.db import tables
from agno_nb.db.encoding import check_choice, check_ids, micros
from agno_nb.db.statements import Transaction, chunks, marks, non_null, page_of, where_equal
from agno_nb.errors import InvalidInputError, SessionNotFoundError
from agno_nb.types import JsonDict, Metrics, RunEvent, RunOutput, SessionSummary, UserMemory

SUMMARY_HOLDS = (
    "NOT EXISTS (SELECT 1 FROM raw_runs WHERE raw_runs.session_id = raw_summaries.session_id AND attempt > 0 "
    "AND run_index <= to_run_index AND created_at > updated_at)"
)
"""Condition on summaries: none of the turns that they cover was rerun after they were written."""

_SORT_COLUMNS = ("created_at", "updated_at", "memory", "memory_id")

_CHANGEABLE = ("memory", "topics", "input", "component_id", "updated_at")
"""Columns of a memory that a later version replaces."""


def _lock_session(connection: Transaction, where: str, parameters: Sequence[str | int | None]) -> bool:
    """Return whether there is a session that matches `where`, and lock it if writers overlap (Postgres)."""
    sql = f"UPDATE raw_sessions SET updated_at = updated_at WHERE {where} RETURNING session_id"
    return bool(connection.execute(sql, parameters))


def add_summary(
    connection: Transaction,
    summary: SessionSummary,
    *,
    run_ids: Collection[str] = (),
    previous: SessionSummary | None = None,
) -> SessionSummary:
    session_id = summary.session_id
    if not _lock_session(connection, "session_id = ?", [session_id]):
        raise SessionNotFoundError(f"cannot store a summary: there is no session {session_id!r}")
    if summary.to_run_index is not None:
        _check_sources(connection, session_id, "raw_runs", {"run_index": [summary.to_run_index]})
    for some in chunks([*run_ids]):
        _check_sources(connection, session_id, "raw_runs", {"run_id": some})
    if previous is not None:
        # A later version may have got the number of a deleted one.
        key: dict[str, list[Any]] = {"version": [previous.version], "updated_at": [micros(previous.updated_at)]}
        _check_sources(connection, session_id, "raw_summaries", key)
    sql = "SELECT COALESCE(MAX(version) + 1, 0) FROM raw_summaries WHERE session_id = ?"
    ((version,),) = connection.execute(sql, [session_id])
    connection.insert("raw_summaries", [tables.summary_row(summary, version)])
    return replace(summary, version=version)


def _check_sources(
    connection: Transaction, session_id: str | None, table: str, values: Mapping[str, Sequence[Any]]
) -> None:
    """Raise a SessionNotFoundError if a row that a summary was written from is no longer there."""
    number = "COUNT(DISTINCT run_index)" if "run_index" in values else "COUNT(*)"
    where = "".join(f" AND {column} IN ({marks(each)})" for column, each in values.items())
    parameters = [value for each in values.values() for value in each]
    ((found,),) = connection.execute(
        f"SELECT {number} FROM {table} WHERE session_id = ?{where}", [session_id, *parameters]
    )
    if found < len(next(iter(values.values()))):
        raise SessionNotFoundError(
            f"cannot store a summary of session {session_id!r}: a turn or a summary that it is based on was deleted"
        )


def add_event(
    connection: Transaction,
    run: RunOutput,
    event: RunEvent,
    content: str,
    *,
    details: JsonDict | None = None,
    model: str | None = None,
    metrics: Metrics | None = None,
) -> None:
    # A later session with the same id does not have the run.
    has_run = "EXISTS (SELECT 1 FROM raw_runs WHERE raw_runs.session_id = raw_sessions.session_id AND run_id = ?)"
    if not _lock_session(connection, f"session_id = ? AND {has_run}", [run.session_id, run.run_id]):
        raise SessionNotFoundError(f"session {run.session_id!r} was deleted, so {content!r} cannot be stored")
    sql = "SELECT COALESCE(MAX(event_index) + 1, 0) FROM raw_events WHERE run_id = ?"
    ((event_index,),) = connection.execute(sql, [run.run_id])
    usage = (metrics or Metrics()).drop_impossible()
    row = {
        "run_id": run.run_id,
        "event_index": event_index,
        "session_id": run.session_id,
        "event": event.value,
        "content": content,
        "details": details,
        "model": model,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": usage.cost,
        "duration_s": usage.duration_s,
        "created_at": connection.now(),
    }
    connection.insert("raw_events", [row])
    connection.on_commit.append(lambda update: update.unaffected())


def get_summary(
    connection: Transaction, session_id: str, *, before_run_index: int | None = None
) -> SessionSummary | None:
    check_ids("session_id", session_id=session_id)
    where = f"session_id = ? AND {SUMMARY_HOLDS}"
    parameters: list[str | int] = [session_id]
    if before_run_index is not None:
        where += " AND to_run_index < ?"
        parameters.append(before_run_index)
    rows = connection.select(tables.SUMMARIES, f"{where} ORDER BY version DESC LIMIT 1", parameters)
    return tables.summary_from_row(rows[0]) if rows else None


def get_summary_after(connection: Transaction, run: RunOutput) -> SessionSummary | None:
    where = (
        "session_id = ? AND to_run_index = ? AND updated_at >= ? "
        # A summary that was written after the turn was rerun is one of the new attempt.
        "AND NOT EXISTS (SELECT 1 FROM raw_runs WHERE raw_runs.session_id = raw_summaries.session_id AND attempt > 0 "
        "AND run_index <= to_run_index AND created_at >= ? AND created_at <= updated_at) ORDER BY version LIMIT 1"
    )
    ended_at = micros(run.ended_at or run.created_at)
    parameters = [run.session_id, run.run_index, ended_at, ended_at]
    rows = connection.select(tables.SUMMARIES, where, parameters)
    return tables.summary_from_row(rows[0]) if rows else None


def upsert_user_memory(connection: Transaction, memory: UserMemory) -> UserMemory:
    if not memory.user_id:
        raise InvalidInputError(f"a memory has user_id {memory.user_id!r}; set the user that it is about")
    replaced = ", ".join(f"{name} = excluded.{name}" for name in _CHANGEABLE)
    row = tables.MEMORIES.row(memory) | {"updated_at": connection.now()}
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
    *,
    agent_id: str | None = None,
    team_id: str | None = None,
    sort_by: str | None = None,
    sort_order: Literal["asc", "desc"] | None = None,
) -> list[UserMemory]:
    start, stop = page_of(limit, page)
    check_choice("sort_by", sort_by, _SORT_COLUMNS)
    check_choice("sort_order", sort_order, ("asc", "desc"))
    where, parameters = where_equal(non_null(user_id=user_id))
    for creator in (component_id, agent_id, team_id):
        if creator is not None:
            where, parameters = f"{where} AND component_id = ?", [*parameters, creator]
    memories = select_memories(connection, where, parameters)
    if sort_by is not None:
        memories.sort(key=attrgetter(sort_by, "memory_id"))
    if (sort_order or ("desc" if sort_by else "asc")) == "desc":
        memories.reverse()
    # A user has few memories, and backends differ in JSON functions and in how they compare letters of both cases.
    part, topics_wanted = (search_content or "").casefold(), set(topics or ())
    matching = [each for each in memories if part in each.memory.casefold() and topics_wanted <= set(each.topics)]
    return matching[start:stop]


def update_user_memory(connection: Transaction, memory: UserMemory, *, expected_updated_at: float) -> UserMemory | None:
    key = {"memory_id": memory.memory_id, "user_id": memory.user_id, "updated_at": micros(expected_updated_at)}
    row = tables.MEMORIES.row(memory) | {"updated_at": connection.now()}
    if not connection.change("raw_memories", {name: row[name] for name in _CHANGEABLE}, key):
        return None
    return select_memories(connection, "memory_id = ?", [memory.memory_id])[0]


def delete_user_memory(
    connection: Transaction, memory_id: str, user_id: str | None = None, *, expected_updated_at: float | None = None
) -> bool:
    check_ids("memory_id", memory_id=memory_id, user_id=user_id or None)
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
    rows = connection.select(tables.MEMORIES, f"{where} ORDER BY created_at, memory_id", parameters)
    return [UserMemory(**tables.MEMORIES.attributes(row)) for row in rows]
