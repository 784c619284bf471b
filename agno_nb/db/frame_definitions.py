"""The DataFrames of a store as data: view, sort order and filters of each, and the SQL that selects their rows.

Columns and dtypes come from the view.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any, Literal, TypedDict, get_args

from agno_nb.db import schema
from agno_nb.db.encoding import parse_time_us
from agno_nb.db.pushdown import Pushdown
from agno_nb.db.statements import marks
from agno_nb.errors import InvalidInputError
from agno_nb.types import RunEvent, RunStatus, SessionType

Values = str | Iterable[str] | None
TimeFilter = str | date | None
Attempts = Literal["all", "current"]


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


class RunPartFilters(SessionFilters, total=False):
    """Filters of runs and of their parts. User and agent refer to the run."""

    run_id: Values
    attempts: Attempts | None
    """``"current"`` leaves out superseded attempts and the runs nested in them; ``"all"`` is the default."""


class RunFilters(RunPartFilters, total=False):
    """Filters of runs."""

    status: Values
    model: Values
    label: Values
    """Only runs with an annotation that has this label."""


class RunTreeFilters(RunFilters, total=False):
    """Filters of run trees."""

    root_run_id: Values
    """ID of a top-level run, for its whole tree."""


class MessageFilters(RunPartFilters, total=False):
    """Filters of messages. User and agent refer to the run."""

    role: Values
    tool_name: Values
    """Only results of the tool."""


class ToolCallFilters(RunPartFilters, total=False):
    """Filters of tool calls. User and agent refer to the run."""

    tool_name: Values


class StepFilters(RunPartFilters, total=False):
    """Filters of steps. User and agent refer to the workflow's run."""

    step_name: Values
    kind: Values


class EventFilters(RunPartFilters, total=False):
    """Filters of events. User and agent refer to the run."""

    event: Values
    tool_name: Values


class VariableFilters(RunPartFilters, total=False):
    """Filters of variables. User, agent and time refer to the run."""

    name: Values
    """The expression between the braces."""


class AnnotationFilters(RunPartFilters, total=False):
    """Filters of annotations. User and agent refer to the run."""

    label: Values
    annotated_by: Values


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


