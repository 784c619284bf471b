"""A run while it goes on."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from agno_nb.db.base import Db
from agno_nb.db.session_state import changes, copy_state
from agno_nb.errors import RunLimitError, StoreError
from agno_nb.event_loop import loop_is_idle, uncancellable
from agno_nb.run.background_tasks import BackgroundTask
from agno_nb.run.options import RunOptions
from agno_nb.run.recorder import RunEnd, store_unstored
from agno_nb.types import (
    Budget,
    JsonDict,
    Message,
    Metrics,
    RunEvent,
    RunOutput,
    RunOutputEvent,
    RunStatus,
    Session,
    SessionSummary,
    SessionType,
    StepOutput,
    ToolCall,
    UserMemory,
)

if TYPE_CHECKING:
    from agno_nb.models.base import Model
    from agno_nb.run.runnable import Runnable

NESTED_REQUESTS = 20
"""A run and all that is nested in it may make this many times its `request_limit` of model requests."""
MAX_DEPTH = 20
"""A run may be nested in at most this many others."""

P = ParamSpec("P")
T = TypeVar("T")
Emit = Callable[[RunOutputEvent], None]


def discard_event(event: RunOutputEvent) -> None:
    """Take an event where nobody listens."""


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
    continuation: RunOutput | None = None
    """The run itself, if it is a paused run that is being continued."""
    partial_messages: list[Message] = field(default_factory=list)
    """Of a run that goes on where an earlier attempt was cut off: what that had said."""
    interrupted_call_ids: frozenset[str] = frozenset()
    """If the process of a continued run has died: tool calls that it may have executed."""
    pending_children: list[RunOutput] = field(default_factory=list)
    """Of a run that goes on: the runs nested in it from before the pause that were not asked for again."""
    session: Session
    session_state: JsonDict = field(default_factory=dict)
    """The session's state. Tools change it in place; it is stored when the run ends."""
    initial_state: JsonDict = field(default_factory=dict)
    """The same as it was when the run began, for the first time where it was paused since."""
    state_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Of a turn: held while a step's state is stored. Of steps that end together the later one is stored later."""
    history: list[Message] = field(default_factory=list)
    turns: list[tuple[int, str]] = field(default_factory=list)
    """`run_index` and `run_id` of the turns that `history` is of."""
    num_superseded: int = 0
    """How many other attempts there were at those turns."""
    summary: SessionSummary | None = None
    """Of what `history` does not show."""
    memories: list[UserMemory] = field(default_factory=list)
    """What is remembered of the user."""
    dependencies: JsonDict = field(default_factory=dict)
    partial: Message | None = None
    """The answer that is arriving. It is kept if the run is cut off."""
    unsaved: list[Message] = field(default_factory=list)
    has_failed_save: bool = False
    """Whether the store refused a save. It may have committed it all the same."""
    unsaved_steps: list[tuple[StepOutput, int]] = field(default_factory=list)
    """Results of steps that could not be stored when the steps ended, each with its index."""
    unsaved_events: list[Callable[[], object]] = field(default_factory=list)
    """Calls that store events, which failed when the events happened."""
    latest_at: float = 0.0
    """When the latest of its messages was complete."""
    child_tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    background_tasks: list[BackgroundTask] = field(default_factory=list)
    """What is to be done when the turn is over."""
    budgets: Sequence[Budget] = ()
    """What the run, with all that is nested in it, is kept to."""
    request_limit: int | None = None
    """Maximum number of model requests of the run; see :meth:`count_request`."""
    num_requests: int = 0
    """Model requests of the run so far, including requests before a pause."""
    num_nested_requests: int = 0
    """Model requests of the runs nested in it."""

    persisted_form: Callable[[Message], Message | None] = lambda message: message
    """What is stored of a message."""
    is_stored: bool = True
    """Whether what is said in it is stored. Its row, with tokens and times, is in any case."""
    stores_nested: bool = True
    """The same of the runs nested in it."""
    default_model: Model | None = None
    """The model by which nested runs answer that have none of their own."""
    team: Runnable | None = None
    """The team whose run it is. Of a run within that of a team: that team."""

    def __post_init__(self) -> None:
        if self.parent is not None:
            self.team = self.parent.team

    @property
    def root(self) -> RunContext:
        """The run that all this began with."""
        return self if self.parent is None else self.parent.root

    @property
    def enclosing_turn(self) -> RunContext | None:
        """The nearest run of the same session that this one is nested in; None for a turn of its own."""
        return find_enclosing_turn(self.parent, self.db, self.session_id)

    @property
    def run_index(self) -> int | None:
        """The turn that the run is, or is a part of."""
        return self.run.run_index if self.enclosing_turn is None else self.enclosing_turn.run_index

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def session_id(self) -> str:
        return self.run.session_id

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
        step: str | None = None,
        details: JsonDict | None = None,
        run_output: RunOutput | None = None,
    ) -> None:
        """Tell whoever listens, and whoever listens to the run that this one is nested in."""
        if not self._has_listener:
            return
        self.propagate(
            make_event(
                self.run,
                event,
                content=content,
                reasoning_content=reasoning_content,
                tool=tool,
                step=step,
                details=details,
                run_output=run_output,
            )
        )

    @property
    def _has_listener(self) -> bool:
        return self.emit_to is not discard_event or (self.parent is not None and self.parent._has_listener)

    async def record_event(
        self, event: RunEvent, content: str, *, details: JsonDict, model: str, duration_s: float | None = None
    ) -> None:
        """Tell what happened beside what was said, and store it."""
        self.emit(event, content=content, details=details)
        if self.db is not None:
            add = functools.partial(
                self.db.add_event,
                self.run,
                event,
                content,
                details=details,
                model=model,
                metrics=Metrics(duration_s=duration_s),
            )
            try:
                await self.in_store(add)
            except StoreError:
                self.unsaved_events.append(add)
                raise

    def propagate(self, event: RunOutputEvent) -> None:
        self.emit_to(event)
        if self.parent is not None:
            self.parent.propagate(event)

    def copy_state(self) -> JsonDict:
        """Return the state as it is at this moment."""
        return copy_state(self.session_state)

    def record_state_changes(self, state: JsonDict) -> None:
        """Note in the run what is different in the state since it began."""
        self.run.state_changes = changes(self.initial_state, state)

    def add_message(self, message: Message) -> None:
        """Put a message that was said in this run at the end of it. It is stored by the next :meth:`save`."""
        self.run.messages.append(message)
        self.mark_unsaved(message)

    def mark_unsaved(self, message: Message) -> None:
        """Have the next :meth:`save` store a message that is in its place in the run already."""
        message.run_id = self.run.run_id
        if not message.from_history:
            self._keep_time_order(message)
        self.unsaved.append(message)

    def _keep_time_order(self, message: Message) -> None:
        """Give what was said later a later time, even if the clock was set back in between."""
        before = max(self.latest_at, self.run.created_at)
        if message.created_at < before:
            message.created_at = before + 1e-6
        for call in message.tool_calls:
            if call.created_at < before:
                call.created_at = before + 1e-6
            before = call.created_at
        self.latest_at = max(before, message.created_at)

    def count_request(self) -> None:
        """Count a model request that is about to be sent.

        Raises
        ------
        RunLimitError
            The run has made `request_limit` requests, or a run with all that is nested in it many times its limit.
            Without the second bound agents that call each other would multiply their limits.
        """
        context: RunContext | None = self
        while context is not None:
            limit = context.request_limit
            if limit is not None and context is self and context.num_requests >= limit:
                raise RunLimitError(
                    f"run {context.run_id!r} of {context.component} made {context.num_requests:,} model requests, as "
                    f"many as request_limit={limit} allows; regenerate(from_partial=True), or `%agent continue`, goes "
                    f"on with {limit} more, and Agent(request_limit=...) sets another limit, or None for no limit"
                )
            made = context.num_requests + context.num_nested_requests
            if limit is not None and made >= limit * NESTED_REQUESTS:
                raise RunLimitError(
                    f"run {context.run_id!r} of {context.component} and the runs nested in it made {made:,} model "
                    f"requests, {NESTED_REQUESTS} times its request_limit={limit}; check if agents call each other "
                    "without end, or pass a higher request_limit, or None for no limit"
                )
            context = context.parent
        self.num_requests += 1
        context = self.parent
        while context is not None:
            context.num_nested_requests += 1
            context = context.parent

    @property
    def component(self) -> str:
        """Name of the agent, team or workflow, for messages."""
        return repr(self.run.component_name or self.run.component_id)

    @property
    def depth(self) -> int:
        """How many runs this one is nested in."""
        return 0 if self.parent is None else self.parent.depth + 1

    def pop_end(self, session_state: JsonDict | None) -> RunEnd:
        """Return the end of the run, with all that is not stored yet, as it is to be stored."""
        assert self.db is not None
        messages, self.unsaved = self.unsaved, []
        return RunEnd(
            db=self.db,
            run=self.run if self.is_stored else replace(self.run, content=None, reasoning_content=None),
            messages=self.to_persisted(messages),
            steps=self.unsaved_steps,
            events=self.unsaved_events,
            session_state=session_state,
            base_state=self.session.session_state,
            is_uncertain=self.has_failed_save,
        )

    def to_persisted(self, messages: Iterable[Message]) -> list[Message]:
        """Return what is stored of messages."""
        return [
            persisted
            for message in messages
            if self.is_stored and (persisted := self.persisted_form(message)) is not None
        ]

    async def save(self) -> None:
        """Store the messages that are new. If that fails, the next write of the run stores them."""
        new, self.unsaved = self.unsaved, []
        messages = self.to_persisted(new)
        if self.db is not None and messages:
            try:
                await self.in_store(self.db.add_messages, self.run, messages)
            except BaseException:
                self.unsaved[:0], self.has_failed_save = new, True
                raise

    async def save_partial(self, answer: Message) -> None:
        """Store an answer that is still arriving, and the messages before it that are new."""
        kept = self.to_persisted([answer])
        if self.db is None or not kept:
            return
        new, self.unsaved = self.unsaved, []
        try:
            await self.in_store(self.db.save_partial, self.run, kept[0], self.to_persisted(new))
        except BaseException:
            self.unsaved[:0], self.has_failed_save = new, True
            raise

    async def in_store(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do work of the run's store to its end, whatever happens meanwhile.

        To have another thread do it takes up to a tenth of a short turn. So it is done here where there is nothing to
        wait for, and nobody else who waits for this loop.
        """
        await store_unstored(self.db)
        if self.db is not None and self.db.is_uncontended and loop_is_idle():
            return work(*args, **kwargs)
        return await uncancellable(asyncio.to_thread(work, *args, **kwargs))

    def child_options(self, child: Runnable) -> RunOptions:
        """Return what a run of `child` is told that is a part of this one, a member's or a step's."""
        options = RunOptions(user_id=self.user_id, dependencies=self.dependencies, files=self.message.media)
        if child.db is None:
            options["session_id"] = self.session_id
        if self.options.get("replay"):
            options["replay"] = True
        return options

    def collect_child_requirements(self, tool_call_id: str | None) -> None:
        """Need of a person what the paused runs need that a tool call began, or, with None, that steps began."""
        known = {requirement.requirement_id for requirement in self.run.requirements}
        for nested in self.run.nested_runs:
            if nested.parent_tool_call_id == tool_call_id and nested.status is RunStatus.PAUSED:
                requirements = nested.active_requirements
                self.run.requirements += [one for one in requirements if one.requirement_id not in known]

    def add_child(self, run: RunOutput) -> None:
        """Note a run that this one's tools, members or steps began."""
        if all(nested is not run for nested in self.run.nested_runs):
            self.run.nested_runs.append(run)

    def find_pending_child(self, tool_call_id: str | None, runnable: Runnable, text: str) -> RunOutput | None:
        """Return the run that a tool, called again, had begun before the pause in the place of one that it asks for.

        A tool that was ended by a pause of its run is called again from its beginning. What it had asked before is
        then answered by what is there already.
        """
        for run in self.pending_children:
            identity = run.parent_tool_call_id, run.step, run.kind, run.component_id, run.input
            is_usable = run.status is RunStatus.COMPLETED or runnable.is_continuable(run)
            if is_usable and identity == (tool_call_id, current_step.get(), runnable.kind, runnable.component_id, text):
                self.pending_children.remove(run)
                self.add_child(run)
                return run
        return None


def is_waiting(run: RunOutput) -> bool:
    """Whether a run waits for a person, or was interrupted while it carried out what a person had approved."""
    if run.status is not RunStatus.RUNNING or not run.interrupted:
        return run.status is RunStatus.PAUSED
    own = any(each.run_id == run.run_id and not each.tool.is_finished for each in run.requirements)
    return own or any(is_waiting(nested) for nested in run.nested_runs)


current_run: contextvars.ContextVar[RunContext | None] = contextvars.ContextVar("agno_nb_run", default=None)
"""The run in which the code that asks is executed. Threads of tools have it too."""

current_tool_call_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("agno_nb_tool_call", default=None)
"""The tool call of that run by which it is executed."""

current_step: contextvars.ContextVar[str | None] = contextvars.ContextVar("agno_nb_step", default=None)
"""The step of that run, a workflow's, by which it is executed."""


def find_enclosing_turn(ancestor: RunContext | None, db: Db | None, session_id: str) -> RunContext | None:
    """Return the nearest run of the same session in which one is nested, or None: it is a turn of its own."""
    while ancestor is not None and not (ancestor.db is db and ancestor.session_id == session_id):
        ancestor = ancestor.parent
    return ancestor


_WORKFLOW_EVENTS = {
    RunEvent.run_started: RunEvent.workflow_started,
    RunEvent.run_completed: RunEvent.workflow_completed,
    RunEvent.run_paused: RunEvent.workflow_paused,
    RunEvent.run_continued: RunEvent.workflow_continued,
    RunEvent.run_cancelled: RunEvent.workflow_cancelled,
    RunEvent.run_error: RunEvent.workflow_error,
}


def make_event(run: RunOutput, event: RunEvent, *, step: str | None = None, **values: Any) -> RunOutputEvent:
    """Make an event of a run. A workflow's begin and end have names of their own."""
    return RunOutputEvent(
        event=_WORKFLOW_EVENTS.get(event, event) if run.kind is SessionType.WORKFLOW else event,
        step=step or run.step,
        run_id=run.run_id,
        session_id=run.session_id,
        parent_run_id=run.parent_run_id,
        component_name=run.component_name,
        **values,
    )
