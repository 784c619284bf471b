"""Sessions of a SQL store, the rule which user may use which session, and the usage of runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

from agno_nb.db import fork, tables
from agno_nb.db.encoding import (
    Row,
    check_choice,
    check_ids,
    check_json_object,
    micros,
    to_sql,
)
from agno_nb.db.model_usage import details_of_session
from agno_nb.db.process_id import current_process_id
from agno_nb.db.pushdown import MAX_VALUES
from agno_nb.db.session_state import store_state
from agno_nb.db.statements import Connection, Transaction, chunks, marks, non_null, page_of, valid_usage, where_equal
from agno_nb.errors import InvalidInputError, SessionOwnershipError
from agno_nb.types import (
    TOKEN_COUNTS,
    JsonDict,
    Metrics,
    RunOutput,
    Session,
    SessionRows,
    SessionType,
    UsageTotals,
    whole_number,
)

OPEN_TO = "(user_id IS NULL OR user_id = ?)"
"""Condition on sessions: those that a named user may use, by :func:`require_owner`."""

_SORT_COLUMNS = ("updated_at", "created_at", "session_name", "session_id", "user_id")


_SUMS = f"""
    SUM(COALESCE({valid_usage("input_tokens")}, 0) + COALESCE({valid_usage("output_tokens")}, 0)) AS tokens,
    SUM(COALESCE({valid_usage("cost")}, 0)) AS usd,
    SUM(CASE WHEN {valid_usage("cost")} IS NULL AND input_tokens IS NOT NULL THEN 1 ELSE 0 END) AS num_unpriced
"""


def open_to(user_id: str | None) -> tuple[str, list[str]]:
    """Return the condition on sessions that a user may use, and its parameters. None may use all."""
    return ("TRUE", []) if user_id is None else (OPEN_TO, [user_id])


def require_owner(session_id: str, owner: str | None, user_id: str | None) -> None:
    """Raise a SessionOwnershipError if a session of `owner` is closed to a user.

    A session without an owner is open to every user and to anonymous callers. ``""`` is not a user, so nothing is
    open to it.
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
    check_ids("session_id", session_id=session_id, user_id=user_id or None)
    check_choice("session_type", session_type, [*SessionType])
    return non_null(session_id=session_id, session_type=session_type, user_id=user_id)


def get_session(
    connection: Transaction,
    session_id: str,
    session_type: SessionType | str | None = None,
    user_id: str | None = None,
    *,
    runs_limit: int | None = None,
) -> Session | None:
    runs_limit = whole_number("runs_limit", runs_limit, least=0)
    rows = connection.select(tables.SESSIONS, *where_equal(_session_key(session_id, session_type, user_id)))
    if not rows:
        return None
    session = tables.session_from_row(rows[0], connection.store)
    session.runs_limit = runs_limit
    return session


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
    *,
    include_runs: bool = True,
) -> list[Session]:
    check_choice("session_type", session_type, [*SessionType])
    limit = whole_number("limit", limit)
    column, direction = sort_by or "updated_at", sort_order or "desc"
    check_choice("sort_by", column, _SORT_COLUMNS)
    check_choice("sort_order", direction, ("asc", "desc"))
    start, _ = page_of(limit, page)
    key = non_null(session_type=session_type, user_id=user_id, component_id=component_id)
    where, parameters = where_equal(key)
    if session_name is not None:
        pattern = "".join("\\" + letter if letter in "\\%_" else letter for letter in session_name)
        where += " AND LOWER(session_name) LIKE LOWER(?) ESCAPE '\\'"
        parameters.append(f"%{pattern}%")
    # The times of a session are in whole seconds, so the second bound includes all of its last second.
    bounds = ("start_timestamp", ">=", start_timestamp, 0), ("end_timestamp", "<", end_timestamp, micros(1))
    for name, sign, seconds, after in bounds:
        if seconds is not None:
            if not isinstance(seconds, int | float):
                raise InvalidInputError(f"{name} is {seconds!r}; pass unix seconds, such as a datetime's .timestamp()")
            where += f" AND created_at {sign} ?"
            parameters.append(micros(seconds) + after)
    # Postgres cannot use an index for NULLS LAST, and the other columns are never null.
    nulls = " NULLS LAST" if column in ("session_name", "user_id") else ""
    order = f"ORDER BY {column} {direction}{nulls}, session_id {direction}"
    if limit is not None:
        # The sort only reads short columns, not the states of all sessions.
        chosen = f"SELECT session_id FROM raw_sessions WHERE {where} {order} LIMIT ? OFFSET ?"
        parameters += [limit, start]
        if limit <= MAX_VALUES:
            parameters = [session_id for (session_id,) in connection.execute(chosen, parameters)]
            chosen = marks(parameters) or "NULL"
        where = f"session_id IN ({chosen})"
    rows = connection.select(tables.SESSIONS, f"{where} {order}", parameters)
    found = [tables.session_from_row(row, connection.store) for row in rows]
    if not include_runs:
        for session in found:
            session.runs_limit = 0
    return found


def upsert_session(connection: Transaction, session: Session) -> Session:
    check_ids("session_id", session_id=session.session_id, user_id=session.user_id)
    check_json_object(session.session_state, "session_state")
    stored = get_session(connection, session.session_id)
    if isinstance(session.store, SessionRows):
        _check_runs_are_stored(connection, session)
    if stored is not None:
        require_owner(session.session_id, stored.user_id, session.user_id)
        store_state(connection, session.session_id, session.session_state, None, gone=None)
        changes = {"session_name": session.session_name, "metadata": session.metadata, "user_id": session.user_id}
        key = {"session_id": session.session_id}
        connection.update("raw_sessions", changes | {"updated_at": connection.now()}, key)
    else:
        row = tables.session_row(session, component_name=None, now=connection.now())
        connection.insert("raw_sessions", [row])
    found = get_session(connection, session.session_id)
    assert found is not None
    return found


