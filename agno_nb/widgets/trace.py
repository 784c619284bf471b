"""The timeline of a run: nested runs, model calls and tools with their times and costs; two runs side by side."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import dropwhile
from typing import Any, Literal

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db import default_db
from agno_nb.db.base import AsyncDb, Db
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.displays import report_notes, report_with_texts
from agno_nb.notebook.html import element, escape_html, fold, sanitize_html
from agno_nb.notebook.markdown import plain_title
from agno_nb.notebook.render import clip, usage_line
from agno_nb.redact import displayable, redact
from agno_nb.run_view import STATUS_WORDS, RunView, Tone, call_state, view_of_run
from agno_nb.types import (
    ContextPart,
    ContextReport,
    JsonDict,
    Message,
    Metrics,
    RunOutput,
    RunStatus,
    ToolCall,
    shorten,
)
from agno_nb.widgets.base import BaseWidget, StaticView, current_notebook, store_of
from agno_nb.widgets.conversation import answer_html, indent_json, nested_runs
from agno_nb.widgets.intents import count, intent

TEXT_LIMIT = 20_000
"""Characters of one message, argument or result that the widget shows. The store has the rest."""

STATE_LIMIT = 60
"""Characters of a decision and its reason in a line. The result of a rejected call has the whole reason."""

_COLORS = {"run": "#3f7fd0", "model": "#a05fc8", "tool": "#3f8a4d"}
_TONE_COLORS: dict[Tone, str] = {"failed": "#d0484f", "rejected": "#b8702a"}
_SOURCES = {"tool": "tool result", "user": "prompt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the timeline."""

    kind: Literal["run", "model", "tool"]
    name: str
    depth: int
    started_at: float
    """Unix seconds."""
    ended_at: float
    state: str
    """How the run or call ended, in words; empty if it succeeded."""
    tone: Tone = ""
    metrics: Metrics
    details: Callable[[], list[JsonDict]]
    """Returns what is shown when the line is clicked."""

    @property
    def facts(self) -> str:
        """State, time, tokens and cost in one line."""
        first = self.metrics.time_to_first_token_s
        first_token = "" if first is None else f"first token {first:.2f} s"
        return displayable(" · ".join(filter(None, [self.state, usage_line(self.metrics), first_token])))


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run with everything in it."""

    run: RunOutput
    steps: list[Step]

    @property
    def started_at(self) -> float:
        return min(step.started_at for step in self.steps)

    @property
    def duration_s(self) -> float:
        return max(max(step.ended_at for step in self.steps) - self.started_at, 1e-6)

    @property
    def title(self) -> str:
        return plain_title(self.run.input, 120)


@suggest_on_unknown_kwarg({})
def trace(*runs: RunOutput | str, db: Db | AsyncDb | None = None) -> Trace:
    """Show a run as a timeline of its nested runs, model calls and tools.

    Parameters
    ----------
    *runs : RunOutput or str
        One run, or two to compare side by side. Pass the returned run or its `run_id` in the store.
    db : Db or AsyncDb, optional
        The store. Defaults to the notebook's.

    Returns
    -------
    Trace
        The widget. Click a line, or press Enter, to see its messages, arguments and result.

    Raises
    ------
    InvalidInputError
        A run does not exist, or the number of runs is not one or two.
    SessionOwnershipError
        The run is in a session of another user.

    Examples
    --------
    >>> from agno_nb import Agent
    >>> print(trace(Agent("demo").run("Hello")).static_view().text.splitlines()[0])
    Hello
    """
    if len(runs) not in (1, 2):
        raise InvalidInputError(f"trace() shows one run, or two side by side, got {len(runs)}")
    notebook = current_notebook()
    store = store_of(db, notebook)
    user_id = None if notebook is None else notebook.current_user_id
    return Trace([timeline_of(_load_run(run, store, user_id), store) for run in runs])


def _load_run(run: RunOutput | str, db: Db, user_id: str | None) -> RunOutput:
    if isinstance(run, RunOutput):
        return run
    if not isinstance(run, str):
        raise InvalidInputError(f"trace() takes a RunOutput or a run_id, got {run!r}")
    db.check_owner(user_id, run_id=run)
    stored = db.get_run(run)
    if stored is None:
        raise InvalidInputError(f"there is no run {run!r} in {db.identity}; runs_df() lists all runs")
    return stored


def timeline_of(run: RunOutput, db: Db | None) -> Timeline:
    """Return the timeline of a run, with the nested runs that are in the store."""
    nested = [] if db is None else nested_runs(db, run.session_id, {run.run_id})
    return Timeline(run, list(_steps(view_of_run(run, nested), db, depth=0)))


def _steps(view: RunView, db: Db | None, *, depth: int) -> Iterator[Step]:
    run = view.run
    assert run is not None
    yield _run_step(view, run, depth)
    groups: list[list[Step]] = []
    for place, message in enumerate(run.messages):
        # The answer of a workflow is assembled; no model wrote it.
        is_call = message.metrics is not None or message.model is not None or message.finish_reason is not None
        if message.role == "assistant" and is_call and not message.from_history:
            groups.append([_model_step(run, place, db, depth + 1)])
    requested_at = {call.tool_call_id: each.created_at for each in run.messages for call in each.tool_calls}
    by_call: dict[str | None, list[Step]] = {}
    for part in view.parts:
        if isinstance(part, ToolCall):
            # A tool starts when the model has requested it. The calls of a scripted model may be much older.
            started_at = max(part.created_at, requested_at.get(part.tool_call_id, run.created_at))
            by_call[part.tool_call_id] = [_tool_step(part, view.status, started_at, depth + 1)]
            groups.append(by_call[part.tool_call_id])
        elif isinstance(part, RunView) and part.run is not None:
            group = by_call.get(part.run.parent_tool_call_id)
            if group is None:
                groups.append(list(_steps(part, db, depth=depth + 1)))
            else:
                group += _steps(part, db, depth=depth + 2)
    # Each group starts with its first line.
    for steps in sorted(groups, key=lambda group: group[0].started_at):
        yield from steps


def _run_step(view: RunView, run: RunOutput, depth: int) -> Step:
    name = run.component_name or run.component_id or run.kind
    return Step(
        kind="run",
        name=f"{run.step}: {name}" if run.step else name,
        depth=depth,
        started_at=run.created_at,
        # The end of a run whose process died is unknown.
        ended_at=run.ended_at
        or max(run.created_at + (run.metrics.duration_s or 0.0), *(each.created_at for each in run.messages)),
        state=STATUS_WORDS.get(view.status, ""),
        tone="failed" if view.status is RunStatus.ERROR else "",
        metrics=run.metrics,
        details=lambda: _details(
            ("Prompt", run.input),
            ("Answer", run.get_content_as_string()),
            ("Error", run.error),
            ("Run", run.run_id),
        ),
    )


def _model_step(run: RunOutput, place: int, db: Db | None, depth: int) -> Step:
    message = run.messages[place]
    metrics = message.metrics or Metrics()
    return Step(
        kind="model",
        name=message.model or run.model or "model",
        depth=depth,
        started_at=message.created_at - (metrics.duration_s or 0.0),
        ended_at=message.created_at,
        state=STATUS_WORDS[RunStatus.CANCELLED] if message.finish_reason == "interrupted" else "",
        metrics=metrics,
        details=partial(_model_details, run, place, db),
    )


def _tool_step(call: ToolCall, status: RunStatus, started_at: float, depth: int) -> Step:
    state, tone = call_state(call, status)
    return Step(
        kind="tool",
        name=call.tool_name,
        depth=depth,
        started_at=started_at,
        ended_at=started_at + (call.duration_s or 0.0),
        state=shorten(state, STATE_LIMIT),
        tone=tone,
        metrics=Metrics(duration_s=None if tone == "rejected" else call.duration_s),
        details=lambda: _details(("Arguments", indent_json(call.arguments)), ("Result", call.result)),
    )


def _model_details(run: RunOutput, place: int, db: Db | None) -> list[JsonDict]:
    """Return the request and the response of a model call; `place` is its index in the run's messages."""
    message, sent = run.messages[place], run.messages[:place]
    report, added = ContextReport(), sent
    if run.context_report is not None:
        # The report describes the first request. Later requests add the messages of the run since then.
        report = report_with_texts(run, db)
        own = [each for each in sent if not each.from_history]
        added = list(dropwhile(lambda each: each.role != "user", own))[1:]
    report = replace(report, parts=[*report.parts, *map(_part, added)])
    parts = [
        {"source": source, "detail": _displayed(detail), "size": size, "text": _displayed(part.text or "")}
        for (source, detail, size), part in zip(report.rows(), report.parts, strict=True)
    ]
    notes = report_notes(report, message.metrics.input_tokens if message.metrics else None)
    request = {"title": "Request", "text": _displayed("\n".join(notes)), "parts": parts}
    return [request, *_details(("Response", _text_of(message)), ("Reasoning", message.reasoning_content))]


