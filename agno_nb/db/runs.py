"""Runs as they are read from a SQL store: each with its messages, variables and steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agno_nb.db.history import LAST_TURN
from agno_nb.db.pushdown import MAX_VALUES
from agno_nb.db.rows import RUN_COLUMNS, run_from_row
from agno_nb.db.statements import Transaction, mark_interrupted, marks, select_messages
from agno_nb.db.steps import select_steps
from agno_nb.db.variables import select_variables
from agno_nb.types import RunOutput, SessionType

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
