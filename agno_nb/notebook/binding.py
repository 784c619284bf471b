"""Which notebook and which cell asks: what the front end has told the kernel, and no more.

Nothing here asks a server. What a front end does not tell is None.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import PurePath
from typing import Any

from agno_nb.types import Origin


def current_origin(shell: Any) -> Origin:
    """Say where the code that is running was typed.

    Call it on the main thread when a magic begins: on another thread ipykernel tells of the newest cell instead.

    Parameters
    ----------
    shell : InteractiveShell or None
        As ``get_ipython()`` returns it.

    Returns
    -------
    Origin
        The notebook is the one that the kernel was started for, by the name it had then: JupyterLab does not tell
        a kernel that its notebook was renamed. Under nbclient and papermill neither notebook nor cell is known, and
        Colab tells of neither.
    """
    cell_id = _cell_id(shell)
    return Origin(
        notebook=_notebook(shell, cell_id),
        cell_id=cell_id,
        execution_count=_execution_count(shell),
        cell_hash=_cell_hash(shell),
    )


def _cell_id(shell: Any) -> str | None:
    kernel = getattr(shell, "kernel", None)
    get_parent = getattr(kernel, "get_parent", None)
    parent = get_parent() if callable(get_parent) else None
    metadata = parent.get("metadata") if isinstance(parent, dict) else None
    cell_id = metadata.get("cellId") if isinstance(metadata, dict) else None
    return cell_id if isinstance(cell_id, str) else None


def _notebook(shell: Any, cell_id: str | None) -> str | None:
    namespace = getattr(shell, "user_ns", {})
    path = namespace.get("__vsc_ipynb_file__")
    # A kernel started from a notebook, by papermill say, inherits the name of that one in its environment. Only a
    # front end that names the cell has also given the notebook's name.
    if path is None and cell_id is not None:
        path = namespace.get("__session__") or os.environ.get("JPY_SESSION_NAME")
    # Consoles and files that are run have a session name too.
    return path if isinstance(path, str) and PurePath(path).suffix == ".ipynb" else None


def _execution_count(shell: Any) -> int | None:
    # IPython 9 has counted the running cell in `shell.execution_count` already, IPython 8 has not; `In` is the same.
    inputs = _inputs(shell, "input_hist_parsed")
    return len(inputs) - 1 if len(inputs) > 1 else None


def _cell_hash(shell: Any) -> str | None:
    inputs = _inputs(shell, "input_hist_raw")
    if len(inputs) < 2:
        return None
    # IPython keeps a cell's source without the newlines at its end.
    return hashlib.sha256(inputs[-1].encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _inputs(shell: Any, kind: str) -> list[str]:
    inputs = getattr(getattr(shell, "history_manager", None), kind, None)
    return inputs if isinstance(inputs, list) else []
