"""The file of a DuckDb: shared, crashed, foreign, in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from filelock import FileLock

from agno_nb.db import default_db, schema, set_default_db
from agno_nb.db.base import ContextQuery
from agno_nb.db.duckdb import DuckDb, shared_file
from agno_nb.db.duckdb.shared_file import SharedFile
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, NotAStoreError, StoreError, StoreLocked, StoreVersionError
from agno_nb.types import RunStatus
from agno_nb_store_contract.conversation import begin, contents, say


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.duckdb"


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Run code in another process, in the repository."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


TALKER = """
import sys
from agno_nb.db.duckdb import DuckDb
from agno_nb_store_contract.conversation import say
db = DuckDb(sys.argv[1])
print("ready", flush=True)
input()
for n in range(int(sys.argv[3])):
    say(db, f"{sys.argv[2]} {n}")
"""


def test_processes_that_write_to_one_file_lose_nothing(path: Path) -> None:
    others = [start(TALKER, path, name, 15) for name in ("b", "c")]
    for other in others:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
    for other in others:
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
    db, twin = DuckDb(path), DuckDb(path)
    for n in range(15):
        say((db, twin)[n % 2], f"a {n}")
    for other in others:
        other.communicate(timeout=60)
        assert other.returncode == 0
    runs = db.get_runs("s1")
    assert sorted(run.input for run in runs) == sorted(f"{name} {n}" for name in "abc" for n in range(15))
    assert sorted(run.run_index for run in runs if run.run_index is not None) == list(range(45))
    assert {run.status for run in runs} == {RunStatus.COMPLETED}
    assert len(db.get_messages("s1")) == 90


VICTIM = """
import sys
from agno_nb.db.duckdb import DuckDb
from agno_nb.types import Message
from agno_nb_store_contract.conversation import begin, say
db = DuckDb(sys.argv[1])
say(db, "before")
run, _ = begin(db, "what was asked")
asks = Message(role="assistant", content="what was said")
run.messages.append(asks)
db.add_messages(run, [asks])
print("open", flush=True)
input()
"""


def test_a_killed_process_loses_nothing_that_was_said(path: Path) -> None:
    victim = start(VICTIM, path)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "open\n"
    db = DuckDb(path)
    assert db.runs_df()["interrupted"].tolist() == [False, False]
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert contents(db.get_messages("s1")) == [
        ("user", "before"),
        ("assistant", "answer to before"),
        ("user", "what was asked"),
        ("assistant", "what was said"),
    ]
    runs = db.runs_df()
    assert runs[["status", "interrupted"]].values.tolist() == [["COMPLETED", False], ["RUNNING", True]]
    run, opened = begin(db, "after", query=ContextQuery(num_history_runs=5))
    assert run.run_index == 2
    assert contents(opened.history) == [("user", "before"), ("assistant", "answer to before")]


def test_a_write_that_was_committed_but_not_checkpointed_is_recovered(path: Path) -> None:
    """The files that DuckDB recovers from are among those that the engine may reach."""
    db = DuckDb(path)
    say(db, "first")
    db.close()
    code = """
import os, sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("UPDATE raw_sessions SET session_name = 'from the log'")
os._exit(1)
"""
    start(code, path).communicate()
    assert Path(f"{path}.wal").exists()
    assert [session.session_name for session in db.get_sessions()] == ["from the log"]
    say(db, "second")
    db.close()
    assert not Path(f"{path}.wal").exists()
    assert db.sessions_df()[["session_name", "num_runs"]].values.tolist() == [["from the log", 2]]


def test_a_store_is_let_go_of_soon_after_a_write_without_being_asked(path: Path) -> None:
    """Another program waits for the file while no store is used."""
    say(DuckDb(path), "x")
    with FileLock(f"{path}.lock"), duckdb.connect(path, read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM raw_runs").fetchall() == [(1,)]


RESTLESS = """
import sys
from agno_nb.db.duckdb import DuckDb
from agno_nb_store_contract.conversation import say
db = DuckDb(sys.argv[1])
print("ready", flush=True)
while not db.get_session("done"):
    say(db, "x", session_id="loop")
