"""The store as DataFrames: a row for each session, run, message, summary and so on, and SQL over them.

Columns, their order and their dtypes do not depend on what is in the store: text is pandas' ``str``, whole numbers are
``Int64``, truth values ``boolean``, other numbers ``float64`` and times ``datetime64[us, UTC]``. They can all be null,
so that a join leaves them as they are. Ids have the same name everywhere. Each column is described in
``docs/frames.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from agno_nb._keywords import typed_kwargs
from agno_nb.db import default_db
from agno_nb.db.columns import (
    EVENTS,
    MEMORIES,
    MESSAGES,
    RUN_TREE,
    RUNS,
    SESSIONS,
    STEPS,
    SUMMARIES,
    TOOL_CALLS,
    VARIABLES,
    Frame,
)
from agno_nb.db.frame_filters import (
    EventFilters,
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
from agno_nb.db.frame_reader import MAX_ROWS, TIMEOUT_S
from agno_nb.db.schema import names, views
from agno_nb.db.tables import is_frame, sort_if_needed, to_pandas, unknown_table
from agno_nb.errors import InvalidInputError, QueryError
from agno_nb.redact import displayable

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from agno_nb.db.frame_reader import FrameReader


@typed_kwargs(SessionFilters)
def sessions_df(*, db: FrameReader | None = None, **filters: Unpack[SessionFilters]) -> pd.DataFrame:
    """Sessions, one row each, oldest first.

    Parameters
    ----------
    db : Db or Collection, optional
        The store; the one of the notebook where not given. A store that has no file yet is empty, and stays away.
    session_id, session_type, user_id, agent : str or list of str, optional
        Only rows that have the value, or one of the values. `agent` is a name or id of an agent, team or workflow.
    since, until : str or datetime, optional
        Only rows made at or after `since` and before `until`. A time without a zone is in UTC.
    limit : int, optional
        Only so many of the latest rows.

    Raises
    ------
    TypeError
        For a filter that does not exist; the message names the nearest one.
    InvalidInputError
        For a value that the filter cannot have.

    Examples
    --------
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> sessions_df(db=InMemoryDb())["num_runs"].dtype
    Int64Dtype()
    """
    return _read(SESSIONS, db, filters)


@typed_kwargs(RunFilters)
def runs_df(*, db: FrameReader | None = None, **filters: Unpack[RunFilters]) -> pd.DataFrame:
    """Runs, one row each, oldest first; nested runs and superseded attempts included.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user and agent are those of the run.
    run_id, status : str or list of str, optional
        Only rows that have the value, or one of the values.

    Examples
    --------
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> runs = runs_df(db=InMemoryDb(), status="COMPLETED")
    >>> int(runs[runs.superseded_by.isna()]["total_tokens"].sum())
    0
    """
    return _read(RUNS, db, filters)


@typed_kwargs(RunTreeFilters)
def run_tree_df(*, db: FrameReader | None = None, **filters: Unpack[RunTreeFilters]) -> pd.DataFrame:
    """Runs with the tokens, cost and time of what is nested in them, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user and agent are those of the run.
    run_id, root_run_id, status : str or list of str, optional
        Only rows that have the value, or one of the values. `root_run_id` is the run of the turn: all of its tree.

    Examples
    --------
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> tree = run_tree_df(db=InMemoryDb())
    >>> float(tree[tree.depth == 0]["tree_cost"].sum())
    0.0
    """
    return _read(RUN_TREE, db, filters)


@typed_kwargs(MessageFilters)
def messages_df(*, db: FrameReader | None = None, **filters: Unpack[MessageFilters]) -> pd.DataFrame:
    """Messages, one row each, oldest first; system messages and those of superseded attempts included.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user and agent are those of the run.
    run_id, role : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return _read(MESSAGES, db, filters)


@typed_kwargs(ToolCallFilters)
def tool_calls_df(*, db: FrameReader | None = None, **filters: Unpack[ToolCallFilters]) -> pd.DataFrame:
    """Tool calls with what came of them, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user and agent are those of the run.
    run_id, tool_name : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return _read(TOOL_CALLS, db, filters)


@typed_kwargs(StepFilters)
def steps_df(*, db: FrameReader | None = None, **filters: Unpack[StepFilters]) -> pd.DataFrame:
    """Steps of workflows with what came of them, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user and agent are those of the workflow's run.
    run_id, step_name, kind : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return _read(STEPS, db, filters)


@typed_kwargs(EventFilters)
def events_df(*, db: FrameReader | None = None, **filters: Unpack[EventFilters]) -> pd.DataFrame:
    """What happened in runs, one row each, oldest first: begins and ends of runs, model requests and tool calls.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user and agent are those of the run.
    run_id, event, tool_name : str or list of str, optional
        Only rows that have the value, or one of the values.

    Examples
    --------
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> events = events_df(db=InMemoryDb(), event=["ModelRequestCompleted", "ToolCallCompleted"])
    >>> float(events.groupby("event")["duration_s"].sum().sum())
    0.0
    """
    return _read(EVENTS, db, filters)


