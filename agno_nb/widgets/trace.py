"""The timeline of a run: what happened in it, when, for how long and at which cost; two of them side by side."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db.async_db import AsyncDb, as_sync
from agno_nb.db.base import Db
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.markdown import escape_html, sanitize_html
from agno_nb.notebook.render import AnswerView, fold, footer_text
from agno_nb.redact import displayable, redact
from agno_nb.types import Message, Metrics, RunOutput, RunStatus, ToolCall
from agno_nb.widgets.base import BaseWidget, StaticView
from agno_nb.widgets.conversation import answer_html, nested_runs
from agno_nb.widgets.current_notebook import current_notebook, default_store
from agno_nb.widgets.intents import count, intent
from agno_nb.widgets.trace_details import Detail, details_of_model_call, details_of_run, details_of_tool

_COLOURS = {"run": "#3f7fd0", "model": "#a05fc8", "tool": "#3f8a4d"}
_FAILED = "#d0484f"
_NAME = "padding:.15em 1.2em .15em 0;white-space:nowrap;text-align:left"
_FACTS = "padding:.15em 0 .15em 1.2em;white-space:nowrap;text-align:left;font-size:.85em;opacity:.75"
_PLAIN_ROW = "background-color:transparent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the timeline."""

    kind: Literal["run", "model", "tool"]
    name: str
    depth: int
    started_at: float
    """Unix seconds."""
    ended_at: float
    status: RunStatus
    metrics: Metrics
    details: Callable[[], list[Detail]]
    """Reads what a click shows."""

    @property
    def facts(self) -> str:
        """Time, tokens, cost and state in one line."""
        first = self.metrics.time_to_first_token_s
        footer = footer_text(AnswerView(status=self.status, metrics=self.metrics))
        return " · ".join(filter(None, [footer, "" if first is None else f"first token {first:.2f} s"]))


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
        return " ".join(displayable(self.run.input).split())[:120]


@suggest_on_unknown_kwarg({})
def trace(*runs: RunOutput | str, db: Db | AsyncDb | None = None) -> Trace:
    """Show what happened in a run as a timeline: nested runs, model calls and tools.

    Parameters
    ----------
    *runs : RunOutput or str
        One run, or two to be shown side by side; as it was returned, or its `run_id` in the store.
    db : Db or AsyncDb, optional
        The store; defaults to the notebook's.

    Returns
    -------
    Trace
        The panel. A click on a line, or Enter, shows its messages, its arguments and its result.

    Raises
    ------
    InvalidInputError
        There is no such run, or not one or two were given.
    SessionOwnershipError
        The run is in a session of another user than the notebook's.

    Examples
    --------
    >>> from agno_nb import Agent
    >>> print(trace(Agent("demo").run("Hello")).static_view().text.splitlines()[0])
    Hello
    """
    if len(runs) not in (1, 2):
        raise InvalidInputError(f"trace() shows one run, or two side by side, and got {len(runs)}")
    notebook = current_notebook()
    if not isinstance(db, Db | AsyncDb | None):
        raise InvalidInputError(f"db is {db!r}; give a store, such as DuckDb('talks.duckdb')")
    store = as_sync(db) or default_store(notebook)
    user_id = None if notebook is None else notebook.current_user_id
    return Trace([timeline_of(_load_run(run, store, user_id), store) for run in runs])


def _load_run(run: RunOutput | str, db: Db, user_id: str | None) -> RunOutput:
    if isinstance(run, RunOutput):
        return run
    if not isinstance(run, str):
        raise InvalidInputError(f"trace() takes a RunOutput or a run_id, not {run!r}")
    db.check_owner(user_id, run_id=run)
    stored = db.get_run(run)
    if stored is None:
        raise InvalidInputError(f"there is no run {run!r} in {db.identity}; runs_df() lists what there is")
    return stored


def timeline_of(run: RunOutput, db: Db | None) -> Timeline:
    """Read the timeline of a run, and of the runs nested in it where the store has them."""
    nested = [] if db is None else nested_runs(db, run.session_id, {run.run_id})
    return Timeline(run, list(_steps(run, nested, db, depth=0)))


def _steps(run: RunOutput, nested: Sequence[RunOutput], db: Db | None, *, depth: int) -> Iterator[Step]:
    ended_at = run.ended_at or run.created_at + (run.metrics.duration_s or 0.0)
    yield Step(
        kind="run",
        name=f"{run.step}: {_who(run)}" if run.step else _who(run),
        depth=depth,
        started_at=run.created_at,
        ended_at=ended_at,
        status=run.status,
        metrics=run.metrics,
        details=partial(details_of_run, run),
    )
    inside: list[tuple[float, list[Step]]] = []
    for place, message in enumerate(run.messages):
        # A workflow's answer was put together, and is no model's.
        is_call = message.metrics is not None or message.model is not None or message.finish_reason is not None
        if message.role == "assistant" and is_call and not message.from_history:
            inside.append((_started_at(message), [_model_step(run, place, db, depth + 1)]))
    asked_at = {call.tool_call_id: each.created_at for each in run.messages for call in each.tool_calls}
    children = {child.run_id: child for child in nested if child.parent_run_id == run.run_id}
    for call in run.tools:
        # A tool begins when the model has asked for it; a fake's calls may have been made long before.
        began = max(call.created_at, asked_at.get(call.tool_call_id, run.created_at))
        steps = [_tool_step(call, began, depth + 1)]
        for child in [each for each in children.values() if each.parent_tool_call_id == call.tool_call_id]:
            steps += _steps(children.pop(child.run_id), nested, db, depth=depth + 2)
        inside.append((began, steps))
    inside += [(child.created_at, list(_steps(child, nested, db, depth=depth + 1))) for child in children.values()]
    for _, steps in sorted(inside, key=lambda each: each[0]):
        yield from steps