"""


STAYING = """
import sys
from agno_nb.db.duckdb import DuckDb
from agno_nb_store_contract.conversation import say
db = DuckDb(sys.argv[1])
say(db, "x")
db.close()
print("said", flush=True)
sys.stdin.readline()
"""


def test_a_store_is_at_hand_where_no_other_process_goes_on_using_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, file = DuckDb(path), SharedFile.at(path)
    assert db.is_uncontended  # It is made then.
    other = start(STAYING, path)
    assert other.stdout is not None
    assert other.stdout.readline() == "said\n"
    for name in ("LINGER_S", "LONGEST_HOLD_S", "ALONE_AFTER_S"):
        monkeypatch.setattr(shared_file, name, 3600.0)
    say(db, "y")
    # It is still attached; the thread that detaches it locks it now and then to check.
    limit = time.monotonic() + 60
    while not db.is_uncontended:
        assert time.monotonic() < limit
    with db._driver.transaction(write=False):
        assert not db.is_uncontended
    file.let_go()
    assert not db.is_uncontended
    monkeypatch.setattr(shared_file, "ALONE_AFTER_S", 0.0)
    assert db.is_uncontended
    monkeypatch.setattr(shared_file, "ALONE_AFTER_S", 3600.0)
    assert not db.is_uncontended
    other.communicate("\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell whether a process has ended")
def test_a_store_is_at_hand_when_the_process_that_used_it_has_ended(path: Path) -> None:
    start(STAYING, path).communicate("\n")
    db, file = DuckDb(path), SharedFile.at(path)
    say(db, "y")
    file.let_go()
    assert db.is_uncontended


def test_a_store_whose_lock_says_nothing_that_is_known_may_be_in_use(path: Path) -> None:
    db, file = DuckDb(path), SharedFile.at(path)
    Path(f"{path}.lock").write_text(" -somebody\n6f5c")
    say(db, "x")
    file.let_go()
    assert not db.is_uncontended


def test_a_process_that_writes_without_a_pause_lets_others_in(path: Path) -> None:
    restless = start(RESTLESS, path)
    assert restless.stdout is not None
    assert restless.stdout.readline() == "ready\n"
    db = DuckDb(path)
    for n in range(5):
        say(db, str(n), session_id="other")
    say(db, "x", session_id="done")
    restless.communicate(timeout=60)
    assert restless.returncode == 0
    assert [run.run_index for run in db.get_runs("other")] == [0, 1, 2, 3, 4]


def test_objects_on_one_file_are_one_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = DuckDb(path)
    monkeypatch.chdir(path.parent)
    twin = DuckDb("store.duckdb")
    say(db, "x")
    assert (twin.identity, len(twin.get_runs("s1"))) == (db.identity, 1)
    assert repr(twin) == f"DuckDb({str(path)!r})"


def test_reading_what_is_not_there_gives_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    db = DuckDb(tmp_path / "folder" / "store.duckdb")
    assert db.get_sessions() == []
    assert (len(db.runs_df()), db.query("SELECT count(*) AS n FROM messages").df()["n"].tolist()) == (0, [0])
    assert [p.name for p in tmp_path.iterdir()] == ["cwd"]
    say(db, "x")
    db.close()
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == ["store.duckdb", "store.duckdb.lock"]


def test_a_file_that_is_deleted_is_made_again(path: Path) -> None:
    db = DuckDb(path)
    say(db, "x")
    path.unlink()
    assert db.get_sessions() == []
    say(db, "y")
    assert [run.input for run in db.get_runs("s1")] == ["y"]


def test_an_empty_duckdb_file_becomes_a_store(path: Path) -> None:
    duckdb.connect(path).close()
    before = path.read_bytes()
    db = DuckDb(path)
    assert db.get_sessions() == []
    assert path.read_bytes() == before
    say(db, "x")
    assert len(db.get_sessions()) == 1


def foreign_text(path: Path) -> None:
    path.write_text("penguins,3\n" * 1000)


def foreign_duckdb(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE penguins AS SELECT 3 AS n")


def newer_store(path: Path) -> None:
    db = DuckDb(path)
    say(db, "x")
    db.close()
    with duckdb.connect(path) as connection:
        connection.execute("INSERT INTO raw_schema VALUES (?, 0)", [schema.VERSION + 1])


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (foreign_text, NotAStoreError, "is not a DuckDB file"),
        (foreign_duckdb, NotAStoreError, "but not a store"),
        (newer_store, StoreVersionError, f"has version {schema.VERSION + 1} .* update agno_nb"),
    ],
)
def test_what_is_not_a_store_is_refused_and_not_touched(
    path: Path, make: Callable[[Path], None], error: type[StoreError], told: str
) -> None:
    make(path)
    before = path.read_bytes()
    db = DuckDb(path)
    for use in (lambda: say(db, "x"), lambda: db.get_sessions(), lambda: db.runs_df()):
        with pytest.raises(error, match=told) as caught:
            use()
        assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    # No lock file is left next to what is not a store. That of a store was there before.
    assert Path(f"{path}.lock").exists() is (make is newer_store)
    # Nothing is left open: another program can have the file.
    if make is not foreign_text:
        duckdb.connect(path).close()


def test_a_folder_is_not_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder; give the path of a file"):
        say(DuckDb(tmp_path), "x")


def test_a_path_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be used: .*choose a db_file in a folder that you can write to"):
        say(DuckDb(tmp_path / "file" / "store.duckdb"), "x")


@pytest.mark.skipif(os.name == "nt", reason="the system cannot limit the size of files")
def test_a_disk_without_space_is_told_and_damages_nothing(path: Path) -> None:
    say(DuckDb(path), "before")
    code = """
