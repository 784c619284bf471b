"""The SQL of users: one statement that reads, over copies of tables, in an engine that has nothing else.

What is not there cannot be harmed: the engine has no file, reaches none, and keeps no lock of a store. The copies are
Arrow tables, scanned where they are.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from agno_nb.db import schema
from agno_nb.db.read_only import MAX_JOINS, read_only_statement, too_many_joins
from agno_nb.db.sql_frames import DYNAMIC, SqlFrame, frames_for
from agno_nb.db.tables import empty
from agno_nb.errors import AgnoNbError, InvalidInputError, QueryError, QueryInterrupted
from agno_nb.redact import whole_characters

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

ROWS_AT_ONCE = 100_000
"""Rows of a result that are fetched together."""

GRACE_S = 5.0
"""How long a query that has to stop may take for it, before it is left behind."""

ERROR_LIMIT = 1_000
"""Characters of an error of DuckDB that are shown: it may quote all of a statement."""

POLL_S = 0.01
"""How often a query that has to stop is asked to."""

Read = Callable[[schema.ColumnsRead], Mapping[str, Any]]
"""Gives tables, or views, by their names; of columns that are not needed, nothing but nulls where that is simpler."""

_PLANNING_RULES = {"unused_columns", "cte_inlining"}
"""Rules by which DuckDB leaves out of a plan the columns that its result does not depend on."""


@dataclass(frozen=True, slots=True)
class _Engines:
    """Those of a process."""

    pid: int
    running: duckdb.DuckDBPyConnection
    planning: duckdb.DuckDBPyConnection
    """Has the tables and views of a store without rows, and plans by :data:`_PLANNING_RULES` only."""


_kept: _Engines | None = None
_kept_lock = threading.Lock()
_inherited: list[_Engines] = []


def open_sandbox(files: Sequence[str] = (), **config: str) -> duckdb.DuckDBPyConnection:
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
    """Run a statement as :meth:`agno_nb.db.frame_reader.FrameReader.arrow` does, on the tables that `read` gives.

    `views` are made of the tables, unless `read` gives them itself.
    """
    if whole_characters(sql) != sql:
        raise QueryError("the query holds half of a character (a surrogate without its other half); remove it")
    if timeout_s is not None and (not isinstance(timeout_s, int | float) or not timeout_s >= 0):
        raise InvalidInputError(f"timeout_s is {timeout_s!r}; pass a number of seconds, or None for no limit")
    started = time.monotonic()

    def left() -> float | None:
        return None if timeout_s is None else max(0.0, started + timeout_s - time.monotonic())

    named = frames_for(sql, frames)
    with _cursor(_engines().planning) as planning, _typed_errors():
        statement, columns_read = _watched(
            planning, lambda: _prepared(planning, sql, parameters, named.frames), left(), timeout_s, can_abandon=True
        )
    tables = {table: empty(table) for table in schema.tables()} if views else {}
    tables |= read(_columns_named(sql) if columns_read is None else columns_read)
    with _cursor(_engines().running) as cursor:

        def execute() -> pa.Table:
            for name, table in tables.items():
                if name not in named.frames:
                    cursor.register(name, table)
            for name, frame in named.frames.items():
                frame.register(cursor, name)
            if views:
                for text in schema.views().values():
                    cursor.execute(text.replace("CREATE VIEW", "CREATE TEMP VIEW"))
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            return _rows(cursor.sql(statement, params=list(parameters)), max_rows)

        try:
            with _typed_errors():
                return interruptible(cursor, execute, timeout_s=left(), limit_s=timeout_s, can_abandon=True)
        except QueryError as error:
            raise named.explain(error) from error.__cause__


def _rows(relation: duckdb.DuckDBPyRelation, max_rows: int | None) -> pa.Table:
    """Return the rows of a relation.

    Raises
    ------
    QueryError
        There are more than `max_rows`.
    """
    import pyarrow as pa

    if max_rows is None:
        return relation.to_arrow_table()
    # Not by a LIMIT around it: neither a comment at its end nor PIVOT can stand within parentheses.
    reader = relation.to_arrow_reader(ROWS_AT_ONCE)
    batches = []
    left = max_rows
    for batch in reader:
        left -= batch.num_rows
        if left < 0:
            reader.close()
            raise QueryError(
                f"the query finds more than {max_rows:,} rows; add a LIMIT, or allow more of them (max_rows=...)"
            )
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


@contextmanager
def _typed_errors() -> Iterator[None]:
    """Raise a QueryError for an error of DuckDB, or of a conversion to or from it."""
    import pyarrow as pa

    try:
        yield
    except AgnoNbError:
        raise
    except (
        duckdb.Error, pa.ArrowException, ValueError, TypeError, OverflowError, OSError, RecursionError, MemoryError,
    ) as error:  # fmt: skip
        raise QueryError(short_error(error)) from error


def interruptible(
    cursor: duckdb.DuckDBPyConnection,
    work: Callable[[], T],
    *,
    timeout_s: float | None = None,
    limit_s: float | None = None,
    can_abandon: bool = False,
) -> T:
    """Do `work` on another thread: on the main one DuckDB does not see the interrupt of a kernel.

    Parameters
    ----------
    limit_s : float, optional
        The limit that an error names, if `timeout_s` is only the rest of it.
    can_abandon : bool
        Leave a query behind that cannot be stopped: DuckDB does not look for interrupts while it binds names.
    """
    return _watched(cursor, work, timeout_s, timeout_s if limit_s is None else limit_s, can_abandon)


def _watched(
    cursor: duckdb.DuckDBPyConnection,
    work: Callable[[], T],
    timeout_s: float | None,
    limit_s: float | None,
    can_abandon: bool,
) -> T:
    task: Future[T] = Future()

    def do() -> None:
        try:
            task.set_result(work())
        except BaseException as error:
            task.set_exception(error)

    Thread(target=do, name="agno_nb-query", daemon=True).start()
    try:
        return task.result(timeout_s)
    except BaseException as error:
        give_up_at = time.monotonic() + GRACE_S
        # Asked again until it stops: an interrupt that comes before the query has begun is not remembered.
        while not task.done() and not (can_abandon and time.monotonic() > give_up_at):
            cursor.interrupt()
            wait([task], timeout=POLL_S)
        if isinstance(error, TimeoutError):
            raise QueryError(
                f"the query was stopped after {limit_s:g} s; ask for less, or allow it more time (timeout_s=...)"
            ) from None
        if isinstance(error, KeyboardInterrupt):
            raise QueryInterrupted("it was stopped while the store was read; nothing was changed") from None
        raise


def short_error(error: BaseException) -> str:
    """Return a message without the drawing of where in the SQL it happened, and not longer than can be read."""
    text = " ".join(str(error).split("\n\nLINE ")[0].split()) or type(error).__name__
    return text if len(text) <= ERROR_LIMIT else f"{text[:ERROR_LIMIT]}…"


@contextmanager
def _cursor(engine: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a connection of its own: what is registered and made in it goes with it."""
    cursor = engine.cursor()
    try:
        yield cursor
    finally:
        # One that was left behind is in use, and goes when its thread ends.
        with suppress(duckdb.Error):
            cursor.close()


