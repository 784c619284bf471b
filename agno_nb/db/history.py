"""Read the runs of a SQL store: the turns and messages of a session, and runs as objects.

The context of a run is read in a bounded number of rows, however long the session is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal

from agno_nb.db import tables
from agno_nb.db.base import CellTurn, ContextQuery
from agno_nb.db.encoding import Row, check_choice, check_ids, micros
from agno_nb.db.model_usage import details_of_run
from agno_nb.db.process_id import is_alive_elsewhere, is_over
from agno_nb.db.pushdown import MAX_VALUES
from agno_nb.db.session_cache import Turn
from agno_nb.db.statements import Transaction, chunks, marks, non_null, page_of, where_equal
from agno_nb.errors import InvalidInputError, SessionBusyError
from agno_nb.types import Message, RunOutput, RunStatus, SessionType, whole_number

_LAST_TURN = 2**31 - 1
"""Larger than the index of any turn."""

_NO_TIME_LIMIT = 2**63 - 1
"""Microseconds, later than any time."""

# A run starts later than those before it in its session (see keep_time_order). Older stores may have equal times.
_LATEST_FIRST = f"created_at DESC, COALESCE(run_index, {_LAST_TURN}) DESC, attempt DESC, run_id DESC"


_SORT_COLUMNS = ("created_at", "ended_at")


def next_attempt(connection: Transaction, session_id: str, run_index: int) -> int:
    sql = "SELECT MAX(attempt) + 1 FROM raw_runs WHERE session_id = ? AND run_index = ?"
    attempt: int | None = connection.execute(sql, [session_id, run_index])[0][0]
    if attempt is None:
        raise InvalidInputError(f"session {session_id!r} has no turn {run_index}; leave run_index None for a new turn")
    return attempt


def current_attempts(connection: Transaction, session_id: str, *, last: int | None = None) -> dict[int, str]:
    """Return the ID of the latest attempt at each turn, or at the `last` turns, oldest turn first."""
    where = "session_id = ? AND run_index IS NOT NULL"
    parameters: list[str | int] = [session_id]
    if last is not None:
        # Turns may have gaps, where runs were deleted.
        where += (
            " AND run_index IN (SELECT DISTINCT run_index FROM raw_runs WHERE session_id = ? "
            "AND run_index IS NOT NULL ORDER BY run_index DESC LIMIT ?)"
        )
        parameters += [session_id, max(last, 0)]
    sql = f"SELECT run_index, run_id FROM raw_runs WHERE {where} ORDER BY run_index, attempt"
    return {row[0]: row[1] for row in connection.execute(sql, parameters)}


def check_turn_order(connection: Transaction, session_id: str) -> None:
    """Raise a SessionBusyError if another process is executing a turn of a session, so that turns don't overlap."""
    sql = "SELECT run_id, worker FROM raw_runs WHERE session_id = ? AND status = ? AND run_index IS NOT NULL"
    for run_id, worker in connection.execute(sql, [session_id, RunStatus.RUNNING]):
        if is_alive_elsewhere(worker):
            pid = worker.rsplit(":", 2)[1]
            raise SessionBusyError(
                f"session {session_id!r} is busy: process {pid} is executing run {run_id!r}; try again when it has "
                "finished"
            )