import resource, sys
from agno_nb.db.duckdb import DuckDb
from agno_nb.errors import StoreError
from agno_nb_store_contract.conversation import say
db = DuckDb(sys.argv[1])
size = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    say(db, "x" * 3_000_000)
except StoreError as error:
    print(error)
"""
    told, _ = start(code, path, path.stat().st_size + 100_000).communicate(timeout=60)
    assert "make sure that the disk has space" in told
    db = DuckDb(path)
    assert [run.input for run in db.get_runs("s1")] == ["before"]
    say(db, "after")
    assert [run.input for run in db.get_runs("s1")] == ["before", "after"]


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_a_store_without_a_file_is_in_memory(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"use InMemoryDb\(\)"):
        DuckDb(name)


def test_waiting_for_another_process_ends_in_an_error_that_helps(path: Path) -> None:
    db, hasty = DuckDb(path), DuckDb(path, lock_timeout_s=0.05)
    say(db, "x")
    # Soon after a write the lock is free, also for a thread that has just written.
    with FileLock(f"{path}.lock"):
        for use in (lambda: say(hasty, "y"), lambda: hasty.get_sessions()):
            with pytest.raises(
                StoreLocked, match=r"timed out after 0.05 s waiting for store .*, locked by .*; wait for"
            ):
                use()
    say(db, "z")
    assert [run.input for run in db.get_runs("s1")] == ["x", "z"]


def test_waiting_for_another_thread_ends_in_an_error_that_helps(path: Path) -> None:
    patient, hasty = DuckDb(path), DuckDb(path, lock_timeout_s=0.05)
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with patient._driver.transaction(write=True):
            inside.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    with pytest.raises(StoreLocked, match=r"waiting for store .*, used by another thread"):
        hasty.get_sessions()
    leave.set()
    thread.join()
    assert patient.get_sessions() == []


def test_another_program_with_the_file_open_is_told(path: Path) -> None:
    db = DuckDb(path)
    say(db, "x")
    db.close()
    with duckdb.connect(path), pytest.raises(StoreLocked, match="close it there"):
        db.get_sessions()
    holder = start("import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()", path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    with pytest.raises(StoreLocked, match="close it there"):
        say(db, "y")
    holder.communicate("\n")
    say(db, "z")
    assert [run.input for run in db.get_runs("s1")] == ["x", "z"]


def test_an_error_in_a_transaction_leaves_nothing_of_it(path: Path) -> None:
    db = DuckDb(path)
    say(db, "x", run_id="r1")
    with pytest.raises(StoreError, match="what was being written is not stored"):
        say(db, "y", run_id="r1", session_id="s2")
    assert [session.session_id for session in db.get_sessions()] == ["s1"]


FORKER = """
import os, sys
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import StoreError
from agno_nb_store_contract.conversation import say
db, memory = DuckDb(sys.argv[1]), InMemoryDb()
say(db, "parent")
say(memory, "parent")
assert len(db.query("SELECT * FROM runs").df()) == 1
child = os.fork()
say(db, "child" if child == 0 else "parent again")
if child == 0:
    try:
        memory.get_sessions()
    except StoreError:
        # The interpreter is taken down in order, unlike in multiprocessing, and with it the objects of the parent.
        sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_uses_the_store_on_its_own(path: Path) -> None:
    told, _ = start(FORKER, path).communicate(timeout=60)
    assert told == "7\n"
    assert sorted(run.input for run in DuckDb(path).get_runs("s1")) == ["child", "parent", "parent again"]


def test_paths_with_odd_characters_are_paths(tmp_path: Path) -> None:
    db = DuckDb(tmp_path / "it's a “store”; DROP.duckdb")
    say(db, "x")
    assert len(db.runs_df()) == 1


def test_the_default_store_is_a_file_where_one_works(working_directory: Path) -> None:
    set_default_db(None)
    try:
        db = default_db()
        assert db.identity == str(working_directory / "agno_nb.duckdb")
        assert default_db() is db
        mine = InMemoryDb()
        set_default_db(mine)
        assert default_db() is mine
    finally:
        set_default_db(None)
