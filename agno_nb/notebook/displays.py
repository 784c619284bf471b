"""Small displays: facts, tables, notes and questions; and our objects as the last value of a cell.

IPython formatters show the objects, so that these contain no HTML themselves. Text from the store is data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from IPython.display import display

from agno_nb.db.arrow_tables import FROM_STORE
from agno_nb.db.base import Db
from agno_nb.db.frame_reader import QueryResult
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.html import element, escape_html, html_bundle, with_code
from agno_nb.notebook.render import questions_html, questions_text, usage_line
from agno_nb.redact import displayable, without_controls
from agno_nb.run.runnable import Runnable
from agno_nb.types import (
    ContextPart,
    ContextReport,
    Requirement,
    RunOutput,
    Session,
    Variable,
    counted,
    current_attempts,
    one_line,
)

NUM_TURNS = 20
LINE_LIMIT = 200
PREVIEW_LIMIT = 160
"""Characters of a part's text that a context report shows."""

ColumnKind: TypeAlias = Literal["text", "lines", "word", "number"]
"""How a column is set: "text" and "lines" wrap, and "lines" keep their own line breaks."""


def show_facts(facts: Mapping[str, str]) -> None:
    """Show names and values, one per line. Text in `backticks` is set as code."""
    display(facts_bundle(facts), raw=True)


