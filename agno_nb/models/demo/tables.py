"""Tables: written as Markdown, read from CSV, and found where a notebook put a DataFrame into a prompt."""

from __future__ import annotations

import csv
import json
import re
from typing import Any

from agno_nb.models.demo.tokenizer import number
from agno_nb.types import JsonDict

MOST_ROWS = 10
MOST_COLUMNS = 10


def scalar_text(value: Any) -> str:
    """Write a value as it is: text without quotation marks, other things as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def short_text(value: Any) -> str:
    text = " ".join(scalar_text(value).split())
    return text if len(text) <= 60 else text[:59] + "…"


def markdown_table(rows: list[JsonDict]) -> str:
    """Write records as a Markdown table, and say so where it is cut."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    shown = columns[:MOST_COLUMNS]
    lines = [_line(shown), "|" + "---|" * len(shown)]
    lines += [_line([row.get(name) for name in shown]) for row in rows[:MOST_ROWS]]
    cut = [f"{MOST_ROWS} of {len(rows):,} rows"] if len(rows) > MOST_ROWS else []
    cut += [f"{len(shown)} of {len(columns)} columns"] if len(columns) > len(shown) else []
    return "\n".join(lines) + (f"\n\nShown: {' and '.join(cut)}." if cut else "")


def _line(cells: list[Any]) -> str:
    return "| " + " | ".join("" if cell is None else short_text(cell).replace("|", "\\|") for cell in cells) + " |"


def read_csv(text: str) -> tuple[list[JsonDict], str]:
    """Read records from CSV with a header, and what stands below them. No records where `text` is no CSV."""
    if head := FRAME.match(text):
        shown, rest = after_head(text, head)
        names, *cells = [*csv.reader(shown.splitlines())] or [[]]
        seen = [{name: _cell(cell) for name, cell in zip(names, row, strict=False)} for row in cells]
        cut = bool(seen) and int(head["rows"].replace(",", "")) > len(seen)
        below = [f"Seen: the first {len(seen)} of {head['rows']} rows."] if cut else []
        title, _, further = rest.strip().partition(" as CSV:\n")
        if others := read_csv(further)[0]:
            below.append(f"{title}:\n\n{markdown_table(others)}")
        return seen, "\n\n".join(below)
    lines = text.strip("\n").splitlines()
    note = lines.pop() if lines and re.fullmatch(r"\(.*\)", lines[-1]) else ""
    try:
        parsed = list(csv.reader(lines, strict=True))
    except csv.Error:
        return [], text
    width = len(parsed[0]) if parsed else 0
    rows = [cells for cells in parsed if len(cells) == width]
    is_header = width > 1 and all(re.fullmatch(r"(?:[\w(][\w %()/-]{0,39})?", name) for name in parsed[0])
    if not is_header or len(rows) < max(2, len(parsed)) or len(set(parsed[0])) < width:
        return [], text
    names = parsed[0]
    records: list[JsonDict] = [
        {name: _cell(cell) for name, cell in zip(names, cells, strict=True)} for cells in rows[1:]
    ]
    if [row.get("") for row in records] == list(range(len(records))):
        # pandas writes the plain index as a first column without a name.
        records = [{name: cell for name, cell in row.items() if name} for row in records]
    return [{name or "row": cell for name, cell in row.items()} for row in records], note


def _cell(text: str) -> Any:
    return number(text) if re.fullmatch(r"-?\d{1,40}(?:\.\d{1,40})?", text) else text


FRAME = re.compile(
    r"DataFrame, (?P<rows>[\d,]+) rows x (?P<columns>[\d,]+) columns\nColumns: (?P<names>[^\n]*)"
    r"(?:\nFirst (?P<shown>\d+) rows as CSV:\n)?"
)


def without_frames(text: str) -> str:
    """The prompt as the user wrote it: each DataFrame that a notebook put in is "the DataFrame" again."""
    while match := FRAME.search(text):
        text = f"{text[: match.start()]}the DataFrame{after_head(text, match)[1]}"
    return text


def after_head(text: str, match: re.Match[str]) -> tuple[str, str]:
    """Part what follows a frame's head into its CSV and the text that goes on after it."""
    if match["shown"] is None:
        return "", ""
    lines = text[match.end() :].split("\n")
    rows, rest = lines[: int(match["shown"]) + 1], lines[int(match["shown"]) + 1 :]
    ending = re.search(r"[?!.]?\s*$", rows[-1]) if rows else None
    return "\n".join(rows).rstrip("?! "), "\n".join([ending[0] if ending else "", *rest])
