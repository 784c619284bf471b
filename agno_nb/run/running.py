"""A run while it goes on."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agno_nb._loop import uncancellable
from agno_nb.budget import Budget
from agno_nb.db.base import Db
from agno_nb.run.options import RunOptions
from agno_nb.types import (
    JsonDict,
    Message,
    Metrics,
    RunEvent,
    RunOutput,
    RunOutputEvent,
    RunStatus,
    Session,
    SessionSummary,
    ToolCall,
    UserMemory,
)

if TYPE_CHECKING:
    from agno_nb.run.runnable import Runnable

Emit = Callable[[RunOutputEvent], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """A paused run that is to go on, with the answers that were given."""

    run: RunOutput
    is_reloaded: bool
    """Whether it was read from the store, where it has its own messages only."""


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
    continuation: Continuation | None = None
    """Of a run that was paused and goes on."""
    said: list[Message] = field(default_factory=list)
    """Of a run that goes on where an earlier attempt was cut off: what that had said."""
    earlier: list[RunOutput] = field(default_factory=list)
    """Of a run that goes on: the runs that its tools had begun before the pause and that were not asked for again."""
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
    budgets: Sequence[Budget] = ()
    """What the run, with all that is nested in it, is kept to."""

    stored: Callable[[Message], Message | None] = lambda message: message
    """What is stored of a message."""

    @property
    def root(self) -> RunContext:
        """The run that all this began with."""
        return self if self.parent is None else self.parent.root

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
        details: JsonDict | None = None,
        run_output: RunOutput | None = None,
    ) -> None:
        """Tell whoever listens, and whoever listens to the run that this one is nested in."""
        self.pass_on(
            event_of(
                self.run,
                event,
                content=content,
                reasoning_content=reasoning_content,
                tool=tool,
                details=details,
                run_output=run_output,
            )
        )

    async def note(
        self, event: RunEvent, content: str, *, details: JsonDict, model: str, duration_s: float | None = None
    ) -> None:
        """Tell what happened beside what was said, and store it."""
        self.emit(event, content=content, details=details)
        if self.db is not None:
            cost = Metrics(duration_s=duration_s)
            work = asyncio.to_thread(
                self.db.add_event, self.run, event, content, details=details, model=model, metrics=cost
            )
            await uncancellable(work)

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
        return [kept for message in messages if (kept := self.stored(message)) is not None]

    async def save(self) -> None:
        """Store the messages that are new."""
        messages = self.take_unsaved()
        if self.db is not None and messages:
            await uncancellable(asyncio.to_thread(self.db.add_messages, self.run, messages))

    def wait_for_nested_runs(self, call: ToolCall) -> None:
        """Need of a person what the paused runs need that a tool call began."""
        known = {requirement.requirement_id for requirement in self.run.requirements}
        for nested in self.run.nested_runs:
            if nested.parent_tool_call_id == call.tool_call_id and nested.status is RunStatus.PAUSED:
                asked = nested.active_requirements
                self.run.requirements += [one for one in asked if one.requirement_id not in known]

    def note_nested(self, run: RunOutput) -> None:
        """Note a run that this one's tools, members or steps began."""
        if all(nested is not run for nested in self.run.nested_runs):
            self.run.nested_runs.append(run)

    def begun_before(self, tool_call_id: str | None, runnable: Runnable, text: str) -> RunOutput | None:
        """Return the run that a tool, called again, had begun before the pause in the place of one that it asks for.

        A tool that was ended by a pause of its run is called again from its beginning. What it had asked before is
        then answered by what is there already.
        """
        for run in self.earlier:
            asked = run.parent_tool_call_id, run.kind, run.component_id, run.input
            is_usable = run.status in (RunStatus.COMPLETED, RunStatus.PAUSED)
            if is_usable and asked == (tool_call_id, runnable.kind, runnable.component_id, text):
                self.earlier.remove(run)
                self.note_nested(run)
                return run
        return None


current_run: contextvars.ContextVar[RunContext | None] = contextvars.ContextVar("agno_nb_run", default=None)
"""The run in which the code that asks is executed. Threads of tools have it too."""

current_tool_call_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("agno_nb_tool_call", default=None)
"""The tool call of that run by which it is executed."""


def event_of(run: RunOutput, event: RunEvent, **values: Any) -> RunOutputEvent:
    return RunOutputEvent(
        event=event,
        run_id=run.run_id,
        session_id=run.session_id,
        parent_run_id=run.parent_run_id,
        component_name=run.component_name,
        **values,
    )
