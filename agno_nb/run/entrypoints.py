"""The work of the public methods that start a run: run, continue, regenerate and branch.

:func:`start_run` starts it for all variants of a method: blocking or awaited, with or without a stream of events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from agno_nb import event_loop
from agno_nb.db.base import Db
from agno_nb.db.encoding import check_ids
from agno_nb.errors import InvalidInputError, RunInterrupted, RunNotFoundError
from agno_nb.event_loop import AsyncEventStream, EventStream, uncancellable
from agno_nb.run import defaults
from agno_nb.run.context import Emit, RunContext, current_run, discard_event
from agno_nb.run.continue_run import find_run, prepare_paused_run
from agno_nb.run.execute import execute
from agno_nb.run.inputs import input_messages
from agno_nb.run.options import ContinueCall, RegenerateCall, RunOptions
from agno_nb.run.recorder import store_unstored
from agno_nb.run.rewind import LINEAGE, is_rewound, partial_messages, rewind
from agno_nb.types import RunEvent, RunOutput, RunOutputEvent, new_id

if TYPE_CHECKING:
    from agno_nb.run.runnable import Runnable

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

    `work` takes `args` and the function that receives events, and returns the coroutine that executes the run. The last
    of `args` is the dict of options. With `stream_events`, a stream has all events; otherwise only the content and the
    final event of the run itself. `method` is the name of the blocking method, for errors.
    """
    options = args[-1]
    stream_events, yield_run_output = options.pop("stream_events", None), options.pop("yield_run_output", None)
    if (context := options.pop("run_context", None)) is not None:
        _use_context(context, options)
    if options.get("origin") is None and current_run.get() is None:
        # Only the caller's thread knows the cell that starts the run.
        options["origin"] = defaults.current_cell()

    def start(emit: Emit) -> Coroutine[Any, Any, RunOutput]:
        coroutine = work(*args, emit if stream_events else _only_content(emit))
        return _with_run_output(coroutine, emit) if yield_run_output else coroutine

    if is_async:
        return AsyncEventStream(start) if stream else event_loop.run_awaiting(work(*args, discard_event))
    if stream:
        event_loop.refuse_on_loop(f"{method}(stream=True)", f"a{method}(stream=True)")
        return EventStream(start)
    try:
        return event_loop.run_blocking(work(*args, discard_event), method=f"{method}()")
    except KeyboardInterrupt:
        # A notebook shows it without the traceback, which would be that of the waiting thread.
        runnable: Runnable = args[0]
        stored = "" if runnable.current_db is None else "; its partial output is stored"
        raise RunInterrupted(f"the run was interrupted{stored}") from None


def _use_context(context: RunContext, options: dict[str, Any]) -> None:
    """Add what another run has to the options that a call does not set."""
    if not isinstance(context, RunContext):
        raise InvalidInputError(f"run_context is {context!r}; pass the run_context of a tool, a hook or a step")
    for name in ("dependencies", "metadata", "session_state"):
        values = {key: value for key, value in (getattr(context, name) or {}).items() if key not in LINEAGE}
        if options.get(name) is None and values:
            options[name] = values


async def _with_run_output(work: Coroutine[Any, Any, RunOutput], emit: Callable[[Any], None]) -> RunOutput:
    """Make the run the last item of its stream."""
    run = await work
    emit(run)
    return run


def _only_content(emit: Emit) -> Emit:
    """Return a listener that forwards the content and the final event of the outermost run to `emit`."""
    outer_run_id: str | None = None

    def forward(event: RunOutputEvent) -> None:
        nonlocal outer_run_id
        outer_run_id = outer_run_id or event.run_id
        if event.run_id == outer_run_id and (event.event.name == RunEvent.run_content.name or event.is_final):
            emit(event)

    return forward


async def continue_paused_run(
    runnable: Runnable, run_output: RunOutput | None, options: ContinueCall, emit_to: Emit
) -> RunOutput:
    """Find a run and continue it; see :meth:`Runnable.continue_run`."""
    run = await find_run(runnable, run_output, options)
    if is_rewound(run, options):
        start = rewind(run, options)
        return await execute(runnable, start.text, start.options, emit_to, partial_messages=start.partial_messages)
    await prepare_paused_run(runnable, run, options, is_read=run_output is None)
    return await execute(runnable, run.input, cast("RunOptions", options), emit_to, run)


async def regenerate_turn(runnable: Runnable, run_id: str | None, options: RegenerateCall, emit_to: Emit) -> RunOutput:
    """Run a turn again; see ``Runnable.regenerate``. Runs on the background loop."""
    await store_unstored(runnable.current_db)
    user_id = options.get("user_id")
    run = await asyncio.to_thread(_find_attempt, runnable, run_id, options.get("session_id"), user_id)
    passed = input_messages(run)
    last = max((place for place, each in enumerate(passed) if each.role == "user"), default=None)
    message = None if last is None else passed[last]
    turn_options = cast("RunOptions", options) | RunOptions(
        session_id=run.session_id,
        run_index=run.run_index,
        user_id=user_id,
        metadata=run.metadata,
        files=message.media if message is not None else [],
    )
    if last is not None and len(passed) > 1:
        around = [replace(each, message_id=new_id()) for each in passed]
        turn_options = cast("RunOptions", turn_options | {"messages": (around[:last], around[last + 1 :])})
    partial = partial_messages(run) if options.get("from_partial") else []
    return await execute(runnable, run.input, turn_options, emit_to, partial_messages=partial)


async def branch(runnable: Runnable, run_id: str, text: str, options: RunOptions, emit_to: Emit) -> RunOutput:
    """Run `text` in a copy of a session; see ``Runnable.continue_from``. Runs on the background loop."""

    def fork() -> str:
        run = _find_attempt(runnable, run_id, options.get("session_id"), options.get("user_id"))
        return runnable.fork_session(run.session_id, at_run=run.run_id).session_id

    await store_unstored(runnable.current_db)
    # The ID of the copy must be known before the run is cancelled.
    copy_id, new_run_id = await uncancellable(asyncio.to_thread(fork)), new_id()
    try:
        return await execute(runnable, text, options | RunOptions(session_id=copy_id, run_id=new_run_id), emit_to)
    except BaseException:
        await uncancellable(asyncio.to_thread(discard_unused_copy, runnable.store, copy_id, new_run_id))
        raise


def discard_unused_copy(store: Db, session_id: str, run_id: str) -> None:
    """Delete a copy of a session if its first run was rejected or cancelled before it was stored."""
    if store.get_run(run_id, session_id) is None:
        store.delete_session(session_id)


def _find_attempt(runnable: Runnable, run_id: str | None, session_id: str | None, user_id: str | None) -> RunOutput:
    """Return an attempt at a turn."""
    check_ids(run_id=run_id, session_id=session_id)
    store = runnable.store
    if run_id is None:
        run = runnable.get_last_run_output(session_id, user_id=user_id)
        missing = f"no turn yet in session {runnable._resolve_session_id(session_id, user_id)!r}"
    else:
        store.check_owner(runnable._user(user_id), session_id=session_id, run_id=run_id)
        run, missing = store.get_run(run_id, session_id), f"no run {run_id!r}"
    if run is None:
        raise RunNotFoundError(f"there is {missing} in {store.identity}")
    if run.run_index is None:
        raise InvalidInputError(f"run {run.run_id!r} is part of run {run.parent_run_id!r}; pass the ID of that run")
    return run
