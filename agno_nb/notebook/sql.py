"""``%%agent_sql``: one query over the store and over the notebook's own DataFrames."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_nb.db.base import Db
from agno_nb.db.schema import names
from agno_nb.errors import QueryError
from agno_nb.frames import is_frame, no_such_table, unknown_table

if TYPE_CHECKING:
    import pandas as pd

_NO_NAMES = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/|\$\$.*?\$\$", re.DOTALL)
_NAME = re.compile(r'"((?:[^"]|"")+)"|([^\W\d]\w*)')


def frame_of(sql: str, db: Db, namespace: Mapping[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """Run a query; return its result with typed columns, and what the user should know of it.

    Only DataFrames that the query names are handed over. Where one has the name of a table of the store, the query
    reads the store's.

    Raises
    ------
    QueryError
        The query was refused or failed. The message says which tables there are, where it names one that is not.
    """
    named = {quoted.replace('""', '"') or bare for quoted, bare in _NAME.findall(_NO_NAMES.sub(" ", sql))}
    held = {name for name in named if is_frame(namespace.get(name))}
    in_store = {name for name in held if name.lower() in names()}
    notes = [
        f"{name} is the store's table here, not your DataFrame of that name; to query yours, give it another name"
        for name in sorted(in_store)
    ]
    try:
        result = db.query(sql, **{name: namespace[name] for name in held - in_store})
    except QueryError as error:
        if (unknown := unknown_table(error)) is None:
            raise
        yours = (name for name, value in namespace.items() if is_frame(value) and name[0] != "_")
        raise no_such_table(unknown, yours) from None
    return result.df(), notes
