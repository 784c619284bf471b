"""Stores in a folder that several users share, each with a umask of 022: only the owner can write to the files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.db.processes import kill, line_of
from tests.db.users import COLLEAGUE, GROUP, OWNER, start_as, told_by

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the system has no users of this kind")

SAY = "db = kind(path); say(db, 'x'); say(db, 'y'); db.close()"
SAY_AGAIN = "say(kind(path), 'z'); print([run.input for run in kind(path).get_runs('s1')])"
READ = """
for line in sys.stdin:
    db = kind(path)
    print([run.input for run in db.get_runs("s1")], end=" ")
    print(db.runs_df()["input"].tolist(), db.runs_df(limit=5)["interrupted"].tolist(), end=" ")
    print(db.query("select input from runs order by run_index").df()["input"].tolist(), end=" ")
    print(collect(path).runs_df()["input"].tolist(), end=" ")
    print(db.get_session("s1").session_id, len(db.messages_df()), db.verify(), flush=True)
    db.close()
"""
STAY = "db = kind(path); say(db, 'x'); say(db, 'y'); print('said', flush=True); sys.stdin.readline(); db.close()"
STAY_AND_SAY = STAY.replace("sys.stdin.readline();", "sys.stdin.readline(); say(db, 'z'); print('z', flush=True);")
BREAK_OFF = "db = kind(path); say(db, 'x'); begin(db, 'y'); print('said', flush=True); sys.stdin.readline()"


def told(interrupted: bool = False) -> str:
    both = "['x', 'y']"
    return f"{both} {both} [False, {interrupted}] {both} {both} s1 {3 if interrupted else 4} []"


@pytest.fixture(params=["DuckDb", "SqliteDb"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def path() -> Iterator[Path]:
    """A file in a folder of a group. The folders of pytest are not open to other users."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shared = folder / "shared"
    shared.mkdir()
    if os.geteuid() == 0:
        os.chown(shared, OWNER, GROUP)
    shared.chmod(0o2770)
    yield shared / "store.db"
    shared.chmod(0o2770)
    shutil.rmtree(folder)


def what_is_there(path: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return the files with owners and contents, except SQLite's shared memory."""
    files = {file.name: file for file in path.parent.iterdir()}
    return {
        name: (file.stat().st_uid, file.stat().st_mode, b"" if name.endswith("-shm") else file.read_bytes())
        for name, file in files.items()
    }


@contextmanager
def colleague(kind: str, path: Path) -> Iterator[Callable[[], str]]:
    """Let a colleague read what is there, who may only search and read the folder, and then may write there too."""
    reader = start_as(COLLEAGUE, READ, kind, path)

    def read() -> str:
        found = set()
        for mode in (0o2750, 0o2770):
            path.parent.chmod(mode)
            assert reader.stdin is not None
            reader.stdin.write("read\n")
            reader.stdin.flush()
            found.add(line_of(reader))
        (line,) = found
        return line

    yield read
    assert reader.communicate(timeout=60) == ("", "")


def test_a_colleague_reads_and_leaves_nothing_behind(path: Path, kind: str) -> None:
    told_by(OWNER, SAY, kind, path)
    with colleague(kind, path) as read:
        before = what_is_there(path)
        assert read() == told()
        assert what_is_there(path) == before
        Path(f"{path}.lock").unlink(missing_ok=True)
        before = what_is_there(path)
        assert read() == told()
        assert what_is_there(path) == before
    assert told_by(OWNER, SAY_AGAIN, kind, path) == "['x', 'y', 'z']"


def test_a_colleague_reads_what_is_in_use(path: Path, kind: str) -> None:
    owner = start_as(OWNER, STAY_AND_SAY, kind, path)
    assert line_of(owner) == "said"
    with colleague(kind, path) as read:
        names = {file.name for file in path.parent.iterdir()} - {"store.db.wal"}
        assert read() == told()
        assert {file.name for file in path.parent.iterdir()} - {"store.db.wal"} == names
        assert owner.communicate("\n", timeout=60) == ("z\n", "")
        assert owner.returncode == 0


@pytest.mark.parametrize("left_out", ["", ".lock", "-shm"])
def test_a_colleague_reads_what_a_killed_process_left_in_a_log(path: Path, kind: str, left_out: str) -> None:
    owner = start_as(OWNER, BREAK_OFF, kind, path)
    assert line_of(owner) == "said"
    kill(owner)
    if left_out:
        Path(f"{path}{left_out}").unlink(missing_ok=True)
    before = what_is_there(path)
    with colleague(kind, path) as read:
        assert read() == told(interrupted=True)
        assert what_is_there(path) == before
    assert told_by(OWNER, SAY_AGAIN, kind, path) == "['x', 'y', 'z']"


def test_a_duckdb_log_in_a_folder_that_cannot_be_written_to_is_read(path: Path) -> None:
    leave_log = """
import duckdb
db = kind(path); say(db, 'x'); db.close()
connection = duckdb.connect(path)
connection.execute("UPDATE raw_runs SET input = 'from the log'")
os._exit(0)
"""
    told_by(OWNER, leave_log, "DuckDb", path)
    assert Path(f"{path}.wal").exists()
    before = what_is_there(path)
    read = "print(kind(path).runs_df()['input'].tolist(), collect(path).runs_df()['input'].tolist())"
    path.parent.chmod(0o2750)
    assert told_by(COLLEAGUE, read, "DuckDb", path) == "['from the log'] ['from the log']"
    path.parent.chmod(0o2770)
    Path(f"{path}.lock").unlink()
    assert told_by(COLLEAGUE, read, "DuckDb", path) == "['from the log'] ['from the log']"
    assert what_is_there(path) == {name: each for name, each in before.items() if not name.endswith(".lock")}


WRITE = """
db = kind(path)
for write in (lambda: say(db, "z"), lambda: db.rename_session("s1", session_name="mine"), lambda: db.vacuum()):
    try:
        write()
    except AgnoNbError as error:
        print(type(error).__name__, path in str(error), "chmod" in str(error))
print(len(db.runs_df()))
"""


def test_a_colleague_who_writes_is_told_which_file_is_in_the_way(path: Path, kind: str) -> None:
    told_by(OWNER, SAY, kind, path)
    before = what_is_there(path)
    assert told_by(COLLEAGUE, WRITE, kind, path).split("\n") == ["StoreError True True"] * 3 + ["2"]
    assert what_is_there(path) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="a file of another user needs root")
