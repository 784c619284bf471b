"""A run as it is displayed, folded from the events of its stream or read from a stored run.

The output of a cell, the terminal and the timeline all show a :class:`RunView`; only the drawing differs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from agno_nb.types import (
    INTERRUPTED_RESULT,
    REFUSED,
    Metrics,
    Requirement,
    RunEvent,
    RunOutput,
    RunOutputEvent,
    RunStatus,
    ToolCall,
    one_line,
)

NOTE_LIMIT = 240
"""Characters of a note, or of the reason for a decision, that are shown. The store has the rest."""

STATUS_WORDS: dict[str, str] = {
    RunStatus.RUNNING: "running …",
    RunStatus.PAUSED: "waiting for you",
    RunStatus.CANCELLED: "interrupted",
    RunStatus.ERROR: "failed",
}
"""The displayed words by the status of a run. A completed run needs none."""

Tone = Literal["", "rejected", "failed"]
"""The color of a line: rejected and refused calls are not errors."""

_DELEGATION = "delegate_task_to_member"
"""The tool of a team's leader whose call is displayed as the member's run."""


def status_word(status: str | None, *, interrupted: bool | None = False) -> str:
    """Return the displayed words for a stored status. A run whose process died is interrupted, not running."""
    return STATUS_WORDS.get(RunStatus.CANCELLED if interrupted else status or "", "")


def call_state(call: ToolCall, status: RunStatus, progress: str = "") -> tuple[str, Tone]:
    """Return who decided about a call and how it ended, in words, and their tone, given the status of its run.

    While the call is in progress, `progress` is what its tool has reported.
    """
    origin, (state, tone) = "read from text" if call.is_read_from_text else "", _outcome(call, status, progress)
    return " · ".join(filter(None, [origin, state])), tone


def _outcome(call: ToolCall, status: RunStatus, progress: str) -> tuple[str, Tone]:
    decision, ended = _decision(call), ""
    tone: Tone = ""
    if call.confirmed is False:
        return decision, "rejected"
    if call.result is None:
        # A line below the answer says that the run is in progress.
        ended = progress or "…" if status is RunStatus.RUNNING else STATUS_WORDS.get(status, "not run")
        ended = "" if decision and status is RunStatus.PAUSED else ended
    elif call.tool_call_error and call.result == INTERRUPTED_RESULT:
        ended = STATUS_WORDS[RunStatus.CANCELLED]
    elif call.tool_call_error:
        ended, tone = ("refused", "rejected") if call.result.startswith(REFUSED) else ("failed", "failed")
    return " · ".join(filter(None, [decision, ended])), tone


def _decision(call: ToolCall) -> str:
    """Return a person's decision about a call, with their name and reason if known."""
    answered = "answered" if call.resolved_by or any(each.is_given for each in call.user_input_schema) else ""
    verb = answered if call.confirmed is None else "approved" if call.confirmed else "rejected"
    if not verb:
        return ""
    by = f" by {call.resolved_by}" if call.resolved_by else ""
    return verb + by + (f": {one_line(call.confirmation_note, NOTE_LIMIT)}" if call.confirmation_note else "")


class _GrowingText:
    """Markdown that arrives in pieces, which are joined only when the text is read."""

    __slots__ = ("_pieces",)
    __match_args__ = ("markdown",)

    def __init__(self, markdown: str) -> None:
        self._pieces = [markdown]

    @property
    def markdown(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    @markdown.setter
    def markdown(self, markdown: str) -> None:
        self._pieces = [markdown]

    def append(self, piece: str) -> None:
        self._pieces.append(piece)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.markdown == self.markdown

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.markdown!r})"


class Text(_GrowingText):
    """A stretch of the answer."""

    __slots__ = ()


class Reasoning(_GrowingText):
    """Reasoning of the model."""

    __slots__ = ()


@dataclass(slots=True)
class Note:
    """A remark that is not part of the answer, such as a retried request."""

    text: str


