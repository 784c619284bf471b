"""The one pipeline: open a run in the store, run its steps, store how it ended.

:func:`execute` does everything that is the same for agents, teams and workflows, sync and async, streamed and plain:
IDs, ownership, order, history, nesting, status, metrics and storage. Subclasses of ``Runnable`` implement `run_steps`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from agno_nb.db.base import Db, OpenedRun
from agno_nb.db.encoding import check_ids
from agno_nb.db.model_usage import details_of_run
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
    is_store_failure,
    message_of,
)
from agno_nb.event_loop import is_closing, uncancellable
from agno_nb.redact import warn
from agno_nb.run import cancel, defaults
from agno_nb.run.background_tasks import QueueKey, schedule, wait_for, when_updated
from agno_nb.run.context import (
    MAX_DEPTH,
    Emit,
    RunContext,
    SessionState,
    current_run,
    current_step,
    current_tool_call_id,
    make_event,
    resolve_dependencies,
)
from agno_nb.run.continue_run import find_earlier_child, interrupted_call_ids, store_of_run, store_reopen
from agno_nb.run.failures import as_run_error, end_closed
from agno_nb.run.inputs import media_of
from agno_nb.run.options import RunOptions, first_set
from agno_nb.run.output_schema import restore_typed_outputs
from agno_nb.run.recorder import RunRecorder, keep, store_unstored
from agno_nb.run.session_lock import SessionLock, waiting_for
from agno_nb.types import (
    SESSION_CLASSES,
    CellInfo,
    Message,
    Metrics,
    RunEvent,
    RunOutput,
    RunOutputEvent,
    RunStatus,
    TeamRunEvent,
    new_id,
    now,
    whole_number,
)

if TYPE_CHECKING:
    from agno_nb.run.runnable import Runnable

_POLL_S = 0.1
"""Seconds between two checks whether another process has finished its turn."""
_WARN_AFTER_S = 2.0
"""Seconds of waiting for another process after which a warning names it."""

_session_locks: WeakValueDictionary[tuple[str, str], SessionLock] = WeakValueDictionary()


async def execute(
    runnable: Runnable,
    text: str,
    options: RunOptions,
    emit_to: Emit,
    paused_run: RunOutput | None = None,
    partial_messages: Sequence[Message] = (),
) -> RunOutput:
    """Run `runnable` on `text` until it ends or pauses. Runs on the background loop.

    Parameters
    ----------
    paused_run : RunOutput, optional
        The run to continue, instead of starting a new one.
    partial_messages : sequence of Message, optional
        Partial output of an earlier attempt, which the new run starts from.

    Raises
    ------
    RunError, SessionOwnershipError, StoreError
        As in ``Runnable.run()``.
    RunLimitError, RunNotContinuableError
        The run is nested too deeply, or the run to continue is no longer paused. Nothing was stored.
    NestedRunPaused
        The run was started by a tool or a step, and has paused.
    asyncio.CancelledError
        The run was cancelled, and not by ``cancel_run()``. It is stored with status CANCELLED.
    """
    if (parent := current_run.get()) is not None:
        _check_parent(runnable, parent)
        if parent.is_continued and paused_run is None:
            paused_run = await find_earlier_child(runnable, text, parent)
            if paused_run is not None and paused_run.status is RunStatus.COMPLETED:
                content = _final_content(paused_run)
                emit_to(make_event(paused_run, RunEvent.run_completed, content=content, run_output=paused_run))
                return paused_run
    context = _make_context(runnable, text, options, emit_to, paused_run)
    if paused_run is None:
        runnable.describe_run(context)
    if partial_messages:
        context.partial_messages = list(partial_messages)
        calls = [call for message in partial_messages for call in message.tool_calls]
        context.interrupted_call_ids |= {call.tool_call_id for call in calls if not call.is_finished}
    async with _session_lock(context):
        opened = await _open_run(runnable, context)
        with _as_current_run(context):
            run = await _run_to_end(runnable, context, opened)
        _schedule_background_tasks(runnable, context)
    if run.status is RunStatus.PAUSED and parent is not None and (current_tool_call_id.get() or current_step.get()):
        raise NestedRunPaused(run)
    return run


def _check_parent(runnable: Runnable, parent: RunContext) -> None:
    name = runnable.name or runnable.kind
    if parent.run.status is not RunStatus.RUNNING:
        raise RunError(f"cannot run {name} inside run {parent.run_id!r}: that run has ended")
    if len(parent.outer_runs) >= MAX_DEPTH:
        raise RunLimitError(
            f"cannot run {name} more than {MAX_DEPTH} levels below run {parent.root.run_id!r}; "
            "check if agents, teams or workflows call each other without end"
        )


@contextmanager
def _as_current_run(context: RunContext) -> Iterator[None]:
    run, tool_call_id, step = current_run.set(context), current_tool_call_id.set(None), current_step.set(None)
    try:
        yield
    finally:
        current_run.reset(run)
        current_tool_call_id.reset(tool_call_id)
        current_step.reset(step)


def _schedule_background_tasks(runnable: Runnable, context: RunContext) -> None:
    """Start the background tasks of a turn. Tasks of a nested run wait for the end of its turn.

    A turn that pauses starts them too, because its completed nested runs are not run again.
    """
    run, turn = context.run, context.enclosing_turn
    if run.status is RunStatus.COMPLETED:
        context.background_tasks += runnable.background_tasks(context)
    if turn is not None:
        turn.background_tasks += context.background_tasks
    elif run.status in (RunStatus.COMPLETED, RunStatus.PAUSED):
        schedule(context.background_tasks)


def _make_context(
    runnable: Runnable, text: str, options: RunOptions, emit_to: Emit, paused_run: RunOutput | None
) -> RunContext:
    parent = current_run.get()
    db = store_of_run(runnable, parent)
    if db is not None:
        # The state is stored only at the end. Fail before the model costs anything.
        runnable.check_storable(options)
    num_generated = len(runnable._automatic_session_ids)
    run = paused_run or new_run(runnable, text, options, parent, db)
    turn = parent
    while turn is not None and not (turn.db is db and turn.session_id == run.session_id):
        turn = turn.parent
    if turn is not None and paused_run is None:
        run.root_run_id = turn.run.root_run_id
    if parent is not None:
        parent.add_child(run)
    query = runnable.context_query(options)
    if run.metadata is not None and isinstance(source := run.metadata.get("forked_from_run_index"), int):
        query = replace(query, before_run_index=source)
    user_message = None
    if paused_run is not None:
        user_message = next((each for each in run.messages if each.role == "user" and not each.from_history), None)
    session = SESSION_CLASSES[runnable.kind](
        session_id=run.session_id,
        session_type=runnable.kind,
        user_id=run.user_id,
        component_id=run.component_id,
        metadata=runnable.metadata,
    )
    outer = parent if turn is not None else None
    recorder = RunRecorder(
        run=run,
        db=db,
        persisted_form=runnable.to_persisted,
        stores_messages=outer is None or (outer.recorder.stores_messages and outer.stores_nested),
        stores_media=runnable.store_media and (outer is None or outer.recorder.stores_media),
    )
    return RunContext(
        run=run,
        message=user_message or Message(role="user", content=text, media=media_of(options), run_id=run.run_id),
        options=options,
        recorder=recorder,
        query=query,
        opened=OpenedRun(session=session),
        emit_to=_keeping_events(run, runnable.events_to_skip, emit_to) if runnable.store_events else emit_to,
        db=db,
        parent=parent,
        enclosing_turn=turn,
        is_new_session=len(runnable._automatic_session_ids) > num_generated,
        is_continued=paused_run is not None,
        interrupted_call_ids=interrupted_call_ids(run) if paused_run is not None else frozenset(),
        dependencies={**(runnable.dependencies or {}), **(options.get("dependencies") or {})},
    )


def _keeping_events(run: RunOutput, skipped: Sequence[str] | None, emit_to: Emit) -> Emit:
    """Return a listener that adds events to those of `run` and forwards them."""
    run.events = events = run.events or []
    names = {str(each) for each in ((RunEvent.run_content, TeamRunEvent.run_content) if skipped is None else skipped)}

    def keep_and_forward(event: RunOutputEvent) -> None:
        if event.event not in names:
            events.append(event)
        emit_to(event)

    return keep_and_forward


def new_run(runnable: Runnable, text: str, options: RunOptions, parent: RunContext | None, db: Db | None) -> RunOutput:
    """Create a run. Its session is named by the call, the runnable or the parent run, or else created automatically."""
    # "" is not the same as None: it matches no user, and a run with it is rejected.
    default_user_id = runnable.current_user_id if parent is None else parent.user_id
    user_id = first_set(options.get("user_id"), runnable.user_id, default_user_id)
    parent_session_id = parent.session_id if parent is not None and db is parent.db else None
    session_id = first_set(options.get("session_id"), runnable.session_id, parent_session_id)
    if session_id is None:
        session_id = runnable.automatic_session_id(user_id)
    check_ids(user_id=user_id, session_id=session_id, run_id=options.get("run_id"))
    whole_number("num_history_runs", options.get("num_history_runs"), least=0)
    metadata = options.get("metadata") or runnable.metadata
    if metadata and runnable.metadata:
        metadata = merge_state(runnable.metadata, metadata)
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
        metadata=metadata,
        variables=list(options.get("variables") or ()),
        origin=options.get("origin") or (parent.run.origin if parent else CellInfo()),
    )


def _session_lock(context: RunContext) -> AbstractAsyncContextManager[Any]:
    """Return the lock that makes the turns of a session run one after the other in this process."""
    if context.db is None or context.enclosing_turn is not None:
        return nullcontext()
    lock = _session_locks.setdefault((context.db.identity, context.session_id), SessionLock())
    return waiting_for(lock, context.session_id) if lock.locked() else lock


async def _open_run(runnable: Runnable, context: RunContext) -> OpenedRun:
    """Open the run in the store, and return the session with the context that the store has of it."""
    run = context.run
    if context.is_continued and not runnable.is_continuable(run):
        raise RunNotContinuableError(f"run {run.run_id!r} has been continued elsewhere and is now {run.status}")
    if context.db is None:
        return context.opened
    if not context.is_continued and context.enclosing_turn is None:
        needed = [QueueKey.summary(context.db, run.session_id)]
        if context.query.memories and run.user_id is not None:
            needed.append(QueueKey.memories(context.db, run.user_id))
        await wait_for(*needed)
    # With an uncontended store and a model that answers at once, consecutive runs would never yield to the loop.
    await asyncio.sleep(0)
    await store_unstored(context.db, needed=run)
    try:
        if context.introduction is not None:
            await _introduce(context, context.introduction)
        # From here on the run is RUNNING in the store, so nothing more may fail outside of `_run_to_end`.
        return await _open_when_free(context)
    except StoreError as error:
        error.run_output = run
        if not context.is_continued:  # A paused run stays paused and can be continued later.
            run.status, run.ended_at = RunStatus.ERROR, now()
            run.error_type, run.error = type(error).__name__, message_of(error)
            # The store may have committed the row before it failed.
            keep(context.recorder, error)
        raise


def _prepare_context(runnable: Runnable, context: RunContext, opened: OpenedRun) -> None:
    """Set the session, its history and the state that the run starts with."""
    run, options, recorder = context.run, context.options, context.recorder
    runnable._last_session_ids |= {run.user_id: run.session_id, None: run.session_id}
    if context.parent is None and context.db is not None and defaults.of_notebook is not None:
        defaults.of_notebook().note_run(runnable, run)
    context.opened, recorder.base_state = opened, opened.session.session_state
    if context.is_continued:
        run.status, run.ended_at, run.error_type, run.error = RunStatus.RUNNING, None, None, None
        run.interrupted = False
        if metadata := options.get("metadata"):
            run.metadata = merge_state(run.metadata, metadata)
        context.pending_children = list(run.nested_runs)
        restore_typed_outputs(runnable.output_schemas, [run])
    if (turn := context.enclosing_turn) is not None:
        # A turn has one state. The runnable's own session_state only sets keys that the turn's state does not have.
        context.session_state = turn.session_state
        recorder.initial_state = revert(turn.copy_state(), run.state_changes)
        for key, value in merge_state(runnable.session_state, options.get("session_state")).items():
            context.session_state.setdefault(key, value)
    else:
        stored = opened.session.session_state if context.db is not None else run.session_state
        kept = {} if runnable.overwrite_db_session_state else stored
        state = merge_state(runnable.session_state, kept, options.get("session_state"))
        context.session_state = SessionState(state, run)
        recorder.initial_state = revert(stored, run.state_changes)
    run.session_state = context.session_state


async def _open_when_free(context: RunContext) -> OpenedRun:
    """Open the run, waiting while another process executes a turn of the session."""
    run, warn_at = context.run, time.monotonic() + _WARN_AFTER_S
    while True:
        if not context.is_continued and context.enclosing_turn is None:
            # The turn starts now, after any waiting.
            run.created_at = context.message.created_at = now()
            context.started = time.perf_counter()
        try:
            # A stored run must also be ended, so a cancellation takes effect only when the run is known to be open.
            return await _open_now(context)
        except SessionBusyError as busy:
            if time.monotonic() >= warn_at:
                warn_at = math.inf
                warn(f"waiting for another turn to end: {busy}")
            await asyncio.sleep(_POLL_S)


async def _introduce(context: RunContext, text: str) -> None:
    """Store the assistant's first message of a session as a turn, if the session does not exist yet."""
    db = context.db
    assert db is not None
    if not context.is_new_session and await asyncio.to_thread(db.get_session, context.session_id) is not None:
        return
    message = Message(role="assistant", content=text)
    run = replace(
        context.run, run_id=new_id(), root_run_id="", input="", content=text, messages=[message], variables=[]
    )
    run.created_at = message.created_at
    recorder = RunRecorder(run=run, db=db, persisted_form=context.recorder.persisted_form)
    session, is_new = context.session, context.is_new_session
    await recorder.write(
        db.open_run, run, recorder.to_persisted([message]), session=session, nested=False, is_new_session=is_new
    )
    run.status, run.ended_at, context.is_new_session = RunStatus.COMPLETED, now(), False
    await recorder.store_end()


