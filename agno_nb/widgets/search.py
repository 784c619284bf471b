"""The filters of the session browser as one query over the store's views, with parameters for the values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agno_nb.db.ownership import OPEN_TO
from agno_nb.errors import InvalidInputError
from agno_nb.types import RunStatus, SessionType

ORDERS = {
    "updated_at": "updated_at",
    "created_at": "created_at",
    "name": "lower(coalesce(session_name, first_input))",
    "num_runs": "num_runs",
    "total_tokens": "total_tokens",
    "cost": "cost",
}
"""Sort keys of sessions."""

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
    """Filters and order of the list. None does not filter."""

    search: str = ""
    """Part of a name, an id or a message, ignoring case."""
    user_id: str | None = None
    session_type: str | None = None
    agent: str | None = None
    """Name or id."""
    notebook: str | None = None
    """Path of a notebook that started a run of the session."""
    status: str | None = None
    """Status of any run of the session."""
    days: int | None = None
    """Only sessions that were updated within this number of days."""
    sort: str = "updated_at"
    is_ascending: bool = False
    open_to: str | None = None
    """Only sessions that this user can open: their own and unowned ones."""

    def __post_init__(self) -> None:
        choices: dict[str, list[str]] = {"session_type": [*SessionType], "status": [*RunStatus], "sort": list(ORDERS)}
        for name, known in choices.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise InvalidInputError(f"{name} is {value!r}; it must be one of {', '.join(known)}")

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
        """The query with its values as literals, to be run by a person."""
        sql, values = self.query()
        pieces = sql.split("?")
        return "".join(
            piece + (_literal(values[place]) if place < len(values) else "") for place, piece in enumerate(pieces)
        )


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("\x00", "").replace("'", "''") + "'"


def row_to_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a session with times as unix seconds."""
    return {name: value.timestamp() if hasattr(value, "timestamp") else value for name, value in row.items()}
