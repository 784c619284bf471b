"""SQLite stores with files, processes and threads."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import InvalidInputError, NotAStoreError, StoreError, StoreLocked, StoreVersionError
from agno_nb.types import Media, Message, RunOutput, RunStatus, Session
from agno_nb_store_contract.conversation import begin, end, say
from tests.db.processes import start, told_by

WRITER = """
import sys
from agno_nb.agent import Agent
from agno_nb.db.sqlite import SqliteDb
from agno_nb.testing import FunctionModel

agent = Agent(FunctionModel(lambda messages, tools: "ok"), db=SqliteDb(sys.argv[1]), session_id="shared")
for number in range(20):
    agent.run(f"{sys.argv[2]} {number}")
"""


def test_reading_makes_no_file_and_writing_makes_folder_and_store(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "new" / "store.db")
    assert db.get_sessions() == []
    assert db.runs_df().empty
    assert not (tmp_path / "new").exists()
    end(db, begin(db)[0])
    assert [run.input for run in SqliteDb(tmp_path / "new" / "store.db").get_runs("s1")] == ["hello"]
    assert len(db.runs_df()) == 1


def test_what_is_not_a_store_is_refused_and_not_touched(tmp_path: Path) -> None:
    text, other, newer = tmp_path / "notes.txt", tmp_path / "other.db", tmp_path / "newer.db"
    text.write_text("notes " * 1000)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
    connection.close()
    end(SqliteDb(newer), begin(SqliteDb(newer))[0])
    with sqlite3.connect(newer) as connection:
        connection.execute("INSERT INTO raw_schema VALUES (99, 0)")
    connection.close()
    for path, error in ((text, NotAStoreError), (other, NotAStoreError), (newer, StoreVersionError)):
        before = path.read_bytes()
        for use in (lambda db: db.get_sessions(), lambda db: begin(db)):
            with pytest.raises(error, match=path.name):
                use(SqliteDb(path))
        assert path.read_bytes() == before


def test_paths_that_cannot_be_used_say_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a folder"):
        SqliteDb(tmp_path).create()
    with pytest.raises(StoreError, match="choose a db_file in a folder"):
        SqliteDb(tmp_path / "file" / "store.db").create()
    with pytest.raises(InvalidInputError, match="use InMemoryDb"):
        SqliteDb(":memory:")


def test_a_file_that_is_held_too_long_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    SqliteDb(path).create()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    db = SqliteDb(path, lock_timeout_s=0.05)
    with pytest.raises(StoreLocked, match=r"waiting for store .*, locked by another process"):
        begin(db)
    assert db.get_sessions() == []
    holder.execute("ROLLBACK")
    holder.close()
    db = SqliteDb(path)
    end(db, begin(db)[0])


def test_a_deleted_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    db = SqliteDb(path)
    end(db, begin(db)[0])
    for file in tmp_path.glob("store.db*"):
        file.unlink()
    assert db.get_sessions() == []
    end(db, begin(db, "again")[0])
    assert [run.input for run in SqliteDb(path).get_runs("s1")] == ["again"]


def test_processes_and_threads_that_write_at_once_lose_nothing(tmp_path: Path, python: str) -> None:
    path = tmp_path / "store.db"
    writers = [subprocess.Popen([python, "-c", WRITER, str(path), name]) for name in ("a", "b")]
    db = SqliteDb(path)

    def write(name: str) -> None:
        for number in range(20):
            end(db, begin(db, f"{name} {number}", session_id="shared")[0])

    threads = [threading.Thread(target=write, args=[name]) for name in ("c", "d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    runs = db.get_runs("shared")
    assert sorted(run.run_index for run in runs if run.run_index is not None) == list(range(80))
    assert {run.input for run in runs} == {f"{name} {number}" for name in "abcd" for number in range(20)}


def test_a_killed_process_leaves_what_was_committed(tmp_path: Path, python: str) -> None:
    path = tmp_path / "store.db"
    code = f"""
import os, signal
from agno_nb.db.sqlite import SqliteDb
from agno_nb.types import Media, Message, RunOutput, Session
from agno_nb_store_contract.conversation import begin
begin(SqliteDb({str(path)!r}), "before the end")
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).resolve().parents[2]
    subprocess.run([python, "-c", code], cwd=root, check=False)
    db = SqliteDb(path)
    frame = db.runs_df()
    assert frame[["input", "status", "interrupted"]].values.tolist() == [["before the end", "RUNNING", True]]
    assert end(db, begin(db, "next")[0]).run_index == 1


