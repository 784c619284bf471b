"""Arrow tables, on which queries, exports and frames work."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import tzinfo
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from agno_nb.db import schema
from agno_nb.errors import InvalidInputError, QueryError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TimeZone = str | tzinfo | None
"""Time zone of a DataFrame's times. None is UTC in values without a time zone."""

FROM_STORE = "agno_nb_from_store"
"""Key in the `attrs` of DataFrames that come from a store. pandas copies it to parts of them."""

_ROWS_AT_ONCE = 10_000

_FRAMES = (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table"))


def is_a(library: str, name: str, value: Any) -> bool:
    """Whether `value` is an instance of a library's class. If the library is not loaded, it is not."""
    return isinstance(value, getattr(sys.modules.get(library), name, ()))


def is_frame(value: Any) -> bool:
    """Whether a value can be a table of a query: a pandas or polars DataFrame, or an Arrow table."""
    return any(is_a(*kind, value) for kind in _FRAMES)


def unknown_table(error: QueryError) -> str | None:
    """Return the name of the unknown table in a query, or None if the error is another one."""
    unknown = re.search(r"Table with name (.+?) does not exist|there is no table '([^']+)'", str(error))
    return (unknown[1] or unknown[2]) if unknown else None


@cache
def arrow_schema(table: str) -> pa.Schema:
    """Return the Arrow schema of a table."""
    import pyarrow as pa

    types = {
        "TEXT": pa.string(),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "BOOLEAN": pa.bool_(),
        "DOUBLE": pa.float64(),
        "BLOB": pa.binary(),
    }
    return pa.schema([(name, types[kind]) for name, kind in schema.tables()[table].types.items()])


@cache
def empty(table: str) -> pa.Table:
    return arrow_schema(table).empty_table()


def from_rows(table: str, rows: Iterable[Sequence[Any]], columns: Sequence[str] | None = None) -> pa.Table:
    """Return rows with the values of `columns`, by default of all columns of a table, as an Arrow table."""
    import pyarrow as pa

    names = columns or arrow_schema(table).names
    kinds = [arrow_schema(table).field(name).type for name in names]
    chunks: list[list[pa.Array]] = [[] for _ in names]
    # In batches, which stay in the processor's cache while they are converted to columns.
    left = iter(rows)
    while some := list(islice(left, _ROWS_AT_ONCE)):
        for values, kind, chunk in zip(zip(*some, strict=True), kinds, chunks, strict=True):
            if pa.types.is_boolean(kind):
                # SQLite has no booleans, but 0 and 1.
                values = tuple(None if value is None else bool(value) for value in values)
            chunk.append(pa.array(values, kind))
    return pa.table([pa.chunked_array(chunk, kind) for chunk, kind in zip(chunks, kinds, strict=True)], names=names)


def with_all_columns(table: str, data: pa.Table) -> pa.Table:
    """Return `data` with all columns of a table, in their order and type. Missing columns are null."""
    import pyarrow as pa

    schema, there = arrow_schema(table), set(data.column_names)
    columns = [
        data[field.name].cast(field.type) if field.name in there else pa.nulls(data.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def filter_by_owner(user_id: str | None, table: str, tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return the rows of a table that belong to a user, directly or through their session.

    With None, return the rows without an owner.

    Parameters
    ----------
    user_id : str or None
    table : str
    tables : mapping
        The table and ``raw_sessions``.
    """
    import pyarrow.compute as pc

    def owned(rows: pa.Table) -> pa.Table:
        owner = rows["user_id"]
        return rows.filter(pc.is_null(owner) if user_id is None else pc.equal(owner, user_id))

    rows = tables[table]
    if table in ("raw_sessions", "raw_memories"):
        return owned(rows)
    if "session_id" in rows.column_names:
        sessions = owned(tables["raw_sessions"])["session_id"]
        return rows.filter(pc.is_in(rows["session_id"], value_set=sessions.combine_chunks()))
    return rows if table == "raw_schema" else rows.slice(0, 0)


def with_interrupted(tables: dict[str, pa.Table], run_ids: Collection[str], *, now: int) -> dict[str, pa.Table]:
    """Return `tables` with `now` (microseconds) as the time at which the processes of some runs were found dead."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not run_ids or "raw_runs" not in tables:
        return tables
    runs = tables["raw_runs"]
    found = pc.is_in(runs["run_id"], value_set=pa.array(run_ids, pa.string()))
    place = runs.column_names.index("interrupted_at")
    stamps = pc.if_else(found, pa.scalar(now, pa.int64()), runs["interrupted_at"])
    return {**tables, "raw_runs": runs.set_column(place, runs.schema.field(place), stamps)}


_ROWS_OF_A_BLOCK = 122_880
"""Rows of a block of DuckDB's."""


def sort_if_needed(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Sort a table by columns if it is not in order. Rows usually are, and sorting takes longer than reading them.

    Parameters
    ----------
    columns : sequence of str
        Sort keys, most significant first.
    """
    import pyarrow.compute as pc

    table = _with_runs_in_order(table, columns)
    rows = table.select(columns)
    before, after = rows.slice(0, max(0, rows.num_rows - 1)), rows.slice(1)
    for name in columns:
        # A null is never in order, because comparisons with it are null.
        if pc.all(pc.fill_null(pc.less_equal(before[name], after[name]), False)).as_py() is False:
            return table.sort_by([(each, "ascending") for each in columns])
        tied = pc.equal(before[name], after[name])
        before, after = before.filter(tied), after.filter(tied)
        if before.num_rows == 0:
            break
    return table


def _with_runs_in_order(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Order ascending runs of rows by their first rows.

    Several threads of DuckDB read a table block by block, and each returns the rows of its blocks.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    key = table[columns[0]]
    falls = pc.fill_null(pc.less(key.slice(1), key.slice(0, max(0, len(key) - 1))), True)
    ends = [index.as_py() + 1 for index in pc.indices_nonzero(falls)] if pc.sum(falls).as_py() in range(1, 1000) else []
    if not ends:
        return table

    def first_row(run: pa.Table) -> list[tuple[bool, Any]]:
        return [(value is None, value) for value in (run[name][0].as_py() for name in columns)]

    runs = [
        table.slice(start, min(_ROWS_OF_A_BLOCK, end - start))
        for begin, end in zip([0, *ends], [*ends, len(key)], strict=True)
        for start in range(begin, end, _ROWS_OF_A_BLOCK)
    ]
    return pa.concat_tables(sorted(runs, key=first_row))


def in_time_zone(frame: pd.DataFrame, tz: TimeZone) -> pd.DataFrame:
    """Return a DataFrame whose times are in a time zone, or in UTC without a time zone if `tz` is None.

    Raises
    ------
    InvalidInputError
        There is no such time zone.
    """
    import pandas as pd

    if tz == "UTC":
        return frame
    try:
        pd.Timestamp(0, tz=tz)
    except Exception as error:
        raise InvalidInputError(f"tz is {tz!r}; pass a name such as 'Europe/Paris', a tzinfo, or None") from error
    frame = frame.copy(deep=False)
    for place, dtype in enumerate(frame.dtypes):
        if isinstance(dtype, pd.DatetimeTZDtype):
            # By place, because the result of a query may have several columns of one name.
            frame.isetitem(place, frame.iloc[:, place].dt.tz_convert(tz))
    return frame


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a new DataFrame with the dtypes of :mod:`agno_nb.frames`."""
    import pandas as pd
    import pyarrow as pa

    # pandas 2 has no "str" of its own; its string dtype is the nearest.
    text = pd.api.types.pandas_dtype("str")
    dtypes = {
        pa.string(): text if isinstance(text, pd.StringDtype) else pd.StringDtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.uint64(): pd.UInt64Dtype(),
        **dict.fromkeys((pa.int8(), pa.int16(), pa.int32(), pa.int64()), pd.Int64Dtype()),
        **dict.fromkeys((pa.uint8(), pa.uint16(), pa.uint32()), pd.Int64Dtype()),
    }
    for place, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type):
            # DuckDB's sum of integers is a decimal, which would become Python objects.
            table = table.set_column(place, field.name, _from_decimal(table.column(place)))
    table = with_durations(table)
    frame: pd.DataFrame
    try:
        frame = table.to_pandas(types_mapper=dtypes.get)
    except (pa.ArrowException, ValueError, OverflowError):
        frame = _with_texts(table).to_pandas(types_mapper=dtypes.get)
    frame.attrs[FROM_STORE] = True
    return frame


def _with_texts(table: pa.Table) -> pa.Table:
    """Return a table with the columns that pandas has no type for, such as unions, converted to strings."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        try:
            table.select([place]).to_pandas()
        except (pa.ArrowException, ValueError, OverflowError):
            try:
                values = table.column(place).to_pylist()
            except (pa.ArrowException, ValueError, OverflowError) as error:
                raise QueryError(
                    f"the column {field.name!r} has values that Python cannot represent ({error}); "
                    f"select it as text: {field.name}::VARCHAR"
                ) from None
            text = pa.array([None if value is None else str(value) for value in values], pa.string())
            table = table.set_column(place, field.name, text)
    return table


def _from_decimal(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    if column.type.scale == 0:
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
    return column.cast(pa.float64())


def with_durations(table: pa.Table) -> pa.Table:
    """Return a table whose differences of times are durations, which DuckDB calls intervals."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if field.type == pa.month_day_nano_interval():
            table = table.set_column(place, field.name, _from_interval(table.column(place)))
    return table


def _from_interval(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return an interval as a duration. With months, it stays an interval, because their length varies."""
    import numpy as np
    import pyarrow as pa

    parts = np.dtype([("months", "i4"), ("days", "i4"), ("ns", "i8")])
    chunks = []
    for chunk in filter(len, column.chunks):
        fields = np.frombuffer(chunk.buffers()[1], parts)[chunk.offset : chunk.offset + len(chunk)]
        is_null = np.asarray(chunk.is_null())
        # Durations of up to 290,000 years; no store is older.
        if (fields["months"][~is_null] != 0).any() or (abs(fields["days"][~is_null]) > 100_000_000).any():
            return column
        us = fields["days"].astype("i8") * 86_400_000_000 + fields["ns"] // 1000
        chunks.append(pa.array(us, pa.int64(), mask=is_null).cast(pa.duration("us")))
    return pa.chunked_array(chunks, pa.duration("us"))
