"""The part of a store behind a SQL driver that is about summaries and memories."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from agno_nb.db.base import Db
from agno_nb.db.encoding import Row, check_ids, micros
from agno_nb.db.history import latest_summary, select_memories
from agno_nb.db.rows import (
    SUMMARY_COLUMNS,
    memory_row,
    summary_from_row,
    summary_row,
)
from agno_nb.db.statements import Transaction, page_of, where_equal
from agno_nb.errors import InvalidInputError, SessionNotFoundError
from agno_nb.types import RunOutput, SessionSummary, UserMemory, now

if TYPE_CHECKING:
    import pyarrow as pa


_CHANGEABLE = ("memory", "topics", "input", "component_id", "updated_at")
"""Columns of a memory that a later version replaces."""


class SqlMemories(Db):
    """Summaries and memories in SQL."""

    @abstractmethod
    def _transaction(self, *, write: bool, exclusive: bool = False) -> AbstractContextManager[Transaction]: ...

    @abstractmethod
    def _tables(self, names: Collection[str]) -> dict[str, pa.Table]:
        """Read whole tables, all at the same moment."""

    def add_summary(self, summary: SessionSummary) -> SessionSummary:
        with self._transaction(write=True) as connection:
            # An update that changes nothing finds the session and, where writers overlap (Postgres), locks it.
            sql = "UPDATE raw_sessions SET updated_at = updated_at WHERE session_id = ? RETURNING session_id"
            if not connection.execute(sql, [summary.session_id]):
                raise SessionNotFoundError(
                    f"there is no session {summary.session_id!r} that a summary could be stored of"
                )
            sql = "SELECT COALESCE(MAX(version) + 1, 0) FROM raw_summaries WHERE session_id = ?"
            ((version,),) = connection.execute(sql, [summary.session_id])
            connection.insert("raw_summaries", [summary_row(summary, version=version)])
        return replace(summary, version=version)

    def get_summary(self, session_id: str, *, before_run_index: int | None = None) -> SessionSummary | None:
        check_ids(session_id=session_id)
        with self._transaction(write=False) as connection:
            return latest_summary(connection, session_id, before_run_index)

    def get_summary_after(self, run: RunOutput) -> SessionSummary | None:
        sql = (
            f"SELECT {', '.join(SUMMARY_COLUMNS)} FROM raw_summaries AS made "
            "WHERE session_id = ? AND to_run_index = ? AND updated_at >= ? "
            # A turn that was tried again before it was made is what it condenses then.
            "AND NOT EXISTS (SELECT 1 FROM raw_runs WHERE raw_runs.session_id = made.session_id AND attempt > 0 "
            "AND run_index <= to_run_index AND created_at >= ? AND created_at <= updated_at) ORDER BY version LIMIT 1"
        )
        ended_at = micros(run.ended_at or run.created_at)
        with self._transaction(write=False) as connection:
            rows = connection.execute(sql, [run.session_id, run.run_index, ended_at, ended_at])
        return summary_from_row(rows[0]) if rows else None

    def upsert_user_memory(self, memory: UserMemory) -> UserMemory:
        if not memory.user_id:
            raise InvalidInputError(f"a memory has user_id {memory.user_id!r}; give the user whom it is about")
        replaced = ", ".join(f"{name} = excluded.{name}" for name in _CHANGEABLE)
        with self._transaction(write=True) as connection:
            row = memory_row(memory, now=micros(now()))
            # A user's memories are in the order in which they were learned, even if the clock was set back.
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
            raise InvalidInputError(f"memory {memory.memory_id!r} is another user's than {memory.user_id!r}")
        return stored[0]

    def get_user_memories(
        self,
        user_id: str | None = None,
        component_id: str | None = None,
        topics: Sequence[str] | None = None,
        search_content: str | None = None,
        limit: int | None = None,
        page: int | None = None,
    ) -> list[UserMemory]:
        start, stop = page_of(limit, page)
        where, parameters = where_equal(non_null(user_id=user_id, component_id=component_id))
        with self._transaction(write=False) as connection:
            memories = select_memories(connection, where, parameters)
        # A user has few memories, so they are chosen here: what JSON holds, and what letters are the same in another
        # case, is not for every backend to say.
        part, topics_wanted = (search_content or "").casefold(), set(topics or ())
        matching = [each for each in memories if part in each.memory.casefold() and topics_wanted <= set(each.topics)]
        return matching[start:stop]

    def update_user_memory(self, memory: UserMemory, *, expected_updated_at: float) -> UserMemory | None:
        key = {"memory_id": memory.memory_id, "user_id": memory.user_id, "updated_at": micros(expected_updated_at)}
        with self._transaction(write=True) as connection:
            row = memory_row(memory, now=micros(now()))
            if not connection.change("raw_memories", {name: row[name] for name in _CHANGEABLE}, key):
                return None
            return select_memories(connection, "memory_id = ?", [memory.memory_id])[0]

    def delete_user_memory(
        self, memory_id: str, user_id: str | None = None, *, expected_updated_at: float | None = None
    ) -> bool:
        key: Row = non_null(memory_id=memory_id, user_id=user_id)
        if expected_updated_at is not None:
            key["updated_at"] = micros(expected_updated_at)
        return bool(self._delete_memories(key))

    def clear_memories(self, user_id: str | None = None) -> None:
        self._delete_memories(non_null(user_id=user_id))

    def _delete_memories(self, key: Row) -> list[tuple[str]]:
        where, parameters = where_equal(key)
        with self._transaction(write=True, exclusive=True) as connection:
            return connection.execute(f"DELETE FROM raw_memories WHERE {where} RETURNING memory_id", parameters)


def non_null(**arguments: str | None) -> Row:
    """Return the arguments that were given; None stands for any."""
    return {name: value for name, value in arguments.items() if value is not None}
