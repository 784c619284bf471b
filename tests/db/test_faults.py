"""Faults of a DuckDb's file: acknowledged data is kept, errors are helpful, and nothing hangs."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import pytest
from filelock import FileLock

from agno_nb.db.base import ContextQuery
from agno_nb.db.duckdb import DuckDb, lock_file
from agno_nb.db.duckdb.engine import Engine
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import NotAStoreError, StoreError, StoreLocked
from agno_nb.types import RunStatus
from agno_nb_store_contract.conversation import begin, contents, say
from tests.db.processes import kill, line_of, start, told_by

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
needs_unix = pytest.mark.skipif(os.name == "nt", reason="the system has no such limits and users")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.duckdb"


@pytest.fixture
def db(path: Path) -> Iterator[DuckDb]:
    db = DuckDb(path, lock_timeout_s=10.0)
    yield db
    db.close()


def inputs(db: DuckDb) -> list[str]:
    return [run.input for run in db.get_runs("s1")]


WRITER = """
import sys
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.duckdb.engine import Engine
from agno_nb_store_contract.conversation import say
db = DuckDb(sys.argv[1])
for n in range(10_000):
    say(db, f"{sys.argv[2]} {n}", "y" * 2000)
    print(f"{sys.argv[2]} {n}", flush=True)
"""
ROUNDS = 4


def test_processes_killed_at_any_moment_lose_nothing_that_they_acknowledged(db: DuckDb, path: Path) -> None:
    moments = random.Random(7)
    acknowledged: list[str] = []
    for n in range(ROUNDS):
        writers = [start(WRITER, path, f"{n}{name}") for name in "ab"]
        victims = iter(moments.sample(writers, 2))
        for victim in victims:
            acknowledged += [line_of(victim) for _ in range(moments.randrange(1, 15))]
            acknowledged += kill(victim)
        say(db, f"after {n}")
        acknowledged.append(f"after {n}")
    runs = db.get_runs("s1")
    assert set(acknowledged) <= {run.input for run in runs}
    assert {run.status for run in runs} <= {RunStatus.COMPLETED, RunStatus.RUNNING}
    for run in runs:
        said = [("user", run.input), ("assistant", run.content)]
        assert contents(run.messages) == said[: 2 if run.status is RunStatus.COMPLETED else 1]
    assert sorted(run.run_index for run in runs if run.run_index is not None) == list(range(len(runs)))
    assert max(Counter(message.message_id for message in db.get_messages("s1")).values()) == 1
    # Each writer was doing at most one thing when it was killed.
    assert len(runs) - len(acknowledged) <= 2 * ROUNDS


@pytest.mark.parametrize("lingering", [True, False], ids=["lingering", "detached"])
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_a_write_can_be_interrupted_at_any_line(db: DuckDb, twice: bool, lingering: bool) -> None:
    acknowledged, num_lines = [], 100
    for line in range(1, 2000, 43):
        if line > num_lines:
            break
        if not lingering:
            db.close()
        second = line + 1 + line * 7 % 23 if twice else None
        try:
            num_lines = with_interrupts(lambda: say(db, f"run {line}"), {line, second})  # noqa: B023
            acknowledged.append(f"run {line}")
        except KeyboardInterrupt:
            num_lines = 2000
        say(db, f"after {line}")
        acknowledged.append(f"after {line}")
    db.close()
    stored = inputs(db)
    assert len(acknowledged) > 25
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))


def with_interrupts(call: Callable[[], object], at_lines: set[int | None]) -> int:
    """Call, with Ctrl-C before the lines of agno_nb.db that are numbered so; return how many lines there are."""
    num_lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal num_lines
        if "agno_nb/db/" not in Path(frame.f_code.co_filename).as_posix():
            return None
        if event == "line":
            num_lines += 1
            if num_lines in at_lines:
                signal.raise_signal(signal.SIGINT)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return num_lines


def test_waiting_for_another_process_can_be_interrupted(db: DuckDb, path: Path) -> None:
    say(db, "x")
    with FileLock(f"{path}.lock"), pytest.raises(KeyboardInterrupt):
        with_interrupts(lambda: say(db, "y"), {60})
    say(db, "z")
    assert inputs(db) == ["x", "z"]


def test_who_has_the_store_is_told(db: DuckDb, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(db, "x")
    code = """
import sys
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.duckdb.engine import Engine
db = DuckDb(sys.argv[1])
with db._driver.transaction(write=True):
    print("inside", flush=True)
    input()
