"""The HTML and the text of a run in an output; :mod:`agno_nb.notebook.html` makes sure that nothing in it is live."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace

from agno_nb.notebook.html import element, escape_html, fold, sanitize_html, with_code
from agno_nb.notebook.markdown import markdown_parser
from agno_nb.redact import without_controls
from agno_nb.run_view import NOTE_LIMIT, STATUS_WORDS, Note, Reasoning, RunView, Text, call_state
from agno_nb.types import Metrics, Requirement, RunStatus, ToolCall, counted, one_line, shorten

TEXT_LIMIT = 4_000
"""Characters of a tool's arguments, a tool's result or a run's reasoning that are shown. The store has the rest."""

MAX_NESTED = 30
"""Number of members' runs and steps shown for one run, the latest. The store has the rest."""

_CACHED = "cached: no model was called"
_TONES = {"": "label", "rejected": "small warning", "failed": "small alert"}
TASK_LIMIT = 70
"""Characters of a member's task, or of a call's arguments, in a line. The whole is below it if it is longer."""


def render_answer(view: RunView) -> str:
    """Return a run as safe HTML.

    Code is coloured only after the run has ended: a growing answer is rendered up to ten times a second.
    """
    footer = element("div", escape_html(footer_text(view)), style="footer")
    return sanitize_html(element("div", _body(view), questions_html(view.requirements), footer, style="answer"))


def render_text(view: RunView) -> str:
    """Return the answer as Markdown, with its questions, and a remark if the run did not complete.

    For a completed run without text, for example after `tool_call_limit`, its calls and notes are returned instead.
    """
    text = without_controls(view.markdown)
    if not text.strip() and view.status is RunStatus.COMPLETED:
        lines = (
            one_line(part.text, NOTE_LIMIT) if isinstance(part, Note) else call_line(part)
            for part in view.parts
            if isinstance(part, Note | ToolCall)
        )
        text = without_controls("\n".join(lines))
    remark = STATUS_WORDS.get(view.status) or (_CACHED if view.is_cached else "")
    pieces = (text, questions_text(view.requirements), remark and f"({remark})")
    return "\n\n".join(filter(None, pieces))


def footer_text(view: RunView) -> str:
    """Return the known facts of a run in one line: model, status, duration, tokens, cost."""
    not_sent = "earlier turns not sent" if view.omits_turns else None
    attempt = f"attempt {view.attempt + 1}" if view.attempt else None
    # The footer of a cached answer is the same each time the notebook is executed.
    facts = [_CACHED, attempt] if view.is_cached else [attempt, not_sent, usage_line(view.metrics)]
    return " · ".join(without_controls(fact) for fact in (view.model, STATUS_WORDS.get(view.status), *facts) if fact)


def usage_line(metrics: Metrics) -> str:
    """Return duration, tokens and cost in one line, as far as they are known."""
    tokens = ""
    if metrics.input_tokens is not None or metrics.output_tokens is not None:
        counts = ("?" if count is None else f"{count:,}" for count in (metrics.input_tokens, metrics.output_tokens))
        tokens = " → ".join(counts) + (" token" if metrics.output_tokens == 1 else " tokens")
    return " · ".join(filter(None, [_duration(metrics.duration_s), tokens, _cost(metrics.cost)]))


def call_line(call: ToolCall) -> str:
    """Return a tool call as a short line of code, for example ``weather(city="Rome")``."""
    values = {name: " ".join(v.split()) if isinstance(v, str) else v for name, v in call.tool_args.items()}
    arguments = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items())
    return without_controls(f"{call.tool_name}({shorten(arguments, TASK_LIMIT)})")


def clip(text: str, limit: int, rest: str) -> str:
    """Return the first `limit` characters, followed by a line that says where the rest is."""
    return text if len(text) <= limit else f"{text[:limit]}\n\n… {counted(len(text) - limit, 'more character')}{rest}"


def questions_text(requirements: Sequence[Requirement]) -> str:
    """Return the questions of a paused run with the commands that answer them."""
    return without_controls("\n\n".join(f"{each.question}\n{_commands(each)}" for each in requirements))


def questions_html(requirements: Sequence[Requirement]) -> str:
    """Return :func:`questions_text` as HTML. Arguments are never shortened, because they are to be approved."""
    return "".join(
        element("pre", html.escape(without_controls(each.question)), style="question")
        + element("div", element("code", html.escape(_commands(each))), style="commands")
        for each in requirements
    )


def _commands(requirement: Requirement) -> str:
    short_id = requirement.short_id
    reject = f"%agent reject {short_id} [why]"
    if requirement.kind == "confirmation":
        return f"%agent approve {short_id}   or   {reject}"
    return f"{answer_command(requirement)}   or   {reject}"


