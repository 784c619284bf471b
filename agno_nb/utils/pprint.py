"""Print a run, or the events of a run in progress."""

from __future__ import annotations

from collections.abc import Iterable

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.event_loop import EventStream
from agno_nb.printing import choose_display, drive
from agno_nb.types import RunEvent, RunOutput, RunOutputEvent

__all__ = ["pprint_run_response"]


@suggest_on_unknown_kwarg({})
def pprint_run_response(run_response: RunOutput | Iterable[RunOutputEvent], markdown: bool = False) -> None:
    """Show a run like ``print_response``: with rich in a terminal, as the cell's output in a notebook.

    Parameters
    ----------
    run_response : RunOutput or iterable of RunOutputEvent
        The result of ``run(...)``, with or without ``stream=True``.
    markdown : bool, optional
        Render the answer as Markdown. Notebooks always do.
    """
    shown = choose_display(None, live=not isinstance(run_response, RunOutput), markdown=markdown)
    if isinstance(run_response, EventStream):
        drive(run_response, shown)
        return
    run = None
    for event in [_end_of(run_response)] if isinstance(run_response, RunOutput) else run_response:
        shown.feed(event)
        run = event.run_output or run
    shown.finish(run)


def _end_of(run: RunOutput) -> RunOutputEvent:
    return RunOutputEvent(event=RunEvent.run_completed, run_id=run.run_id, session_id=run.session_id, run_output=run)
