"""agno's path of :class:`PostgresDb`."""

from agno_nb.db.postgres import PostgresDb

__all__ = ["PostgresDb"]
