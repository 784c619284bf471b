"""Filters of DataFrames, and their SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypedDict

from agno_nb.db import schema
from agno_nb.db.encoding import parse_time_us
from agno_nb.db.frame_columns import Frame
from agno_nb.db.pushdown import Pushdown
from agno_nb.errors import InvalidInputError
from agno_nb.types import RunEvent, RunStatus, SessionType

Values = str | Iterable[str] | None
TimeFilter = str | date | None


class SessionFilters(TypedDict, total=False):
    """Filters of sessions. A list matches any of its values, and None matches every row."""

    session_id: Values
    session_type: Values
    """agent, team or workflow."""
    user_id: Values
    agent: Values
    """Name or ID of the agent, team or workflow."""
    since: TimeFilter
    """Only rows from this time on. A time without a time zone is in UTC, like those in DataFrames."""
    until: TimeFilter
    """Only rows before this time."""
    limit: int | None
    """Maximum number of rows, newest first."""


class RunFilters(SessionFilters, total=False):
    """Filters of runs."""

    run_id: Values
    status: Values


class RunTreeFilters(RunFilters, total=False):
    """Filters of run trees."""

    root_run_id: Values
    """ID of a top-level run, for its whole tree."""


class MessageFilters(SessionFilters, total=False):
    """Filters of messages. User and agent refer to the run."""

    run_id: Values
    role: Values


class ToolCallFilters(SessionFilters, total=False):
    """Filters of tool calls. User and agent refer to the run."""

    run_id: Values
    tool_name: Values


class StepFilters(SessionFilters, total=False):
    """Filters of steps. User and agent refer to the workflow's run."""

    run_id: Values
    step_name: Values
    kind: Values


class EventFilters(SessionFilters, total=False):
    """Filters of events. User and agent refer to the run."""

    run_id: Values
    event: Values
    tool_name: Values


class VariableFilters(SessionFilters, total=False):
    """Filters of variables. User, agent and time refer to the run."""

    run_id: Values
    name: Values
    """The expression between the braces."""


class SummaryFilters(SessionFilters, total=False):
    """Filters of summaries. User and agent refer to the session."""


class MemoryFilters(TypedDict, total=False):
    """Filters of memories."""

    memory_id: Values
    user_id: Values
    agent: Values
    """Name or ID of the agent, team or workflow that created the memory."""
    since: TimeFilter
    until: TimeFilter
    limit: int | None


_ENUM_VALUES: dict[str, Iterable[str]] = {
    "session_type": SessionType,
    "status": RunStatus,
    "role": ("system", "user", "assistant", "tool"),
    "event": RunEvent,
}
# {} stands for the list of values.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The filtered rows of a frame, as SQL."""

    sql: str
    """A SELECT with ``?`` for parameters."""
    parameters: list[str | int]
    order: list[str]
    """Columns to sort the rows by. Those with a leading underscore are not columns of the frame."""
    pushdown: Pushdown | None
    """Finds the part of the store that the rows depend on. None if it may be the whole store."""


def select_rows(frame: Frame, filters: Mapping[str, Any]) -> Selection:
    """Return the SQL of a filtered frame.

    Raises
    ------
    InvalidInputError
        A value is not valid for its filter.
    """
    conditions, parameters = _conditions(frame, filters)
    limit = filters.get("limit")
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise InvalidInputError(f"limit is {limit!r}; pass a whole number of rows, 0 or more")
    where = " AND ".join(["true", *conditions.values()])
    source_sql, order = f"FROM {frame.view} WHERE {where}", frame.order.split()
    final = order
    if frame.place is not None:
        final = list(dict.fromkeys(["_moment", "_began", "run_id", "_place", *order]))
        final.remove(frame.time)
    if limit is None:
        sql = _placed(frame, frame.column_names, source_sql)
    else:
        latest = f"ORDER BY {', '.join(f'{name} DESC' for name in final)} LIMIT ?"
        if frame.key is None:
            sql = f"FROM ({_placed(frame, frame.column_names, source_sql)}) {latest}"
        else:
            # The sort only reads the key, not the text of all rows.
            keys = dict.fromkeys([frame.key, "run_id", frame.time, *order])
            key = f"SELECT {frame.key} FROM ({_placed(frame, keys, source_sql)}) {latest}"
            sql = _placed(frame, frame.column_names, f"FROM {frame.view} WHERE {frame.key} IN ({key})")
    values = [each for several in parameters.values() for each in several]
    return Selection(
        sql=sql,
        parameters=values if limit is None else [*values, limit],
        order=final,
        pushdown=_pushdown(frame, conditions, parameters, limit),
    )


