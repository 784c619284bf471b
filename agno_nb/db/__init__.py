"""Stores of sessions, and the default store."""

from __future__ import annotations

from collections.abc import Callable

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db.base import BaseDb, Db, SessionType

__all__ = ["BaseDb", "SessionType", "default_db", "set_default_db"]

_default: Db | Callable[[], Db] | None = None


@suggest_on_unknown_kwarg({})
def default_db() -> Db:
    """Return the default store of this process: the one that was set, or ``agno_nb.duckdb`` in the working directory.

    The first call determines the working directory.
    """
    global _default
    if _default is None:
        # Imported here, so that other stores don't load DuckDB.
        from agno_nb.db.duckdb import DuckDb

        _default = DuckDb("agno_nb.duckdb")
    return _default if isinstance(_default, Db) else _default()


def set_default_db(db: Db | Callable[[], Db] | None) -> None:
    """Set the default store of this process, or a function that returns it.

    None resets it to the file in the working directory.
    """
    global _default
    _default = db
