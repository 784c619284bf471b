"""Transactions of a store: all or none of the writes, in order, by functions with the contract's parameters.

They begin once the arguments have been checked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agno_nb.db import history, maintenance, memories, runs, sessions
from agno_nb.db.base import Db
from agno_nb.db.encoding import Row
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.db.statements import Transaction
from agno_nb.errors import AgnoNbError, InvalidInputError, SessionNotFoundError, StoreLocked
from agno_nb.types import RunOutput, Session, UserMemory
from tests.db.conftest import BACKENDS

NAMES = "SELECT session_id, session_name FROM raw_sessions ORDER BY session_id"


def session(session_id: str) -> Row:
    return {
        "session_id": session_id,
        "session_type": "agent",
        "session_state": {},
        "created_at": 1,
        "updated_at": 1,
    }


def named(db: SqlDb) -> list[tuple[str, str | None]]:
    with db._transaction(write=False) as connection:
        return [(session_id, name) for session_id, name in connection.execute(NAMES)]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 30])
def test_writes_are_done_in_their_order_however_many_they_are(db: SqlDb, count: int) -> None:
    ids = [f"s{number:02}" for number in range(count)]
    with db._transaction(write=True) as connection:
        for session_id in ids:
            connection.insert("raw_sessions", [session(session_id)])
            connection.update("raw_sessions", {"session_name": "first"}, {"session_id": session_id})
            connection.update("raw_sessions", {"session_name": f"of {session_id}"}, {"session_id": session_id})
    assert named(db) == [(session_id, f"of {session_id}") for session_id in ids]


def test_what_was_written_is_there_for_the_next_statement(db: SqlDb) -> None:
    with db._transaction(write=True) as connection:
        connection.insert("raw_sessions", [session("s1"), session("s2")])
        assert connection.execute(NAMES) == [("s1", None), ("s2", None)]
        connection.update("raw_sessions", {"session_name": "new"}, {"session_id": "s1"})
        assert connection.change("raw_sessions", {"metadata": {}}, {"session_name": "new"}) == 1
        connection.update("raw_sessions", {"session_name": "newer"}, {"session_id": "s1"})
    assert named(db) == [("s1", "newer"), ("s2", None)]


def again(connection: Transaction) -> None:
    connection.insert("raw_sessions", [session("old")])


def gone(connection: Transaction) -> None:
    gone = SessionNotFoundError("there is none")
    connection.update("raw_sessions", {"session_name": "x"}, {"session_id": "no"}, gone=gone)


def interrupted(connection: Transaction) -> None:
    raise KeyboardInterrupt


def many(connection: Transaction) -> None:
    connection.insert("raw_sessions", [session(f"many {number:04}") for number in range(2_000)])
    again(connection)


def read_between(connection: Transaction) -> None:
    connection.execute(NAMES)
    again(connection)


@pytest.mark.parametrize("fails", [again, gone, interrupted, many, read_between])
@pytest.mark.parametrize("after", [[], ["new"], ["new", "newer", "newest"], [f"{number:02}" for number in range(20)]])
def test_nothing_is_written_of_a_transaction_that_fails(
    db: SqlDb, fails: Callable[[Transaction], None], after: list[str]
) -> None:
    with db._transaction(write=True) as connection:
        connection.insert("raw_sessions", [session("old")])

    def fail() -> None:
        with db._transaction(write=True) as connection:
            connection.update("raw_sessions", {"session_name": "changed"}, {"session_id": "old"})
            for session_id in after:
                connection.insert("raw_sessions", [session(session_id)])
            fails(connection)

    with pytest.raises((AgnoNbError, KeyboardInterrupt)):
        fail()
    assert named(db) == [("old", None)]
    with db._transaction(write=True) as connection:
        connection.insert("raw_sessions", [session("later")])
    assert named(db) == [("later", None), ("old", None)]


def parameters(function: Callable[..., Any]) -> list[tuple[Any, ...]]:
    """Name, kind and default of each parameter but the first: a transaction or self."""
    _, *others = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default) for each in others]


def test_a_function_in_a_transaction_has_the_parameters_of_the_method_that_it_implements() -> None:
    modules = (runs, history, sessions, memories, maintenance)
    in_transaction = {
        name for name, method in vars(SqlDb).items() if getattr(method, "__qualname__", "") == f"Db.{name}"
    }
    functions = {
        name: function
        for module in modules
        for name, function in vars(module).items()
        if name in in_transaction and function.__module__ == module.__name__
    }
    assert {"open_run", "get_runs", "get_sessions", "delete_user_memory", "verify"} < functions.keys()
    for name, function in functions.items():
        assert (name, parameters(function)) == (name, parameters(getattr(Db, name)))
        assert inspect.getdoc(getattr(SqlDb, name)) == inspect.getdoc(getattr(Db, name))


WRONG_CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("open_run", (RunOutput(run_id="r", session_id=""), []), {"session": Session(session_id="s")}),
    ("get_run", (5,), {}),
    ("get_runs", ("s",), {"limit": -1}),
    ("get_child_runs", ("",), {}),
    ("get_messages", ("s",), {"last_n_runs": 1.5}),
    ("get_session", ("s", "crew"), {}),
    ("get_session", ("s", pd.NA), {}),
    ("get_session", ("s", np.array(["agent", "team"])), {}),
    ("get_sessions", (), {"sort_by": "name"}),
    ("get_sessions", (), {"end_timestamp": "2026-01-31"}),
    ("get_session_metrics", (5,), {}),
    ("rename_session", (5,), {}),
    ("rename_session", ("s", "crew"), {}),
    ("update_session_state", ("s", {1: 2}), {}),
    ("fork_session", ("s",), {"at_run": "r", "to_run_index": 1}),
    ("get_summary", (5,), {}),
    ("upsert_user_memory", (UserMemory(memory="x"),), {}),
    ("get_user_memories", (), {"page": 2}),
    # The wrong number of arguments.
    ("rename_session", (), {}),
    ("add_summary", (), {}),
    ("clear_memories", ("alice", "bob"), {}),
]


@pytest.mark.parametrize("backend", ["duckdb", "sqlite"])
@pytest.mark.parametrize(("name", "arguments", "keywords"), WRONG_CALLS)
def test_a_wrong_argument_is_rejected_before_a_file_is_created(
    tmp_path: Path, backend: str, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    folder = tmp_path / "stores"
    db = BACKENDS[backend](folder)
    with pytest.raises((InvalidInputError, TypeError)):
        getattr(db, name)(*arguments, **keywords)
    assert not folder.exists()


@pytest.mark.parametrize(("name", "arguments", "keywords"), WRONG_CALLS)
def test_a_wrong_argument_is_rejected_while_another_writes(
    tmp_path: Path, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    path = tmp_path / "store.db"
    db, other = SqliteDb(path, lock_timeout_s=0.01), SqliteDb(path)
    with other._transaction(write=True) as writer:
        writer.insert("raw_sessions", [session("s")])
        with pytest.raises((InvalidInputError, TypeError)):
            getattr(db, name)(*arguments, **keywords)
    assert named(db) == [("s", None)]


def test_the_time_of_a_write_is_after_its_wait_for_other_writers(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    db, other = SqliteDb(path, lock_timeout_s=0.01), SqliteDb(path)
    other.create()
    with db._transaction(write=True) as writer:
        assert writer.now() > 0
        with pytest.raises(StoreLocked), SqliteDb(path, lock_timeout_s=0.01)._transaction(write=True) as late:
            late.now()
