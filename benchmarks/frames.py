"""Frames of a big store: against DuckDB's own way to pandas, and what a limit or a session saves."""

from __future__ import annotations

import pandas as pd

from agno_nb.db.columns import MESSAGES
from agno_nb.db.in_memory import InMemoryDb
from benchmarks.measure import Sample, interleaved

MESSAGES_OF_A_RUN = 10
RUNS_OF_A_SESSION = 100


def frames_of_a_big_store(*, runs: int, rounds: int) -> dict[str, Sample]:
    db = big_store(runs)
    columns = ", ".join(MESSAGES.columns)

    def as_duckdb_does() -> pd.DataFrame:
        frame: pd.DataFrame = db.frame(f"SELECT {columns} FROM messages").to_pandas()
        return frame

    return interleaved(
        {
            "DuckDB -> Arrow -> pandas": as_duckdb_does,
            "messages_df()": db.messages_df,
            "messages_df(session_id=...)": lambda: db.messages_df(session_id="s0"),
            "messages_df(limit=10)": lambda: db.messages_df(limit=10),
            "runs_df()": db.runs_df,
            "runs_df(session_id=...)": lambda: db.runs_df(session_id="s0"),
            "runs_df(limit=10)": lambda: db.runs_df(limit=10),
            "query('select count(*) from runs')": lambda: db.query("select count(*) from runs"),
        },
        rounds=rounds,
    )


def big_store(runs: int) -> InMemoryDb:
    """Make a store in which each tenth session has a turn that was tried again."""
    db = InMemoryDb()
    start = 1_700_000_000_000_000
    run = "'00000000-0000-7000-8000-' || lpad(n::VARCHAR, 12, '0')"
    session = f"'s' || (n // {RUNS_OF_A_SESSION})"
    again = f"n % {RUNS_OF_A_SESSION * 10} = {RUNS_OF_A_SESSION - 1}"
    with db._driver.lease(write=True) as connection:
        connection.execute(
            "INSERT INTO raw_sessions (session_id, session_type, session_state, created_at, updated_at) "
            f"SELECT 's' || n, 'agent', '{{}}', {start} + n, {start} + n FROM range({runs // RUNS_OF_A_SESSION}) t(n)"
        )
        connection.execute(
            "INSERT INTO raw_runs (run_id, root_run_id, session_id, run_index, attempt, kind, status, input, content, "
            f"content_type, input_tokens, output_tokens, worker, created_at, ended_at) SELECT {run}, {run}, {session}, "
            f"CASE WHEN {again} THEN 0 ELSE n % {RUNS_OF_A_SESSION} END, CASE WHEN {again} THEN 1 ELSE 0 END, "
            "'agent', 'COMPLETED', repeat('input ', 20), repeat('answer ', 60), 'str', 10, 20, 'h:1:1', "
            f"{start} + n * 1000, {start} + n * 1000 + 500 FROM range({runs}) t(n)"
        )
        connection.execute(
            "INSERT INTO raw_messages (message_id, run_id, session_id, message_index, role, content, tool_call_error, "
            "input_tokens, output_tokens, duration_s, num_tool_calls, num_media, from_history, created_at) "
            f"SELECT {run} || '-' || k, {run}, {session}, k, CASE WHEN k % 2 = 0 THEN 'user' ELSE 'assistant' END, "
            "repeat('message text ', 30), false, 5, 5, 0.1, 0, 0, false, "
            f"{start} + n * 1000 + k FROM range({runs}) t(n), range({MESSAGES_OF_A_RUN}) u(k) ORDER BY n, k"
        )
    return db
