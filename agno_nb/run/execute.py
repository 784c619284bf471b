"""The one pipeline: open a run, take its steps, store how it ended.

``execute`` owns everything that is the same for agents, teams and workflows, sync and async, streamed and plain:
ids, ownership, order, history, nesting, status, metrics and saving. A runnable writes only ``answer``.
"""

from __future__ import annotations

import asyncio
import math
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from agno_nb.db.async_db import as_sync
from agno_nb.db.base import ContextQuery, Db, OpenedRun
from agno_nb.db.encoding import check_ids
from agno_nb.db.session_state import merge_state, revert
from agno_nb.errors import (
    AgnoNbError,
    NestedRunPaused,
    RunError,
    RunLimitError,
    RunNotContinuableError,
    SessionBusyError,
    SessionNotFoundError,
    StoreError,
    StoreLocked,
    describe,
    failed_save,
    is_store_failure,
    leaves,
    message_of,
)
from agno_nb.event_loop import is_closing, uncancellable
from agno_nb.run.background_tasks import QueueKey, schedule, wait_for
from agno_nb.run.context import (
    MAX_DEPTH,
    Emit,
    RunContext,
    current_run,
    current_step,
    current_tool_call_id,
    find_enclosing_turn,
    make_event,
)
from agno_nb.run.dependencies import resolve_dependencies
from agno_nb.run.options import RunOptions, media_of
from agno_nb.run.output_schema import restore_typed_outputs
from agno_nb.run.recorder import RunEnd, keep, store_unstored
from agno_nb.types import (
    SESSION_CLASSES,
    CellInfo,
    JsonDict,
    Message,
    Metrics,
    RunEvent,
    RunOutput,
    RunStatus,
    StepStatus,
    new_id,
    now,
    whole_number,
)

if TYPE_CHECKING:
    from agno_nb.run.runnable import Runnable

current_cell: Callable[[], CellInfo] = CellInfo
"""Says which cell asks for a run. The notebook replaces it when it is loaded."""

_POLL_S = 0.1
"""How often a run looks whether the turn of another process has ended."""
_WARN_AFTER_S = 2.0
"""How long it waits before it says for whom."""

_session_locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()


async def execute(
    runnable: Runnable,
    text: str,
    options: RunOptions,
    emit_to: Emit,
    continuation: RunOutput | None = None,
    partial_messages: Sequence[Message] = (),
) -> RunOutput:
    """Run `runnable` on `text` to its end or to its next pause. Runs on the background loop.

    With a `continuation`, that paused run is continued instead of starting a new one. `partial_messages` is what a new
    run begins with, behind the user's message: what an earlier attempt had said.

    Raises
    ------
    RunError
        The run failed. It is stored, and the error's ``run_output`` holds what was said so far.
    RunLimitError
        The run is nested too deep. Nothing was stored.
    SessionOwnershipError
        The session belongs to another user. Nothing was stored.
    RunNotContinuableError
        The run to continue is not paused any more. Nothing was stored.
    StoreError
        The run could not be stored.
    NestedRunPaused
        The run was begun by a tool or a step, and is paused.
    asyncio.CancelledError
        The run was cancelled. It is stored with status CANCELLED.
    """
    parent, tool_call_id = current_run.get(), current_tool_call_id.get()
    if parent is not None and parent.run.status is not RunStatus.RUNNING:
        raise RunError(
            f"{runnable.name or runnable.kind} was asked to run inside run {parent.run_id!r}, which has ended"
        )
    if parent is not None and parent.depth >= MAX_DEPTH:
        raise RunLimitError(
            f"{runnable.name or runnable.kind} was asked to run more than {MAX_DEPTH} levels below run "
            f"{parent.root.run_id!r}; check if agents, teams or workflows call each other without end"
        )
    if parent is not None and parent.continuation is not None and continuation is None:
        earlier = parent.find_pending_child(tool_call_id, runnable, text)
        if earlier is None and parent.run.is_reloaded and (own_db := as_sync(runnable.db)) is not None:
            # With a session of its own it was not read with the run that goes on.
            child_runs = await asyncio.to_thread(own_db.get_child_runs, parent.run_id)
            known = {run.run_id for run in (*parent.run.nested_runs, *parent.pending_children)}
            parent.pending_children += [run for run in child_runs if run.run_id not in known]
            earlier = parent.find_pending_child(tool_call_id, runnable, text)
        restore_typed_outputs(runnable.output_schemas, [earlier] if earlier is not None else [])
        if earlier is not None and earlier.status is RunStatus.COMPLETED:
            content = earlier.get_content_as_string()
            emit_to(make_event(earlier, RunEvent.run_completed, content=content, run_output=earlier))
            return earlier
        if earlier is not None:
            parent.run.share_requirements(earlier)
            continuation = earlier
    context = _make_context(runnable, text, options, emit_to, continuation)
    context.partial_messages = list(partial_messages)
    context.interrupted_call_ids |= _open_call_ids(partial_messages)
    async with _session_lock(context):
        opened = await _open_run(runnable, context)
        tokens = current_run.set(context), current_tool_call_id.set(None), current_step.set(None)
        try:
            run = await _run_to_end(runnable, context, opened)
        finally:
            current_run.reset(tokens[0])
            current_tool_call_id.reset(tokens[1])
            current_step.reset(tokens[2])
        _schedule_background_tasks(runnable, context)
        if run.status is RunStatus.PAUSED and parent is not None and (tool_call_id or current_step.get()):
            raise NestedRunPaused(run)
        return run


