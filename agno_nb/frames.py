"""DataFrames of the store: one row per session, run, message, summary and so on, and SQL over them.

Columns, their order and their dtypes don't depend on the data: strings are pandas' ``str``, integers ``Int64``,
booleans ``boolean``, other numbers ``float64`` and times ``datetime64[us, UTC]``. Every column can be null, so a join
doesn't change dtypes. IDs have the same name in each DataFrame. ``docs/frames.md`` describes each column.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from agno_nb._keywords import typed_kwargs
from agno_nb.db import default_db
from agno_nb.db.arrow_tables import TimeZone
from agno_nb.db.frame_definitions import (
    AnnotationFilters,
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
from agno_nb.db.frame_reader import MAX_ROWS, TIMEOUT_S, FrameReader, QueryResult, run_query

if TYPE_CHECKING:
    import pandas as pd

notebook_namespace: Mapping[str, Any] = {}
"""The variables of the notebook, whose DataFrames :func:`query` finds. Empty if the IPython extension is not loaded."""


@typed_kwargs(SessionFilters)
def sessions_df(
    *, db: FrameReader | None = None, tz: TimeZone = "UTC", **filters: Unpack[SessionFilters]
) -> pd.DataFrame:
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
    tz : str, tzinfo or None
        Time zone of the times, for example ``"Europe/Paris"``. With None, they are in UTC without a time zone, which
        Excel needs.

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
    return (db or default_db()).sessions_df(tz=tz, **filters)


@typed_kwargs(RunFilters)
def runs_df(*, db: FrameReader | None = None, tz: TimeZone = "UTC", **filters: Unpack[RunFilters]) -> pd.DataFrame:
    """Runs, one row each, oldest first, including nested runs and superseded attempts.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit, tz
        As for :func:`sessions_df`; user and agent refer to the run.
    run_id, status, model, label : str or list of str, optional
        Only rows that have the value, or one of the values. `label` is one of an annotation of the run.
    attempts : {"all", "current"}
        Whether to leave out superseded attempts and the runs nested in them. They are part of the result by default,
        because they were paid for.

    Examples
    --------
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> runs = runs_df(db=InMemoryDb(), status="COMPLETED", attempts="current")
    >>> int(runs["total_tokens"].sum())
    0
    """
    return (db or default_db()).runs_df(tz=tz, **filters)


@typed_kwargs(RunTreeFilters)
def run_tree_df(
    *, db: FrameReader | None = None, tz: TimeZone = "UTC", **filters: Unpack[RunTreeFilters]
) -> pd.DataFrame:
    """Runs with the tokens, cost and time of their nested runs, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit, tz
        As for :func:`sessions_df`; user and agent refer to the run.
    run_id, root_run_id, status, model, label : str or list of str, optional
        Only rows that have the value, or one of the values. `root_run_id`, the top-level run of a turn, selects the
        whole tree.
    attempts : {"all", "current"}
        As for :func:`runs_df`.

    Examples
    --------
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> tree = run_tree_df(db=InMemoryDb())
    >>> float(tree[tree.depth == 0]["tree_cost"].sum())
    0.0
    """
    return (db or default_db()).run_tree_df(tz=tz, **filters)


@typed_kwargs(MessageFilters)
def messages_df(
    *, db: FrameReader | None = None, tz: TimeZone = "UTC", **filters: Unpack[MessageFilters]
) -> pd.DataFrame:
    """Messages, one row each, oldest first, including system messages and superseded attempts.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit, tz
        As for :func:`sessions_df`; user and agent refer to the run.
    run_id, role, tool_name : str or list of str, optional
        Only rows that have the value, or one of the values. Only results of tools have a tool name.
    attempts : {"all", "current"}
        As for :func:`runs_df`.
    """
    return (db or default_db()).messages_df(tz=tz, **filters)


@typed_kwargs(ToolCallFilters)
def tool_calls_df(
    *, db: FrameReader | None = None, tz: TimeZone = "UTC", **filters: Unpack[ToolCallFilters]
) -> pd.DataFrame:
    """Tool calls with their results, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit, tz
        As for :func:`sessions_df`; user and agent refer to the run.
    run_id, tool_name : str or list of str, optional
        Only rows that have the value, or one of the values.
    attempts : {"all", "current"}
        As for :func:`runs_df`.
    """
    return (db or default_db()).tool_calls_df(tz=tz, **filters)


@typed_kwargs(StepFilters)
def steps_df(*, db: FrameReader | None = None, tz: TimeZone = "UTC", **filters: Unpack[StepFilters]) -> pd.DataFrame:
    """Workflow steps with their results, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit, tz
        As for :func:`sessions_df`; user and agent refer to the workflow's run.
    run_id, step_name, kind : str or list of str, optional
        Only rows that have the value, or one of the values.
    attempts : {"all", "current"}
        As for :func:`runs_df`.
    """
    return (db or default_db()).steps_df(tz=tz, **filters)


@typed_kwargs(EventFilters)
def events_df(*, db: FrameReader | None = None, tz: TimeZone = "UTC", **filters: Unpack[EventFilters]) -> pd.DataFrame:
    """Events of runs, one row each, oldest first: starts and ends of runs, model requests and tool calls.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit, tz
        As for :func:`sessions_df`; user and agent refer to the run.
    run_id, event, tool_name : str or list of str, optional
        Only rows that have the value, or one of the values.
    attempts : {"all", "current"}
        As for :func:`runs_df`.

    Examples
    --------
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> events = events_df(db=InMemoryDb(), event=["ModelRequestCompleted", "ToolCallCompleted"])
    >>> float(events.groupby("event")["duration_s"].sum().sum())
    0.0
    """
    return (db or default_db()).events_df(tz=tz, **filters)


@typed_kwargs(VariableFilters)
def variables_df(
    *, db: FrameReader | None = None, tz: TimeZone = "UTC", **filters: Unpack[VariableFilters]
) -> pd.DataFrame:
    """Notebook variables that were inserted into prompts, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit, tz
        As for :func:`sessions_df`; user, agent and time refer to the run.
    run_id, name : str or list of str, optional
        Only rows that have the value, or one of the values.
    attempts : {"all", "current"}
        As for :func:`runs_df`.
    """
    return (db or default_db()).variables_df(tz=tz, **filters)


@typed_kwargs(SummaryFilters)
def summaries_df(
    *, db: FrameReader | None = None, tz: TimeZone = "UTC", **filters: Unpack[SummaryFilters]
) -> pd.DataFrame:
    """Session summaries, one row per version, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit, tz
        As for :func:`sessions_df`; user and agent refer to the session, and the time is `updated_at`.
    """
    return (db or default_db()).summaries_df(tz=tz, **filters)


@typed_kwargs(AnnotationFilters)
def annotations_df(
    *, db: FrameReader | None = None, tz: TimeZone = "UTC", **filters: Unpack[AnnotationFilters]
) -> pd.DataFrame:
    """Annotations of runs, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit, tz
        As for :func:`sessions_df`; user and agent refer to the run.
    run_id, label, annotated_by : str or list of str, optional
        Only rows that have the value, or one of the values.
    attempts : {"all", "current"}
        As for :func:`runs_df`.
    """
    return (db or default_db()).annotations_df(tz=tz, **filters)


@typed_kwargs(MemoryFilters)
def memories_df(
    *, db: FrameReader | None = None, tz: TimeZone = "UTC", **filters: Unpack[MemoryFilters]
) -> pd.DataFrame:
    """Memories of users, one row each, oldest first.

    Parameters
    ----------
    db, user_id, agent, since, until, limit, tz
        As for :func:`sessions_df`; `agent` is the one that created the memory.
    memory_id : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return (db or default_db()).memories_df(tz=tz, **filters)


