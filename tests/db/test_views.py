"""Runs whose process has died, in the views."""

from __future__ import annotations

import socket

import pytest

from agno_nb.db import process_id
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.process_id import current_process_id, is_dead
from agno_nb.types import Message
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