def _schedule_background_tasks(runnable: Runnable, context: RunContext) -> None:
    """Begin what follows a turn, or leave what follows a nested run for when its turn is over.

    A pause is an end here too: a nested run that was completed before it is not run again when the turn goes on.
    """
    run, turn = context.run, context.enclosing_turn
    if run.status is RunStatus.COMPLETED:
        context.background_tasks += runnable.background_tasks(context)
    if turn is not None:
        turn.background_tasks += context.background_tasks
    elif run.status in (RunStatus.COMPLETED, RunStatus.PAUSED):
        schedule(context.background_tasks)


def _make_context(
    runnable: Runnable, text: str, options: RunOptions, emit_to: Emit, continuation: RunOutput | None
) -> RunContext:
    parent = current_run.get()
    db = as_sync(runnable.db) or (parent.db if parent else None)
    if db is not None:
        # Before anything is paid for: the state is stored at the end only.
        runnable.check_storable(options)
    run = _new_run(runnable, text, options, parent, db) if continuation is None else continuation
    turn = find_enclosing_turn(parent, db, run.session_id)
    if turn is not None and continuation is None:
        run.root_run_id = turn.run.root_run_id
    if parent is not None:
        parent.add_child(run)
    user_message = next(
        (message for message in run.messages if message.role == "user" and not message.from_history), None
    )
    return RunContext(
        run=run,
        message=user_message or Message(role="user", content=text, media=media_of(options), run_id=run.run_id),
        options=options,
        persisted_form=runnable.to_persisted,
        is_stored=turn is None or parent is None or (parent.is_stored and parent.stores_nested),
        emit_to=emit_to,
        db=db,
        parent=parent,
        is_nested=turn is not None,
        continuation=continuation,
        interrupted_call_ids=_interrupted_call_ids(continuation),
        session=SESSION_CLASSES[runnable.kind](
            session_id=run.session_id,
            session_type=runnable.kind,
            user_id=run.user_id,
            component_id=runnable.component_id,
            metadata=runnable.metadata,
        ),
        dependencies={**(runnable.dependencies or {}), **(options.get("dependencies") or {})},
    )


def _interrupted_call_ids(continuation: RunOutput | None) -> frozenset[str]:
    """Return the ids of calls that a dead process may have carried out, if `continuation` was RUNNING in it."""
    if continuation is None or continuation.status is not RunStatus.RUNNING:
        return frozenset()
    return frozenset(call.tool_call_id for call in continuation.tools if not call.is_finished)


def _open_call_ids(messages: Sequence[Message]) -> frozenset[str]:
    return frozenset(call.tool_call_id for message in messages for call in message.tool_calls if not call.is_finished)


