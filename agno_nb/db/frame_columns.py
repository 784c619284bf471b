"""The DataFrames of a store as data: view, sort order and filters of each. Columns and dtypes come from the view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from agno_nb.db import schema


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


SESSIONS = Frame(view="sessions", pushdown_columns=("session_id",), order="created_at session_id")
RUNS = Frame(view="runs", key="run_id", order="created_at run_id")
RUN_TREE = Frame(view="run_tree", spans_sessions=True, order="created_at run_id")
MESSAGES = Frame(view="messages", place="message_index", key="message_id", order="created_at run_id message_index")
TOOL_CALLS = Frame(view="tool_calls", place="COALESCE(message_index, 0)", order="created_at message_id call_index")
VARIABLES = Frame(view="variables", place="variable_index", order="created_at run_id variable_index")
STEPS = Frame(view="steps", place="step_index", order="created_at run_id step_index")
SUMMARIES = Frame(
    view="summaries", pushdown_columns=("session_id",), time="updated_at", order="updated_at session_id version"
)
MEMORIES = Frame(view="memories", pushdown_columns=("memory_id",), order="created_at memory_id")
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
    for frame in (SESSIONS, RUNS, RUN_TREE, MESSAGES, TOOL_CALLS, VARIABLES, STEPS, SUMMARIES, MEMORIES, EVENTS)
}