def _who(run: RunOutput) -> str:
    return run.component_name or run.component_id or run.kind


def _started_at(message: Message) -> float:
    return message.created_at - ((message.metrics and message.metrics.duration_s) or 0.0)


def _model_step(run: RunOutput, place: int, db: Db | None, depth: int) -> Step:
    message = run.messages[place]
    return Step(
        kind="model",
        name=message.model or run.model or "model",
        depth=depth,
        started_at=_started_at(message),
        ended_at=message.created_at,
        status=RunStatus.CANCELLED if message.finish_reason == "interrupted" else RunStatus.COMPLETED,
        metrics=message.metrics or Metrics(),
        details=partial(details_of_model_call, run, place, db),
    )


def _tool_step(call: ToolCall, began: float, depth: int) -> Step:
    unfinished = call.result is None
    return Step(
        kind="tool",
        name=call.tool_name,
        depth=depth,
        started_at=began,
        ended_at=began + (call.duration_s or 0.0),
        status=RunStatus.ERROR if call.tool_call_error else RunStatus.PAUSED if unfinished else RunStatus.COMPLETED,
        metrics=Metrics(duration_s=call.duration_s),
        details=partial(details_of_tool, call),
    )


class Trace(BaseWidget):
    """The timeline of one run, or of two side by side, made by :func:`trace`.

    Attributes
    ----------
    runs : list of RunOutput
        What is shown.
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
        parts = [timeline_html(timeline) for timeline in self._timelines]
        return StaticView("".join(parts), "\n\n".join(map(timeline_text, self._timelines)))

    def __repr__(self) -> str:
        return f"Trace({', '.join(run.run_id for run in self.runs)})"

    @intent(timeline=count(1), step=count(100_000))
    async def _look(self, *, timeline: int, step: int) -> list[dict[str, Any]]:
        """Give what is behind a line."""
        if timeline >= len(self._timelines) or step >= len(self._timelines[timeline].steps):
            raise InvalidInputError("there is no such line: reload the page")
        details = self._timelines[timeline].steps[step].details
        return await asyncio.to_thread(lambda: [detail.content() for detail in details()])


def _content(timeline: Timeline) -> dict[str, Any]:
    began, whole = timeline.started_at, timeline.duration_s
    return {
        "title": timeline.title,
        "duration_s": whole,
        "steps": [
            {
                "kind": step.kind,
                "name": displayable(step.name),
                "depth": step.depth,
                "from": (step.started_at - began) / whole,
                "to": (step.ended_at - began) / whole,
                "first": (step.metrics.time_to_first_token_s or 0.0) / whole,
                "status": step.status.value,
                "facts": step.facts,
            }
            for step in timeline.steps
        ],
    }


def timeline_text(timeline: Timeline) -> str:
    """Write a timeline as lines of text."""
    lines = [f"{'  ' * step.depth}{step.kind} {step.name} · {step.facts}" for step in timeline.steps]
    return "\n".join([timeline.title, *lines])


def timeline_html(timeline: Timeline) -> str:
    """Draw a timeline with what HTML has that may stay in a notebook: tables, margins and colours."""
    rows = "".join(_row(timeline, step) for step in timeline.steps)
    title = f'<div style="font-weight:600;margin:.4em 0">{escape_html(timeline.title)}</div>'
    return redact(sanitize_html(f'{title}<table style="border-collapse:collapse"><tbody>{rows}</tbody></table>'))


def _row(timeline: Timeline, step: Step) -> str:
    left = 100 * (step.started_at - timeline.started_at) / timeline.duration_s
    right = min(100 * (1 - (step.ended_at - timeline.started_at) / timeline.duration_s), 99.0 - min(left, 98.0))
    colour = _FAILED if step.status is RunStatus.ERROR else _COLOURS[step.kind]
    # A cell of text as wide as the bar may become: tables of a notebook have no widths that stay.
    bar = (
        f'<div style="margin:0 {max(right, 0):.1f}% 0 {min(left, 98.0):.1f}%;background-color:{colour};'
        'border-radius:3px;font-size:.6em;line-height:1.3">&nbsp;</div>'
        '<div style="line-height:0;opacity:0">' + "&nbsp;" * 60 + "</div>"
    )
    name = f'<div style="padding-left:{step.depth * 1.2:.1f}em">{escape_html(step.name)}</div>'
    return (
        f'<tr style="{_PLAIN_ROW}"><td style="{_NAME}">{name}</td><td style="padding:.15em 0">{bar}</td>'
        f'<td style="{_FACTS}">{html.escape(step.facts)}</td></tr>'
    )


def run_html(run: RunOutput) -> str:
    """Return the card of a run that is the last value of a cell: the answer, and the timeline folded below it."""
    from agno_nb.db import default_db

    return sanitize_html(answer_html(run) + fold("Timeline", timeline_html(timeline_of(run, default_db()))))