def _new_run(runnable: Runnable, text: str, options: RunOptions, parent: RunContext | None, db: Db | None) -> RunOutput:
    """Make a run in the session that the call, the runnable or the run around it names, else in an automatic one."""
    users = (options.get("user_id"), runnable.user_id, parent.user_id if parent else None)
    # "" is not the same as None: it matches no user, and a run with it is refused.
    user_id = next((user for user in users if user is not None), None)
    session_id = options.get("session_id")
    if session_id is None:
        session_id = runnable.session_id
    if session_id is None and parent is not None and db is parent.db:
        session_id = parent.session_id
    if session_id is None:
        session_id = runnable.automatic_session_id(user_id)
    check_ids(user_id=user_id, session_id=session_id, run_id=options.get("run_id"))
    whole_number("num_history_runs", options.get("num_history_runs"), least=0)
    return RunOutput(
        run_id=options.get("run_id") or new_id(),
        session_id=session_id,
        user_id=user_id,
        parent_run_id=parent.run_id if parent else None,
        parent_tool_call_id=current_tool_call_id.get() if parent else None,
        step=current_step.get() if parent else None,
        kind=runnable.kind,
        component_id=runnable.component_id,
        component_name=runnable.name,
        run_index=options.get("run_index"),
        input=text,
        metadata=_merged(runnable.metadata, options.get("metadata")),
        variables=list(options.get("variables") or ()),
        origin=options.get("origin") or (parent.run.origin if parent else CellInfo()),
    )


def _merged(own: JsonDict | None, of_call: JsonDict | None) -> JsonDict | None:
    """Merge the metadata of a runnable and of a call, which wins key by key."""
    return merge_state(own, of_call) if own and of_call else of_call or own


def _session_lock(context: RunContext) -> AbstractAsyncContextManager[Any]:
    """Wait until the earlier runs of the session in this process have ended, and make later ones wait."""
    if context.db is None or context.is_nested:
        return nullcontext()
    return _session_locks.setdefault((context.db.identity, context.session_id), asyncio.Lock())


async def _open_run(runnable: Runnable, context: RunContext) -> OpenedRun:
    """Open the run in the store, and return what the store knows of its session."""
    run, options, continuation = context.run, context.options, context.continuation
    if continuation is not None and not runnable.is_continuable(run):
        raise RunNotContinuableError(f"run {run.run_id!r} is {run.status} by now; somebody else has continued it")
    opened = OpenedRun(session=context.session)
    if context.db is not None:
        query = runnable.context_query(options)
        if continuation is None and not context.is_nested:
            needed = [QueueKey.summary(context.db, run.session_id)]
            if query.memories and run.user_id is not None:
                needed.append(QueueKey.memories(context.db, run.user_id))
            await wait_for(*needed)
        # With a store at hand and a model that answers at once, runs one after the other would never leave the loop.
        await asyncio.sleep(0)
        await store_unstored(context.db, needed=run)
        try:
            opened = await _open_when_free(context, query)
        except StoreError as error:
            _record_unopened(context, error)
            raise
    # From here on the run is RUNNING in the store, so nothing more may fail outside of `_run_to_end`.
    return opened


def _record_unopened(context: RunContext, error: StoreError) -> None:
    """Note that a run could not be opened. One that was paused stays paused, and can be continued later."""
    run = error.run_output = context.run
    if context.continuation is None:
        run.status, run.ended_at = RunStatus.ERROR, now()
        run.error_type, run.error = type(error).__name__, message_of(error)
        # The store may have committed the row before it failed.
        keep(context.pop_end(None), error)


def _prepare_context(runnable: Runnable, context: RunContext, opened: OpenedRun) -> None:
    """Give the context what the store knows of the session, and the state that the run begins with."""
    run, options, continuation = context.run, context.options, context.continuation
    runnable._last_session_ids |= {run.user_id: run.session_id, None: run.session_id}
    context.session, context.history = opened.session, opened.history
    context.turns, context.num_superseded = opened.turns, opened.num_superseded
    context.summary, context.memories = opened.summary, opened.memories
    if continuation is not None:
        run.status, run.ended_at, run.error_type, run.error = RunStatus.RUNNING, None, None, None
        run.interrupted = False
        context.pending_children = list(run.nested_runs)
        restore_typed_outputs(runnable.output_schemas, [run])
    if (turn := context.enclosing_turn) is not None:
        # One state for the whole turn. What a member's own would begin with is there where nobody has set it yet.
        context.session_state = turn.session_state
        context.initial_state = revert(turn.copy_state(), run.state_changes)
        for key, value in merge_state(runnable.session_state, options.get("session_state")).items():
            context.session_state.setdefault(key, value)
    else:
        stored = opened.session.session_state if context.db is not None else run.session_state
        context.session_state = merge_state(runnable.session_state, stored, options.get("session_state"))
        context.initial_state = revert(stored, run.state_changes)
    run.session_state = context.session_state


