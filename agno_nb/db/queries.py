"""Queries of the notebook and its widgets over the views of a store.

Values are parameters, never part of the SQL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from agno_nb.db.arrow_tables import to_pandas
from agno_nb.db.encoding import check_choice
from agno_nb.db.frame_reader import FrameReader
from agno_nb.db.sessions import OPEN_TO, open_to
from agno_nb.db.statements import marks
from agno_nb.types import RunStatus, SessionType

if TYPE_CHECKING:
    import pandas as pd

ORDERS = {
    "updated_at": "updated_at",
    "created_at": "created_at",
    "name": "lower(coalesce(session_name, first_input))",
    "num_runs": "num_runs",
    "total_tokens": "total_tokens",
    "cost": "cost",
}
"""Sort keys of sessions and their SQL."""

_MAX_CHOICES = 200
_RUN = "session_id IN (SELECT session_id FROM runs WHERE {})"
_CONDITIONS = {
    "user_id": "user_id = ?",
    "session_type": "session_type = ?",
    "agent": "? IN (component_name, component_id)",
    "notebook": _RUN.format("notebook = ?"),
    "status": _RUN.format("status = ?"),
    "days": "updated_at >= now() - to_days(?)",
    "open_to": OPEN_TO,
}
_TEXT = (
    "(contains(lower(concat_ws(' ', session_id, session_name, first_input)), lower(?)) OR session_id IN "
    "(SELECT session_id FROM messages WHERE role IN ('user', 'assistant') AND contains(lower(content), lower(?))))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Filters and order of a list of sessions. A filter that is None matches every session."""

    search: str = ""
    """Part of a name, an ID or a message. Case is ignored."""
    user_id: str | None = None
    session_type: str | None = None
    agent: str | None = None
    """Name or ID of the agent, team or workflow."""
    notebook: str | None = None
    """Path of a notebook from which a run of the session was started."""
    status: str | None = None
    """Status of any run of the session."""
    days: int | None = None
    """Only sessions that changed in this number of days."""
    sort: str = "updated_at"
    is_ascending: bool = False
    open_to: str | None = None
    """Only sessions that this user may use: their own and those without an owner."""

    def __post_init__(self) -> None:
        choices: dict[str, list[str]] = {"session_type": [*SessionType], "status": [*RunStatus], "sort": list(ORDERS)}
        for name, known in choices.items():
            check_choice(name, getattr(self, name), known)

    def query(self, columns: str = "*") -> tuple[str, list[Any]]:
        """Return the query with ``?`` for its values, and the values."""
        conditions, values = [], []
        if self.search:
            conditions.append(_TEXT)
            values += [self.search, self.search]
        for name, condition in _CONDITIONS.items():
            if (value := getattr(self, name)) is not None:
                conditions.append(condition)
                values.append(value)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = f"{ORDERS[self.sort]} {'ASC' if self.is_ascending else 'DESC'} NULLS LAST, session_id"
        return f"SELECT {columns} FROM sessions{where} ORDER BY {order}", values

    @property
    def sql(self) -> str:
        """The query with its values as literals, so that users can run it."""
        sql, values = self.query()
        literals = map(_literal, values)
        return re.sub(r"\?", lambda mark: next(literals), sql)

    def session_ids(self, db: FrameReader) -> list[str]:
        return _column(db, *self.query("session_id"))


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("\x00", "").replace("'", "''") + "'"


