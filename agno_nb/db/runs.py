"""Write the runs of a SQL store: start, continue and end them, with their messages, variables and steps.

Statements read and write a bounded number of rows, however long the session is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import filterfalse
from operator import attrgetter

from agno_nb.db import tables
from agno_nb.db.base import NO_CONTEXT, ContextQuery, OpenedRun
from agno_nb.db.encoding import Row, from_json, micros
from agno_nb.db.history import (
    check_turn_order,
    keep_time_order,
    load_messages,
    load_nested_runs,
    load_turns,
    next_attempt,
    num_turns_needed,
    select_history,
)
from agno_nb.db.memories import get_summary, select_memories
from agno_nb.db.process_id import current_process_id, is_over, runs_in_progress
from agno_nb.db.session_cache import CacheUpdate, SessionCache, StoredMessages
from agno_nb.db.session_state import reapply_run, revert_to_turn, store_state
from agno_nb.db.sessions import enter_session, require_owner
from agno_nb.db.statements import Transaction
from agno_nb.errors import InvalidInputError, RunNotContinuableError, SessionNotFoundError
from agno_nb.types import (
    JsonDict,
    Message,
    RunOutput,
    RunStatus,
    Session,
    StepOutput,
)


def open_run(
    connection: Transaction,
    run: RunOutput,
    messages: Sequence[Message],
    *,
    session: Session,
    nested: bool = False,
    partial_of: str | None = None,
    query: ContextQuery = NO_CONTEXT,
    is_new_session: bool = False,
) -> OpenedRun:
    for name, value in (("session_id", run.session_id), ("user_id", run.user_id)):
        if value == "":
            raise InvalidInputError(f"{name} is empty; pass a string, or leave it None")
    cache = connection.cache
    num_turns = num_turns_needed(query)
    is_next_turn = not nested and run.run_index is None and query.before_run_index is None
    known = cache.find(connection, run, num_turns) if is_next_turn else None
    latest_start: int | None
    if known is not None:
        row, latest_start = known.session, known.latest_start
    else:
        row, latest_start = enter_session(connection, run, session, is_new=is_new_session)
    connection.on_rollback.append(partial(_restore, run, run.run_index, run.attempt, run.state_changes))
    keep_time_order(connection, run, messages, latest_start)
    opened = OpenedRun(session=tables.session_from_row(row, connection.store))
    require_owner(run.session_id, opened.session.user_id, run.user_id)
    turn: int | None = None
    if nested:
        opened.turns = load_nested_runs(connection, run, query)
    elif known is not None:
        turn, opened.turns = known.latest_turns(num_turns)
    elif latest_start is None and run.run_index is None and not connection.row_lock:
        turn = 0  # There is no run in the session yet.
    else:
        turn, opened.turns, opened.num_superseded = load_turns(connection, run.session_id, run.run_index, query)
    earlier = known.messages(opened.turns) if known else load_messages(connection, run.session_id, opened.turns)
    opened.history = select_history(earlier, opened.turns, query)
    _read_context(connection, opened, run, turn, query)
    if turn is not None:
        _take_turn(connection, opened.session, run, turn, partial_of)
    ended = tables.ended_run_row(run)
    connection.insert("raw_runs", [tables.RUNS.row(run) | ended | {"worker": current_process_id()}])
    if run.variables:
        connection.insert("raw_variables", tables.variable_rows(run))
    stored = insert_messages(connection, run, messages, message_indexes(messages, messages))

    def committed(update: CacheUpdate) -> None:
        runs_in_progress.add(run.run_id)
        cache.opened_rows[run.run_id] = ended
        update.run_opened(run, stored, session=row, previous=known, num_turns=num_turns)

    connection.on_commit.append(committed)
    return opened


def _restore(run: RunOutput, run_index: int | None, attempt: int, state_changes: list[JsonDict]) -> None:
    run.run_index, run.attempt, run.state_changes = run_index, attempt, state_changes


def _read_context(
    connection: Transaction, opened: OpenedRun, run: RunOutput, turn: int | None, query: ContextQuery
) -> None:
    if query.summary:
        shown = {message.run_id for message in opened.history}
        first_shown = next((index for index, run_id in opened.turns if run_id in shown), None)
        if first_shown is None:
            first_shown = turn if query.before_run_index is None else query.before_run_index
        opened.summary = get_summary(connection, run.session_id, before_run_index=first_shown)
    if query.memories and run.user_id is not None:
        other = connection.memory_store
        if other is not None:
            opened.memories = other.get_user_memories(run.user_id)
        else:
            opened.memories = select_memories(connection, "user_id = ?", [run.user_id])


def _take_turn(
    connection: Transaction,
    session: Session,
    run: RunOutput,
    turn: int,
    partial_of: str | None,
) -> None:
    """Set the turn and attempt of a run. A new attempt reverts the session state to the start of the turn."""
    if run.run_index is None:
        run.attempt = 0
    else:
        run.attempt = next_attempt(connection, run.session_id, turn)
        check_turn_order(connection, run.session_id)
        revert_to_turn(connection, session, run, partial_of)
    run.run_index = turn


def add_messages(
    connection: Transaction,
    run: RunOutput,
    messages: Sequence[Message],
    *,
    session_state: JsonDict | None = None,
    base_state: JsonDict | None = None,
    state_changes: Sequence[JsonDict] | None = None,
) -> None:
    gone = _missing_run_error(connection, run)
    if gone is not None and not connection.execute("SELECT 1 FROM raw_runs WHERE run_id = ?", [run.run_id]):
        raise gone
    _add_last_messages(connection, run, messages)
    if session_state is not None:
        gone = SessionNotFoundError(f"session {run.session_id!r} was deleted during run {run.run_id!r}")
        store_state(connection, run.session_id, session_state, base_state, gone=gone)
        _store_state_changes(connection, run, state_changes)


def _store_state_changes(connection: Transaction, run: RunOutput, state_changes: Sequence[JsonDict] | None) -> None:
    """Store all changes that a turn in progress has made to the state so far; None if there are no new ones."""
    if state_changes is not None:
        changed = {"state_changes": list(state_changes) or None}
        connection.update("raw_runs", changed, {"run_id": run.root_run_id})

    def committed(update: CacheUpdate) -> None:
        # The end has to write the changes of the turn in any case.
        connection.cache.opened_rows.pop(run.root_run_id, None)
        update.forget(run)

    connection.on_commit.append(committed)


def _add_last_messages(
    connection: Transaction, run: RunOutput, messages: Sequence[Message], *, ended: Row | None = None
) -> None:
    """Store messages in place of a partial one. `ended` are the changes to the session if the run has ended."""
    _drop_partial(connection, run)
    stored = insert_messages(connection, run, messages, message_indexes(run.messages, messages))

    def committed(update: CacheUpdate) -> None:
        connection.cache.partials.pop(run.run_id, None)
        update.messages_added(run, stored, ended=ended)

    connection.on_commit.append(committed)


def save_partial(connection: Transaction, run: RunOutput, partial: Message, messages: Sequence[Message] = ()) -> None:
    cache = connection.cache
    gone = SessionNotFoundError(f"session {run.session_id!r} was deleted during run {run.run_id!r}")
    shown = {"content": partial.content, "reasoning_content": partial.reasoning_content}
    connection.update("raw_runs", shown, {"run_id": run.run_id}, gone=gone)
    is_known = cache.partials.get(run.run_id) == partial.message_id
    if is_known:
        connection.update("raw_messages", shown, {"message_id": partial.message_id})
    else:
        _drop_partial(connection, run)
    new = [*messages, *([] if is_known else [partial])]
    insert_messages(connection, run, new, message_indexes([*run.messages, partial], new))

    def committed(update: CacheUpdate) -> None:
        # The end has to write the content of the run in any case.
        cache.opened_rows.pop(run.run_id, None)
        cache.partials[run.run_id] = partial.message_id
        update.forget(run)

    connection.on_commit.append(committed)


def _drop_partial(connection: Transaction, run: RunOutput) -> None:
    if (partial := connection.cache.partials.get(run.run_id)) is not None:
        connection.execute("DELETE FROM raw_messages WHERE message_id = ?", [partial])


def changes_at_end(cache: SessionCache, run: RunOutput) -> Row:
    """Return the columns that the end of a run changes. From then on the run counts as ended by this process."""
    stored = cache.opened_rows.pop(run.run_id, None)
    if run.status is not RunStatus.RUNNING:
        runs_in_progress.discard(run.run_id)
    ended = tables.ended_run_row(run)
    if stored is None:
        return ended
    # DuckDB writes an update column by column, and a run leaves most of them unchanged.
    return {name: value for name, value in ended.items() if name == "status" or value != stored[name]}


def end_run(
    connection: Transaction,
    run: RunOutput,
    changes: Row,
    messages: Sequence[Message],
    *,
    session_state: JsonDict | None,
    base_state: JsonDict | None,
) -> None:
    """Store the end of a run with its `changes`, which :func:`changes_at_end` returned."""
    gone = _missing_run_error(connection, run)
    # The session first, as in every transaction that changes it, so that two of them cannot deadlock.
    session_changes = store_state(connection, run.session_id, session_state, base_state, gone=gone)
    connection.update("raw_runs", changes, {"run_id": run.run_id}, gone=gone)
    _add_last_messages(connection, run, messages, ended=session_changes)


def _missing_run_error(connection: Transaction, run: RunOutput) -> SessionNotFoundError | None:
    """Return the error to raise if the run does not exist, or None if it is known to exist."""
    if connection.cache.is_current(connection, run):
        return None
    return SessionNotFoundError(
        f"session {run.session_id!r} was deleted during run {run.run_id!r}; the run's messages cannot be stored"
    )


def add_step(
    connection: Transaction,
    run: RunOutput,
    step: StepOutput,
    step_index: int,
    *,
    session_state: JsonDict | None = None,
    base_state: JsonDict | None = None,
    state_changes: Sequence[JsonDict] | None = None,
) -> None:
    gone = SessionNotFoundError(f"session {run.session_id!r} was deleted, so step {step.path!r} cannot be stored")
    store_state(connection, run.session_id, session_state, base_state, gone=gone)
    _store_state_changes(connection, run, state_changes)
    connection.insert("raw_steps", [tables.step_row(step, run, step_index)])


def reopen_run(connection: Transaction, run: RunOutput, *, query: ContextQuery = NO_CONTEXT) -> OpenedRun:
    key = {"run_id": run.run_id, "session_id": run.session_id}
    claimed = _claim(connection, run)
    current = connection.execute(
        "SELECT status, requirements FROM raw_runs WHERE run_id = ? AND session_id = ?", list(key.values())
    )
    if not claimed:
        reason = f"is now {current[0][0]}; another process has continued it" if current else "was deleted"
        raise RunNotContinuableError(f"run {run.run_id!r} {reason}")
    known = {requirement["requirement_id"] for requirement in from_json(current[0][1]) or []}
    if known != {requirement.requirement_id for requirement in run.requirements}:
        raise RunNotContinuableError(
            f"run {run.run_id!r} has been continued and now waits for other requirements; read it again"
        )
    newer = connection.execute(
        "SELECT run_id FROM raw_runs WHERE session_id = ? AND run_index = ? AND attempt > ?",
        [run.session_id, run.run_index, run.attempt],
    )
    if newer:
        raise RunNotContinuableError(
            f"run {run.run_id!r} was superseded by run {newer[0][0]!r}, a newer attempt at the same turn"
        )
    connection.update("raw_runs", {"requirements": tables.requirement_rows(run) or None}, key)
    (session,) = connection.select(tables.SESSIONS, "session_id = ?", [run.session_id])
    opened = OpenedRun(session=tables.session_from_row(session, connection.store))
    as_of = micros(run.created_at)
    if run.run_index is None:
        turns = load_nested_runs(connection, run, query, as_of=as_of)
    else:
        check_turn_order(connection, run.session_id)
        if run.state_changes:
            reapply_run(connection, opened.session, run)
        _, turns, _ = load_turns(connection, run.session_id, run.run_index, query, as_of=as_of)
    opened.history = select_history(load_messages(connection, run.session_id, turns), turns, query)
    connection.on_commit.append(lambda update: runs_in_progress.add(run.run_id))
    return opened


def _claim(connection: Transaction, run: RunOutput) -> bool:
    """Set a run RUNNING if its row has the status of `run`; return whether it had."""
    key = {"run_id": run.run_id, "session_id": run.session_id}
    changes = {
        **dict.fromkeys(("interrupted_at", "ended_at", "error_type", "error")),
        "status": RunStatus.RUNNING,
        "worker": current_process_id(),
    }
    # The first statement, because only one of several writers can succeed with it: overlapping ones wait for it.
    if connection.change("raw_runs", changes, {**key, "status": run.status, **_dead_worker_condition(connection, run)}):
        return True
    if run.run_id in runs_in_progress:
        return False
    # An earlier attempt of this process to continue the run failed after its transaction was committed.
    return bool(
        connection.change("raw_runs", changes, {**key, "status": RunStatus.RUNNING, "worker": current_process_id()})
    )


def _dead_worker_condition(connection: Transaction, run: RunOutput) -> Row:
    """Return the condition that a RUNNING run still belongs to the dead process that has been found."""
    if run.status is not RunStatus.RUNNING:
        return {}
    sql = "SELECT worker FROM raw_runs WHERE run_id = ? AND session_id = ?"
    for (worker,) in connection.execute(sql, [run.run_id, run.session_id]):
        if not is_over(worker, run.run_id):
            raise RunNotContinuableError(f"run {run.run_id!r} is still running, in process {worker}")
        return {"worker": worker}
    return {}


def save_approvals(connection: Transaction, run: RunOutput) -> None:
    """Store the answers to a run that stays paused, and add stored answers to the run.

    A run that was interrupted during an approved call stays interrupted, because calls that may have run are not
    repeated.
    """
    for requirement in run.requirements:
        requirement.check_answer()
    status = RunStatus.RUNNING if run.interrupted else RunStatus.PAUSED
    key = {"run_id": run.run_id, "session_id": run.session_id, "status": status}
    gone = RunNotContinuableError(f"run {run.run_id!r} is no longer paused; another process has continued it")
    # Written before it is read: overlapping writers, who store other answers, wait here.
    connection.update("raw_runs", {"status": status}, {**key, **_dead_worker_condition(connection, run)}, gone=gone)
    ((stored,),) = connection.execute(
        "SELECT requirements FROM raw_runs WHERE run_id = ? AND session_id = ?", [run.run_id, run.session_id]
    )
    known = {row["requirement_id"]: tables.requirement_from_row(row, run.run_id, ()) for row in from_json(stored) or []}
    for requirement in run.requirements:
        if (other := known.get(requirement.requirement_id)) is not None:
            # If both have an answer, this run's answer is kept.
            other.copy_answer_from(requirement)
            requirement.copy_answer_from(other)
    connection.update("raw_runs", {"requirements": tables.requirement_rows(run) or None}, key)


def insert_messages(
    connection: Transaction, run: RunOutput, messages: Sequence[Message], indexes: Sequence[int]
) -> StoredMessages | None:
    """Store messages, each with its index in the run, and their tool calls and media.

    Return the rows as stored, or None if there are media, which are more than rows of messages and calls.
    """
    calls: list[Row] = []
    media: list[Row] = []
    contents: dict[str, bytes] = {}
    for message in messages:
        if message.tool_calls:
            calls += tables.tool_call_rows(message, run)
        if message.media:
            rows_of_message, contents_of_message = tables.media_rows(message, run)
            media += rows_of_message
            contents |= contents_of_message
    rows = [tables.message_row(message, run, index) for message, index in zip(messages, indexes, strict=True)]
    stored = connection.insert("raw_messages", rows), connection.insert("raw_tool_calls", calls) if calls else []
    if not media:
        return stored
    connection.insert("raw_message_media", media)
    # Sorted, because two overlapping writers of the same contents could otherwise deadlock.
    in_order = [{"media_id": media_id, "content": contents[media_id]} for media_id in sorted(contents)]
    connection.insert("raw_media", in_order, "ON CONFLICT (media_id) DO NOTHING")
    return None


def message_indexes(run_messages: Sequence[Message], messages: Sequence[Message]) -> list[int]:
    """Return the index of each message in its run.

    0 is reserved for the system message. Copies of earlier messages have negative indexes. The result of a tool call
    has the index that belongs to its call, even if earlier results are missing.
    """
    indexes: dict[str, int] = {}
    copies = sum(map(attrgetter("from_history"), messages))
    for index, message in enumerate(filter(attrgetter("from_history"), messages), -copies):
        indexes[message.message_id] = index
    free: int | None = None
    of_calls: dict[str | None, int] = {}
    for message in filterfalse(attrgetter("from_history"), run_messages):
        if free is None:
            free = 0 if message.role == "system" else 1
        if message.role == "tool" and message.tool_call_id in of_calls:
            indexes[message.message_id] = of_calls.pop(message.tool_call_id)
            continue
        indexes[message.message_id] = free
        of_calls.clear()
        for index, call in enumerate(message.tool_calls, free + 1):
            of_calls[call.tool_call_id] = index
        free += 1 + len(message.tool_calls)
    return [indexes[message.message_id] for message in messages]