async def _open_when_free(context: RunContext, query: ContextQuery) -> OpenedRun:
    """Open the run when no other process does a turn of its session."""
    run, warn_at = context.run, time.monotonic() + _WARN_AFTER_S
    while True:
        if context.continuation is None and not context.is_nested:
            # The turn begins now, after whatever it had to wait for.
            run.created_at = context.message.created_at = now()
        try:
            # A run that is stored must also be ended, so an interrupt takes effect when it is known to be open.
            return await context.in_store(_store_open, context, query)
        except SessionBusyError as busy:
            if time.monotonic() >= warn_at:
                warn_at = math.inf
                warnings.warn(f"waiting for another turn to end: {busy}", stacklevel=1)
            await asyncio.sleep(_POLL_S)


def _store_open(context: RunContext, query: ContextQuery) -> OpenedRun:
    db, run = context.db, context.run
    assert db is not None
    if context.continuation is not None:
        return _store_reopen(db, run, query)
    return db.open_run(
        run,
        context.to_persisted([context.message]),
        session=context.session,
        nested=context.is_nested,
        # What was said before is still marked as said in that run.
        partial_of=context.partial_messages[0].run_id if context.partial_messages else None,
        query=query,
    )


def _store_reopen(db: Db, run: RunOutput, query: ContextQuery) -> OpenedRun:
    """Reopen a run, and store with that which approved calls start now.

    If the process that started a call has died, it is unknown whether the call was executed: a person is asked.
    """
    approved = [
        each
        for each in run.requirements
        if each.run_id == run.run_id and each.kind != "external_execution" and each.confirmed is not False
        if each.is_resolved and not each.tool.is_finished
    ]
    interrupted = [each for each in approved if each.started_at is not None]
    starting = [each for each in approved if each.started_at is None]
    for each in starting:
        each.started_at = now()
    try:
        opened = db.reopen_run(run, query=query)
    except BaseException:
        for each in starting:
            each.started_at = None
        raise
    for each in interrupted:
        each.ask_again()
    return opened


async def _run_to_end(runnable: Runnable, context: RunContext, opened: OpenedRun) -> RunOutput:
    run = context.run
    task = asyncio.current_task()
    if context.parent is not None and task is not None:
        context.parent.child_tasks.add(task)
    started = time.perf_counter()
    failure: BaseException | None = None
    # The time for which a run was paused is not part of its duration.
    before_s = run.metrics.duration_s or 0.0 if context.continuation is not None else 0.0
    try:
        _prepare_context(runnable, context, opened)
        context.emit(RunEvent.run_started if context.continuation is None else RunEvent.run_continued)
        await resolve_dependencies(runnable, context)
        await runnable.run_steps(context)
        run.metrics = _total_metrics(run)
        if run.status is RunStatus.RUNNING:
            run.status = RunStatus.COMPLETED
    except asyncio.CancelledError as cancelled:
        run.status, failure = RunStatus.CANCELLED, cancelled
    except BaseException as error:
        # KeyboardInterrupt and SystemExit too: they would stop the event loop of all runs.
        if is_closing(error):
            _end_closed(context)
            raise
        failure = _as_run_error(error, run)
    _keep_partial_message(context)
    if failure is not None:
        with suppress(Exception):  # A model may report counts that cannot be added up.
            run.metrics = _total_metrics(run)
    run.metrics.duration_s = before_s + time.perf_counter() - started
    try:
        await _store_end(context)
    except AgnoNbError as unstored:
        unstored.run_output = run
        raise unstored from failure
    finally:
        # Only now: a parent that is cancelled waits until its children are stored.
        if context.parent is not None and task is not None:
            context.parent.child_tasks.discard(task)
    context.emit(_FINAL_EVENTS[run.status], content=run.get_content_as_string(), run_output=run)
    if failure is not None:
        raise failure
    return run