def load_turns(
    connection: Transaction,
    session_id: str,
    run_index: int | None,
    query: ContextQuery,
    *,
    as_of: int = _NO_TIME_LIMIT,
) -> tuple[int, list[Turn], int]:
    """Return the index of a turn, the completed turns before it that `query` needs, and their superseded attempts.

    Turns are in order, oldest first; of superseded attempts only the number is returned. If `run_index` is None, the
    turn is a new one, and another process must not be executing the one before it. Runs that started or ended after
    `as_of` (microseconds) are left out.
    """
    num_turns = num_turns_needed(query)
    sql = (
        "SELECT run_index, run_id, status, ended_at FROM raw_runs WHERE session_id = ? AND run_index < ? "
        "AND created_at <= ? ORDER BY run_index DESC, attempt DESC LIMIT ?"
    )
    turns: dict[int, tuple[str, bool]] = {}
    completed: list[Turn] = []
    # Reads the latest rows, and earlier ones only if too many of these turns were not completed.
    before, size = _LAST_TURN if run_index is None else run_index, num_turns + 4
    if run_index is not None and query.before_run_index is not None:
        before = query.before_run_index
    while True:
        rows = connection.execute(sql, [session_id, before, as_of, size])
        for index, run_id, status, ended_at in rows:
            # The first row of each turn is its latest attempt.
            is_over = status == RunStatus.COMPLETED and (ended_at or 0) <= as_of
            turns.setdefault(index, (run_id, is_over))
        completed = [(index, run_id) for index, (run_id, is_over) in turns.items() if is_over]
        if len(rows) < size or len(completed) >= num_turns:
            break
        before, size = rows[-1][0], size * 4
    if run_index is None and any(status == RunStatus.RUNNING for _, _, status, _ in rows):
        check_turn_order(connection, session_id)
    if run_index is None:
        run_index = next(iter(turns), -1) + 1
        if query.before_run_index is not None:
            return load_turns(connection, session_id, run_index, query, as_of=as_of)
    chosen = completed[:num_turns][::-1]
    indexes = {index for index, _ in chosen}
    return run_index, chosen, sum(index in indexes for index, *_ in rows) - len(chosen)


def keep_time_order(connection: Transaction, run: RunOutput, messages: Sequence[Message], latest: int | None) -> None:
    """Make a run start later than everything in its session, even if the clock was set back.

    Which turns are stale, and which turns a summary covers, is determined by the order of times.
    """
    if latest is None or micros(run.created_at) > latest:
        return
    times = "SELECT MAX(created_at), MAX(ended_at) FROM raw_runs WHERE session_id = ?"
    (found,) = connection.execute(times, [run.session_id])
    (summary,) = connection.execute("SELECT MAX(updated_at) FROM raw_summaries WHERE session_id = ?", [run.session_id])
    run.created_at = (max(moment for moment in (*found, *summary) if moment is not None) + 1) / 1_000_000
    for message in messages:
        if not message.from_history:
            message.created_at = max(message.created_at, run.created_at)


def load_nested_runs(
    connection: Transaction, run: RunOutput, query: ContextQuery, *, as_of: int = _NO_TIME_LIMIT
) -> list[Turn]:
    """Return the completed runs of the same agent, team or workflow that `query` needs, oldest first.

    They are nested in the current turn, or in the current attempts of the turns before it, and ended no later than
    `as_of` (microseconds).
    """
    num_turns = num_turns_needed(query)
    if not num_turns:
        return []
    sql = (
        "SELECT root.run_index, nested.run_id FROM raw_runs AS nested "
        "JOIN raw_runs AS root ON root.run_id = nested.root_run_id "
        # The session is a condition on each table, because DuckDB does not derive it from the join.
        "WHERE nested.session_id = ? AND root.session_id = ? AND nested.component_id = ? "
        "AND nested.run_index IS NULL AND nested.status = ? AND nested.ended_at <= ? "
        "AND (root.run_id = ? OR (root.status = ? "
        "AND root.run_index < (SELECT run_index FROM raw_runs WHERE session_id = ? AND run_id = ?) "
        "AND NOT EXISTS (SELECT 1 FROM raw_runs AS later WHERE later.session_id = ? "
        "AND later.run_index = root.run_index AND later.attempt > root.attempt))) "
        "ORDER BY root.run_index DESC, nested.created_at DESC, nested.run_id DESC LIMIT ?"
    )
    of_session, done = run.session_id, RunStatus.COMPLETED
    parameters = [
        of_session, of_session, run.component_id, done, as_of, run.root_run_id, done, of_session, run.root_run_id,
        of_session, num_turns,
    ]  # fmt: skip
    return [(index, run_id) for index, run_id in connection.execute(sql, parameters)][::-1]


