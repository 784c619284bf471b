"""The schema of a store, parsed from the package's SQL files: statements, columns, types and descriptions.

schema.sql has the tables, views.sql the views and indexes.sql the indexes of row stores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

from agno_nb.errors import StoreVersionError

ColumnsRead = Mapping[str, frozenset[str]]
"""Columns by table."""

_COMMENT = re.compile("^ *--.*$", re.MULTILINE)
# What is above a blank line is not about the statement below it.
_STATEMENT = re.compile(r"((?:^--.*\n)*)^(CREATE \w+ (\w+)(?s:.*?));$", re.MULTILINE)
_COLUMN = re.compile(r"((?:^    --.*\n)*)^    (?! |--)(.+(?:\n     .*)*)", re.MULTILINE)
_CHEAPEST_FIRST = ("BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "TEXT", "BLOB")


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view."""

    name: str
    sql: str
    """Its CREATE statement, without comments."""
    description: str
    columns: tuple[str, ...]
    descriptions: Mapping[str, str]
    """Description of each column."""
    types: Mapping[str, str] = field(default_factory=dict)
    """For a table, the first word of each column's SQL type."""


@cache
def text(name: str) -> str:
    """Return the text of ``schema.sql``, ``views.sql`` or ``indexes.sql``."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def statements(name: str) -> list[str]:
    """Return the statements of one of the files, for drivers that execute one at a time."""
    return split(text(name))


def split(sql: str) -> list[str]:
    """Return the statements of `sql`, in which comments are whole lines and semicolons only end statements."""
    return [part for part in _COMMENT.sub("", sql).split(";") if part.strip()]


@cache
def tables() -> Mapping[str, Relation]:
    """Return the tables, in the order of schema.sql."""
    parsed = {}
    for name, description, sql in _create_statements("schema.sql"):
        described = {}
        types = {}
        for line, comment in _with_comments(sql):
            column, kind = line.split()[:2]
            if column != "PRIMARY":
                types[column], described[column] = kind.rstrip(","), comment
        parsed[name] = Relation(name, _COMMENT.sub("", sql), description, tuple(types), described, types)
    return parsed


@cache
def views() -> Mapping[str, Relation]:
    """Return the views, in the order of views.sql. A view may read those before it.

    A view or column without a comment has the description of its table, or of the column in its table or view.
    """
    parsed: dict[str, Relation] = {}
    for name, description, commented in _create_statements("views.sql"):
        sql = _COMMENT.sub("", commented)
        sources = {**tables(), **parsed}
        table = tables().get(f"raw_{name}") or tables()[re.findall(r"\bFROM (raw_\w+)", sql)[-1]]
        # The last unindented SELECT defines the view. Earlier ones belong to its WITH clause.
        definition = commented.rpartition("\nSELECT")[2]
        selected = dict(table.descriptions) if definition.startswith(" *") else {}
        if not selected:
            for line, comment in _with_comments(definition.partition("\nFROM")[0]):
                # The last word of "expression AS name", and of "table.name" or "view.name".
                column = re.findall(r"\w+", line)[-1]
                source = sources.get(line.strip().partition(".")[0], table)
                selected[column] = comment or source.descriptions.get(column, "")
        parsed[name] = Relation(name, sql, description or table.description, tuple(selected), selected)
    return parsed


def _create_statements(file: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, description and text of each table or view in a file."""
    for comments, sql, name in _STATEMENT.findall(text(file)):
        yield name, _joined(comments), sql


def _with_comments(sql: str) -> Iterator[tuple[str, str]]:
    """Yield each column's definition and the comment above it. Lines that are indented further continue it."""
    for comments, definition in _COLUMN.findall(sql):
        yield definition, _joined(comments)


def _joined(comments: str) -> str:
    return " ".join(line.strip().removeprefix("-- ") for line in comments.splitlines())


@cache
def names() -> frozenset[str]:
    """Return the names of all tables and views of a store."""
    return frozenset(tables()) | frozenset(views())


@cache
def tables_with(column: str) -> tuple[str, ...]:
    """Return the names of the tables that have a column of this name, in the order of schema.sql."""
    return tuple(name for name, table in tables().items() if column in table.types)


@cache
def union_branches(view: str) -> list[str]:
    """Return the SELECT statements that a view concatenates in its WITH clause, in portable SQL."""
    union = views()[view].sql.partition("AS (\n")[2].partition("\n)\n")[0]
    return [part.strip() for part in union.split("UNION ALL")]


@cache
def columns_read(name: str) -> ColumnsRead:
    """Return the columns that a table or view reads, by table. There may be some that it doesn't need."""
    if name in tables():
        return {name: frozenset(tables()[name].columns)}
    sql = views()[name].sql
    words = frozenset(re.findall(r"\w+", sql))
    columns_by_table: dict[str, frozenset[str]] = {}
    for table in tables().values():
        if table.name in words:
            columns_by_table[table.name] = frozenset(table.columns) if "SELECT *" in sql else words & table.types.keys()
    earlier = list(views())[: list(views()).index(name)]
    return merge([columns_by_table, *(columns_read(each) for each in earlier if each in words)])


@cache
def cheapest_column(table: str) -> str:
    """Return the column of a table that is read fastest, for queries that only need the number of rows."""
    types = tables()[table].types
    return min(types, key=lambda name: _CHEAPEST_FIRST.index(types[name]))


def merge(column_sets: Iterable[ColumnsRead]) -> ColumnsRead:
    merged: dict[str, frozenset[str]] = {}
    for each in column_sets:
        for table, columns in each.items():
            merged[table] = merged.get(table, frozenset()) | columns
    return merged


@cache
def migrations() -> dict[int, str]:
    """Return the text of each file of :mod:`agno_nb.db.migrations`, by the version that it leads to."""
    folder = files(__package__).joinpath("migrations").iterdir()
    return {int(file.name[:4]): file.read_text(encoding="utf-8") for file in folder if file.name.endswith(".sql")}


VERSION = max(migrations(), default=1)
"""Version of schema.sql and views.sql."""


def is_older(version: int, store: Path | str, *, newest: int = VERSION) -> bool:
    """Whether a store has to be migrated. Raise a StoreVersionError if a newer agno_nb wrote it."""
    if version > newest:
        raise StoreVersionError(
            f"{store} has version {version} of the store's schema, and this agno_nb knows versions up to {newest}; "
            "update agno_nb. The store was not changed."
        )
    return version < newest


def too_old_error(path: Path | None) -> StoreVersionError:
    return StoreVersionError(
        f"{path} has an older version of the store's schema than {VERSION} and is opened read-only; to migrate it, "
        "make a copy and open that as a store"
    )


def backup_path(path: str | Path, version: int) -> Path:
    """Return the path of the copy that is made of a store before it is migrated from `version`."""
    return Path(f"{path}.v{version}")
