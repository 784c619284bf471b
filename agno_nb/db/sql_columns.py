"""Columns of DataFrames that DuckDB can scan, with the same values.

DuckDB scans most columns where they are. Others become text if nothing is lost: periods, intervals, complex numbers,
and objects of several types. What would lose something has no form here, and :class:`NoText` says what it is.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import ipaddress
import json
import numbers
import pathlib
import sys
import uuid
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb

from agno_nb.db.arrow_tables import is_a

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_NETWORKS = (ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network)
_NUMBERS = (bool, int, float, complex, decimal.Decimal, fractions.Fraction)
_TIMES = (datetime.date, datetime.time, datetime.timedelta)
_SCALARS = (str, uuid.UUID, pathlib.PurePath, *_NUMBERS, *_TIMES, *_NETWORKS)
"""Types whose text tells their values apart."""


class NoText(Exception):
    """Values that cannot be converted without a loss. The message says what they are."""


def scannable(values: Any) -> Any:
    """Return a column that DuckDB can scan."""
    if is_a("pandas", "Series", values):
        return _pandas_column(values)
    if is_a("polars", "Series", values):
        return _polars_column(values)
    return _arrow_column(values)


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

        return _with_arrow(_arrow_column(pa.chunked_array([values.array.__arrow_array__()])))
    if dtype.kind in "biufmM" or isinstance(dtype, pd.StringDtype):
        return values
    return _with_arrow(_object_column(values))


def _categories(values: pd.Series[Any]) -> Any:
    import pandas as pd

    categories = values.cat.categories
    if categories.dtype.kind in "biufmM":
        return values
    # As strings they keep their order, of which DuckDB makes that of an ENUM.
    told = [text if isinstance(text, str) else _text(text) for text in categories]
    if len(set(told)) < len(told):
        raise NoText(f"categories of which several are written alike, such as {told[0]!r}")
    return values if not told else pd.Series(values.cat.rename_categories(told))


def _polars_column(values: Any) -> Any:
    # Whole numbers of 128 bits have no type in Arrow.
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
    """Tell whether DuckDB has a type for an Arrow type."""
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
    """Return Python objects as an Arrow array: of their type if they have one, else of their texts."""
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
    """Tell of times in zones, whose zones Arrow would drop, and of datetimes with and without one."""
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
        raise NoText("halves of characters") from None


def _text(value: Any) -> str:
    """Write a value so that it is told apart from others."""
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
            raise NoText(f"objects of type {type(value).__name__} that are not JSON") from None
    raise NoText(f"objects of type {type(value).__name__}")


def _with_arrow(values: Any) -> Any:
    """Return an Arrow array as a column of pandas."""
    import pandas as pd

    if is_a("pyarrow", "Array", values) or is_a("pyarrow", "ChunkedArray", values):
        return pd.Series(pd.arrays.ArrowExtensionArray(values))
    return values


def _pandas(name: str) -> Any:
    return getattr(sys.modules.get("pandas"), name, None)
