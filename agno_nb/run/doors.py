"""How callers come in: blocking or awaiting, for the whole answer or for its events, all to the one pipeline."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from agno_nb import _loop
from agno_nb._loop import AsyncEventStream, EventStream
from agno_nb.run import pipeline
from agno_nb.run.options import RunOptions
from agno_nb.run.running import Emit, current_run
from agno_nb.types import RunEvent, RunOutput, RunOutputEvent

RunStream = EventStream[RunOutputEvent, RunOutput]
AsyncRunStream = AsyncEventStream[RunOutputEvent, RunOutput]
Begin = Callable[[Emit], Coroutine[Any, Any, RunOutput]]


def enter(begin: Begin, *, stream: bool | None, door: str) -> RunOutput | RunStream:
    """Begin a run for a caller who blocks. `door` is the method that was called."""
    if stream:
        _loop.refuse_on_loop(f"{door}(stream=True)", f"a{door}(stream=True)")
        return EventStream(begin)
    return _loop.run_blocking(begin(lambda event: None), door=f"{door}()", instead=f"a{door}()")


def aenter(begin: Begin, *, stream: bool | None) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream:
    """Begin a run for a caller who awaits."""
    return AsyncEventStream(begin) if stream else _loop.run_awaiting(begin(lambda event: None))


def note_origin(options: RunOptions) -> None:
    """Note the cell that asks: on the caller's thread, which is the one that knows."""
    if options.get("origin") is None and current_run.get() is None:
        options["origin"] = pipeline.origin_of_call()


def own_text_only(emit: Emit) -> Emit:
    """Pass on the pieces of the answer and the final event, of the run that was asked for and not of nested ones."""
    first: str | None = None

    def pass_on(event: RunOutputEvent) -> None:
        nonlocal first
        first = first or event.run_id
        if event.run_id == first and (event.event is RunEvent.run_content or event.is_final):
            emit(event)

    return pass_on
