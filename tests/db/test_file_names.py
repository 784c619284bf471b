"""The path of a store's file: several paths of one file, and paths with odd characters."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agno_nb import collect
from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.file_names import os_error, store_failure
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import InvalidInputError, StoreError
from agno_nb.testing import FunctionModel
from agno_nb_store_contract.conversation import say
from tests.db.processes import told_by

Kind = type[DuckDb] | type[SqliteDb]
POSIX = pytest.mark.skipif(os.name == "nt", reason="the system has other links and separators")
SAY = """
import sys
import agno_nb
from agno_nb_store_contract.conversation import say
say(getattr(agno_nb, sys.argv[1])(sys.argv[2]), sys.argv[3])
"""


@pytest.fixture(params=[DuckDb, SqliteDb])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


def hard_link(path: Path, other: Path) -> Path:
    os.link(path, other)
    return other


def symbolic_link(path: Path, other: Path) -> Path:
    other.symlink_to(path)
    return other


def link_in_another_folder(path: Path, other: Path) -> Path:
    other = path.parent / "elsewhere" / other.name
    other.parent.mkdir()
    os.link(path, other)
    return other


def linked_folder(path: Path, other: Path) -> Path:
    folder = path.parent.parent / "linked"
    folder.symlink_to(path.parent)
    return folder / path.name


def inputs(db: Db) -> list[str]:
    return [run.input for run in db.get_runs("s1")]


@POSIX
@pytest.mark.parametrize("link", [hard_link, symbolic_link, link_in_another_folder, linked_folder])
@pytest.mark.parametrize("made", ["before the link", "after the link"])
def test_turns_through_two_paths_of_one_file_are_all_stored(
    tmp_path: Path, kind: Kind, link: Callable[[Path, Path], Path], made: str
) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "z.db"
    first = kind(path)
    first.create()
    if made == "before the link":
        # Its path leads nowhere yet.
        second = kind({linked_folder: tmp_path / "linked" / "z.db"}.get(link, tmp_path / "folder" / "a.db"))
        if link is link_in_another_folder:
            second = kind(tmp_path / "folder" / "elsewhere" / "a.db")
        link(path, tmp_path / "folder" / "a.db")
    else:
        second = kind(link(path, tmp_path / "folder" / "a.db"))
    stores: list[Db] = [first, second]
    for n in range(12):
        say(stores[n % 2], str(n))
    assert inputs(first) == inputs(second) == [str(n) for n in range(12)]
    assert first.identity == second.identity
    assert second.runs_df()["run_index"].tolist() == list(range(12))
    assert second.verify() == []
    assert collect(second.db_file).runs_df()["input"].tolist() == inputs(first)
    for db in stores:
        db.close()
    assert [run.input for run in kind(path).get_runs("s1")] == [str(n) for n in range(12)]


@POSIX
def test_turns_of_one_session_through_two_paths_follow_each_other(tmp_path: Path, kind: Kind) -> None:
    first = kind(tmp_path / "z.db")
    first.create()
    second = kind(hard_link(tmp_path / "z.db", tmp_path / "a.db"))
    agents = [Agent(FunctionModel(lambda messages, tools: "ok"), db=db, session_id="s1") for db in (first, second)]
    for n in range(6):
        agents[n % 2].run(str(n))
    assert [(run.run_index, run.input) for run in first.get_runs("s1")] == [(n, str(n)) for n in range(6)]


@POSIX
def test_processes_that_use_two_hard_links_in_a_folder_lose_nothing(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "z.db"
    db = kind(path)
    say(db, "here")
    other = hard_link(path, tmp_path / "a.db")
    told_by(SAY, kind.__name__, other, "there")
    say(db, "here again")
    told_by(SAY, kind.__name__, other, "there again")
    assert inputs(db) == ["here", "there", "here again", "there again"]
    assert not (tmp_path / "a.db.lock").exists()


@POSIX
def test_a_link_in_another_folder_that_may_be_in_use_is_refused(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "store.db"
    told_by(SAY, kind.__name__, path, "x")
    (tmp_path / "folder").mkdir()
    other = hard_link(path, tmp_path / "folder" / "store.db")
    db = kind(other)
    with pytest.raises(StoreError, match=r"is one of 2 hard links to the same file .*make a copy of the file"):
        say(db, "y")
    # Reading is safe.
    assert inputs(db) == ["x"]
    path.unlink()
    say(db, "y")
    assert inputs(db) == ["x", "y"]


@POSIX
def test_a_file_that_was_renamed_while_it_was_in_use_keeps_what_was_stored(tmp_path: Path) -> None:
    before = DuckDb(tmp_path / "before.duckdb")
    say(before, "x")
    (tmp_path / "before.duckdb").rename(tmp_path / "after.duckdb")
    after = DuckDb(tmp_path / "after.duckdb")
    say(after, "y")
    assert inputs(after) == ["x", "y"]
    assert inputs(before) == []


@POSIX
@pytest.mark.parametrize("deleted", ["first", "second"])
def test_a_link_that_is_deleted_leaves_the_store_at_the_other(tmp_path: Path, deleted: str) -> None:
    first = DuckDb(tmp_path / "z.duckdb")
    say(first, "x")
    second = DuckDb(hard_link(first.db_file, tmp_path / "a.duckdb"))
    say(second, "y")
    gone, left = (first, second) if deleted == "first" else (second, first)
    gone.db_file.unlink()
    say(left, "z")
    assert inputs(left) == ["x", "y", "z"]
    assert inputs(gone) == []
    say(gone, "new")
    assert (inputs(gone), inputs(left)) == (["new"], ["x", "y", "z"])


def test_a_file_that_is_replaced_by_another_is_the_other_one(tmp_path: Path, kind: Kind) -> None:
    db, other = kind(tmp_path / "store.db"), kind(tmp_path / "other.db")
    say(db, "old")
    say(other, "new")
    for each in (db, other):
        each.close()
    db.get_sessions()
    other.db_file.replace(db.db_file)
    assert inputs(db) == ["new"]
    say(db, "newer")
    assert inputs(db) == ["new", "newer"]
    assert inputs(other) == []


@POSIX
def test_a_snapshot_is_not_put_in_the_place_of_the_store_itself(tmp_path: Path, kind: Kind) -> None:
    db = kind(tmp_path / "store.db")
    say(db, "x")
    other = hard_link(db.db_file, tmp_path / "other.db")
    with pytest.raises(InvalidInputError, match="is not a snapshot"):
        db.snapshot(other)
    with pytest.raises(InvalidInputError, match="already exists"):
        db.backup(other)


ODD = [
    "a#b%20c;d,e.db", "it's {a} [b] *\".db", "a\nb\tc.db", " ä😀e\u0301 ", "~a.db", "$HOME.db", "-a.db", "x.gz",
    "memory", "file:x", "sqlite:x", "./:memory:x", "d#%41/c&d.db",
]  # fmt: skip


@POSIX
@pytest.mark.parametrize("name", ODD)
def test_a_path_with_odd_characters_is_a_path(working_directory: Path, kind: Kind, name: str) -> None:
    db = kind(name)
    say(db, "x")
    db.vacuum()
    db.close()
    assert (working_directory / name).is_file()
    # Nothing else was made, but for folders and the lock.
    made = {path.resolve() for path in working_directory.rglob("*") if path.is_file()}
    assert made - {(working_directory / f"{name}.lock").resolve()} == {(working_directory / name).resolve()}
    assert kind(name).runs_df()["input"].tolist() == ["x"]
    assert collect([name]).runs_df()["input"].tolist() == ["x"]
    db.backup("copy")
    assert kind("copy").runs_df()["input"].tolist() == ["x"]


@POSIX
@pytest.mark.parametrize("name", ["what?.db", "a?x=1&y=2", "what?/a.db", "a\\b.db", "a\\b/c.db", "\udcff.db"])
def test_a_path_that_duckdb_takes_for_another_is_refused_by_it_alone(working_directory: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"DuckDB .*choose another db_file, or use a SqliteDb"):
        DuckDb(name)
    assert list(working_directory.iterdir()) == []
    db = SqliteDb(name)
    say(db, "x")
    assert (working_directory / name).is_file()
    assert collect([name]).runs_df()["input"].tolist() == ["x"]
    with pytest.raises(InvalidInputError, match=r"DuckDB .*choose another db_file"):
        DuckDb("plain.db").backup(name + ".copy")


@pytest.mark.parametrize("name", ["", " ", ".", ":memory:", " :memory:", ":memory:x", "file::memory:?cache=shared"])
def test_a_name_of_memory_is_not_a_path(kind: Kind, name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"use InMemoryDb\(\)"):
        kind(name)


def test_a_null_character_is_not_of_a_path(kind: Kind) -> None:
    with pytest.raises(InvalidInputError, match="null character"):
        kind("a\0b.db")


def test_a_url_is_taken_whole(working_directory: Path) -> None:
    assert SqliteDb(db_url="sqlite:///a#b\nc.db").db_file == working_directory / "a#b\nc.db"
    for url in ("sqlite:///x.db?mode=ro", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(InvalidInputError):
            SqliteDb(db_url=url)


@POSIX
def test_a_name_that_is_too_long_is_told(tmp_path: Path, kind: Kind) -> None:
    with pytest.raises(StoreError, match="choose a shorter db_file") as told:
        kind(tmp_path / ("x" * 254)).create()
    assert "disk has space" not in str(told.value)


@POSIX
def test_space_is_spoken_of_only_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for reason in ("No space left on device", "database or disk is full", "Disk quota exceeded"):
        assert "make sure that the disk has space" in str(store_failure(path, reason))
    for error in (PermissionError(13, "Permission denied", "/x.lock"), OSError(5, "Input/output error")):
        assert "disk has space" not in str(os_error(path, error))
    for db in (DuckDb(path), SqliteDb(tmp_path / "other.db")):
        say(db, "x", run_id="r1")
        with pytest.raises(StoreError, match="what was being written is not stored") as told:
            say(db, "y", run_id="r1")
        assert "disk has space" not in str(told.value)


@POSIX
def test_a_url_is_not_a_path(working_directory: Path, kind: Kind) -> None:
    refused = r"^db_file is the URL 'sqlite:///x.db'; pass the path of a file, or use SqliteDb\(db_url=...\)$"
    with pytest.raises(InvalidInputError, match=refused):
        kind("sqlite:///x.db")
    with pytest.raises(InvalidInputError, match=r"or use PostgresDb\(db_url=...\)$") as caught:
        kind("postgresql://ann:word@host/x")
    assert "word" not in str(caught.value)
    assert list(working_directory.iterdir()) == []


def test_only_a_sqlite_file_has_a_default_for_none(kind: Kind) -> None:
    if kind is SqliteDb:
        assert SqliteDb(None).db_file.name == "agno_nb.db"  # As in agno.
    else:
        with pytest.raises(InvalidInputError, match=r"^db_file is None; pass the path of a file$"):
            kind(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"^db_file is 3; "):
        kind(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [-3, "3", None, float("nan"), True])
def test_a_timeout_is_a_number_of_seconds(kind: Kind, timeout: Any) -> None:
    with pytest.raises(
        InvalidInputError, match=rf"^lock_timeout_s is {timeout!r}; pass a number of seconds, 0 or more$"
    ):
        kind("a.db", lock_timeout_s=timeout)
