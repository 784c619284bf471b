"""How a paused run is taken up again: by one of all who try, and with the context that it had."""

from __future__ import annotations

from agno_nb.db.base import ContextQuery, OpenedRun
from agno_nb.db.context import history, turns_before
from agno_nb.db.encoding import from_json, micros
from agno_nb.db.requirements import requirement_rows
from agno_nb.db.rows import SESSION_COLUMNS, session_from_row
from agno_nb.db.statements import Transaction
from agno_nb.db.worker import this_worker
from agno_nb.errors import RunNotContinuableError
from agno_nb.types import RunOutput, RunStatus, SessionReader


def reopen(connection: Transaction, run: RunOutput, query: ContextQuery, store: SessionReader) -> OpenedRun:
    """Set a paused run RUNNING and return its context, but for the runs nested in it."""
    key = {"run_id": run.run_id, "session_id": run.session_id}
    # The first statement is the one that only one of several can win: where writers overlap, others wait for it.
    claimed = connection.update(
        "raw_runs",
        {"status": RunStatus.RUNNING, "worker": this_worker(), "interrupted_at": None, "ended_at": None},
        {**key, "status": RunStatus.PAUSED},
    )
    found = connection.execute(
        "SELECT status, requirements FROM raw_runs WHERE run_id = ? AND session_id = ?", list(key.values())
    )
    if not claimed:
        became = f"is {found[0][0]} by now; somebody else has continued it" if found else "was deleted"
        raise RunNotContinuableError(f"run {run.run_id!r} {became}")
    known = {requirement["requirement_id"] for requirement in from_json(found[0][1]) or []}
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
    sql = f"SELECT {', '.join(SESSION_COLUMNS)} FROM raw_sessions WHERE session_id = ?"
    opened = OpenedRun(session=session_from_row(connection.execute(sql, [run.session_id])[0], store))
    if run.run_index is not None:
        _, turns = turns_before(connection, run.session_id, run.run_index, query, as_of=micros(run.created_at))
        opened.history = history(connection, run.session_id, turns, query)
    return opened


def store_answers(connection: Transaction, run: RunOutput) -> None:
    """Store the answers that were given to a run, which is to go on waiting."""
    key = {"run_id": run.run_id, "session_id": run.session_id, "status": RunStatus.PAUSED}
    if not connection.update("raw_runs", {"requirements": requirement_rows(run)}, key):
        raise RunNotContinuableError(f"run {run.run_id!r} is not paused any more; somebody else has continued it")
