"""What a panel belongs to: the notebook that it is opened in."""

from __future__ import annotations

from pathlib import Path

from IPython.core.getipython import get_ipython

from agno_nb.notebook.state import Notebook
from agno_nb.run.runnable import Runnable


def this_notebook() -> Notebook:
    """Return the notebook, its magics loaded. Outside of IPython it is one without variables."""
    shell = get_ipython()
    if shell is None:
        return Notebook({}, Path.cwd())
    from agno_nb.notebook import load_ipython_extension

    load_ipython_extension(shell)
    notebook: Notebook = shell.magics_manager.registry["AgentMagics"].notebook
    return notebook


def with_store(runnable: Runnable, notebook: Notebook) -> Runnable:
    """Give the notebook's store to a runnable that has none, as ``%%agent NAME`` does."""
    if runnable.db is None:
        runnable.db = notebook.db
    return runnable
