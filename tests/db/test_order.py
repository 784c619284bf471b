"""Turns of one session in two processes run one after the other, so that no state change is lost."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.postgres import PostgresDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.run import execute
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import RunOutput
from tests.db.processes import kill, line_of, start
from tests.postgres_server import Postgres

COUNTING = """
import sys
from agno_nb import Agent, DuckDb, PostgresDb, SqliteDb
from agno_nb.testing import ScriptedModel, call

def count(session_state: dict) -> str:
    "Count on, from what is there when it begins."
    n = session_state.get("n", 0)
    print("counting", flush=True)
    sys.stdin.readline()
    session_state["n"] = n + 1
    return "ok"

store = {"DuckDb": DuckDb, "SqliteDb": SqliteDb, "PostgresDb": PostgresDb}[sys.argv[1]]
schema = {"db_schema": sys.argv[3]} if len(sys.argv) > 3 else {}
agent = Agent(ScriptedModel([call("count"), "One."]), db=store(sys.argv[2], **schema), session_id="s", tools=[count])
agent.run("count")
"""


@pytest.fixture(params=["DuckDb", "SqliteDb", "PostgresDb"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    if request.param != "PostgresDb":
        return [request.param, str(tmp_path / "store.db")]
    server: Postgres = request.getfixturevalue("postgres_server")
    return [request.param, server.url(), f"order_{tmp_path.name}"[:60]]


def opened(where: list[str]) -> Db:
    kind, place, *schema = where
    if kind == "PostgresDb":
        return PostgresDb(place, db_schema=schema[0])
    return DuckDb(place) if kind == "DuckDb" else SqliteDb(place)


def count(session_state: dict[str, Any]) -> str:
    """Count on."""
    session_state["n"] = session_state.get("n", 0) + 1
    return "ok"


def counter(db: Db, **settings: Any) -> Agent:
    model = ScriptedModel([call("count"), "Two."])
    return Agent(
        **{"model": model, "db": db, "session_id": "s", "tools": [count], "add_history_to_context": True, **settings}
    )


@contextmanager
def waiting(other: Popen[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let another process continue when a run of this process warns that it waits, at the latest at the end."""
    told: list[str] = []
    monkeypatch.setattr(execute, "_WARN_AFTER_S", 0.0)

    def release(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        if not str(message).startswith("waiting for another turn"):
            return  # A busy machine can make it wait for the file too.
        told.append(str(message))
        assert other.stdin is not None
        other.stdin.write("go on\n")
        other.stdin.flush()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", release)
        yield told
    assert other.communicate("go on\n" if not told else None, timeout=60)[1] == ""


def test_a_turn_waits_for_that_of_another_process_and_loses_nothing(
    where: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = start(COUNTING, *where)
    assert line_of(other) == "counting"
    db = opened(where)
    with waiting(other, monkeypatch) as told:
        run = counter(db).run("count")
    (first,) = [each for each in db.get_runs("s") if each.run_id != run.run_id]
    assert told == [
        f"waiting for another turn to end: session 's' is busy: process {other.pid} is executing run {first.run_id!r}; "
        "try again when it has finished"
    ]
    assert (run.run_index, run.session_state) == (1, {"n": 2})
    assert "One." in [message.content for message in run.messages]
    assert first.ended_at is not None
    assert first.ended_at <= run.created_at


def test_a_turn_that_is_tried_again_waits_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = ["DuckDb", str(tmp_path / "store.db")]
    db = opened(where)
    counter(db).run("count")
    other = start(COUNTING, *where)
    assert line_of(other) == "counting"
    with waiting(other, monkeypatch) as told:
        run = counter(db).regenerate(db.get_runs("s")[0].run_id)
    assert len(told) == 1
    assert (run.run_index, run.attempt, run.session_state) == (0, 1, {"n": 1})


@tool(requires_confirmation=True)
def count_when_allowed(session_state: dict[str, Any]) -> str:
    """Count when it is allowed."""
    return count(session_state)


def test_a_paused_turn_that_goes_on_waits_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = ["DuckDb", str(tmp_path / "store.db")]
    db = opened(where)
    agent = counter(db, model=ScriptedModel([call("count_when_allowed"), "Two."]), tools=[count_when_allowed])
    paused: RunOutput = agent.run("count")
    other = start(COUNTING, *where)
    assert line_of(other) == "counting"
    paused.requirements[0].confirm()
    with waiting(other, monkeypatch) as told:
        run = agent.continue_run(paused)
    assert len(told) == 1
    assert run.session_state == {"n": 2}


def test_nobody_waits_for_a_process_that_has_died(tmp_path: Path) -> None:
    where = ["DuckDb", str(tmp_path / "store.db")]
    other = start(COUNTING, *where)
    assert line_of(other) == "counting"
    kill(other)
    run = counter(opened(where)).run("count")
    assert (run.run_index, run.session_state) == (1, {"n": 1})


def test_what_was_changed_from_outside_while_a_run_changed_it_too_is_told(tmp_path: Path) -> None:
    db = DuckDb(tmp_path / "store.db")

    def meanwhile(session_state: dict[str, Any]) -> str:
        """Count while another process sets the counter."""
        agent.update_session_state({"n": 50, "other": 1})
        return count(session_state)

    agent = counter(db, model=ScriptedModel(["Hm.", call("meanwhile"), "Two."]), tools=[meanwhile])
    agent.run("hello")
    with pytest.warns(UserWarning, match=r"session_state\['n'\] of session 's' was also changed by another process"):
        agent.run("count")
    assert agent.get_session_state() == {"n": 1, "other": 1}
