"""A copy of a store that other programs may open."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.errors import InvalidInputError
from agno_nb_store_contract.conversation import say


def test_a_snapshot_is_the_store_as_it_was(db: Db, tmp_path: Path) -> None:
    copy = tmp_path / "folder" / "copy"
    say(db, "x")
    db.snapshot(copy)
    say(db, "y")
    twin = type(db)(copy) if hasattr(db, "db_file") else DuckDb(copy)
    assert [run.input for run in twin.get_runs("s1")] == ["x"]
    twin.close()
    assert [path.name for path in copy.parent.iterdir() if path.suffix != ".lock"] == ["copy"]


def test_a_snapshot_is_replaced_while_another_program_reads_it(db: Db, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    say(db, "x")
    db.snapshot(copy)
    with copy.open("rb") as reader:
        before = copy.read_bytes()
        say(db, "y")
        db.snapshot(copy)
        assert reader.read() == before
    assert copy.read_bytes() != before


def test_a_snapshot_can_be_opened_while_the_store_is_used(tmp_path: Path) -> None:
    db = DuckDb(tmp_path / "store.duckdb")
    say(db, "x")
    db.snapshot(tmp_path / "copy.duckdb")
    with duckdb.connect(tmp_path / "copy.duckdb") as connection:
        say(db, "y")
        connection.execute("DELETE FROM raw_runs")
    assert [run.input for run in db.get_runs("s1")] == ["x", "y"]


@pytest.mark.parametrize("name", ["store.duckdb", "other.duckdb", "thesis.txt", "folder"])
def test_what_is_not_a_snapshot_is_not_replaced(tmp_path: Path, name: str) -> None:
    db, other = DuckDb(tmp_path / "store.duckdb"), DuckDb(tmp_path / "other.duckdb")
    for store in (db, other):
        say(store, "x")
        store.close()
    (tmp_path / "thesis.txt").write_text("All of it.")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidInputError, match="already exists and is not a snapshot; pass another path"):
        db.snapshot(tmp_path / name)
    assert [len(store.get_runs("s1")) for store in (db, other)] == [1, 1]
    assert (tmp_path / "thesis.txt").read_text() == "All of it."
