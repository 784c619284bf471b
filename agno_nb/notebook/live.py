"""An answer that grows in the output of a cell while its events arrive.

One display is made and then replaced, never more often than the browser can draw it, and the last
replacement is what the notebook file keeps. JupyterLab does not merge updates that wait: a view that is sent too often
falls seconds behind.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from IPython.core.displaypub import CapturingDisplayPublisher

from agno_nb.notebook.render import (
    AnswerView,
    Note,
    Reasoning,
    Text,
    render_answer,
    render_text,
)
from agno_nb.redact import displayable, redact
from agno_nb.types import Metrics, RunEvent, RunOutput, RunOutputEvent, RunStatus, ToolCall

SHORTEST_INTERVAL_S = 0.1
INTERVAL_PER_KB_S = 0.004
"""Seconds between updates for each 1,000 characters of HTML. JupyterLab 4.6 draws about 250 kB a second."""

RENDERING_SHARE = 0.2
"""Part of the time that rendering may take while an answer streams.

Each update renders the whole answer, so that an update for each token would take quadratic time. The intervals grow
with the answer instead, and with it the number of updates only logarithmically.
"""


class Timer(Protocol):
    """What a delayed update needs of :class:`threading.Timer`."""

    daemon: bool

    def start(self) -> None: ...

    def cancel(self) -> None: ...


class LiveAnswer:
    """Shows one run, and the runs nested in it, while it goes on.

    Feed it every event of the stream. The display ends with the event that ends the run; :meth:`finish` ends it where
    none came.

    Parameters
    ----------
    shell : InteractiveShell
        The kernel's, whose outputs to write to.
    clock : callable
        Seconds that only go forward.
    timer : callable
        Makes the :class:`Timer` that shows the last words before a pause.
    markdown : bool
        False shows the text of the answer as it is.
    """

    def __init__(
        self,
        shell: Any,
        *,
        clock: Callable[[], float] = time.monotonic,
        timer: Callable[[float, Callable[[], None]], Timer] = threading.Timer,
        markdown: bool = True,
    ) -> None:
        self.view = AnswerView(plain=not markdown)
        self._by_run: dict[str, AnswerView] = {}
        self._ended = False
        # The timer draws the view on a thread of its own, while the next event may be changing it.
        self._lock = threading.RLock()
        self._cell = _Cell(self.view, shell, clock, timer, self._lock)

    @property
    def display_id(self) -> str:
        """Of the output, for whoever takes its place."""
        return self._cell.display_id

    def feed(self, event: RunOutputEvent) -> None:
        """Take in one event of the stream. The first one says which run is the answer."""
        if self._ended:
            return
        with self._lock:
            view = self._view_of(event)
            if event.event in _OF_A_STEP:
                _apply_step(view, event)
            elif event.run_output is not None:
                finish_view(view, event.run_output)
                # A step is known by its place in the workflow, and not by who does it.
                view.name = event.step or view.name
            elif event.tool is not None:
                _add_tool(view, event.tool)
            elif event.details is not None:
                view.parts.append(Note(event.content or ""))
            else:
                _add_text(view, event)
            if view is self.view and event.run_output is not None:
                self._end()
            else:
                self._cell.changed()

    def finish(self, outcome: RunOutput | BaseException | None) -> None:
        """End the display, where no event did.

        Parameters
        ----------
        outcome : RunOutput, exception or None
            The run; or what was raised instead, which marks the answer as failed or, where it is no
            :class:`Exception`, as interrupted; or None for a stream that was left early.
        """
        run = outcome if isinstance(outcome, RunOutput) else getattr(outcome, "run_output", None)
        with self._lock:
            # A run that never began leaves nothing to show but the error, and that is the cell's.
            if self._ended or (run is None and not self._by_run):
                return
            # An error may come from a run nested in this one, and then carries that run.
            if run is not None and self.view.run_id in (None, run.run_id):
                finish_view(self.view, run)
            if self.view.status is RunStatus.RUNNING:
                failed = isinstance(outcome, Exception)
                self.view.status = RunStatus.ERROR if failed else RunStatus.CANCELLED
            self._end()

    def _end(self) -> None:
        self._ended = True
        # The cell itself fails with the error, just below.
        self.view.error = None
        for nested in self._by_run.values():
            if nested.status is RunStatus.RUNNING:
                nested.status = RunStatus.CANCELLED
        self._cell.ended()

    def _view_of(self, event: RunOutputEvent) -> AnswerView:
        if not self._by_run:
            self.view.run_id, self.view.session_id = event.run_id, event.session_id
            self._by_run[event.run_id] = self.view
        key, above, name = event.run_id, event.parent_run_id or "", event.component_name
        if event.event in _OF_A_STEP:
            key, above, name = f"{event.run_id} {event.step}", event.run_id, event.step
        elif key not in self._by_run and (doing := self._by_run.get(f"{above} {event.step}")) is not None:
            # A run that does a step is shown as that step. One that is tried again begins anew.
            doing.parts, doing.status, doing.error = [], RunStatus.RUNNING, None
            self._by_run[key] = doing
        view = self._by_run.get(key)
        if view is None:
            view = AnswerView(name=name, run_id=event.run_id, session_id=event.session_id)
            self._by_run[key] = view
            self._by_run.get(above, self.view).parts.append(view)
        return view


_OF_A_STEP = {RunEvent.step_started, RunEvent.step_output, RunEvent.step_completed, RunEvent.step_error}


def _apply_step(view: AnswerView, event: RunOutputEvent) -> None:
    """Take in what happened to a step of a workflow. What its run says comes as events of that run."""
    match event.event:
        case RunEvent.step_output:
            _add_text(view, event)
        case RunEvent.step_completed:
            view.status = RunStatus.COMPLETED
            if event.content and not view.parts:
                view.parts.append(Text(event.content))
        case RunEvent.step_error:
            view.status, view.error = RunStatus.ERROR, event.content
    if event.details is not None and view.metrics.duration_s is None:
        # Nobody but the step knows how long a function took.
        view.metrics = Metrics(duration_s=event.details["duration_s"])


def view_of_run(run: RunOutput) -> AnswerView:
    """Make the view of a run that has ended."""
    view = AnswerView()
    if run.reasoning_content:
        view.parts.append(Reasoning(run.reasoning_content))
    finish_view(view, run)
    return view


def finish_view(view: AnswerView, run: RunOutput) -> None:
    """Take over how the run ended, and whatever of its tools and text was not streamed."""
    view.run_id, view.session_id = run.run_id, run.session_id
    view.status = RunStatus.CANCELLED if run.interrupted else run.status
    view.name, view.metrics = run.component_name, run.metrics
    view.error = f"{run.error_type}: {run.error}" if run.error else None
    view.requirements = run.active_requirements if run.is_paused else []
    view.model = "demo model" if run.model_provider == "demo" else run.model
    places = {part.tool_call_id: place for place, part in enumerate(view.parts) if isinstance(part, ToolCall)}
    for call in run.tools:
        if call.tool_call_id in places:
            view.parts[places[call.tool_call_id]] = call
        else:
            places[call.tool_call_id] = _insert_tool(view, call)
    view.attempt, view.is_cached = run.attempt, run.is_cached
    text = run.get_content_as_string()
    if not isinstance(run.content, str | None):
        with suppress(ValueError, RecursionError):  # An object that JSON cannot hold is shown as its str().
            text = f"```json\n{json.dumps(json.loads(text), indent=2, ensure_ascii=False)}\n```"
    texts = [part for part in view.parts if isinstance(part, Text)]
    if texts and _collapse_whitespace(texts[-1].markdown) == _collapse_whitespace(text):
        texts[-1].markdown = text
    elif not _collapse_whitespace(view.markdown).endswith(_collapse_whitespace(text)):
        view.parts = [part for part in view.parts if not isinstance(part, Text)]
        view.parts.append(Text(text))


def _collapse_whitespace(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _add_text(view: AnswerView, event: RunOutputEvent) -> None:
    for piece, kind in ((event.reasoning_content, Reasoning), (event.content, Text)):
        if not piece:
            continue
        last = view.parts[-1] if view.parts else None
        if isinstance(last, kind):
            last.append(piece)
        else:
            view.parts.append(kind(piece))


def _add_tool(view: AnswerView, call: ToolCall) -> None:
    # The latest first: it is nearly always one of those.
    for place in range(len(view.parts) - 1, -1, -1):
        part = view.parts[place]
        if isinstance(part, ToolCall) and part.tool_call_id == call.tool_call_id:
            view.parts[place] = call
            return
    _insert_tool(view, call)


def _insert_tool(view: AnswerView, call: ToolCall) -> int:
    # A call that is reported only when the run has ended came before the answer's last words.
    place = len(view.parts)
    if view.status is not RunStatus.RUNNING and view.parts and isinstance(view.parts[-1], Text):
        place -= 1
    view.parts.insert(place, call)
    return place


class _Cell:
    """The output of a notebook cell: one display, replaced as a whole."""

    def __init__(
        self,
        view: AnswerView,
        shell: Any,
        clock: Callable[[], float],
        timer: Callable[[float, Callable[[], None]], Timer],
        lock: threading.RLock,
    ) -> None:
        self._view, self._shell, self._clock, self._timer = view, shell, clock, timer
        self.display_id = uuid.uuid4().hex
        self._shown = False
        self._failure: Exception | None = None
        self._due = -math.inf
        self._lock = lock
        self._waiting: Timer | None = None

    def changed(self) -> None:
        # Under %%capture every update would come out as an output of its own.
        if self._failure is not None or isinstance(self._shell.display_pub, CapturingDisplayPublisher):
            return
        now = self._clock()
        if now >= self._due:
            self._failure = self._show()
        elif self._waiting is None:
            self._waiting = self._timer(self._due - now, self._show_late)
            self._waiting.daemon = True
            self._waiting.start()

    def ended(self) -> None:
        if failure := self._show():
            warnings.warn(
                f"the answer could not be displayed ({type(failure).__name__}: {displayable(str(failure))}); "
                f"run {self._view.run_id} itself is not affected",
                RuntimeWarning,
                stacklevel=2,
            )

    def _show_late(self) -> None:
        with self._lock:
            # It may have been too late to cancel a timer whose words are shown already.
            if self._waiting is not None:
                self._failure = self._show()

    def _show(self) -> Exception | None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        ids = {"run_id": self._view.run_id, "session_id": self._view.session_id}
        began = self._clock()
        try:
            html = redact(render_answer(self._view))
            # The same as display(..., raw=True, display_id=...), for the shell that we were given.
            self._shell.display_pub.publish(
                {"text/html": html, "text/plain": displayable(render_text(self._view))},
                {"agno_nb": ids},
                transient={"display_id": self.display_id},
                update=self._shown,
            )
        except Exception as error:
            # A display that fails must not cancel a run that works. It is tried once more at the end, and said then.
            return error
        self._shown = True
        now = self._clock()
        pause = (now - began) * (1 / RENDERING_SHARE - 1)
        self._due = now + max(SHORTEST_INTERVAL_S, INTERVAL_PER_KB_S * len(html) / 1000, pause)
        return None