def _part(message: Message) -> ContextPart:
    text = _text_of(message)
    source = "history" if message.from_history else _SOURCES.get(message.role, message.role)
    return ContextPart(source=source, role=message.role, name=message.tool_name, chars=len(text), text=text)


def _text_of(message: Message) -> str:
    calls = (f"{call.tool_name}({call.arguments})" for call in message.tool_calls)
    return "\n".join(filter(None, [message.content or "", *calls]))


def _details(*details: tuple[str, str | None]) -> list[JsonDict]:
    return [{"title": title, "text": _displayed(text), "parts": []} for title, text in details if text]


def _displayed(text: str) -> str:
    return displayable(clip(text, TEXT_LIMIT, " in the store"))


class Trace(BaseWidget):
    """The timeline of one run, or of two side by side, created by :func:`trace`.

    Attributes
    ----------
    runs : list of RunOutput
        The runs that are shown.
    """

    kind = "trace"

    def __init__(self, timelines: Sequence[Timeline]) -> None:
        super().__init__()
        self._timelines = list(timelines)
        self.show({"timelines": [_content(timeline) for timeline in timelines]})

    @property
    def runs(self) -> list[RunOutput]:
        """The runs that are shown."""
        return [timeline.run for timeline in self._timelines]

    def static_view(self) -> StaticView:
        html = "".join(map(timeline_html, self._timelines))
        return StaticView(html, "\n\n".join(map(_timeline_text, self._timelines)))

    def __repr__(self) -> str:
        return f"Trace({', '.join(run.run_id for run in self.runs)})"

    @intent(timeline=count(1), step=count(100_000))
    def _look(self, *, timeline: int, step: int) -> list[JsonDict]:
        """Return the details of a line."""
        if timeline >= len(self._timelines) or step >= len(self._timelines[timeline].steps):
            raise InvalidInputError("there is no such line; reload the page")
        return self._timelines[timeline].steps[step].details()


