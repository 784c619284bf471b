"""Answers as HTML and as text, for notebook outputs. :mod:`~agno_nb.notebook.markdown` says how they are kept safe."""

from __future__ import annotations

import html
import json
import math
import re
from dataclasses import dataclass, field, replace

from agno_nb.notebook.approvals import questions_html, questions_text
from agno_nb.notebook.markdown import BOX, CODE, MONOSPACE, escape_html, markdown_parser, sanitize_html
from agno_nb.notebook.tables import one_line
from agno_nb.redact import without_controls
from agno_nb.run.messages import INTERRUPTED_RESULT
from agno_nb.types import Metrics, Requirement, RunStatus, ToolCall

TEXT_LIMIT = 4_000
"""Characters of a tool's arguments, a tool's result or a run's reasoning that are shown. The store has the rest."""

NOTE_LIMIT = 240
"""Characters of a note that are shown. The store has the rest."""

MAX_NESTED = 30
"""Members' runs and steps of one run that are shown, the latest. The store has the rest."""

_TOOL_TEXT = (
    f"margin:.2em 0 .5em;padding:.5em .7em;{BOX};{MONOSPACE};font-size:.95em;line-height:1.4;"
    "white-space:pre-wrap;overflow-wrap:anywhere;max-height:24em;overflow-y:auto"
)
_SUMMARY = "cursor:pointer;padding:.1em 0"
_FOLD = "margin:.1em 0;font-size:.93em"
_INSIDE = "margin:.2em 0 .5em .4em;padding-left:.9em;border-left:2px solid rgba(128,128,128,.3)"
_LABEL = "font-size:.85em;opacity:.65"
_FOOTER = "margin:.7em 0 .2em;font-size:.8em;opacity:.65"
_ALERT = "color:#d0484f"


class _Markdown:
    """Markdown that grows by pieces, which are put together only when the whole is read."""

    __slots__ = ("_pieces",)
    __match_args__ = ("markdown",)

    def __init__(self, markdown: str) -> None:
        self._pieces = [markdown]

    @property
    def markdown(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    @markdown.setter
    def markdown(self, markdown: str) -> None:
        self._pieces = [markdown]

    def append(self, piece: str) -> None:
        self._pieces.append(piece)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.markdown == self.markdown

    __hash__ = None  # type: ignore[assignment] # It changes.

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.markdown!r})"


class Text(_Markdown):
    """A stretch of the answer."""

    __slots__ = ()


class Reasoning(_Markdown):
    """Reasoning of the model."""

    __slots__ = ()


@dataclass(slots=True)
class Note:
    """What happened beside the answer, in one line: that a request was tried again, say."""

    text: str


@dataclass(slots=True, kw_only=True)
class AnswerView:
    """What is to be seen of one run."""

    parts: list[Text | Reasoning | Note | ToolCall | AnswerView] = field(default_factory=list)
    """In the order of arrival. A view among the parts is a run nested in this one."""
    status: RunStatus = RunStatus.RUNNING
    name: str | None = None
    """Whose run it is. Shown of nested runs."""
    error: str | None = None
    """A sentence. Leave it None where the cell itself fails with it."""
    model: str | None = None
    metrics: Metrics = field(default_factory=Metrics)
    attempt: int = 0
    """The how-manieth try at its turn, from 0."""
    plain: bool = False
    """Whether its text is shown as it is, and not as Markdown."""
    replayed: bool = False
    """Whether it is a stored answer, given again."""
    requirements: list[Requirement] = field(default_factory=list)
    """What the run waits for."""
    run_id: str | None = None
    session_id: str | None = None

    @property
    def markdown(self) -> str:
        """The answer: all stretches of text, without tools, reasoning and nested runs."""
        return "\n\n".join(part.markdown.strip("\n") for part in self.parts if isinstance(part, Text))


