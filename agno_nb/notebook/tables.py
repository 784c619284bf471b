"""Small things to show: names with what they stand for, and tables. Text that comes from the store is data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from IPython.display import display

from agno_nb.notebook.approvals import questions_html, questions_text
from agno_nb.notebook.markdown import CODE, escape_html, sanitize_html
from agno_nb.redact import displayable, redact, without_controls
from agno_nb.types import Requirement

_TABLE = "margin:.3em 0;border-collapse:collapse"
# JupyterLab aligns the cells of every table in an HTML output to the right and gives every other row a background.
_PLAIN_ROW = "background-color:transparent"
_LABEL = "padding:.15em 1.6em .15em 0;text-align:left;vertical-align:top;white-space:nowrap;opacity:.65"
_VALUE = "padding:.15em 0;text-align:left;vertical-align:top;overflow-wrap:anywhere"
_LINED_ROW = f"{_PLAIN_ROW};border-bottom:1px solid rgba(128,128,128,.25)"
_CELL = "padding:.35em 1.2em .35em 0;vertical-align:top"
_NOTE = "margin:.3em 0;font-size:.85em;opacity:.65"

ColumnKind: TypeAlias = Literal["text", "lines", "word", "number"]
_KINDS: dict[ColumnKind, str] = {
    "text": "text-align:left",
    "lines": "text-align:left;white-space:pre-wrap;overflow-wrap:anywhere",
    "word": "text-align:left;white-space:nowrap",
    "number": "text-align:right;white-space:nowrap",
}


def show_facts(facts: Mapping[str, str]) -> None:
    """Show names and values, one line each. What is in `backticks` is set as code."""
    display(facts_bundle(facts), raw=True)


def facts_bundle(facts: Mapping[str, str]) -> dict[str, str]:
    """Make what :func:`show_facts` shows."""
    width = max(map(len, facts))
    text = "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())
    rows = "".join(
        f'<tr style="{_PLAIN_ROW}"><td style="{_LABEL}">{_with_code(name)}</td>'
        f'<td style="{_VALUE}">{_with_code(value)}</td></tr>'
        for name, value in facts.items()
    )
    return _bundle(f'<table style="{_TABLE}">{rows}</table>', text)


def show_table(columns: Mapping[str, ColumnKind], rows: Iterable[Sequence[str]], *, note: str) -> None:
    """Show a table with a sentence below it.

    Parameters
    ----------
    columns : mapping
        Title and kind of each column. "text" and "lines" are broken into lines where there is little room; "lines"
        keep their own, too.
    rows : iterable of sequences of str
        What is in each column, shown as it is.
    note : str
        The sentence. What is in `backticks` is set as code.
    """
    display(table_bundle(columns, rows, note=note), raw=True)


def table_bundle(columns: Mapping[str, ColumnKind], rows: Iterable[Sequence[str]], *, note: str) -> dict[str, str]:
    """Make what :func:`show_table` shows."""
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
    body = "".join(_row(row, kinds, "td") for row in shown[1:])
    table = f'<table style="{_TABLE}"><thead>{_row(shown[0], kinds, "th")}</thead><tbody>{body}</tbody></table>'
    return _bundle(f'{table}<div style="{_NOTE}">{_with_code(note)}</div>', f"{text}\n\n{note}")


def note_bundle(text: str) -> dict[str, str]:
    """Make a quiet line, to be displayed. What is in `backticks` is set as code."""
    return _bundle(f'<div style="{_NOTE}">{_with_code(text)}</div>', text)


def show_note(text: str) -> None:
    """Show a quiet line. What is in `backticks` is set as code."""
    display(note_bundle(text), raw=True)


def show_questions(requirements: Sequence[Requirement]) -> None:
    """Show what paused runs ask, exactly, and how to answer."""
    display(_bundle(questions_html(requirements), questions_text(requirements)), raw=True)


def one_line(text: str, most: int) -> str:
    """Write `text` on one line, and only its beginning where it has more than `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _row(cells: Sequence[str], kinds: Sequence[ColumnKind], tag: str) -> str:
    inside = "".join(
        f'<{tag} style="{_CELL};{_KINDS[kind]}">{escape_html(cell)}</{tag}>'
        for cell, kind in zip(cells, kinds, strict=True)
    )
    return f'<tr style="{_LINED_ROW}">{inside}</tr>'


def _with_code(text: str) -> str:
    return re.sub(r"`([^`]+)`", rf'<code style="{CODE};white-space:nowrap">\1</code>', escape_html(text))


def _bundle(fragment: str, text: str) -> dict[str, str]:
    return {"text/html": redact(sanitize_html(fragment)), "text/plain": displayable(text)}
