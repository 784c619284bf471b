"""DataFrames of a large store, compared with agno and with DuckDB's conversion to pandas; effect of limits and filters.

``python -m benchmarks.frames --runs 100000``
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from agno_nb import DuckDb, SqliteDb
from agno_nb.db.frame_definitions import MESSAGES
from benchmarks.measure import Sample, interleaved

MESSAGES_OF_A_RUN = 10
RUNS_OF_A_SESSION = 100

START = 1_700_000_000_000_000
INPUT, ANSWER, SAID = "input " * 20, "answer " * 60, "message text " * 30

FLOOR = "DuckDB -> Arrow -> pandas"
OURS = "DuckDb.messages_df()"
OURS_IN_SQLITE = "SqliteDb.messages_df(), the first time"
OURS_IN_SQLITE_AGAIN = "SqliteDb.messages_df(), again"
THEIRS = "agno: get_sessions() and flatten"
THEIRS_RAW = "agno: get_sessions(deserialize=False) and flatten"


def frames_of_a_big_store(folder: Path, *, runs: int, rounds: int) -> dict[str, Sample]:
    """Time the frames of three stores with the same sessions, runs and messages: DuckDb, SqliteDb and agno's SqliteDb.

    agno's way is timed once, because it takes as long as all else together.
    """
    db = fill_duckdb(folder / "big.duckdb", runs)
    sqlite = fill_sqlite(folder / "big.db", db)
    columns = ", ".join(MESSAGES.columns)

    def as_duckdb_does() -> pd.DataFrame:
        frame: pd.DataFrame = db.frame(f"SELECT {columns} FROM messages").to_pandas()
        return frame

    def anew() -> pd.DataFrame:
        # A new object, which holds nothing of the store yet.
        return SqliteDb(sqlite.db_file).messages_df()

    samples = interleaved({FLOOR: as_duckdb_does, OURS: db.messages_df}, rounds=rounds)
    samples |= interleaved({OURS_IN_SQLITE: anew, OURS_IN_SQLITE_AGAIN: sqlite.messages_df}, rounds=3)
    for name, flatten in agno_ways(folder / "big-agno.db", runs).items():
        gc.collect()
        samples[name] = Sample.of([seconds_of(flatten, rows=runs * MESSAGES_OF_A_RUN)])
    few: dict[str, Callable[[], object]] = {}
    for store in (db, sqlite):
        of = type(store).__name__
        few |= {
            f"{of}.messages_df(session_id=...)": lambda store=store: store.messages_df(session_id="s0"),
            f"{of}.messages_df(limit=10)": lambda store=store: store.messages_df(limit=10),
            f"{of}.runs_df(session_id=...)": lambda store=store: store.runs_df(session_id="s0"),
            f"{of}.runs_df(limit=10)": lambda store=store: store.runs_df(limit=10),
            f"{of}.sessions_df(limit=10)": lambda store=store: store.sessions_df(limit=10),
            f"{of}.events_df(limit=10)": lambda store=store: store.events_df(limit=10),
        }
    # What a frame of all messages holds of a SqliteDb would serve those of a few.
    sqlite.close()
    few |= {
        "DuckDb.sessions_df()": db.sessions_df,
        "DuckDb.runs_df()": db.runs_df,
        "DuckDb.query('select count(*) from runs')": lambda: db.query("select count(*) from runs"),
        "DuckDb.query('select role, count(*) from messages group by 1')": lambda: db.query(
            "select role, count(*) from messages group by 1"
        ),
    }
    samples |= interleaved(few, rounds=rounds)
    for each in (db, sqlite):
        each.close()
    return samples


def seconds_of(flatten: Callable[[], pd.DataFrame], *, rows: int) -> float:
    start = time.perf_counter()
    frame = flatten()
    seconds = time.perf_counter() - start
    assert len(frame) == rows, f"{len(frame):,} rows and not {rows:,}"
    return seconds


def fill_duckdb(path: Path, runs: int) -> DuckDb:
    """Create a store in which every tenth session has a turn with two attempts."""
    db = DuckDb(path)
    run = "'00000000-0000-7000-8000-' || lpad(n::VARCHAR, 12, '0')"
    session = f"'s' || (n // {RUNS_OF_A_SESSION})"
    again = f"n % {RUNS_OF_A_SESSION * 10} = {RUNS_OF_A_SESSION - 1}"
    with db._driver.transaction(write=True) as connection:
        connection.execute(
            "INSERT INTO raw_sessions (session_id, session_type, session_state, created_at, updated_at) "
            f"SELECT 's' || n, 'agent', '{{}}', {START} + n, {START} + n FROM range({runs // RUNS_OF_A_SESSION}) t(n)"
        )
        connection.execute(
            "INSERT INTO raw_runs (run_id, root_run_id, session_id, run_index, attempt, kind, status, input, content, "
            f"content_type, input_tokens, output_tokens, worker, created_at, ended_at) SELECT {run}, {run}, {session}, "
            f"CASE WHEN {again} THEN 0 ELSE n % {RUNS_OF_A_SESSION} END, CASE WHEN {again} THEN 1 ELSE 0 END, "
            f"'agent', 'COMPLETED', '{INPUT}', '{ANSWER}', 'str', 10, 20, 'h:1:1', "
            f"{START} + n * 1000, {START} + n * 1000 + 500 FROM range({runs}) t(n)"
        )
        connection.execute(
            "INSERT INTO raw_messages (message_id, run_id, session_id, message_index, role, content, tool_call_error, "
            "input_tokens, output_tokens, duration_s, num_tool_calls, num_media, from_history, created_at) "
            f"SELECT {run} || '-' || k, {run}, {session}, k, CASE WHEN k % 2 = 0 THEN 'user' ELSE 'assistant' END, "
            f"'{SAID}', false, 5, 5, 0.1, 0, 0, false, "
            f"{START} + n * 1000 + k FROM range({runs}) t(n), range({MESSAGES_OF_A_RUN}) u(k) ORDER BY n, k"
        )
    return db


def fill_sqlite(path: Path, source: DuckDb) -> SqliteDb:
    """Create a store with the same rows."""
    db = SqliteDb(path)
    for table in ("raw_sessions", "raw_runs", "raw_messages"):
        rows = source._driver.tables([table])[table]
        marks = ", ".join("?" * rows.num_columns)
        with db._driver.transaction(write=True) as connection:
            for batch in rows.to_batches(max_chunksize=100_000):
                # One column after the other, as Arrow has them, and all rows in one statement of SQLite's driver.
                values = zip(*(column.to_pylist() for column in batch.columns), strict=True)
                connection._connection.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
    return db


def agno_ways(path: Path, runs: int) -> dict[str, Callable[[], pd.DataFrame]]:
    """Fill agno's store; return the two ways from there to a frame of what was said, with five columns.

    Sessions are stored by agno's ``upsert_session``. Its ``upsert_run`` commits each run, so the rows that it makes of
    runs are stored here as it would, but those of a session at once.
    """
    from agno.db.base import SessionType
    from agno.db.sqlite import SqliteDb as AgnoSqliteDb
    from agno.db.utils import build_single_run_row
    from agno.models.message import Message, MessageMetrics
    from agno.run.agent import RunOutput
    from agno.run.base import RunStatus
    from agno.session.agent import AgentSession

    db = AgnoSqliteDb(db_file=str(path))
    table = db._get_table(table_type="runs", create_table_if_not_found=True)
    for first in range(0, runs, RUNS_OF_A_SESSION):
        session_id = f"s{first // RUNS_OF_A_SESSION}"
        session = AgentSession(session_id=session_id, agent_id="a", created_at=START // 1_000_000)
        db.upsert_session(session)
        rows = []
        for n in range(first, first + RUNS_OF_A_SESSION):
            run_id = f"00000000-0000-7000-8000-{n:012}"
            seconds = (START + n * 1000) // 1_000_000
            messages = [
                Message(
                    id=f"{run_id}-{k}",
                    role="assistant" if k % 2 else "user",
                    content=SAID,
                    metrics=MessageMetrics(input_tokens=5, output_tokens=5, duration=0.1),
                    created_at=seconds,
                )
                for k in range(MESSAGES_OF_A_RUN)
            ]
            run = RunOutput(
                run_id=run_id,
                session_id=session_id,
                agent_id="a",
                content=ANSWER,
                messages=messages,
                status=RunStatus.completed,
                created_at=seconds,
            )
            rows.append(build_single_run_row(run=run, session_id=session_id, user_id=None, run_index=n - first))
        with db.Session() as opened, opened.begin():
            opened.execute(table.insert(), rows)

    def of_objects() -> pd.DataFrame:
        return pd.DataFrame(
            {
                "session_id": session.session_id,
                "run_id": run.run_id,
                "role": message.role,
                "content": message.content,
                "created_at": pd.Timestamp(message.created_at, unit="s", tz="UTC"),
            }
            for session in db.get_sessions(session_type=SessionType.AGENT)
            for run in session.runs or []
            for message in run.messages or []
            if not message.from_history
        )

    def of_dicts() -> pd.DataFrame:
        sessions: Any = db.get_sessions(session_type=SessionType.AGENT, deserialize=False)[0]
        return pd.DataFrame(
            {
                "session_id": session["session_id"],
                "run_id": run["run_id"],
                "role": message["role"],
                "content": message["content"],
                "created_at": pd.Timestamp(message["created_at"], unit="s", tz="UTC"),
            }
            for session in sessions
            for run in session["runs"] or []
            for message in run["messages"] or []
            if not message.get("from_history")
        )

    return {THEIRS: of_objects, THEIRS_RAW: of_dicts}


def show(console: Console, folder: Path, *, runs: int) -> dict[str, Sample]:
    samples = frames_of_a_big_store(folder, runs=runs, rounds=7)
    table = Table("", "ms", "times as fast as agno's")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, sample in samples.items():
        is_whole = name in (FLOOR, OURS, OURS_IN_SQLITE, OURS_IN_SQLITE_AGAIN, THEIRS, THEIRS_RAW)
        times = f"{samples[THEIRS].median_s / sample.median_s:.1f}" if is_whole else ""
        table.add_row(name, f"{sample.median_s * 1e3:,.1f}", times)
    with_versions = f"agno_nb {version('agno_nb')} and agno {version('agno')}"
    console.print(f"Frames of {runs * MESSAGES_OF_A_RUN:,} messages in {runs:,} runs, {with_versions}", table, sep="\n")
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frames", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help=f"of {MESSAGES_OF_A_RUN} messages each")
    given = parser.parse_args()
    if find_spec("agno") is None:
        parser.error("agno is not installed; run it with .venv-bench/bin/python, which `make bench` creates")
    with tempfile.TemporaryDirectory(prefix="agno_nb-bench-") as directory:
        show(Console(), Path(directory), runs=given.runs)


if __name__ == "__main__":
    main()
