"""The rows of the latest sessions, so that their next turns don't have to read them again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import NamedTuple

from agno_nb.db import tables
from agno_nb.db.encoding import Row, micros, to_sql
from agno_nb.db.statements import Transaction
from agno_nb.types import Message, RunOutput, RunStatus

StoredMessages = tuple[Sequence[Row], Sequence[Row]]
"""Rows of messages and of their tool calls."""

Turn = tuple[int, str]
"""run_index and run_id of the current attempt."""

_MAX_SESSIONS = 100
"""Sessions that are kept, so that as many conversations of one process need not read theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedSession:
    """A session and its latest turns, as rows.

    This process stored the turns itself, one after the other, and each was completed at the first attempt.
    """

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

    def covers(self, run: RunOutput, num_turns: int) -> bool:
        """Whether this has everything that a new turn reads, up to `num_turns` earlier turns."""
        return (
            self.is_over
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

    def with_messages(self, stored: StoredMessages, *, ended: Row | None) -> CachedSession:
        """Return the session with more messages of its latest turn, and with `ended`, the changes at its end."""
        *before, (run_index, run_id, (messages, calls)) = self.turns
        return replace(
            self,
            session=self.session | (ended or {}),
            turns=(*before, (run_index, run_id, ([*messages, *stored[0]], [*calls, *stored[1]]))),
            is_over=ended is not None,
        )


class SessionCache:
    """Rows that a store object need not read: the latest sessions, and the runs that it has opened.

    Several threads use it, one transaction after the other, while callbacks after a commit may overlap with the next
    transaction. There is no lock, because an interrupt could leave it locked: `known` is replaced and never changed.
    """

    def __init__(self) -> None:
        self.known = KnownSessions(None, {})
        self.opened_rows: dict[str, Row] = {}
        """Columns of opened runs that their ends change, as stored, by run. An end only writes the differences."""
        self.partials: dict[str, str] = {}
        """ID of the stored partial message by run. The next write of the run replaces it."""

    def clear(self) -> None:
        self.known = KnownSessions(None, {})

    def at(self, data_version: int | None) -> Mapping[str, CachedSession]:
        """Return the sessions, by ID, that are known at the start of a transaction."""
        known = self.known
        if data_version is None or data_version != known.data_version:
            # Something else has changed the store.
            known = self.known = KnownSessions(data_version, {})
        return known.sessions

    def find(self, connection: Transaction, run: RunOutput, num_turns: int) -> CachedSession | None:
        """Return the session of a new turn if everything that the turn reads is known."""
        session = self.at(connection.data_version).get(run.session_id)
        return session if session is not None and session.covers(run, num_turns) else None

    def is_current(self, connection: Transaction, run: RunOutput) -> bool:
        """Whether this is the latest turn of its session, and nothing else was stored since its last write."""
        return _is_current(self.at(connection.data_version).get(run.session_id), run)


class KnownSessions(NamedTuple):
    """Sessions by ID at one data version of the store. The one that was used last is the last one."""

    data_version: int | None
    sessions: Mapping[str, CachedSession]


class CacheUpdate:
    """The changes to a cache after the commit of a transaction between two data versions. They are made at its end.

    It is only made for transactions whose every change of a session is told to it. Other writes change the data version
    of the store, so that all sessions are read again.
    """

    def __init__(self, cache: SessionCache, data_version: int | None, next_data_version: int | None) -> None:
        self._cache, self._next_data_version = cache, next_data_version
        known = cache.known
        is_known = data_version is not None and known.data_version == data_version
        self._sessions = dict(known.sessions) if is_known else {}
        self._is_followed = False

    def run(self, on_commit: Iterable[Callable[[CacheUpdate], None]]) -> None:
        """Tell the calls of the transaction that it is committed, and make the changes, if they tell any."""
        for tell in on_commit:
            tell(self)
        if self._is_followed:
            # If another transaction has started since, with a newer version, it finds this one outdated.
            self._cache.known = KnownSessions(self._next_data_version, self._sessions)

    def run_opened(
        self,
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
        if stored is None or run.run_index is None or run.attempt:
            self.forget(run)
            return
        turns, is_complete = ((), run.run_index == 0) if previous is None else (previous.turns, previous.is_complete)
        # The next turn will probably read as many turns as this one.
        kept = turns[max(0, len(turns) - num_turns) :]
        self._is_followed = True
        self._sessions.pop(run.session_id, None)
        self._sessions[run.session_id] = CachedSession(
            session=session,
            turns=(*kept, (run.run_index, run.run_id, stored)),
            latest_start=micros(run.created_at),
            is_complete=is_complete and len(kept) == len(turns),
        )
        if len(self._sessions) > _MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]

    def messages_added(self, run: RunOutput, stored: StoredMessages | None, *, ended: Row | None = None) -> None:
        """Remember more messages of the latest turn. `ended` are the changes to the session if the turn has ended."""
        self._is_followed = True
        latest = self._sessions.pop(run.session_id, None)
        is_completed = ended is None or run.status is RunStatus.COMPLETED
        if latest is not None and stored is not None and is_completed and _is_current(latest, run):
            self._sessions[run.session_id] = latest.with_messages(stored, ended=ended)

    def forget(self, run: RunOutput) -> None:
        """Forget the session of a run, which has changed in a way that is not followed here."""
        self._is_followed = True
        self._sessions.pop(run.session_id, None)

    def unaffected(self) -> None:
        """Keep all sessions after a write of something else."""
        self._is_followed = True


def _is_current(latest: CachedSession | None, run: RunOutput) -> bool:
    return latest is not None and not latest.is_over and latest.turns[-1][1] == run.run_id