def _conditions(frame: Frame, filters: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, list[str | int]]]:
    """Return the condition and the parameters of each filter."""
    conditions: dict[str, str] = {}
    parameters: dict[str, list[str | int]] = {}
    for name, value in filters.items():
        if value is None or name == "limit":
            continue
        if name in ("since", "until"):
            conditions[name] = f"{frame.time} {'>=' if name == 'since' else '<'} make_timestamptz(?)"
            parameters[name] = [parse_time_us(value, name)]
            continue
        values = _filter_values(value, name)
        template = _CONDITIONS[frame.view].get(name, name + " IN ({})")
        # An empty list matches nothing, and IN () is not SQL.
        conditions[name] = template.replace("{}", ", ".join("?" * len(values)) or "NULL")
        parameters[name] = [*values] * template.count("{}")
    return conditions, parameters


def _pushdown(
    frame: Frame, conditions: Mapping[str, str], parameters: Mapping[str, list[str | int]], limit: int | None
) -> Pushdown | None:
    """Return what finds the part of the store that the rows depend on, or None if it may be the whole store."""
    columns = frame.pushdown_columns
    if "run_id" in conditions:
        sources, name = ["raw_runs"], "run_id"
    elif limit is not None:
        return Pushdown(
            sources=_sources(frame),
            # Times are integers in the tables.
            where=" AND ".join(["true", *conditions.values()]).replace("make_timestamptz(?)", "?"),
            parameters=[each for several in parameters.values() for each in several],
            order=tuple(frame.order.split()),
            limit=limit,
            columns=columns,
            with_tree=frame.spans_sessions,
        )
    elif "session_id" in conditions:
        sources, name = ["raw_runs"], "session_id"
        if not frame.spans_sessions:
            sources, columns = ["raw_sessions"], ("session_id",)
    else:
        return None
    return Pushdown(
        sources=sources,
        where=conditions[name],
        parameters=parameters[name],
        columns=columns,
        with_tree=frame.spans_sessions,
    )


def _placed(frame: Frame, columns: Iterable[str], found: str) -> str:
    """Return the SELECT of rows, for parts of runs with columns that determine their order.

    No part of a run is older than its run, and the times of runs in a session are in the order of its turns. A clock
    that stood still or was set back therefore doesn't mix up the parts of runs.
    """
    rows = f"SELECT {', '.join(columns)} {found}"
    if frame.place is None:
        return rows
    sql = (
        f"SELECT parts.*, greatest({frame.time}, _began) AS _moment, _began, {frame.place} AS _place "
        f"FROM ({rows}) AS parts "
        "LEFT JOIN (SELECT run_id AS _run_id, make_timestamptz(created_at) AS _began FROM raw_runs) AS begins "
        "ON _run_id = run_id"
    )
    if "message_index" in frame.place and "message_index" not in frame.column_names:
        sql += (
            " LEFT JOIN (SELECT message_id AS _message_id, message_index FROM raw_messages) AS places "
            "ON _message_id = message_id"
        )
    return sql


def _sources(frame: Frame) -> list[str]:
    """Return portable SQL for the relations that have the filter columns of a frame."""
    if frame.view == "events":
        return [f"({branch}) AS happened" for branch in schema.union_branches("events")]
    return [{"run_tree": "raw_runs"}.get(frame.view, f"raw_{frame.view}")]


def _filter_values(value: str | Iterable[str], name: str) -> list[str]:
    values = [value] if isinstance(value, str) else list(value)
    for each in values:
        if not isinstance(each, str):
            raise InvalidInputError(f"{name} contains {each!r}; pass a string or a list of strings")
        if name in _ENUM_VALUES and each not in list(_ENUM_VALUES[name]):
            raise InvalidInputError(f"{name} is {each!r}; it must be one of {', '.join(_ENUM_VALUES[name])}")
    return values
