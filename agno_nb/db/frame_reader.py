"""DataFrames and SQL over a store, or over the stores of a collection."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from agno_nb._keywords import explain_wrong_arguments, typed_kwargs
from agno_nb.db import frame_definitions as definitions, schema
from agno_nb.db.arrow_tables import (
    FROM_STORE,
    TimeZone,
    in_time_zone,
    is_frame,
    sort_if_needed,
    to_pandas,
    unknown_table,
    with_durations,
)
from agno_nb.db.frame_definitions import (
    AnnotationFilters,
    EventFilters,
    Frame,
    MemoryFilters,
    MessageFilters,
    RunFilters,
    RunTreeFilters,
    SessionFilters,
    StepFilters,
    SummaryFilters,
    ToolCallFilters,
    VariableFilters,
    select_rows,
)
from agno_nb.db.pushdown import Pushdown
from agno_nb.errors import InvalidInputError, QueryError
from agno_nb.redact import displayable

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

TIMEOUT_S = 60.0
"""Default time limit of a user's query, in seconds."""

MAX_ROWS = 1_000_000
"""Default limit of the rows that a user's query may return."""

MAX_MEMORY = "1GB"
"""Default memory limit of an isolated query."""


@dataclass(frozen=True, slots=True, repr=False)
class QueryResult:
    """Result of a query, available as a pandas or polars DataFrame or as an Arrow table."""

    table: pa.Table

    def df(self, *, tz: TimeZone = "UTC") -> pd.DataFrame:
        """Return a new pandas DataFrame, with the dtypes of :mod:`agno_nb.frames` and times in `tz`."""
        return in_time_zone(to_pandas(self.table), tz)

    def arrow(self) -> pa.Table:
        return self.table

    def pl(self) -> pl.DataFrame | pl.Series:
        """Return a polars DataFrame. Requires polars: ``pip install 'agno_nb[polars]'``.

        Raises
        ------
        QueryError
            polars has no type for a column.
        """
        import polars

        table = with_durations(self.table)
        try:
            return polars.from_arrow(table)
        except polars.exceptions.ComputeError as error:
            raise QueryError(f"polars has no type for a column ({error}); select it as text: name::VARCHAR") from error

    def __repr__(self) -> str:
        return displayable(repr(self.df()))

    def _repr_html_(self) -> str | None:
        html: str | None = self.df()._repr_html_()  # type: ignore[operator]
        return html