@pytest.mark.parametrize(("kind", "ending"), [("DuckDb", ".lock"), ("SqliteDb", "-shm"), ("SqliteDb", "-wal")])
def test_an_owner_is_told_which_file_of_a_colleague_is_in_the_way(path: Path, kind: str, ending: str) -> None:
    told_by(OWNER, SAY, kind, path)
    blocker = Path(f"{path}{ending}")
    blocker.touch()
    os.chown(blocker, COLLEAGUE, GROUP)
    blocker.chmod(0o600)
    code = "try:\n    say(kind(path), 'z')\nexcept AgnoNbError as error:\n    print(error)"
    assert f"cannot be used: {blocker}: Permission denied" in told_by(OWNER, code, kind, path)


def test_whoever_may_write_to_the_store_may_lock_it(path: Path) -> None:
    told_by(OWNER, SAY, "DuckDb", path)
    Path(f"{path}.lock").unlink()
    path.chmod(0o664)
    told_by(OWNER, "say(kind(path), 'z')", "DuckDb", path)
    assert Path(f"{path}.lock").stat().st_mode & 0o777 == 0o664
    assert told_by(COLLEAGUE, SAY_AGAIN, "DuckDb", path) == "['x', 'y', 'z', 'z']"


def share(path: Path) -> None:
    """Make a store that the whole group may write to."""
    told_by(OWNER, SAY, "DuckDb", path)
    Path(f"{path}.lock").unlink()
    path.chmod(0o664)
    told_by(OWNER, "say(kind(path), 'z')", "DuckDb", path)


@pytest.mark.parametrize(
    "checkpoint", ["", "with db._driver.attached(write=True) as e: e._connection.execute('CHECKPOINT store')"]
)
def test_the_log_of_a_killed_colleague_is_not_in_the_way_of_the_owner(path: Path, checkpoint: str) -> None:
    share(path)
    stay = f"""
import agno_nb.db.duckdb.shared_file as shared_file
shared_file.LINGER_S = shared_file.LINGER_ALONE_S = shared_file.LONGEST_HOLD_S = 1e9
db = kind(path)
say(db, 'a')
{checkpoint}
say(db, 'b'); say(db, 'c')
print('said', flush=True)
sys.stdin.readline()
"""
    process = start_as(COLLEAGUE, stay, "DuckDb", path)
    assert line_of(process) == "said"
    kill(process)
    log = Path(f"{path}.wal")
    assert (log.stat().st_mode & 0o777, log.stat().st_size > 0) == (0o664, True)
    assert told_by(OWNER, SAY_AGAIN, "DuckDb", path) == "['x', 'y', 'z', 'a', 'b', 'c', 'z']"
    assert not log.exists()


def test_a_store_that_is_shared_stays_so_and_leaves_no_empty_log(path: Path) -> None:
    share(path)
    look = "db = kind(path); db.rename_session('none', session_name='x'); db.vacuum(); db.close()"
    told_by(COLLEAGUE, look, "DuckDb", path)
    assert path.stat().st_mode & 0o777 == 0o664
    assert sorted(file.name for file in path.parent.iterdir()) == ["store.db", "store.db.lock"]
    assert told_by(OWNER, SAY_AGAIN, "DuckDb", path) == "['x', 'y', 'z', 'z']"
