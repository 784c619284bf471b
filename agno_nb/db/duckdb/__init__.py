"""The default store: a DuckDB file that several notebooks use at the same time, without a server.

The classes are loaded when first used: other stores use the lock file of this package, and do not need DuckDB for it.
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