# {} stands for the list of values.
_AGENT = "(component_name IN ({}) OR component_id IN ({}))"
_SESSION_TYPE = "session_id IN (SELECT session_id FROM raw_sessions WHERE session_type IN ({}))"
_LABEL = "run_id IN (SELECT run_id FROM raw_annotations WHERE label IN ({}))"
_OF_RUN = {
    "agent": f"run_id IN (SELECT run_id FROM raw_runs WHERE {_AGENT})",
    "session_type": _SESSION_TYPE,
    "user_id": "run_id IN (SELECT run_id FROM raw_runs WHERE user_id IN ({}))",
    "model": "run_id IN (SELECT run_id FROM raw_runs WHERE model IN ({}))",
    "label": _LABEL,
}
"""Conditions for parts of runs."""
_CURRENT = (
    "run_id NOT IN (SELECT part.run_id FROM raw_runs AS part JOIN raw_runs AS turn ON turn.run_id = part.root_run_id "
    "JOIN raw_runs AS later ON later.session_id = turn.session_id AND later.run_index = turn.run_index "
    "AND later.attempt > turn.attempt)"
)
_OF_SESSION = {
    "agent": f"session_id IN (SELECT session_id FROM raw_sessions WHERE {_AGENT})",
    "session_type": _SESSION_TYPE,
    "user_id": "session_id IN (SELECT session_id FROM raw_sessions WHERE user_id IN ({}))",
}
_OF_MEMORY = {
    "agent": "(component_id IN ({}) "
    "OR component_id IN (SELECT component_id FROM raw_runs WHERE component_name IN ({})))"
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A DataFrame of a store."""

    view: str
    time: str = "created_at"
    """Column that `since` and `until` apply to."""
    order: str
    """Columns that the rows are sorted by, oldest first."""
    place: str | None = None
    """For parts of a run, the position in the run, as SQL over the columns and `message_index`. It decides if the clock
    stood still or was set back."""
    key: str | None = None
    """A unique column, if finding the latest rows by it alone is faster."""
    spans_sessions: bool = False
    """Whether a row depends on runs of several sessions: a run can be nested in one of another session."""
    conditions: Mapping[str, str] = field(default_factory=lambda: _OF_RUN)
    """SQL of filters that are not simply values of a column."""
    pushdown_columns: tuple[str, ...] = ("session_id", "run_id")
    """Columns whose values determine which rows of the tables a row depends on."""

    @property
    def column_names(self) -> tuple[str, ...]:
        return schema.views()[self.view].columns

    @property
    def columns(self) -> Mapping[str, str]:
        """Name and dtype of each column, in order."""
        return _dtypes(self.view)


@cache
def _dtypes(view: str) -> Mapping[str, str]:
    from agno_nb.db import sandbox
    from agno_nb.db.arrow_tables import to_pandas

    dtypes = to_pandas(sandbox.run(lambda _: {}, f"FROM {view}", (), {})).dtypes
    # pandas 2 has another name for the dtype of strings.
    return {str(name): {"string": "str"}.get(str(dtype), str(dtype)) for name, dtype in dtypes.items()}


SESSIONS = Frame(
    view="sessions", conditions={"agent": _AGENT}, pushdown_columns=("session_id",), order="created_at session_id"
)
RUNS = Frame(
    view="runs",
    conditions={"agent": _AGENT, "session_type": _SESSION_TYPE, "label": _LABEL},
    key="run_id",
    order="created_at run_id",
)
RUN_TREE = Frame(view="run_tree", spans_sessions=True, order="created_at run_id")
MESSAGES = Frame(view="messages", place="message_index", key="message_id", order="created_at run_id message_index")
TOOL_CALLS = Frame(view="tool_calls", place="COALESCE(message_index, 0)", order="created_at message_id call_index")
VARIABLES = Frame(view="variables", place="variable_index", order="created_at run_id variable_index")
STEPS = Frame(view="steps", place="step_index", order="created_at run_id step_index")
SUMMARIES = Frame(
    view="summaries",
    conditions=_OF_SESSION,
    pushdown_columns=("session_id",),
    time="updated_at",
    order="updated_at session_id version",
)
ANNOTATIONS = Frame(
    view="annotations",
    conditions={name: sql for name, sql in _OF_RUN.items() if name != "label"},
    key="annotation_id",
    order="created_at annotation_id",
)
MEMORIES = Frame(view="memories", conditions=_OF_MEMORY, pushdown_columns=("memory_id",), order="created_at memory_id")
EVENTS = Frame(
    view="events",
    place=(
        "CASE WHEN event = 'RunStarted' THEN -1 WHEN created_at <= _began AND message_id IS NULL THEN 2147483647 "
        "ELSE COALESCE(message_index, 0) END"
    ),
    order="created_at run_id event tool_call_id",
)
FRAMES = {
    frame.view: frame
    for frame in (
        SESSIONS,
        RUNS,
        RUN_TREE,
        MESSAGES,
        TOOL_CALLS,
        VARIABLES,
        STEPS,
        SUMMARIES,
        ANNOTATIONS,
        MEMORIES,
        EVENTS,
    )
}

_ENUM_VALUES: dict[str, Iterable[str]] = {
    "session_type": SessionType,
    "status": RunStatus,
    "role": ("system", "user", "assistant", "tool"),
    "event": RunEvent,
}


_Condition = tuple[str, list[str | int]]
"""A condition with ``?`` for parameters, and the parameters."""


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
    conditions = dict(_conditions(frame, filters))
    limit = filters.get("limit")
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise InvalidInputError(f"limit is {limit!r}; pass a whole number of rows, 0 or more")
    where, values = _combine(conditions)
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
    return Selection(
        sql=sql,
        parameters=values if limit is None else [*values, limit],
        order=final,
        pushdown=_pushdown(frame, conditions, limit),
    )


def _conditions(frame: Frame, filters: Mapping[str, Any]) -> Iterator[tuple[str, _Condition]]:
    """Yield the condition of each filter."""
    for name, value in filters.items():
        if value is None or name == "limit":
            continue
        if name in ("since", "until"):
            sql = f"{frame.time} {'>=' if name == 'since' else '<'} make_timestamptz(?)"
            yield name, (sql, [parse_time_us(value, name)])
            continue
        if name == "attempts":
            if value not in get_args(Attempts):
                raise InvalidInputError(f"attempts is {value!r}; it must be 'all' or 'current'")
            if value == "current":
                yield name, (_CURRENT, [])
            continue
        values = _filter_values(value, name)
        template = frame.conditions.get(name, name + " IN ({})")
        # An empty list matches nothing, and IN () is not SQL.
        yield name, (template.replace("{}", marks(values) or "NULL"), [*values] * template.count("{}"))


def _combine(conditions: Mapping[str, _Condition]) -> _Condition:
    where = " AND ".join(["true", *(sql for sql, _ in conditions.values())])
    return where, [value for _, values in conditions.values() for value in values]


def _pushdown(frame: Frame, conditions: Mapping[str, _Condition], limit: int | None) -> Pushdown | None:
    """Return what finds the part of the store that the rows depend on, or None if it may be the whole store."""
    sources, columns, used = ["raw_runs"], frame.pushdown_columns, conditions
    # Whether a nested run counts depends on its turn, which may be in another session.
    with_tree = frame.spans_sessions or "attempts" in conditions
    if "run_id" in conditions:
        used, limit = {"run_id": conditions["run_id"]}, None
    elif limit is not None:
        sources = _sources(frame)
    elif "session_id" in conditions:
        used = {"session_id": conditions["session_id"]}
        if not with_tree:
            sources, columns = ["raw_sessions"], ("session_id",)
    else:
        return None
    where, values = _combine(used)
    return Pushdown(
        columns=columns,
        sources=sources,
        # Times are integers in the tables.
        where=where.replace("make_timestamptz(?)", "?"),
        parameters=values,
        order=() if limit is None else tuple(frame.order.split()),
        limit=limit,
        with_tree=with_tree,
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
