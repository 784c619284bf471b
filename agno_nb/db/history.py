"""Messages and earlier turns of a session, read in a bounded number of rows however long the session is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import filterfalse
from operator import attrgetter, itemgetter
from typing import Any

from agno_nb.db import tables
from agno_nb.db.base import ContextQuery
from agno_nb.db.encoding import Row, check_ids, micros
from agno_nb.db.process_id import is_alive_elsewhere
from agno_nb.db.pushdown import MAX_VALUES
from agno_nb.db.session_cache import StoredMessages, Turn
from agno_nb.db.statements import Transaction, marks
from agno_nb.errors import InvalidInputError, SessionBusyError
from agno_nb.types import Message, RunOutput, RunStatus, whole_number

LAST_TURN = 2**31 - 1
"""Larger than the index of any turn."""

NO_TIME_LIMIT = 2**63 - 1
"""Microseconds, later than any time."""


def next_attempt(connection: Transaction, session_id: str, run_index: int) -> int:
    sql = "SELECT MAX(attempt) + 1 FROM raw_runs WHERE session_id = ? AND run_index = ?"
    attempt: int | None = connection.execute(sql, [session_id, run_index])[0][0]
    if attempt is None:
        raise InvalidInputError(f"session {session_id!r} has no turn {run_index}; leave run_index None for a new turn")
    return attempt


def current_attempts(
    connection: Transaction, session_id: str, *, last: int | None = None
) -> dict[int, tuple[str, str]]:
    """Return run_id and status of the latest attempt at each turn, or at the `last` turns, oldest turn first."""
    where = "session_id = ? AND run_index IS NOT NULL"
    parameters: list[str | int] = [session_id]
    if last is not None:
        # Turns are numbered without gaps.
        where += " AND run_index > (SELECT MAX(run_index) FROM raw_runs WHERE session_id = ?) - ?"
        parameters += [session_id, max(last, 0)]
    sql = f"SELECT run_index, run_id, status FROM raw_runs WHERE {where} ORDER BY run_index, attempt"
    return {run_index: (run_id, status) for run_index, run_id, status in connection.execute(sql, parameters)}


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
    as_of: int = NO_TIME_LIMIT,
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
    before, size = LAST_TURN if run_index is None else run_index, num_turns + 4
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
    connection: Transaction, run: RunOutput, query: ContextQuery, *, as_of: int = NO_TIME_LIMIT
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


def insert_messages(
    connection: Transaction, run: RunOutput, messages: Sequence[Message], indexes: Sequence[int]
) -> StoredMessages | None:
    """Store messages, each with its index in the run, and their tool calls and media.

    Return the rows as stored, or None if there are media, which are more than rows of messages and calls.
    """
    calls: list[Row] = []
    media: list[Row] = []
    contents: dict[str, bytes] = {}
    for message in messages:
        if message.tool_calls:
            calls += tables.tool_call_rows(message, run)
        if message.media:
            rows_of_message, contents_of_message = tables.media_rows(message, run)
            media += rows_of_message
            contents |= contents_of_message
    rows = [tables.message_row(message, run, index) for message, index in zip(messages, indexes, strict=True)]
    stored = connection.insert("raw_messages", rows), connection.insert("raw_tool_calls", calls) if calls else []
    if not media:
        return stored
    connection.insert("raw_message_media", media)
    # Sorted, because two overlapping writers of the same contents could otherwise deadlock.
    in_order = [{"media_id": media_id, "content": contents[media_id]} for media_id in sorted(contents)]
    connection.insert("raw_media", in_order, "ON CONFLICT (media_id) DO NOTHING")
    return None


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
    check_ids(session_id=session_id)
    last_n_runs = whole_number("last_n_runs", last_n_runs)
    where, parameters = "session_id = ?", [session_id]
    turns = current_attempts(connection, session_id, last=last_n_runs)
    run_ids = [run_id for run_id, _ in turns.values()]
    if last_n_runs is not None and len(run_ids) <= MAX_VALUES:
        where += f" AND run_id IN ({marks(run_ids) or 'NULL'})"
        parameters += run_ids
    messages = select_messages(connection, where, parameters)
    return [message for run_id in run_ids for message in messages.get(run_id, [])]


def message_indexes(run_messages: Sequence[Message], messages: Sequence[Message]) -> list[int]:
    """Return the index of each message in its run.

    0 is reserved for the system message. Copies of earlier messages have negative indexes. The result of a tool call
    has the index that belongs to its call, even if earlier results are missing.
    """
    indexes: dict[str, int] = {}
    copies = sum(map(attrgetter("from_history"), messages))
    for index, message in enumerate(filter(attrgetter("from_history"), messages), -copies):
        indexes[message.message_id] = index
    free: int | None = None
    of_calls: dict[str | None, int] = {}
    for message in filterfalse(attrgetter("from_history"), run_messages):
        if free is None:
            free = 0 if message.role == "system" else 1
        if message.role == "tool" and message.tool_call_id in of_calls:
            indexes[message.message_id] = of_calls.pop(message.tool_call_id)
            continue
        indexes[message.message_id] = free
        of_calls.clear()
        for index, call in enumerate(message.tool_calls, free + 1):
            of_calls[call.tool_call_id] = index
        free += 1 + len(message.tool_calls)
    return [indexes[message.message_id] for message in messages]