class FrameReader(ABC):
    """Rows that can be read as DataFrames and queried with SQL.

    Each ``*_df`` method is documented by the function of the same name in :mod:`agno_nb.frames`.
    """

    @abstractmethod
    def arrow(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        frames: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = TIMEOUT_S,
        max_rows: int | None = None,
        max_memory: int | None = None,
    ) -> pa.Table:
        """Run one read-only statement (DuckDB SQL) over the views of views.sql and over `frames` by name.

        It runs on a copy of the columns it needs, in an engine without access to files, so it can neither change
        anything nor block other users of the store. With `max_memory` in bytes, the engine is in another
        process, which is ended at the limits, so that a statement cannot take the memory of this process either.

        Raises
        ------
        QueryError
            The text is not a single read-only statement, failed, took longer than `timeout_s` seconds or returned more
            than `max_rows` rows. With None there is no limit.
        """

    def frame(self, sql: str, parameters: Sequence[Any] = (), *, pushdown: Pushdown | None = None) -> pa.Table:
        """Run one of our own statements over the views. It may run in the store itself, so never pass a user's SQL.

        Parameters
        ----------
        pushdown : Pushdown, optional
            A guarantee that the result depends only on this part of the store, so that nothing else needs to be read.
        """
        return self.arrow(sql, parameters, timeout_s=None)

    @explain_wrong_arguments("pass DataFrames by name, as in query(sql, df=df), and write values into the SQL")
    def query(
        self,
        sql: str,
        /,
        *,
        timeout_s: float | None = TIMEOUT_S,
        max_rows: int | None = MAX_ROWS,
        isolated: bool = False,
        max_memory: int | str | None = None,
        **frames: Any,
    ) -> QueryResult:
        """Run one read-only query over the store and over DataFrames passed by name.

        :func:`agno_nb.frames.query` documents the parameters.

        Examples
        --------
        >>> from agno_nb.db.in_memory import InMemoryDb
        >>> InMemoryDb().query("select count(*) as n from runs").df()["n"].tolist()
        [0]
        """
        result, _ = run_query(
            self, sql, frames, {}, timeout_s=timeout_s, max_rows=max_rows, isolated=isolated, max_memory=max_memory
        )
        return result

    @typed_kwargs(SessionFilters)
    def sessions_df(self, /, *, tz: TimeZone = "UTC", **filters: Unpack[SessionFilters]) -> pd.DataFrame:
        """Sessions, one row each."""
        return self._read(definitions.SESSIONS, filters, tz)

    @typed_kwargs(RunFilters)
    def runs_df(self, /, *, tz: TimeZone = "UTC", **filters: Unpack[RunFilters]) -> pd.DataFrame:
        """Runs, one row each."""
        return self._read(definitions.RUNS, filters, tz)

    @typed_kwargs(RunTreeFilters)
    def run_tree_df(self, /, *, tz: TimeZone = "UTC", **filters: Unpack[RunTreeFilters]) -> pd.DataFrame:
        """Runs with the totals of their nested runs, one row each."""
        return self._read(definitions.RUN_TREE, filters, tz)

    @typed_kwargs(MessageFilters)
    def messages_df(self, /, *, tz: TimeZone = "UTC", **filters: Unpack[MessageFilters]) -> pd.DataFrame:
        """Messages, one row each."""
        return self._read(definitions.MESSAGES, filters, tz)

    @typed_kwargs(ToolCallFilters)
    def tool_calls_df(self, /, *, tz: TimeZone = "UTC", **filters: Unpack[ToolCallFilters]) -> pd.DataFrame:
        """Tool calls with their results, one row each."""
        return self._read(definitions.TOOL_CALLS, filters, tz)

    @typed_kwargs(VariableFilters)
    def variables_df(self, /, *, tz: TimeZone = "UTC", **filters: Unpack[VariableFilters]) -> pd.DataFrame:
        """Variables in prompts, one row each."""
        return self._read(definitions.VARIABLES, filters, tz)

    @typed_kwargs(StepFilters)
    def steps_df(self, /, *, tz: TimeZone = "UTC", **filters: Unpack[StepFilters]) -> pd.DataFrame:
        """Workflow steps, one row each."""
        return self._read(definitions.STEPS, filters, tz)

    @typed_kwargs(SummaryFilters)
    def summaries_df(self, /, *, tz: TimeZone = "UTC", **filters: Unpack[SummaryFilters]) -> pd.DataFrame:
        """Session summaries, one row per version."""
        return self._read(definitions.SUMMARIES, filters, tz)

    @typed_kwargs(AnnotationFilters)
    def annotations_df(self, /, *, tz: TimeZone = "UTC", **filters: Unpack[AnnotationFilters]) -> pd.DataFrame:
        """Annotations of runs, one row each."""
        return self._read(definitions.ANNOTATIONS, filters, tz)

    @typed_kwargs(MemoryFilters)
    def memories_df(self, /, *, tz: TimeZone = "UTC", **filters: Unpack[MemoryFilters]) -> pd.DataFrame:
        """Memories, one row each."""
        return self._read(definitions.MEMORIES, filters, tz)

    @typed_kwargs(EventFilters)
    def events_df(self, /, *, tz: TimeZone = "UTC", **filters: Unpack[EventFilters]) -> pd.DataFrame:
        """Events of runs, one row each."""
        return self._read(definitions.EVENTS, filters, tz)

    def _read(self, frame: Frame, filters: Mapping[str, Any], tz: TimeZone) -> pd.DataFrame:
        selected = select_rows(frame, filters)
        table = sort_if_needed(
            self.frame(selected.sql, selected.parameters, pushdown=selected.pushdown), selected.order
        )
        table = table.drop_columns([name for name in table.column_names if name.startswith("_")])
        limit = filters.get("limit")
        table = table if limit is None else table.slice(max(0, table.num_rows - limit))
        return in_time_zone(to_pandas(table), tz)


