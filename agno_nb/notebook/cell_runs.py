"""Rerunning cells: the turn that a run belongs to, and the turns that become stale.

A cell is identified by the id that JupyterLab, Notebook 7, VS Code and Colab send to the kernel. Its turns are read
from the store, so a resumed session works after a restart of the kernel, except in VS Code, whose ids change when a
notebook is reopened. Without cell ids each run is a new turn.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from IPython.display import DisplayHandle

from agno_nb.db.base import CellTurn, Db
from agno_nb.errors import SessionNotFoundError
from agno_nb.notebook.cell_info import is_lasting, is_same_notebook
from agno_nb.notebook.tables import note_bundle, show_note
from agno_nb.types import CellInfo, RunOutput

Rerun = Literal["replace", "append", "branch"]


@dataclass(slots=True, kw_only=True, frozen=True)
class TurnSlot:
    """The place in a session for a run of a cell."""

    session_id: str
    run_index: int | None = None
    """The turn to run again, or None for a new turn at the end."""
    num_later_turns: int = 0
    """Number of later turns, which become stale."""
    branch_of: str | None = None
    """The session that was forked for this run."""


@dataclass(slots=True, kw_only=True)
class _StaleNote:
    """A line below an answer that lists stale turns. It disappears when they have been run again."""

    session_id: str
    run_index: int
    stale: set[int]
    display: DisplayHandle


class CellRuns:
    """The runs of a notebook's cells."""

    def __init__(self) -> None:
        self._execution: str | None = None
        self._num_runs: Counter[str] = Counter()
        self._notes: list[_StaleNote] = []

    def assign_slot(
        self, db: Db, session_id: str, origin: CellInfo, execution: str, rerun: Rerun, user_id: str | None
    ) -> TurnSlot:
        """Return the place of the next run of a cell.

        `execution` is an id of the execution of the cell. A cell may start several runs, for example in a loop; the
        first one replaces the cell's first turn in the session, the second one its second turn, and so on.
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

    def _rerun_slot(self, db: Db, session_id: str, turn: CellTurn, rerun: Rerun, user_id: str | None) -> TurnSlot:
        if rerun == "replace":
            return TurnSlot(session_id=session_id, run_index=turn.run_index, num_later_turns=turn.num_later_turns)
        db.check_owner(user_id, session_id=session_id)
        fork = db.fork_session(session_id, to_run_index=turn.run_index - 1)
        if fork is None:
            raise SessionNotFoundError(f"cannot branch off: there is no session {session_id!r} in the store")
        # Further runs of the cell are appended to the branch.
        self._num_runs[fork.session_id] = self._num_runs[session_id]
        return TurnSlot(session_id=fork.session_id, branch_of=session_id)

    def show_stale_turns(self, slot: TurnSlot, run: RunOutput | None) -> None:
        """Show the turns that the run has made stale below its answer, and update the lines of earlier runs."""
        if run is None or run.run_index is None:
            return
        self._freshen(run.session_id, run.run_index)
        if slot.branch_of is not None:
            show_note(f"now in a branch without the later turns; `%agent resume {slot.branch_of}` switches back")
        if run.attempt and slot.num_later_turns:
            first, last = run.run_index + 1, run.run_index + slot.num_later_turns
            note = _StaleNote(
                session_id=run.session_id,
                run_index=run.run_index,
                stale=set(range(first, last + 1)),
                display=DisplayHandle(),
            )
            self._notes.append(note)
            note.display.display(_stale_bundle(note), raw=True)

    def _freshen(self, session_id: str, run_index: int) -> None:
        kept = []
        for note in self._notes:
            if note.session_id != session_id:
                kept.append(note)
                continue
            if note.run_index == run_index:
                continue  # Its cell was run again, which has removed the old output.
            if run_index in note.stale:
                note.stale.discard(run_index)
                note.display.update(_stale_bundle(note), raw=True)
            if note.stale:
                kept.append(note)
        self._notes = kept


def _stale_bundle(note: _StaleNote) -> dict[str, str]:
    if not note.stale:
        return {"text/plain": "", "text/html": ""}
    turns = ", ".join(map(str, sorted(note.stale)))
    several = len(note.stale) > 1
    return note_bundle(
        f"turn{'s' if several else ''} {turns} followed an earlier attempt at turn {note.run_index} and "
        f"{'are' if several else 'is'} stale until run again"
    )
