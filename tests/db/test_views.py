"""Runs whose process has died, and nested runs of superseded attempts, in the views."""

from __future__ import annotations

import socket

import pytest

from agno_nb import Agent, ScriptedModel, Team
from agno_nb.db import process_id
from agno_nb.db.base import Db
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.process_id import current_process_id, is_dead
from agno_nb.models.base import ModelResponse
from agno_nb.types import Message, ToolCall
from agno_nb_store_contract.conversation import START, begin, end
from agno_nb_store_contract.views import rows


def test_a_run_of_a_process_that_died_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    db = InMemoryDb()
    begin(db, "alive", created_at=START)
    for name, said in (("dead", f"{socket.gethostname()}:{2**22 + 1}:1"), ("elsewhere", "another-host:1:1")):
        monkeypatch.setattr("agno_nb.db.runs.current_process_id", lambda said=said: said)
        begin(db, name, created_at=START + 1)
    sql = "SELECT input, status, interrupted, interrupted_at IS NULL FROM runs ORDER BY created_at, input"
    expected = [
        ("alive", "RUNNING", False, True),
        ("dead", "RUNNING", True, False),
        ("elsewhere", "RUNNING", False, True),
    ]
    assert rows(db, sql) == expected
    stamp = rows(db, "SELECT interrupted_at FROM runs WHERE interrupted")
    assert (rows(db, sql), rows(db, "SELECT interrupted_at FROM runs WHERE interrupted")) == (expected, stamp)


def test_a_run_that_was_taken_for_dead_and_ends_is_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    db = InMemoryDb()
    run, _ = begin(db)
    monkeypatch.setattr("agno_nb.db.sql_store.is_dead", lambda worker: True)
    assert rows(db, "SELECT interrupted FROM runs") == [(True,)]
    end(db, run, Message(role="assistant", content="here I am"))
    assert rows(db, "SELECT status, interrupted FROM runs") == [("COMPLETED", False)]


def test_a_process_is_known_by_host_pid_and_start(monkeypatch: pytest.MonkeyPatch) -> None:
    host, pid, start = current_process_id().rsplit(":", 2)
    assert not is_dead(current_process_id())
    assert not is_dead(f"not-{host}:{pid}:{start}")
    assert not is_dead(f"{host}:{pid}:")
    # A later process with the same pid is another one, wherever the system tells when a process started.
    assert is_dead(f"{host}:{pid}:{start}9") or not start
    monkeypatch.setattr(process_id.sys, "platform", "win32")
    assert not is_dead(f"{host}:{2**22 + 1}:1")


def test_a_nested_run_is_superseded_and_stale_with_its_turn(db: Db) -> None:
    """The sum over rows with `superseded_by` is what the attempts that no longer count have cost."""
    call = ToolCall(tool_call_id="1", tool_name="delegate_task_to_member", arguments='{"member_id": "m", "task": "x"}')
    steps = [ModelResponse(tool_calls=[call]), "done"]
    member = Agent(ScriptedModel(["ok"] * 3), name="m")
    team = Team([member], model=ScriptedModel(steps * 3), name="t", db=db, session_id="s")
    first = team.run("1").run_id
    second = team.run("2").run_id
    again = team.regenerate(first).run_id
    nested_of = db.runs_df().dropna(subset="parent_run_id").set_index("parent_run_id")["run_id"]
    expected = {first: (again, False), second: (None, True), again: (None, False)}
    expected |= {nested_of[run_id]: state for run_id, state in [*expected.items()]}

    def states(**filters: str | int) -> dict[str, tuple[str | None, bool]]:
        runs = db.runs_df(**filters)  # type: ignore[arg-type]
        superseded_by = runs["superseded_by"].astype(object).where(runs["superseded_by"].notna(), None)
        return dict(zip(runs["run_id"], zip(superseded_by, runs["stale"], strict=True), strict=True))

    assert states() == states(session_id="s") == states(limit=6) == expected
    for run_id, state in expected.items():
        assert states(run_id=run_id) == {run_id: state}
        parts = db.messages_df(run_id=run_id)
        assert set(parts["superseded_by"].dropna()) == ({state[0]} if state[0] else set())
        assert set(parts["stale"]) == {state[1]}
    current = set(db.runs_df(attempts="current")["run_id"])
    assert current == {run_id for run_id, (by, _) in expected.items() if by is None}
    assert set(db.query("select run_id from runs where superseded_by is null").df()["run_id"]) == current
