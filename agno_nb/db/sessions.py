"""Sessions of a SQL store, and the rule which user may use which session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from agno_nb.db import fork, tables
from agno_nb.db.encoding import (
    Row,
    check_ids,
    check_json_object,
    micros,
    timestamp_micros,
    to_sql,
    validate_choice,
)
from agno_nb.db.pushdown import MAX_VALUES
from agno_nb.db.session_state import store_state
from agno_nb.db.statements import Transaction, marks, non_null, page_of, valid_usage, where_equal
from agno_nb.errors import InvalidInputError, SessionOwnershipError
from agno_nb.types import TOKEN_COUNTS, JsonDict, Metrics, RunOutput, Session, SessionType, now, whole_number

OPEN_TO = "(user_id IS NULL OR user_id = ?)"
"""Condition on sessions: those that a named user may use, by :func:`require_owner`."""

_SORT_COLUMNS = ("updated_at", "created_at", "session_name", "session_id", "user_id")


def open_to(user_id: str | None) -> tuple[str, list[str]]:
    """Return the condition on sessions that a user may use, and its parameters. None may use all."""
    return ("TRUE", []) if user_id is None else (OPEN_TO, [user_id])


def require_owner(session_id: str, owner: str | None, user_id: str | None) -> None:
    """Raise an error if a session of `owner` is closed to a user.

    A session without an owner is open to every user and to anonymous callers. ``""`` is not a user, so nothing is
    open to it.

    Raises
    ------
    SessionOwnershipError
    """
    if user_id == "":
        raise SessionOwnershipError(
            f"user_id '' matches no user, so session {session_id!r} is closed to it; pass the user's id, or None"
        )
    if owner is not None and owner != to_sql(user_id):
        caller = "no user_id is set" if user_id is None else f"user_id is {user_id!r}"
        raise SessionOwnershipError(
            f"session {session_id!r} belongs to user {owner!r}, but {caller}; use another session_id"
        )


def check_owner(connection: Transaction, user_id: str, *, session_id: str | None, run_id: str | None) -> None:
    """Raise an error if a session, or the session of a run, is closed to a user."""
    where, key = "session_id = ?", session_id
    if session_id is None:
        where, key = "session_id IN (SELECT session_id FROM raw_runs WHERE run_id = ?)", run_id
    for owned_id, owner in connection.execute(f"SELECT session_id, user_id FROM raw_sessions WHERE {where}", [key]):
        require_owner(owned_id, owner, user_id)


def _session_key(session_id: str, session_type: str | None, user_id: str | None) -> Row:
    check_ids(session_id=session_id, user_id=user_id or None)
    return non_null(session_id=session_id, session_type=_check_type(session_type), user_id=user_id)


def _check_type(session_type: str | None) -> SessionType | None:
    return None if session_type is None else validate_choice(SessionType, session_type, "session_type")


def select_sessions(connection: Transaction, where: str, parameters: Sequence[Any]) -> list[Row]:
    """Return the rows of the sessions that match `where`, which may end with an ORDER BY."""
    sql = f"SELECT {tables.SESSIONS.sql_columns} FROM raw_sessions WHERE {where}"
    return tables.SESSIONS.rows(connection.execute(sql, parameters))


def get_session(
    connection: Transaction,
    session_id: str,
    session_type: SessionType | str | None = None,
    user_id: str | None = None,
) -> Session | None:
    rows = select_sessions(connection, *where_equal(_session_key(session_id, session_type, user_id)))
    return tables.session_from_row(rows[0], connection.store) if rows else None


def get_sessions(
    connection: Transaction,
    session_type: SessionType | str | None = None,
    user_id: str | None = None,
    component_id: str | None = None,
    session_name: str | None = None,
    start_timestamp: int | None = None,
    end_timestamp: int | None = None,
    limit: int | None = None,
    page: int | None = None,
    sort_by: str | None = None,
    sort_order: Literal["asc", "desc"] | None = None,
) -> list[Session]:
    column, direction = sort_by or "updated_at", sort_order or "desc"
    for name, value, choices in (("sort_by", column, _SORT_COLUMNS), ("sort_order", direction, ("asc", "desc"))):
        if value not in choices:
            raise InvalidInputError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
    limit = whole_number("limit", limit)
    start, _ = page_of(limit, page)
    key = non_null(session_type=_check_type(session_type), user_id=user_id, component_id=component_id)
    where, parameters = where_equal(key)
    if session_name is not None:
        pattern = "".join("\\" + letter if letter in "\\%_" else letter for letter in session_name)
        where += " AND LOWER(session_name) LIKE LOWER(?) ESCAPE '\\'"
        parameters.append(f"%{pattern}%")
    if start_timestamp is not None:
        where += " AND created_at >= ?"
        parameters.append(timestamp_micros(start_timestamp, "start_timestamp"))
    if end_timestamp is not None:
        # The times of a session are in whole seconds, so the bound includes all of its last second.
        where += " AND created_at < ?"
        parameters.append(timestamp_micros(end_timestamp, "end_timestamp") + micros(1))
    # Postgres cannot use an index for NULLS LAST, and the other columns are never null.
    nulls = " NULLS LAST" if column in ("session_name", "user_id") else ""
    order = f"ORDER BY {column} {direction}{nulls}, session_id {direction}"
    if limit is not None and limit <= MAX_VALUES:
        # The sort only reads short columns, not the states of all sessions.
        sql = f"SELECT session_id FROM raw_sessions WHERE {where} {order} LIMIT ? OFFSET ?"
        parameters = [row[0] for row in connection.execute(sql, [*parameters, limit, start])]
        where, limit = f"session_id IN ({marks(parameters) or 'NULL'})", None
    if limit is not None:
        order += " LIMIT ? OFFSET ?"
        parameters += [limit, start]
    rows = select_sessions(connection, f"{where} {order}", parameters)
    return [tables.session_from_row(row, connection.store) for row in rows]


def rename_session(
    connection: Transaction,
    session_id: str,
    session_type: SessionType | str | None = None,
    session_name: str | None = None,
    user_id: str | None = None,
) -> Session | None:
    changes = {"session_name": session_name, "updated_at": micros(now())}
    connection.update("raw_sessions", changes, _session_key(session_id, session_type, user_id))
    return get_session(connection, session_id, session_type, user_id)


def update_session_state(
    connection: Transaction,
    session_id: str,
    session_state: JsonDict,
    user_id: str | None = None,
    *,
    base_state: JsonDict | None = None,
) -> Session | None:
    check_json_object(session_state, "session_state")
    if get_session(connection, session_id, user_id=user_id) is None:
        return None
    store_state(connection, session_id, session_state, base_state, gone=None)
    return get_session(connection, session_id)


def fork_session(
    connection: Transaction,
    session_id: str,
    *,
    user_id: str | None = None,
    to_run_index: int | None = None,
    at_run: str | None = None,
) -> Session | None:
    check_ids(at_run=at_run)
    if to_run_index is not None and at_run is not None:
        raise InvalidInputError("fork_session() got both to_run_index and at_run; pass one of them")
    if get_session(connection, session_id, user_id=user_id) is None:
        return None
    fork_id = fork.fork(connection, session_id, to_run_index=to_run_index, at_run=at_run, now=micros(now()))
    return get_session(connection, fork_id)


def enter_session(connection: Transaction, run: RunOutput, session: Session) -> tuple[Row, int | None]:
    """Create the session of a run, or claim an existing one; return its row and the start of its latest run.

    The first statement of its transaction: if writers overlap (Postgres), it also locks the session.
    """
    key = {"session_id": run.session_id}
    sql = (
        f"SELECT {tables.SESSIONS.sql_columns}, (SELECT MAX(created_at) FROM raw_runs WHERE session_id = ?) "
        f"FROM raw_sessions WHERE session_id = ? {connection.row_lock}"
    )
    found = connection.execute(sql, [run.session_id, run.session_id])
    rows = tables.SESSIONS.rows(values[:-1] for values in found)
    if not rows:
        fresh = tables.session_row(session, component_name=run.component_name, now=micros(now()))
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


def get_session_metrics(connection: Transaction, session_id: str) -> Metrics:
    check_ids(session_id=session_id)
    sums = ", ".join(f"SUM({valid_usage(name)})" for name in TOKEN_COUNTS)
    # A run without a model answer (because of an invalid key, for example) has no cost that could be unknown.
    answered = "SELECT run_id FROM raw_messages WHERE session_id = ? AND role = 'assistant' AND NOT from_history"
    cost = valid_usage("cost")
    sql = (
        f"SELECT {sums}, SUM({cost}), SUM(CASE WHEN {cost} IS NULL AND kind <> 'workflow' "
        f"AND run_id IN ({answered}) THEN 1 ELSE 0 END), "
        "SUM(duration_s) FROM raw_runs WHERE session_id = ?"
    )
    return tables.session_metrics(connection.execute(sql, [session_id, session_id])[0])
