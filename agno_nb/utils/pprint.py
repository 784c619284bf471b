"""Print a run that you have, or that is going on."""

from __future__ import annotations

from collections.abc import Iterable

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.event_loop import EventStream
from agno_nb.printing import choose_display, drive
from agno_nb.types import RunEvent, RunOutput, RunOutputEvent

__all__ = ["pprint_run_response"]


@suggest_on_unknown_kwarg({})
def pprint_run_response(run_response: RunOutput | Iterable[RunOutputEvent], markdown: bool = False) -> None:
    """Show a run as ``print_response`` shows it: in a terminal by rich, in a notebook as the cell's output.

    Parameters
    ----------
    run_response : RunOutput or iterable of RunOutputEvent
        What ``run(...)`` returned, with ``stream=True`` or without.
    markdown : bool, optional
        Read the answer as Markdown. A notebook always does.
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