@typed_kwargs(VariableFilters)
def variables_df(*, db: FrameReader | None = None, **filters: Unpack[VariableFilters]) -> pd.DataFrame:
    """Variables of the notebook that were put into prompts, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user, agent and time are those of the run.
    run_id, name : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return _read(VARIABLES, db, filters)


@typed_kwargs(SummaryFilters)
def summaries_df(*, db: FrameReader | None = None, **filters: Unpack[SummaryFilters]) -> pd.DataFrame:
    """Summaries of sessions, one row for each version, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user and agent are those of the session, and the time is `updated_at`.
    """
    return _read(SUMMARIES, db, filters)


@typed_kwargs(MemoryFilters)
def memories_df(*, db: FrameReader | None = None, **filters: Unpack[MemoryFilters]) -> pd.DataFrame:
    """Memories of users, one row each, oldest first.

    Parameters
    ----------
    db, user_id, agent, since, until, limit
        As in :func:`sessions_df`; the agent is the one that learnt it.
    memory_id : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return _read(MEMORIES, db, filters)


@dataclass(frozen=True, slots=True, repr=False)
class QueryResult:
    """What a query found, to be taken as a DataFrame of pandas or polars, or as an Arrow table."""

    table: pa.Table

    def df(self) -> pd.DataFrame:
        """Return a new pandas DataFrame, with the dtypes of :mod:`agno_nb.frames`."""
        return to_pandas(self.table)

    def arrow(self) -> pa.Table:
        return self.table

    def pl(self) -> pl.DataFrame | pl.Series:
        """Return a polars DataFrame. Needs polars: ``pip install 'agno_nb[polars]'``."""
        import polars

        return polars.from_arrow(self.table)

    def __repr__(self) -> str:
        return displayable(repr(self.df()))

    def _repr_html_(self) -> str | None:
        html: str | None = self.df()._repr_html_()  # type: ignore[operator]
        return html


def query(
    sql: str,
    *,
    db: FrameReader | None = None,
    timeout_s: float | None = TIMEOUT_S,
    max_rows: int | None = MAX_ROWS,
    **frames: Any,
) -> QueryResult:
    """Run one read-only query over the store and over DataFrames of yours.

    Parameters
    ----------
    sql : str
        One statement in DuckDB's SQL that reads. Its tables are `sessions`, `runs`, `messages`, `tool_calls`,
        `steps`, `message_media`, `variables`, `summaries`, `memories`, `events` and `run_tree`, and those of `frames`.
        It cannot write, and reaches no files. What it needs is copied first, so that it keeps nobody from the store,
        however long it takes.
    db : Db or Collection, optional
        The store; the one of the notebook where not given.
    timeout_s : float, optional
        Seconds after which it is stopped. None waits.
    max_rows : int, optional
        Rows that it may find. A query that finds more is an error, so that no result is silently cut. None is no limit.
    **frames : DataFrame or pyarrow.Table
        Your own tables, by the names that the query has for them.

    Raises
    ------
    QueryError
        The query was refused, failed, took too long or found too much.

    Examples
    --------
    >>> import pandas as pd
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> prices = pd.DataFrame({"model": ["a", "b"], "price": [1.0, 2.0]})
    >>> query("select sum(price) as total from prices", db=InMemoryDb(), prices=prices)
       total
    0    3.0
    """
    for name, frame in frames.items():
        if name.lower() in names():
            raise InvalidInputError(f"{name!r} is a table of the store; give your DataFrame another name")
        if not is_frame(frame):
            remedy = ", as its .reset_index()" if hasattr(frame, "reset_index") else ""
            raise InvalidInputError(
                f"{name!r} is of type {type(frame).__name__}; give a DataFrame of pandas{remedy}, one of polars, or an "
                "Arrow table"
            )
    try:
        table = (db or default_db()).arrow(sql, (), frames, timeout_s=timeout_s, max_rows=max_rows)
    except QueryError as error:
        if (unknown := unknown_table(error)) is None:
            raise
        raise no_such_table(unknown, frames) from None
    return QueryResult(table)


def no_such_table(name: str, yours: Iterable[str]) -> QueryError:
    """Say which tables there are, where a query names one that is not."""
    return QueryError(
        f"there is no table {name!r}. The store's tables: {', '.join(views())}. "
        f"Your DataFrames: {', '.join(sorted(yours)) or 'none'}."
    )


def _read(frame: Frame, db: FrameReader | None, filters: Mapping[str, Any]) -> pd.DataFrame:
    selected = select_rows(frame, filters)
    rows = (db or default_db()).frame(selected.sql, selected.parameters, pushdown=selected.pushdown)
    table = sort_if_needed(rows, selected.order)
    table = table.drop_columns([name for name in table.column_names if name.startswith("_")])
    limit = filters.get("limit")
    return to_pandas(table if limit is None else table.slice(max(0, table.num_rows - limit)))
