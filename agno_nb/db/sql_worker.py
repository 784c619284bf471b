"""The process of isolated queries: it plans and executes one statement at a time for its parent.

Requests and replies are lines of JSON on standard input and output. Tables are in Arrow files, in a folder of the
parent. The process ends when its parent does, because its standard input then ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

import duckdb

from agno_nb.db.sandbox import POLL_S, Query, running_engine, typed_errors
from agno_nb.db.sql_frames import SqlFrame
from agno_nb.errors import QueryError

if TYPE_CHECKING:
    import pyarrow as pa

HEADS = "heads.arrow"
"""File with the DataFrames of a query, without rows."""
TABLES = "tables.arrow"
"""File with the tables and DataFrames of a query."""
RESULT = "result.arrow"
"""File with the result of a query."""

_ROWS_AT_ONCE = 1_000_000


def write_tables(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables, one Arrow stream after the other."""
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as file:
        for table in tables:
            with pa.ipc.new_stream(file, table.schema) as stream:
                # In batches, between which Python can handle an interrupt.
                stream.write_table(table, max_chunksize=_ROWS_AT_ONCE)


def read_tables(path: Path) -> list[pa.Table]:
    """Read the tables of a file without copying them into memory."""
    import pyarrow as pa

    tables = []
    with pa.memory_map(str(path)) as file:
        while file.tell() < file.size():
            tables.append(pa.ipc.open_stream(file).read_all())
    return tables


class _Server:
    def __init__(self) -> None:
        # What else is written to standard output must not be among the replies.
        self._replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._requests: Queue[dict[str, Any]] = Queue()
        self._query = Query(sql="SELECT 1", parameters=(), max_rows=None, views=True)
        self._heads: dict[str, SqlFrame] = {}
        self._folder: Path | None = None
        self._step = 0
        """Number of the running step, which counts all steps of the process; 0 if there is none."""

    def serve(self) -> None:
        Thread(target=self._listen, name="agno_nb-requests", daemon=True).start()
        self._query.plan({})
        self._query.execute({}, {})
        self._reply({})
        while True:
            request = self._requests.get()
            self._step = request["step"]
            try:
                with typed_errors():
                    reply = self._plan(**request["plan"]) if "plan" in request else self._execute(**request["execute"])
            except QueryError as error:
                cause = error.__cause__
                reply = {
                    "error": str(error),
                    "needs_memory": isinstance(cause, duckdb.OutOfMemoryException | MemoryError),
                    # DuckDB does not use an engine again after such an error.
                    "is_fatal": isinstance(cause, duckdb.InternalException | duckdb.FatalException),
                }
            self._step = 0
            self._reply(reply)

    def _plan(self, folder: str, frames: dict[str, Any], **query: Any) -> dict[str, Any]:
        self._folder = Path(folder)
        if self._query.max_memory != query["max_memory"]:
            running_engine.cache_clear()
        self._query = Query(**query)
        heads = iter(read_tables(self._folder / HEADS))
        self._heads = {
            name: SqlFrame(next(heads) if is_readable else None, tuple(columns), unreadable, enums)
            for name, (is_readable, columns, unreadable, enums) in frames.items()
        }
        needed = self._query.plan(self._heads)
        return {
            "tables": {name: sorted(columns) for name, columns in needed.tables.items()},
            "frames": None if needed.frames is None else sorted(needed.frames),
        }

    def _execute(self, tables: list[str]) -> dict[str, Any]:
        assert self._folder is not None
        data = iter(read_tables(self._folder / TABLES))
        by_name = {name: next(data) for name in tables}
        frames = {
            name: head if head.data is None else replace(head, data=_completed(next(data), head.data))
            for name, head in self._heads.items()
        }
        write_tables(self._folder / RESULT, [self._query.execute(by_name, frames)])
        return {}

    def _reply(self, reply: dict[str, Any]) -> None:
        print(json.dumps(reply), file=self._replies, flush=True)

    def _listen(self) -> None:
        try:
            for line in sys.stdin.buffer:
                request = json.loads(line)
                if "interrupt" in request:
                    Thread(target=self._interrupt, args=[request["interrupt"]], daemon=True).start()
                else:
                    self._requests.put(request)
        finally:
            # The parent has ended or closed the pipe. A running query would keep a normal exit waiting.
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
            os._exit(0)

    def _interrupt(self, step: int) -> None:
        # Repeated, because an interrupt has no effect between two statements of a step.
        while self._step == step:
            self._query.interrupt()
            time.sleep(POLL_S)


def _completed(table: pa.Table, head: pa.Table) -> pa.Table:
    """Return a table with all columns of `head`. Those that the query does not need are null."""
    import pyarrow as pa

    there = set(table.column_names)
    columns = [
        table[field.name] if field.name in there else pa.nulls(table.num_rows, field.type) for field in head.schema
    ]
    return pa.table(columns, names=head.column_names)


def main() -> None:
    # If memory is short, Linux ends this process before the kernel.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    # On Windows, Ctrl-C also reaches this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _Server().serve()