def run_query(
    reader: FrameReader,
    sql: str,
    frames: Mapping[str, Any],
    namespace: Mapping[str, Any],
    *,
    timeout_s: float | None = TIMEOUT_S,
    max_rows: int | None = MAX_ROWS,
    isolated: bool = False,
    max_memory: int | str | None = None,
) -> tuple[QueryResult, list[str]]:
    """Run a user's query over the store, over `frames`, and over the DataFrames among a notebook's variables.

    Of the DataFrames, only those that the query names are read. `frames` and the tables of the store take precedence
    over variables of the same name. Return the result, and notes for the user on variables that give way to the store
    and differ from its tables.
    """
    limits: dict[str, Any] = {"timeout_s": timeout_s, "max_rows": max_rows}
    if isolated:
        limits["max_memory"] = memory_bytes(MAX_MEMORY if max_memory is None else max_memory)
    elif max_memory is not None:
        raise InvalidInputError(f"max_memory is {max_memory!r} without isolated=True; pass both, or neither")
    for name, frame in frames.items():
        _check_frame(name, frame)
    passed = {name.casefold() for name in frames}
    own = {name: value for name, value in list(namespace.items()) if is_frame(value) and name.casefold() not in passed}
    in_store = [name for name in own if name.lower() in schema.names()]
    # Earlier outputs that IPython keeps are tables only if the query names them.
    hidden = {name for name in own if name.startswith("_")}
    notes: list[str] = []
    if own:
        from agno_nb.db.sql_frames import named_in  # It imports duckdb.

        notes = [
            f"{name} is the store's table, not your DataFrame of the same name; rename the DataFrame to query it"
            for name in sorted(named_in(sql, in_store))
            if not _is_whole_table(own[name], name, reader)
        ]
        hidden -= set(named_in(sql, hidden))
    tables = {name: value for name, value in own.items() if name not in hidden and name not in in_store}
    try:
        result = reader.arrow(sql, (), {**tables, **frames}, **limits)
    except QueryError as error:
        if (unknown := unknown_table(error)) is None:
            raise
        raise no_such_table(unknown, [*(name for name in own if name[0] != "_"), *frames]) from None
    return QueryResult(result), notes


def memory_bytes(size: int | str) -> int:
    """Return a size in bytes.

    Examples
    --------
    >>> memory_bytes("1.5GB"), memory_bytes("64 MiB"), memory_bytes(1000)
    (1500000000, 67108864, 1000)
    """
    match = re.fullmatch(r"\s*([0-9.]+)\s*(|[KMGT]i?)B?\s*", str(size), re.IGNORECASE)
    with suppress(ValueError):
        if match and not isinstance(size, bool):
            unit = match[2].upper()
            number = int(float(match[1]) * (1024 if unit.endswith("I") else 1000) ** " KMGT".index(unit[:1] or " "))
            if number > 0:
                return number
    raise InvalidInputError(f"max_memory is {size!r}; pass a size such as '500MB', or a number of bytes")


def _is_whole_table(frame: Any, name: str, reader: FrameReader) -> bool:
    """Whether a DataFrame has the rows of the store's table, as after ``runs = runs_df()``."""
    if not getattr(frame, "attrs", {}).get(FROM_STORE) or name.lower() not in schema.views():
        return False
    table = reader.frame(f"SELECT count(*) AS n FROM {name.lower()}")
    return set(schema.views()[name.lower()].columns) <= {*frame.columns} and sum(table["n"].to_pylist()) == len(frame)


def _check_frame(name: str, frame: Any) -> None:
    if name.lower() in schema.names():
        raise InvalidInputError(f"{name!r} is a table of the store; pass your DataFrame by another name")
    if not is_frame(frame):
        remedy = ", for example its .reset_index()" if hasattr(frame, "reset_index") else ""
        raise InvalidInputError(
            f"{name!r} is of type {type(frame).__name__}; pass a pandas DataFrame{remedy}, a polars DataFrame, or an "
            "Arrow table"
        )


def no_such_table(name: str, frames: Iterable[str]) -> QueryError:
    """Return an error that lists the tables that a query could have named."""
    return QueryError(
        f"there is no table {name!r}. The store's tables: {', '.join(schema.views())}. "
        f"Your DataFrames: {', '.join(sorted(frames)) or 'none'}."
    )
