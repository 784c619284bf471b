"""The notebook: magics, streaming output, and variables in prompts."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register the magics, and let runs record the cell that starts them. Loading twice changes nothing."""
    from agno_nb import frames
    from agno_nb.models.openai import preload
    from agno_nb.notebook.cell_info import read_cell_info
    from agno_nb.notebook.completion import register_completions
    from agno_nb.notebook.displays import register_displays
    from agno_nb.notebook.magics import AgentMagics, pass_to_magics
    from agno_nb.notebook.session_commands import show_previous_session
    from agno_nb.run import defaults, execute

    if "AgentMagics" not in ipython.magics_manager.registry:
        magics = AgentMagics(ipython)
        ipython.register_magics(magics)
        ipython.configurables.append(magics.notebook.settings)  # type: ignore[arg-type] # Any Configurable.
        defaults.of_notebook, frames.notebook_namespace = magics.notebook, ipython.user_ns
        ipython.input_transformers_cleanup.append(pass_to_magics)
        magics.undo = [
            register_displays(ipython),
            register_completions(ipython, magics.notebook),
            partial(ipython.input_transformers_cleanup.remove, pass_to_magics),
        ]
        show_previous_session(magics.notebook)
    execute.current_cell = lambda: read_cell_info(ipython)
    threading.Thread(target=preload, name="agno_nb-preload", daemon=True).start()


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Remove the magics. The store is kept."""
    from agno_nb import frames
    from agno_nb.run import defaults, execute
    from agno_nb.types import CellInfo

    magics = ipython.magics_manager.registry.pop("AgentMagics", None)
    if magics is not None:
        magics.notebook.db.close()
        for configurable in (magics, magics.notebook.settings):
            ipython.configurables.remove(configurable)
        for undo in magics.undo:
            undo()
    for kind in ("line", "cell"):
        for name in ("agent", "agent_sql"):
            ipython.magics_manager.magics[kind].pop(name, None)
    execute.current_cell, defaults.of_notebook, frames.notebook_namespace = CellInfo, None, {}
