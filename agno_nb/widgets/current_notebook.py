"""What a panel belongs to: the notebook that it is opened in, where there is one."""

from __future__ import annotations

from IPython.core.getipython import get_ipython

from agno_nb.db import default_db
from agno_nb.db.base import Db
from agno_nb.notebook.notebook import Notebook


def current_notebook() -> Notebook | None:
    """Return the notebook, its magics loaded; None outside of IPython."""
    shell = get_ipython()
    if shell is None:
        return None
    from agno_nb.notebook import load_ipython_extension

    load_ipython_extension(shell)
    notebook: Notebook = shell.magics_manager.registry["AgentMagics"].notebook
    return notebook


def default_store(notebook: Notebook | None) -> Db:
    """Return the store that is meant where none is named."""
    return default_db() if notebook is None else notebook.db