"""
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ann/analysis.ipynb")
    holder = start(code, path)
    assert line_of(holder) == "inside"
    who = rf"process {holder.pid} \(analysis.ipynb\)"
    with pytest.raises(StoreLocked, match=rf"^timed out after 0.05 s waiting for store .*, locked by {who}; wait"):
        DuckDb(path, lock_timeout_s=0.05).get_sessions()
    monkeypatch.setattr(lock_file, "PATIENCE_S", 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match=f"^waiting for {who}, which has the store"):
            DuckDb(path, lock_timeout_s=60).get_sessions()
    holder.communicate("\n", timeout=60)
    assert inputs(db) == ["x"]


FORKING = """
import multiprocessing, os, sys, threading, warnings
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.duckdb.engine import Engine
from agno_nb_store_contract.conversation import say
# Python warns of a fork while there are threads. That is what is tried here.
warnings.simplefilter("ignore", DeprecationWarning)
db = DuckDb(sys.argv[1])
stop = threading.Event()
def write():
    n = 0
    while not stop.is_set():
        say(db, f"thread {n}")
        n += 1
def child(n):
    say(db, f"pool {n}")
    return n
thread = threading.Thread(target=write)
thread.start()
codes = []
for n in range(10):
    pid = os.fork()
    if pid == 0:
        say(db, f"child {n}")
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(codes, pool.map(child, range(6)))
stop.set()
thread.join()
print(len(db.get_runs("s1")))
"""


@needs_fork
def test_a_process_forks_while_it_writes(db: DuckDb, path: Path) -> None:
    codes, count = told_by(FORKING, path).splitlines()
    assert codes == f"{[0] * 10} {list(range(6))}"
    by_whom = Counter(text.split()[0] for text in inputs(db))
    assert (by_whom["child"], by_whom["pool"]) == (10, 6)
    assert sum(by_whom.values()) == int(count)


ENDING = """
import sys, threading
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.duckdb.engine import Engine
from agno_nb.errors import StoreError
from agno_nb_store_contract.conversation import say
db = DuckDb(sys.argv[1])
def write():
    try:
        while True:
            say(db, "in a thread")
    except StoreError:
        pass
threading.Thread(target=write, daemon=True).start()
say(db, sys.argv[2])
print("said")
"""


@pytest.mark.parametrize("n", range(4))
def test_the_interpreter_ends_while_the_store_is_in_use(db: DuckDb, path: Path, n: int) -> None:
    assert told_by(ENDING, path, f"last words {n}") == "said\n"
    assert not Path(f"{path}.wal").exists()
    assert f"last words {n}" in inputs(db)


@needs_unix
def test_what_was_stored_is_kept_when_there_is_no_space_for_the_checkpoint(db: DuckDb, path: Path) -> None:
    say(db, "before")
    db.close()
    code = """
import resource, sys
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.duckdb.engine import Engine
from agno_nb_store_contract.conversation import say
db = DuckDb(sys.argv[1])
# The log gets 60 kB, and with them the file would be too large.
size = int(sys.argv[2]) + 10_000
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
say(db, "acknowledged", "y" * 30_000)
db.close()
print(len(db.get_runs("s1")))
"""
    assert told_by(code, path, path.stat().st_size) == "2\n"
    assert Path(f"{path}.wal").exists()
    assert inputs(db) == ["before", "acknowledged"]
    say(db, "after")
    assert inputs(db) == ["before", "acknowledged", "after"]


UNPRIVILEGED = """
import os, sys
import pandas
from agno_nb import DuckDb, SqliteDb
from agno_nb.errors import StoreError
from agno_nb_store_contract.conversation import say
db = (SqliteDb if sys.argv[1].endswith(".db") else DuckDb)(sys.argv[1])
db.runs_df()
db.close()
if os.getuid() == 0:
    # The system refuses root nothing.
    os.setgid(65534)
    os.setuid(65534)
print(len(db.get_runs("s1")), len(db.runs_df()))
try:
    say(db, "x")
except StoreError as error:
    print(error)
"""


@needs_unix
@pytest.mark.parametrize(
    ("kind", "name", "has_lock_file"),
    [(DuckDb, "store.duckdb", True), (DuckDb, "store.duckdb", False), (SqliteDb, "store ?#%41.db", False)],
)
def test_a_store_in_a_folder_that_is_read_only_can_be_read(
    kind: Callable[[Path], Any], name: str, has_lock_file: bool
) -> None:
    # The folders of pytest are for their owner only.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        db = kind(path)
        say(db, "x")
        db.close()
        if not has_lock_file:
            Path(f"{path}.lock").unlink(missing_ok=True)
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        try:
            counts, told = told_by(UNPRIVILEGED, path).splitlines()
        finally:
            Path(folder).chmod(0o755)
        assert counts == "1 1"
        assert "choose a db_file in a folder that you can write to" in told
        assert inputs(db) == ["x"]


@pytest.mark.parametrize("size", [1, 100, 4096, 12_288, 40_000])
def test_a_file_that_was_cut_short_is_refused_and_not_touched(db: DuckDb, path: Path, size: int) -> None:
    for n in range(20):
        say(db, f"{n}", "y" * 1000)
    db.close()
    cut = path.read_bytes()[:size]
    path.write_bytes(cut)
    for use in (lambda: say(db, "x"), lambda: db.get_sessions(), lambda: db.runs_df()):
        with pytest.raises(StoreError) as caught:
            use()
        assert str(path) in str(caught.value)
    assert path.read_bytes() == cut


def test_a_foreign_duckdb_file_with_a_log_is_refused_and_not_touched(db: DuckDb, path: Path) -> None:
    code = """