def _content(timeline: Timeline) -> dict[str, Any]:
    started_at, duration_s = timeline.started_at, timeline.duration_s
    return {
        "title": timeline.title,
        "duration_s": duration_s,
        "steps": [
            {
                "kind": step.kind,
                "name": displayable(step.name),
                "depth": step.depth,
                "from": (step.started_at - started_at) / duration_s,
                "to": (step.ended_at - started_at) / duration_s,
                "first": (step.metrics.time_to_first_token_s or 0.0) / duration_s,
                "tone": step.tone,
                "facts": step.facts,
            }
            for step in timeline.steps
        ],
    }


def _timeline_text(timeline: Timeline) -> str:
    lines = [f"{'  ' * step.depth}{step.kind} {step.name} · {step.facts}" for step in timeline.steps]
    return "\n".join([timeline.title, *lines])


def timeline_html(timeline: Timeline) -> str:
    """Draw a timeline with the HTML that a saved notebook may contain: tables, margins and colours."""
    rows = element("tbody", *(_row(timeline, step) for step in timeline.steps))
    title = element("div", escape_html(timeline.title), style="title")
    return redact(sanitize_html(title + element("table", rows, style="table")))


def _row(timeline: Timeline, step: Step) -> str:
    left = 100 * (step.started_at - timeline.started_at) / timeline.duration_s
    right = min(100 * (1 - (step.ended_at - timeline.started_at) / timeline.duration_s), 99.0 - min(left, 98.0))
    color = _TONE_COLORS.get(step.tone, _COLORS[step.kind])
    margin = f"margin:0 {max(right, 0):.1f}% 0 {min(left, 98.0):.1f}%;background-color:{color}"
    bar = element("div", "&nbsp;", style="bar", css=margin)
    # Invisible text gives the column its width, because saved notebooks do not keep widths of tables.
    spacer = element("div", "&nbsp;" * 60, style="spacer")
    name = element("div", escape_html(step.name), css=f"padding-left:{step.depth * 1.2:.1f}em")
    cells = (
        element("td", name, style="step"),
        element("td", bar, spacer, style="track"),
        element("td", html.escape(step.facts), style="facts"),
    )
    return element("tr", *cells, style="row")


def run_html(run: RunOutput) -> str:
    """Return a run that is the last value of a cell: its answer, and below it the folded timeline."""
    return sanitize_html(answer_html(run) + fold("Timeline", timeline_html(timeline_of(run, default_db()))))
