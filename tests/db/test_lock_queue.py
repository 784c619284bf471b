"""Waiting for the lock of a store: whoever gives up, stops or dies doesn't keep it, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from agno_nb.db.duckdb import lock_queue
from agno_nb.db.duckdb.lock_file import LockFile
from agno_nb.errors import StoreLocked
from tests.db.processes import kill, line_of, start, told_by

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no queue for locks")

WAITER = """
import sys, time
from pathlib import Path
from agno_nb.db.duckdb.lock_file import LockFile

said = []

def check():
    if not said:
        said.append(print("waiting", flush=True))

lock = LockFile(Path(sys.argv[1]))
lock.acquire(60.0, since=time.monotonic(), write=True, check=check)
print("locked", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.duckdb"
    path.touch()
    return path


@pytest.fixture
def holder(store: Path) -> Iterator[FileLock]:
    """The lock of the store, held."""
    with FileLock(f"{store}.lock") as lock:
        yield lock


def acquire(lock: LockFile, *, timeout_s: float = 30.0, check: Callable[[], object] = lambda: None) -> None:
    lock.acquire(timeout_s, since=time.monotonic(), write=True, check=lambda: check() and None)


def waiting_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "agno_nb-lock"}


def test_attempts_that_time_out_leave_one_thread_which_ends_with_the_lock(store: Path, holder: FileLock) -> None:
    before, lock = waiting_threads(), LockFile(store)
    for _ in range(5):
        with pytest.raises(StoreLocked):
            acquire(lock, timeout_s=0.05)
    left = waiting_threads() - before
    assert len(left) == 1
    holder.release()
    for thread in left:
        thread.join()
    # The lock that nobody wanted any more is free again.
    acquire(LockFile(store), timeout_s=0.0)


def test_an_attempt_after_one_that_timed_out_gets_the_lock(store: Path, holder: FileLock) -> None:
    before, lock = waiting_threads(), LockFile(store)
    with pytest.raises(StoreLocked):
        acquire(lock, timeout_s=0.05)
    acquire(lock, check=holder.release)
    assert lock.is_held
    with pytest.raises(StoreLocked):
        acquire(LockFile(store), timeout_s=0.05)
    lock.release()
    # The attempt that was given up gets the lock for a moment.
    for thread in waiting_threads() - before:
        thread.join(30)
    acquire(LockFile(store), timeout_s=0.0)


def test_a_system_without_a_queue_tries_again_and_again(
    store: Path, holder: FileLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_queue, "fcntl", None)
    before, lock = waiting_threads(), LockFile(store)
    with pytest.raises(StoreLocked):
        acquire(lock, timeout_s=0.05)
    acquire(lock, check=holder.release)
    assert lock.is_held
    assert waiting_threads() == before
    lock.release()


@pytest.mark.parametrize("has_given_up", [False, True], ids=["first attempt", "second attempt"])
@pytest.mark.parametrize("becomes", ["deleted", "replaced"])
def test_a_lock_file_that_is_replaced_is_not_waited_for(
    becomes: str, has_given_up: bool, store: Path, holder: FileLock
) -> None:
    lock, file = LockFile(store), Path(holder.lock_file)

    def change() -> None:
        file.unlink(missing_ok=True)
        if becomes == "replaced":
            file.touch()

    if has_given_up:
        with pytest.raises(StoreLocked):
            acquire(lock, timeout_s=0.05)
        change()
        acquire(lock)
    else:
        acquire(lock, check=change)
    assert (lock.is_held, lock.is_lost()) == (True, False)
    lock.release()


@pytest.mark.parametrize("fate", ["stopped", "killed"])
def test_a_process_that_no_longer_waits_does_not_hold_up_the_next_one(fate: str, store: Path, holder: FileLock) -> None:
    waiter = start(WAITER, store)
    assert line_of(waiter) == "waiting"
    if fate == "killed":
        kill(waiter)
    else:
        waiter.send_signal(signal.SIGSTOP)
        os.waitpid(waiter.pid, os.WUNTRACED)
    lock = LockFile(store)
    acquire(lock, check=holder.release)
    assert lock.is_held
    lock.release()
    if fate == "stopped":
        waiter.send_signal(signal.SIGCONT)
        assert line_of(waiter) == "locked"
        kill(waiter)


def test_an_interrupted_attempt_gives_up(store: Path, holder: FileLock) -> None:
    def interrupt() -> None:
        if waiting_threads() - before:
            raise KeyboardInterrupt

    before, lock = waiting_threads(), LockFile(store)
    with pytest.raises(KeyboardInterrupt):
        acquire(lock, check=interrupt)
    assert not lock.is_held
    holder.release()
    for thread in waiting_threads() - before:
        thread.join()
    acquire(LockFile(store), timeout_s=0.0)


FORKED = """
import os, sys, time, warnings
from pathlib import Path
from agno_nb.db.duckdb.lock_file import LockFile
from agno_nb.errors import StoreLocked
from filelock import FileLock

warnings.simplefilter("ignore")
lock = LockFile(Path(sys.argv[1]))
with FileLock(sys.argv[1] + ".lock"):
    try:
        lock.acquire(0.05, since=time.monotonic(), write=True, check=lambda: None)
    except StoreLocked:
        pass
    opened = lock._queue.descriptor
    if not (child := os.fork()):
        lock.leave_to_parent()
        try:
            os.fstat(opened)
        except OSError:
            os._exit(0)
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_does_not_keep_the_file_for_which_its_parent_waits(store: Path) -> None:
    assert told_by(FORKED, store) == "0\n"