import os, sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("CREATE TABLE penguins AS SELECT 3 AS n")
connection.execute("CHECKPOINT")
connection.execute("INSERT INTO penguins VALUES (4)")
os._exit(0)
"""
    told_by(code, path)
    log = Path(f"{path}.wal")
    before = path.read_bytes(), log.read_bytes()
    for use in (lambda: say(db, "x"), lambda: db.get_sessions()):
        with pytest.raises(NotAStoreError, match="but not a store"):
            use()
    assert (path.read_bytes(), log.read_bytes()) == before
    with duckdb.connect(path) as connection:
        assert connection.execute("SELECT n FROM penguins ORDER BY n").fetchall() == [(3,), (4,)]


def test_an_empty_file_is_an_empty_store(db: DuckDb, path: Path) -> None:
    path.touch()
    assert db.get_sessions() == []
    assert path.stat().st_size == 0
    say(db, "x")
    assert [run.input for run in db.get_runs("s1")] == ["x"]
    assert db.verify() == []


@pytest.mark.parametrize("size", [0, 4096, 8192])
def test_a_file_that_cannot_be_created_is_not_left_behind(
    db: DuckDb, path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Engine, **options: bool) -> bool:
        # What DuckDB leaves on a full disk.
        path.write_bytes(b"DUCK" * (size // 4))
        raise duckdb.IOException("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "attach_file", fail)
        with pytest.raises(StoreError, match="make sure that the disk has space"):
            say(db, "x")
    assert not path.exists()
    say(db, "y")
    assert [run.input for run in db.get_runs("s1")] == ["y"]


def test_a_short_file_of_something_else_is_left_alone(db: DuckDb, path: Path) -> None:
    path.write_bytes(b"x" * 4096)
    with pytest.raises(NotAStoreError, match="is not a DuckDB file"):
        say(db, "x")
    assert path.read_bytes() == b"x" * 4096


@pytest.mark.parametrize("content", [b"", b"?", b"x" * 4000, None], ids=["empty", "asked", "foreign", "missing"])
def test_what_stands_in_the_lock_file_does_not_matter(db: DuckDb, path: Path, content: bytes | None) -> None:
    lock = Path(f"{path}.lock")
    say(db, "x")
    if content is None:
        lock.unlink()
    else:
        lock.write_bytes(content)
    say(db, "y")
    db.close()
    say(db, "z")
    assert inputs(db) == ["x", "y", "z"]
    assert lock.exists()


def test_the_lock_of_a_process_that_was_killed_is_free(db: DuckDb, path: Path) -> None:
    code = "import sys; from filelock import FileLock; FileLock(sys.argv[1]).acquire(); print('x', flush=True); input()"
    holder = start(code, f"{path}.lock")
    assert line_of(holder) == "x"
    kill(holder)
    say(db, "x")
    assert inputs(db) == ["x"]


def test_a_store_that_is_replaced_while_it_is_attached_is_the_new_one(db: DuckDb, path: Path, tmp_path: Path) -> None:
    other = DuckDb(tmp_path / "other.duckdb")
    say(other, "in the other")
    other.close()
    say(db, "x")
    os.replace(tmp_path / "other.duckdb", path)
    say(db, "y")
    db.close()
    assert inputs(db) == ["in the other", "y"]


def test_a_store_that_is_deleted_while_it_is_attached_is_made_again(db: DuckDb, path: Path) -> None:
    say(db, "x")
    path.unlink()
    say(db, "y")
    db.close()
    assert inputs(db) == ["y"]


def test_a_clock_that_goes_backwards_changes_no_order(db: DuckDb, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    for n in range(4):
        monkeypatch.setattr(time, "time", lambda n=n: now - 3600.0 * n)
        say(db, f"{n}")
    run, opened = begin(db, "4", query=ContextQuery(num_history_runs=3))
    assert run.run_index == 4
    assert [message.content for message in opened.history if message.role == "user"] == ["1", "2", "3"]
    assert [message.content for message in db.get_messages("s1") if message.role == "user"] == list("01234")
