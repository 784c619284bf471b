"""Runs in a SQL store: opened, continued, ended and read, each with its messages, variables and steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agno_nb.db.base import NO_CONTEXT, ContextQuery, OpenedRun
from agno_nb.db.driver import Driver
from agno_nb.db.encoding import Row, from_json, micros, to_sql
from agno_nb.db.history import (
    LAST_TURN,
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
from agno_nb.db.process_id import current_process_id, is_over, runs_in_progress
from agno_nb.db.pushdown import MAX_VALUES
from agno_nb.db.requirements import requirement_from_row, requirement_rows
from agno_nb.db.rows import (
    RUN_COLUMNS,
    SESSION_COLUMNS,
    ended_run_row,
    opened_run_row,
    run_from_row,
    session_from_row,
    session_row,
)
from agno_nb.db.session_cache import SessionCache
from agno_nb.db.session_state import reapply_run, revert_to_turn, store_state
from agno_nb.db.statements import (
    Transaction,
    insert_messages,
    mark_interrupted,
    marks,
    select_messages,
    select_sessions,
)
from agno_nb.db.steps import select_steps
from agno_nb.db.variables import select_variables, variable_rows
from agno_nb.errors import InvalidInputError, RunNotContinuableError, SessionNotFoundError
from agno_nb.types import (
    JsonDict,
    Message,
    RunOutput,
    RunStatus,
    Session,
    SessionReader,
    SessionType,
    now,
    with_article,
)

# In a session a run has a later time than those before it (see keep_time_order). Older stores may have equal times.
_LATEST_FIRST = f"created_at DESC, COALESCE(run_index, {LAST_TURN}) DESC, attempt DESC, run_id DESC"


def select_runs(
    connection: Transaction, where: str, parameters: Sequence[Any], *, limit: int | None = None
) -> list[RunOutput]:
    """Read runs of one session, oldest first, each with what it is made of and the runs nested in it."""
    if limit is not None and limit <= MAX_VALUES:
        # Found by little of each, so that what the others said is not carried along.
        sql = f"SELECT run_id FROM raw_runs WHERE {where} ORDER BY {_LATEST_FIRST} LIMIT ?"
        run_ids_found = [run_id for (run_id,) in connection.execute(sql, [*parameters, limit])]
        where, parameters, limit = f"run_id IN ({marks(run_ids_found) or 'NULL'})", run_ids_found, None
    chosen = f"FROM raw_runs WHERE {where} ORDER BY {_LATEST_FIRST}"
    if limit is not None:
        chosen += " LIMIT ?"
        parameters = [*parameters, limit]
    rows = connection.execute(f"SELECT {', '.join(RUN_COLUMNS)} {chosen}", parameters)[::-1]
    if not rows:
        return []
    # Messages are found by their session; by their run alone, all of them would have to be looked at.
    session_id = dict(zip(RUN_COLUMNS, rows[0], strict=True))["session_id"]
    run_ids = [row[RUN_COLUMNS.index("run_id")] for row in rows]
    if len(rows) <= MAX_VALUES:
        # Ids that are known say which blocks of a table hold them; those that a subquery finds do not.
        of_runs, of_those = f"session_id = ? AND run_id IN ({marks(run_ids)})", [session_id, *run_ids]
    else:
        of_runs, of_those = f"session_id = ? AND run_id IN (SELECT run_id {chosen})", [session_id, *parameters]
    messages = select_messages(connection, of_runs, of_those)
    variables = select_variables(connection, of_runs, of_those)
    runs = {run.run_id: run for run in (run_from_row(row, messages, variables) for row in rows)}
    if any(run.kind is SessionType.WORKFLOW for run in runs.values()):
        for run_id, step in select_steps(connection, of_runs, of_those):
            runs[run_id].step_results.append(step)
    for run in runs.values():
        if run.parent_run_id in runs:
            runs[run.parent_run_id].nested_runs.append(run)
    # The innermost first, so that all runs around one end up with its requirements.
    for run in reversed(runs.values()):
        if run.parent_run_id in runs:
            runs[run.parent_run_id].share_requirements(run)
    mark_interrupted(connection, list(runs.values()))
    return list(runs.values())


def _dead_worker_condition(connection: Transaction, run: RunOutput) -> Row:
    """Return what the row of a run must still hold that seems to go on: its process has died, or nobody may have it."""
    if run.status is not RunStatus.RUNNING:
        return {}
    sql = "SELECT worker FROM raw_runs WHERE run_id = ? AND session_id = ?"
    for (worker,) in connection.execute(sql, [run.run_id, run.session_id]):
        if not is_over(worker, run.run_id):
            raise RunNotContinuableError(f"run {run.run_id!r} still goes on, in process {worker}")
        return {"worker": worker}
    return {}


def _claim(connection: Transaction, run: RunOutput) -> bool:
    """Set a run RUNNING that is as `run` says, and return whether it was."""
    key = {"run_id": run.run_id, "session_id": run.session_id}
    changes = {
        **dict.fromkeys(("interrupted_at", "ended_at", "error_type", "error")),
        "status": RunStatus.RUNNING,
        "worker": current_process_id(),
    }
    # The first statement is the one that only one of several can win: where writers overlap, others wait for it.
    if connection.change("raw_runs", changes, {**key, "status": run.status, **_dead_worker_condition(connection, run)}):
        return True
    if run.run_id in runs_in_progress:
        return False
    # An earlier attempt of this process to continue the run failed after its transaction was committed.
    return bool(
        connection.change("raw_runs", changes, {**key, "status": RunStatus.RUNNING, "worker": current_process_id()})
    )


def reopen_run(connection: Transaction, run: RunOutput, query: ContextQuery, store: SessionReader) -> OpenedRun:
    """Set a run RUNNING again and return its context."""
    key = {"run_id": run.run_id, "session_id": run.session_id}
    claimed = _claim(connection, run)
    current = connection.execute(
        "SELECT status, requirements FROM raw_runs WHERE run_id = ? AND session_id = ?", list(key.values())
    )
    if not claimed:
        reason = f"is {current[0][0]} by now; somebody else has continued it" if current else "was deleted"
        raise RunNotContinuableError(f"run {run.run_id!r} {reason}")
    known = {requirement["requirement_id"] for requirement in from_json(current[0][1]) or []}
    if known != {requirement.requirement_id for requirement in run.requirements}:
        raise RunNotContinuableError(
            f"run {run.run_id!r} was continued meanwhile and waits for something else now; read it again"
        )
    newer = connection.execute(
        "SELECT run_id FROM raw_runs WHERE session_id = ? AND run_index = ? AND attempt > ?",
        [run.session_id, run.run_index, run.attempt],
    )
    if newer:
        raise RunNotContinuableError(
            f"run {run.run_id!r} was superseded by run {newer[0][0]!r}, a newer attempt at the same turn"
        )
    connection.update("raw_runs", {"requirements": requirement_rows(run)}, key)
    (session,) = select_sessions(connection, "session_id = ?", [run.session_id])
    opened = OpenedRun(session=session_from_row(session, store))
    as_of = micros(run.created_at)
    if run.run_index is None:
        turns = load_nested_runs(connection, run, query, as_of=as_of)
    else:
        check_turn_order(connection, run.session_id)
        if run.state_changes:
            reapply_run(connection, opened.session, run)
        _, turns, _ = load_turns(connection, run.session_id, run.run_index, query, as_of=as_of)
    opened.history = select_history(load_messages(connection, run.session_id, turns), turns, query)
    return opened


def save_approvals(connection: Transaction, run: RunOutput) -> None:
    """Store the answers to a run that stays paused, and add answers that were stored before to the run.

    A run that was interrupted during an approved call stays interrupted: calls that may have run are not run again.
    """
    for requirement in run.requirements:
        requirement.check_answer()
    status = RunStatus.RUNNING if run.interrupted else RunStatus.PAUSED
    key = {"run_id": run.run_id, "session_id": run.session_id, "status": status}
    gone = RunNotContinuableError(f"run {run.run_id!r} is not paused any more; somebody else has continued it")
    # Written before it is read: where writers overlap, another process that stores answers waits here.
    connection.update("raw_runs", {"status": status}, {**key, **_dead_worker_condition(connection, run)}, gone=gone)
    ((stored,),) = connection.execute(
        "SELECT requirements FROM raw_runs WHERE run_id = ? AND session_id = ?", [run.run_id, run.session_id]
    )
    known = {row["requirement_id"]: requirement_from_row(row, run.run_id, ()) for row in from_json(stored) or []}
    for requirement in run.requirements:
        if (other := known.get(requirement.requirement_id)) is not None:
            # The answers given here count where both have one.
            other.copy_answer_from(requirement)
            requirement.copy_answer_from(other)
    connection.update("raw_runs", {"requirements": requirement_rows(run)}, key)


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
