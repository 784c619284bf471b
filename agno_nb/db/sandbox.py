"""Run users' SQL: one read-only statement over copies of tables, in an engine without access to anything else.

The engine has no files and holds no lock of a store. The copies are Arrow tables, which DuckDB scans in place.

A statement has to be of a type that reads. That is not enough, because DuckDB calls a ``WITH`` that deletes a SELECT.
The transaction is therefore read-only, too, and the engine has nothing to write to.

Checking, planning and running a statement are one file of more than 400 lines, because none is safe without the others.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakSet

import duckdb

from agno_nb.db import schema
from agno_nb.db.arrow_tables import empty
from agno_nb.db.sql_frames import DYNAMIC, INNER_NAME, SqlFrame, code_tokens, frames_for, tokens
from agno_nb.errors import AgnoNbError, InvalidInputError, QueryError, QueryInterrupted
from agno_nb.redact import whole_characters

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

ROWS_AT_ONCE = 100_000
"""Rows of a result per batch."""

GRACE_S = 5.0
"""How long to wait for a query to stop before it is abandoned, in seconds."""

MAX_JOINS = 100
"""Maximum number of joins of a query. DuckDB takes cubic time to order them, 2 s for 100, without looking for
interrupts."""

ERROR_LIMIT = 1_000
"""Maximum length of a DuckDB error, which may quote a whole statement, in characters."""

POLL_S = 0.01
"""Interval between requests to stop a query, in seconds."""

Read = Callable[[schema.ColumnsRead], Mapping[str, Any]]
"""Reads tables, or views, by name. Columns that are not needed may be all null."""

_PLANNING_RULES = {"unused_columns", "cte_inlining"}
"""Optimizer rules that remove from a plan the columns that its result does not depend on."""

_FRAME_SCANS = ("PYTHON_ARROW_SCAN", "PANDAS_SCAN")
"""Functions that read DataFrames, in a plan."""

_SELECT = duckdb.StatementType.SELECT
_EXPLAIN = duckdb.StatementType.EXPLAIN
_MULTI = duckdb.StatementType.MULTI

MAX_CONDITIONS = 5_000
MAX_NAME_PARTS = 20
_LONG_NAME = re.compile(rf"(?:\. \S+ ?){{{MAX_NAME_PARTS}}}")
_AFTER_FROM = frozenset(
    "select where group having window qualify order limit offset union except intersect using sample".split()
)
"""Words that end the list of tables after FROM."""
_LISTINGS = [each.split() for each in ("show tables", "show all tables", "show", "describe", "desc")]
"""Statements that list all tables."""


def open_sandbox(files: Sequence[str] = (), **config: str) -> duckdb.DuckDBPyConnection:
    """Return an in-memory DuckDB that can only access `files`, whatever SQL it runs, and no Python variables."""
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
    _opened.add(connection)
    return connection


_opened: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()


def _after_fork_in_child() -> None:
    """Keep the parent's connections for good: to close one, even at exit, DuckDB joins threads that are not here."""
    import ctypes

    for connection in list(_opened):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    _opened.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def run(
    read: Read,
    sql: str,
    parameters: Sequence[Any],
    frames: Mapping[str, Any],
    *,
    timeout_s: float | None = None,
    max_rows: int | None = None,
    max_memory: int | None = None,
    views: bool = True,
) -> pa.Table:
    """Run a statement as :meth:`agno_nb.db.frame_reader.FrameReader.arrow` does, on the tables that `read` returns.

    With `views`, the views are created over the tables; otherwise `read` returns them.
    """
    if whole_characters(sql) != sql:
        raise QueryError("the query contains an unpaired surrogate, which is half of a character; remove it")
    if timeout_s is not None and (not isinstance(timeout_s, int | float) or not timeout_s >= 0):
        raise InvalidInputError(f"timeout_s is {timeout_s!r}; pass a number of seconds, or None for no limit")
    query = Query(sql=sql, parameters=parameters, max_rows=max_rows, views=views)
    execution: AbstractContextManager[Execution] = nullcontext(_InProcess(query, timeout_s))
    if max_memory is not None:
        from agno_nb.db.isolated import in_worker

        execution = in_worker(query, timeout_s, max_memory)
    named = frames_for(sql, frames)
    with execution as steps:
        tables = read(steps.plan(named.frames))
        try:
            return steps.execute(tables, named.frames)
        except QueryError as error:
            raise named.explain(error) from error.__cause__


class Execution(Protocol):
    """The two steps of a query, with limits, in this process or in another one."""

    def plan(self, frames: Mapping[str, SqlFrame], /) -> schema.ColumnsRead: ...

    def execute(self, tables: Mapping[str, pa.Table], frames: Mapping[str, SqlFrame], /) -> pa.Table: ...