def query(
    sql: str,
    *,
    db: FrameReader | None = None,
    timeout_s: float | None = TIMEOUT_S,
    max_rows: int | None = MAX_ROWS,
    isolated: bool = False,
    max_memory: int | str | None = None,
    **frames: Any,
) -> QueryResult:
    """Run one read-only query over the store and over your DataFrames.

    In a notebook, the query finds the notebook's DataFrames by name, as ``%%agent_sql`` does.

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
        Time limit in seconds. With None there is none. Unless the query is `isolated`, the time in which DuckDB plans
        it is not limited, which is long for deeply nested statements.
    max_rows : int, optional
        Maximum number of rows. A query that returns more raises an error, so that no result is silently truncated. With
        None there is no limit.
    isolated : bool
        Whether to run the query in a worker process, which is ended at the limits of time and memory. Use it for
        statements that you didn't write. The needed columns are copied to the worker, and the result back.
    max_memory : int or str, optional
        Limit of the memory that an isolated query may take, in bytes or for example ``"500MB"``; by default 1 GB.
    **frames : DataFrame or pyarrow.Table
        Your own tables, by the names that the query uses. They take precedence over the notebook's variables.

    Raises
    ------
    QueryError
        The query was rejected, failed, took too long or too much memory, or returned too many rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from agno_nb.db.in_memory import InMemoryDb
    >>> prices = pd.DataFrame({"model": ["a", "b"], "price": [1.0, 2.0]})
    >>> query("select sum(price) as total from prices", db=InMemoryDb(), prices=prices)
       total
    0    3.0
    """
    result, notes = run_query(
        db or default_db(),
        sql,
        frames,
        notebook_namespace,
        timeout_s=timeout_s,
        max_rows=max_rows,
        isolated=isolated,
        max_memory=max_memory,
    )
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return result
