"""Many stores read as one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from agno_nb import collect
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.frame_definitions import FRAMES
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import InvalidInputError, QueryError, StoreError
from agno_nb_store_contract.conversation import say
from tests.test_frames import dtypes, fill


@pytest.fixture
def submissions(tmp_path: Path) -> Path:
    """Three stores as they are handed in, all of them with a session of the same id, and one without its lock file."""
    folder = tmp_path / "submissions"
    for name, kind in (("ann", DuckDb), ("ben", DuckDb), ("cat", SqliteDb)):
        db = kind(folder / name / "agno_nb.duckdb")
        fill(db)
        say(db, f"{name} was here", user_id="alice")
        db.close()
        (folder / name / "agno_nb.duckdb.lock").unlink(missing_ok=True)
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_frames_of_many_stores_are_those_of_each_with_its_source(submissions: Path) -> None:
    stores = collect(str(submissions / "*" / "agno_nb.duckdb"))
    for view, frame in FRAMES.items():
        found = getattr(stores, f"{view}_df")()
        assert list(dtypes(found).items()) == [("source", "str"), *frame.columns.items()]
        for name, kind in (("ann", DuckDb), ("cat", SqliteDb)):
            own = getattr(kind(submissions / name / "agno_nb.duckdb"), f"{view}_df")()
            of_source = found[found["source"] == name].drop(columns="source").reset_index(drop=True)
            pd.testing.assert_frame_equal(of_source, own)
    # Of each store's own session, and not of the three that have its id.
    assert stores.sessions_df(session_id="s1")["num_runs"].tolist() == [3, 3, 3]
    assert sorted(stores.runs_df(user_id="bob")["source"]) == ["ann", "ben", "cat"]
    assert stores.runs_df(limit=2)["input"].tolist() == ["ben was here", "cat was here"]
    assert stores.runs_df(limit=0).empty
    assert (len(stores), repr(stores)) == (3, "Collection of 3 stores: ann, ben, cat")


def test_sql_over_many_stores_has_a_source(submissions: Path) -> None:
    stores = collect(submissions.glob("*/agno_nb.duckdb"))
    marks = pd.DataFrame({"source": ["ann", "ben", "cat"], "mark": [1, 2, 3]})
    found = stores.query(
        "SELECT source, count(*) AS n, any_value(mark) FROM runs JOIN marks USING (source) GROUP BY ALL ORDER BY 1",
        marks=marks,
    )
    assert found.df().values.tolist() == [["ann", 4, 1], ["ben", 4, 2], ["cat", 4, 3]]
    assert set(FRAMES) < set(stores.query("SHOW TABLES").df()["name"])
    with pytest.raises(QueryError):
        stores.query(f"FROM read_blob('{submissions}/ann/agno_nb.duckdb')")
    with pytest.raises(QueryError, match="more than 3 rows"):
        stores.query("FROM runs", max_rows=3)


def test_nothing_is_written_to_or_beside_what_is_collected(submissions: Path) -> None:
    before = contents(submissions)
    for path in submissions.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        stores = collect(submissions / "*" / "agno_nb.duckdb")
        assert len(stores.messages_df()) > 0
    finally:
        for path in submissions.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert contents(submissions) == before
    # Nothing is held open: another program can have the file.
    duckdb.connect(submissions / "ann" / "agno_nb.duckdb").close()


def test_a_file_that_cannot_be_read_is_named_and_left_out(submissions: Path) -> None:
    paths = [submissions / name / "agno_nb.duckdb" for name in ("text", "other", "newer", "empty")]
    for path in paths:
        path.parent.mkdir()
    paths[0].write_text("my homework " * 1000)
    with duckdb.connect(paths[1]) as connection:
        connection.execute("CREATE TABLE penguins AS SELECT 3 AS n")
    newer = DuckDb(paths[2])
    newer.create()
    newer.close()
    Path(f"{paths[2]}.lock").unlink()
    with duckdb.connect(paths[2]) as connection:
        connection.execute("INSERT INTO raw_schema VALUES (99, 0)")
    paths[3].touch()
    before = contents(submissions)
    with pytest.warns(UserWarning, match="4 of 7 files are left out: .*text/agno_nb.duckdb is not a DuckDB file"):
        stores = collect(submissions / "*" / "agno_nb.duckdb")
    assert contents(submissions) == before
    told = stores.sources.set_index("source")
    assert told["runs"].dropna().to_dict() == {"ann": 4, "ben": 4, "cat": 4}
    assert told.index[told["error"].notna()].tolist() == ["empty", "newer", "other", "text"]
    assert "but not a store" in told["error"]["other"]
    assert "update agno_nb" in told["error"]["newer"]
    assert dtypes(stores.sources) == {"source": "str", "path": "str", "runs": "Int64", "error": "str"}
    with pytest.raises(StoreError, match="none of the 2 files could be read"):
        collect(paths[:2])


def test_paths_that_lead_nowhere_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"there is no file .*nobody.*; pass a path or a pattern"):
        collect(tmp_path / "nobody" / "*.duckdb")
    with pytest.raises(InvalidInputError, match=r"collect\(\) got no files"):
        collect([])


def test_a_pattern_for_all_files_leaves_out_what_stands_beside_the_stores(submissions: Path) -> None:
    for beside in ("agno_nb.duckdb.lock", "agno_nb.duckdb.wal"):
        (submissions / "ann" / beside).touch()
    (submissions / "cat" / "agno_nb.duckdb-wal").touch()
    assert collect(submissions / "**" / "*.duckdb*").sources["source"].tolist() == ["ann", "ben", "cat"]


def test_sources_are_what_tells_paths_apart(tmp_path: Path) -> None:
    for name in ("a/x.duckdb", "a/b/x.duckdb", "c [1].duckdb"):
        DuckDb(tmp_path / name).create()
    assert collect(tmp_path / "c [1].duckdb").sources["source"].tolist() == ["c [1].duckdb"]
    assert collect(str(tmp_path / "**" / "*.duckdb")).sources["source"].tolist() == [
        "a/b/x.duckdb", "a/x.duckdb", "c [1].duckdb",
    ]  # fmt: skip
    assert collect(tmp_path / "a" / "**" / "x.duckdb").sources["source"].tolist() == ["b/x.duckdb", "x.duckdb"]


def test_a_store_that_is_in_use_is_read_as_it_is(tmp_path: Path) -> None:
    ours, sqlite = DuckDb(tmp_path / "ours.duckdb"), SqliteDb(tmp_path / "sqlite.db")
    for db in (ours, sqlite):
        say(db, "x")
    stores = collect([ours.db_file, sqlite.db_file])
    for db in (ours, sqlite):
        say(db, "y")
    assert (len(stores.runs_df()), len(ours.runs_df()), len(sqlite.runs_df())) == (2, 2, 2)


KILLED = """
import os, signal, sys
from agno_nb import DuckDb, SqliteDb
from agno_nb_store_contract.conversation import say
db = {"duckdb": DuckDb, "db": SqliteDb}[sys.argv[1].split(".")[-1]](sys.argv[1])
say(db, "before the end")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="the system has no SIGKILL")
@pytest.mark.parametrize("left_out", ["nothing", "store.db-shm", "store.duckdb.lock"])
def test_what_a_killed_process_left_in_a_log_is_read_too(tmp_path: Path, left_out: str, repository: Path) -> None:
    path = tmp_path / ("store.duckdb" if "duckdb" in left_out else "store.db")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=repository, check=False)
    assert done.returncode == -signal.SIGKILL
    if left_out != "nothing":
        (tmp_path / left_out).unlink()
    before = contents(tmp_path)
    assert any(name.name.endswith("wal") for name in before)
    assert collect(path).runs_df()["input"].tolist() == ["before the end"]
    # SQLite's readers tell each other of their reading in the one that is named -shm.
    assert {name: text for name, text in contents(tmp_path).items() if not name.name.endswith("-shm")} == {
        name: text for name, text in before.items() if not name.name.endswith("-shm")
    }