def _end_closed(context: RunContext) -> None:
    """End a run whose coroutine is being closed and cannot await anything: in the background, while the loop runs."""
    run = context.run
    run.status, run.ended_at = RunStatus.ERROR, now()
    run.error_type, run.error = "GeneratorExit", ""
    if context.db is not None:
        with suppress(RuntimeError):
            keep(context.pop_end(None), StoreError("the run was closed before its end was stored"))


_FINAL_EVENTS = {
    RunStatus.COMPLETED: RunEvent.run_completed,
    RunStatus.PAUSED: RunEvent.run_paused,
    RunStatus.CANCELLED: RunEvent.run_cancelled,
    RunStatus.ERROR: RunEvent.run_error,
}


def _as_run_error(error: BaseException, run: RunOutput) -> AgnoNbError:
    """End `run` with `error`, and return that as one of our errors."""
    if (unsaved := failed_save(error)) is not None:
        error = unsaved
    elif len(parts := list(leaves(error))) == 1:
        error = parts[0]
    if run.status is RunStatus.PAUSED and isinstance(error, StoreError):
        # It still waits for a person, and can be continued when the store works again.
        error.run_output = run
        return error
    run.status = RunStatus.ERROR
    run.error_type, run.error = type(error).__name__, message_of(error)
    if isinstance(error, AgnoNbError):
        run_error = error
        if run_error.run_output is not None and run_error.run_output.error is not None:
            run.error_type, run.error = run_error.run_output.error_type, run_error.run_output.error
    else:
        # Of a run that was continued, a step that failed before may have been done since.
        latest = {step.path: step.status for step in run.step_results}
        where = next((f" in step {path!r}" for path, status in latest.items() if status is StepStatus.ERROR), "")
        run_error = RunError(f"the run failed{where}: {describe(error)}")
        run_error.__cause__ = error
    # An error of a run nested in this one is this one's now; the nested run is among its `nested_runs`.
    run_error.run_output = run
    return run_error


def _keep_partial_message(context: RunContext) -> None:
    partial, context.partial = context.partial, None
    if partial is None or not (partial.content or partial.reasoning_content):
        return
    partial.finish_reason = "interrupted"
    context.add_message(partial)
    context.run.content = partial.content
    context.run.reasoning_content = partial.reasoning_content


def _total_metrics(run: RunOutput) -> Metrics:
    calls = [m.metrics for m in run.messages if m.role == "assistant" and m.metrics and not m.from_history]
    total = Metrics.total(calls)
    total.time_to_first_token_s = next((m.time_to_first_token_s for m in calls), None)
    return total


async def _store_end(context: RunContext) -> None:
    """Store how the run ended, once the runs nested in it have done so, whatever happens meanwhile."""
    if context.child_tasks:
        for child in context.child_tasks:
            child.cancel()
        # A copy: each of them leaves the set when it has ended.
        await uncancellable(asyncio.wait([*context.child_tasks]))
    run = context.run
    # The clock may have been set back since the run began.
    run.ended_at = max(now(), run.created_at, context.latest_at + 1e-6)
    # A copy: a tool that has timed out may still be changing the state in its thread.
    state, earlier_changes = context.copy_state(), run.state_changes
    context.record_state_changes(state)
    if context.db is None:
        return
    end = context.pop_end(None if context.is_nested else state)
    try:
        await context.in_store(end.store)
    except SessionNotFoundError:
        raise
    except Exception as error:
        if is_store_failure(error):
            keep(end, error)
            if not isinstance(error, StoreLocked):
                await store_unstored(context.db)
            raise
        # A value cannot be stored, most likely one of the state. The run must not stay open because of it, and the
        # user must hear of it.
        run.status, run.state_changes = RunStatus.RUNNING, earlier_changes
        failure = _as_run_error(error, run)
        end.run.status, end.run.error_type, end.run.error = run.status, run.error_type, run.error
        end.run.state_changes, end.session_state = earlier_changes, None
        await _store_failed_end(context, end)
        raise failure from failure.__cause__


async def _store_failed_end(context: RunContext, end: RunEnd) -> None:
    """Store the end of a run that failed, or else as much of it as the store takes."""
    try:
        try:
            await context.in_store(end.store)
        except Exception as error:
            if is_store_failure(error):
                raise
            await context.in_store(end.store_parts, error)
    except StoreError as error:
        keep(end, error)
