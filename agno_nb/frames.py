"""The store as DataFrames: a row for each session, run, message, summary and so on, and SQL over them.

Columns, their order and their dtypes do not depend on what is in the store: text is pandas' ``str``, whole numbers are
``Int64``, truth values ``boolean``, other numbers ``float64`` and times ``datetime64[us, UTC]``. They can all be null,
so that a join leaves them as they are. Ids have the same name everywhere. Each column is described in
``docs/frames.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, TypedDict

from typing_extensions import Unpack

from agno_nb._keywords import takes
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
from agno_nb.db.encoding import moment_micros
from agno_nb.db.readable import MAX_ROWS, TIMEOUT_S
from agno_nb.db.schema import names
from agno_nb.db.tables import in_order, to_pandas
from agno_nb.errors import InvalidInputError
from agno_nb.types import RunEvent, RunStatus, SessionType

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from agno_nb.db.readable import Readable

Values = str | Iterable[str] | None
Moment = str | date | None


class SessionFilters(TypedDict, total=False):
    """What sessions may be chosen by. A list means any of its values; None does not choose."""

    session_id: Values
    session_type: Values
    """agent, team or workflow."""
    user_id: Values
    agent: Values
    """Name or id of the agent, team or workflow."""
    since: Moment
    """Rows made at this time or later. A time without a zone is in UTC, as those in the frames are."""
    until: Moment
    """Rows made before this time."""
    limit: int | None
    """So many of the latest rows."""


class RunFilters(SessionFilters, total=False):
    """What runs may be chosen by."""

    run_id: Values
    status: Values


class RunTreeFilters(RunFilters, total=False):
    """What runs of trees may be chosen by."""

    root_run_id: Values
    """Id of the run of the turn, for all of its tree."""


class MessageFilters(SessionFilters, total=False):
    """What messages may be chosen by. User and agent are those of the run."""

    run_id: Values
    role: Values


class ToolCallFilters(SessionFilters, total=False):
    """What tool calls may be chosen by. User and agent are those of the run."""

    run_id: Values
    tool_name: Values


class StepFilters(SessionFilters, total=False):
    """What steps may be chosen by. User and agent are those of the workflow's run."""

    run_id: Values
    step_name: Values
    kind: Values


class EventFilters(SessionFilters, total=False):
    """What events may be chosen by. User and agent are those of the run."""

    run_id: Values
    event: Values
    tool_name: Values


class VariableFilters(SessionFilters, total=False):
    """What variables may be chosen by. User, agent and time are those of the run."""

    run_id: Values
    name: Values
    """The expression between the braces."""


class SummaryFilters(SessionFilters, total=False):
    """What summaries may be chosen by. User and agent are those of the session."""


class MemoryFilters(TypedDict, total=False):
    """What memories may be chosen by."""

    memory_id: Values
    user_id: Values
    agent: Values
    """Name or id of the agent, team or workflow that learnt it."""
    since: Moment
    until: Moment
    limit: int | None


_CHOICES: dict[str, Iterable[str]] = {
    "session_type": SessionType,
    "status": RunStatus,
    "role": ("system", "user", "assistant", "tool"),
    "event": RunEvent,
}
# {} is the list of values.
_AGENT = "(component_name IN ({}) OR component_id IN ({}))"
_SESSION_TYPE = "session_id IN (SELECT session_id FROM raw_sessions WHERE session_type IN ({}))"
_OF_RUN = {
    "agent": f"run_id IN (SELECT run_id FROM raw_runs WHERE {_AGENT})",
    "session_type": _SESSION_TYPE,
    "user_id": "run_id IN (SELECT run_id FROM raw_runs WHERE user_id IN ({}))",
}
_OF_SESSION = "session_id IN (SELECT session_id FROM raw_sessions WHERE {})"
_CONDITIONS: dict[str, dict[str, str]] = {
    "sessions": {"agent": _AGENT},
    "runs": {"agent": _AGENT, "session_type": _SESSION_TYPE},
    "run_tree": _OF_RUN,
    "messages": _OF_RUN,
    "tool_calls": _OF_RUN,
    "variables": _OF_RUN,
    "steps": _OF_RUN,
    "events": _OF_RUN,
    "summaries": {
        "agent": _OF_SESSION.replace("{}", _AGENT),
        "session_type": _SESSION_TYPE,
        "user_id": _OF_SESSION.replace("{}", "user_id IN ({})"),
    },
    "memories": {
        "agent": "(component_id IN ({}) "
        "OR component_id IN (SELECT component_id FROM raw_runs WHERE component_name IN ({})))",
    },
}


@takes(SessionFilters)
def sessions_df(*, db: Readable | None = None, **filters: Unpack[SessionFilters]) -> pd.DataFrame:
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


@takes(RunFilters)
def runs_df(*, db: Readable | None = None, **filters: Unpack[RunFilters]) -> pd.DataFrame:
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


