"""The examples in the text of the reference pages.

The pages are somebody else's, so they are not in this repository: they are read from the folder that the environment
variable ``AGNO_NB_REFERENCE`` names, or from ``../shared/reference`` beside the checkout. They are web pages flattened
to text, so nothing but Python itself tells where an example begins and ends.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

_BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[3] / "shared" / "reference"

_BEGINNING = re.compile(
    r"""\s*(?:from\s[\w.]+\simport\s | import\s[\w.]+\s*$   # an import,
    | [A-Za-z_]\w*\s=\s\S                                   # an assignment,
    | [A-Za-z_][\w.]*\(                                     # or a call
    )""",
    re.VERBOSE,
)


def folder() -> Path | None:
    """Where the pages are, or None when they are not on this machine."""
    named = os.environ.get("AGNO_NB_REFERENCE")
    place = Path(named) if named else _BESIDE_THE_CHECKOUT
    return place if any(place.glob("*.txt")) else None


def examples(page: str) -> list[str]:
    """Cut the Python examples out of the text of a page, in its order, with our name where agno's is imported."""
    return [_renamed(code) for code in _examples(page.splitlines())]


def _examples(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        if _BEGINNING.match(lines[at]):
            # The longest run of lines that is Python. Prose is not, but for a single word or number.
            for end in range(len(lines), at, -1):
                tree = _parsed(lines[at:end])
                if tree is not None and (length := _length_of_code(tree)):
                    yield dedent("\n".join(lines[at : at + length]))
                    at += length - 1
                    break
        at += 1


def _parsed(lines: list[str]) -> ast.Module | None:
    try:
        return ast.parse(dedent("\n".join(lines)))
    except (SyntaxError, ValueError):
        return None


def _length_of_code(tree: ast.Module) -> int:
    """Count the lines before the first bare word or number; 0 if they do nothing."""
    code = []
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Call | ast.Await):
            break
        code.append(statement)
    return code[-1].end_lineno or 0 if any(map(_does_something, code)) else 0


def _does_something(statement: ast.stmt) -> bool:
    """Whether a statement cannot be a name in prose, as in "Agent.run()"."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    return call is None or (isinstance(call, ast.Call) and bool(call.args or call.keywords))


def _renamed(code: str) -> str:
    return re.sub(r"^(\s*(?:from|import)\s+)agno\b", r"\1agno_nb", code, flags=re.MULTILINE)
