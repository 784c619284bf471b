"""The ownership rule: which user may use which session."""

from __future__ import annotations

from agno_nb.db.encoding import to_sql
from agno_nb.errors import SessionOwnershipError

OPEN_TO = "(user_id IS NULL OR user_id = ?)"
"""Condition on sessions: those that a named user may use, by :func:`require_owner`."""


def open_to(user_id: str | None) -> tuple[str, list[str]]:
    """Return the condition on sessions that a user may use, and its parameters. None may use all."""
    return ("TRUE", []) if user_id is None else (OPEN_TO, [user_id])


def require_owner(session_id: str, owner: str | None, user_id: str | None) -> None:
    """Raise an error if a session of `owner` is closed to a user.

    A session without an owner is open to every user and to anonymous callers. ``""`` is not a user, so nothing is
    open to it.

    Raises
    ------
    SessionOwnershipError
    """
    if user_id == "":
        raise SessionOwnershipError(
            f"user_id '' matches no user, so session {session_id!r} is closed to it; pass the user's id, or None"
        )
    if owner is not None and owner != to_sql(user_id):
        caller = "no user_id is set" if user_id is None else f"user_id is {user_id!r}"
        raise SessionOwnershipError(
            f"session {session_id!r} belongs to user {owner!r}, but {caller}; use another session_id"
        )
