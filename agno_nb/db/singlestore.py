"""agno's path of stores that this package does not have."""

from agno_nb.db.missing_stores import SingleStoreDb

__all__ = ["SingleStoreDb"]
