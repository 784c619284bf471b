"""The schema as the package's two SQL files give it: its text, its version and its documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from agno_nb.errors import StoreVersionError

ColumnsRead = Mapping[str, frozenset[str]]
"""Columns by table."""

_NAME = re.compile(r"^CREATE (?:TABLE|VIEW) (\w+)", re.MULTILINE)
_TYPE = re.compile(r"^ +(\w+) (TEXT|INTEGER|BIGINT|BOOLEAN|DOUBLE|BLOB)\b", re.MULTILINE)
_CREATE = re.compile(r"^CREATE (?:TABLE|VIEW) (\w+)(.*?);$", re.MULTILINE | re.DOTALL)
_ABOUT = re.compile(r"((?:^-- .*\n)+)CREATE (?:TABLE|VIEW) (\w+)", re.MULTILINE)
_SELECTED_FROM = re.compile(r"\bFROM (raw_\w+)")
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
    return split(text(name))


def split(sql: str) -> list[str]:
    """Return the statements of a text that has no semicolon but at their ends and in comments."""
    return [part for part in _COMMENT.sub("", sql).split(";") if part.strip()]


@cache
def migrations() -> dict[int, str]:
    """Return the text of each file of :mod:`agno_nb.db.migrations`, by the version that it leads to."""
    folder = files(__package__).joinpath("migrations").iterdir()
    return {int(file.name[:4]): file.read_text(encoding="utf-8") for file in folder if file.name.endswith(".sql")}


VERSION = max(migrations(), default=1)
"""Of schema.sql and views.sql. A store of a higher version was written by a newer agno_nb."""


def is_older(version: int, store: Path | str, *, newest: int = VERSION) -> bool:
    """Tell whether a store has to be migrated.

    Raises
    ------
    StoreVersionError
        A newer agno_nb wrote it.
    """
    if version > newest:
        raise StoreVersionError(
            f"{store} has version {version} of the store's schema, and this agno_nb knows versions up to {newest}; "
            "update agno_nb. It was not touched."
        )
    return version < newest


def too_old_error(path: Path | None) -> StoreVersionError:
    return StoreVersionError(
        f"{path} has an older version of the store's schema than {VERSION}, and is not to be changed here; open a copy "
        "of it once as a store, which brings it to that version"
    )


def backup_path(path: str | Path, version: int) -> Path:
    """Return where the copy of a store goes that is made before its first migration from `version`."""
    return Path(f"{path}.v{version}")


@cache
def names() -> frozenset[str]:
    """Return the names of all tables and views of a store."""
    return frozenset(tables()) | frozenset(views())


def _definitions() -> list[tuple[str, str]]:
    return _CREATE.findall(text("schema.sql") + text("views.sql"))


@cache
def tables() -> dict[str, str]:
    """Return the statement that makes each table, in the order of schema.sql."""
    return _statements_of("schema.sql")


@cache
def views() -> dict[str, str]:
    """Return the statement that makes each view. A view may stand on those before it."""
    return _statements_of("views.sql")


def _statements_of(name: str) -> dict[str, str]:
    by_name = {}
    for statement in statements(name):
        if match := _NAME.search(statement):
            by_name[match.group(1)] = statement
    return by_name


@cache
def union_branches(view: str) -> list[str]:
    """Return the statements whose rows a view tells one after the other, in SQL of any backend."""
    (union,) = re.findall(r"WITH \w+ AS \(\n(.*?)\n\)\n", views()[view], re.DOTALL)
    return [part.strip() for part in union.split("UNION ALL")]


@cache
def columns_read(name: str) -> ColumnsRead:
    """Return what a table or view reads: the columns of each table, or more."""
    if name in tables():
        return {name: frozenset(column_types()[name])}
    text = views()[name]
    words = frozenset(re.findall(r"\w+", text))
    columns_by_table: dict[str, frozenset[str]] = {}
    for table, columns in column_types().items():
        if table in words:
            columns_by_table[table] = frozenset(columns) if "SELECT *" in text else words & columns.keys()
    earlier = list(views())[: list(views()).index(name)]
    return merge([columns_by_table, *(columns_read(each) for each in earlier if each in words)])


@cache
def cheapest_column(table: str) -> str:
    """Return the column of a table that is read fastest, for those who want to know only how many rows there are."""
    types = column_types()[table]
    return min(types, key=lambda name: ("BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "TEXT", "BLOB").index(types[name]))


def merge(column_sets: Iterable[ColumnsRead]) -> ColumnsRead:
    merged: dict[str, frozenset[str]] = {}
    for each in column_sets:
        for table, columns in each.items():
            merged[table] = merged.get(table, frozenset()) | columns
    return merged


def view_descriptions() -> dict[str, str]:
    """Return what the comment above each view says of it; where there is none, that above its table."""
    described = {
        name: " ".join(line.removeprefix("-- ") for line in comment.splitlines())
        for comment, name in _ABOUT.findall(text("schema.sql") + text("views.sql"))
    }
    return {view: described.get(view) or described[f"raw_{view}"] for view in views()}


def column_types() -> dict[str, dict[str, str]]:
    """Return the first word of each column's type, for each table: ``{table: {column: type}}``."""
    return {table: dict(_TYPE.findall(statement)) for table, statement in tables().items()}


@cache
def tables_with(column: str) -> tuple[str, ...]:
    """Return the names of the tables that have a column of this name, in the order of schema.sql."""
    return tuple(table for table, columns in column_types().items() if column in columns)


def column_descriptions() -> dict[str, dict[str, str]]:
    """Return what the comments of the SQL files say of each column.

    Returns
    -------
    dict
        ``{table or view: {column: description}}``. A view has the descriptions of its raw table, or of that which it
        was selected from at last, and its own in front of them.
    """
    described = {
        table: {
            column or alias: " ".join(line.strip().removeprefix("-- ") for line in comment.splitlines())
            for comment, column, alias in _COLUMN.findall(body)
        }
        for table, body in _definitions()
    }
    for view, statement in views().items():
        table = "raw_" + view if "raw_" + view in tables() else _SELECTED_FROM.findall(statement)[-1]
        described[view] = described.get(table, {}) | described[view]
    return described
