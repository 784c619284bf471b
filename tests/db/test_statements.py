"""Transactions of a store: all or none of the writes, in order, by functions with the contract's parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from agno_nb.db import history, maintenance, memories, runs, sessions
from agno_nb.db.base import Db
from agno_nb.db.encoding import Row
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.statements import Transaction
from agno_nb.errors import AgnoNbError, SessionNotFoundError

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
    assert {"open_run", "get_runs", "get_sessions", "delete_user_memory", "verify"} < in_transaction
    for name in in_transaction:
        (function,) = [
            vars(module)[name]
            for module in modules
            if getattr(vars(module).get(name), "__module__", "") == module.__name__
        ]
        assert (name, parameters(function)) == (name, parameters(getattr(Db, name)))
        assert inspect.getdoc(getattr(SqlDb, name)) == inspect.getdoc(getattr(Db, name))
