"""What a store knows of the session that was talked in last, so that the next turn there need not read it again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agno_nb.db.encoding import Row, micros, to_sql
from agno_nb.db.history import Turn
from agno_nb.db.statements import StoredMessages, Transaction
from agno_nb.db.tables import MESSAGE_COLUMNS, TOOL_CALL_COLUMNS, messages_from_rows
from agno_nb.types import Message, RunOutput, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCache:
    """A session and its latest turns, as rows, at one data version of the store. At any other one it says nothing.

    The turns are those that this process stored itself, one after the other, each completed at the first try. Whatever
    else is stored by anybody leaves another data version, and the next turn is read.
    """

    data_version: int
    session: Row
    """Its row in raw_sessions."""
    turns: tuple[tuple[int, str, StoredMessages], ...]
    """`run_index`, `run_id` and what was said, oldest first."""
    began_at: int
    """When the last of them began, in microseconds."""
    is_over: bool = False
    """Whether the last of them has ended."""
    is_all: bool
    """Whether the session has no turn before the first of them."""

    @classmethod
    def after_open(
        cls,
        connection: Transaction,
        session: Row,
        run: RunOutput,
        stored_messages: StoredMessages | None,
        *,
        previous: SessionCache | None,
        num_turns: int,
    ) -> SessionCache | None:
        """Return what is known when a new turn has begun that asked for so many of the latest ones.

        What came before it was known (`previous`), or was read.
        """
        if connection.next_data_version is None or stored_messages is None or run.run_index is None or run.attempt:
            return None
        known_turns, is_all = (previous.turns, previous.is_all) if previous is not None else ((), run.run_index == 0)
        # As many as were asked for now are asked for again.
        kept = known_turns[max(0, len(known_turns) - num_turns) :]
        return cls(
            data_version=connection.next_data_version,
            session=session,
            turns=(*kept, (run.run_index, run.run_id, stored_messages)),
            began_at=micros(run.created_at),
            is_all=is_all and len(kept) == len(known_turns),
        )

    def is_current(self, connection: Transaction, run: RunOutput) -> bool:
        """Whether the last turn is this one, and nothing else was stored since it began."""
        return not self.is_over and self.data_version == connection.data_version and self.turns[-1][1] == run.run_id

    def after_append(
        self,
        connection: Transaction,
        run: RunOutput,
        stored_messages: StoredMessages | None,
        *,
        ended: Row | None = None,
    ) -> SessionCache | None:
        """Return what is known when more was said in the last turn. At its end `ended` is what the session has anew."""
        if stored_messages is None or not self.is_current(connection, run):
            return None
        if ended is not None and run.status is not RunStatus.COMPLETED:
            return None
        *before, (run_index, run_id, (messages, calls)) = self.turns
        assert connection.next_data_version is not None
        return replace(
            self,
            data_version=connection.next_data_version,
            session=self.session | (ended or {}),
            turns=(*before, (run_index, run_id, ([*messages, *stored_messages[0]], [*calls, *stored_messages[1]]))),
            is_over=ended is not None,
        )

    def covers(self, connection: Transaction, run: RunOutput, num_turns: int) -> bool:
        """Whether it has all that a new turn needs which asks for so many of the latest ones."""
        return (
            self.is_over
            and self.data_version == connection.data_version
            and (self.session["session_id"], self.session["user_id"]) == (run.session_id, to_sql(run.user_id))
            and (self.is_all or len(self.turns) >= num_turns)
        )

    def latest_turns(self, num_turns: int) -> tuple[int, list[Turn]]:
        """Return the next turn, and so many of the latest ones, oldest first."""
        latest = self.turns[max(0, len(self.turns) - num_turns) :]
        return self.turns[-1][0] + 1, [(run_index, run_id) for run_index, run_id, _ in latest]

    def messages(self, turns: Collection[Turn]) -> Mapping[str, list[Message]]:
        """Return what was said in some of the turns, by run, as :func:`~agno_nb.db.history.load_messages` reads it."""
        stored_messages = [
            stored_messages for run_index, run_id, stored_messages in self.turns if (run_index, run_id) in turns
        ]
        rows = [row for messages, _ in stored_messages for row in messages if _is_history(row)]
        calls = [row for _, calls in stored_messages for row in calls]
        rows.sort(key=lambda row: row["message_index"])
        return messages_from_rows(_values(rows, MESSAGE_COLUMNS), _values(calls, TOOL_CALL_COLUMNS), ())


def _is_history(row: Row) -> bool:
    return row["role"] != "system" and not row["from_history"]


def _values(rows: Sequence[Row], columns: Sequence[str]) -> list[list[Any]]:
    return [[row[name] for name in columns] for row in rows]