@takes(RunTreeFilters)
def run_tree_df(*, db: Readable | None = None, **filters: Unpack[RunTreeFilters]) -> pd.DataFrame:
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


@takes(MessageFilters)
def messages_df(*, db: Readable | None = None, **filters: Unpack[MessageFilters]) -> pd.DataFrame:
    """Messages, one row each, oldest first; system messages and those of superseded attempts included.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user and agent are those of the run.
    run_id, role : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return _read(MESSAGES, db, filters)


@takes(ToolCallFilters)
def tool_calls_df(*, db: Readable | None = None, **filters: Unpack[ToolCallFilters]) -> pd.DataFrame:
    """Tool calls with what came of them, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user and agent are those of the run.
    run_id, tool_name : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return _read(TOOL_CALLS, db, filters)


@takes(StepFilters)
def steps_df(*, db: Readable | None = None, **filters: Unpack[StepFilters]) -> pd.DataFrame:
    """Steps of workflows with what came of them, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user and agent are those of the workflow's run.
    run_id, step_name, kind : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return _read(STEPS, db, filters)


@takes(EventFilters)
def events_df(*, db: Readable | None = None, **filters: Unpack[EventFilters]) -> pd.DataFrame:
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


@takes(VariableFilters)
def variables_df(*, db: Readable | None = None, **filters: Unpack[VariableFilters]) -> pd.DataFrame:
    """Variables of the notebook that were put into prompts, one row each, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user, agent and time are those of the run.
    run_id, name : str or list of str, optional
        Only rows that have the value, or one of the values.
    """
    return _read(VARIABLES, db, filters)


@takes(SummaryFilters)
def summaries_df(*, db: Readable | None = None, **filters: Unpack[SummaryFilters]) -> pd.DataFrame:
    """Summaries of sessions, one row for each version, oldest first.

    Parameters
    ----------
    db, session_id, session_type, user_id, agent, since, until, limit
        As in :func:`sessions_df`; user and agent are those of the session, and the time is `updated_at`.
    """
    return _read(SUMMARIES, db, filters)


@takes(MemoryFilters)
def memories_df(*, db: Readable | None = None, **filters: Unpack[MemoryFilters]) -> pd.DataFrame:
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
        return repr(self.df())

    def _repr_html_(self) -> str | None:
        html: str | None = self.df()._repr_html_()  # type: ignore[operator]
        return html


def query(
    sql: str,
    *,
    db: Readable | None = None,
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
        It cannot write, and reaches no files. What it names is copied first, so that it keeps nobody from the store,
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
    for name in frames:
        if name.lower() in names():
            raise InvalidInputError(f"{name!r} is a table of the store; give your DataFrame another name")
    table = (db or default_db()).arrow(sql, (), frames, timeout_s=timeout_s, max_rows=max_rows)
    return QueryResult(table)


def _read(frame: Frame, db: Readable | None, filters: Mapping[str, Any]) -> pd.DataFrame:
    conditions = ["true"]
    parameters: list[str | int] = []
    session_ids: list[str] | None = None
    for name, value in filters.items():
        if value is None or name == "limit":
            continue
        if name in ("since", "until"):
            conditions.append(f"{frame.time} {'>=' if name == 'since' else '<'} make_timestamptz(?)")
            parameters.append(moment_micros(value, name))
            continue
        values = _values(value, name)
        if name == "session_id" and not frame.spans_sessions:
            session_ids = values
        template = _CONDITIONS[frame.view].get(name, name + " IN ({})")
        # An empty list matches nothing, and IN () is not SQL.
        conditions.append(template.replace("{}", ", ".join("?" * len(values)) or "NULL"))
        parameters += values * template.count("{}")
    columns, found = ", ".join(frame.columns), f"FROM {frame.view} WHERE {' AND '.join(conditions)}"
    if (limit := filters.get("limit")) is not None:
        if not isinstance(limit, int) or limit < 0:
            raise InvalidInputError(f"limit is {limit!r}; it must be a whole number of rows")
        found += f" ORDER BY {', '.join(f'{name} DESC' for name in frame.order.split())} LIMIT ?"
        parameters.append(limit)
        if frame.key is not None:
            # The text of all rows is not carried along while the latest of them are looked for.
            found = f"FROM {frame.view} WHERE {frame.key} IN (SELECT {frame.key} {found})"
    rows = (db or default_db()).frame(f"SELECT {columns} {found}", parameters, session_ids=session_ids)
    table = in_order(rows, frame.order.split())
    return to_pandas(table if limit is None else table.slice(max(0, table.num_rows - limit)))


def _values(value: str | Iterable[str], name: str) -> list[str]:
    values = [value] if isinstance(value, str) else list(value)
    for each in values:
        if not isinstance(each, str):
            raise InvalidInputError(f"{name} holds {each!r}; it must be a text or a list of texts")
        if name in _CHOICES and each not in list(_CHOICES[name]):
            raise InvalidInputError(f"{name} is {each!r}; it must be one of {', '.join(_CHOICES[name])}")
    return values