class _InProcess:
    def __init__(self, query: Query, timeout_s: float | None) -> None:
        self._query = query
        self._timeout_s = timeout_s
        self._started = time.monotonic()

    def plan(self, frames: Mapping[str, SqlFrame]) -> schema.ColumnsRead:
        return self._limited(lambda: self._query.plan(frames)).tables

    def execute(self, tables: Mapping[str, pa.Table], frames: Mapping[str, SqlFrame]) -> pa.Table:
        return self._limited(lambda: self._query.execute(tables, frames))

    def _limited(self, step: Callable[[], T]) -> T:
        limit = self._timeout_s
        left = None if limit is None else max(0.0, self._started + limit - time.monotonic())
        return interruptible(self._query.interrupt, step, timeout_s=left, limit_s=limit, can_abandon=True)


@dataclass(frozen=True, slots=True)
class ColumnsNeeded:
    """The columns that the result of a query depends on."""

    tables: schema.ColumnsRead
    frames: Collection[str] | None
    """Columns of DataFrames; those of the same name in other DataFrames may not be needed. None if they are unknown."""


@dataclass(kw_only=True)
class Query:
    """A statement to be planned and then executed. Another thread can interrupt both."""

    sql: str
    parameters: Sequence[Any]
    max_rows: int | None
    views: bool
    max_memory: int | None = None
    """Limit of DuckDB's memory in bytes."""
    _statement: duckdb.Statement | None = None
    _running: duckdb.DuckDBPyConnection | None = None

    def interrupt(self) -> None:
        if (cursor := self._running) is not None:
            # It may have been closed in the meantime.
            with suppress(duckdb.Error):
                cursor.interrupt()

    def plan(self, frames: Mapping[str, SqlFrame]) -> ColumnsNeeded:
        """Return the columns that the result depends on, of tables and of `frames`, whose rows are not read."""
        with self._cursor(_planning_engine(os.getpid())) as cursor:
            self._statement, query = read_only_statement(cursor, self.sql)
            plan = None if query is None else _plan(cursor, query, self.parameters, frames)
        found = None if plan is None or self._statement.type != _SELECT else _columns_in_plan(plan)
        return found or ColumnsNeeded(_columns_named(self.sql), None)

    def execute(self, tables: Mapping[str, pa.Table], frames: Mapping[str, SqlFrame]) -> pa.Table:
        with self._cursor(running_engine(os.getpid(), self.max_memory)) as cursor:
            everything = {table: empty(table) for table in schema.tables()} if self.views else {}
            for name, table in (everything | {**tables}).items():
                if name not in frames:
                    cursor.register(name, table)
            for name, frame in frames.items():
                frame.register(cursor, name)
            if self.views:
                for view in schema.views().values():
                    cursor.execute(view.sql.replace("CREATE VIEW", "CREATE TEMP VIEW"))
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            rows = _rows(cursor.sql(self._statement or self.sql, params=list(self.parameters)), self.max_rows)
            is_listing = [token for token in code_tokens(self.sql) if token != ";"] in _LISTINGS
            return _without_inner_tables(rows) if is_listing else rows

    @contextmanager
    def _cursor(self, engine: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
        """Return a separate connection: tables registered and views created in it are dropped with it."""
        cursor = self._running = engine.cursor()
        try:
            with typed_errors():
                yield cursor
        finally:
            self._running = None
            cursor.close()


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
    # Not with a LIMIT around it, because a trailing comment and PIVOT are not valid in parentheses.
    reader = relation.to_arrow_reader(ROWS_AT_ONCE)
    batches = []
    left = max_rows
    for batch in reader:
        left -= batch.num_rows
        if left < 0:
            reader.close()
            raise QueryError(f"the query returns more than {max_rows:,} rows; add a LIMIT, or pass a higher max_rows=")
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def _without_inner_tables(listed: pa.Table) -> pa.Table:
    """Return a list of tables without those that only the views read."""
    inner = [name in schema.tables() or name.startswith(INNER_NAME) for name in listed["name"].to_pylist()]
    return listed.filter([not each for each in inner])


@contextmanager
def typed_errors() -> Iterator[None]:
    """Convert errors of DuckDB, and of conversions to and from it, to QueryError."""
    import pyarrow as pa

    try:
        yield
    except AgnoNbError:
        raise
    except (
        duckdb.Error, pa.ArrowException, ValueError, TypeError, OverflowError, OSError, RecursionError, MemoryError,
    ) as error:  # fmt: skip
        message = short_error(error)
        if "Malformed JSON" in message:
            message += "; try(...) around the expression is null for invalid JSON, which a model may write"
        if message.startswith("Parser Error"):
            message += "; correct the query there, in DuckDB's SQL"
        raise QueryError(message) from error


def interruptible(
    stop: Callable[[], object],
    work: Callable[[], T],
    *,
    timeout_s: float | None = None,
    limit_s: float | None = None,
    can_abandon: bool = False,
) -> T:
    """Run `work` on another thread, because on the main thread a kernel's interrupt would have to wait for a database.

    Parameters
    ----------
    stop : callable
        Interrupts `work`, which then raises an exception.
    work : callable
    timeout_s : float, optional
    limit_s : float, optional
        The limit for the error message, of which `timeout_s` is the rest.
    can_abandon : bool
        Whether to abandon a query that does not stop: DuckDB cannot be interrupted while it binds names.
    """
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
        # Repeated, because an interrupt before the start of the query has no effect.
        while not task.done() and not (can_abandon and time.monotonic() > give_up_at):
            stop()
            wait([task], timeout=POLL_S)
        if isinstance(error, TimeoutError):
            raise timed_out(limit_s or 0.0) from None
        if isinstance(error, KeyboardInterrupt):
            raise interrupted() from None
        raise


def timed_out(limit_s: float) -> QueryError:
    return QueryError(f"the query was stopped after {limit_s:g} s; read less data, or pass a higher timeout_s=")


def interrupted() -> QueryInterrupted:
    return QueryInterrupted("the query was interrupted while it read the store; nothing was changed")


def short_error(error: BaseException) -> str:
    """Return a truncated error message, without the part that shows the position in the SQL."""
    text = " ".join(str(error).split("\n\nLINE ")[0].split()) or type(error).__name__
    return text if len(text) <= ERROR_LIMIT else f"{text[:ERROR_LIMIT]}…"


# One engine per process. Those of its parent remain in a forked process, which would crash if it closed them.
@cache
def running_engine(pid: int, max_memory: int | None) -> duckdb.DuckDBPyConnection:
    # Without a temporary directory, nothing is written to disk.
    limit = {} if max_memory is None else {"memory_limit": f"{max_memory}B"}
    connection = open_sandbox(temp_directory="", **limit)
    connection.execute("SET GLOBAL lock_configuration = true")
    return connection


@cache
def _planning_engine(pid: int) -> duckdb.DuckDBPyConnection:
    """Return an engine with the tables and views of a store, without rows. It only applies :data:`_PLANNING_RULES`."""
    connection = open_sandbox(temp_directory="")
    for relation in (*schema.tables().values(), *schema.views().values()):
        connection.execute(relation.sql)
    connection.execute("SET GLOBAL disabled_optimizers = ?", [optimizers_except(connection, _PLANNING_RULES)])
    connection.execute("SET GLOBAL lock_configuration = true")
    return connection


def optimizers_except(connection: duckdb.DuckDBPyConnection, rules: Collection[str]) -> str:
    """Return the names of DuckDB's optimizer rules apart from some, for its setting `disabled_optimizers`."""
    known = connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()
    return ",".join(name for (name,) in known if name not in rules)


def _plan(
    cursor: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any], frames: Mapping[str, SqlFrame]
) -> list[dict[str, Any]] | None:
    """Return DuckDB's plan of a query over tables without rows, or None if it cannot be planned."""
    for name, frame in frames.items():
        frame.head().register(cursor, name)
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    try:
        ((_, plan),) = cursor.execute(f"EXPLAIN (FORMAT json) {query}", list(parameters)).fetchall()
        found: list[dict[str, Any]] = json.loads(plan)
    except duckdb.InterruptException:
        raise
    except RecursionError:
        raise _too_many_joins() from None
    except (duckdb.Error, ValueError):
        # The engine that runs it reports the error.
        return None
    joins = sum("JOIN" in each["name"] or "CROSS_PRODUCT" in each["name"] for each in _operators(found))
    if joins > MAX_JOINS:
        raise _too_many_joins()
    return found


