"""Which notebook and which cell asks: what the front end has told the kernel, and no more.

Nothing here asks a server. What a front end does not tell is None.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from agno_nb.types import CellInfo


def read_cell_info(shell: Any) -> CellInfo:
    """Say where the code that is running was typed.

    Call it on the main thread when a magic begins: on another thread ipykernel tells of the newest cell instead.

    Parameters
    ----------
    shell : InteractiveShell or None
        As ``get_ipython()`` returns it.

    Returns
    -------
    Origin
        JupyterLab does not tell a kernel that its notebook was renamed, so one that is no longer where it was is
        looked for in its folder, by its cells. Colab tells of the cell only, and under nbclient and papermill neither
        is known.
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
    """Return what tells this execution of a cell from every other: the same for all that one cell does."""
    msg_id = _parent(shell, "header").get("msg_id")
    return msg_id if isinstance(msg_id, str) else f"In [{_execution_count(shell)}]"


def is_same_notebook(path: str | None, other: str | None) -> bool:
    """Tell whether two paths are of one notebook, as far as they tell.

    A copy of a notebook has cells of the same ids. The original is still there then; of a renamed one it is not.
    """
    return path is None or other is None or path == other or not Path(path).exists() or not Path(other).exists()


def is_lasting(cell_id: str) -> bool:
    """Tell whether a cell has this id again when its notebook is opened again.

    VS Code numbers the cells each time that it opens a notebook, and these numbers are its ids.
    """
    return not cell_id.startswith("vscode-")


def notebook_file(path: str | Path) -> dict[str, Any]:
    """Return what is in the file of a notebook; an empty dict where that cannot be read."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def code_cells(notebook: dict[str, Any]) -> list[tuple[str | None, str]]:
    """Return id and source of each code cell, in their order."""
    return [
        (_id_in_file(cell), source if isinstance(source := cell.get("source", ""), str) else "".join(source))
        for cell in notebook.get("cells", [])
        if cell.get("cell_type") == "code"
    ]


def _id_in_file(cell: dict[str, Any]) -> str | None:
    # Colab writes the format that has no ids, and keeps its own in the metadata.
    cell_id = cell.get("id") or cell.get("metadata", {}).get("id")
    return cell_id if isinstance(cell_id, str) else None


def source_hash(source: str) -> str:
    """Return the hash that a run has of its cell's source."""
    # IPython keeps a cell's source without the newlines at its end.
    return hashlib.sha256(source.rstrip("\n").encode("utf-8", "surrogatepass")).hexdigest()[:16]


_renamed_paths: dict[str, str] = {}
"""Where notebooks are now, by the path that the kernel was told."""


def _find_renamed(path: str | None, cell_id: str | None) -> str | None:
    if path is None or cell_id is None or Path(path).exists():
        return path
    known = _renamed_paths.get(path)
    if known is not None and Path(known).exists():
        return known
    holding = [
        candidate
        for candidate in sorted(Path(path).parent.glob("*.ipynb"))
        if _contains_cell(candidate, cell_id) and cell_id in (id for id, _ in code_cells(notebook_file(candidate)))
    ]
    # Of several copies none is known to be the notebook.
    if len(holding) != 1:
        return path
    _renamed_paths[path] = str(holding[0])
    return _renamed_paths[path]


def _contains_cell(path: Path, cell_id: str) -> bool:
    """Look for the id as text first: to parse every notebook of a folder may take seconds."""
    try:
        return cell_id.encode() in path.read_bytes()
    except OSError:
        return False


def _parent(shell: Any, part: str) -> dict[str, Any]:
    kernel = getattr(shell, "kernel", None)
    get_parent = getattr(kernel, "get_parent", None)
    parent = get_parent() if callable(get_parent) else None
    header = parent.get(part) if isinstance(parent, dict) else None
    return header if isinstance(header, dict) else {}


def _cell_id(shell: Any) -> str | None:
    metadata = _parent(shell, "metadata")
    colab = metadata.get("colab")
    cell_id = metadata.get("cellId") or (colab.get("cell_id") if isinstance(colab, dict) else None)
    return cell_id if isinstance(cell_id, str) else None


def _kernel_id(shell: Any) -> str | None:
    # A server names the connection file after the kernel.
    file = getattr(getattr(getattr(shell, "kernel", None), "parent", None), "connection_file", None)
    match = re.fullmatch(r"kernel-(.+)\.json", PurePath(file).name) if isinstance(file, str) else None
    return match and match[1]


def _notebook(shell: Any, cell_id: str | None) -> str | None:
    namespace = getattr(shell, "user_ns", {})
    path = namespace.get("__vsc_ipynb_file__")
    # A kernel started from a notebook, by papermill say, inherits the name of that one in its environment. Only a
    # front end that names the cell has also given the notebook's name.
    if path is None and cell_id is not None:
        path = namespace.get("__session__") or os.environ.get("JPY_SESSION_NAME")
    # Consoles and files that are run have a session name too, and what VS Code calls Untitled-1.ipynb is no file yet.
    return path if isinstance(path, str) and PurePath(path).suffix == ".ipynb" and _is_absolute(path) else None


def _is_absolute(path: str) -> bool:
    # The front end may be on another system than the kernel.
    return PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()


def _execution_count(shell: Any) -> int | None:
    # IPython 9 has counted the running cell in `shell.execution_count` already, IPython 8 has not; `In` is the same.
    inputs = _inputs(shell, "input_hist_parsed")
    return len(inputs) - 1 if len(inputs) > 1 else None


def _cell_hash(shell: Any) -> str | None:
    inputs = _inputs(shell, "input_hist_raw")
    if len(inputs) < 2:
        return None
    return source_hash(inputs[-1])


def _inputs(shell: Any, kind: str) -> list[str]:
    inputs = getattr(getattr(shell, "history_manager", None), kind, None)
    return inputs if isinstance(inputs, list) else []
