"""The notebook: magics, streaming output, and variables in prompts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register the magics, and let runs record the cell that starts them. Loading twice changes nothing."""
    from agno_nb import frames
    from agno_nb.db import set_default_db
    from agno_nb.notebook.cell_info import read_cell_info
    from agno_nb.notebook.magics import AgentMagics, pass_to_magics
    from agno_nb.notebook.preload import start_preloading
    from agno_nb.notebook.registration import register_completions, register_displays
    from agno_nb.run import defaults

    defaults.current_cell = lambda: read_cell_info(ipython)
    if "AgentMagics" in ipython.magics_manager.registry:
        return
    magics = AgentMagics(ipython)
    ipython.register_magics(magics)
    ipython.configurables.append(magics.settings)  # type: ignore[arg-type] # Any Configurable.
    # Functions, because the notebook imports nearly everything.
    set_default_db(lambda: magics.notebook.db)
    defaults.of_notebook, frames.notebook_namespace = lambda: magics.notebook, ipython.user_ns
    ipython.input_transformers_cleanup.append(pass_to_magics)
    magics.undo = [
        register_displays(ipython),
        register_completions(ipython, lambda: magics.notebook),
        partial(ipython.input_transformers_cleanup.remove, pass_to_magics),
    ]
    magics.show_previous_session()
    magics.undo.append(start_preloading(ipython, magics.settings.model))


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Remove the magics. The store is kept."""
    from agno_nb import frames
    from agno_nb.run import defaults
    from agno_nb.types import CellInfo

    magics = ipython.magics_manager.registry.pop("AgentMagics", None)
    if magics is not None:
        magics.close()
        for configurable in (magics, magics.settings):
            ipython.configurables.remove(configurable)
        for undo in magics.undo:
            undo()
    for kind in ("line", "cell"):
        for name in ("agent", "agent_sql"):
            ipython.magics_manager.magics[kind].pop(name, None)
    defaults.current_cell, defaults.of_notebook, frames.notebook_namespace = CellInfo, None, {}
