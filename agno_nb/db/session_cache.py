"""The rows of the latest session, so that the next turn doesn't have to read them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from agno_nb.db import tables
from agno_nb.db.encoding import Row, micros, to_sql
from agno_nb.db.statements import Transaction
from agno_nb.types import Message, RunOutput, RunStatus

StoredMessages = tuple[Sequence[Row], Sequence[Row]]
"""Rows of messages and of their tool calls."""

Turn = tuple[int, str]
"""run_index and run_id of the current attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedSession:
    """A session and its latest turns, as rows, at one data version of the store.

    This process stored the turns itself, one after the other, and each was completed at the first attempt. Any other
    write changes the data version, and the next turn is then read from the tables.
    """

    data_version: int
    session: Row
    """Its row in raw_sessions."""
    turns: tuple[tuple[int, str, StoredMessages], ...]
    """`run_index`, `run_id` and messages, oldest first."""
    latest_start: int
    """Start of the latest turn, in microseconds."""
    is_over: bool = False
    """Whether the latest turn has ended."""
    is_complete: bool
    """Whether the session has no earlier turns."""

    def covers(self, connection: Transaction, run: RunOutput, num_turns: int) -> bool:
        """Whether this has everything that a new turn reads, up to `num_turns` earlier turns."""
        return (
            self.is_over
            and self.data_version == connection.data_version
            and (self.session["session_id"], self.session["user_id"]) == (run.session_id, to_sql(run.user_id))
            and (self.is_complete or len(self.turns) >= num_turns)
        )

    def latest_turns(self, num_turns: int) -> tuple[int, list[Turn]]:
        """Return the index of the next turn, and the latest turns, oldest first."""
        latest = self.turns[max(0, len(self.turns) - num_turns) :]
        return self.turns[-1][0] + 1, [(run_index, run_id) for run_index, run_id, _ in latest]

    def messages(self, turns: Sequence[Turn]) -> Mapping[str, list[Message]]:
        """Return the messages of some of the turns by run, as :func:`~agno_nb.db.history.load_messages` reads them."""
        rows: list[Row] = []
        calls: list[Row] = []
        for run_index, run_id, (message_rows, call_rows) in self.turns:
            if (run_index, run_id) in turns:
                rows += [row.copy() for row in message_rows if row["role"] != "system" and not row["from_history"]]
                calls += map(dict, call_rows)
        rows.sort(key=itemgetter("message_index"))
        return tables.messages_from_rows(rows, calls)

    def with_messages(
        self, connection: Transaction, run: RunOutput, stored: StoredMessages, *, ended: Row | None
    ) -> CachedSession:
        """Return the session with more messages of its latest turn, and with `ended`, the changes at its end."""
        assert connection.next_data_version is not None
        *before, (run_index, run_id, (messages, calls)) = self.turns
        return replace(
            self,
            data_version=connection.next_data_version,
            session=self.session | (ended or {}),
            turns=(*before, (run_index, run_id, ([*messages, *stored[0]], [*calls, *stored[1]]))),
            is_over=ended is not None,
        )


class SessionCache:
    """Rows that a store object need not read: the latest session, and the runs that it has opened.

    Several threads use it. `_latest` is therefore replaced and never changed, and each use reads it once.
    """

    def __init__(self) -> None:
        self._latest: CachedSession | None = None
        self.opened_rows: dict[str, Row] = {}
        """Columns of opened runs that their ends change, as stored, by run. An end only writes the differences."""
        self.partials: dict[str, str] = {}
        """ID of the stored partial message by run. The next write of the run replaces it."""

    def clear(self) -> None:
        self._latest = None

    def find(self, connection: Transaction, run: RunOutput, num_turns: int) -> CachedSession | None:
        """Return the session of a new turn if everything that the turn reads is known."""
        latest = self._latest
        return latest if latest is not None and latest.covers(connection, run, num_turns) else None

    def is_current(self, connection: Transaction, run: RunOutput) -> bool:
        """Whether this is the latest turn, and nothing else was stored since its last write."""
        latest = self._latest
        return latest is not None and _is_current(latest, connection, run)

    def run_opened(
        self,
        connection: Transaction,
        run: RunOutput,
        stored: StoredMessages | None,
        *,
        session: Row,
        previous: CachedSession | None,
        num_turns: int,
    ) -> None:
        """Remember a session after a turn was opened in it that read `num_turns` earlier turns.

        `previous` is the session as it was known before, or None if it was read.
        """
        if connection.next_data_version is None or stored is None or run.run_index is None or run.attempt:
            self._latest = None
            return
        turns, is_complete = ((), run.run_index == 0) if previous is None else (previous.turns, previous.is_complete)
        # The next turn will probably read as many turns as this one.
        kept = turns[max(0, len(turns) - num_turns) :]
        self._latest = CachedSession(
            data_version=connection.next_data_version,
            session=session,
            turns=(*kept, (run.run_index, run.run_id, stored)),
            latest_start=micros(run.created_at),
            is_complete=is_complete and len(kept) == len(turns),
        )

    def messages_added(
        self, connection: Transaction, run: RunOutput, stored: StoredMessages | None, *, ended: Row | None = None
    ) -> None:
        """Remember more messages of the latest turn. `ended` are the changes to the session if the turn has ended."""
        latest = self._latest
        is_completed = ended is None or run.status is RunStatus.COMPLETED
        if latest is not None and stored is not None and is_completed and _is_current(latest, connection, run):
            self._latest = latest.with_messages(connection, run, stored, ended=ended)
        else:
            self._latest = None


def _is_current(latest: CachedSession, connection: Transaction, run: RunOutput) -> bool:
    is_same_run = latest.turns[-1][1] == run.run_id
    return not latest.is_over and latest.data_version == connection.data_version and is_same_run
