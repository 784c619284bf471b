"""The one pipeline: open a run, take its steps, store how it ended.

``execute`` owns everything that is the same for agents, teams and workflows, sync and async, streamed and plain:
ids, ownership, order, history, nesting, status, metrics and saving. A runnable writes only ``answer``.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict
from weakref import WeakValueDictionary

from agno_nb._loop import uncancellable
from agno_nb.db.async_db import as_sync
from agno_nb.db.base import Db, OpenedRun
from agno_nb.errors import AgnoNbError, InvalidInputError, RunError
from agno_nb.run.background import Line, begin, settled
from agno_nb.run.context import merged_state
from agno_nb.types import (
    SESSION_CLASSES,
    JsonDict,
    Media,
    Message,
    Metrics,
    Origin,
    RunEvent,
    RunOutput,
    RunOutputEvent,
    RunStatus,
    Session,
    SessionSummary,
    ToolCall,
    UserMemory,
    new_id,
)

if TYPE_CHECKING:
    from agno_nb.models.base import Model
    from agno_nb.run.runnable import Runnable

Emit = Callable[[RunOutputEvent], None]

origin_of_call: Callable[[], Origin] = Origin
"""Says which cell asks for a run. The notebook replaces it when it is loaded."""


class RunOptions(TypedDict, total=False):
    """What may be said at the call, and then counts for that run instead of what the agent says."""

    user_id: str | None
    """Who is talking. The session belongs to them."""
    session_id: str | None
    """The conversation to go on with, or to begin."""
    session_state: JsonDict | None
    """Merged over the stored state, key by key."""
    run_id: str | None
    """Id for the new run."""
    run_index: int | None
    """The turn to try again. What came after it is not in the context; the new attempt supersedes the old one."""
    metadata: JsonDict | None
    """Stored with the run."""
    dependencies: JsonDict | None
    """Objects that tools can reach as ``run_context.dependencies``. Never stored."""
    add_history_to_context: bool | None
    num_history_runs: int | None
    output_schema: Any
    """A pydantic model or JSON schema that the answer must follow."""
    images: Sequence[Media] | None
    audio: Sequence[Media] | None
    videos: Sequence[Media] | None
    files: Sequence[Media] | None
    origin: Origin | None
    """The notebook cell that asks, where it is not the one that is running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedBy:
    """What in a run asks for a nested one."""

    tool_call_id: str | None = None
    step: str | None = None


@dataclass(kw_only=True)
class RunContext:
    """A run while it goes on: what its steps work with, and what a tool gets as ``run_context``."""

    run: RunOutput
    message: Message
    """The user's."""
    options: RunOptions
    emit_to: Emit
    db: Db | None = None
    parent: RunContext | None = None
    is_nested: bool = False
    """Whether the run is part of a turn of the same session, not a turn of its own."""
    session: Session
    session_state: JsonDict = field(default_factory=dict)
    """The session's state. Tools change it in place; it is stored when the run ends."""
    history: list[Message] = field(default_factory=list)
    summary: SessionSummary | None = None
    """Of what `history` does not show."""
    memories: list[UserMemory] = field(default_factory=list)
    """What is remembered of the user."""
    dependencies: JsonDict = field(default_factory=dict)
    partial: Message | None = None
    """The answer that is arriving. It is kept if the run is cut off."""
    unsaved: list[Message] = field(default_factory=list)
    children: set[asyncio.Task[Any]] = field(default_factory=set)

    stored: Callable[[Message], Message | None] = lambda message: message
    """What is stored of a message."""
    is_stored: bool = True
    """Whether what is said in it is stored. Its row, with tokens and times, is in any case."""
    stores_nested: bool = True
    """The same of the runs nested in it."""
    lends: Model | None = None
    """The model by which nested runs answer that have none of their own."""

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def session_id(self) -> str:
        return self.run.session_id

    @property
    def run_index(self) -> int | None:
        """The turn that the run is, or is a part of."""
        turn = _turn_of(self.parent, self.db, self.session_id)
        return self.run.run_index if turn is None else turn.run_index

    @property
    def user_id(self) -> str | None:
        return self.run.user_id

    @property
    def metadata(self) -> JsonDict | None:
        return self.run.metadata

    def emit(
        self,
        event: RunEvent,
        *,
        content: str | None = None,
        reasoning_content: str | None = None,
        tool: ToolCall | None = None,
        run_output: RunOutput | None = None,
    ) -> None:
        """Tell whoever listens, and whoever listens to the run that this one is nested in."""
        self.pass_on(
            RunOutputEvent(
                event=event,
                run_id=self.run.run_id,
                session_id=self.run.session_id,
                parent_run_id=self.run.parent_run_id,
                component_name=self.run.component_name,
                content=content,
                reasoning_content=reasoning_content,
                tool=tool,
                run_output=run_output,
            )
        )

    def pass_on(self, event: RunOutputEvent) -> None:
        self.emit_to(event)
        if self.parent is not None:
            self.parent.pass_on(event)

    def add(self, message: Message) -> None:
        """Put a message that was said in this run at the end of it. It is stored by the next :meth:`save`."""
        self.run.messages.append(message)
        self.store(message)

    def store(self, message: Message) -> None:
        """Have the next :meth:`save` store a message that is in its place in the run already."""
        message.run_id = self.run.run_id
        self.unsaved.append(message)

    def take_unsaved(self) -> list[Message]:
        """Return the messages that are new, as they are to be stored."""
        messages, self.unsaved = self.unsaved, []
        return self.storable(messages)

    def storable(self, messages: Iterable[Message]) -> list[Message]:
        """Return what is stored of messages."""
        return [kept for message in messages if self.is_stored and (kept := self.stored(message)) is not None]

    async def save(self) -> None:
        """Store the messages that are new."""
        messages = self.take_unsaved()
        if self.db is not None and messages:
            await uncancellable(asyncio.to_thread(self.db.add_messages, self.run, messages))