def num_turns_needed(query: ContextQuery) -> int:
    """Return the maximum number of earlier turns that a query needs."""
    # A completed run has at least one message.
    return query.num_history_runs if query.num_history_messages is None else query.num_history_messages


def load_messages(connection: Transaction, session_id: str, turns: Sequence[Turn]) -> dict[str, list[Message]]:
    """Return the messages of some turns by run, without system messages and copies of earlier messages."""
    if not turns:
        return {}
    run_ids = [run_id for _, run_id in turns]
    where = f"session_id = ? AND run_id IN ({marks(run_ids)})"
    only = "role <> 'system' AND NOT from_history"
    return select_messages(connection, where, [session_id, *run_ids], only=only)


def select_history(
    messages_by_run: Mapping[str, list[Message]], turns: Sequence[Turn], query: ContextQuery
) -> list[Message]:
    """Return the messages of `turns` that `query` needs, oldest first, each with `from_history` set."""
    messages = [message for _, run_id in turns for message in messages_by_run.get(run_id, [])]
    if query.num_history_messages is not None:
        messages = messages[-query.num_history_messages :]
        # Most providers reject a tool result without its call.
        while messages and messages[0].role == "tool":
            del messages[0]
    for message in messages:
        message.from_history = True
    return messages


def select_messages(
    connection: Transaction, where: str, parameters: Sequence[Any], *, only: str = "TRUE"
) -> dict[str, list[Message]]:
    """Return the messages that match `where` and `only` by run, with the tool calls and media that match `where`."""
    messages = connection.select(tables.MESSAGES, f"{where} AND {only}", parameters)
    # With an ORDER BY, the query takes DuckDB half as long again.
    messages.sort(key=itemgetter("message_index"))
    calls: list[Row] = []
    media: list[tuple[Row, bytes | None]] = []
    if any(map(itemgetter("num_tool_calls"), messages)):
        calls = connection.select(tables.TOOL_CALLS, f"{where} ORDER BY call_index", parameters)
    if any(map(itemgetter("num_media"), messages)):
        sql = (
            f"SELECT content, {tables.MESSAGE_MEDIA.sql_columns} FROM raw_message_media "
            f"LEFT JOIN raw_media USING (media_id) WHERE {where} ORDER BY media_index"
        )
        found = connection.execute(sql, parameters)
        rows = tables.MESSAGE_MEDIA.rows(values[1:] for values in found)
        media = [(row, values[0]) for row, values in zip(rows, found, strict=True)]
    return tables.messages_from_rows(messages, calls, media)


def get_messages(connection: Transaction, session_id: str, *, last_n_runs: int | None = None) -> list[Message]:
    check_ids("session_id", session_id=session_id)
    last_n_runs = whole_number("last_n_runs", last_n_runs)
    where, parameters = "session_id = ?", [session_id]
    run_ids = list(current_attempts(connection, session_id, last=last_n_runs).values())
    if last_n_runs is not None and len(run_ids) <= MAX_VALUES:
        where += f" AND run_id IN ({marks(run_ids) or 'NULL'})"
        parameters += run_ids
    messages = select_messages(connection, where, parameters)
    return [message for run_id in run_ids for message in messages.get(run_id, [])]


