"""Two runs side by side as HTML, with the words that differ marked."""

from __future__ import annotations

from agno_nb.experiments.run_diff import Part, RunDiff, changed_words
from agno_nb.notebook.html import element, escape_html, html_bundle
from agno_nb.redact import without_controls
from agno_nb.types import counted

LIMIT = 20_000
"""Characters of a text that are shown."""


def diff_html(diff: RunDiff) -> str:
    """Return the parts that differ as a table, and the equal ones folded below it."""
    heads = "".join(
        element("th", escape_html(f"{name} …{run.run_id[-6:]}"), style="cell text")
        for name, run in (("a", diff.a), ("b", diff.b))
    )
    head = element("tr", element("th", "", style="cell"), heads, style="row lined")
    same = [part for part in diff.parts if part.is_equal]
    body = [_row(part) for part in diff.parts if not part.is_equal]
    pieces = [element("table", element("thead", head), element("tbody", *body), style="table")] if body else []
    pieces.append(element("div", escape_html(diff.summary), style="note"))
    if same:
        rows = [
            element("tr", _cell(part.title, "key"), _cell(part.a or "", "lines cell"), style="row") for part in same
        ]
        summary = element("summary", escape_html(f"{counted(len(same), 'equal part')}"), style="summary")
        pieces.append(element("details", summary, element("table", *rows, style="table"), style="fold"))
    return html_bundle(element("div", *pieces), "")["text/html"]


def _row(part: Part) -> str:
    name = _cell(part.title, "key")
    if part.a is None or part.b is None:
        style = "removed" if part.b is None else "added"
        sides = [_cell(side or "", f"lines cell {style}" if side is not None else "cell") for side in (part.a, part.b)]
        return element("tr", name, *sides, style="row lined")
    sides_of = _shown(part.a), _shown(part.b)
    # A number that has changed is another number.
    pieces = changed_words(*sides_of) if part.is_message else [("-", sides_of[0]), ("+", sides_of[1])]
    sides = [
        "".join(_marked(text, sign, style) for sign, text in pieces if sign in ("=", own))
        for own, style in (("-", "removed"), ("+", "added"))
    ]
    return element("tr", name, *(element("td", side, style="lines cell") for side in sides), style="row lined")


def _marked(text: str, sign: str, style: str) -> str:
    return escape_html(text) if sign == "=" else element("span", escape_html(text), style=style)


def _cell(text: str, style: str) -> str:
    return element("td", escape_html(_shown(text)), style=style)


def _shown(text: str) -> str:
    text = without_controls(text)
    return text if len(text) <= LIMIT else f"{text[:LIMIT]} … ({len(text) - LIMIT:,} characters more)"