current_run: contextvars.ContextVar[RunContext | None] = contextvars.ContextVar("agno_nb_run", default=None)
"""The run in which the code that asks is executed. Threads of tools have it too."""

asked_by: contextvars.ContextVar[AskedBy] = contextvars.ContextVar("agno_nb_asked_by", default=AskedBy())  # noqa: B039
"""Which tool call or step of that run is being done."""

_turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()


async def execute(runnable: Runnable, text: str, options: RunOptions, emit_to: Emit) -> RunOutput:
    """Run `runnable` on `text` to its end. Runs on the background loop.

    Raises
    ------
    RunError
        The run failed. It is stored, and the error's ``run_output`` holds what was said so far.
    SessionOwnershipError
        The session belongs to another user. Nothing was stored.
    StoreError
        The run could not be stored.
    asyncio.CancelledError
        The run was cancelled. It is stored with status CANCELLED.
    """
    parent = current_run.get()
    if parent is not None and parent.run.status is not RunStatus.RUNNING:
        raise RunError(f"{runnable.name or runnable.kind} was asked to run inside run {parent.run_id}, which has ended")
    context = _context(runnable, text, options, emit_to)
    async with _turn(context):
        await _open(runnable, context)
        if parent is not None:
            parent.run.children.append(context.run)
        run_token, asked_token = current_run.set(context), asked_by.set(AskedBy())
        try:
            run = await _answer(runnable, context)
        finally:
            current_run.reset(run_token)
            asked_by.reset(asked_token)
        if run.status is RunStatus.COMPLETED and not context.is_nested:
            begin(runnable.follow_ups(context))
        return run


def _context(runnable: Runnable, text: str, options: RunOptions, emit_to: Emit) -> RunContext:
    parent = current_run.get()
    db = as_sync(runnable.db) or (parent.db if parent else None)
    user_id = options.get("user_id") or runnable.user_id or (parent.user_id if parent else None)
    session_id = options.get("session_id") or runnable.session_id
    if session_id is None and parent is not None and db is parent.db:
        session_id = parent.session_id
    if session_id is None:
        session_id = runnable.automatic_session_id(user_id)
    turn = _turn_of(parent, db, session_id)
    run = RunOutput(
        run_id=options.get("run_id") or new_id(),
        session_id=session_id,
        user_id=user_id,
        parent_run_id=parent.run_id if parent else None,
        parent_tool_call_id=asked_by.get().tool_call_id,
        root_run_id=turn.run.root_run_id if turn else "",
        step=asked_by.get().step,
        kind=runnable.kind,
        component_id=runnable.component_id,
        component_name=runnable.name,
        run_index=options.get("run_index"),
        input=text,
        metadata=options.get("metadata") or runnable.metadata,
        origin=options.get("origin") or (parent.run.origin if parent else Origin()),
    )
    return RunContext(
        run=run,
        message=Message(role="user", content=text, media=_media(options), run_id=run.run_id),
        options=options,
        stored=runnable.stored,
        is_stored=turn is None or parent is None or (parent.is_stored and parent.stores_nested),
        emit_to=emit_to,
        db=db,
        parent=parent,
        is_nested=turn is not None,
        session=SESSION_CLASSES[runnable.kind](
            session_id=session_id,
            session_type=runnable.kind,
            user_id=user_id,
            component_id=runnable.component_id,
        ),
        dependencies={**(runnable.dependencies or {}), **(options.get("dependencies") or {})},
    )


def _media(options: RunOptions) -> list[Media]:
    given = (options.get("images"), options.get("audio"), options.get("videos"), options.get("files"))
    return [media for several in given for media in several or ()]


def _turn_of(ancestor: RunContext | None, db: Db | None, session_id: str) -> RunContext | None:
    """Return the nearest run of the same session in which one is nested, or None: it is a turn of its own."""
    while ancestor is not None and not (ancestor.db is db and ancestor.session_id == session_id):
        ancestor = ancestor.parent
    return ancestor


