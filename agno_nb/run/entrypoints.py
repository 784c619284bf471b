"""How callers come in: blocking or awaiting, for the whole answer or for its events, all to the one pipeline."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from agno_nb import event_loop
from agno_nb.event_loop import AsyncEventStream, EventStream
from agno_nb.run import execute
from agno_nb.run.context import Emit, current_run, discard_event
from agno_nb.run.options import RunOptions
from agno_nb.types import RunEvent, RunOutput, RunOutputEvent

RunStream = EventStream[RunOutputEvent, RunOutput]
AsyncRunStream = AsyncEventStream[RunOutputEvent, RunOutput]
StartRun = Callable[[Emit], Coroutine[Any, Any, RunOutput]]


def start_run(start: StartRun, *, stream: bool | None, method: str) -> RunOutput | RunStream:
    """Begin a run for a caller who blocks. `method` is the method that was called."""
    if stream:
        event_loop.refuse_on_loop(f"{method}(stream=True)", f"a{method}(stream=True)")
        return EventStream(start)
    return event_loop.run_blocking(start(discard_event), method=f"{method}()", instead=f"a{method}()")


def astart_run(start: StartRun, *, stream: bool | None) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream:
    """Begin a run for a caller who awaits."""
    return AsyncEventStream(start) if stream else event_loop.run_awaiting(start(discard_event))


def record_cell(options: RunOptions) -> None:
    """Note the cell that asks: on the caller's thread, which is the one that knows."""
    if options.get("origin") is None and current_run.get() is None:
        options["origin"] = execute.current_cell()


def filter_events(emit: Emit, *, stream_events: bool) -> Emit:
    """Pass on all events, or the pieces of the answer and the final event: of the run asked for, not of nested ones."""
    if stream_events or emit is discard_event:
        return emit
    root_run_id: str | None = None

    def forward(event: RunOutputEvent) -> None:
        nonlocal root_run_id
        root_run_id = root_run_id or event.run_id
        if event.run_id == root_run_id and (event.event is RunEvent.run_content or event.is_final):
            emit(event)

    return forward