def _check_runs_are_stored(connection: Transaction, session: Session) -> None:
    """Raise an error if the session was made with runs that would be lost."""
    rows = connection.execute("SELECT run_id FROM raw_runs WHERE session_id = ?", [session.session_id])
    if missing := {run.run_id for run in session.runs} - {run_id for (run_id,) in rows}:
        raise InvalidInputError(
            f"session {session.session_id!r} has run {min(missing)!r}, which is not in this store, and "
            "upsert_session() stores no runs; copy a stored session with export_session() and import_session(), or "
            "pass earlier messages to run([Message(...), ...])"
        )


def rename_session(
    connection: Transaction,
    session_id: str,
    session_type: SessionType | str | None = None,
    session_name: str | None = None,
    user_id: str | None = None,
) -> Session | None:
    key = _session_key(session_id, session_type, user_id)
    connection.update("raw_sessions", {"session_name": session_name, "updated_at": connection.now()}, key)
    return get_session(connection, session_id, session_type, user_id)


def update_session_state(
    connection: Transaction,
    session_id: str,
    session_state: JsonDict,
    user_id: str | None = None,
    *,
    base_state: JsonDict | None = None,
) -> Session | None:
    check_ids("session_id", session_id=session_id, user_id=user_id or None)
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
    check_ids("session_id", session_id=session_id, at_run=at_run, user_id=user_id or None)
    if to_run_index is not None and at_run is not None:
        raise InvalidInputError("fork_session() got both to_run_index and at_run; pass one of them")
    if get_session(connection, session_id, user_id=user_id) is None:
        return None
    fork_id = fork.fork(connection, session_id, to_run_index=to_run_index, at_run=at_run, now=connection.now())
    return get_session(connection, fork_id)


def missing_sessions(connection: Connection, session_ids: Collection[str]) -> set[str]:
    """Return the IDs of the sessions that don't exist."""
    missing = set(session_ids)
    for some in chunks(list(session_ids)):
        sql = f"SELECT session_id FROM raw_sessions WHERE session_id IN ({marks(some)})"
        missing.difference_update(
            session_id for (session_id,) in connection.execute(sql, [to_sql(session_id) for session_id in some])
        )
    return missing


def enter_session(connection: Transaction, run: RunOutput, session: Session, *, is_new: bool) -> tuple[Row, int | None]:
    """Create the session of a run, or claim an existing one; return its row and the start of its latest run.

    The first statement of its transaction: if writers overlap (Postgres), it also locks the session. With `is_new`, the
    session is known not to exist.
    """
    key = {"session_id": run.session_id}
    found: list[tuple[Any, ...]] = []
    if is_new or run.session_id in connection.missing_sessions:
        connection.missing_sessions.discard(run.session_id)
    else:
        sql = (
            f"SELECT {tables.SESSIONS.sql_columns}, (SELECT MAX(created_at) FROM raw_runs WHERE session_id = ?) "
            f"FROM raw_sessions WHERE session_id = ? {connection.row_lock}"
        )
        found = connection.execute(sql, [run.session_id, run.session_id])
    if found:
        (row,) = tables.SESSIONS.rows(values[:-1] for values in found)
    else:
        fresh = tables.session_row(session, component_name=run.component_name, now=connection.now())
        # The session starts with its first run, which was created before this transaction.
        fresh["created_at"] = min(fresh["created_at"], micros(run.created_at))
        fresh |= key | {"user_id": run.user_id}
        if connection.row_lock:
            then = "ON CONFLICT (session_id) DO UPDATE SET updated_at = excluded.updated_at"
            connection.insert("raw_sessions", [fresh], then)
            (row,) = connection.select(tables.SESSIONS, "session_id = ?", [run.session_id])
        else:
            # No other writer can have created it since.
            (stored,) = connection.insert("raw_sessions", [fresh])
            row = dict.fromkeys(tables.SESSIONS.columns) | stored
    if row["user_id"] is None and run.user_id is not None:
        connection.update("raw_sessions", {"user_id": run.user_id}, key)
        row["user_id"] = to_sql(run.user_id)
    return row, found[0][-1] if found else None


def get_session_metrics(connection: Transaction, session_id: str) -> Metrics:
    check_ids("session_id", session_id=session_id)
    sums = ", ".join(f"SUM({valid_usage(name)})" for name in TOKEN_COUNTS)
    # A run without a model answer (because of an invalid key, for example) has no cost that could be unknown.
    answered = "SELECT run_id FROM raw_messages WHERE session_id = ? AND role = 'assistant' AND NOT from_history"
    cost = valid_usage("cost")
    sql = (
        f"SELECT {sums}, SUM({cost}), SUM(CASE WHEN {cost} IS NULL AND kind <> 'workflow' "
        f"AND run_id IN ({answered}) THEN 1 ELSE 0 END), "
        "SUM(duration_s) FROM raw_runs WHERE session_id = ?"
    )
    ((*counts, cost_known, num_unpriced, duration_s),) = connection.execute(sql, [session_id, session_id])
    tokens: JsonDict = {
        name: None if count is None else int(count) for name, count in zip(TOKEN_COUNTS, counts, strict=True)
    }
    metrics = Metrics(**tokens, cost=None if num_unpriced else cost_known, duration_s=duration_s)
    metrics.source = details_of_session, connection.store, session_id
    return metrics


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