async def _open_now(context: RunContext) -> OpenedRun:
    db, run, recorder = context.db, context.run, context.recorder
    assert db is not None
    if context.is_continued:
        return await recorder.in_store(store_reopen, db, run, context.query)
    return await recorder.write(
        db.open_run,
        run,
        recorder.to_persisted([] if context.stores_message_later else [context.message]),
        session=context.session,
        nested=context.enclosing_turn is not None,
        # The partial messages still have the ID of the run that they come from.
        partial_of=context.partial_messages[0].run_id if context.partial_messages else None,
        query=context.query,
        is_new_session=context.is_new_session,
    )


async def _run_to_end(runnable: Runnable, context: RunContext, opened: OpenedRun) -> RunOutput:
    run = context.run
    task = asyncio.current_task()
    if context.parent is not None and task is not None:
        context.parent.child_tasks.add(task)
    failure: BaseException | None = None
    if context.is_continued:
        # The duration of a run does not include its pauses.
        context.started = time.perf_counter() - (run.metrics.duration_s or 0.0)
    try:
        _prepare_context(runnable, context, opened)
        context.emit(RunEvent.run_continued if context.is_continued else RunEvent.run_started)
        cancel.start(run.run_id, is_continued=context.is_continued)
        await resolve_dependencies(runnable, context)
        await runnable.run_steps(context)
        run.metrics = _total_metrics(run)
        if run.status is RunStatus.RUNNING:
            run.status = RunStatus.COMPLETED
    except asyncio.CancelledError as cancelled:
        run.status, failure = RunStatus.CANCELLED, cancelled
    except BaseException as error:
        # Includes KeyboardInterrupt and SystemExit, which would stop the event loop of all runs.
        if is_closing(error):
            end_closed(context)
            raise
        failure = as_run_error(error, run)
    finally:
        is_cancelled = cancel.end(run.run_id)
    context.recorder.keep_partial()
    if failure is not None:
        if context.stores_message_later and all(each is not context.message for each in run.messages):
            context.recorder.add_message(context.message)
        with suppress(Exception):  # A custom model may report counts that cannot be added up.
            run.metrics = _total_metrics(run)
    try:
        await _store_end(context)
    except AgnoNbError as unstored:
        unstored.run_output = run
        raise unstored from failure
    finally:
        # Not earlier, because a cancelled parent waits until its children are stored.
        if context.parent is not None and task is not None:
            context.parent.child_tasks.discard(task)
    context.emit(RunEvent[f"run_{run.status.lower()}"], content=_final_content(run), run_output=run)
    if is_cancelled and isinstance(failure, asyncio.CancelledError):
        if task is not None:
            task.uncancel()
        return run
    if failure is not None:
        raise failure
    return run