def test_a_url_names_a_file_too(tmp_path: Path, working_directory: Path) -> None:
    assert SqliteDb(db_url="sqlite:///tmp/my%20data.db").db_file == working_directory / "tmp" / "my data.db"
    assert SqliteDb(db_url=f"sqlite+pysqlite:///{tmp_path}/x.db").db_file == tmp_path / "x.db"
    assert SqliteDb().db_file == working_directory / "agno_nb.db"
    for url in ("postgresql://host/x", "sqlite://host/x.db", "x.db"):
        with pytest.raises(InvalidInputError, match=r"pass a URL such as 'sqlite:///tmp/data.db'"):
            SqliteDb(db_url=url)
    with pytest.raises(InvalidInputError, match="pass one of them"):
        SqliteDb("x.db", db_url="sqlite:///y.db")


def test_an_empty_file_is_not_touched_by_reading_and_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch()
    db = SqliteDb(path)
    assert db.get_sessions() == []
    assert path.read_bytes() == b""
    end(db, begin(db)[0])
    assert len(db.get_sessions()) == 1


def test_a_store_that_is_closed_is_one_file(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "folder" / "store.db")
    end(db, begin(db)[0])
    db.close()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["store.db"]


FORKER = """
import os, sys
from agno_nb.db.sqlite import SqliteDb
from agno_nb.types import Media, Message, RunOutput, Session
from agno_nb_store_contract.conversation import say
db = SqliteDb(sys.argv[1])
say(db, "parent")
child = os.fork()
say(db, "child" if child == 0 else "parent again")
if child:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_uses_the_store_on_its_own(tmp_path: Path, python: str) -> None:
    path = tmp_path / "store.db"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([python, "-c", FORKER, path], cwd=root, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")
    assert sorted(run.input for run in SqliteDb(path).get_runs("s1")) == ["child", "parent", "parent again"]


CLOSING = """
import os, sys
from agno_nb.db.sqlite import SqliteDb
from agno_nb_store_contract.conversation import say
db = SqliteDb(sys.argv[1])
say(db, "before")
from_child, to_parent = os.pipe()
from_parent, to_child = os.pipe()
if os.fork() == 0:
    say(db, "child")
    os.write(to_parent, b"x")
    os.read(from_parent, 1)
    say(db, "child again")
    os._exit(0)
os.read(from_child, 1)
say(db, "parent")
db.close()
os.write(to_child, b"x")
os.wait()
print([run.input for run in SqliteDb(sys.argv[1]).get_runs("s1")])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_store_that_the_parent_closes_keeps_what_a_forked_process_writes(tmp_path: Path) -> None:
    assert told_by(CLOSING, tmp_path / "store.db") == "['before', 'child', 'parent', 'child again']\n"


FORKING = """
import os, sys, threading, warnings
from agno_nb.db.sqlite import SqliteDb
from agno_nb_store_contract.conversation import say
# Python warns of a fork while there are threads. That is what is tried here.
warnings.simplefilter("ignore", DeprecationWarning)
db = SqliteDb(sys.argv[1])
stop = threading.Event()
def write():
    n = 0
    while not stop.is_set():
        say(db, f"thread {n}")
        n += 1
thread = threading.Thread(target=write)
thread.start()
children = []
for n in range(6):
    pid = os.fork()
    if pid == 0:
        own = db if n % 2 else SqliteDb(sys.argv[1])
        for k in range(20):
            say(own, f"child {n}.{k}")
        os._exit(0)
    say(db, f"parent {n}")
    children.append(pid)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
stop.set()
thread.join()
print(len(db.get_runs("s1")))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_process_forks_while_its_threads_write(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    codes, count = told_by(FORKING, path).splitlines()
    assert codes == str([0] * 6)
    runs = SqliteDb(path).get_runs("s1")
    assert {run.status for run in runs} == {RunStatus.COMPLETED}
    by_whom = Counter(run.input.split()[0] for run in runs)
    assert (by_whom["child"], by_whom["parent"]) == (120, 6)
    assert sum(by_whom.values()) == int(count)


def inputs(path: Path) -> list[str]:
    return [run.input for run in SqliteDb(path).get_runs("s1")]


def test_a_renamed_store_has_what_was_in_its_log(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    db = SqliteDb(old)
    say(db, "1")
    say(db, "2")
    assert len(db.runs_df()) == 2
    old.rename(new)
    assert inputs(new) == ["1", "2"]
    say(db, "3")
    say(SqliteDb(new), "4")
    say(db, "5")
    assert (inputs(old), inputs(new)) == (["3", "5"], ["1", "2", "4"])
    assert told_by(INPUTS, old, new) == f"{['3', '5']}\n{['1', '2', '4']}\n"


INPUTS = """
import sys
from agno_nb.db.sqlite import SqliteDb
for path in sys.argv[1:]:
    print([run.input for run in SqliteDb(path).get_runs("s1")])
"""

RENAMING = """
import os, signal, sys
from agno_nb.db.sqlite import SqliteDb
from agno_nb_store_contract.conversation import say
db = SqliteDb(sys.argv[1])
say(db, "x")
if sys.argv[3] == "killed":
    # A moment after the write nothing is in the log any more.
    db._driver._connections._merging.join()
