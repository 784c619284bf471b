"""The notebook and the cell that start a run, as far as the front end reports them to the kernel.

No server is asked; unknown values are None.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from agno_nb.types import CellInfo

_TEXT_NOTEBOOKS = (".py", ".md", ".qmd", ".Rmd")
"""Files that Jupytext opens as notebooks. They have no cell ids, but there may be a paired ``.ipynb`` file that has."""


def read_cell_info(shell: Any) -> CellInfo:
    """Return the notebook and the cell of the code that is running.

    Call it on the main thread when a magic starts: on another thread ipykernel reports the newest cell instead.
    JupyterLab does not tell a kernel that its notebook was renamed, so a notebook that no longer exists is searched
    for in its folder by its cells. Colab reports only the cell; nbclient and papermill report neither.
    """
    cell_id = _cell_id(shell)
    return CellInfo(
        notebook=_find_renamed(_notebook(shell, cell_id), cell_id),
        cell_id=cell_id,
        execution_count=_execution_count(shell),
        cell_hash=_cell_hash(shell),
        kernel_id=_kernel_id(shell),
    )


def current_execution(shell: Any) -> str:
    """Return an id of this execution of a cell, the same for all code in the cell."""
    msg_id = _parent(shell, "header").get("msg_id")
    return msg_id if isinstance(msg_id, str) else f"In [{_execution_count(shell)}]"


def is_same_notebook(path: str | None, other: str | None) -> bool:
    """Return whether two paths can be of the same notebook.

    A copy of a notebook has the same cell ids, but then both files exist; after a rename only one does. Files that
    Jupytext pairs have the same name but for the suffix.
    """
    if path is None or other is None or Path(path).with_suffix("") == Path(other).with_suffix(""):
        return True
    return not Path(path).exists() or not Path(other).exists()


def is_lasting(cell_id: str) -> bool:
    """Return whether the id of a cell survives reopening the notebook.

    The ids of VS Code are numbers that it assigns each time it opens a notebook.
    """
    return not cell_id.startswith("vscode-")


def notebook_file(path: str | Path) -> dict[str, Any]:
    """Return the content of a notebook file, or of the ``.ipynb`` paired with it; an empty dict if there is none."""
    path = Path(path)
    try:
        content = json.loads((path.with_suffix(".ipynb") if is_text(path) else path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_text(path: str | Path) -> bool:
    """Return whether a notebook is a text file of Jupytext."""
    return PurePath(path).suffix in _TEXT_NOTEBOOKS


def code_cells(notebook: dict[str, Any]) -> list[tuple[str | None, str]]:
    """Return id and source of each code cell, in order."""
    return [
        (_id_in_file(cell), source if isinstance(source := cell.get("source", ""), str) else "".join(source))
        for cell in notebook.get("cells", [])
        if cell.get("cell_type") == "code"
    ]


def _id_in_file(cell: dict[str, Any]) -> str | None:
    # Colab writes an older format without ids, and keeps its own in the metadata.
    cell_id = cell.get("id") or cell.get("metadata", {}).get("id")
    return cell_id if isinstance(cell_id, str) else None


def source_hash(source: str) -> str:
    """Return the hash of a cell's source that its runs store."""
    # IPython strips trailing newlines from the source of a cell.
    return hashlib.sha256(source.rstrip("\n").encode("utf-8", "surrogatepass")).hexdigest()[:16]


_renamed_paths: dict[str, str] = {}
"""Current paths of renamed notebooks, by the path reported by the front end."""


def _find_renamed(path: str | None, cell_id: str | None) -> str | None:
    if path is None or cell_id is None or Path(path).exists():
        return path
    known = _renamed_paths.get(path)
    if known is not None and Path(known).exists():
        return known
    containing = [
        candidate
        for candidate in sorted(Path(path).parent.glob("*.ipynb"))
        if _contains_cell(candidate, cell_id) and cell_id in (id for id, _ in code_cells(notebook_file(candidate)))
    ]
    # With several copies it is unknown which one is the notebook.
    if len(containing) != 1:
        return path
    _renamed_paths[path] = str(containing[0])
    return _renamed_paths[path]


def _contains_cell(path: Path, cell_id: str) -> bool:
    """Search for the id as text; parsing every notebook of a folder may take seconds."""
    try:
        return cell_id.encode() in path.read_bytes()
    except OSError:
        return False


def _parent(shell: Any, part: str) -> dict[str, Any]:
    get_parent = getattr(getattr(shell, "kernel", None), "get_parent", dict)
    parent: dict[str, Any] = get_parent() or {}
    header = parent.get(part)
    return header if isinstance(header, dict) else {}


def _cell_id(shell: Any) -> str | None:
    metadata = _parent(shell, "metadata")
    colab = metadata.get("colab")
    cell_id = metadata.get("cellId") or (colab.get("cell_id") if isinstance(colab, dict) else None)
    return cell_id if isinstance(cell_id, str) else None


def _kernel_id(shell: Any) -> str | None:
    # Jupyter servers name the connection file after the kernel.
    file = getattr(getattr(getattr(shell, "kernel", None), "parent", None), "connection_file", None)
    match = re.fullmatch(r"kernel-(.+)\.json", PurePath(file).name) if isinstance(file, str) else None
    return match and match[1]


def _notebook(shell: Any, cell_id: str | None) -> str | None:
    namespace = getattr(shell, "user_ns", {})
    path = namespace.get("__vsc_ipynb_file__")
    # A kernel started from a notebook, for example by papermill, inherits its name in the environment. Only a front end
    # that reports the cell has also set the name of the notebook.
    if path is None and cell_id is not None:
        path = namespace.get("__session__") or os.environ.get("JPY_SESSION_NAME")
    # Consoles have a session name too.
    if not isinstance(path, str) or not (PurePath(path).suffix == ".ipynb" or is_text(path)):
        return None
    # VS Code's Untitled-1.ipynb is not a file yet. The front end may run on another operating system than the kernel.
    return path if PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute() else None


def _execution_count(shell: Any) -> int | None:
    # `shell.execution_count` includes the running cell in IPython 9 but not in IPython 8; `In` is the same in both.
    return len(_inputs(shell, "input_hist_parsed")) or None


def _cell_hash(shell: Any) -> str | None:
    inputs = _inputs(shell, "input_hist_raw")
    return source_hash(inputs[-1]) if inputs else None


def _inputs(shell: Any, kind: str) -> list[str]:
    # The first one is an empty text, so that `In[1]` is the first cell.
    return getattr(getattr(shell, "history_manager", None), kind, [])[1:]