def answer_command(requirement: Requirement) -> str:
    """Return the command that resolves a requirement with values or a result, with placeholders."""
    if requirement.kind == "external_execution":
        return f"%agent answer {requirement.short_id} RESULT"
    values = " ".join(f"{each.name}=…" for each in requirement.user_input_fields if not each.is_given)
    return f"%agent answer {requirement.short_id} {values}"


def _body(view: RunView) -> str:
    rendered: list[str] = []
    nested = [place for place, part in enumerate(view.parts) if isinstance(part, RunView)]
    omitted = set(nested[: max(len(nested) - MAX_NESTED, 0)])
    if omitted:
        line = f"{counted(len(omitted), 'earlier run')} not shown, see runs_df() and steps_df()"
        rendered.append(element("div", line, style="label"))
    for place, part in enumerate(view.parts):
        match part:
            case Text(markdown):
                rendered.append(_text(markdown, view, is_last=place == len(view.parts) - 1))
            case Reasoning(markdown):
                inside = markdown_parser(False).render(clip(markdown, TEXT_LIMIT, ", see messages_df()"))
                heading = element("span", "Reasoning", style="label")
                rendered.append(fold(heading, element("div", inside, style="inside quiet")))
            case Note(text):
                rendered.append(element("div", with_code(one_line(text, NOTE_LIMIT)), style="close label"))
            case ToolCall():
                rendered.append(_tool(part, view))
            case RunView() if place not in omitted:
                rendered.append(_nested(part, view))
    if view.error:
        rendered.append(element("div", escape_html(view.error), style="error alert"))
    return "".join(rendered)


def _text(markdown: str, view: RunView, *, is_last: bool) -> str:
    if view.plain:
        return element("div", escape_html(markdown), style="plain")
    is_running = view.status is RunStatus.RUNNING
    if is_running and is_last:
        markdown = _complete_lines(markdown)
    return str(markdown_parser(highlight=not is_running).render(markdown))


def _nested(nested: RunView, parent: RunView) -> str:
    is_running = parent.status is nested.status is RunStatus.RUNNING
    # A function step of a cached workflow is executed again, and its duration differs each time.
    footer = footer_text(replace(nested, metrics=Metrics()) if parent.is_cached else nested)
    heading = element("strong", escape_html(nested.name or "nested run"))
    task = one_line(nested.task or "", TASK_LIMIT)
    heading += f": {escape_html(task)}" if task else ""
    # The line below the answer says that the run is in progress.
    facts = " " + element("span", "…" if is_running else escape_html(footer), style="label")
    parts = [
        Text(clip(part.markdown, TEXT_LIMIT, ", see runs_df()")) if isinstance(part, Text) else part
        for part in nested.parts
    ]
    whole = _tool_text("Task", nested.task) if nested.task and task != nested.task and not is_running else ""
    inside = element("div", whole, _body(replace(nested, parts=parts)), style="inside")
    return fold(heading + facts, inside, is_open=is_running)


def _tool(call: ToolCall, view: RunView) -> str:
    state, tone = call_state(call, view.status, view.progress.get(call.tool_call_id, ""))
    was_run = call.result is not None and tone != "rejected"
    facts = " · ".join(filter(None, [without_controls(state), _duration(call.duration_s) if was_run else ""]))
    summary = element("code", html.escape(call_line(call)), style="code")
    if facts:
        summary += " " + element("span", escape_html(facts), style=_TONES[tone])
    arguments = _format_arguments(call)
    inside = _tool_text("Arguments", arguments) if arguments else ""
    if call.result is not None:
        inside += _tool_text("Result", call.result)
    return fold(summary, element("div", inside, style="inside"))


def _tool_text(label: str, text: str) -> str:
    shown = html.escape(clip(text, TEXT_LIMIT, ", see tool_calls_df()"))
    return element("div", label, style="label") + element("pre", shown, style="tool")


def _format_arguments(call: ToolCall) -> str:
    """Return the arguments of a call, one per line; a multi-line argument such as SQL keeps its lines."""
    if not call.tool_args:
        return call.arguments if call.arguments.strip() not in ("", "{}") else ""
    lines = []
    for name, value in call.tool_args.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"{name}:\n{text}" if "\n" in text else f"{name}: {text}")
    return "\n".join(lines)


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
    """Remove a last line that consists only of Markdown marks so far.

    "Penguins" followed by "-" is a heading until the rest of the list item arrives.
    """
    before, _, last = markdown.rpartition("\n")
    words = last.strip(" \t")
    is_settled = not last or (words and not _MARKS.fullmatch(words))
    return markdown if is_settled else before
