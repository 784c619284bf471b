"""Stores with impossible token counts and costs, written by an older version."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from agno_nb.db import schema
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.frame_definitions import FRAMES
from agno_nb.db.sql_store import SqlDb
from agno_nb.types import MAX_COST, MAX_TOKENS, Message, Metrics, RunEvent, RunStatus, SessionSummary
from agno_nb_store_contract.conversation import START, begin, end, say

COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
KNOWN = {"input_tokens": 3, "output_tokens": 2, "cache_read_tokens": 1, "cache_write_tokens": 1, "reasoning_tokens": 1}


def filled(db: Db) -> None:
    """Two runs, of which one gets impossible usage, each with an event and a summary."""
    for n, run_id in enumerate(("good", "bad")):
        run, _ = begin(db, run_id, run_id=run_id, created_at=START + n)
        metrics = Metrics(**KNOWN, cost=0.5)
        db.add_event(run, RunEvent.model_request_retried, "again", metrics=metrics)
        end(db, run, Message(role="assistant", message_id=f"m {run_id}", content=run_id, metrics=metrics))
        summary = SessionSummary(session_id="s1", summary=run_id, topics=[], to_run_index=n, metrics=metrics)
        db.add_summary(summary)


def poisoned(db: Db, tokens: int, cost: float | None) -> None:
    assert isinstance(db, SqlDb)
    with db._transaction(write=True) as connection:
        for table, where in (
            ("raw_runs", "run_id = 'bad'"),
            ("raw_messages", "message_id = 'm bad'"),
            ("raw_events", "run_id = 'bad'"),
            ("raw_summaries", "version = 1"),
        ):
            columns = [name for name in COUNTS if name in schema.tables()[table].columns]
            values = ", ".join(f"{name} = {tokens}" for name in columns)
            connection.execute(f"UPDATE {table} SET {values}, cost = ? WHERE {where} RETURNING 1", [cost])


USAGE = {
    "2^63-1, nan": (2**63 - 1, math.nan),
    "2^62, inf": (2**62, math.inf),
    "negative": (-1, -0.25),
    "too many": (MAX_TOKENS + 1, 1e308),
}


@pytest.fixture(params=USAGE)
def poisoned_db(request: pytest.FixtureRequest, db: Db) -> Db:
    filled(db)
    poisoned(db, *USAGE[request.param])
    return db


def test_frames_have_nulls(poisoned_db: Db) -> None:
    db = poisoned_db
    for frame in FRAMES.values():
        rows: pd.DataFrame = getattr(db, f"{frame.view}_df")()
        assert {name: str(dtype) for name, dtype in rows.dtypes.items()} == dict(frame.columns), frame.view
    for frame, key, row in ((db.runs_df(), "run_id", "bad"), (db.messages_df(), "message_id", "m bad")):
        (bad,) = frame[frame[key] == row].to_dict("records")
        assert {name: bad[name] for name in (*COUNTS, "cost") if not pd.isna(bad[name])} == {}
    runs = db.runs_df().set_index("run_id")
    assert (runs.loc["good", "total_tokens"], runs["total_tokens"].sum()) == (5, 5)
    assert db.events_df()["input_tokens"].max() == 3
    assert db.summaries_df()["input_tokens"].tolist()[0] == 3
    assert db.summaries_df()["input_tokens"].isna().tolist() == [False, True]


def test_sums_leave_them_out(poisoned_db: Db) -> None:
    db = poisoned_db
    expected = Metrics(**KNOWN, cost=None, duration_s=4.0)
    assert db.get_session_metrics("s1") == expected
    (session,) = db.sessions_df()[["input_tokens", "output_tokens", "total_tokens"]].to_dict("records")
    assert session == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    assert db.sessions_df()["cost"].isna().all()
    assert db.run_tree_df()["tree_input_tokens"].tolist()[0] == 3
    assert db.run_tree_df()["tree_input_tokens"].isna().tolist() == [False, True]
    spending = db.get_usage(session_id="s1")
    # The run, the event and the summary of the other half.
    assert (spending.tokens, spending.usd, spending.num_unpriced) == (15, 1.5, 3)


def test_accessors_read_them_as_unknown(poisoned_db: Db) -> None:
    db = poisoned_db
    run = db.get_run("bad")
    assert run is not None
    assert run.metrics == Metrics(duration_s=2.0)
    assert [message.metrics for message in db.get_messages("s1") if message.role == "assistant"] == [
        Metrics(**KNOWN, cost=0.5),
        None,
    ]
    summary = db.get_summary("s1")
    assert summary is not None
    assert summary.metrics == Metrics()
    say(db, "another turn")
    assert db.get_session_metrics("s1").input_tokens == 3


def test_verify_names_the_rows(poisoned_db: Db) -> None:
    assert sorted(poisoned_db.verify()) == [
        "rows of raw_events with impossible token counts or costs: bad 0",
        "rows of raw_messages with impossible token counts or costs: m bad",
        "rows of raw_runs with impossible token counts or costs: bad",
        "rows of raw_summaries with impossible token counts or costs: s1 1",
    ]


def test_large_counts_that_are_possible_are_added_up(db: Db) -> None:
    for n in range(3):
        metrics = Metrics(input_tokens=MAX_TOKENS, output_tokens=MAX_TOKENS, cost=MAX_COST)
        say(db, f"{n}", [Message(role="assistant", content="yes", metrics=metrics)], created_at=START + n)
    metrics = db.get_session_metrics("s1")
    assert (metrics.total_tokens, metrics.cost) == (6 * MAX_TOKENS, 3.0 * MAX_COST)
    assert db.sessions_df()["total_tokens"].tolist() == [6 * MAX_TOKENS]
    assert db.runs_df()["total_tokens"].sum() == 6 * MAX_TOKENS
    assert db.verify() == []


IMPOSSIBLE: list[Any] = [2**63 - 1, 2**63, 10**30, 10**400, 1e308, math.nan, math.inf, -1, -1.5, 0.5, "12", True, [1]]


def test_what_reaches_a_store_is_checked_once_more(db: Db) -> None:
    for n, value in enumerate(IMPOSSIBLE):
        metrics = Metrics(**dict.fromkeys(COUNTS, value), cost=None if value == 0.5 else value)
        run, _ = begin(db, run_id=f"r{n}", created_at=START + n)
        db.add_event(run, RunEvent.model_request_retried, "again", metrics=metrics)
        answer = Message(role="assistant", content="yes", metrics=metrics)
        run.metrics, answer.run_id = metrics, run.run_id
        run.messages.append(answer)
        run.status, run.ended_at = RunStatus.COMPLETED, START + n
        db.end_run(run, [answer], session_state=None)
        db.add_summary(SessionSummary(session_id="s1", summary="s", topics=[], to_run_index=n, metrics=metrics))
    assert db.verify() == []
    assert len(db.messages_df()) == 2 * len(IMPOSSIBLE)
    assert db.get_session_metrics("s1") == Metrics()
    assert db.messages_df()["input_tokens"].isna().all()


def test_a_duckdb_file_with_older_views_is_read_with_the_present_ones(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    db = DuckDb(path)
    filled(db)
    poisoned(db, 2**63 - 1, 0.5)
    db.close()
    with duckdb.connect(path) as connection:
        connection.execute(
            "CREATE OR REPLACE VIEW runs AS SELECT * REPLACE (make_timestamptz(created_at) AS created_at), "
            "input_tokens + output_tokens AS total_tokens FROM raw_runs"
        )
        with pytest.raises(duckdb.OutOfRangeException):
            connection.execute("SELECT total_tokens FROM runs").fetchall()
    assert DuckDb(path).runs_df()["total_tokens"].tolist() == [5, pd.NA]
    assert DuckDb(path).query("SELECT sum(total_tokens) AS n FROM runs").df()["n"].tolist() == [5]


def test_the_limits_of_the_views_are_those_of_metrics() -> None:
    limits = set(map(int, re.findall(r"BETWEEN 0 AND (\d+)", schema.text("views.sql"))))
    assert limits == {MAX_TOKENS, MAX_COST}
