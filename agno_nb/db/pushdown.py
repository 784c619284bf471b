"""Pushdown: find the sessions and runs that the filtered rows of a frame depend on, so that only these are read.

Views aggregate and join, and a filter on their result is only applied after that. A short statement over one table
therefore finds the sessions and runs first, and the tables under the views are filtered by them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agno_nb.db import schema
from agno_nb.db.statements import Transaction, marks

ColumnFilter = Mapping[str, Sequence[str]]
"""Values by column. A table with these columns is filtered by them; other tables are read completely."""

MAX_VALUES = 500
"""Maximum number of values in a filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushdown:
    """A query for the sessions and runs that rows of a frame depend on. It may find more of them, but not fewer."""

    columns: tuple[str, ...]
    """Columns of the filter."""
    sources: Sequence[str]
    """Tables or subqueries to select from, in portable SQL."""
    where: str
    """Condition on their rows."""
    parameters: Sequence[str | int]
    order: tuple[str, ...] = ()
    """Sort columns, newest first. The first of them is a time."""
    limit: int | None = None
    """Maximum number of rows of the frame."""
    with_tree: bool = False
    """Whether to include the runs above and below those found."""

    def resolve(self, connection: Transaction) -> ColumnFilter | None:
        """Return the filter, or None if it would have too many values."""
        rows = self._select_rows(connection)
        column_filter: dict[str, Sequence[str]] = {
            name: list(dict.fromkeys(row[place] for row in rows)) for place, name in enumerate(self.columns)
        }
        if self.with_tree:
            if len(column_filter["run_id"]) > MAX_VALUES:
                return None
            column_filter = dict(_run_tree(connection, column_filter["run_id"]))
        elif len(column_filter.get("run_id", ())) <= MAX_VALUES:
            column_filter = _with_turns(connection, column_filter)
        # Many runs of a few sessions are filtered by their sessions only.
        return {name: values for name, values in column_filter.items() if len(values) <= MAX_VALUES} or None

    def _select_rows(self, connection: Transaction) -> list[tuple[Any, ...]]:
        columns = ", ".join([*self.columns, *self.order[:1]])
        rows: list[tuple[Any, ...]] = []
        for source in self.sources:
            sql, parameters = f"SELECT {columns} FROM {source} WHERE {self.where}", [*self.parameters]
            if self.limit is not None:
                if 0 < self.limit <= len(rows):
                    # Rows that are older than enough rows of earlier sources are not needed.
                    sql += f" AND {self.order[0]} >= ?"
                    parameters.append(sorted((row[-1] for row in rows), reverse=True)[self.limit - 1])
                sql += f" ORDER BY {', '.join(f'{name} DESC' for name in self.order)} LIMIT ?"
                parameters.append(self.limit)
            rows += connection.execute(sql, parameters)
        return rows


def filter_condition(table: str, column_filter: ColumnFilter | None) -> tuple[str, list[str]]:
    """Return portable SQL for the filter of a table, and its parameters."""
    words = ["TRUE"]
    parameters: list[str] = []
    for name in [name for name in schema.tables()[table].columns if name in (column_filter or {})]:
        values = column_filter[name] if column_filter else ()
        # IN () is not SQL.
        word = f"{name} IN ({marks(values) or 'NULL'})"
        # Whether a run is superseded or stale depends on the later attempts in its session.
        words.append(f"({word} OR attempt > 0)" if (table, name) == ("raw_runs", "run_id") else word)
        parameters += values
    return " AND ".join(words), parameters


def with_filtered_tables(sql: str, column_filter: ColumnFilter) -> tuple[str, list[str]]:
    """Return a statement over views with filtered tables under them, for DuckDB, and the parameters before its own."""
    words = set(re.findall(r"\w+", sql))
    views_used: list[schema.Relation] = []
    for view in reversed([*schema.views().values()]):  # A view may read those before it.
        if view.name in words:
            views_used.insert(0, view)
            words |= set(re.findall(r"\w+", view.sql))
    parameters: list[str] = []
    texts = []
    for table in schema.tables():
        if table in words:
            where, values = filter_condition(table, column_filter)
            texts.append(f"{table} AS NOT MATERIALIZED (SELECT * FROM store.main.{table} WHERE {where})")
            parameters += values
    texts += [view.sql.replace("CREATE VIEW", "", 1).replace(" AS", " AS (", 1) + ")" for view in views_used]
    return f"WITH {', '.join(texts)} {sql}" if texts else sql, parameters


def _with_turns(connection: Transaction, column_filter: ColumnFilter) -> dict[str, Sequence[str]]:
    """Return a filter that includes the top-level runs of nested ones, which decide whether they are superseded."""
    run_ids = column_filter.get("run_id", ())
    rows = _select_in(connection, "SELECT root_run_id FROM raw_runs WHERE root_run_id <> run_id AND run_id IN", run_ids)
    roots = [root for (root,) in rows]
    return {**column_filter, **({"run_id": list(dict.fromkeys([*run_ids, *roots]))} if roots else {})}


def _run_tree(connection: Transaction, run_ids: Collection[str]) -> ColumnFilter:
    """Return the runs above and below these, at any depth."""
    session_by_run: dict[str, str] = {}
    above, below = list(run_ids), list(run_ids)
    while above:
        rows = _select_in(connection, "SELECT run_id, session_id, parent_run_id FROM raw_runs WHERE run_id IN", above)
        session_by_run |= {run_id: session_id for run_id, session_id, _ in rows}
        above = [parent for *_, parent in rows if parent is not None and parent not in session_by_run]
    while below:
        rows = _select_in(connection, "SELECT run_id, session_id FROM raw_runs WHERE parent_run_id IN", below)
        below = [run_id for run_id, _ in rows]
        session_by_run |= {run_id: of_session for run_id, of_session, *_ in rows}
    return {"session_id": list(dict.fromkeys(session_by_run.values())), "run_id": list(session_by_run)}


def _select_in(connection: Transaction, sql: str, values: Sequence[str]) -> list[tuple[Any, ...]]:
    rows = []
    for start in range(0, len(values), MAX_VALUES):
        some = values[start : start + MAX_VALUES]
        rows += connection.execute(f"{sql} ({marks(some)})", some)
    return rows
