"""The default store: a DuckDB file that several notebooks can use at the same time, without a server.

The classes are loaded on first use, because other stores use the lock file of this package, which doesn't need DuckDB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agno_nb.db.duckdb.duckdb import AsyncDuckDb as AsyncDuckDb, DuckDb as DuckDb

__all__ = ["AsyncDuckDb", "DuckDb"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from agno_nb.db.duckdb import duckdb as classes

    return getattr(classes, name)
