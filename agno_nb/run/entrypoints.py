"""Start a run for a public method: blocking or awaited, with or without a stream of events."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal, overload

from agno_nb import event_loop
from agno_nb.event_loop import AsyncEventStream, EventStream
from agno_nb.run import execute
from agno_nb.run.context import Emit, current_run, discard_event
from agno_nb.types import RunEvent, RunOutput, RunOutputEvent

RunStream = EventStream[RunOutputEvent, RunOutput]
AsyncRunStream = AsyncEventStream[RunOutputEvent, RunOutput]
Work = Callable[..., Coroutine[Any, Any, RunOutput]]


@overload
def start_run(
    work: Work, *args: Any, method: str, stream: bool | None, is_async: Literal[False] = False
) -> RunOutput | RunStream: ...
@overload
def start_run(
    work: Work, *args: Any, method: str, stream: bool | None, is_async: Literal[True]
) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream: ...
def start_run(work: Work, *args: Any, method: str, stream: bool | None, is_async: bool = False) -> Any:
    """Start a run on the background loop, and return the result, the coroutine or the stream of a public method.

    Parameters
    ----------
    work : callable
        Takes `args` and the function that receives events; returns the coroutine that executes the run.
    *args
        The last one is the dict of options. With `stream_events`, the stream has all events; otherwise only the content
        and the final event of the run itself.
    method : str
        Name of the blocking method, for errors.
    stream : bool or None
        Return an iterator of events.
    is_async : bool
        Return a coroutine, or an async iterator if `stream` is set.
    """
    options = args[-1]
    stream_events = options.pop("stream_events", None)
    if options.get("origin") is None and current_run.get() is None:
        # Only the caller's thread knows the cell that starts the run.
        options["origin"] = execute.current_cell()

    def start(emit: Emit) -> Coroutine[Any, Any, RunOutput]:
        return work(*args, emit if stream_events else _only_content(emit))

    if is_async:
        return AsyncEventStream(start) if stream else event_loop.run_awaiting(work(*args, discard_event))
    if stream:
        event_loop.refuse_on_loop(f"{method}(stream=True)", f"a{method}(stream=True)")
        return EventStream(start)
    return event_loop.run_blocking(work(*args, discard_event), method=f"{method}()")


def _only_content(emit: Emit) -> Emit:
    """Return a listener that forwards the content and the final event of the outermost run to `emit`."""
    outer_run_id: str | None = None

    def forward(event: RunOutputEvent) -> None:
        nonlocal outer_run_id
        outer_run_id = outer_run_id or event.run_id
        if event.run_id == outer_run_id and (event.event is RunEvent.run_content or event.is_final):
            emit(event)

    return forward
