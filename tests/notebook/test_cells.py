"""Runs compared with the notebook file."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.cell_info import source_hash
from agno_nb.notebook.cells import cells_df
from agno_nb.types import CellInfo
from agno_nb_store_contract.conversation import START, say

FRAMES_MD = Path(__file__).resolve().parents[2] / "docs" / "frames.md"


def write(path: Path, cells: dict[str, str]) -> Path:
    made = [nbformat.v4.new_code_cell(source, id=cell_id) for cell_id, source in cells.items()]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Talk"), *made]), path)
    return path


def ask(db: InMemoryDb, path: Path, cell_id: str, source: str, *, number: int, run_index: int | None = None) -> None:
    origin = CellInfo(notebook=str(path), cell_id=cell_id, cell_hash=source_hash(source), execution_count=number)
    say(db, source, origin=origin, created_at=START + number, run_index=run_index)


def states(db: InMemoryDb, path: Path) -> dict[str, str]:
    frame = cells_df(path, db=db)
    return dict(zip(frame["cell_id"], frame["cell_state"], strict=True))


def test_each_run_says_what_became_of_its_cell(tmp_path: Path) -> None:
    path, db = tmp_path / "talk.ipynb", InMemoryDb()
    for number, cell_id in enumerate("abcde"):
        ask(db, path, cell_id, f"%%agent\n{cell_id}", number=number)
    write(path, {"d": "%%agent\nd", "a": "%%agent\na\n", "b": "%%agent\nB!", "e": "%%agent\ne"})
    frame = cells_df(path, db=db)
    assert frame[["cell_id", "cell_state"]].values.tolist() == [
        ["a", "linked"], ["b", "edited"], ["c", "deleted"], ["d", "moved"], ["e", "linked"],
    ]  # fmt: skip
    assert frame["cell_index"].tolist()[:2] == [1, 2]
    assert frame["source"].tolist()[1] == "%%agent\nB!"
    assert str(frame["cell_index"].dtype) == "Int64"


def test_only_current_attempts_are_compared(tmp_path: Path) -> None:
    path, db = tmp_path / "talk.ipynb", InMemoryDb()
    ask(db, path, "a", "old", number=1)
    ask(db, path, "a", "new", number=2, run_index=0)
    write(path, {"a": "new"})
    frame = cells_df(path, db=db)
    assert frame[["cell_state", "attempt", "execution_count"]].values.tolist() == [["linked", 1, 2]]


def test_a_renamed_notebook_keeps_its_runs_and_a_copy_has_none_of_them(tmp_path: Path) -> None:
    path, db = write(tmp_path / "talk.ipynb", {"a": "x"}), InMemoryDb()
    ask(db, path, "a", "x", number=1)
    ask(db, path, "gone", "y", number=2)
    copy = write(tmp_path / "copy.ipynb", {"a": "x"})
    assert states(db, copy) == {}
    copy.unlink()
    assert states(db, path.rename(tmp_path / "named.ipynb")) == {"a": "linked", "gone": "deleted"}


def test_columns_do_not_depend_on_the_data(tmp_path: Path) -> None:
    path, db = write(tmp_path / "talk.ipynb", {"a": "x"}), InMemoryDb()
    empty = cells_df(path, db=db)
    ask(db, path, "a", "x", number=1)
    full = cells_df(path, db=db)
    assert empty.empty
    assert [str(dtype) for dtype in empty.dtypes] == [str(dtype) for dtype in full.dtypes]
    assert list(empty.columns) == list(full.columns)
    documented = FRAMES_MD.read_text(encoding="utf-8").partition("## cells_df")[2]
    assert re.findall(r"^\| `(\w+)` \| ([^|]+) \|", documented, re.MULTILINE) == [
        (name, str(dtype)) for name, dtype in full.dtypes.items()
    ]


def test_what_is_no_notebook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="pass it to cells_df"):
        cells_df(db=InMemoryDb())
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InvalidInputError, match=r"notes\.txt' is not a readable notebook"):
        cells_df(tmp_path / "notes.txt", db=InMemoryDb())
