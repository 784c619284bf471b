"""The SQL of users: one statement that reads, over copies of tables, in an engine that has nothing else.

What is not there cannot be harmed: the engine has no file, reaches none, and keeps no lock of a store. The copies are
Arrow tables, scanned where they are.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from agno_nb.db import schema
from agno_nb.db.tables import empty
from agno_nb.errors import QueryError, QueryInterrupted

if TYPE_CHECKING:
    import pyarrow as pa

POLL_S = 0.01
"""How often a query that has to stop is asked to."""

Read = Callable[[schema.Needs], Mapping[str, Any]]
"""Gives tables, or views, by their names; of columns that are not needed, nothing but nulls where that is simpler."""

_DYNAMIC = {"query", "query_table", "json_execute_serialized_sql"}
"""Functions to which the name of a table can be given in pieces."""

_TELLING = {"unused_columns", "cte_inlining"}
"""Rules by which DuckDB leaves out of a plan the columns that its result does not depend on."""


@dataclass(frozen=True, slots=True)
class _Engines:
    """Those of a process."""

    pid: int
    running: duckdb.DuckDBPyConnection
    planning: duckdb.DuckDBPyConnection
    """Has the tables and views of a store without rows, and plans by :data:`_TELLING` only."""


_kept: _Engines | None = None
_kept_lock = threading.Lock()
_inherited: list[_Engines] = []


def confined(files: Sequence[str] = (), **config: str) -> duckdb.DuckDBPyConnection:
    """Return an in-memory DuckDB that reaches no file but `files`, whatever SQL it is given, and no Python variable."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            **config,
        },
    )
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL allowed_paths = ?", [list(files)])
    connection.execute("SET GLOBAL enable_external_access = false")
    return connection


def run(
    read: Read,
    sql: str,
    parameters: Sequence[Any],
    frames: Mapping[str, Any],
    *,
    timeout_s: float | None = None,
    max_rows: int | None = None,
    views: bool = True,
) -> pa.Table:
    """Do what :meth:`agno_nb.db.readable.Readable.arrow` says with the tables that `read` gives.

    `views` are made of the tables, unless `read` gives them itself.
    """
    with _cursor() as cursor:
        try:
            statement = _read_only_statement(cursor, sql)
            tables = {table: empty(table) for table in schema.tables()} if views else {}
            needs = _planned(statement, parameters, frames)
            for name, table in {**tables, **read(_named(sql) if needs is None else needs), **frames}.items():
                cursor.register(name, table)
            if views:
                for text in schema.views().values():
                    cursor.execute(text.replace("CREATE VIEW", "CREATE TEMP VIEW"))
            cursor.execute("BEGIN TRANSACTION READ ONLY")

            def found() -> pa.Table:
                relation = cursor.sql(statement, params=list(parameters))
                return (relation if max_rows is None else relation.limit(max_rows + 1)).to_arrow_table()

            table = interruptible(cursor, found, timeout_s=timeout_s)
        except duckdb.Error as error:
            raise QueryError(one_line(error)) from error
    if max_rows is not None and table.num_rows > max_rows:
        raise QueryError(
            f"the query finds more than {max_rows:,} rows; add a LIMIT, or allow more of them (max_rows=...)"
        )
    return table


def interruptible(
    cursor: duckdb.DuckDBPyConnection, work: Callable[[], pa.Table], *, timeout_s: float | None = None
) -> pa.Table:
    """Do `work` on another thread: on the main one DuckDB does not see the interrupt of a kernel."""
    with ThreadPoolExecutor(1) as pool:
        table = pool.submit(work)
        try:
            return table.result(timeout_s)
        except BaseException as error:
            # Asked again until it stops: an interrupt that comes before the query has begun is not remembered.
            while not table.done():
                cursor.interrupt()
                wait([table], timeout=POLL_S)
            if isinstance(error, TimeoutError):
                raise QueryError(
                    f"the query was stopped after {timeout_s:g} s; ask for less, or allow it more time (timeout_s=...)"
                ) from None
            if isinstance(error, KeyboardInterrupt):
                raise QueryInterrupted("it was stopped while the store was read; nothing was changed") from None
            raise


