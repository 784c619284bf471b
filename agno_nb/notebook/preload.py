"""Imports on another thread while the user types, so that neither `%load_ext` nor the first cell waits for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

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


def start_preloading(model: str | None) -> None:
    """Import what the first cell needs, and what requests of `model` need; see :func:`resolve_model`.

    Not a daemon thread: at exit, the interpreter would stop it within a library, which can crash the process.
    """
    threading.Thread(target=_preload, args=(model,), name="agno_nb-preload").start()


def _preload(model: str | None) -> None:
    # An import that fails here fails again where it is needed, with its error.
    with suppress(Exception):
        for module in _modules(model):
            # False once the interpreter shuts down.
            if not threading.main_thread().is_alive():
                return
            import_module(module)


def _modules(model: str | None) -> Iterator[str]:
    yield from FOR_A_CELL
    from agno_nb.models.resolve import needs_sdk

    if not needs_sdk(model):
        yield "agno_nb.models.demo"
        # Both threads share the interpreter's lock, so the first cells would be slower.
        threading.main_thread().join(DELAY_S)
    yield "openai"
