"""Tools for data: SQL that reads, over DataFrames and over the user's own history."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

from agno_nb.errors import InvalidInputError
from agno_nb.tools.extract import extract, is_a
from agno_nb.tools.function import Tool

if TYPE_CHECKING:
    import pandas as pd

HISTORY = ("sessions", "runs", "messages", "tool_calls", "summaries", "memories", "events")
"""Views of the store that a model may ask."""

MAX_ROWS = 100_000
"""Rows that a query may find. The model is shown the first of them."""

FIRST_ROWS = 5
"""Rows that the description of a table shows."""

_KINDS = (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table"))


class SqlTools:
    """Tools by which a model looks at tables: `describe_table` and `run_sql`.

    They read and cannot write, reach no files, and run in an engine that holds copies only. The model is shown the
    first rows; all that a query found is the `value` of its call in ``run.tools``.

    Parameters
    ----------
    frames : mapping, optional
        DataFrames of pandas or polars, or tables of Arrow, by name. What else the mapping holds is left alone, and it
        is looked into whenever the model asks: ``SqlTools(globals())`` are the DataFrames of a notebook.
    history : bool, optional
        Offer the sessions, runs, messages, tool calls, summaries, memories and events in the agent's store too: those
        of the user who is talking, and for an anonymous one, those of nobody.
    timeout_s : float, optional
        Seconds that a query may take.
    **more_frames
        Further DataFrames.

    Raises
    ------
    InvalidInputError
        A DataFrame has a name that the store uses.

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
        **more_frames: Any,
    ) -> None:
        self.history = history
        self.timeout_s = timeout_s
        self._frames = frames if frames is not None else {}
        self._more_frames = more_frames
        for name, frame in more_frames.items():
            if not _is_table(frame):
                raise InvalidInputError(
                    f"{name} is no DataFrame but {frame!r}: give a DataFrame of pandas or polars, or an Arrow table"
                )
        self._check_names()

    @property
    def tables(self) -> list[str]:
        """What can be asked for now, by name."""
        return [*self._given(), *(HISTORY if self.history else ())]

    @property
    def tools(self) -> list[Tool]:
        """The tools, which know the names of the tables that there are now."""
        tables = self.tables
        listed = ", ".join(tables)

        def describe_table(name: str, run_context: Any = None) -> str:
            return self.describe_table(name, run_context)

        def run_sql(query: str, run_context: Any = None) -> pd.DataFrame:
            return self.run_sql(query, run_context)

        if tables:
            # The names are known only now, so the hint is made now.
            describe_table.__annotations__["name"] = Literal[tuple(tables)]
        return [
            Tool(
                describe_table,
                description="Describe a table or DataFrame: its columns and types, its first rows, and of each column "
                f"missing and distinct values, minimum, maximum and mean. There are: {listed or 'none'}.",
            ),
            Tool(
                run_sql,
                description="Run one SELECT statement (DuckDB's SQL) over tables, which it cannot change. There are: "
                f"{listed or 'none'}. Only the first rows of what it finds are shown, so aggregate, and use LIMIT.",
            ),
        ]

    def describe_table(self, name: str, run_context: Any = None) -> str:
        """Describe a table: its columns, its first rows and statistics of each column.

        Raises
        ------
        QueryError
            There is no such table.
        """
        quoted = '"' + name.replace('"', '""') + '"'
        sample = self._given().get(name)
        if sample is None:
            sample = self.run_sql(f"FROM {quoted}", run_context)
        statistics = self.run_sql(
            'SELECT column_name AS "column", column_type AS type, null_percentage::DOUBLE AS missing_percent, '
            "approx_unique AS distinct_about, min, max, round(try_cast(avg AS DOUBLE), 4) AS mean "
            f"FROM (SUMMARIZE {quoted})",
            run_context,
        )
        columns = statistics.to_csv(index=False).rstrip("\n")
        return f"{extract(sample, first_rows=FIRST_ROWS)}\n\nOf each column as CSV:\n{columns}"

    def run_sql(self, query: str, run_context: Any = None) -> pd.DataFrame:
        """Run one statement that reads.

        Raises
        ------
        QueryError
            It does not only read, failed, took too long or found too much.
        """
        from agno_nb.db import sandbox
        from agno_nb.db.tables import to_pandas

        self._check_names()
        db = getattr(run_context, "db", None)

        def read(names: Collection[str]) -> Mapping[str, Any]:
            if not self.history or db is None:
                return {}
            return dict(db.tables_of(names, run_context.user_id))

        return to_pandas(sandbox.run(read, query, (), self._given(), timeout_s=self.timeout_s, max_rows=MAX_ROWS))

    def _given(self) -> dict[str, Any]:
        seen = {name: value for name, value in self._frames.items() if not name.startswith("_") and _is_table(value)}
        return {**seen, **self._more_frames}

    def _check_names(self) -> None:
        from agno_nb.db.schema import names

        for name in self._given():
            if name.lower() in names():
                raise InvalidInputError(f"a DataFrame is called {name!r}, as a table of the store is; rename it")

    def __repr__(self) -> str:
        return f"SqlTools({', '.join(self.tables)})"


def _is_table(value: Any) -> bool:
    return any(is_a(*kind, value) for kind in _KINDS)
