"""``cells_df``: the runs of a notebook's cells, compared with the notebook file."""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db import default_db, queries
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.cell_info import (
    code_cells,
    is_lasting,
    is_same_notebook,
    notebook_file,
    read_cell_info,
    source_hash,
)

if TYPE_CHECKING:
    import pandas as pd

    from agno_nb.db.base import Db

RUN_COLUMNS = (
    "run_id", "session_id", "run_index", "attempt", "stale", "status", "input", "execution_count", "cell_hash",
    "notebook", "created_at",
)  # fmt: skip
"""Columns of ``runs_df`` in :func:`cells_df`, after its own."""


@suggest_on_unknown_kwarg({})
def cells_df(notebook: str | Path | None = None, *, db: Db | None = None) -> pd.DataFrame:
    """Runs of a notebook's cells, compared with its last saved file; one row each, oldest first.

    Parameters
    ----------
    notebook : str or Path, optional
        The ``.ipynb`` file. Defaults to this notebook. Runs made before a rename are found by their cells.
    db : Db, optional
        The store. Defaults to the notebook's.

    Returns
    -------
    DataFrame
        The current attempt of each turn. `cell_id`; `cell_index`, the position among the code cells of the file,
        starting at 0; `cell_state`; `source`, the text of the cell in the file; and columns of ``runs_df``.
        `cell_state` is

        linked : the cell is in the file as it was run;
        edited : its source has changed;
        moved : it is unchanged, but not in the order of the conversation;
        deleted : it is not in the file.

        VS Code does not write cell ids to the file, so its cells are found by their source and an edited one is
        deleted.

    Raises
    ------
    InvalidInputError
        The file is not a notebook, or `notebook` is missing and the front end does not report its path.
    """
    import pandas as pd

    path = _path(notebook)
    cells = code_cells(notebook_file(path))
    places = {cell_id: place for place, (cell_id, _) in enumerate(cells) if cell_id is not None}
    by_hash = {source_hash(source): place for place, (_, source) in reversed(list(enumerate(cells)))}
    store = db or default_db()
    runs = store.runs_df()
    runs = runs[runs["cell_id"].notna() & runs["run_index"].notna() & runs["superseded_by"].isna()]
    has_path = runs["notebook"].isin(known_paths(store, path))
    runs = runs[has_path | (runs["notebook"].isna() & runs["cell_id"].isin(list(places)))]
    runs = runs.sort_values(["session_id", "run_index"]).reset_index(drop=True)
    index = [
        places.get(cell_id) if is_lasting(cell_id) else by_hash.get(cell_hash)
        for cell_id, cell_hash in zip(runs["cell_id"], runs["cell_hash"], strict=True)
    ]
    sources = [None if place is None else cells[place][1] for place in index]
    moved = _moved(runs, index)
    states = [
        _state(source, cell_hash, row in moved)
        for row, (source, cell_hash) in enumerate(zip(sources, runs["cell_hash"], strict=True))
    ]
    text = runs["input"].dtype
    own = pd.DataFrame(
        {
            "cell_id": runs["cell_id"],
            "cell_index": pd.Series(index, dtype="Int64"),
            "cell_state": pd.Series(states, dtype=text),
            "source": pd.Series(sources, dtype=text),
        }
    )
    frame = pd.concat([own, runs[list(RUN_COLUMNS)]], axis=1)
    return frame.sort_values("created_at", kind="stable").reset_index(drop=True)


def _state(source: str | None, cell_hash: Any, has_moved: bool) -> str:
    if source is None:
        return "deleted"
    if source_hash(source) != cell_hash:
        return "edited"
    return "moved" if has_moved else "linked"


def _moved(runs: pd.DataFrame, index: list[int | None]) -> set[int]:
    """Return the rows that a diff between the order of the turns and the order of the cells would move."""
    moved: set[int] = set()
    for rows in runs.groupby("session_id").groups.values():
        by_turn = [row for row in rows if index[row] is not None]
        by_cell = sorted(by_turn, key=lambda row: index[row] or 0)
        moved.update(by_turn)
        for block in SequenceMatcher(None, by_turn, by_cell, autojunk=False).get_matching_blocks():
            moved.difference_update(by_turn[block.a : block.a + block.size])
    return moved


def _path(notebook: str | Path | None) -> Path:
    named_path = notebook if notebook is not None else read_cell_info(get_ipython()).notebook
    if named_path is None:
        raise InvalidInputError("this front end does not report the notebook's path; pass it to cells_df()")
    path = Path(named_path).absolute()
    if "cells" not in notebook_file(path):
        raise InvalidInputError(f"{str(named_path)!r} is not a readable notebook")
    return path


def known_paths(db: Db, path: str | Path) -> list[str]:
    """Return the paths that a notebook has had according to the runs of its cells, its current one first.

    The path of a notebook that still exists belongs to a copy and is not included.
    """
    cell_ids = [cell_id for cell_id, _ in code_cells(notebook_file(path)) if cell_id is not None]
    notebooks = queries.notebooks_of_cells(db, cell_ids)
    return list(dict.fromkeys([str(path), *(name for name in notebooks if is_same_notebook(name, str(path)))]))