def _final_content(run: RunOutput) -> Any:
    return "" if run.content is None else run.content


def _total_metrics(run: RunOutput) -> Metrics:
    calls = [m.metrics for m in run.messages if m.role == "assistant" and m.metrics and not m.from_history]
    total = Metrics.total(calls)
    if calls:
        total.time_to_first_token_s = calls[0].time_to_first_token_s
    return total


async def _store_end(context: RunContext) -> None:
    """Store the end of the run after the ends of its nested runs, even if the run is cancelled."""
    if context.child_tasks:
        for child in context.child_tasks:
            child.cancel()
        # A copy, because each task is removed from the set when it ends.
        await uncancellable(asyncio.wait([*context.child_tasks]))
    run, recorder = context.run, context.recorder
    # The clock may have been set back since the run started.
    run.ended_at = max(now(), run.created_at, recorder.latest_at + 1e-6)
    run.metrics.duration_s = time.perf_counter() - context.started
    of_run = run.messages, run.model, run.served_model, run.model_provider, context.db, run.run_id
    run.metrics.source = when_updated, context.db, run.session_id, run.user_id, details_of_run, *of_run
    # A copy, because a tool that timed out may still be changing the state in its thread.
    state, earlier_changes = context.copy_state(), run.state_changes
    recorder.record_state_changes(state)
    if context.db is None:
        return
    recorder.final_state = state if context.enclosing_turn is None else None
    try:
        await recorder.store_end()
    except SessionNotFoundError:
        raise
    except Exception as error:
        if is_store_failure(error):
            keep(recorder, error)
            if not isinstance(error, StoreLocked):
                await store_unstored(context.db)
            raise
        # A value cannot be stored, most likely one in the state. The run must still be closed, and the error raised.
        run.status, run.state_changes = RunStatus.RUNNING, earlier_changes
        failure = as_run_error(error, run)
        recorder.final_state = None
        try:
            await recorder.in_store(recorder.store_accepted_parts)
        except StoreError as unstored:
            keep(recorder, unstored)
        raise failure from failure.__cause__
