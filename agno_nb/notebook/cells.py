"""Cells and their runs: the turn that a cell runs again, the turns that become stale, and ``cells_df``.

A cell is identified by the id that JupyterLab, Notebook 7, VS Code and Colab send to the kernel. Its turns are read
from the store, so a resumed session works after a restart of the kernel, except in VS Code, whose ids change when a
notebook is reopened. Without cell ids each run is a new turn.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db import default_db, queries
from agno_nb.db.base import CellTurn, Db
from agno_nb.errors import InvalidInputError, SessionNotFoundError
from agno_nb.notebook.cell_info import (
    code_cells,
    is_lasting,
    is_same_notebook,
    is_text,
    notebook_file,
    read_cell_info,
    source_hash,
)
from agno_nb.notebook.displays import note_bundle, show_note
from agno_nb.types import CellInfo, RunOutput

if TYPE_CHECKING:
    import pandas as pd


@dataclass(slots=True, kw_only=True, frozen=True)
class TurnSlot:
    """The place in a session for a run of a cell."""

    session_id: str
    run_index: int | None = None
    """The turn to run again, or None for a new turn at the end."""
    later_turns: tuple[int, ...] = ()
    """`run_index` of the later turns, which become stale."""
    branch_of: str | None = None
    """The session that was forked for this run."""


@dataclass(slots=True)
class _StaleNote:
    """A line below an answer that lists stale turns. It disappears when they have been run again."""

    session_id: str
    run_index: int
    stale: set[int]
    display: DisplayHandle = field(default_factory=DisplayHandle)


class CellRuns:
    """The runs of a notebook's cells."""

    def __init__(self) -> None:
        self._execution: str | None = None
        self._num_runs: Counter[str] = Counter()
        self._notes: list[_StaleNote] = []

    def assign_slot(
        self, db: Db, session_id: str, origin: CellInfo, execution: str, rerun: str, user_id: str | None
    ) -> TurnSlot:
        """Return the place of the next run of a cell.

        `execution` is an id of the execution of the cell, and `rerun` one of the settings' RERUNS. A cell may start
        several runs, for example in a loop; the first one replaces the cell's first turn in the session, the second one
        its second turn, and so on.
        """
        if execution != self._execution:
            self._execution = execution
            self._num_runs.clear()
        number = self._num_runs[session_id]
        self._num_runs[session_id] += 1
        if origin.cell_id is None or rerun == "append":
            return TurnSlot(session_id=session_id)
        turns = [
            turn
            for turn in db.get_cell_turns(session_id, origin.cell_id)
            if is_same_notebook(turn.notebook, origin.notebook)
            and (is_lasting(origin.cell_id) or turn.kernel_id == origin.kernel_id)
        ]
        if number >= len(turns):
            return TurnSlot(session_id=session_id)
        return self._rerun_slot(db, session_id, turns[number], rerun, user_id)

    def _rerun_slot(self, db: Db, session_id: str, turn: CellTurn, rerun: str, user_id: str | None) -> TurnSlot:
        if rerun == "replace":
            return TurnSlot(session_id=session_id, run_index=turn.run_index, later_turns=turn.later_turns)
        db.check_owner(user_id, session_id=session_id)
        fork = db.fork_session(session_id, to_run_index=turn.run_index - 1)
        if fork is None:
            raise SessionNotFoundError(f"cannot branch off: there is no session {session_id!r} in the store")
        # Further runs of the cell are appended to the branch.
        self._num_runs[fork.session_id] = self._num_runs[session_id]
        return TurnSlot(session_id=fork.session_id, branch_of=session_id)

    def show_stale_turns(self, slot: TurnSlot, run: RunOutput) -> None:
        """Show the turns that the run has made stale below its answer, and update the lines of earlier runs."""
        if run.run_index is None:
            return
        self._freshen(run.session_id, run.run_index)
        if slot.branch_of is not None:
            show_note(f"now in a branch without the later turns; `%agent resume {slot.branch_of}` switches back")
        if run.attempt and slot.later_turns:
            note = _StaleNote(run.session_id, run.run_index, {*slot.later_turns})
            self._notes.append(note)
            note.display.display(_stale_bundle(note), raw=True)

    def _freshen(self, session_id: str, run_index: int) -> None:
        # A cell that is run again loses its old output, with the note.
        self._notes = [note for note in self._notes if (note.session_id, note.run_index) != (session_id, run_index)]
        for note in self._notes:
            if note.session_id == session_id and run_index in note.stale:
                note.stale.remove(run_index)
                note.display.update(_stale_bundle(note), raw=True)


def _stale_bundle(note: _StaleNote) -> dict[str, str]:
    if not note.stale:
        return {"text/plain": "", "text/html": ""}
    turns = ", ".join(map(str, sorted(note.stale)))
    subject, verb = (f"turns {turns}", "are") if len(note.stale) > 1 else (f"turn {turns}", "is")
    return note_bundle(
        f"{subject} followed an earlier attempt at turn {note.run_index} and {verb} stale until run again"
    )


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
        The ``.ipynb`` file, or a text file that Jupytext pairs with one. Defaults to this notebook. Runs made before a
        rename are found by their cells.
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
    runs = _runs_of(path, list(places), db or default_db())
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


def _runs_of(path: Path, cell_ids: list[str], db: Db) -> pd.DataFrame:
    """Return the current attempts of the cells of a notebook, by session and turn."""
    runs = db.runs_df()
    runs = runs[runs["cell_id"].notna() & runs["run_index"].notna() & runs["superseded_by"].isna()]
    has_path = runs["notebook"].isin(known_paths(db, path))
    runs = runs[has_path | (runs["notebook"].isna() & runs["cell_id"].isin(cell_ids))]
    return runs.sort_values(["session_id", "run_index"]).reset_index(drop=True)


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
        remedy = "; pair it with an .ipynb file in Jupytext" if is_text(path) else ""
        raise InvalidInputError(f"{str(named_path)!r} is not a readable notebook{remedy}")
    return path


def known_paths(db: Db, path: str | Path) -> list[str]:
    """Return the paths that a notebook has had according to the runs of its cells, its current one first.

    The path of a notebook that still exists belongs to a copy and is not included.
    """
    cell_ids = [cell_id for cell_id, _ in code_cells(notebook_file(path)) if cell_id is not None]
    notebooks = queries.notebooks_of_cells(db, cell_ids)
    return list(dict.fromkeys([str(path), *(name for name in notebooks if is_same_notebook(name, str(path)))]))
