"""Reading a few rows doesn't depend on the number of other rows. Counted, not timed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb
import pytest

from agno_nb.db.base import ContextQuery
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.duckdb.engine import Engine
from agno_nb.db.frame_definitions import FRAMES
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.db.sqlite_connections import Opened, SqliteConnections
from agno_nb.types import RunOutput, UserMemory
from agno_nb_store_contract.concurrency import ending, opening
from agno_nb_store_contract.conversation import begin, end, say
from agno_nb_store_contract.frames import fill

ROW_GROUP = 122_880
"""Rows of a block of DuckDB's, of which it reads all or nothing."""

OTHERS = {
    "raw_sessions": {"session_id": "{id}", "session_type": "'agent'", "session_state": "'{}'", "created_at": "n",
                     "updated_at": "n"},
    "raw_runs": {"run_id": "{id}", "session_id": "{id}", "run_index": "0", "attempt": "0", "root_run_id": "{id}",
                 "kind": "'agent'", "status": "'COMPLETED'", "input": "'?'", "content": "'!'", "content_type": "'str'",
                 "worker": "'h:1:1'", "created_at": "n", "ended_at": "n"},
    "raw_messages": {"message_id": "{id}", "run_id": "{id}", "session_id": "{id}", "message_index": "1",
                     "role": "CASE WHEN n % 2 = 0 THEN 'assistant' ELSE 'tool' END", "content": "'!'",
                     "tool_call_error": "false", "num_tool_calls": "0", "num_media": "0", "from_history": "false",
                     "created_at": "n"},
    "raw_tool_calls": {"run_id": "{id}", "tool_call_id": "'c'", "session_id": "{id}", "message_id": "{id}",
                       "call_index": "0", "tool_name": "'f'", "arguments": "'{}'", "created_at": "n"},
    "raw_steps": {"run_id": "{id}", "step_index": "0", "session_id": "{id}", "step_name": "'s'", "path": "'s'",
                  "kind": "'agent'", "input": "'?'", "content_type": "'str'", "status": "'COMPLETED'", "stop": "false",
                  "created_at": "n"},
    "raw_events": {"run_id": "{id}", "event_index": "0", "session_id": "{id}", "event": "'ModelRequestRetried'",
                   "created_at": "n"},
    "raw_variables": {"run_id": "{id}", "session_id": "{id}", "variable_index": "0", "name": "'x'", "type": "'int'",
                      "hash": "'h'", "cut": "false", "chars": "1", "created_at": "n"},
    "raw_summaries": {"session_id": "{id}", "version": "0", "summary": "'!'", "topics": "'[]'", "updated_at": "n"},
    "raw_memories": {"memory_id": "{id}", "user_id": "'bob'", "memory": "'!'", "topics": "'[]'", "created_at": "n",
                     "updated_at": "n"},
}  # fmt: skip
"""Rows of other sessions, older than those asked for, in the expressions that make row n of each table."""

WITH_CONTEXT = ContextQuery(num_history_runs=3, summary=True, memories=True)


def nested_run(db: SqlDb) -> RunOutput:
    turn, _ = begin(db, session_id="s1", user_id="ann", query=WITH_CONTEXT)
    of_it = {"root_run_id": turn.run_id, "parent_run_id": turn.run_id, "component_id": "member"}
    for text in ("as a member", "once more"):
        say(db, text, session_id="s1", user_id="ann", nested=True, query=WITH_CONTEXT, **of_it)
    return end(db, turn)


def turns_together(db: SqlDb) -> None:
    """Hold turns of several sessions in common transactions; of each kind one is new and one is not."""
    opened = [opening(db, f"{name}?", session_id=name, user_id="ann") for name in ("s2", "n1", "n2", "s3")]
    for outcome in [*db.commit_together([call for _, call in opened])]:
        assert outcome.error is None
    for outcome in db.commit_together([ending(db, run, "!") for run, _ in opened]):
        assert outcome.error is None


CALLS: dict[str, Callable[[SqlDb], object]] = {
    "a turn": lambda db: say(db, "third", session_id="s1", user_id="ann", query=WITH_CONTEXT),
    "a new attempt": lambda db: say(db, "again", session_id="s1", user_id="ann", query=WITH_CONTEXT, run_index=1),
    "a nested run": nested_run,
    "turns of several sessions": turns_together,
    "get_session": lambda db: db.get_session("s1"),
    "get_sessions": lambda db: db.get_sessions(limit=2),
    "get_sessions by time": lambda db: db.get_sessions(limit=2, sort_by="created_at"),
    "get_runs": lambda db: db.get_runs("s1"),
    "get_runs, the latest": lambda db: db.get_runs("s1", limit=2),
    "get_runs from a turn on": lambda db: db.get_runs("s1", from_run_index=1),
    "get_run": lambda db: db.get_run("r1"),
    "get_messages": lambda db: db.get_messages("s1"),
    "get_messages, the latest": lambda db: db.get_messages("s1", last_n_runs=1),
    "get_session_metrics": lambda db: db.get_session_metrics("s1"),
    "get_usage": lambda db: db.get_usage(session_id="s1"),
    "get_summary": lambda db: db.get_summary("s1"),
    "get_cell_turns": lambda db: db.get_cell_turns("s1", "c"),
    "get_user_memories": lambda db: db.get_user_memories("ann"),
    "run_tree_df of a turn": lambda db: db.run_tree_df(run_id="r1"),
    "runs_df of a run": lambda db: db.runs_df(run_id="r1"),
    "messages_df of a run": lambda db: db.messages_df(run_id="r1"),
    "messages_df of a session, the latest": lambda db: db.messages_df(session_id="s1", limit=2),
}
for view in FRAMES:
    CALLS[f"{view}_df, the latest"] = lambda db, view=view: getattr(db, f"{view}_df")(limit=2)
    if view != "memories":
        CALLS[f"{view}_df of a session"] = lambda db, view=view: getattr(db, f"{view}_df")(session_id="s1")


