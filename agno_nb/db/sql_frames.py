"""DataFrames of users as tables of a query: which of them it needs, and columns that DuckDB can scan.

Only the DataFrames that a statement names are handed to DuckDB, each column as :mod:`~agno_nb.db.sql_columns` makes it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb

from agno_nb.db.arrow_tables import is_a, unknown_table
from agno_nb.db.read_only import STRINGS
from agno_nb.db.sql_columns import NoText, scannable
from agno_nb.errors import QueryError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

DYNAMIC = {"query", "query_table", "json_execute_serialized_sql"}
"""Functions to which the name of a table can be given in pieces."""

_CATALOG = {"show", "describe", "desc", "tables", "columns", "information_schema", "pg_catalog", "sqlite_master"} | {
    "duckdb_tables", "duckdb_views", "duckdb_columns",
}  # fmt: skip
"""Words of statements that list tables without naming them."""


@dataclass(frozen=True, slots=True)
class SqlFrame:
    """A DataFrame that DuckDB can scan."""

    data: pd.DataFrame | pa.Table | None
    """None if there are no columns to scan."""
    columns: tuple[str, ...]
    """Names in SQL, in order."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Those of the columns that are not in `data`, and what they hold."""

    def head(self) -> SqlFrame:
        """Return the same columns without rows."""
        # Both kinds of tables have it, but for the pandas of the type checker.
        data: Any = self.data
        return SqlFrame(None if data is None else data[:0], self.columns, self.unreadable)

    def register(self, cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        """Make it a table of `cursor`. A query that reads an unreadable column fails with an error that names it."""
        if not self.unreadable:
            if self.data is not None:
                cursor.register(name, self.data)
            return
        source = f"readable columns of {name}"
        cursor.register(source, self.data if self.data is not None else _one_row())
        selected = ", ".join(
            f"error({_literal(_refusal(name, column, self.unreadable[column]))})::VARCHAR AS {quoted(column)}"
            if column in self.unreadable
            else quoted(column)
            for column in self.columns
        )
        cursor.execute(f"CREATE TEMP VIEW {quoted(name)} AS SELECT {selected} FROM {quoted(source)}")


@dataclass(frozen=True, slots=True)
class NamedFrames:
    """The DataFrames that a statement may read."""

    frames: Mapping[str, SqlFrame]
    refused: Mapping[str, str]
    """Messages by casefolded name, for those that cannot be tables. The name may be that of a column or a CTE, so it is
    an error only if the statement finds no table of that name."""

    def explain(self, error: QueryError) -> QueryError:
        """Return the error to raise for one that DuckDB raised."""
        unknown = unknown_table(error)
        reason = None if unknown is None else self.refused.get(unknown.casefold())
        return error if reason is None else QueryError(reason)


def frames_for(sql: str, frames: Mapping[str, Any]) -> NamedFrames:
    """Return the `frames` that a statement may read. Some may have unreadable columns."""
    text = sql.casefold()
    words = set(re.findall(r"\w+", text))
    groups: dict[str, list[str]] = {}
    for name in frames:
        if _is_named(name.casefold(), text, words):
            groups.setdefault(name.casefold(), []).append(name)
    found: dict[str, SqlFrame] = {}
    refused: dict[str, str] = {}
    for folded, group in groups.items():
        exact = group if len(group) == 1 else [name for name in group if name in sql]
        if len(exact) != 1:
            told = " and ".join(map(repr, sorted(group)))
            refused[folded] = f"SQL does not distinguish the names of the DataFrames {told}; rename one of them"
            continue
        frame = sql_frame(frames[exact[0]])
        if frame.columns:
            found[exact[0]] = frame
        else:
            refused[folded] = f"the DataFrame {exact[0]!r} has no columns, so there is nothing to select from it"
    if words & (DYNAMIC | _CATALOG):
        others = {name.casefold(): name for name in frames if name.casefold() not in groups}
        for name in others.values():
            frame = sql_frame(frames[name])
            if frame.columns:
                found[name] = frame if words & DYNAMIC else frame.head()
    return NamedFrames(found, refused)


def named_in(sql: str, names: Iterable[str]) -> list[str]:
    """Return the `names` that a statement uses outside of strings and comments."""
    text = STRINGS.sub(" ", sql).casefold()
    words = set(re.findall(r"\w+", text))
    return [name for name in names if _is_named(name.casefold(), text, words)]


def _is_named(name: str, text: str, words: set[str]) -> bool:
    return name in words if re.fullmatch(r"\w+", name) else name.replace('"', '""') in text


def with_sql_names(frame: Any) -> Any:
    """Return a DataFrame of pandas with the columns, and their names, that it has in SQL; other tables as they are."""
    if not is_a("pandas", "DataFrame", frame):
        return frame
    import pandas as pd

    labels, values = _pandas_columns(frame)
    names = column_names(labels)
    return frame if names == list(frame.columns) else pd.DataFrame(dict(zip(names, values, strict=True)), copy=False)


def sql_frame(frame: Any) -> SqlFrame:
    """Return a DataFrame of pandas or polars, or an Arrow table, in a form that DuckDB can scan."""
    if is_a("pandas", "DataFrame", frame):
        labels, values = _pandas_columns(frame)
    elif is_a("polars", "DataFrame", frame):
        labels, values = list(frame.columns), list(frame.get_columns())
    else:
        labels, values = list(frame.column_names), list(frame.columns)
    names = column_names(labels)
    columns: dict[str, Any] = {}
    unreadable: dict[str, str] = {}
    for name, each in zip(names, values, strict=True):
        try:
            columns[name] = scannable(each)
        except NoText as error:
            unreadable[name] = str(error)
    return SqlFrame(_table(columns, frame) if columns else None, tuple(names), unreadable)


def column_names(labels: Iterable[Hashable]) -> list[str]:
    """Return names in SQL for the columns of a DataFrame: text that is not empty, and unique regardless of case."""
    names: list[str] = []
    taken: set[str] = set()
    for label in labels:
        parts = [str(part) for part in label if part not in ("", None)] if isinstance(label, tuple) else [str(label)]
        base = "_".join(parts).encode("utf-8", "replace").decode().replace("\0", "") or "column"
        name, number = base, 0
        while name.casefold() in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _refusal(name: str, column: str, held: str) -> str:
    return (
        f"the column {column!r} of {name!r} holds {held}, which cannot be converted to SQL without a loss; convert it "
        "to text or numbers first, or leave it out of the query"
    )


def _one_row() -> pa.Table:
    import pyarrow as pa

    return pa.table({"row": [0]})


def _pandas_columns(frame: pd.DataFrame) -> tuple[list[Hashable], list[Any]]:
    """Return labels and values of the columns, and in front of them the levels of an index that says something."""
    import pandas as pd

    labels: list[Hashable] = []
    values: list[Any] = []
    index = frame.index
    # Whole numbers without a name are what sorting and filtering leave behind.
    if any(name is not None for name in index.names) or index.nlevels > 1 or not pd.api.types.is_integer_dtype(index):
        for level, name in enumerate(index.names):
            unnamed = f"level_{level}" if index.nlevels > 1 else "index"
            labels.append(unnamed if name is None else name)
            values.append(pd.Series(index.get_level_values(level)))
    if len(index) == 0 and labels == ["index"]:
        labels, values = [], []
    for place, label in enumerate(frame.columns):
        labels.append(label)
        values.append(frame.iloc[:, place].reset_index(drop=True))
    return labels, values


def _table(columns: Mapping[str, Any], frame: Any) -> pd.DataFrame | pa.Table:
    if is_a("pandas", "DataFrame", frame):
        import pandas as pd

        return pd.DataFrame(columns, copy=False)
    import pyarrow as pa

    return pa.table(columns)