def _column(db: FrameReader, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
    values: list[Any] = db.frame(sql, parameters).column(0).to_pylist()
    return values


def _rows(db: FrameReader, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = db.frame(sql, parameters).to_pylist()
    return rows


def unpriced_runs(db: FrameReader) -> pd.DataFrame:
    """Return the IDs of the runs with a model answer whose cost is unknown, and their `source` in a collection.

    A workflow calls no model itself.
    """
    sql = (
        "SELECT run_id FROM runs WHERE cost IS NULL AND kind <> 'workflow' AND run_id IN "
        "(SELECT run_id FROM raw_messages WHERE role = 'assistant' AND NOT from_history)"
    )
    return to_pandas(db.frame(sql))


def notebooks_of_cells(db: FrameReader, cell_ids: Sequence[str]) -> list[str]:
    """Return the notebook paths recorded for runs of these cells."""
    sql = f"SELECT DISTINCT notebook FROM runs WHERE notebook IS NOT NULL AND cell_id IN ({marks(cell_ids) or 'NULL'})"
    return _column(db, sql, cell_ids)


class LastTurn(NamedTuple):
    """The current attempt of a turn."""

    session_id: str
    run_id: str
    created_at: datetime


def last_turn(
    db: FrameReader, notebooks: Sequence[str], user_id: str | None, *, other_than: str | None = None
) -> LastTurn | None:
    """Return the latest turn from these notebooks in a session that a user may use, except for one session."""
    is_open, users = open_to(user_id)
    sql = (
        f"SELECT session_id, run_id, created_at FROM runs WHERE notebook IN ({marks(notebooks)}) "
        "AND session_id IS DISTINCT FROM ? "
        f"AND run_index IS NOT NULL AND session_id IN (SELECT session_id FROM sessions WHERE {is_open}) "
        "ORDER BY created_at DESC, run_index DESC, attempt DESC LIMIT 1"
    )
    rows = _rows(db, sql, [*notebooks, other_than, *users])
    return LastTurn(**rows[0]) if rows else None


def sessions_called(db: FrameReader, name_or_id: str, user_id: str | None) -> list[tuple[str, bool]]:
    """Return the sessions of a name or a beginning or end of an ID, each with whether the user may use it."""
    is_open, users = open_to(user_id)
    sql = (
        f"SELECT session_id, {is_open} AS is_open FROM sessions "
        "WHERE session_name = ? OR starts_with(session_id, ?) OR ends_with(session_id, ?)"
    )
    return [(row["session_id"], row["is_open"]) for row in _rows(db, sql, [*users, name_or_id, name_or_id, name_or_id])]


def user_ids(db: FrameReader) -> list[str]:
    return _column(db, "SELECT DISTINCT user_id FROM sessions WHERE user_id IS NOT NULL")


def model_names(db: FrameReader) -> list[str]:
    """Return the models of stored runs, in the form ``provider:model``, without the demo model."""
    sql = "SELECT DISTINCT model_provider || ':' || model FROM runs WHERE model_provider <> 'demo'"
    return [name for name in _column(db, sql) if name]


def session_names(db: FrameReader, user_id: str | None) -> list[str]:
    is_open, users = open_to(user_id)
    return _column(db, f"SELECT session_name FROM sessions WHERE session_name IS NOT NULL AND {is_open}", users)


def latest_session_ids(db: FrameReader, user_id: str | None, *, limit: int) -> list[str]:
    is_open, users = open_to(user_id)
    return _column(db, f"SELECT session_id FROM sessions WHERE {is_open} ORDER BY updated_at DESC LIMIT {limit}", users)


def sessions_version(db: FrameReader) -> object:
    """Return a value that differs once a session was created, used, renamed or deleted."""
    return _rows(db, "SELECT count(*), max(updated_at) FROM sessions")


def session_version(db: FrameReader, session_id: str) -> object:
    """Return a value that differs once a run of a session started or ended, or the session was renamed."""
    sql = (
        "SELECT count(*), count(ended_at), max(ended_at), any_value(session_name) FROM runs JOIN sessions "
        "USING (session_id) WHERE session_id = ?"
    )
    return _rows(db, sql, [session_id])


def filter_choices(db: FrameReader, user_id: str | None) -> dict[str, list[str]]:
    """Return the values by which the sessions that a user may use can be filtered."""
    is_open, users = open_to(user_id)

    def distinct_values(column: str, view: str) -> list[str]:
        where = f"{column} IS NOT NULL AND {is_open}"
        return _column(db, f"SELECT DISTINCT {column} FROM {view} WHERE {where} ORDER BY 1 LIMIT {_MAX_CHOICES}", users)

    return {
        "user_id": distinct_values("user_id", "sessions"),
        "session_type": distinct_values("session_type", "sessions"),
        "agent": distinct_values("coalesce(component_name, component_id)", "sessions"),
        "notebook": distinct_values("notebook", "runs"),
        "status": distinct_values("status", "runs"),
    }


def session_rows(db: FrameReader, session_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the rows of the session browser by ID, with `status` and `interrupted` of the latest turn."""
    if not session_ids:
        return {}
    listed = marks(session_ids)
    sql = (
        "SELECT session_id, session_name, first_input, session_type, user_id, "
        "coalesce(component_name, component_id) AS agent, num_runs, total_tokens, cost, updated_at, status, "
        "interrupted FROM sessions LEFT JOIN (SELECT session_id, arg_max(status, (run_index, attempt)) AS status, "
        "arg_max(interrupted, (run_index, attempt)) AS interrupted "
        f"FROM runs WHERE run_index IS NOT NULL AND session_id IN ({listed}) GROUP BY session_id) "
        f"USING (session_id) WHERE session_id IN ({listed})"
    )
    return {row["session_id"]: row for row in _rows(db, sql, [*session_ids, *session_ids])}


def chat_sessions(
    db: FrameReader, session_type: str, user_id: str | None, search: str, *, limit: int
) -> list[dict[str, Any]]:
    """Return the latest sessions of a type and owner whose name, first input or ID contains `search`."""
    sql = (
        "SELECT session_id, session_name, first_input, num_runs, updated_at FROM sessions "
        "WHERE session_type = ? AND user_id IS NOT DISTINCT FROM ? "
        "AND contains(lower(concat_ws(' ', session_name, first_input, session_id)), lower(?)) "
        "ORDER BY updated_at DESC LIMIT ?"
    )
    return _rows(db, sql, [session_type, user_id, search, limit])


def last_run_index(db: FrameReader, session_id: str) -> int | None:
    index: int | None = _column(db, "SELECT max(run_index) FROM runs WHERE session_id = ?", [session_id])[0]
    return index


def nested_run_ids(db: FrameReader, session_id: str) -> list[tuple[str, str | None]]:
    """Return ID and parent of the nested runs of a session, oldest first."""
    sql = "SELECT run_id, parent_run_id FROM runs WHERE session_id = ? AND run_index IS NULL ORDER BY created_at"
    return [(row["run_id"], row["parent_run_id"]) for row in _rows(db, sql, [session_id])]