def facts_bundle(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the display bundle of :func:`show_facts`."""
    width = max(map(len, facts))
    text = "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())
    cells = [
        element("td", with_code(name), style="key") + element("td", with_code(value), style="value")
        for name, value in facts.items()
    ]
    rows = (element("tr", row, style="row") for row in cells)
    return html_bundle(element("table", *rows, style="table"), text)


def show_table(columns: Mapping[str, ColumnKind], rows: Iterable[Sequence[str]], *, note: str) -> None:
    """Show a table with a sentence below it. Text in `backticks` in the sentence is set as code."""
    display(table_bundle(columns, rows, note=note), raw=True)


def table_bundle(columns: Mapping[str, ColumnKind], rows: Iterable[Sequence[str]], *, note: str) -> dict[str, str]:
    """Return the display bundle of :func:`show_table`."""
    kinds = list(columns.values())
    cells = [[without_controls(cell) for cell in row] for row in (list(columns), *rows)]
    lines = [[" ".join(cell.split()) for cell in row] for row in cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join(
        "  ".join(
            cell.rjust(width) if kind == "number" else cell.ljust(width)
            for cell, kind, width in zip(line, kinds, widths, strict=True)
        ).rstrip()
        for line in lines
    )
    head, *body = [_row(row, kinds, "td" if place else "th") for place, row in enumerate(cells)]
    table = element("table", element("thead", head), element("tbody", *body), style="table")
    return html_bundle(table + element("div", with_code(note), style="note"), f"{text}\n\n{note}")


def _row(cells: Sequence[str], kinds: Sequence[ColumnKind], tag: str) -> str:
    inside = (
        element(tag, escape_html(cell.strip() if kind == "lines" else " ".join(cell.split())), style=f"cell {kind}")
        for cell, kind in zip(cells, kinds, strict=True)
    )
    return element("tr", *inside, style="row lined")


def show_note(text: str) -> None:
    """Show a quiet line. Text in `backticks` is set as code."""
    display(note_bundle(text), raw=True)


def note_bundle(text: str) -> dict[str, str]:
    """Return the display bundle of :func:`show_note`."""
    return html_bundle(element("div", with_code(text), style="note"), text)


def show_questions(requirements: Sequence[Requirement]) -> None:
    """Show what paused runs ask, and the commands that answer."""
    display(html_bundle(questions_html(requirements), questions_text(requirements)), raw=True)


def object_html(value: Any) -> str | None:
    """Return the HTML of an object of one of the classes in `FORMATTERS`."""
    html: str | None = next(function for cls, function in FORMATTERS.items() if isinstance(value, cls))(value)
    return html


def print_frame(frame: Any, printer: Any) -> None:
    """Print a DataFrame as IPython does, without the control characters in its cells, which pandas prints unchanged."""
    for number, line in enumerate(displayable(repr(frame)).splitlines()):
        if number:
            printer.break_()
        printer.text(line)


def frame_html(frame: Any) -> str | None:
    """Return the HTML that pandas makes of a DataFrame."""
    html: str | None = frame._repr_html_()
    return html


def short_ids(frame: Any, html: str | None) -> str | None:
    """Return the table of a DataFrame with the end of each ID in it, if the DataFrame comes from a store.

    The whole ID appears when the mouse is over its cell. The DataFrame and its text have whole IDs.
    """
    if html is None or FROM_STORE not in frame.attrs:
        return html
    return _ID_CELL.sub(lambda cell: f' title="{cell[1]}" style="white-space:nowrap">…{cell[1][-6:]}</t', html)


def _run_html(run: RunOutput) -> str:
    from agno_nb.widgets.trace import run_html

    return run_html(run)


def _session_html(session: Session) -> str:
    rows = [
        (str(run.run_index), one_line(run.input, LINE_LIMIT), one_line(run.get_content_as_string(), LINE_LIMIT))
        for run in current_attempts(session.runs)[-NUM_TURNS:]
    ]
    facts = (session.session_name, session.session_id, session.user_id, usage_line(session.metrics))
    columns: dict[str, ColumnKind] = {"turn": "number", "prompt": "text", "answer": "text"}
    return table_bundle(columns, rows, note=" · ".join(filter(None, facts)))["text/html"]


def _runnable_html(runnable: Runnable) -> str:
    facts = {type(runnable).__name__.lower(): runnable.name or runnable.component_id}
    for name in ("model", "description", "instructions", "user_id", "session_id"):
        if (value := getattr(runnable, name, None)) is not None:
            facts[name] = one_line(value if isinstance(value, str) else repr(value), LINE_LIMIT)
    for name in ("tools", "members", "steps"):
        items = getattr(runnable, name, None)
        if isinstance(items, list | tuple) and items:
            facts[name] = ", ".join(map(name_of, items))
    facts["store"] = "none" if runnable.current_db is None else repr(runnable.current_db)
    return facts_bundle(facts)["text/html"]


def name_of(part: Any) -> str:
    """Return the name of a tool, or of a function that becomes one, or of another part of a runnable."""
    return str(getattr(part, "name", None) or getattr(part, "__name__", part))


def report_with_texts(run: RunOutput, db: Db | None) -> ContextReport:
    """Return the context report of a run with the texts of its history, which the store keeps with earlier runs.

    The text of a variable is its type and shape; its value is in the text of the prompt.
    """
    if run.context_report is None:
        remedy = "see its nested runs" if run.nested_runs else "messages_df() has its messages"
        raise InvalidInputError(f"run {run.run_id!r} has no report of a request to a model; {remedy}")
    if db is None:
        return run.context_report
    return replace(run.context_report, parts=[_with_text(part, db, run) for part in run.context_report.parts])


def _with_text(part: ContextPart, db: Db, run: RunOutput) -> ContextPart:
    if part.text is not None:
        return part
    if part.source == "variable":
        return replace(part, text=next((_about(each) for each in run.variables if each.name == part.name), None))
    earlier = db.get_run(part.run_id, run.session_id) if part.run_id is not None else None
    if earlier is None:
        return part
    return replace(part, text=f"user: {earlier.input}\nassistant: {earlier.get_content_as_string()}")


def _about(variable: Variable) -> str:
    shape = "" if variable.shape is None else f", {' x '.join(f'{size:,}' for size in variable.shape) or 'a scalar'}"
    return f"{variable.type}{shape}{', cut' if variable.cut else ''}"


def report_bundle(report: ContextReport, num_counted: int | None = None) -> dict[str, str]:
    """Return a table of the parts of a request with their sizes and first words, and the omitted parts below it.

    `num_counted` is the number of tokens counted by the provider.
    """
    rows = [
        (source, detail, size.partition(" ")[0], one_line(part.text or "", PREVIEW_LIMIT))
        for (source, detail, size), part in zip(report.rows(), report.parts, strict=True)
    ]
    columns: dict[str, ColumnKind] = {"source": "word", "": "word", "tokens": "number", "text": "text"}
    return table_bundle(columns, rows, note=" ".join(report_notes(report, num_counted)))


def report_notes(report: ContextReport, num_counted: int | None) -> list[str]:
    """Return sentences about the size of a request and about its omitted parts."""
    by_provider = f"; the provider counted {num_counted:,}" if num_counted else ""
    size = f"About {counted(report.tokens, 'token')}, estimated by length{by_provider}."
    return [size, *(f"Left out: {part.what} ({part.why})." for part in report.omitted)]


_ID_CELL = re.compile(r">([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})</t")
"""The end of a table cell that has nothing but an ID made by :func:`agno_nb.types.new_id`."""
FORMATTERS: dict[type, Any] = {
    RunOutput: _run_html,
    Session: _session_html,
    Runnable: _runnable_html,
    ContextReport: lambda report: report_bundle(report)["text/html"],
    QueryResult: lambda result: short_ids(frame := result.df(), frame_html(frame)),
}
