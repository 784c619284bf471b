"""The runs of a notebook beside its cells as they are on disk: what is still as it was asked, and what is not."""

from __future__ import annotations

from bisect import bisect_left
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
"""Those of :func:`cells_df` that it has from ``runs_df``, behind its own."""


@suggest_on_unknown_kwarg({})
def cells_df(notebook: str | Path | None = None, *, db: Db | None = None) -> pd.DataFrame:
    """Runs of a notebook's cells, compared with its file as it was last saved; one row each, oldest first.

    Parameters
    ----------
    notebook : str or Path, optional
        The ``.ipynb``; this notebook where not given. Runs that it made under an earlier name are found by their cells.
    db : Db, optional
        The store; the one of the notebook where not given.

    Returns
    -------
    DataFrame
        The current attempt of each turn. `cell_id`; `cell_index`, the place of the cell among the code cells of the
        file, from 0; `cell_state`; `source`, the cell's text in the file; and columns of ``runs_df``. `cell_state` is

        linked : the cell is there as it was run;
        edited : its source is another now;
        moved : it is there as it was run, but not in the order of the conversation;
        deleted : it is not in the file.

        The ids of VS Code are not in the file, so its cells are known by their source, and an edited one is deleted.

    Raises
    ------
    InvalidInputError
        The front end does not tell which notebook this is and none is given, or it is no notebook.
    """
    import pandas as pd

    path = _path(notebook)
    cells = code_cells(notebook_file(path))
    places = {cell_id: place for place, (cell_id, _) in enumerate(cells) if cell_id is not None}
    by_hash = {source_hash(source): place for place, (_, source) in reversed(list(enumerate(cells)))}
    store = db or default_db()
    runs = store.runs_df()
    runs = runs[runs["cell_id"].notna() & runs["run_index"].notna() & runs["superseded_by"].isna()]
    of_its_name = runs["notebook"].isin(known_paths(store, path))
    runs = runs[of_its_name | (runs["notebook"].isna() & runs["cell_id"].isin(list(places)))]
    runs = runs.sort_values(["session_id", "run_index"]).reset_index(drop=True)
    index = pd.Series(
        [
            places.get(cell_id) if is_lasting(cell_id) else by_hash.get(cell_hash)
            for cell_id, cell_hash in zip(runs["cell_id"], runs["cell_hash"], strict=True)
        ],
        dtype="Int64",
    )
    source = pd.Series(
        [None if place is None else cells[place][1] for place in _missing_values(index)], dtype=runs["input"].dtype
    )
    state = pd.Series("linked", index=runs.index, dtype=runs["input"].dtype)
    state[_has_moved(runs, index)] = "moved"
    hashes = [None if place is None else source_hash(cells[place][1]) for place in _missing_values(index)]
    state[[now not in (None, then) for now, then in zip(hashes, runs["cell_hash"], strict=True)]] = "edited"
    state[index.isna()] = "deleted"
    front = pd.DataFrame({"cell_id": runs["cell_id"], "cell_index": index, "cell_state": state, "source": source})
    frame = pd.concat([front, runs[list(RUN_COLUMNS)]], axis=1)
    return frame.sort_values("created_at", kind="stable").reset_index(drop=True)


def _missing_values(values: Any) -> list[Any]:
    return list(values.astype(object).where(values.notna(), None))


def _path(notebook: str | Path | None) -> Path:
    named_path = notebook if notebook is not None else read_cell_info(get_ipython()).notebook
    if named_path is None:
        raise InvalidInputError("this front end does not tell which notebook this is: give its path")
    path = Path(named_path).absolute()
    if "cells" not in notebook_file(path):
        raise InvalidInputError(f"{str(named_path)!r} is not a notebook that can be read")
    return path


def known_paths(db: Db, path: str | Path) -> list[str]:
    """Return the paths that a notebook has had, as far as runs of its cells tell: its own is the first.

    One that is still there is the path of a copy, and not among them.
    """
    cell_ids = [cell_id for cell_id, _ in code_cells(notebook_file(path)) if cell_id is not None]
    notebooks = queries.notebooks_of_cells(db, cell_ids)
    return list(dict.fromkeys([str(path), *(name for name in notebooks if is_same_notebook(name, str(path)))]))


def _has_moved(runs: pd.DataFrame, index: Any) -> list[bool]:
    """Tell of each run whether its cell stands elsewhere in the notebook than its turn in the session.

    The fewest cells that would have to go back are the ones that count as moved.
    """
    import pandas as pd

    moved = [False] * len(runs)
    for positions in runs.groupby("session_id").groups.values():
        there = [position for position in positions if not pd.isna(index[position])]
        staying = _longest_nondecreasing([int(index[position]) for position in there])
        for place, position in enumerate(there):
            moved[position] = place not in staying
    return moved


def _longest_nondecreasing(values: list[int]) -> set[int]:
    """Return the positions of a longest subsequence that never falls.

    Examples
    --------
    >>> sorted(_longest_nondecreasing([0, 3, 1, 2, 2]))
    [0, 2, 3, 4]
    """
    ends: list[int] = []
    last: list[int] = []
    before: list[int | None] = []
    for position, value in enumerate(values):
        place = bisect_left(ends, value + 1)
        before.append(last[place - 1] if place else None)
        ends[place : place + 1] = [value]
        last[place : place + 1] = [position]
    kept: set[int] = set()
    at = last[-1] if last else None
    while at is not None:
        kept.add(at)
        at = before[at]
    return kept
