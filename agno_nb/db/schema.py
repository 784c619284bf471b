"""The schema as the package's two SQL files give it: its text, its version and its documentation."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from agno_nb.errors import StoreVersionError

VERSION = 1
"""Of schema.sql and views.sql. A store of a higher version was written by a newer agno_nb."""

VIEWS = ("sessions", "runs", "messages", "tool_calls", "steps", "message_media", "summaries", "memories")
"""What users read. The table below a view is called ``raw_<view>``."""

_CREATE = re.compile(r"^CREATE (?:TABLE|VIEW) (\w+)(.*?);$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile("^ *--.*$", re.MULTILINE)
_COLUMN = re.compile(
    r"((?:^ +-- .*\n)+)"
    r"(?: +(\w+) (?:TEXT|INTEGER|BIGINT|BOOLEAN|DOUBLE|BLOB)\b"  # a table's column begins with its name
    r"|(?:(?! +-- ).*\n)*?.* AS (\w+),?$)",  # a view's ends with it
    re.MULTILINE,
)


@cache
def text(name: str) -> str:
    """Return the text of ``schema.sql``, ``views.sql`` or ``indexes.sql``."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def statements(name: str) -> list[str]:
    """Return the statements of one of the files, for drivers that take one at a time."""
    return [part for part in _COMMENT.sub("", text(name)).split(";") if part.strip()]


def check_version(version: int, path: Path) -> None:
    """Refuse a store that a newer agno_nb wrote."""
    if version > VERSION:
        raise StoreVersionError(
            f"{path} has version {version} of the store's schema, and this agno_nb knows versions up to {VERSION}; "
            "update agno_nb. The file was not touched."
        )


@cache
def names() -> frozenset[str]:
    """Return the names of all tables and views of a store."""
    return frozenset(name for name, _ in _definitions())


def _definitions() -> list[tuple[str, str]]:
    return _CREATE.findall(text("schema.sql") + text("views.sql"))


def column_descriptions() -> dict[str, dict[str, str]]:
    """Return what the comments of the SQL files say of each column.

    Returns
    -------
    dict
        ``{table or view: {column: description}}``. A view has the descriptions of its raw table, and its own in front
        of them.
    """
    described = {
        table: {
            column or alias: " ".join(line.strip().removeprefix("-- ") for line in comment.splitlines())
            for comment, column, alias in _COLUMN.findall(body)
        }
        for table, body in _definitions()
    }
    for view in VIEWS:
        described[view] = described["raw_" + view] | described[view]
    return described