def _turn(context: RunContext) -> AbstractAsyncContextManager[Any]:
    """Wait until the earlier runs of the session in this process have ended, and make later ones wait."""
    if context.db is None or context.is_nested:
        return nullcontext()
    key = context.db.identity, context.session_id
    lock = _turns.get(key)
    if lock is None:
        lock = _turns[key] = asyncio.Lock()
    return lock


async def _open(runnable: Runnable, context: RunContext) -> None:
    run, options = context.run, context.options
    opened = OpenedRun(session=context.session)
    if context.db is not None:
        query = runnable.context_query(options)
        if not context.is_nested:
            needed = [Line.summary(context.db, run.session_id)]
            if query.memories and run.user_id is not None:
                needed.append(Line.memories(context.db, run.user_id))
            await settled(*needed)
            # The turn begins now, after whatever it had to wait for.
            run.created_at = context.message.created_at = time.time()
        # A run that is stored must also be ended, so an interrupt takes effect when it is known to be open.
        opened = await uncancellable(
            asyncio.to_thread(
                context.db.open_run,
                run,
                context.storable([context.message]),
                session=context.session,
                nested=context.is_nested,
                query=query,
            )
        )
    runnable._last_session_id = run.session_id
    context.session, context.history = opened.session, opened.history
    context.summary, context.memories = opened.summary, opened.memories
    turn = _turn_of(context.parent, context.db, run.session_id)
    if turn is not None:
        # One state for the whole turn. What a member's own would begin with is there where nobody has set it yet.
        context.session_state = turn.session_state
        for key, value in merged_state(runnable.session_state, options.get("session_state")).items():
            context.session_state.setdefault(key, value)
    else:
        stored = opened.session.session_state
        context.session_state = merged_state(runnable.session_state, stored, options.get("session_state"))
    run.session_state = context.session_state


async def _answer(runnable: Runnable, context: RunContext) -> RunOutput:
    run = context.run
    task = asyncio.current_task()
    if context.parent is not None and task is not None:
        context.parent.children.add(task)
    started = time.perf_counter()
    failure: BaseException | None = None
    context.emit(RunEvent.run_started)
    try:
        await runnable.answer(context)
        if run.status is RunStatus.RUNNING:
            run.status = RunStatus.COMPLETED
    except asyncio.CancelledError as cancelled:
        run.status, failure = RunStatus.CANCELLED, cancelled
    except Exception as error:
        run.status, failure = RunStatus.ERROR, _as_ours(error, run)
    _keep_partial(context)
    run.metrics = _metrics(run, time.perf_counter() - started)
    try:
        await uncancellable(_store_end(context))
    except AgnoNbError as unstored:
        unstored.run_output = run
        raise unstored from failure
    finally:
        # Only now: a parent that is cancelled waits until its children are stored.
        if context.parent is not None and task is not None:
            context.parent.children.discard(task)
    context.emit(_FINAL_EVENTS[run.status], content=run.get_content_as_string(), run_output=run)
    if failure is not None:
        raise failure
    return run


_FINAL_EVENTS = {
    RunStatus.COMPLETED: RunEvent.run_completed,
    RunStatus.PAUSED: RunEvent.run_paused,
    RunStatus.CANCELLED: RunEvent.run_cancelled,
    RunStatus.ERROR: RunEvent.run_error,
}


def _as_ours(error: Exception, run: RunOutput) -> AgnoNbError:
    run.error_type, run.error = type(error).__name__, str(error)
    if isinstance(error, AgnoNbError):
        ours = error
    else:
        ours = RunError(f"the run failed: {type(error).__name__}: {error}")
        ours.__cause__ = error
    ours.run_output = ours.run_output or run
    return ours


def _keep_partial(context: RunContext) -> None:
    partial, context.partial = context.partial, None
    if partial is None or not (partial.content or partial.reasoning_content):
        return
    partial.finish_reason = "interrupted"
    context.add(partial)
    context.run.content = partial.content
    context.run.reasoning_content = partial.reasoning_content


def _metrics(run: RunOutput, duration_s: float) -> Metrics:
    calls = [m.metrics for m in run.messages if m.role == "assistant" and m.metrics and not m.from_history]
    total = Metrics.total(calls)
    total.time_to_first_token_s = next((m.time_to_first_token_s for m in calls), None)
    total.duration_s = duration_s
    return total


async def _store_end(context: RunContext) -> None:
    """Store how the run ended, once the runs nested in it have done so."""
    if context.children:
        for child in context.children:
            child.cancel()
        await asyncio.wait(context.children)
    run = context.run
    run.ended_at = time.time()
    messages = context.take_unsaved()
    if context.db is None:
        return
    state = None if context.is_nested else context.session_state
    row = run if context.is_stored else replace(run, content=None, reasoning_content=None)
    try:
        await asyncio.to_thread(context.db.end_run, row, messages, session_state=state)
    except InvalidInputError as unstorable:
        # The state cannot be stored. The run must not stay open because of it, and the user must hear of it.
        run.status = RunStatus.ERROR
        _as_ours(unstorable, run)
        await asyncio.to_thread(context.db.end_run, run, messages, session_state=None)
        raise
