"""Fork a session: copy it up to a turn, to continue in the copy."""

from __future__ import annotations

import json
from collections.abc import Sequence

from agno_nb.db import schema
from agno_nb.db.encoding import from_json
from agno_nb.db.history import current_attempts
from agno_nb.db.memories import SUMMARY_HOLDS
from agno_nb.db.session_state import state_after_run, state_before_later_turns
from agno_nb.db.statements import Transaction, marks
from agno_nb.errors import RunNotFoundError
from agno_nb.types import JsonDict, RunStatus, new_id

_ROWS_AT_ONCE = 500


def fork(connection: Transaction, session_id: str, *, to_run_index: int | None, at_run: str | None, now: int) -> str:
    """Copy an existing session up to turn `to_run_index`, or run `at_run`; return the ID of the copy."""
    fork_id = new_id()
    current, state, to_summarized = _attempts_to_copy(connection, session_id, to_run_index, at_run)
    fresh: dict[str, object] = {
        "session_id": fork_id,
        # A state that was read from the store has no API keys.
        "session_state": json.dumps(state, ensure_ascii=False),
        "forked_from_session_id": session_id,
        "forked_from_run_id": current[max(current)] if current else None,
        "created_at": now,
        "updated_at": now,
    }
    _copy(connection, "raw_sessions", fresh, "session_id = ?", [session_id])
    where = f"session_id = ? AND to_run_index <= ? AND {SUMMARY_HOLDS}"
    _copy(connection, "raw_summaries", {"session_id": fork_id}, where, [session_id, to_summarized])
    runs = _new_ids_of_runs(connection, session_id, set(current.values()))
    session_ids = session_id, fork_id
    run_columns = ("run_id", "parent_run_id", "parent_tool_call_id", "root_run_id")
    new_ids = [(run_id, *ids) for run_id, ids in runs.items()]
    _copy_with_new_ids(connection, "raw_runs", session_ids, run_columns, new_ids)
    new_run_ids = {run_id: ids[0] for run_id, ids in runs.items()}
    for table in ("raw_events", "raw_variables"):
        _copy_with_new_ids(connection, table, session_ids, ("run_id",), list(new_run_ids.items()))
    sql = "SELECT message_id, run_id FROM raw_messages WHERE session_id = ?"
    messages = [
        (message_id, new_id(), new_run_ids[run_id])
        for message_id, run_id in connection.execute(sql, [session_id])
        if run_id in new_run_ids
    ]
    for table in ("raw_messages", "raw_tool_calls", "raw_message_media"):
        _copy_with_new_ids(connection, table, session_ids, ("message_id", "run_id"), messages)
    _copy_steps(connection, session_ids, new_run_ids)
    _rename_in_requirements(connection, fork_id, new_run_ids)
    return fork_id


def _attempts_to_copy(
    connection: Transaction, session_id: str, to_run_index: int | None, at_run: str | None
) -> tuple[dict[int, str], JsonDict, int]:
    """Return the attempt at each turn, the state after the last of them, and the last turn of copied summaries."""
    current = current_attempts(connection, session_id)
    ((text,),) = connection.execute("SELECT session_state FROM raw_sessions WHERE session_id = ?", [session_id])
    state = from_json(text)
    last = max(current, default=-1)
    if to_run_index is None:
        to_run_index = last
    elif to_run_index > last:
        raise RunNotFoundError(
            f"session {session_id!r} has no turn {to_run_index} to fork at; "
            + (f"its turns are 0 to {last}" if current else "it has none")
        )
    to_summarized = to_run_index
    if at_run is not None:
        to_run_index = _turn_of(connection, session_id, at_run)
        # A summary that covers the turn is about its current attempt.
        to_summarized = to_run_index if current[to_run_index] == at_run else to_run_index - 1
        current[to_run_index] = at_run
        state = state_after_run(connection, session_id, to_run_index, at_run, state)
    else:
        state = state_before_later_turns(connection, session_id, to_run_index, state)
    return {index: run_id for index, run_id in current.items() if index <= to_run_index}, state, to_summarized


def _turn_of(connection: Transaction, session_id: str, run_id: str) -> int:
    sql = "SELECT run_index FROM raw_runs WHERE session_id = ? AND run_id = ? AND run_index IS NOT NULL"
    rows = connection.execute(sql, [session_id, run_id])
    if not rows:
        raise RunNotFoundError(f"session {session_id!r} has no turn {run_id!r} to fork at")
    run_index: int = rows[0][0]
    return run_index