os.rename(*sys.argv[1:3])
if sys.argv[3] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_a_process_that_ends_after_its_store_was_renamed_loses_nothing(tmp_path: Path, how: str) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    start(RENAMING, old, new, how).communicate(timeout=60)
    assert inputs(new) == ["x"]
    assert inputs(old) == []


def test_a_store_that_is_replaced_is_the_new_one(tmp_path: Path) -> None:
    path, copy = tmp_path / "store.db", tmp_path / "copy.db"
    db = SqliteDb(path)
    say(db, "1")
    db.backup(copy)
    say(db, "2")
    assert len(db.runs_df()) == 2
    copy.replace(path)
    say(db, "3")
    assert len(db.runs_df()) == 2
    assert told_by(INPUTS, path) == f"{['1', '3']}\n"


def test_a_file_is_not_opened_beside_the_log_of_another(tmp_path: Path) -> None:
    path, copy = tmp_path / "store.db", tmp_path / "copy.db"
    db = SqliteDb(path)
    say(db, "1")
    db.backup(copy)
    say(db, "2")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM raw_runs").fetchone()
    say(db, "3")  # The reader keeps SQLite from emptying the log.
    copy.replace(path)
    for use in (lambda: say(db, "4"), lambda: say(SqliteDb(path), "4")):
        with pytest.raises(StoreError, match=r"store\.db-wal still holds changes"):
            use()
    say(SqliteDb(tmp_path / "other.db"), "other")
    reader.close()
    say(db, "4")
    assert inputs(path) == ["1", "4"]


def test_a_log_that_is_left_without_its_file_is_not_deleted(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    code = """
import os, signal, sys
from agno_nb.db.sqlite import SqliteDb
from agno_nb_store_contract.conversation import say
say(SqliteDb(sys.argv[1]), "x")
os.kill(os.getpid(), signal.SIGKILL)
"""
    start(code, old).communicate(timeout=60)
    old.rename(new)
    for use in (lambda db: say(db, "y"), lambda db: db.get_sessions(), lambda db: db.runs_df()):
        with pytest.raises(StoreError, match=r"old\.db-wal still holds changes"):
            use(SqliteDb(old))
    (tmp_path / "old.db-wal").rename(tmp_path / "new.db-wal")
    assert inputs(new) == ["x"]
    say(SqliteDb(old), "y")
    assert inputs(old) == ["y"]


def test_the_content_of_media_is_there_for_a_query_that_names_it(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "store.db")
    run = RunOutput(session_id="s1", input="see")
    run.messages = [Message(role="user", content="see", media=[Media(kind="image", content=b"x")])]
    db.open_run(run, run.messages, session=Session(session_id="s1"))
    assert db.arrow("SELECT size FROM message_media").to_pylist() == [{"size": 1}]
    assert db.arrow("SELECT content FROM RAW_MEDIA").to_pylist() == [{"content": b"x"}]


def test_threads_that_make_the_store_at_the_same_moment_all_get_it(tmp_path: Path) -> None:
    """SQLite refuses one of two that turn its log on at once, whatever its timeout: 3 of 100 stores, measured."""
    for n in range(40):
        db = SqliteDb(tmp_path / f"{n}.db")
        with ThreadPoolExecutor(8) as pool:
            made = [pool.submit(db.create) for _ in range(8)]
        assert [future.exception() for future in made] == [None] * 8
        assert db.get_sessions() == []
        db.close()


READING_FORK = """
import os, sys, threading, warnings
from agno_nb.db import sqlite_connections
from agno_nb.db.sqlite import SqliteDb
from agno_nb_store_contract.conversation import say
warnings.simplefilter("ignore", DeprecationWarning)
db = SqliteDb(sys.argv[1])
say(db, "x")
held = threading.Event()
def hold():
    # A use of the store, for which the fork waits.
    with sqlite_connections.lease():
        held.set()
        while not sqlite_connections._fork_lock.locked():
            os.sched_yield()
        reader.start()
        reader.join(0.2)  # It waits until the fork is over.
reader = threading.Thread(target=db._driver.rows, args=({},))
holder = threading.Thread(target=hold)
holder.start()
held.wait()
pid = os.fork()
if pid == 0:
    os._exit(len(db.runs_df()))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
holder.join()
reader.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_can_read_what_a_thread_of_its_parent_was_about_to_read(tmp_path: Path) -> None:
    assert told_by(READING_FORK, tmp_path / "store.db") == "1\n"


def test_a_closed_store_leaves_no_thread_behind(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "store.db")
    say(db, "x")
    merging = db._driver._connections._merging  # type: ignore[attr-defined]
    db.close()
    if merging is not None:
        merging.join(60)
        assert not merging.is_alive()
    assert not (tmp_path / "store.db-wal").exists()