def add_others(db: SqlDb, count: int) -> None:
    """Store a number of other rows in every table."""
    numbers, source = "", f"range({count}) AS numbers(n)"
    if isinstance(db, SqliteDb):
        numbers = f"WITH RECURSIVE numbers AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < {count} - 1)"
        source = "numbers"
    with db._driver.transaction(write=True) as connection:
        for table, columns in OTHERS.items():
            values = ", ".join(columns.values()).replace("{id}", "printf('a%09d', n)")
            connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) {numbers} SELECT {values} FROM {source}")


def filled(db: SqlDb, others: int) -> SqlDb:
    add_others(db, others)
    say(db, "first", session_id="s1", run_id="r1", user_id="ann")
    say(db, "second", session_id="s1", user_id="ann")
    say(db, "second again", session_id="s1", run_index=1, user_id="ann")
    for _ in range(2):
        db.upsert_user_memory(UserMemory(user_id="ann", memory="Reads."))
    fill(db, ["s2", "s3", "s4"])
    return db


@pytest.fixture(scope="module")
def duckdb_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlDb]:
    store = DuckDb(tmp_path_factory.mktemp("reads") / "many.duckdb")
    yield filled(store, 2 * ROW_GROUP)
    store.close()


@pytest.mark.parametrize("call", CALLS)
def test_duckdb_reads_no_block_of_others(duckdb_store: SqlDb, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scans: list[tuple[str, int]] = []
    execute, frame = Engine.execute, Engine._frame

    def executed(self: Engine, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        assert self._cursor is not None
        if not sql.startswith(("BEGIN", "COMMIT")):
            scans.extend(scanned(self._cursor, sql, parameters))
        # EXPLAIN ANALYZE runs the statement, and no row can be inserted twice.
        return [] if sql.startswith(("INSERT", "WITH done_0 AS")) else execute(self, sql, parameters)

    def framed(self: Engine, sql: str, parameters: Sequence[Any]) -> Any:
        with self.frame_cursor(write=False) as cursor:
            scans.extend(scanned(cursor, sql, parameters))
        return frame(self, sql, parameters)

    monkeypatch.setattr(Engine, "execute", executed)
    monkeypatch.setattr(Engine, "_frame", framed)
    CALLS[call](duckdb_store)
    assert len(scans) > 0
    assert [scan for scan in scans if scan[1] >= ROW_GROUP] == []


def scanned(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any]) -> Iterator[tuple[str, int]]:
    """Run a statement and tell how many rows were read of which table."""
    ((_, plan),) = cursor.execute(f"EXPLAIN (ANALYZE, FORMAT json) {sql}", list(parameters)).fetchall()
    below = json.loads(plan)["operator"]
    while below:
        operator = below.pop()
        below += operator.get("children", [])
        if "rows_scanned" in operator:
            yield operator["extra_info"]["Table"], operator["rows_scanned"]


@pytest.mark.parametrize("call", CALLS)
def test_sqlite_does_no_more_for_more_others(
    few_and_many: tuple[SqliteDb, SqliteDb], call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [0]
    opened = SqliteConnections._open

    def counting(self: SqliteConnections) -> Opened:
        found = opened(self)
        found.connection.set_progress_handler(lambda: steps.__setitem__(0, steps[0] + 1), 1)
        return found

    monkeypatch.setattr(SqliteConnections, "_open", counting)
    done = []
    for store in few_and_many:
        steps[0] = 0
        # A store without cached reads.
        CALLS[call](SqliteDb(store.db_file))
        done.append(steps[0])
    assert 0 < done[1] <= done[0] * 1.01


@pytest.fixture(scope="module")
def few_and_many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqliteDb, SqliteDb]]:
    folder = tmp_path_factory.mktemp("reads")
    few, many = SqliteDb(folder / "few.db"), SqliteDb(folder / "many.db")
    filled(few, 20)
    filled(many, 4_000)
    yield few, many
    few.close()
    many.close()