def _rename_in_requirements(connection: Transaction, fork_id: str, run_ids: dict[str, str]) -> None:
    """Give the requirements of copied runs new IDs, so that each copy can be found and continued separately.

    A requirement of a nested run also belongs to the runs above it, under the same ID in the copies.
    """
    sql = "SELECT run_id, requirements FROM raw_runs WHERE session_id = ? AND requirements IS NOT NULL"
    ids: dict[str, str] = {}
    for run_id, text in connection.execute(sql, [fork_id]):
        requirements = [
            one
            | {
                "requirement_id": ids.setdefault(one["requirement_id"], new_id()),
                "run_id": run_ids.get(one["run_id"], one["run_id"]),
            }
            for one in from_json(text)
        ]
        connection.update("raw_runs", {"requirements": requirements}, {"session_id": fork_id, "run_id": run_id})


def _copy_steps(connection: Transaction, session_ids: tuple[str, str], runs: dict[str, str]) -> None:
    """Copy the steps of copied runs. If the run of a step was copied too, the step refers to the copy."""
    sql = "SELECT child_run_id, run_id FROM raw_steps WHERE session_id = ? AND child_run_id IS NOT NULL"
    with_run = [
        (child, runs[child], runs[run_id])
        for child, run_id in connection.execute(sql, [session_ids[0]])
        if child in runs and run_id in runs
    ]
    _copy_with_new_ids(connection, "raw_steps", session_ids, ("child_run_id", "run_id"), with_run)
    others = (
        "NOT EXISTS (SELECT 1 FROM raw_runs AS child "
        "WHERE child.session_id = old.session_id AND child.run_id = old.child_run_id)"
    )
    _copy_with_new_ids(connection, "raw_steps", session_ids, ("run_id",), list(runs.items()), only=others)


def _new_ids_of_runs(
    connection: Transaction, session_id: str, current: set[str]
) -> dict[str, tuple[str, str | None, str | None, str]]:
    """Return the new ID of each copied run, of its parent, of the parent's tool call, and of its top-level run.

    The current attempts and their nested runs are copied. A run that is still running stays in its session. If the
    parent of a run is in another session, the copy has no parent, because that one waits for the original.
    """
    sql = (
        "SELECT run_id, run_index, parent_run_id, parent_tool_call_id FROM raw_runs WHERE session_id = ? "
        "AND status <> ?"
    )
    rows = connection.execute(sql, [session_id, RunStatus.RUNNING])
    ids: dict[str, tuple[str, str | None, str | None, str]] = {}
    # From the turns down to their nested runs, whatever their times.
    level = [(run_id, parent_id, call_id) for run_id, _, parent_id, call_id in rows if run_id in current]
    while level:
        for run_id, parent_id, call_id in level:
            run_id_now = new_id()
            if parent_id in ids:
                ids[run_id] = run_id_now, ids[parent_id][0], call_id, ids[parent_id][3]
            else:
                ids[run_id] = run_id_now, None, None, run_id_now
        above = {run_id for run_id, *_ in level}
        level = [
            (run_id, parent_id, call_id)
            for run_id, run_index, parent_id, call_id in rows
            if run_index is None and parent_id in above and run_id not in ids
        ]
    return ids


def _copy(
    connection: Transaction, table: str, changes: dict[str, object], where: str, parameters: Sequence[object]
) -> None:
    columns = schema.tables()[table].columns
    values = ", ".join("?" if name in changes else name for name in columns)
    sql = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table} WHERE {where}"
    connection.execute(sql, [*(changes[name] for name in columns if name in changes), *parameters])


def _copy_with_new_ids(
    connection: Transaction,
    table: str,
    session_ids: tuple[str, str],
    id_columns: Sequence[str],
    ids: Sequence[tuple[str | None, ...]],
    *,
    only: str = "TRUE",
) -> None:
    """Copy the rows of a session that match `only` into its fork.

    Each of `ids` has the current value of the first of `id_columns`, and the new values of all `id_columns`.
    """
    columns = schema.tables()[table].columns
    expressions = {name: f"ids.{name}" for name in id_columns} | {"session_id": "?", "forked_from_run_id": "old.run_id"}
    values = ", ".join(expressions.get(name, f"old.{name}") for name in columns)
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        some = ids[start : start + _ROWS_AT_ONCE]
        sql = (
            f"INSERT INTO {table} ({', '.join(columns)}) "
            f"WITH ids(old_id, {', '.join(id_columns)}) AS (VALUES {', '.join([f'({marks(some[0])})'] * len(some))}) "
            f"SELECT {values} FROM {table} AS old JOIN ids ON ids.old_id = old.{id_columns[0]} "
            f"WHERE old.session_id = ? AND {only}"
        )
        connection.execute(sql, [*(each for row in some for each in row), session_ids[1], session_ids[0]])
