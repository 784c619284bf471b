"""Stored events and usage totals of a SQL store."""

from __future__ import annotations

from collections.abc import Sequence

from agno_nb.db.encoding import micros
from agno_nb.db.process_id import current_process_id
from agno_nb.db.statements import Transaction, marks, valid_usage
from agno_nb.errors import SessionNotFoundError
from agno_nb.types import JsonDict, Metrics, RunEvent, RunOutput, UsageTotals, now

_SUMS = f"""
    SUM(COALESCE({valid_usage("input_tokens")}, 0) + COALESCE({valid_usage("output_tokens")}, 0)) AS tokens,
    SUM(COALESCE({valid_usage("cost")}, 0)) AS usd,
    SUM(CASE WHEN {valid_usage("cost")} IS NULL AND input_tokens IS NOT NULL THEN 1 ELSE 0 END) AS num_unpriced
"""


def add_event(
    connection: Transaction,
    run: RunOutput,
    event: RunEvent,
    content: str,
    *,
    details: JsonDict | None = None,
    model: str | None = None,
    metrics: Metrics | None = None,
) -> None:
    # This update changes nothing, but finds the session and, if writers overlap (Postgres), locks it. A later session
    # with the same id does not have the run.
    sql = (
        "UPDATE raw_sessions SET updated_at = updated_at WHERE session_id = ? AND EXISTS "
        "(SELECT 1 FROM raw_runs WHERE raw_runs.session_id = raw_sessions.session_id AND run_id = ?) "
        "RETURNING session_id"
    )
    if not connection.execute(sql, [run.session_id, run.run_id]):
        raise SessionNotFoundError(f"session {run.session_id!r} was deleted, so {content!r} cannot be stored")
    sql = "SELECT COALESCE(MAX(event_index) + 1, 0) FROM raw_events WHERE run_id = ?"
    ((event_index,),) = connection.execute(sql, [run.run_id])
    usage = (metrics or Metrics()).drop_impossible()
    row = {
        "run_id": run.run_id,
        "event_index": event_index,
        "session_id": run.session_id,
        "event": event.value,
        "content": content,
        "details": details,
        "model": model,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": usage.cost,
        "duration_s": usage.duration_s,
        "created_at": micros(now()),
    }
    connection.insert("raw_events", [row])


def get_usage(
    connection: Transaction,
    *,
    session_id: str | None = None,
    notebook: str | None = None,
    this_process: bool = False,
    since: float | None = None,
    exclude_run_ids: Sequence[str] = (),
) -> UsageTotals:
    conditions = {
        "session_id = ?": session_id,
        "notebook = ?": notebook,
        "worker = ?": current_process_id() if this_process else None,
        "created_at >= ?": None if since is None else micros(since),
    }
    chosen = " AND ".join([*(each for each, value in conditions.items() if value is not None), "TRUE"])
    values = [value for value in conditions.values() if value is not None]
    # The copies in a fork were only paid for once.
    runs = f"FROM raw_runs WHERE {chosen} AND forked_from_run_id IS NULL"
    of_session, session = ("TRUE", []) if session_id is None else ("session_id = ?", [session_id])
    counted = f"{runs} AND run_id NOT IN ({marks(exclude_run_ids)})" if exclude_run_ids else runs
    # A summary that is older than its session was copied by a fork.
    summaries = (
        f"{of_session} AND session_id IN (SELECT session_id {runs}) AND updated_at >= (SELECT created_at "
        f"FROM raw_sessions WHERE raw_sessions.session_id = raw_summaries.session_id AND {of_session})"
    )
    made = " AND updated_at >= ?" if since is not None else ""
    sql = (
        f"SELECT SUM(tokens), SUM(usd), SUM(num_unpriced) FROM (SELECT {_SUMS} {counted} "
        f"UNION ALL SELECT {_SUMS} FROM raw_events WHERE {of_session} AND run_id IN (SELECT run_id {runs}) "
        f"UNION ALL SELECT {_SUMS} FROM raw_summaries WHERE {summaries}{made}) AS parts"
    )
    times = [] if since is None else [micros(since)]
    ((tokens, usd, num_unpriced),) = connection.execute(
        sql, [*values, *exclude_run_ids, *session, *values, *session, *values, *session, *times]
    )
    return UsageTotals(tokens=int(tokens or 0), usd=float(usd or 0), num_unpriced=int(num_unpriced or 0))
