"""SQL tools: read-only queries over DataFrames and the user's history."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from agno_nb.db.arrow_tables import is_frame, to_pandas, unknown_table
from agno_nb.db.frame_reader import MAX_MEMORY, memory_bytes
from agno_nb.db.schema import names
from agno_nb.errors import InvalidInputError, QueryError
from agno_nb.tools.function import Tool
from agno_nb.tools.result import describe

if TYPE_CHECKING:
    import pandas as pd

P = ParamSpec("P")
T = TypeVar("T")

HISTORY = ("sessions", "runs", "messages", "tool_calls", "summaries", "memories", "events")
"""Views of the store that a model may query."""

MAX_ROWS = 100_000
"""Maximum number of rows in a result. The model sees only the first ones."""

FIRST_ROWS = 5
"""Number of rows in the description of a table."""


class SqlTools:
    """The tools `describe_table` and `run_sql`, with which a model queries tables.

    Queries are read-only and run on copies of the data in a worker process, without access to files. The process is
    ended at the limits of time and memory. The model sees the first rows; the complete result is the `value` of the
    call in ``run.tools``.

    Parameters
    ----------
    frames : mapping, optional
        pandas or polars DataFrames, or Arrow tables, by name. Other values are ignored, as are DataFrames with the name
        of a store table. The mapping is read again for each call: ``SqlTools(globals())`` offers the DataFrames of a
        notebook, except those whose names start with ``_``.
    history : bool, optional
        Include the views `HISTORY` of the agent's store, with the rows of the current user only. For anonymous users,
        these are the rows without an owner.
    timeout_s : float, optional
        Time limit of a query. The default is 30 seconds.
    max_memory : int or str, optional
        Limit of the memory that a query may take, in bytes or for example ``"500MB"``; by default 1 GB.
    **more_frames
        Further DataFrames.

    Raises
    ------
    InvalidInputError
        A DataFrame has the name of a store table, or `max_memory` is not a size.

    Examples
    --------
    >>> import pandas as pd
    >>> tools = SqlTools(penguins=pd.DataFrame({"mass": [3700, 5000]}))
    >>> tools.run_sql("SELECT max(mass) AS heaviest FROM penguins")["heaviest"].tolist()
    [5000]
    """

    def __init__(
        self,
        frames: Mapping[str, Any] | None = None,
        *,
        history: bool = False,
        timeout_s: float = 30.0,
        max_memory: int | str = MAX_MEMORY,
        **more_frames: Any,
    ) -> None:
        if frames is not None and not isinstance(frames, Mapping):
            raise InvalidInputError(
                f"frames is of type {type(frames).__name__}; pass a dict of DataFrames by name, or SqlTools(name=frame)"
            )
        memory_bytes(max_memory)
        self.history = history
        self.timeout_s = timeout_s
        self.max_memory = max_memory
        self._frames = frames if frames is not None else {}
        self._more_frames = more_frames
        for name, frame in more_frames.items():
            if not is_frame(frame):
                raise InvalidInputError(f"{name} is {frame!r}; pass a pandas or polars DataFrame, or an Arrow table")
            if name.lower() in names():
                raise _has_name_of_the_store(name)

    @property
    def tables(self) -> list[str]:
        """Names of the tables that can be queried now."""
        return [*self._data_frames(), *(HISTORY if self.history else ())]

    @property
    def tools(self) -> list[Tool]:
        """The tools, described with the current names of the tables."""
        tables = self.tables
        table_names = ", ".join(tables)

        # Functions: copies of an agent share them, but would copy a method with all DataFrames.
        async def describe_table(name: str, run_context: Any = None) -> str:
            return await _in_thread(self.describe_table, name, run_context)

        async def run_sql(query: str, run_context: Any = None) -> pd.DataFrame:
            return await _in_thread(self.run_sql, query, run_context)

        if tables:
            describe_table.__annotations__["name"] = Literal[tuple(tables)]
        return [
            Tool(
                describe_table,
                description="Describe a table or DataFrame: its columns and types, first rows, and for each column "
                f"missing and distinct values, minimum, maximum and mean. Tables: {table_names or 'none'}.",
            ),
            Tool(
                run_sql,
                description=f"Run one read-only SELECT statement (DuckDB SQL). Tables: {table_names or 'none'}. Only "
                "the first rows of the result are shown, so aggregate, and use LIMIT.",
            ),
        ]

    def describe_table(self, name: str, run_context: Any = None) -> str:
        """Describe a table: its columns, first rows and statistics.

        Raises
        ------
        QueryError
            The table does not exist.
        """
        from agno_nb.db.sql_frames import quoted, sql_frame, with_sql_names

        table = quoted(name)
        frame = self._data_frames().get(name)
        unreadable: Mapping[str, str] = {}
        if frame is None:
            sample = self.run_sql(f"FROM {table}", run_context)
        else:
            sample, scanned = with_sql_names(frame), sql_frame(frame)
            unreadable = scanned.unreadable
            if len(unreadable) == len(scanned.columns):
                return f"{describe(sample, first_rows=FIRST_ROWS)}\n\nSQL can read none of its columns."
        left_out = f" EXCLUDE ({', '.join(map(quoted, unreadable))})" if unreadable else ""
        statistics = self.run_sql(
            'SELECT column_name AS "column", column_type AS type, null_percentage::DOUBLE AS missing_percent, '
            "approx_unique AS distinct_about, min, max, round(try_cast(avg AS DOUBLE), 4) AS mean "
            f"FROM (SUMMARIZE SELECT *{left_out} FROM {table})",
            run_context,
        )
        columns = statistics.to_csv(index=False).rstrip("\n")
        notes = "".join(f"\nSQL cannot read {column!r}: {held}." for column, held in unreadable.items())
        return f"{describe(sample, first_rows=FIRST_ROWS)}\n\nStatistics as CSV:\n{columns}{notes}"

    def run_sql(self, query: str, run_context: Any = None) -> pd.DataFrame:
        """Run one read-only statement.

        Raises
        ------
        QueryError
            The statement is not read-only, failed, exceeded a limit, or has too many rows.
        """
        from agno_nb.db import sandbox
        from agno_nb.db.sql_frames import named_in

        if not self.history:
            for name in named_in(query, self._found(in_store=True)):
                raise _has_name_of_the_store(name)
        db = getattr(run_context, "db", None)

        def read(names: Collection[str]) -> Mapping[str, Any]:
            if not self.history or db is None:
                return {}
            return dict(db.read_user_rows(names, run_context.user_id))

        frames = self._data_frames()
        limits: dict[str, Any] = {
            "timeout_s": self.timeout_s,
            "max_rows": MAX_ROWS,
            "max_memory": memory_bytes(self.max_memory),
        }
        try:
            return to_pandas(sandbox.run(read, query, (), frames, **limits))
        except QueryError as error:
            if (unknown := unknown_table(error)) is None:
                raise
        # DuckDB suggests tables of its own and of the store.
        raise QueryError(f"there is no table {unknown!r}. The tables: {', '.join(self.tables) or 'none'}.")

    def _data_frames(self) -> dict[str, Any]:
        return {**self._found(in_store=False), **self._more_frames}

    def _found(self, *, in_store: bool) -> dict[str, Any]:
        """Return the DataFrames of the mapping whose names are, or are not, names of store tables."""
        # A copy, because another thread may define a variable.
        values = [(name, value) for name, value in list(self._frames.items()) if isinstance(name, str)]
        # In a namespace such as globals(), IPython keeps earlier outputs under such names.
        is_namespace = "__name__" in self._frames
        seen = ((name, value) for name, value in values if not (is_namespace and name[:1] == "_") and is_frame(value))
        return {name: value for name, value in seen if (name.lower() in names()) is in_store}

    def __repr__(self) -> str:
        return f"SqlTools({', '.join(self.tables)})"


async def _in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    from agno_nb.db.isolated import cancellable  # It imports duckdb.

    return await cancellable(function, *args, **kwargs)


def _has_name_of_the_store(name: str) -> InvalidInputError:
    return InvalidInputError(f"DataFrame {name!r} has the name of a store table; rename it")
