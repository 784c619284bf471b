"""What of a DataFrame, Series or array a model is told: its size, its types, its first values.

The same words wherever such a value meets a model: as what a tool returned, and as a variable in a prompt.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from agno_nb.db.arrow_tables import is_a

FIRST_VALUES = 20
"""Values of a Series that are shown."""

COLUMN_LIMIT = 100
"""Columns of a DataFrame that are shown."""

VALUE_LIMIT = 200
"""Characters of one value of a DataFrame or Series that are shown."""


def describe(value: Any, *, first_rows: int) -> str | None:
    """Describe a DataFrame, Series or array; None where `value` is something else.

    Parameters
    ----------
    value : object
        DataFrames of pandas and polars, tables of Arrow, Series of pandas and polars, arrays of NumPy.
    first_rows : int
        Rows of a DataFrame that are shown.
    """
    if is_a("pandas", "DataFrame", value):
        return _pandas_frame(value, first_rows)
    if is_a("polars", "DataFrame", value):
        columns = list(value.schema.items())
        return _frame(columns, len(value), value.head(first_rows).iter_rows())
    if is_a("pyarrow", "Table", value):
        columns = [(field.name, field.type) for field in value.schema]
        shown = value.slice(0, first_rows)
        return _frame(columns, len(value), zip(*(column.to_pylist() for column in shown.columns), strict=True))
    if is_a("pandas", "Series", value):
        indexed = not is_a("pandas", "RangeIndex", value.index)
        shown = value.iloc[:FIRST_VALUES]
        return _series(value, list(shown.items()) if indexed else [[each] for each in shown], indexed=indexed)
    if is_a("polars", "Series", value):
        return _series(value, [[each] for each in value.head(FIRST_VALUES)], indexed=False)
    if is_a("numpy", "ndarray", value) and value.ndim:
        text = sys.modules["numpy"].array2string(value, threshold=200)
        return f"array of shape {value.shape}, dtype {value.dtype}:\n{text}"
    return None


def _pandas_frame(frame: Any, first_rows: int) -> str:
    shown = frame.iloc[:first_rows, :COLUMN_LIMIT]
    indexed = not is_a("pandas", "RangeIndex", frame.index)
    return _frame(
        list(zip(frame.columns, frame.dtypes, strict=True)),
        len(frame),
        shown.itertuples(index=indexed, name=None),
        index=["index" if frame.index.name is None else frame.index.name] if indexed else [],
    )


def _frame(
    columns: Sequence[tuple[Any, Any]], length: int, rows: Iterable[Sequence[Any]], *, index: Sequence[Any] = ()
) -> str:
    names = [f"{name} ({dtype})" for name, dtype in columns[:COLUMN_LIMIT]]
    if hidden := len(columns) - len(names):
        names.append(f"… and {hidden:,} more")
    text = f"DataFrame, {length:,} rows x {len(columns):,} columns\nColumns: {', '.join(names) or 'none'}"
    width = len(index) + min(len(columns), COLUMN_LIMIT)
    shown = [list(islice(row, width)) for row in rows]
    if not shown or not columns:
        return text
    header = [*index, *(name for name, _ in columns[:COLUMN_LIMIT])]
    return f"{text}\nFirst {len(shown)} rows as CSV:\n{_csv([header, *shown])}"


def _series(series: Any, rows: Sequence[Sequence[Any]], *, indexed: bool) -> str:
    name = f" {series.name!r}" if series.name else ""
    text = f"Series{name}, {len(series):,} values, dtype {series.dtype}"
    if not rows:
        return text
    return f"{text}\nFirst {len(rows)} values{' with their index' if indexed else ''} as CSV:\n{_csv(rows)}"


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for row in rows:
        texts = [_text(value) for value in row]
        writer.writerow([text if len(text) <= VALUE_LIMIT else f"{text[:VALUE_LIMIT]}…" for text in texts])
    return file.getvalue().rstrip("\n")


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        # One value that cannot be shown is no reason to hide all the others.
        return f"<{type(value).__name__}>"
