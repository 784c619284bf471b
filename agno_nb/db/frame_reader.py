"""What has frames: a store, and what was collected of many."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agno_nb._keywords import explain_wrong_arguments

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from agno_nb.db.pushdown import Pushdown
    from agno_nb.frames import QueryResult

TIMEOUT_S = 60.0
"""How long a query of a user may take."""

MAX_ROWS = 1_000_000
"""How many rows a query of a user may find."""


class FrameReader(ABC):
    """Rows that can be read as DataFrames and by SQL."""

    @abstractmethod
    def arrow(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        frames: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = TIMEOUT_S,
        max_rows: int | None = None,
    ) -> pa.Table:
        """Run one statement that reads (DuckDB's SQL) over the views of views.sql, and over `frames` by their names.

        The statement may be anybody's. It is run on a copy of the columns that it needs, in an engine that has no
        files, so it can do no harm and keeps nobody from the store.

        Raises
        ------
        QueryError
            The statement does not only read, is not one, failed, took longer than `timeout_s` seconds or found more
            than `max_rows` rows. None is no limit.
        """

    def frame(self, sql: str, parameters: Sequence[Any] = (), *, pushdown: Pushdown | None = None) -> pa.Table:
        """Run a statement of ours over the views. It may be given to the store itself, so it is not for users' SQL.

        Parameters
        ----------
        pushdown : Chosen, optional
            A promise that what the statement finds is made of this part of the store, so that no more need be read.
        """
        return self.arrow(sql, parameters, timeout_s=None)

    @explain_wrong_arguments("pass DataFrames by name, as in query(sql, df=df), and write values into the SQL")
    def query(
        self, sql: str, /, *, timeout_s: float | None = TIMEOUT_S, max_rows: int | None = MAX_ROWS, **frames: Any
    ) -> QueryResult:
        """Run one read-only query over the store and over the DataFrames given by name.

        Examples
        --------
        >>> from agno_nb.db.in_memory import InMemoryDb
        >>> InMemoryDb().query("select count(*) as n from runs").df()["n"].tolist()
        [0]
        """
        from agno_nb.frames import query

        return query(sql, db=self, timeout_s=timeout_s, max_rows=max_rows, **frames)

    def sessions_df(self, /, **filters: Any) -> pd.DataFrame:
        """Sessions, one row each: see :func:`agno_nb.frames.sessions_df`."""
        from agno_nb.frames import sessions_df

        return sessions_df(db=self, **filters)

    def runs_df(self, /, **filters: Any) -> pd.DataFrame:
        """Runs, one row each: see :func:`agno_nb.frames.runs_df`."""
        from agno_nb.frames import runs_df

        return runs_df(db=self, **filters)

    def run_tree_df(self, /, **filters: Any) -> pd.DataFrame:
        """Runs with what is nested in them, one row each: see :func:`agno_nb.frames.run_tree_df`."""
        from agno_nb.frames import run_tree_df

        return run_tree_df(db=self, **filters)

    def messages_df(self, /, **filters: Any) -> pd.DataFrame:
        """Messages, one row each: see :func:`agno_nb.frames.messages_df`."""
        from agno_nb.frames import messages_df

        return messages_df(db=self, **filters)

    def tool_calls_df(self, /, **filters: Any) -> pd.DataFrame:
        """Tool calls, one row each: see :func:`agno_nb.frames.tool_calls_df`."""
        from agno_nb.frames import tool_calls_df

        return tool_calls_df(db=self, **filters)

    def variables_df(self, /, **filters: Any) -> pd.DataFrame:
        """Variables in prompts, one row each: see :func:`agno_nb.frames.variables_df`."""
        from agno_nb.frames import variables_df

        return variables_df(db=self, **filters)

    def steps_df(self, /, **filters: Any) -> pd.DataFrame:
        """Steps of workflows, one row each: see :func:`agno_nb.frames.steps_df`."""
        from agno_nb.frames import steps_df

        return steps_df(db=self, **filters)

    def summaries_df(self, /, **filters: Any) -> pd.DataFrame:
        """Summaries, one row for each version: see :func:`agno_nb.frames.summaries_df`."""
        from agno_nb.frames import summaries_df

        return summaries_df(db=self, **filters)

    def memories_df(self, /, **filters: Any) -> pd.DataFrame:
        """Memories, one row each: see :func:`agno_nb.frames.memories_df`."""
        from agno_nb.frames import memories_df

        return memories_df(db=self, **filters)

    def events_df(self, /, **filters: Any) -> pd.DataFrame:
        """What happened in runs, one row each: see :func:`agno_nb.frames.events_df`."""
        from agno_nb.frames import events_df

        return events_df(db=self, **filters)
