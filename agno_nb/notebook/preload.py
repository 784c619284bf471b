"""Imports on another thread while the user types, so that neither `%load_ext` nor the first cell waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

FOR_A_CELL = (
    "agno_nb.db.duckdb",
    "agno_nb.models.openai",
    "agno_nb.models.resolve",
    "agno_nb.tools",
    "agno_nb.run.runnable",
    "agno_nb.session",
    "agno_nb.memory",
    "agno_nb.agent",
    "agno_nb.team",
    "agno_nb.notebook.agent_cell",
    "agno_nb.notebook.live",
    "agno_nb.notebook.commands",
)
"""What a cell imports, each package before its modules.

If this thread waited for a package while it imports a module of it, a cell that imports the package would wait for this
thread, and fail.
"""

DELAY_S = 3.0
"""Time after which the SDK is imported if the model doesn't need it, in seconds. It takes half a second."""

CELL_S = 1.0
"""Time to wait for the end of the cell that loads the extension, in seconds. A startup file is no cell."""

_is_idle = threading.Event()
"""Whether no cell is being executed.

Two threads that import a package and a module of it at the same time can wait for each other, which Python reports as
an error. So this thread imports between cells.
"""
_import = threading.Lock()
"""Held during an import of this thread, which a cell waits for."""


def start_preloading(shell: InteractiveShell, model: str | None) -> Callable[[], None]:
    """Import what the first cell needs, and what requests of `model` need; see :func:`resolve_model`.

    Returns
    -------
    callable
        Undoes the registration of the events.
    """

    def pause(*_: Any) -> None:
        _is_idle.clear()
        with _import:
            pass

    def resume(*_: Any) -> None:
        _is_idle.set()

    events = {"pre_run_cell": pause, "post_run_cell": resume}
    for name, callback in events.items():
        shell.events.register(name, callback)
    _is_idle.clear()
    # Not a daemon thread: at exit, the interpreter would stop it within a library, which can crash the process.
    threading.Thread(target=_preload, args=(model,), name="agno_nb-preload").start()

    def undo() -> None:
        for name, callback in events.items():
            with suppress(ValueError):
                shell.events.unregister(name, callback)
        _is_idle.set()

    return undo


def _preload(model: str | None) -> None:
    if not _is_idle.wait(CELL_S):
        _is_idle.set()
    # An import that fails here fails again where it is needed, with its error.
    with suppress(Exception):
        for module in _modules(model):
            # False once the interpreter shuts down.
            while threading.main_thread().is_alive() and not _import_between_cells(module):
                pass


def _import_between_cells(module: str) -> bool:
    """Import a module if no cell is being executed; return whether it was imported."""
    if not _is_idle.wait(0.1):
        return False
    with _import:
        if _is_idle.is_set():
            import_module(module)
            return True
    return False


def _modules(model: str | None) -> Iterator[str]:
    yield from FOR_A_CELL
    from agno_nb.models.resolve import needs_sdk

    if not needs_sdk(model):
        yield "agno_nb.models.demo"
        # Both threads share the interpreter's lock, so the first cells would be slower.
        threading.main_thread().join(DELAY_S)
    yield "openai"