def get_runs(
    connection: Transaction,
    session_id: str | None = None,
    *,
    from_run_index: int | None = None,
    to_run_index: int | None = None,
    user_id: str | None = None,
    agent_id: str | None = None,
    team_id: str | None = None,
    workflow_id: str | None = None,
    status: RunStatus | str | None = None,
    limit: int | None = None,
    page: int | None = None,
    sort_by: str | None = None,
    sort_order: Literal["asc", "desc"] | None = None,
) -> list[RunOutput]:
    check_ids(session_id=session_id)
    check_choice("status", status, [*RunStatus])
    check_choice("sort_by", sort_by, _SORT_COLUMNS)
    check_choice("sort_order", sort_order, ("asc", "desc"))
    limit = whole_number("limit", limit)
    start, _ = page_of(limit, page)
    where, parameters = where_equal(non_null(session_id=session_id, user_id=user_id, status=status))
    for kind, component_id in zip(SessionType, (agent_id, team_id, workflow_id), strict=True):
        if component_id is not None:
            where += " AND kind = ? AND component_id = ?"
            parameters += [kind, component_id]
    for bound, run_index in ((">=", from_run_index), ("<=", to_run_index)):
        if run_index is not None:
            where += f" AND run_index {bound} ?"
            parameters.append(run_index)
    if session_id is not None and sort_by is None and sort_order is None and not start:
        return select_runs(connection, where, parameters, limit=limit)
    direction = sort_order or ("desc" if sort_by else None)
    order = _LATEST_FIRST if sort_by is None else f"COALESCE({sort_by}, created_at) DESC, {_LATEST_FIRST}"
    if direction == "asc":
        order = order.replace(" DESC", "")
    sql = f"SELECT session_id, run_id FROM raw_runs WHERE {where} ORDER BY {order}"
    if limit is not None:
        sql, parameters = f"{sql} LIMIT ? OFFSET ?", [*parameters, limit, start]
    found = connection.execute(sql, parameters)
    runs = _select_by_id(connection, found)
    return runs if direction is not None else runs[::-1]


def _select_by_id(connection: Transaction, ids: Sequence[tuple[str, str]]) -> list[RunOutput]:
    """Return runs of any sessions, each given by its session and ID, in the order of `ids`."""
    of_sessions: dict[str, list[str]] = {}
    for session_id, run_id in ids:
        of_sessions.setdefault(session_id, []).append(run_id)
    runs: dict[str, RunOutput] = {}
    for session_id, run_ids in of_sessions.items():
        for some in chunks(run_ids):
            where = f"session_id = ? AND run_id IN ({marks(some)})"
            runs |= {run.run_id: run for run in select_runs(connection, where, [session_id, *some])}
    return [runs[run_id] for _, run_id in ids]


def get_run(connection: Transaction, run_id: str, session_id: str | None = None) -> RunOutput | None:
    check_ids("run_id", run_id=run_id, session_id=session_id)
    # Read with the other runs of its turn, so that it has its nested runs.
    where, parameters = where_equal(non_null(run_id=run_id, session_id=session_id))
    turn = connection.execute(f"SELECT session_id, root_run_id FROM raw_runs WHERE {where}", parameters)
    runs = select_runs(connection, "session_id = ? AND root_run_id = ?", turn[0]) if turn else []
    return next((run for run in runs if run.run_id == run_id), None)


def get_child_runs(connection: Transaction, run_id: str) -> list[RunOutput]:
    check_ids("run_id", run_id=run_id)
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
        "SELECT run_index, notebook, kernel_id FROM raw_runs AS cell "
        "WHERE session_id = ? AND cell_id = ? AND run_index IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM raw_runs WHERE session_id = cell.session_id AND run_index = cell.run_index "
        "AND attempt < cell.attempt) ORDER BY run_index"
    )
    found = connection.execute(sql, [session_id, cell_id])
    if not found:
        return []
    sql = "SELECT DISTINCT run_index FROM raw_runs WHERE session_id = ? AND run_index > ? ORDER BY run_index"
    later = [index for (index,) in connection.execute(sql, [session_id, found[0][0]])]
    return [
        CellTurn(
            run_index=index,
            notebook=path,
            kernel_id=kernel,
            later_turns=tuple(each for each in later if each > index),
        )
        for index, path, kernel in found
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
        of_run = run.messages, run.model, run.served_model, run.model_provider, connection.store, run_id
        run.metrics.source = details_of_run, *of_run
        run.interrupted = run.status is RunStatus.RUNNING and is_over(rows[run_id]["worker"], run_id)
        if run.parent_run_id in runs:
            runs[run.parent_run_id].nested_runs.append(run)
        for step in run.step_results:
            step.executor_name = runs[step.run_id].component_name if step.run_id in runs else None
    # Innermost first, so that requirements are shared with all runs above.
    for run in reversed(runs.values()):
        if run.parent_run_id in runs:
            runs[run.parent_run_id].share_requirements(run)
    return list(runs.values())
