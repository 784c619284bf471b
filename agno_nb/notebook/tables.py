"""Small displays: facts, tables, notes and the questions of a paused run. Text from the store is data."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from IPython.display import display

from agno_nb.notebook.html import element, escape_html, html_bundle, with_code
from agno_nb.redact import without_controls
from agno_nb.types import Requirement

ColumnKind: TypeAlias = Literal["text", "lines", "word", "number"]
"""How a column is set: "text" and "lines" wrap, and "lines" keep their own line breaks."""


def show_facts(facts: Mapping[str, str]) -> None:
    """Show names and values, one per line. Text in `backticks` is set as code."""
    display(facts_bundle(facts), raw=True)


def facts_bundle(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the display bundle of :func:`show_facts`."""
    width = max(map(len, facts))
    text = "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())
    rows = [
        element(
            "tr",
            element("td", with_code(name), style="key"),
            element("td", with_code(value), style="value"),
            style="row",
        )
        for name, value in facts.items()
    ]
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
    shown = [
        [cell.strip() if kind == "lines" else line for cell, line, kind in zip(*row, kinds, strict=True)]
        for row in zip(cells, lines, strict=True)
    ]
    body = [_row(row, kinds, "td") for row in shown[1:]]
    table = element("table", element("thead", _row(shown[0], kinds, "th")), element("tbody", *body), style="table")
    return html_bundle(table + element("div", with_code(note), style="note"), f"{text}\n\n{note}")


def _row(cells: Sequence[str], kinds: Sequence[ColumnKind], tag: str) -> str:
    inside = (element(tag, escape_html(cell), style=f"cell {kind}") for cell, kind in zip(cells, kinds, strict=True))
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
