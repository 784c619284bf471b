"""agno's path of :class:`SqliteDb`."""

from agno_nb.db.sqlite import SqliteDb

__all__ = ["SqliteDb"]