def one_line(error: duckdb.Error) -> str:
    """Return DuckDB's message without the drawing of where in the SQL it happened."""
    return " ".join(str(error).split("\n\nLINE ")[0].split())


def _cursor() -> duckdb.DuckDBPyConnection:
    """Return a connection of its own: what is registered and made in it goes with it."""
    return _engines().running.cursor()


def _engines() -> _Engines:
    global _kept
    with _kept_lock:
        if _kept is None or _kept.pid != os.getpid():
            if _kept is not None:
                # They do not survive a fork, and closing them in the child crashes, so the child only keeps them.
                _inherited.append(_kept)
            # Without a folder for what does not fit in memory nothing is ever written.
            running, planning = confined(temp_directory=""), confined(temp_directory="")
            for table, columns in schema.column_types().items():
                planning.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {columns[name]}' for name in columns)})")
            for text in schema.views().values():
                planning.execute(text)
            rules = planning.execute("SELECT name FROM duckdb_optimizers()").fetchall()
            planning.execute(
                "SET GLOBAL disabled_optimizers = ?", [",".join(name for (name,) in rules if name not in _TELLING)]
            )
            for connection in (running, planning):
                connection.execute("SET GLOBAL lock_configuration = true")
            _kept = _Engines(os.getpid(), running, planning)
        return _kept


def _after_fork_in_child() -> None:
    # Another thread of the parent may have held it.
    global _kept_lock
    _kept_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _planned(statement: duckdb.Statement, parameters: Sequence[Any], frames: Mapping[str, Any]) -> schema.Needs | None:
    """Return the columns that the result of a statement depends on; None where DuckDB does not tell.

    It plans the statement over tables without rows, which it does as it would over others: the plan of columns comes
    from the text alone. What it says of how it would run the statement itself (EXPLAIN) tells less.
    """
    if statement.type != duckdb.StatementType.SELECT:
        return None
    with _engines().planning.cursor() as cursor:
        try:
            for name, frame in frames.items():
                cursor.register(name, frame)
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            ((_, plan),) = cursor.execute(f"EXPLAIN (FORMAT json) {statement.query}", list(parameters)).fetchall()
        except (duckdb.Error, ValueError):
            # What is wrong with it is for the engine to say that is to run it.
            return None
    found: dict[str, frozenset[str]] = {}
    below = json.loads(plan)
    while below:
        operator = below.pop()
        below += operator["children"]
        about = operator["extra_info"]
        if "Table" not in about:
            continue
        table = about["Table"].rpartition(".")[2]
        columns = about.get("Projections")
        if columns is None or table not in schema.tables():
            return None
        named = frozenset([columns] if isinstance(columns, str) else columns) - {""}
        found[table] = found.get(table, frozenset()) | named
    return {table: columns or frozenset([schema.narrowest(table)]) for table, columns in found.items()}


def _named(sql: str) -> schema.Needs:
    """Return what a statement may read: of the tables whose names, or views' names, are words of it.

    All others are there too, but without rows. The content of media, which may be much more than all the rest, is read
    only where it is named.
    """
    words = set(re.findall(r"\w+", sql.lower()))
    named = words & schema.names()
    if words & _DYNAMIC:
        named |= schema.names() - {"raw_media"}
    return schema.together(schema.needs(name) for name in named)


def _read_only_statement(cursor: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """Return the one statement of `sql` when its type is one that reads.

    The type is half of the gate: DuckDB calls a ``WITH`` that deletes a SELECT. The transaction, which is read-only,
    and the engine, which has nothing to write to, are the other half.
    """
    reading = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    statements = cursor.extract_statements(sql)
    # The client has no name for some types of statement (CONNECT), and raises a ValueError when asked for them.
    with suppress(ValueError):
        if len(statements) == 1 and statements[0].type in reading:
            return statements[0]
    raise QueryError("only one statement that reads (SELECT, WITH, FROM, DESCRIBE, SUMMARIZE, EXPLAIN) can be run")
