"""Users' DataFrames as tables of a query.

Only the DataFrames that a statement names are registered with DuckDB. DuckDB scans most columns in place. Others are
converted to text if that is lossless: periods, intervals, complex numbers, and objects of several types. The remaining
columns are unreadable, and a query that reads one fails with an error that names it.

The file has more than 400 lines, because the rules for all kinds of columns of three libraries are in one place.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import ipaddress
import json
import numbers
import pathlib
import re
import sys
import uuid
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb

from agno_nb.db.arrow_tables import is_a, unknown_table
from agno_nb.errors import QueryError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

DYNAMIC = {"query", "query_table", "json_execute_serialized_sql"}
"""Functions that accept the name of a table as an expression."""

_CATALOG = {"show", "describe", "desc", "tables", "columns", "information_schema", "pg_catalog", "sqlite_master"} | {
    "duckdb_tables", "duckdb_views", "duckdb_columns",
}  # fmt: skip
"""Words of statements that list tables without naming them."""

INNER_NAME = "readable columns of "
"""Start of the name of a table that has the readable columns of a DataFrame."""

_NETWORKS = (ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network)
_NUMBERS = (bool, int, float, complex, decimal.Decimal, fractions.Fraction)
_TIMES = (datetime.date, datetime.time, datetime.timedelta)
_SCALARS = (str, uuid.UUID, pathlib.PurePath, *_NUMBERS, *_TIMES, *_NETWORKS)
"""Types whose values have distinct text."""


@dataclass(frozen=True, slots=True)
class SqlFrame:
    """A DataFrame that DuckDB can scan."""

    data: pd.DataFrame | pa.Table | None
    """None if there are no columns to scan."""
    columns: tuple[str, ...]
    """Names in SQL, in order."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Columns that are not in `data`, with a description of their values."""
    enums: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Columns of text in `data` that are an ENUM, with its values."""

    def head(self) -> SqlFrame:
        """Return the same columns without rows."""
        # Both kinds of tables can be sliced, but the type stubs of pandas disagree.
        data: Any = self.data
        return SqlFrame(None if data is None else data[:0], self.columns, self.unreadable, self.enums)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table | None:
        """Return `data` as an Arrow table, with all or some columns."""
        import pyarrow as pa

        data: Any = self.data
        if data is None:
            return None
        if isinstance(data, pa.Table):
            return data if columns is None else data.select(columns)
        table = pa.Table.from_pandas(data if columns is None else data[columns], preserve_index=False)
        return pa.table([_arrow_column(each) for each in table.columns], names=table.column_names)

    def enum_values(self) -> dict[str, list[str]]:
        """Return the categories of columns that are an ENUM in pandas, and text in Arrow."""
        if self.data is None or not is_a("pandas", "DataFrame", self.data):
            return {}
        import pandas as pd

        dtypes = self.data.dtypes.items()
        categories = {str(name): dtype.categories for name, dtype in dtypes if isinstance(dtype, pd.CategoricalDtype)}
        return {
            name: list(values)
            for name, values in categories.items()
            if values.dtype.kind not in "biufmM" and len(values)
        }

    def register(self, cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        """Register this as a table of `cursor`. A query that reads an unreadable column fails."""
        if not (self.unreadable or self.enums):
            if self.data is not None:
                cursor.register(name, self.data)
            return
        import pyarrow as pa

        source = f"{INNER_NAME}{name}"
        cursor.register(source, self.data if self.data is not None else pa.table({"row": [0]}))
        selected = ", ".join(f"{self._expression(name, column)} AS {quoted(column)}" for column in self.columns)
        cursor.execute(f"CREATE TEMP VIEW {quoted(name)} AS SELECT {selected} FROM {quoted(source)}")

    def _expression(self, name: str, column: str) -> str:
        if column in self.unreadable:
            return f"error({_literal(_refusal(name, column, self.unreadable[column]))})::VARCHAR"
        if column in self.enums:
            return f"{quoted(column)}::ENUM({', '.join(map(_literal, self.enums[column]))})"
        return quoted(column)


@dataclass(frozen=True, slots=True)
class NamedFrames:
    """The DataFrames that a statement may read."""

    frames: Mapping[str, SqlFrame]
    refused: Mapping[str, str]
    """Error messages by casefolded name, for DataFrames that cannot be tables. The name may also belong to a column or
    CTE, so it is only an error if the statement finds no table of that name."""

    def explain(self, error: QueryError) -> QueryError:
        """Return the error to raise for an error of DuckDB."""
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
            names = " and ".join(map(repr, sorted(group)))
            refused[folded] = f"SQL does not distinguish the names of the DataFrames {names}; rename one of them"
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
    text = " ".join(code_tokens(sql))
    words = set(re.findall(r"\w+", text))
    return [name for name in names if _is_named(name.casefold(), text, words)]


def tokens(sql: str) -> list[tuple[str, duckdb.token_type]]:
    """Return the text and type of each token of SQL. The text includes the white space after the token."""
    # DuckDB counts in bytes, and doesn't accept half characters.
    text = sql.encode(errors="replace")
    found = duckdb.tokenize(text.decode())
    ends = [*(start for start, _ in found[1:]), len(text)]
    return [(text[start:end].decode(), kind) for (start, kind), end in zip(found, ends, strict=False)]


def code_tokens(sql: str) -> list[str]:
    """Return the casefolded tokens of SQL, without strings and comments."""
    left_out = (duckdb.token_type.string_const, duckdb.token_type.comment)
    return [text.strip().casefold() for text, kind in tokens(sql) if kind not in left_out]


def _is_named(name: str, text: str, words: set[str]) -> bool:
    return name in words if re.fullmatch(r"\w+", name) else name.replace('"', '""') in text


def with_sql_names(frame: Any) -> Any:
    """Return a pandas DataFrame with the columns and names that it has in SQL. Other tables are returned unchanged."""
    if not is_a("pandas", "DataFrame", frame):
        return frame
    import pandas as pd

    labels, values = _pandas_columns(frame)
    names = column_names(labels)
    return frame if names == list(frame.columns) else pd.DataFrame(dict(zip(names, values, strict=True)), copy=False)


def sql_frame(frame: Any) -> SqlFrame:
    """Convert a pandas or polars DataFrame, or an Arrow table, to a form that DuckDB can scan."""
    labels: Iterable[Hashable]
    values: Iterable[Any]
    convert: Callable[[Any], Any]
    if is_a("pandas", "DataFrame", frame):
        (labels, values), convert = _pandas_columns(frame), _pandas_column
    elif is_a("polars", "DataFrame", frame):
        labels, values, convert = frame.columns, frame.get_columns(), _polars_column
    else:
        labels, values, convert = frame.column_names, frame.columns, _arrow_column
    names = column_names(labels)
    columns: dict[str, Any] = {}
    unreadable: dict[str, str] = {}
    for name, each in zip(names, values, strict=True):
        try:
            columns[name] = convert(each)
        except _NoText as error:
            unreadable[name] = str(error)
    return SqlFrame(_table(columns, frame) if columns else None, tuple(names), unreadable)


def column_names(labels: Iterable[Hashable]) -> list[str]:
    """Return SQL names for the columns of a DataFrame: not empty, and unique regardless of case."""
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
        f"the column {column!r} of {name!r} has {held}, which cannot be converted to SQL without loss; convert it to "
        "text or numbers first, or leave it out of the query"
    )


def _pandas_columns(frame: pd.DataFrame) -> tuple[list[Hashable], list[Any]]:
    """Return labels and values of the columns, preceded by the levels of a meaningful index."""
    import pandas as pd

    labels: list[Hashable] = []
    values: list[Any] = []
    index = frame.index
    # Sorting and filtering leave an unnamed index of integers.
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
    import pyarrow as pa

    if not is_a("pandas", "DataFrame", frame):
        return pa.table(columns)
    import pandas as pd

    series = {
        name: pd.arrays.ArrowExtensionArray(values) if isinstance(values, pa.Array | pa.ChunkedArray) else values
        for name, values in columns.items()
    }
    return pd.DataFrame(series, copy=False)


class _NoText(Exception):
    """Values that cannot be converted without loss. The message describes them."""


def _pandas_column(values: pd.Series[Any]) -> Any:
    import pandas as pd

    dtype = values.dtype
    if isinstance(dtype, pd.SparseDtype):
        return _pandas_column(pd.Series(values.array.to_dense()))
    if isinstance(dtype, pd.CategoricalDtype):
        return _categories(values)
    if isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype) or dtype.kind == "c":
        return _texts(list(values.array))
    if isinstance(dtype, pd.ArrowDtype):
        import pyarrow as pa

        return _arrow_column(pa.chunked_array([values.array.__arrow_array__()]))
    if dtype.kind in "biufmM" or isinstance(dtype, pd.StringDtype):
        return values
    return _object_column(values)


def _categories(values: pd.Series[Any]) -> Any:
    import pandas as pd

    categories = values.cat.categories
    if categories.dtype.kind in "biufmM":
        return values
    # As strings they keep their order, and DuckDB's ENUM gets the same order.
    texts = [text if isinstance(text, str) else _text(text) for text in categories]
    if len(set(texts)) < len(texts):
        raise _NoText(f"categories with the same text, such as {texts[0]!r}")
    return values if not texts else pd.Series(values.cat.rename_categories(texts))


def _polars_column(values: Any) -> Any:
    # Arrow has no type for integers of 128 bits.
    if str(values.dtype).startswith(("Object", "Int128", "UInt128")):
        return _objects(values.to_list())
    return _arrow_column(values.to_arrow())


def _arrow_column(values: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_null(values.type):
        return pa.nulls(len(values), pa.string())
    if pa.types.is_float16(values.type):
        return values.cast(pa.float32())
    if _is_scanned(values.type):
        return values
    try:
        return values.cast(pa.string())
    except pa.ArrowException:
        return _objects(values.to_pylist())


@cache
def _is_scanned(kind: pa.DataType) -> bool:
    """Whether DuckDB has a type for an Arrow type."""
    import pyarrow as pa

    if pa.types.is_primitive(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    try:
        with duckdb.connect(config={"python_enable_replacements": False}) as connection:
            connection.register("x", pa.schema([("x", kind)]).empty_table())
            connection.sql("DESCRIBE x").fetchall()
    except (duckdb.Error, pa.ArrowException):
        return False
    return True


def _object_column(values: pd.Series[Any]) -> Any:
    import pandas as pd
    import pyarrow as pa

    if pd.api.types.infer_dtype(values, skipna=True) in ("string", "boolean", "floating", "bytes"):
        with suppress(pa.ArrowException, UnicodeError):
            return pa.array(values, from_pandas=True)
    return _objects(list(values))


def _objects(values: list[Any]) -> Any:
    """Return Python objects as an Arrow array of their type if they have one in common, otherwise of strings."""
    import pyarrow as pa

    kept = [None if _is_missing(value) else value for value in values]
    there = [value for value in kept if value is not None]
    if not there:
        return pa.nulls(len(kept), pa.string())
    kinds = {_kind(value) for value in there}
    if kinds == {int} and any(abs(value) >= 2**63 for value in there):
        # DECIMAL(38, 0) is the widest.
        if all(abs(value) < 10**38 for value in there):
            return pa.array([None if value is None else decimal.Decimal(value) for value in kept], pa.decimal128(38, 0))
    elif len(kinds) == 1 or (kinds <= {int, float, decimal.Decimal} and not _would_round(there, kinds)):
        with suppress(pa.ArrowException, OverflowError, ValueError, TypeError, RecursionError):
            if not _has_zones(there):
                return _arrow_column(pa.array(kept, from_pandas=True))
    return _texts(kept)


def _kind(value: Any) -> type:
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return bool
    if isinstance(value, numbers.Integral):
        return int
    if isinstance(value, float) or (isinstance(value, numbers.Real) and hasattr(value, "dtype")):
        return float
    containers = (list, tuple, dict, set, frozenset)
    return list if isinstance(value, containers) or hasattr(value, "tolist") else type(value)


def _would_round(values: list[Any], kinds: set[type]) -> bool:
    return float in kinds and any(isinstance(value, decimal.Decimal) or abs(value) > 2**53 for value in values)


def _has_zones(values: list[Any]) -> bool:
    """Whether there are times with zones, which Arrow would drop, or datetimes both with and without zones."""
    zones = {value.tzinfo is not None for value in values if isinstance(value, datetime.datetime)}
    return len(zones) == 2 or any(isinstance(value, datetime.time) and value.tzinfo for value in values)


def _is_missing(value: Any) -> bool:
    if value is None or value is _pandas("NA") or value is _pandas("NaT"):
        return True
    return isinstance(value, float) and value != value


def _texts(values: list[Any]) -> Any:
    import pyarrow as pa

    texts = [None if _is_missing(value) else _text(value) for value in values]
    try:
        return pa.array(texts, pa.large_string())
    except (UnicodeEncodeError, pa.ArrowException):
        raise _NoText("unpaired surrogates") from None


def _text(value: Any) -> str:
    """Return text that differs from the text of any other value."""
    if type(value).__module__.partition(".")[0] in ("numpy", "pandas") and not isinstance(value, _SCALARS):
        kinds = ("Period", "Interval", "Timestamp", "Timedelta")
        if isinstance(value, tuple(_pandas(kind) for kind in kinds if _pandas(kind))) or hasattr(value, "dtype"):
            return str(value.tolist() if getattr(value, "ndim", 0) else value)
    if isinstance(value, _SCALARS):
        return str(value)
    if isinstance(value, list | tuple | dict | set | frozenset):
        try:
            return json.dumps(
                sorted(value, key=str) if isinstance(value, set | frozenset) else value, ensure_ascii=False
            )
        except (TypeError, ValueError, RecursionError):
            raise _NoText(f"objects of type {type(value).__name__} that are not valid JSON") from None
    raise _NoText(f"objects of type {type(value).__name__}")


def _pandas(name: str) -> Any:
    return getattr(sys.modules.get("pandas"), name, None)
