"""DataFrames of the store: one row per session, run, message, summary and so on, and SQL over them.

Columns, their order and their dtypes don't depend on the data: strings are pandas' ``str``, integers ``Int64``,
booleans ``boolean``, other numbers ``float64`` and times ``datetime64[us, UTC]``. Every column can be null, so a join
doesn't change dtypes. IDs have the same name in each DataFrame. ``docs/frames.md`` describes each column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from agno_nb._keywords import typed_kwargs
from agno_nb.db import default_db
from agno_nb.db.frame_definitions import (
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
)
from agno_nb.db.frame_reader import MAX_ROWS, TIMEOUT_S, FrameReader, QueryResult

if TYPE_CHECKING:
    import pandas as pd


@typed_kwargs(SessionFilters)
def sessions_df(*, db: FrameReader | None = None, **filters: Unpack[SessionFilters]) -> pd.DataFrame:
    """Sessions, one row each, oldest first.

    Parameters
    ----------
    db : Db or Collection, optional
        The store to read; defaults to the notebook's. If its file doesn't exist yet, the result is empty and no file is
        created.
    session_id, session_type, user_id, agent : str or list of str, optional
        Only rows that have the value, or one of the values. `agent` is a name or ID of an agent, team or workflow.
    since, until : str or datetime, optional
        Only rows from `since` on and before `until`. A time without a time zone is in UTC.
    limit : int, optional
        Maximum number of rows, newest first.

    Raises
    ------
    TypeError
        A filter doesn't exist; the message suggests the nearest one.
    InvalidInputError
        A value is not valid for its filter.

    Examples
    --------
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> sessions_df(db=InMemoryDb())["num_runs"].dtype
    Int64Dtype()
    """
    return (db or default_db()).sessions_df(**filters)


@typed_kwargs(RunFilters)
def runs_df(*, db: FrameReader | None = None, **filters: Unpack[RunFilters]) -> pd.DataFrame:
    """Runs, one row each, oldest first, including nested runs and superseded attempts.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As for :func:`sessions_df`; user and agent refer to the run.
    run_id, status : str or list of str, optional
        Only rows that have the value, or one of the values.

    Examples
    --------
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> runs = runs_df(db=InMemoryDb(), status="COMPLETED")
    >>> int(runs[runs.superseded_by.isna()]["total_tokens"].sum())
    0
    """
    return (db or default_db()).runs_df(**filters)


@typed_kwargs(RunTreeFilters)
def run_tree_df(*, db: FrameReader | None = None, **filters: Unpack[RunTreeFilters]) -> pd.DataFrame:
    """Runs with the tokens, cost and time of their nested runs, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As for :func:`sessions_df`; user and agent refer to the run.
    run_id, root_run_id, status : str or list of str, optional
        Only rows that have the value, or one of the values. `root_run_id`, the top-level run of a turn, selects the
        whole tree.

    Examples
    --------
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> tree = run_tree_df(db=InMemoryDb())
    >>> float(tree[tree.depth == 0]["tree_cost"].sum())
    0.0
    """
    return (db or default_db()).run_tree_df(**filters)


@typed_kwargs(MessageFilters)
def messages_df(*, db: FrameReader | None = None, **filters: Unpack[MessageFilters]) -> pd.DataFrame:
    """Messages, one row each, oldest first, including system messages and superseded attempts.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As for :func:`sessions_df`; user and agent refer to the run.
    run_id, role : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return (db or default_db()).messages_df(**filters)


@typed_kwargs(ToolCallFilters)
def tool_calls_df(*, db: FrameReader | None = None, **filters: Unpack[ToolCallFilters]) -> pd.DataFrame:
    """Tool calls with their results, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As for :func:`sessions_df`; user and agent refer to the run.
    run_id, tool_name : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return (db or default_db()).tool_calls_df(**filters)


@typed_kwargs(StepFilters)
def steps_df(*, db: FrameReader | None = None, **filters: Unpack[StepFilters]) -> pd.DataFrame:
    """Workflow steps with their results, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As for :func:`sessions_df`; user and agent refer to the workflow's run.
    run_id, step_name, kind : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return (db or default_db()).steps_df(**filters)


@typed_kwargs(EventFilters)
def events_df(*, db: FrameReader | None = None, **filters: Unpack[EventFilters]) -> pd.DataFrame:
    """Events of runs, one row each, oldest first: starts and ends of runs, model requests and tool calls.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As for :func:`sessions_df`; user and agent refer to the run.
    run_id, event, tool_name : str or list of str, optional
        Only rows that have the value, or one of the values.

    Examples
    --------
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> events = events_df(db=InMemoryDb(), event=["ModelRequestCompleted", "ToolCallCompleted"])
    >>> float(events.groupby("event")["duration_s"].sum().sum())
    0.0
    """
    return (db or default_db()).events_df(**filters)


@typed_kwargs(VariableFilters)
def variables_df(*, db: FrameReader | None = None, **filters: Unpack[VariableFilters]) -> pd.DataFrame:
    """Notebook variables that were inserted into prompts, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As for :func:`sessions_df`; user, agent and time refer to the run.
    run_id, name : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return (db or default_db()).variables_df(**filters)


@typed_kwargs(SummaryFilters)
def summaries_df(*, db: FrameReader | None = None, **filters: Unpack[SummaryFilters]) -> pd.DataFrame:
    """Session summaries, one row per version, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As for :func:`sessions_df`; user and agent refer to the session, and the time is `updated_at`.
    """
    return (db or default_db()).summaries_df(**filters)


@typed_kwargs(MemoryFilters)
def memories_df(*, db: FrameReader | None = None, **filters: Unpack[MemoryFilters]) -> pd.DataFrame:
    """Memories of users, one row each, oldest first.

    Parameters
    ----------
    db, user_id, agent, since, until, limit
        As for :func:`sessions_df`; `agent` is the one that created the memory.
    memory_id : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return (db or default_db()).memories_df(**filters)


def query(
    sql: str,
    *,
    db: FrameReader | None = None,
    timeout_s: float | None = TIMEOUT_S,
    max_rows: int | None = MAX_ROWS,
    **frames: Any,
) -> QueryResult:
    """Run one read-only query over the store and over your DataFrames.

    Parameters
    ----------
    sql : str
        One read-only statement in DuckDB SQL. Its tables are `sessions`, `runs`, `messages`, `tool_calls`, `steps`,
        `message_media`, `variables`, `summaries`, `memories`, `events` and `run_tree`, and your `frames`. It cannot
        write and has no access to files. It runs on a copy of the data it needs, so it doesn't block other users of the
        store, however long it takes.
    db : Db or Collection, optional
        The store to read; defaults to the notebook's.
    timeout_s : float, optional
        Time limit in seconds. With None there is none.
    max_rows : int, optional
        Maximum number of rows. A query that returns more raises an error, so that no result is silently truncated. With
        None there is no limit.
    **frames : DataFrame or pyarrow.Table
        Your own tables, by the names that the query uses.

    Raises
    ------
    QueryError
        The query was rejected, failed, took too long or returned too many rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> prices = pd.DataFrame({"model": ["a", "b"], "price": [1.0, 2.0]})
    >>> query("select sum(price) as total from prices", db=InMemoryDb(), prices=prices)
       total
    0    3.0
    """
    return (db or default_db()).query(sql, timeout_s=timeout_s, max_rows=max_rows, **frames)