def render_answer(view: AnswerView) -> str:
    """Make the card of a run as an HTML fragment that holds nothing live.

    Code is coloured once the run has ended: while an answer streams, the card is made ten times a second.
    """
    footer = f'<div style="{_FOOTER}">{escape_html(footer_text(view))}</div>'
    questions = questions_html(view.requirements)
    return sanitize_html(f'<div style="max-width:56em;line-height:1.55">{_body(view)}{questions}{footer}</div>')


def render_text(view: AnswerView) -> str:
    """Return the answer's Markdown, with a remark where the run did not complete.

    For a completed run without text, for example after `tool_call_limit`, its calls and notes are returned instead.
    """
    text = without_controls(view.markdown)
    if not text.strip() and view.status is RunStatus.COMPLETED:
        text = "\n".join(_part_line(part) for part in view.parts if isinstance(part, Note | ToolCall))
    remark = _STATUS_WORDS.get(view.status) or (_REPLAYED if view.replayed else "")
    questions = questions_text(view.requirements)
    return "\n\n".join(piece for piece in (text, questions, remark and f"({remark})") if piece)


def _part_line(part: Note | ToolCall) -> str:
    return without_controls(one_line(part.text, NOTE_LIMIT)) if isinstance(part, Note) else call_line(part)


def footer_text(view: AnswerView) -> str:
    """Say what is known of the run in one line: model, state, time, tokens, cost. What is not known is left out."""
    # A replay says nothing that differs from one execution of a notebook to the next.
    metrics = Metrics() if view.replayed else view.metrics
    tokens = None
    if metrics.input_tokens is not None or metrics.output_tokens is not None:
        counts = ("?" if count is None else f"{count:,}" for count in (metrics.input_tokens, metrics.output_tokens))
        tokens = " → ".join(counts) + " tokens"
    facts = (
        view.model,
        _STATUS_WORDS.get(view.status),
        _REPLAYED if view.replayed else None,
        f"attempt {view.attempt + 1}" if view.attempt else None,
        _duration(metrics.duration_s),
        tokens,
        _cost(metrics.cost),
    )
    return " · ".join(without_controls(fact) for fact in facts if fact)


def call_line(call: ToolCall) -> str:
    """Write a tool call as one line of code, shortened, as in ``weather(city="Rome")``."""
    values = {name: " ".join(v.split()) if isinstance(v, str) else v for name, v in call.tool_args.items()}
    arguments = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items())
    shown = arguments if len(arguments) <= 70 else f"{arguments[:69]}…"
    return without_controls(f"{call.tool_name}({shown})")


_REPLAYED = "replayed: no model was asked"
_STATUS_WORDS = {
    RunStatus.RUNNING: "running …",
    RunStatus.PAUSED: "waiting for you",
    RunStatus.CANCELLED: "interrupted",
    RunStatus.ERROR: "failed",
}


def _body(view: AnswerView) -> str:
    rendered: list[str] = []
    running = view.status is RunStatus.RUNNING
    nested = [place for place, part in enumerate(view.parts) if isinstance(part, AnswerView)]
    left_out = set(nested[: max(len(nested) - MAX_NESTED, 0)])
    if left_out:
        rendered.append(f'<div style="{_LABEL}">{len(left_out):,} earlier ones, see runs_df() and steps_df()</div>')
    for place, part in enumerate(view.parts):
        match part:
            case Text(markdown) if view.plain:
                rendered.append(f'<div style="white-space:pre-wrap">{escape_html(markdown)}</div>')
            case Text(markdown):
                is_open = running and place == len(view.parts) - 1
                rendered.append(markdown_parser(not running).render(_complete_lines(markdown) if is_open else markdown))
            case Reasoning(markdown):
                inside = markdown_parser(False).render(_shorten(markdown, "messages_df"))
                rendered.append(
                    fold(
                        f'<span style="{_LABEL}">Reasoning</span>', f'<div style="{_INSIDE};opacity:.8">{inside}</div>'
                    )
                )
            case Note(text):
                rendered.append(f'<div style="margin:.1em 0;{_LABEL}">{escape_html(one_line(text, NOTE_LIMIT))}</div>')
            case ToolCall():
                rendered.append(_tool(part, view.status))
            case AnswerView() if place in left_out:
                continue
            case AnswerView():
                heading = f"<strong>{escape_html(part.name or 'nested run')}</strong>"
                # A step that is a function is done again; how long that took differs each time.
                footer = footer_text(replace(part, metrics=Metrics()) if view.replayed else part)
                facts = f' <span style="{_LABEL}">{escape_html(footer)}</span>'
                is_open = running and part.status is RunStatus.RUNNING
                rendered.append(
                    fold(heading + facts, f'<div style="{_INSIDE}">{_body(_shorten_view(part))}</div>', is_open)
                )
    if view.error:
        rendered.append(f'<div style="margin:.4em 0;{_ALERT}">{escape_html(view.error)}</div>')
    return "".join(rendered)


