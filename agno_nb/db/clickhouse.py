"""agno's path of stores that this package does not have."""

from agno_nb.db.missing_stores import ClickhouseDb

__all__ = ["ClickhouseDb"]
