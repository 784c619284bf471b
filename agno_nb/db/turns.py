"""The part of a store behind a SQL driver that a run needs: how it begins, goes on and ends."""

from __future__ import annotations

from collections.abc import Sequence

from agno_nb.db.base import NO_CONTEXT, ContextQuery, OpenedRun
from agno_nb.db.driver import Driver
from agno_nb.db.encoding import Row, micros, to_sql
from agno_nb.db.history import (
    check_turn_order,
    keep_time_order,
    latest_summary,
    load_messages,
    load_nested_runs,
    load_turns,
    next_attempt,
    num_turns_needed,
    select_history,
    select_memories,
)
from agno_nb.db.memories import SqlMemories
from agno_nb.db.ownership import require_owner
from agno_nb.db.process_id import current_process_id, runs_in_progress
from agno_nb.db.reopen import reopen_run, save_approvals
from agno_nb.db.rows import SESSION_COLUMNS, ended_run_row, opened_run_row, session_from_row, session_row
from agno_nb.db.session_cache import SessionCache
from agno_nb.db.session_state import revert_to_turn, store_state
from agno_nb.db.statements import Transaction, insert_messages, select_sessions
from agno_nb.db.variables import variable_rows
from agno_nb.errors import InvalidInputError, SessionNotFoundError
from agno_nb.types import JsonDict, Message, RunOutput, RunStatus, Session, now, with_article