def _engines() -> _Engines:
    global _kept
    with _kept_lock:
        if _kept is None or _kept.pid != os.getpid():
            if _kept is not None:
                # They do not survive a fork, and closing them in the child crashes, so the child only keeps them.
                _inherited.append(_kept)
            # Without a folder for what does not fit in memory nothing is ever written.
            running, planning = open_sandbox(temp_directory=""), open_sandbox(temp_directory="")
            for table, columns in schema.column_types().items():
                planning.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {columns[name]}' for name in columns)})")
            for text in schema.views().values():
                planning.execute(text)
            rules = planning.execute("SELECT name FROM duckdb_optimizers()").fetchall()
            planning.execute(
                "SET GLOBAL disabled_optimizers = ?",
                [",".join(name for (name,) in rules if name not in _PLANNING_RULES)],
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


def _prepared(
    cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any], frames: Mapping[str, SqlFrame]
) -> tuple[duckdb.Statement, schema.ColumnsRead | None]:
    """Return the statement of `sql`, and the columns that its result depends on; None where DuckDB does not tell."""
    statement, query = read_only_statement(cursor, sql)
    plan = None if query is None else _plan(cursor, query, parameters, frames)
    if plan is None:
        return statement, None
    needs = _columns_in_plan(plan)
    return statement, needs if statement.type == duckdb.StatementType.SELECT else None


def _plan(
    cursor: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any], frames: Mapping[str, SqlFrame]
) -> list[dict[str, Any]] | None:
    """Return DuckDB's plan of a query over tables without rows; None if it does not plan it.

    The plan of columns comes from the text alone. What DuckDB says of how it would run the statement itself (EXPLAIN)
    tells less.
    """
    for name, frame in frames.items():
        frame.head().register(cursor, name)
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    try:
        ((_, plan),) = cursor.execute(f"EXPLAIN (FORMAT json) {query}", list(parameters)).fetchall()
        found: list[dict[str, Any]] = json.loads(plan)
    except duckdb.InterruptException:
        raise
    except RecursionError:
        raise too_many_joins() from None
    except (duckdb.Error, ValueError):
        # What is wrong with it is for the engine to say that is to run it.
        return None
    joins = sum("JOIN" in each["name"] or "CROSS_PRODUCT" in each["name"] for each in _operators(found))
    if joins > MAX_JOINS:
        raise too_many_joins()
    return found


def _operators(below: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    left = [*below]
    while left:
        operator = left.pop()
        left += operator["children"]
        yield operator


def _columns_in_plan(plan: list[dict[str, Any]]) -> schema.ColumnsRead | None:
    """Return the columns that the result of a plan depends on; None if it does not report them."""
    columns_by_table: dict[str, frozenset[str]] = {}
    for operator in _operators(plan):
        about = operator["extra_info"]
        if "Table" not in about:
            continue
        table = about["Table"].rpartition(".")[2]
        columns = about.get("Projections")
        if columns is None or table not in schema.tables():
            return None
        column_names = frozenset([columns] if isinstance(columns, str) else columns) - {""}
        columns_by_table[table] = columns_by_table.get(table, frozenset()) | column_names
    return {table: columns or frozenset([schema.cheapest_column(table)]) for table, columns in columns_by_table.items()}


def _columns_named(sql: str) -> schema.ColumnsRead:
    """Return what a statement may read: of the tables whose names, or views' names, are words of it.

    All others are there too, but without rows. The content of media, which may be much more than all the rest, is read
    only where it is named.
    """
    words = set(re.findall(r"\w+", sql.lower()))
    names = words & schema.names()
    if words & DYNAMIC:
        names |= schema.names() - {"raw_media"}
    return schema.merge(schema.columns_read(name) for name in names)