def _tool(call: ToolCall, status: RunStatus) -> str:
    failed = call.tool_call_error and call.result != INTERRUPTED_RESULT
    if call.result is None:
        fact = "not run" if status is RunStatus.COMPLETED else _STATUS_WORDS[status]
    elif call.tool_call_error and not failed:
        fact = _STATUS_WORDS[RunStatus.CANCELLED]
    else:
        fact = " · ".join(filter(None, ["failed" if failed else "", _duration(call.duration_s)]))
    style = f"font-size:.85em;{_ALERT}" if failed else _LABEL
    summary = f'<code style="{CODE}">{html.escape(call_line(call))}</code>'
    summary += f' <span style="{style}">{escape_html(fact)}</span>' if fact else ""
    arguments = _format_arguments(call)
    inside = _tool_text("Arguments", arguments) if arguments else ""
    if call.result is not None:
        inside += _tool_text("Result", call.result)
    return fold(summary, f'<div style="{_INSIDE}">{inside}</div>')


def _tool_text(label: str, text: str) -> str:
    shown = html.escape(_shorten(text, "tool_calls_df"))
    return f'<div style="{_LABEL}">{label}</div><pre style="{_TOOL_TEXT}">{shown}</pre>'


def _shorten_view(view: AnswerView) -> AnswerView:
    """Leave out what is too much of a run within another one: the card is that of the whole."""
    parts = [Text(_shorten(part.markdown, "runs_df")) if isinstance(part, Text) else part for part in view.parts]
    return replace(view, parts=parts)


def fold(summary: str, inside: str, is_open: bool = False) -> str:
    """Make something that is seen when it is clicked."""
    shown = " open" if is_open else ""
    return f'<details{shown} style="{_FOLD}"><summary style="{_SUMMARY}">{summary}</summary>{inside}</details>'


def _format_arguments(call: ToolCall) -> str:
    """Write a call's arguments one under the other, and an SQL query or a program among them with its own lines."""
    if not call.tool_args:
        return call.arguments if call.arguments.strip() not in ("", "{}") else ""
    lines = []
    for name, value in call.tool_args.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"{name}:\n{text}" if "\n" in text else f"{name}: {text}")
    return "\n".join(lines)


def _shorten(text: str, frame: str) -> str:
    if len(text) <= TEXT_LIMIT:
        return text
    return f"{text[:TEXT_LIMIT]}\n\n… {len(text) - TEXT_LIMIT:,} more characters, see {frame}()"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 0.001:
        return "<1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _cost(dollars: float | None) -> str:
    if dollars is None:
        return ""
    if dollars <= 0:
        return "$0"
    places = max(2, 1 - math.floor(math.log10(dollars)))
    whole, _, fraction = f"{dollars:,.{places}f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


_MARKS = re.compile(r"[-=+*_#>~|: \t]+|`{1,2}|\d{1,9}[.)]?")


def _complete_lines(markdown: str) -> str:
    """Leave out a last line of which only the marks have arrived.

    "Penguins" and then "-" is a heading to Markdown until the rest of the list item is there.
    """
    before, _, last = markdown.rpartition("\n")
    words = last.strip(" \t")
    is_settled = not last or (words and not _MARKS.fullmatch(words))
    return markdown if is_settled else before