@dataclass(slots=True, kw_only=True)
class RunView:
    """The visible parts of one run."""

    parts: list[Text | Reasoning | Note | ToolCall | RunView] = field(default_factory=list)
    """In order of arrival. A view among the parts is a nested run or a step."""
    status: RunStatus = RunStatus.RUNNING
    name: str | None = None
    """Name of the agent or step, displayed for nested runs."""
    task: str | None = None
    """For the run of a team's member: the task that the leader's call has. The call is not displayed as well."""
    parent_tool_call_id: str | None = None
    error: str | None = None
    model: str | None = None
    metrics: Metrics = field(default_factory=Metrics)
    attempt: int = 0
    """Attempt number within the turn, starting at 0."""
    plain: bool = False
    """Whether the text is shown as it is instead of as Markdown."""
    is_cached: bool = False
    """Whether the answer comes from the response cache."""
    omits_turns: bool = False
    """Whether there were earlier turns, and the model was sent none of them and no summary. Their number is not known
    without reading the store, because turns may have been deleted."""
    progress: dict[str, str] = field(default_factory=dict)
    """What tools report during their calls, by the ID of the call."""
    requirements: list[Requirement] = field(default_factory=list)
    """The unresolved requirements of a paused run."""
    run_id: str | None = None
    session_id: str | None = None
    run: RunOutput | None = field(default=None, compare=False, repr=False)
    """The run, once it has ended."""

    @property
    def markdown(self) -> str:
        """The answer: all stretches of text, without tools, reasoning and nested runs."""
        return "\n\n".join(part.markdown.strip("\n") for part in self.parts if isinstance(part, Text))

    def end(self, run: RunOutput) -> None:
        """Take over the result of the run, and any tools and text that were not streamed."""
        self.run, self.run_id, self.session_id = run, run.run_id, run.session_id
        self.parent_tool_call_id = run.parent_tool_call_id
        self.status = RunStatus.CANCELLED if run.interrupted else run.status
        self.name, self.metrics = run.component_name, run.metrics
        self.error = f"{run.error_type}: {run.error}" if run.error else None
        self.requirements = run.active_requirements if run.is_paused else []
        self.model = "demo model" if run.model_provider == "demo" else run.model
        self.attempt, self.is_cached = run.attempt, run.is_cached
        if run.context_report is not None and not run.context_report.sends("history", "summary"):
            self.omits_turns = bool(run.run_index)
        for call in run.tools:
            self.put_tool(call)
        self._set_text(_content_as_markdown(run))
        if isinstance(placeholder := (run.metadata or {}).get("placeholder"), str):
            self.parts.append(Note(f"Placeholder: {placeholder}"))

    def put_tool(self, call: ToolCall) -> None:
        """Add a tool call, or replace an earlier state of it."""
        if any(
            isinstance(part, RunView) and part.task and part.parent_tool_call_id == call.tool_call_id
            for part in self.parts
        ):
            return
        # Usually it is one of the latest parts.
        for place in range(len(self.parts) - 1, -1, -1):
            part = self.parts[place]
            if isinstance(part, ToolCall) and part.tool_call_id == call.tool_call_id:
                self.parts[place] = call
                return
        # A call that is reported only when the run has ended came before the last text.
        self.parts.insert(len(self.parts) if self.status is RunStatus.RUNNING else self._place_of_last_text(), call)

    def put_nested(self, nested: RunView) -> None:
        """Add a nested run after the call that started it. A member's run takes the place of the leader's call."""
        place = self._place_of_last_text() if self.run is not None else len(self.parts)
        for at, part in enumerate(self.parts):
            if isinstance(part, ToolCall) and part.tool_call_id == nested.parent_tool_call_id:
                task = part.tool_args.get("task") if part.tool_name == _DELEGATION else None
                if isinstance(task, str) and task:
                    nested.task, self.parts[at] = task, nested
                    return
                place = at + 1
                while place < len(self.parts) and isinstance(self.parts[place], RunView):
                    place += 1
        self.parts.insert(place, nested)

    def add_text(self, event: RunOutputEvent) -> None:
        """Add the text and reasoning of an event."""
        if event.discards_content:
            start = len(self.parts)
            while start and isinstance(self.parts[start - 1], Text | Reasoning):
                start -= 1
            self.parts[start:] = [part for part in self.parts[start:] if not isinstance(part, Text)]
        for piece, kind in ((event.reasoning_content, Reasoning), (event.content, Text)):
            if not piece:
                continue
            last = self.parts[-1] if self.parts else None
            if isinstance(last, kind):
                last.append(piece)
            else:
                self.parts.append(kind(piece))

    def _place_of_last_text(self) -> int:
        return len(self.parts) - bool(self.parts and isinstance(self.parts[-1], Text))

    def _set_text(self, text: str) -> None:
        """Make the run's content the end of the visible text; replace all of it if something else was streamed."""
        texts = [part for part in self.parts if isinstance(part, Text)]
        words = _without_whitespace(text)
        if texts and _without_whitespace(texts[-1].markdown) == words:
            texts[-1].markdown = text
        elif not _without_whitespace(self.markdown).endswith(words):
            self.parts = [*(part for part in self.parts if not isinstance(part, Text)), Text(text)]


def view_of_run(run: RunOutput, nested: Iterable[RunOutput] = ()) -> RunView:
    """Return the view of a run that has ended. Its nested runs, of any depth, follow the calls that started them."""
    children: dict[str | None, list[RunOutput]] = {}
    for child in nested:
        children.setdefault(child.parent_run_id, []).append(child)
    return _view_with_children(run, children)


