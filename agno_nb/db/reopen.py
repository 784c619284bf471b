"""How a paused run is taken up again: by one of all who try, and with the context that it had."""

from __future__ import annotations

from agno_nb.db.base import ContextQuery, OpenedRun
from agno_nb.db.encoding import Row, from_json, micros
from agno_nb.db.history import check_turn_order, load_messages, load_nested_runs, load_turns, select_history
from agno_nb.db.process_id import current_process_id, is_over, runs_in_progress
from agno_nb.db.requirements import requirement_from_row, requirement_rows
from agno_nb.db.rows import session_from_row
from agno_nb.db.session_state import reapply_run
from agno_nb.db.statements import Transaction, select_sessions
from agno_nb.errors import RunNotContinuableError
from agno_nb.types import RunOutput, RunStatus, SessionReader


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
    """Store the answers to a run that stays paused, and add answers that were stored before to the run."""
    for requirement in run.requirements:
        requirement.check_answer()
    key = {"run_id": run.run_id, "session_id": run.session_id, "status": RunStatus.PAUSED}
    gone = RunNotContinuableError(f"run {run.run_id!r} is not paused any more; somebody else has continued it")
    # Written before it is read: where writers overlap, another process that stores answers waits here.
    connection.update("raw_runs", {"status": RunStatus.PAUSED}, key, gone=gone)
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