def _operators(below: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    left = [*below]
    while left:
        operator = left.pop()
        left += operator["children"]
        yield operator


def _too_many_joins() -> QueryError:
    return QueryError(
        f"the query joins more than {MAX_JOINS} tables, or is nested as deeply; first store a part of its result as a "
        "DataFrame"
    )


def _columns_in_plan(plan: list[dict[str, Any]]) -> ColumnsNeeded | None:
    """Return the columns that the result of a plan depends on; None if it does not report those of all tables."""
    columns_by_table: dict[str, frozenset[str]] = {}
    of_frames: set[str] | None = set()
    for operator in _operators(plan):
        about = operator["extra_info"]
        projections = about.get("Projections")
        columns = (
            None
            if projections is None
            else frozenset([projections] if isinstance(projections, str) else projections) - {""}
        )
        if about.get("Function") in _FRAME_SCANS:
            of_frames = None if columns is None or of_frames is None else of_frames | columns
        if "Table" not in about:
            continue
        table = about["Table"].rpartition(".")[2]
        if columns is None or table not in schema.tables():
            return None
        columns_by_table[table] = columns_by_table.get(table, frozenset()) | columns
    tables = {
        table: columns or frozenset([schema.cheapest_column(table)]) for table, columns in columns_by_table.items()
    }
    return ColumnsNeeded(tables, of_frames)


def _columns_named(sql: str) -> schema.ColumnsRead:
    """Return the columns that a statement may read: all columns of the tables and views whose names occur in it.

    Other tables are empty. Contents of media, which may be larger than everything else, are only read by name.
    """
    words = set(re.findall(r"\w+", sql.lower()))
    names = words & schema.names()
    if words & DYNAMIC:
        names |= schema.names() - {"raw_media"}
    return schema.merge(schema.columns_read(name) for name in names)


def read_only_statement(cursor: duckdb.DuckDBPyConnection, sql: str) -> tuple[duckdb.Statement, str | None]:
    """Return the single read-only statement of `sql`, and the query in it if it can be planned.

    Raises
    ------
    QueryError
        There is no statement or more than one, it is not read-only, or it would take DuckDB's planner too long.
    """
    _check_size(sql)
    statements = cursor.extract_statements(sql)
    if len(statements) == 1:
        kind, text = _type_of(statements[0]), statements[0].query
        if kind == _SELECT:
            return statements[0], text
        explained = _explained(cursor, text) if kind in (_EXPLAIN, _MULTI) else None
        if explained is not None:
            return statements[0], explained if kind == _EXPLAIN else None
        # PIVOT: DuckDB finds the new columns with a separate statement, and then selects.
        if kind == _MULTI and _is_query(cursor, text):
            return statements[0], None
    raise QueryError(
        "the query is not a single read-only statement; use one SELECT, WITH, FROM, VALUES, PIVOT, UNPIVOT, DESCRIBE, "
        "SUMMARIZE, SHOW or EXPLAIN"
    )


def _check_size(sql: str) -> None:
    """Reject queries that would keep DuckDB's planner busy for minutes, in which it cannot be interrupted."""
    code = code_tokens(sql)
    if code.count("or") + code.count("and") > MAX_CONDITIONS:
        raise QueryError(
            f"the query has more than {MAX_CONDITIONS:,} conditions; use IN, or join a DataFrame of values"
        )
    if _LONG_NAME.search(" ".join(code)):
        raise QueryError(f"the query has a dotted name of more than {MAX_NAME_PARTS} parts; use shorter names")
    if _num_joins(code) > MAX_JOINS:
        raise _too_many_joins()


def _num_joins(code: Iterable[str]) -> int:
    """Count the joins in tokens of SQL: JOIN, and the commas between tables after FROM."""
    count, before = 0, ""
    is_from = [False]
    """Whether the text is in a list of tables, for each open bracket."""
    for token in code:
        if token in ("(", "[", "{"):
            is_from.append(False)
        elif token in (")", "]", "}"):
            is_from = is_from[:-1] or [False]
        elif token == "join" or (token == "," and is_from[-1]):
            count += 1
        elif token == "from":
            # Not IS DISTINCT FROM.
            is_from[-1] = before != "distinct" or is_from[-1]
        elif token in _AFTER_FROM:
            is_from[-1] = False
        before = token
    return count


def _type_of(statement: duckdb.Statement) -> duckdb.StatementType | None:
    try:
        return statement.type
    except ValueError:
        # The client does not know some types of statements, such as CONNECT.
        return None


def _is_query(cursor: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Whether a statement is a query: SUMMARIZE accepts it, which accepts no statement that writes."""
    try:
        kinds = [[_type_of(each) for each in cursor.extract_statements(text)] for text in (sql, f"SUMMARIZE {sql}")]
    except (duckdb.Error, ValueError):
        return False
    return all(kind in ([_SELECT], [_MULTI]) for kind in kinds)


def _explained(cursor: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    """Return the query of an EXPLAIN, or None for another kind of statement, which ANALYZE would run."""
    texts = [" " if kind == duckdb.token_type.comment else text for text, kind in tokens(sql)]
    words = [text.strip().lower() for text in texts]
    prefix = list(takewhile(lambda word: word in ("", "explain", "analyze", "verbose"), words))
    if "explain" not in prefix:
        return None
    query = "".join(texts[len(prefix) :])
    if query.startswith("(") and ")" in words and not _is_query(cursor, query):
        # Options: EXPLAIN (FORMAT json) SELECT ...
        query = "".join(texts[words.index(")") + 1 :])
    return query if _is_query(cursor, query) else None
