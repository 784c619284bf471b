"""The notebook: magics, streaming output, variables in prompts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from agno_nb.types import RunOutput


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register the magics, and tell the pipeline which cell asks for a run. Loading twice changes nothing."""
    from agno_nb.models.openai import preload
    from agno_nb.notebook.binding import current_origin
    from agno_nb.notebook.magics import AgentMagics
    from agno_nb.run import pipeline

    if "AgentMagics" not in ipython.magics_manager.registry:
        ipython.register_magics(AgentMagics(ipython))
    pipeline.origin_of_call = lambda: current_origin(ipython)
    if ipython.display_formatter is not None:
        html = ipython.display_formatter.formatters["text/html"]
        html.for_type_by_name("agno_nb.types", "RunOutput", _run_html)
    threading.Thread(target=preload, name="agno_nb-preload", daemon=True).start()


def _run_html(run: RunOutput) -> str:
    from agno_nb.widgets.trace import run_html

    return run_html(run)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take the magics away. The store stays."""
    from agno_nb.run import pipeline
    from agno_nb.types import Origin

    magics = ipython.magics_manager.registry.pop("AgentMagics", None)
    if magics is not None:
        magics.notebook.db.close()
    if ipython.display_formatter is not None:
        ipython.display_formatter.formatters["text/html"].pop("agno_nb.types.RunOutput", None)
    for kind in ("line", "cell"):
        ipython.magics_manager.magics[kind].pop("agent", None)
    pipeline.origin_of_call = Origin
