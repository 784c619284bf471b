"""agno's path of :class:`AsyncPostgresDb`."""

from agno_nb.db.postgres import AsyncPostgresDb

__all__ = ["AsyncPostgresDb"]
