"""agno's path of :class:`AsyncSqliteDb`."""

from agno_nb.db.sqlite import AsyncSqliteDb

__all__ = ["AsyncSqliteDb"]
