"""``%%agent_sql``: one query over the store and the notebook's DataFrames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_nb.db.arrow_tables import is_frame, unknown_table
from agno_nb.db.base import Db
from agno_nb.db.frame_reader import MAX_ROWS, QueryResult, no_such_table
from agno_nb.db.schema import names
from agno_nb.errors import QueryError

if TYPE_CHECKING:
    import pandas as pd


def run_query(sql: str, db: Db, namespace: Mapping[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """Run a query; return its result with typed columns, and notes for the user.

    Only DataFrames that the query names are read. A table of the store takes precedence over a DataFrame of the same
    name.

    Raises
    ------
    QueryError
        The query was refused or failed. For an unknown table, the message lists the known ones.
    """
    from agno_nb.db.sql_frames import named_in

    frame_names = {name: value for name, value in list(namespace.items()) if is_frame(value)}
    in_store = [name for name in frame_names if name.lower() in names()]
    notes = [
        f"{name} is the store's table, not your DataFrame of the same name; rename the DataFrame to query it"
        for name in sorted(named_in(sql, in_store))
    ]
    own = {name: value for name, value in frame_names.items() if name not in in_store}
    # Earlier outputs that IPython keeps are tables only if the query names them.
    hidden = {name for name in own if name.startswith("_")} - set(named_in(sql, own))
    frames = {name: value for name, value in own.items() if name not in hidden}
    try:
        result = QueryResult(db.arrow(sql, (), frames, max_rows=MAX_ROWS))
        return result.df(), notes
    except QueryError as error:
        if (unknown := unknown_table(error)) is None:
            raise
        raise no_such_table(unknown, (name for name in frame_names if name[0] != "_")) from None