class SqlTurns(SqlMemories):
    """Runs in SQL. Their statements read and write a bounded number of rows, however long the session is."""

    _driver: Driver
    _opened_rows: dict[str, Row]
    """What is stored of the runs that this object began and has not ended: what an end need not write again."""
    _partials: dict[str, str]
    """Id of the stored beginning of an answer that is still arriving, by run. The next write of the run replaces it."""
    _session_cache: SessionCache | None
    """What need not be read again. It is replaced and never changed, since several threads look at it, each once."""

    def open_run(
        self,
        run: RunOutput,
        messages: Sequence[Message],
        *,
        session: Session,
        nested: bool = False,
        partial_of: str | None = None,
        query: ContextQuery = NO_CONTEXT,
    ) -> OpenedRun:
        for name, value in (("session_id", run.session_id), ("user_id", run.user_id)):
            if value == "":
                raise InvalidInputError(f"{name} is empty; give a text, or leave it None")
        with self._transaction(write=True) as connection:
            cache, num_turns = self._session_cache, num_turns_needed(query)
            if nested or run.run_index is not None or not (cache and cache.covers(connection, run, num_turns)):
                cache = None
            if cache is None:
                row, latest = self._enter_session(connection, run, session)
            else:
                row, latest = cache.session, cache.began_at
            keep_time_order(connection, run, messages, latest)
            stored = session_from_row(row, self)
            require_owner(run.session_id, stored.user_id, run.user_id)
            turn: int | None = None
            num_superseded = 0
            if nested:
                turns = load_nested_runs(connection, run, query)
            elif cache is not None:
                turn, turns = cache.latest_turns(num_turns)
            else:
                turn, turns, num_superseded = load_turns(connection, run.session_id, run.run_index, query)
            messages_by_run = (
                load_messages(connection, run.session_id, turns) if cache is None else cache.messages(turns)
            )
            history_messages = select_history(messages_by_run, turns, query)
            opened = OpenedRun(session=stored, history=history_messages, turns=turns, num_superseded=num_superseded)
            if query.summary:
                shown = {message.run_id for message in history_messages}
                first_shown = next((index for index, run_id in turns if run_id in shown), turn)
                opened.summary = latest_summary(connection, run.session_id, first_shown)
            if query.memories and run.user_id is not None:
                opened.memories = select_memories(connection, "user_id = ?", [run.user_id])
            if turn is not None:
                if stored.session_type != session.session_type:
                    raise InvalidInputError(
                        f"session {run.session_id!r} is the session of {with_article(stored.session_type)}, and cannot "
                        f"be one of {with_article(session.session_type)} too; choose another session_id"
                    )
                run.attempt = 0 if run.run_index is None else next_attempt(connection, run.session_id, turn)
                if run.run_index is not None:
                    check_turn_order(connection, run.session_id)
                    revert_to_turn(connection, stored, run, partial_of)
                run.run_index = turn
            connection.insert("raw_runs", [opened_run_row(run, worker=current_process_id())])
            connection.insert("raw_variables", variable_rows(run))
            stored_messages = insert_messages(connection, run, messages, _message_indexes(messages, messages))
        runs_in_progress.add(run.run_id)
        self._opened_rows[run.run_id] = ended_run_row(run)
        self._session_cache = SessionCache.after_open(
            connection, row, run, stored_messages, previous=cache, num_turns=num_turns
        )
        return opened

    def reopen_run(self, run: RunOutput, *, query: ContextQuery = NO_CONTEXT) -> OpenedRun:
        with self._transaction(write=True) as connection:
            opened = reopen_run(connection, run, query, self)
        runs_in_progress.add(run.run_id)
        return opened

    def save_approvals(self, run: RunOutput) -> None:
        with self._transaction(write=True) as connection:
            save_approvals(connection, run)

    def _enter_session(self, connection: Transaction, run: RunOutput, session: Session) -> tuple[Row, int | None]:
        """Make the session, or claim the one that is there; return its row, and when its latest run began.

        The first statement of its transaction: where writers overlap (Postgres) it also locks the session.
        """
        key = {"session_id": run.session_id}
        sql = (
            f"SELECT {', '.join(SESSION_COLUMNS)}, (SELECT MAX(created_at) FROM raw_runs WHERE session_id = ?) "
            f"FROM raw_sessions WHERE session_id = ? {self._driver.row_lock}"
        )
        found = connection.execute(sql, [run.session_id, run.session_id])
        rows = [dict(zip(SESSION_COLUMNS, values, strict=True)) for *values, _ in found]
        if not rows:
            fresh = session_row(session, component_name=run.component_name, now=micros(now()))
            connection.insert(
                "raw_sessions",
                [fresh | key | {"user_id": run.user_id}],
                "ON CONFLICT (session_id) DO UPDATE SET updated_at = excluded.updated_at",
            )
            rows = select_sessions(connection, "session_id = ?", [run.session_id])
        (row,) = rows
        if row["user_id"] is None and run.user_id is not None:
            connection.update("raw_sessions", {"user_id": run.user_id}, key)
            row["user_id"] = to_sql(run.user_id)
        return row, found[0][-1] if found else None

    def add_messages(self, run: RunOutput, messages: Sequence[Message]) -> None:
        if not messages:
            return
        with self._transaction(write=True) as connection:
            gone = self._missing_run_error(connection, run)
            if gone is not None and not connection.execute("SELECT 1 FROM raw_runs WHERE run_id = ?", [run.run_id]):
                raise gone
            self._drop_partial(connection, run)
            stored_messages = insert_messages(connection, run, messages, _message_indexes(run.messages, messages))
        self._partials.pop(run.run_id, None)
        self._session_cache = (cache := self._session_cache) and cache.after_append(connection, run, stored_messages)

    def save_partial(self, run: RunOutput, partial: Message, messages: Sequence[Message] = ()) -> None:
        gone = SessionNotFoundError(f"session {run.session_id!r} was deleted while run {run.run_id!r} went on")
        shown = {"content": partial.content, "reasoning_content": partial.reasoning_content}
        with self._transaction(write=True) as connection:
            connection.update("raw_runs", shown, {"run_id": run.run_id}, gone=gone)
            is_known = self._partials.get(run.run_id) == partial.message_id
            if is_known:
                connection.update("raw_messages", shown, {"message_id": partial.message_id})
            else:
                self._drop_partial(connection, run)
            new = [*messages, *([] if is_known else [partial])]
            insert_messages(connection, run, new, _message_indexes([*run.messages, partial], new))
        # The end has to write the content of the run in any case.
        self._opened_rows.pop(run.run_id, None)
        self._partials[run.run_id] = partial.message_id

    def _drop_partial(self, connection: Transaction, run: RunOutput) -> None:
        if (partial := self._partials.get(run.run_id)) is not None:
            connection.execute("DELETE FROM raw_messages WHERE message_id = ?", [partial])

    def end_run(
        self,
        run: RunOutput,
        messages: Sequence[Message] = (),
        *,
        session_state: JsonDict | None = None,
        base_state: JsonDict | None = None,
    ) -> None:
        stored = self._opened_rows.pop(run.run_id, None)
        if run.status is not RunStatus.RUNNING:
            runs_in_progress.discard(run.run_id)
        ended = ended_run_row(run)
        if stored is not None:
            # DuckDB writes an update column by column, and a run leaves most of them as they were.
            ended = {name: value for name, value in ended.items() if name == "status" or value != stored[name]}
        with self._transaction(write=True) as connection:
            gone = self._missing_run_error(connection, run)
            # The session first, as in every transaction that changes it: two that wait for each other would not end.
            changed = store_state(connection, run.session_id, session_state, base_state, gone=gone)
            connection.update("raw_runs", ended, {"run_id": run.run_id}, gone=gone)
            self._drop_partial(connection, run)
            stored_messages = insert_messages(connection, run, messages, _message_indexes(run.messages, messages))
        self._partials.pop(run.run_id, None)
        self._session_cache = (cache := self._session_cache) and cache.after_append(
            connection, run, stored_messages, ended=changed
        )

    def _missing_run_error(self, connection: Transaction, run: RunOutput) -> SessionNotFoundError | None:
        """Return what to raise if the run is not there, or None where it is known to be."""
        cache = self._session_cache
        if cache is not None and cache.is_current(connection, run):
            return None
        return SessionNotFoundError(
            f"session {run.session_id!r} was deleted while run {run.run_id!r} went on; what the run says cannot be "
            "stored"
        )


def _message_indexes(of_the_run: Sequence[Message], messages: Sequence[Message]) -> list[int]:
    """Return the place of each message in its run.

    The system message's is 0, so others begin at 1. Copies of earlier messages come before all of them. The result of a
    tool call has the place that belongs to its call, whether the results before it are there or not.
    """
    copies = [message for message in messages if message.from_history]
    places = {message.message_id: place for place, message in enumerate(copies, -len(copies))}
    own = [message for message in of_the_run if not message.from_history]
    free = 0 if own and own[0].role == "system" else 1
    of_calls: dict[str | None, int] = {}
    for message in own:
        if message.role == "tool" and message.tool_call_id in of_calls:
            places[message.message_id] = of_calls.pop(message.tool_call_id)
            continue
        places[message.message_id] = free
        of_calls = {call.tool_call_id: place for place, call in enumerate(message.tool_calls, free + 1)}
        free += 1 + len(message.tool_calls)
    return [places[message.message_id] for message in messages]