def _view_with_children(run: RunOutput, children: dict[str | None, list[RunOutput]]) -> RunView:
    view = RunView()
    if run.reasoning_content:
        view.parts.append(Reasoning(run.reasoning_content))
    view.end(run)
    for child in children.get(run.run_id, ()):
        view.put_nested(_view_with_children(child, children))
    return view


class RunFold:
    """Folds the events of a stream into the view of its run.

    The first event determines which run is the outermost.
    """

    def __init__(self, *, plain: bool = False) -> None:
        self.view = RunView(plain=plain)
        self.has_ended = False
        self._by_key: dict[str, RunView] = {}

    def feed(self, event: RunOutputEvent) -> None:
        """Apply one event. Events after the end of the outermost run are ignored."""
        if self.has_ended:
            return
        view = self._view_of(event)
        if event.event in _STEP_EVENTS:
            _apply_step_event(view, event)
        elif event.run_output is not None:
            view.end(event.run_output)
            # A step is known by its path, not by the agent that runs it.
            view.name = event.step or view.name
        elif event.tool is not None:
            view.put_tool(event.tool)
            if event.event is RunEvent.tool_call_progress:
                view.progress[event.tool.tool_call_id] = one_line(str(event.content), NOTE_LIMIT)
        elif event.details is not None and event.content:
            view.parts.append(Note(event.content))
        else:
            view.add_text(event)
        if view is self.view and event.run_output is not None:
            self._end()

    def finish(self, outcome: RunOutput | BaseException | None) -> bool:
        """End the view if no event has ended it, and return whether there is something new to show.

        The outcome is the run, or None for a stream that was not read to its end, or the exception raised instead. It
        marks the run as failed or, if it is not an :class:`Exception`, as interrupted.
        """
        run = outcome if isinstance(outcome, RunOutput) else getattr(outcome, "run_output", None)
        # A run that never started has nothing to show but its error.
        if self.has_ended or (run is None and not self._by_key):
            return False
        # An error raised in a nested run carries that run.
        if run is not None and self.view.run_id in (None, run.run_id):
            self.view.end(run)
        if self.view.status is RunStatus.RUNNING:
            self.view.status = RunStatus.ERROR if isinstance(outcome, Exception) else RunStatus.CANCELLED
        self._end()
        return True

    def _end(self) -> None:
        self.has_ended = True
        for nested in self._by_key.values():
            if nested.status is RunStatus.RUNNING:
                nested.status = RunStatus.CANCELLED

    def _view_of(self, event: RunOutputEvent) -> RunView:
        if not self._by_key:
            self.view.run_id, self.view.session_id = event.run_id, event.session_id
            self._by_key[event.run_id] = self.view
        key, parent, name = event.run_id, event.parent_run_id or "", event.component_name
        if event.event in _STEP_EVENTS:
            key, parent, name = f"{event.run_id} {event.step}", event.run_id, event.step
        elif key not in self._by_key and (step := self._by_key.get(f"{parent} {event.step}")) is not None:
            # The run of a step is shown as that step. A retried step starts from nothing.
            step.parts, step.status, step.error = [], RunStatus.RUNNING, None
            self._by_key[key] = step
        view = self._by_key.get(key)
        if view is None:
            view = self._by_key[key] = RunView(
                name=name,
                run_id=event.run_id,
                session_id=event.session_id,
                parent_tool_call_id=event.parent_tool_call_id,
            )
            self._by_key.get(parent, self.view).put_nested(view)
        return view


_STEP_EVENTS = {RunEvent.step_started, RunEvent.step_output, RunEvent.step_completed, RunEvent.step_error}


def _apply_step_event(view: RunView, event: RunOutputEvent) -> None:
    """Apply an event of a workflow step. The output of the step's run arrives in events of that run."""
    match event.event:
        case RunEvent.step_output:
            view.add_text(event)
        case RunEvent.step_completed:
            view.status = RunStatus.COMPLETED
            if event.content and not view.parts:
                view.parts.append(Text(event.content))
        case RunEvent.step_error:
            view.status, view.error = RunStatus.ERROR, event.content
    if view.metrics.duration_s is None:
        # The duration of a function is known to its step only.
        view.metrics = Metrics(duration_s=(event.details or {}).get("duration_s"))


def _content_as_markdown(run: RunOutput) -> str:
    text = run.get_content_as_string()
    if not isinstance(run.content, str | None):
        with suppress(ValueError, RecursionError):  # An object that JSON cannot represent is shown as its str().
            return f"```json\n{json.dumps(json.loads(text), indent=2, ensure_ascii=False)}\n```"
    return text


def _without_whitespace(text: str) -> str:
    return "".join(text.split())
