"""Delete sessions and runs, and check that the rows of a store are consistent."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from agno_nb.db import schema
from agno_nb.db.process_id import is_over
from agno_nb.db.statements import Transaction, chunks, marks, non_null, valid_usage, where_equal
from agno_nb.errors import SessionBusyError
from agno_nb.types import TOKEN_COUNTS, RunStatus

_SHOWN = 3
"""Number of rows with a problem that are named."""

# Each selects the IDs of inconsistent rows. Turns and attempts may have gaps: runs can be deleted, and a fork copies
# current attempts only.
_CHECKS = {
    "turns with two runs of one attempt": (
        "SELECT session_id, run_index, attempt FROM raw_runs WHERE run_index IS NOT NULL "
        "GROUP BY session_id, run_index, attempt HAVING COUNT(*) > 1"
    ),
    "runs with two messages at one place": (
        "SELECT DISTINCT run_id FROM raw_messages GROUP BY run_id, message_index HAVING COUNT(*) > 1"
    ),
    "runs that ended without a time": "SELECT run_id FROM raw_runs WHERE status <> 'RUNNING' AND ended_at IS NULL",
    "messages that lack tool calls, or have too many": (
        "SELECT message_id FROM raw_messages LEFT JOIN (SELECT message_id AS id, COUNT(*) AS n FROM raw_tool_calls "
        "GROUP BY message_id) AS calls ON id = message_id WHERE NOT from_history AND num_tool_calls <> COALESCE(n, 0)"
    ),
    "messages that lack media, or have too many": (
        "SELECT message_id FROM raw_messages LEFT JOIN (SELECT message_id AS id, COUNT(*) AS n FROM raw_message_media "
        "GROUP BY message_id) AS media ON id = message_id WHERE NOT from_history AND num_media <> COALESCE(n, 0)"
    ),
    "results without a tool call": (
        "SELECT message_id FROM raw_messages WHERE role = 'tool' AND NOT from_history AND NOT EXISTS (SELECT 1 FROM "
        "raw_tool_calls AS calls WHERE calls.session_id = raw_messages.session_id AND calls.run_id = "
        "raw_messages.run_id AND calls.tool_call_id = raw_messages.tool_call_id)"
    ),
    "summaries of turns that do not exist": (
        "SELECT session_id, version FROM raw_summaries WHERE from_run_index > to_run_index OR to_run_index > "
        "(SELECT MAX(run_index) FROM raw_runs WHERE raw_runs.session_id = raw_summaries.session_id)"
    ),
    "media without their content": (
        "SELECT message_id, media_index FROM raw_message_media WHERE media_id IS NOT NULL "
        "AND media_id NOT IN (SELECT media_id FROM raw_media)"
    ),
    "contents of media without a message": (
        "SELECT media_id FROM raw_media WHERE media_id NOT IN "
        "(SELECT media_id FROM raw_message_media WHERE media_id IS NOT NULL)"
    ),
}


def delete_sessions(connection: Transaction, where: str, parameters: Sequence[Any], user_id: str | None) -> int:
    """Delete the sessions of a user that match `where`, with all their rows; return their number."""
    owned, owners = where_equal(non_null(user_id=user_id))
    sql = f"DELETE FROM raw_sessions WHERE {where} AND {owned} RETURNING session_id"
    deleted = [session_id for (session_id,) in connection.execute(sql, [*parameters, *owners])]
    for session_ids in chunks(deleted):
        _delete_rows(connection, session_ids)
    return len(deleted)


def delete_runs(connection: Transaction, run_ids: Sequence[str], user_id: str | None) -> int:
    """Delete runs in sessions of a user, with the runs nested in them and all their rows; return their number."""
    owned, owners = where_equal(non_null(user_id=user_id))
    deleted = 0
    for run_id in dict.fromkeys(run_ids):
        sql = (
            "SELECT session_id, root_run_id, run_index, created_at FROM raw_runs WHERE run_id = ? "
            f"AND session_id IN (SELECT session_id FROM raw_sessions WHERE {owned})"
        )
        for session_id, root_run_id, run_index, created_at in connection.execute(sql, [run_id, *owners]):
            tree = _nested_in(connection, run_id, session_id, root_run_id)
            for some in chunks(tree):
                _delete_rows(connection, some, "run_id")
            if run_index is None:
                # Its answer is part of the answer of the turn.
                turn = "SELECT run_index FROM raw_runs WHERE session_id = ? AND run_id = ?"
                run_index = next((index for (index,) in connection.execute(turn, [session_id, root_run_id])), None)
            sql = (
                "DELETE FROM raw_summaries WHERE session_id = ? AND from_run_index <= ? AND to_run_index >= ? "
                "AND updated_at >= ?"
            )
            connection.execute(sql, [session_id, run_index, run_index, created_at])
            connection.update("raw_sessions", {"updated_at": connection.now()}, {"session_id": session_id})
            deleted += 1
    return deleted


def _nested_in(connection: Transaction, run_id: str, session_id: str, root_run_id: str) -> list[str]:
    """Return a run and the runs nested in it.

    Raises
    ------
    SessionBusyError
        One of them, or the turn that they are part of, is running, or the turn is paused.
    """
    sql = "SELECT run_id, parent_run_id, status, worker FROM raw_runs WHERE session_id = ? AND root_run_id = ?"
    rows = connection.execute(sql, [session_id, root_run_id])
    found, level = [run_id], {run_id}
    while level:
        level = {each for each, parent_run_id, *_ in rows if parent_run_id in level and each not in found}
        found += level
    for each, _, status, worker in rows:
        if each in (*found, root_run_id) and status == RunStatus.RUNNING and not is_over(worker, each):
            raise SessionBusyError(f"run {each!r} is still running, so it cannot be deleted; cancel it first")
        if each == root_run_id and each not in found and status == RunStatus.PAUSED:
            raise SessionBusyError(
                f"run {run_id!r} is part of run {each!r}, which is paused and may continue it; delete that run instead"
            )
    return found


def _delete_rows(connection: Transaction, ids: Sequence[str], column: str = "session_id") -> None:
    """Delete the rows of all tables whose `column` is one of `ids`, and the contents of media that only they have."""
    chosen = f"WHERE {column} IN ({marks(ids)})"
    sql = f"SELECT DISTINCT media_id FROM raw_message_media {chosen} AND media_id IS NOT NULL"
    media = [media_id for (media_id,) in connection.execute(sql, ids)]
    for table in schema.tables_with(column):
        connection.execute(f"DELETE FROM {table} {chosen}", ids)
    for some in chunks(media):
        sql = (
            f"DELETE FROM raw_media WHERE media_id IN ({marks(some)}) AND NOT EXISTS "
            "(SELECT 1 FROM raw_message_media WHERE raw_message_media.media_id = raw_media.media_id)"
        )
        connection.execute(sql, some)


def verify(connection: Transaction) -> list[str]:
    checks = {**_orphans(), **_CHECKS, **_usage_checks()}
    found = {what: [" ".join(map(str, row)) for row in connection.execute(sql)] for what, sql in checks.items()}
    changed = found["contents of media that changed after they were stored"] = []
    for (media_id,) in connection.execute("SELECT media_id FROM raw_media"):
        # One at a time, because together they may not fit in memory.
        ((content,),) = connection.execute("SELECT content FROM raw_media WHERE media_id = ?", [media_id])
        if hashlib.sha256(content).hexdigest() != media_id:
            changed.append(media_id)
    problems = []
    for what, rows in found.items():
        if rows:
            more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
            problems.append(f"{what}: {', '.join(sorted(rows)[:_SHOWN])}{more}")
    return problems


def _orphans() -> dict[str, str]:
    """Return checks that referenced rows exist, in the same session."""
    checks = {}
    for parent, key in (("raw_sessions", "session_id"), ("raw_runs", "run_id"), ("raw_messages", "message_id")):
        for table in schema.tables_with(key):
            if table != parent:
                checks[f"rows of {table} whose {key} is not in {parent}"] = (
                    f"SELECT DISTINCT {key} FROM {table} WHERE {key} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "
                    f"{parent} AS parent WHERE parent.session_id = {table}.session_id AND parent.{key} = {table}.{key})"
                )
    return checks


def _usage_checks() -> dict[str, str]:
    """Return checks for impossible usage, which views, sums and objects treat as null."""
    checks = {}
    for table in schema.tables_with("cost"):
        columns = schema.tables()[table].columns
        key = {"raw_summaries": "session_id, version", "raw_events": "run_id, event_index"}.get(table)
        usage = [name for name in (*TOKEN_COUNTS, "cost") if name in columns]
        wrong = " OR ".join(f"({name} IS NOT NULL AND {valid_usage(name)} IS NULL)" for name in usage)
        checks[f"rows of {table} with impossible token counts or costs"] = (
            f"SELECT {key or next(iter(columns))} FROM {table} WHERE {wrong}"
        )
    return checks
