"""What a run needs to know of its session, read in a bounded number of rows however long the session is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agno_nb.db.base import ContextQuery
from agno_nb.db.encoding import micros
from agno_nb.db.process_id import is_alive_elsewhere
from agno_nb.db.statements import Transaction, marks, select_messages
from agno_nb.db.tables import MEMORY_COLUMNS, SUMMARY_COLUMNS, memory_from_row, summary_from_row
from agno_nb.errors import InvalidInputError, SessionBusyError
from agno_nb.types import Message, RunOutput, RunStatus, SessionSummary, UserMemory

Turn = tuple[int, str]
"""run_index and run_id of the current attempt."""

LAST_TURN = 2**31 - 1
"""No turn comes after this one."""

NO_TIME_LIMIT = 2**63 - 1
"""Microseconds: no time comes after this one."""

SUMMARY_HOLDS = (
    "NOT EXISTS (SELECT 1 FROM raw_runs WHERE raw_runs.session_id = raw_summaries.session_id AND attempt > 0 "
    "AND run_index <= to_run_index AND created_at > updated_at)"
)
"""That no turn which the summary condenses was tried again after it was written."""


def next_attempt(connection: Transaction, session_id: str, run_index: int) -> int:
    sql = "SELECT MAX(attempt) + 1 FROM raw_runs WHERE session_id = ? AND run_index = ?"
    attempt: int | None = connection.execute(sql, [session_id, run_index])[0][0]
    if attempt is None:
        raise InvalidInputError(f"session {session_id!r} has no turn {run_index}; leave run_index None for a new one")
    return attempt


def current_attempts(
    connection: Transaction, session_id: str, *, last: int | None = None
) -> dict[int, tuple[str, str]]:
    """Return run_id and status of the latest attempt at each turn, or at the `last` turns, oldest turn first."""
    where = "session_id = ? AND run_index IS NOT NULL"
    parameters: list[str | int] = [session_id]
    if last is not None:
        # Turns are counted without gaps.
        where += " AND run_index > (SELECT MAX(run_index) FROM raw_runs WHERE session_id = ?) - ?"
        parameters += [session_id, max(last, 0)]
    sql = f"SELECT run_index, run_id, status FROM raw_runs WHERE {where} ORDER BY run_index, attempt"
    return {run_index: (run_id, status) for run_index, run_id, status in connection.execute(sql, parameters)}


def check_turn_order(connection: Transaction, session_id: str) -> None:
    """Let turns of a session follow each other, in whichever processes they are done.

    Raises
    ------
    SessionBusyError
        Another process does one.
    """
    sql = "SELECT run_id, worker FROM raw_runs WHERE session_id = ? AND status = ? AND run_index IS NOT NULL"
    for run_id, worker in connection.execute(sql, [session_id, RunStatus.RUNNING]):
        if is_alive_elsewhere(worker):
            pid = worker.rsplit(":", 2)[1]
            raise SessionBusyError(f"process {pid} does run {run_id!r} in session {session_id!r}")


def load_turns(
    connection: Transaction,
    session_id: str,
    run_index: int | None,
    query: ContextQuery,
    *,
    as_of: int = NO_TIME_LIMIT,
) -> tuple[int, list[Turn], int]:
    """Return a turn, the completed ones before it that `query` asks for, and how many attempts at those are superseded.

    The turns are in order, oldest first. The turn is the next free one where `run_index` is None. What began or ended
    after `as_of` (microseconds) does not count.

    Raises
    ------
    SessionBusyError
        A new turn is asked for, and another process does the one before it.
    """
    num_turns = num_turns_needed(query)
    sql = (
        "SELECT run_index, run_id, status, ended_at FROM raw_runs WHERE session_id = ? AND run_index < ? "
        "AND created_at <= ? ORDER BY run_index DESC, attempt DESC LIMIT ?"
    )
    turns: dict[int, tuple[str, bool]] = {}
    completed: list[Turn] = []
    # Looked for among the latest, and further back only when too many of those were not completed.
    before, size = LAST_TURN if run_index is None else run_index, num_turns + 4
    while True:
        rows = connection.execute(sql, [session_id, before, as_of, size])
        for index, run_id, status, ended_at in rows:
            # The first row of a turn is its latest attempt.
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
    chosen = completed[:num_turns][::-1]
    indexes = {index for index, _ in chosen}
    return run_index, chosen, sum(index in indexes for index, *_ in rows) - len(chosen)


def keep_time_order(connection: Transaction, run: RunOutput, messages: Sequence[Message], latest: int | None) -> None:
    """Let a run begin later than all that its session has, even if the clock was set back since.

    Whether a turn is stale, and what a summary condenses, follows from what came before what.
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
    connection: Transaction, run: RunOutput, query: ContextQuery, *, as_of: int = NO_TIME_LIMIT
) -> list[Turn]:
    """Return the completed runs of the same agent, team or workflow that `query` asks for, oldest first.

    They were nested in the turn that goes on, or in the current attempts at the turns before it, and ended not later
    than `as_of` (microseconds).
    """
    num_turns = num_turns_needed(query)
    if not num_turns:
        return []
    sql = (
        "SELECT root.run_index, nested.run_id FROM raw_runs AS nested "
        "JOIN raw_runs AS root ON root.run_id = nested.root_run_id "
        # Each table is told its session: from a join DuckDB would not conclude that others need not be read.
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
    """Return how many of the latest turns are needed at the most."""
    # A completed run has at least one message, so that many runs are enough.
    return query.num_history_runs if query.num_history_messages is None else query.num_history_messages


def load_messages(connection: Transaction, session_id: str, turns: Sequence[Turn]) -> dict[str, list[Message]]:
    """Return what was said in each of the runs of `turns`, but for system messages and copies."""
    if not turns:
        return {}
    run_ids = [run_id for _, run_id in turns]
    return select_messages(
        connection,
        f"session_id = ? AND run_id IN ({marks(run_ids)})",
        [session_id, *run_ids],
        only="role <> 'system' AND NOT from_history",
    )


def select_history(
    messages_by_run: Mapping[str, list[Message]], turns: Sequence[Turn], query: ContextQuery
) -> list[Message]:
    """Return of what was said in `turns` as much as `query` asks for, oldest first."""
    messages = [message for _, run_id in turns for message in messages_by_run.get(run_id, [])]
    if query.num_history_messages is not None:
        messages = messages[-query.num_history_messages :]
        # An answer to a call that is not shown means nothing to a model, and most providers refuse it.
        while messages and messages[0].role == "tool":
            del messages[0]
    for message in messages:
        message.from_history = True
    return messages


def latest_summary(connection: Transaction, session_id: str, before_run_index: int | None) -> SessionSummary | None:
    """Return the latest summary that holds and, where a turn is given, covers only turns before it."""
    where = f"session_id = ? AND {SUMMARY_HOLDS}"
    parameters: list[str | int] = [session_id]
    if before_run_index is not None:
        where += " AND to_run_index < ?"
        parameters.append(before_run_index)
    sql = f"SELECT {', '.join(SUMMARY_COLUMNS)} FROM raw_summaries WHERE {where} ORDER BY version DESC LIMIT 1"
    rows = connection.execute(sql, parameters)
    return summary_from_row(rows[0]) if rows else None


def select_memories(connection: Transaction, where: str, parameters: Sequence[str]) -> list[UserMemory]:
    """Return the memories that `where` selects, oldest first."""
    sql = f"SELECT {', '.join(MEMORY_COLUMNS)} FROM raw_memories WHERE {where} ORDER BY created_at, memory_id"
    return [memory_from_row(row) for row in connection.execute(sql, parameters)]
