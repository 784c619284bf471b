"""Folders whose file system has no working locks, such as home directories on NFS."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agno_nb import Agent
from agno_nb.db import file_locks
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb, lock_file
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import NoFileLocksError
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.session_commands import show_previous_session
from agno_nb.notebook.settings import AgnoNb
from agno_nb.testing import ScriptedModel

Lock = Callable[..., None]
kind = pytest.mark.parametrize("kind", [DuckDb, SqliteDb])


def failing(code: int) -> Lock:
    def lock(*args: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return lock


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let locks return only after the event, which is set at the end of the test."""
    answers, lock = threading.Event(), file_locks.fcntl.lockf

    def waiting(*args: object) -> None:
        answers.wait()
        lock(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(file_locks.fcntl, "lockf", waiting)
    monkeypatch.setattr(file_locks, "TIME_LIMIT_S", 0.01)
    yield answers
    answers.set()


@kind
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS], ids=errno.errorcode.get)
def test_the_first_turn_says_that_there_are_no_locks_and_what_to_do(
    kind: type[Db], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "home" / "talks.db"
    monkeypatch.setattr(file_locks.fcntl, "lockf", failing(code))
    db = kind(path)  # type: ignore[call-arg]
    with pytest.raises(NoFileLocksError) as refused:
        Agent(ScriptedModel(["Hello."]), db=db).run("Hi")
    assert str(refused.value) == (
        f"the store {path} cannot be used: its folder has no working file locks, like some NFS home directories "
        f"({os.strerror(code)}); set db_file (`%agent --db PATH`, or the environment variable AGNO_NB_DB) to a path on "
        "a local disk, for example '/var/tmp/talks.db', or use PostgresDb(db_url=...)"
    )
    assert list(path.parent.iterdir()) == []


@kind
def test_a_lock_that_does_not_return_has_a_time_limit(kind: type[Db], answers: threading.Event, tmp_path: Path) -> None:
    db = kind(tmp_path / "talks.db")  # type: ignore[call-arg]
    for _ in range(2):
        with pytest.raises(NoFileLocksError, match=r"a lock did not return within 0.01 s\); set db_file"):
            db.create()
    (probe,) = (thread for thread in threading.enumerate() if thread.name == "agno_nb-lock-probe")
    answers.set()
    probe.join()
    db.create()
    assert db.runs_df().empty


def test_a_lock_of_the_store_that_fails_has_the_same_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_file, "lock_descriptor", failing(errno.EOPNOTSUPP))
    with pytest.raises(NoFileLocksError, match=r"Operation not supported\); set db_file .* PostgresDb"):
        DuckDb(tmp_path / "talks.duckdb").create()


def test_loading_the_extension_says_it_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = DuckDb(tmp_path / "agno_nb.duckdb")
    store.create()
    store.close()
    path = tmp_path / "own.ipynb"
    path.write_text("{}")
    monkeypatch.setattr(lock_file, "lock_descriptor", failing(errno.ENOLCK))
    show_previous_session(Notebook({}, tmp_path, AgnoNb(), str(path)))
    (line,) = capsys.readouterr().out.splitlines()
    assert "has no working file locks" in line
    assert "(No locks available); set db_file" in line
