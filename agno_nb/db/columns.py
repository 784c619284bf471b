"""The frames as data: columns and dtypes of each, in the order of its view in views.sql."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TEXT, INTEGER, BOOLEAN, NUMBER, TIME = "str", "Int64", "boolean", "float64", "datetime64[us, UTC]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame as data."""

    view: str
    time: str = "created_at"
    """The column that `since` and `until` are about."""
    order: str
    """The columns that it is sorted by; the oldest row is the first."""
    place: str | None = None
    """Where in its run a part of a run is, in SQL over its columns and `message_index`. It counts if the clock does not
    tell, because it stood still or was set back. None for other rows."""
    key: str | None = None
    """A column that is another in every row, where the latest rows are found faster by it alone."""
    spans_sessions: bool = False
    """Whether a row is made of runs of several sessions: a run may be nested in one of another session."""
    pushdown_columns: tuple[str, ...] = ("session_id", "run_id")
    """Columns whose values say which rows of the tables a row is made of."""
    columns: Mapping[str, str]
    """Name and dtype of each column, in order."""


def _columns(*groups: tuple[str, str]) -> dict[str, str]:
    return {name: dtype for dtype, names in groups for name in names.split()}


_TOKENS = "cache_read_tokens cache_write_tokens reasoning_tokens"

SESSIONS = Frame(
    view="sessions",
    pushdown_columns=("session_id",),
    order="created_at session_id",
    columns=_columns(
        (TEXT, "session_id session_type session_name user_id component_id component_name"),
        (INTEGER, "num_runs"),
        (TEXT, "first_input"),
        (INTEGER, "input_tokens output_tokens total_tokens"),
        (NUMBER, "cost"),
        (TEXT, "session_state metadata forked_from_session_id forked_from_run_id"),
        (TIME, "created_at updated_at last_run_at"),
    ),
)
RUNS = Frame(
    view="runs",
    key="run_id",
    order="created_at run_id",
    columns=_columns(
        (TEXT, "run_id session_id"),
        (INTEGER, "run_index attempt"),
        (TEXT, "parent_run_id parent_tool_call_id root_run_id step"),
        (TEXT, "kind component_id component_name user_id status"),
        (BOOLEAN, "interrupted"),
        (TEXT, "superseded_by"),
        (BOOLEAN, "stale"),
        (TEXT, "forked_from_run_id input content content_type reasoning_content model model_provider"),
        (INTEGER, f"input_tokens output_tokens total_tokens {_TOKENS}"),
        (NUMBER, "cost time_to_first_token_s duration_s"),
        (TEXT, "error_type error notebook cell_id"),
        (INTEGER, "execution_count"),
        (TEXT, "cell_hash kernel_id context context_hash replay_of_run_id metadata requirements state_changes"),
        (TIME, "created_at ended_at interrupted_at"),
    ),
)
MESSAGES = Frame(
    view="messages",
    place="message_index",
    key="message_id",
    order="created_at run_id message_index",
    columns=_columns(
        (TEXT, "message_id run_id session_id"),
        (INTEGER, "message_index"),
        (TEXT, "role content reasoning_content tool_call_id tool_name"),
        (BOOLEAN, "tool_call_error"),
        (TEXT, "finish_reason model"),
        (INTEGER, f"input_tokens output_tokens {_TOKENS}"),
        (NUMBER, "cost time_to_first_token_s duration_s"),
        (TEXT, "provider_data"),
        (INTEGER, "num_tool_calls num_media"),
        (BOOLEAN, "from_history"),
        (TIME, "created_at"),
    ),
)
TOOL_CALLS = Frame(
    view="tool_calls",
    place="COALESCE(message_index, 0)",
    order="created_at message_id call_index",
    columns=_columns(
        (TEXT, "tool_call_id run_id session_id message_id"),
        (INTEGER, "call_index"),
        (TEXT, "tool_name arguments result"),
        (BOOLEAN, "tool_call_error"),
        (NUMBER, "duration_s"),
        (TEXT, "extra"),
        (TIME, "created_at ended_at"),
    ),
)
VARIABLES = Frame(
    view="variables",
    place="variable_index",
    order="created_at run_id variable_index",
    columns=_columns(
        (TEXT, "run_id session_id"),
        (INTEGER, "variable_index"),
        (TEXT, "name type shape dtypes hash"),
        (BOOLEAN, "cut"),
        (INTEGER, "chars"),
        (TIME, "created_at"),
    ),
)
STEPS = Frame(
    view="steps",
    place="step_index",
    order="created_at run_id step_index",
    columns=_columns(
        (TEXT, "run_id session_id"),
        (INTEGER, "step_index"),
        (TEXT, "step_name path kind"),
        (INTEGER, "iteration"),
        (TEXT, "input content content_type status error"),
        (BOOLEAN, "stop"),
        (TEXT, "child_run_id"),
        (NUMBER, "duration_s"),
        (TIME, "created_at"),
    ),
)
SUMMARIES = Frame(
    view="summaries",
    pushdown_columns=("session_id",),
    time="updated_at",
    order="updated_at session_id version",
    columns=_columns(
        (TEXT, "session_id"),
        (INTEGER, "version"),
        (TEXT, "summary topics"),
        (INTEGER, "from_run_index to_run_index"),
        (TEXT, "model model_provider"),
        (INTEGER, f"input_tokens output_tokens {_TOKENS}"),
        (NUMBER, "cost time_to_first_token_s duration_s"),
        (TIME, "updated_at"),
    ),
)
MEMORIES = Frame(
    view="memories",
    pushdown_columns=("memory_id",),
    order="created_at memory_id",
    columns=_columns(
        (TEXT, "memory_id user_id memory topics input component_id"),
        (TIME, "created_at updated_at"),
    ),
)
EVENTS = Frame(
    view="events",
    place=(
        "CASE WHEN event = 'RunStarted' THEN -1 WHEN created_at <= _began AND message_id IS NULL THEN 2147483647 "
        "ELSE COALESCE(message_index, 0) END"
    ),
    order="created_at run_id event tool_call_id",
    columns=_columns(
        (TEXT, "event run_id session_id parent_run_id component_name message_id tool_call_id tool_name model"),
        (INTEGER, "input_tokens output_tokens"),
        (NUMBER, "cost duration_s"),
        (TEXT, "content details"),
        (TIME, "created_at"),
    ),
)
RUN_TREE = Frame(
    view="run_tree",
    spans_sessions=True,
    order="created_at run_id",
    columns=_columns(
        (TEXT, "session_id root_run_id run_id parent_run_id parent_tool_call_id step"),
        (INTEGER, "run_index attempt depth"),
        (TEXT, "path kind component_name status"),
        (INTEGER, "num_nested input_tokens output_tokens"),
        (NUMBER, "cost"),
        (INTEGER, "tree_input_tokens tree_output_tokens"),
        (NUMBER, "tree_cost duration_s"),
        (TIME, "created_at ended_at"),
    ),
)
FRAMES = {
    frame.view: frame
    for frame in (SESSIONS, RUNS, RUN_TREE, MESSAGES, TOOL_CALLS, VARIABLES, STEPS, SUMMARIES, MEMORIES, EVENTS)
}
