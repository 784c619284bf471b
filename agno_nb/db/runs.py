"""Runs of a SQL store: opened, continued, ended and read, each with its messages, variables and steps.

Statements read and write a bounded number of rows, however long the session is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agno_nb.db import tables
from agno_nb.db.base import NO_CONTEXT, CellTurn, ContextQuery, OpenedRun
from agno_nb.db.encoding import Row, check_ids, from_json, micros
from agno_nb.db.history import (
    LAST_TURN,
    check_turn_order,
    insert_messages,
    keep_time_order,
    load_messages,
    load_nested_runs,
    load_turns,
    message_indexes,
    next_attempt,
    num_turns_needed,
    select_history,
    select_messages,
)
from agno_nb.db.memories import get_summary, select_memories
from agno_nb.db.process_id import current_process_id, is_over, runs_in_progress
from agno_nb.db.pushdown import MAX_VALUES
from agno_nb.db.session_cache import SessionCache
from agno_nb.db.session_state import reapply_run, revert_to_turn, store_state
from agno_nb.db.sessions import enter_session, require_owner
from agno_nb.db.statements import Transaction, marks, non_null, page_of, where_equal
from agno_nb.errors import InvalidInputError, RunNotContinuableError, SessionNotFoundError
from agno_nb.types import (
    JsonDict,
    Message,
    RunOutput,
    RunStatus,
    Session,
    SessionType,
    StepOutput,
    whole_number,
    with_article,
)

# A run starts later than those before it in its session (see keep_time_order). Older stores may have equal times.
_LATEST_FIRST = f"created_at DESC, COALESCE(run_index, {LAST_TURN}) DESC, attempt DESC, run_id DESC"


def open_run(
    connection: Transaction,
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
            raise InvalidInputError(f"{name} is empty; pass a string, or leave it None")
    cache = connection.cache
    num_turns = num_turns_needed(query)
    is_new_turn = not nested and run.run_index is None
    known = cache.find(connection, run, num_turns) if is_new_turn else None
    latest_start: int | None
    if known is not None:
        row, latest_start = known.session, known.latest_start
    else:
        row, latest_start = enter_session(connection, run, session)
    keep_time_order(connection, run, messages, latest_start)
    opened = OpenedRun(session=tables.session_from_row(row, connection.store))
    require_owner(run.session_id, opened.session.user_id, run.user_id)
    turn: int | None = None
    if nested:
        opened.turns = load_nested_runs(connection, run, query)
    elif known is not None:
        turn, opened.turns = known.latest_turns(num_turns)
    else:
        turn, opened.turns, opened.num_superseded = load_turns(connection, run.session_id, run.run_index, query)
    earlier = known.messages(opened.turns) if known else load_messages(connection, run.session_id, opened.turns)
    opened.history = select_history(earlier, opened.turns, query)
    _read_context(connection, opened, run, turn, query)
    if turn is not None:
        _take_turn(connection, opened.session, run, turn, session.session_type, partial_of)
    ended = tables.ended_run_row(run)
    connection.insert("raw_runs", [tables.RUNS.row(run) | ended | {"worker": current_process_id()}])
    if run.variables:
        connection.insert("raw_variables", tables.variable_rows(run))
    stored = insert_messages(connection, run, messages, message_indexes(messages, messages))

    def committed() -> None:
        runs_in_progress.add(run.run_id)
        cache.opened_rows[run.run_id] = ended
        cache.run_opened(connection, run, stored, session=row, previous=known, num_turns=num_turns)

    connection.on_commit.append(committed)
    return opened


def _read_context(
    connection: Transaction, opened: OpenedRun, run: RunOutput, turn: int | None, query: ContextQuery
) -> None:
    if query.summary:
        shown = {message.run_id for message in opened.history}
        first_shown = next((index for index, run_id in opened.turns if run_id in shown), turn)
        opened.summary = get_summary(connection, run.session_id, before_run_index=first_shown)
    if query.memories and run.user_id is not None:
        opened.memories = select_memories(connection, "user_id = ?", [run.user_id])


def _take_turn(
    connection: Transaction,
    session: Session,
    run: RunOutput,
    turn: int,
    session_type: SessionType,
    partial_of: str | None,
) -> None:
    """Set the turn and attempt of a run. A new attempt reverts the session state to the start of the turn."""
    if session.session_type != session_type:
        raise InvalidInputError(
            f"session {run.session_id!r} is the session of {with_article(session.session_type)}, and cannot be one of "
            f"{with_article(session_type)} too; choose another session_id"
        )
    if run.run_index is None:
        run.attempt = 0
    else:
        run.attempt = next_attempt(connection, run.session_id, turn)
        check_turn_order(connection, run.session_id)
        revert_to_turn(connection, session, run, partial_of)
    run.run_index = turn


def add_messages(connection: Transaction, run: RunOutput, messages: Sequence[Message]) -> None:
    gone = _missing_run_error(connection, run)
    if gone is not None and not connection.execute("SELECT 1 FROM raw_runs WHERE run_id = ?", [run.run_id]):
        raise gone
    _add_last_messages(connection, run, messages)


def _add_last_messages(
    connection: Transaction, run: RunOutput, messages: Sequence[Message], *, ended: Row | None = None
) -> None:
    """Store messages in place of a partial one. `ended` are the changes to the session if the run has ended."""
    _drop_partial(connection, run)
    stored = insert_messages(connection, run, messages, message_indexes(run.messages, messages))

    def committed() -> None:
        connection.cache.partials.pop(run.run_id, None)
        connection.cache.messages_added(connection, run, stored, ended=ended)

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

    def committed() -> None:
        # The end has to write the content of the run in any case.
        cache.opened_rows.pop(run.run_id, None)
        cache.partials[run.run_id] = partial.message_id

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
    if state_changes is not None:
        connection.update("raw_runs", {"state_changes": list(state_changes)}, {"run_id": run.root_run_id})
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
    connection.on_commit.append(lambda: runs_in_progress.add(run.run_id))
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


def get_runs(
    connection: Transaction,
    session_id: str,
    *,
    from_run_index: int | None = None,
    to_run_index: int | None = None,
    limit: int | None = None,
) -> list[RunOutput]:
    check_ids(session_id=session_id)
    limit = whole_number("limit", limit)
    page_of(limit, None)
    where = "session_id = ?"
    parameters: list[str | int] = [session_id]
    for bound, run_index in ((">=", from_run_index), ("<=", to_run_index)):
        if run_index is not None:
            where += f" AND run_index {bound} ?"
            parameters.append(run_index)
    return select_runs(connection, where, parameters, limit=limit)


def get_run(connection: Transaction, run_id: str, session_id: str | None = None) -> RunOutput | None:
    check_ids(run_id=run_id, session_id=session_id)
    # Read with the other runs of its turn, so that it has its nested runs.
    where, parameters = where_equal(non_null(run_id=run_id, session_id=session_id))
    turn = connection.execute(f"SELECT session_id, root_run_id FROM raw_runs WHERE {where}", parameters)
    runs = select_runs(connection, "session_id = ? AND root_run_id = ?", turn[0]) if turn else []
    return next((run for run in runs if run.run_id == run_id), None)


def get_child_runs(connection: Transaction, run_id: str) -> list[RunOutput]:
    check_ids(run_id=run_id)
    order = "created_at, run_index, attempt, run_id"
    sql = f"SELECT run_id, session_id FROM raw_runs WHERE parent_run_id = ? ORDER BY {order}"
    found = connection.execute(sql, [run_id])
    return [run for ids in found if (run := get_run(connection, *ids)) is not None]


def find_cached_run(connection: Transaction, context_hash: str) -> RunOutput | None:
    # The run may be in any session, and only the clock orders runs of different sessions.
    sql = (
        "SELECT session_id, run_id FROM raw_runs WHERE context_hash = ? AND status = ? "
        "AND replay_of_run_id IS NULL ORDER BY created_at DESC, run_index DESC, attempt DESC, run_id DESC LIMIT 1"
    )
    found = connection.execute(sql, [context_hash, RunStatus.COMPLETED])
    return select_runs(connection, "session_id = ? AND run_id = ?", found[0])[0] if found else None


def get_cell_turns(connection: Transaction, session_id: str, cell_id: str) -> list[CellTurn]:
    # The oldest attempt has the cell that started the turn. Other cells may have started later attempts.
    sql = (
        "SELECT run_index, notebook, kernel_id, "
        "(SELECT MAX(run_index) FROM raw_runs WHERE session_id = ?) - run_index "
        "FROM raw_runs AS cell WHERE session_id = ? AND cell_id = ? AND run_index IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM raw_runs WHERE session_id = cell.session_id AND run_index = cell.run_index "
        "AND attempt < cell.attempt) ORDER BY run_index"
    )
    return [
        CellTurn(run_index=index, notebook=path, kernel_id=kernel, num_later_turns=later)
        for index, path, kernel, later in connection.execute(sql, [session_id, session_id, cell_id])
    ]


def select_runs(
    connection: Transaction, where: str, parameters: Sequence[Any], *, limit: int | None = None
) -> list[RunOutput]:
    """Read runs of one session, oldest first, each with its messages, variables, steps and nested runs."""
    # The sort only reads short columns, not the text of all runs.
    chosen = f"FROM raw_runs WHERE {where} ORDER BY {_LATEST_FIRST}"
    if limit is not None:
        chosen, parameters = f"{chosen} LIMIT ?", [*parameters, limit]
    found = connection.execute(f"SELECT run_id, session_id {chosen}", parameters)[::-1]
    if not found:
        return []
    # With the session as a condition, DuckDB doesn't have to look at the messages of all sessions.
    session_id, run_ids = found[0][1], [run_id for run_id, _ in found]
    if len(run_ids) <= MAX_VALUES:
        # With literal ids, unlike a subquery, DuckDB knows which blocks of a table contain them.
        of_runs, of_those = f"session_id = ? AND run_id IN ({marks(run_ids)})", [session_id, *run_ids]
    else:
        of_runs, of_those = f"session_id = ? AND run_id IN (SELECT run_id {chosen})", [session_id, *parameters]
    rows = {row["run_id"]: row for row in connection.select(tables.RUNS, of_runs, of_those)}
    messages = select_messages(connection, of_runs, of_those)
    variables = tables.variables_from_rows(
        connection.select(tables.VARIABLES, f"{of_runs} ORDER BY variable_index", of_those)
    )
    runs = {run_id: tables.run_from_row(rows[run_id], messages, variables) for run_id in run_ids}
    if any(run.kind is SessionType.WORKFLOW for run in runs.values()):
        for row in connection.select(tables.STEPS, f"{of_runs} ORDER BY step_index", of_those):
            runs[row["run_id"]].step_results.append(tables.step_from_row(row))
    for run_id, run in runs.items():
        run.interrupted = run.status is RunStatus.RUNNING and is_over(rows[run_id]["worker"], run_id)
        if run.parent_run_id in runs:
            runs[run.parent_run_id].nested_runs.append(run)
    # Innermost first, so that requirements are shared with all runs above.
    for run in reversed(runs.values()):
        if run.parent_run_id in runs:
            runs[run.parent_run_id].share_requirements(run)
    return list(runs.values())
