"""Model, store and user that a notebook provides to the agents, teams and workflows made in its cells.

They are looked up at each run and never written into an object, so a change in the notebook reaches all of them.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from agno_nb.db.base import Db

if TYPE_CHECKING:
    from agno_nb.models.base import Model
    from agno_nb.run.runnable import Runnable
    from agno_nb.types import RunOutput


class NotebookDefaults(Protocol):
    """Defaults of a notebook. Each agent may name something else."""

    db: Db
    user_id: str | None

    @property
    def agent(self) -> Runnable:
        """The notebook's own agent."""

    @property
    def model(self) -> Model | str | None:
        """The model of the notebook. None for the first configured one."""

    @property
    def current_user_id(self) -> str | None:
        """The user of its cells, commands and widgets."""

    def note_run(self, runnable: Runnable, run: RunOutput) -> None:
        """Remember the latest stored run of this process that is not part of another one."""


of_notebook: NotebookDefaults | None = None
"""Those of the notebook of this process. None if the IPython extension is not loaded."""

_COPIERS = frozenset({"copy", "dataclasses"})
"""Modules of the standard library whose functions construct an object for their caller."""


def is_constructed_in_cell(constructed: object) -> bool:
    """Whether the code that constructs an object is code of the notebook: of the module ``__main__``.

    Code of modules that a cell imports is not, so its objects behave as they do without a notebook.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_constructor(frame, constructed):
        frame = frame.f_back
    return frame.f_globals.get("__name__") == "__main__"


def _is_constructor(frame: FrameType, constructed: object) -> bool:
    """Whether a call is one of a method of the object, such as the ``__init__`` of a subclass, or of its decorator."""
    if frame.f_globals.get("__name__") in _COPIERS:
        return True
    if not (names := frame.f_code.co_varnames):
        return False
    first = frame.f_locals.get(names[0])
    # The first parameter of a decorated method may be ``*args``.
    return first is constructed or (isinstance(first, tuple) and len(first) > 0 and first[0] is constructed)
