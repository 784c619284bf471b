"""Isolated queries: statements that run in a worker process with limits of time and memory.

DuckDB cannot be interrupted while it plans a query, and some of its functions take memory without regard to its limit.
A process can be ended at any time, and its memory can be measured. The workers are started when they are first needed,
kept for the next query, and end with this process.

The file has more than 400 lines, because the life of a worker, its limits and the query in it depend on each other.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from agno_nb.db.process_id import current_process_id, is_dead
from agno_nb.db.sandbox import Execution, Query, interrupted, timed_out, typed_errors
from agno_nb.db.sql_frames import SqlFrame
from agno_nb.db.sql_worker import HEADS, RESULT, TABLES, write_tables
from agno_nb.errors import QueryError
from agno_nb.event_loop import in_thread

if TYPE_CHECKING:
    import pyarrow as pa

    from agno_nb.db import schema

P = ParamSpec("P")
T = TypeVar("T")

MAX_WORKERS = 4
"""Maximum number of isolated queries that run at once. Others wait."""

GRACE_S = 0.5
"""How long a query may take to stop before its worker is killed, in seconds."""

_SAMPLE_S = 0.02
"""Interval between measurements of a worker's memory, in seconds."""
_START_S = 60.0
"""How long a worker may take to start, in seconds."""
_EXIT_S = 1.0
"""How long a worker may take to end, in seconds."""
_IDLE_MEMORY = 200_000_000
"""Memory that a worker may keep after a query, in bytes. With more, it ends."""
_BYTES_PER_OBJECT = 100
"""Approximate size of a Python object in a container."""

_PREFIX = "agno_nb-query+"
_CODE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
try:
    from agno_nb.db.sql_worker import main
except BaseException as error:
    print(json.dumps({"error": f"the process for isolated queries did not start: {error!r}"}))
    raise
main()
"""
_ENVIRONMENT = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Environment variables that the worker may need to load libraries. All others are kept from it."""

_is_cancelled: ContextVar[Event | None] = ContextVar("agno_nb_query_is_cancelled", default=None)


async def cancellable(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread. Cancelling stops its isolated queries, too."""
    is_cancelled = Event()
    token = _is_cancelled.set(is_cancelled)
    try:
        return await in_thread(function, *args, **kwargs)
    finally:
        is_cancelled.set()
        _is_cancelled.reset(token)


@contextmanager
def in_worker(query: Query, timeout_s: float | None, max_memory: int) -> Iterator[Execution]:
    """Lend a worker process to a query."""
    limits = _Limits(timeout_s, max_memory, _is_cancelled.get())
    query.max_memory = max_memory
    prefix = f"{_PREFIX}{current_process_id().replace(':', '+')}+"
    try:
        with (
            _workers(os.getpid()).worker(limits) as worker,
            tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder,
        ):
            yield _InWorker(query, worker, Path(folder), limits)
    except KeyboardInterrupt:
        raise interrupted() from None


class _Limits:
    """The limits of a query. Its time starts when it has a worker."""

    def __init__(self, timeout_s: float | None, max_memory: int, is_cancelled: Event | None) -> None:
        self.max_memory = max_memory
        self._timeout_s = timeout_s
        self._is_cancelled = is_cancelled
        self._until: float | None = None

    def start(self) -> None:
        self._until = None if self._timeout_s is None else time.monotonic() + self._timeout_s

    def check(self) -> None:
        """Raise if the query has to stop."""
        if self._is_cancelled is not None and self._is_cancelled.is_set():
            raise QueryError("the query was stopped, because its run was cancelled")
        if self._until is not None and time.monotonic() >= self._until:
            raise timed_out(self._timeout_s or 0.0)

    def out_of_memory(self) -> QueryError:
        size = self.max_memory
        text = f"{size / 1e9:g} GB" if size >= 1e9 else f"{size / 1e6:g} MB"
        return QueryError(f"the query was stopped at {text} of memory; read less data, or pass a higher max_memory=")


class _InWorker:
    def __init__(self, query: Query, worker: _Worker, folder: Path, limits: _Limits) -> None:
        self._query, self._worker, self._folder, self._limits = query, worker, folder, limits
        self._frame_columns: set[str] | None = None
        limits.start()

    def plan(self, frames: Mapping[str, SqlFrame]) -> schema.ColumnsRead:
        query = self._query
        with typed_errors():
            heads = {name: frame.head().to_arrow() for name, frame in frames.items()}
            write_tables(self._folder / HEADS, [head for head in heads.values() if head is not None])
            request = {
                "folder": str(self._folder),
                "frames": {
                    name: (heads[name] is not None, frame.columns, frame.unreadable, frame.enum_values())
                    for name, frame in frames.items()
                },
                "sql": query.sql,
                "parameters": [*query.parameters],
                "max_rows": query.max_rows,
                "max_memory": query.max_memory,
                "views": query.views,
            }
            needed = self._worker.ask({"plan": request}, self._limits)
        self._frame_columns = None if needed["frames"] is None else set(needed["frames"])
        return {name: frozenset(columns) for name, columns in needed["tables"].items()}

    def execute(self, tables: Mapping[str, pa.Table], frames: Mapping[str, SqlFrame]) -> pa.Table:
        import pyarrow as pa

        with typed_errors():
            data = [self._needed_columns(frame) for frame in frames.values()]
            write_tables(self._folder / TABLES, [*tables.values(), *(each for each in data if each is not None)])
            self._worker.ask({"execute": {"tables": [*tables]}}, self._limits)
            # Into memory, because the file is removed, and Windows does not remove a mapped file.
            rows = pa.ipc.open_stream(pa.py_buffer((self._folder / RESULT).read_bytes())).read_all()
        if rows.nbytes + _BYTES_PER_OBJECT * _num_objects(rows) > self._limits.max_memory:
            raise self._limits.out_of_memory()
        return rows

    def _needed_columns(self, frame: SqlFrame) -> pa.Table | None:
        """Return the columns of a DataFrame that the query needs, and at least one, which has the number of rows."""
        head = frame.head().to_arrow()
        if head is None or self._frame_columns is None:
            return frame.to_arrow()
        needed = [name for name in head.column_names if name in self._frame_columns]
        return frame.to_arrow(needed or head.column_names[:1])


def _num_objects(table: pa.Table) -> int:
    """Return the approximate number of Python objects in a DataFrame of this table, apart from arrays of numbers."""
    import pyarrow as pa

    def of_array(array: pa.Array, *, is_nested: bool = True) -> int:
        kind = array.type
        if pa.types.is_struct(kind) or pa.types.is_union(kind):
            return len(array) + sum(len(array) + of_array(array.field(n)) for n in range(kind.num_fields))
        if pa.types.is_map(kind):
            return len(array) + sum(len(each) + of_array(each) for each in (array.keys, array.items))
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return len(array) + of_array(array.flatten())
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        is_compact = pa.types.is_string(kind) or pa.types.is_timestamp(kind) or pa.types.is_dictionary(kind)
        return 0 if is_number or (is_compact and not is_nested) else len(array)

    return sum(of_array(chunk, is_nested=False) for column in table.columns for chunk in column.chunks)


class _Worker:
    """A worker process, used by one query at a time."""

    def __init__(self, limits: _Limits) -> None:
        import psutil

        with typed_errors():
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-X", "utf8", "-c", _CODE, json.dumps(_module_path())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd=tempfile.gettempdir(),
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                # So that an interrupt of this process does not reach it.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
                | getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        self._replies: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._step = self._idle_memory = 0
        Thread(target=self._listen, name="agno_nb-replies", daemon=True).start()
        try:
            self._memory_info = psutil.Process(self.process.pid).memory_info
            late = QueryError(f"the process for isolated queries did not start within {_START_S:g} s; try again")
            started = self._reply(limits, _raise_after(_START_S, late))
            if "error" in started:
                raise QueryError(started["error"])
        except BaseException:
            self.kill()
            raise
        self.memory_at_start = self.memory()

    def _listen(self) -> None:
        pipe = self.process.stdout
        assert pipe is not None
        with suppress(OSError, ValueError), pipe, open(pipe.fileno(), "rb", closefd=False) as replies:
            for line in replies:
                self._replies.put(json.loads(line))
        self._replies.put(None)

    def memory(self) -> int:
        """Return the memory of the process in bytes; on Linux without the files that it has mapped."""
        import psutil

        try:
            info = self._memory_info()
        except psutil.Error:
            return 0  # It has ended.
        return int(info.rss - getattr(info, "shared", 0))

    def ask(self, request: Mapping[str, Any], limits: _Limits) -> dict[str, Any]:
        """Return the reply to a request. If a limit is exceeded, stop the step, or else the process."""
        if "plan" in request:
            self._idle_memory = self.memory()
        self._step += 1
        try:
            self._send({"step": self._step, **request})
            reply = self._reply(limits, limits.check)
        except BaseException:
            self._stop(limits)
            raise
        if reply.get("is_fatal"):
            self.kill()
        if reply.get("needs_memory"):
            raise limits.out_of_memory()
        if "error" in reply:
            raise QueryError(reply["error"])
        return reply

    def _stop(self, limits: _Limits) -> None:
        if self.process.returncode is not None:
            return  # It has been killed.
        try:
            self._send({"interrupt": self._step})
            self._reply(limits, _raise_after(GRACE_S, TimeoutError()))
        except BaseException:
            self.kill()

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        line = json.dumps(message).encode() + b"\n"
        with suppress(OSError, ValueError):  # The process has ended, so there will be no reply.
            while line:
                line = line[self.process.stdin.write(line) :]

    def _reply(self, limits: _Limits, check: Callable[[], None]) -> dict[str, Any]:
        """Wait for a reply, for as long as `check` raises nothing and the memory is within its limit."""
        while True:
            with suppress(Empty):
                reply = self._replies.get(timeout=_SAMPLE_S)
                if reply is not None:
                    return reply
                self.kill()
                status = self.process.returncode
                raise QueryError(f"the query ended the process that ran it, with status {status}; simplify the query")
            if self._step and self.memory() - self._idle_memory > limits.max_memory:
                self.kill()
                raise limits.out_of_memory()
            check()

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close_pipe(self) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()

    def close(self) -> None:
        """Let the process end, which it does when its standard input ends."""
        self.close_pipe()
        try:
            self.process.wait(_EXIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _module_path() -> list[str]:
    """Return the folders of modules, the working directory last, where a user's file may have the name of a module."""
    try:
        here = os.getcwd()
    except OSError:  # It has been removed.
        return [folder for folder in sys.path if folder]
    return sorted(map(os.path.abspath, sys.path), key=lambda folder: folder == here)


def _raise_after(seconds: float, error: Exception) -> Callable[[], None]:
    until = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > until:
            raise error

    return check


class _Workers:
    """The workers of this process."""

    def __init__(self) -> None:
        self.all: set[_Worker] = set()
        self._condition = Condition()
        self._idle: list[_Worker] = []
        self._num_busy = self._num_waiting = 0
        self._is_closed = False

    @contextmanager
    def worker(self, limits: _Limits) -> Iterator[_Worker]:
        """Lend a worker. If too many are in use, wait."""
        with self._condition:
            self._num_waiting += 1
            try:
                while self._num_busy >= MAX_WORKERS:
                    limits.check()
                    self._condition.wait(_SAMPLE_S)
            finally:
                self._num_waiting -= 1
            self._num_busy += 1
        worker = None
        try:
            worker = self._pop_idle() or self._start(limits)
            yield worker
        finally:
            self._release(worker)

    def _pop_idle(self) -> _Worker | None:
        while self._idle:
            with suppress(IndexError):
                worker = self._idle.pop()
                if worker.process.poll() is None:
                    return worker
                self._end(worker)
        return None

    def _start(self, limits: _Limits) -> _Worker:
        if self._is_closed:
            raise QueryError("the interpreter is shutting down, so no query can start")
        worker = _Worker(limits)
        self.all.add(worker)
        return worker

    def _release(self, worker: _Worker | None) -> None:
        keep = worker is not None and 0 < worker.memory() < worker.memory_at_start + _IDLE_MEMORY
        with self._condition:
            self._num_busy -= 1
            if worker is not None and keep and (self._num_waiting or not self._idle):
                self._idle.append(worker)
                worker = None
            self._condition.notify()
        if worker is not None:
            self._end(worker)

    def _end(self, worker: _Worker) -> None:
        worker.close()
        self.all.discard(worker)

    def close(self) -> None:
        """End the workers at interpreter exit, and wait until their queries have removed their folders."""
        self._is_closed = True
        for worker in list(self.all):
            self._end(worker)
        with self._condition:
            self._condition.wait_for(lambda: self._num_busy == 0, timeout=_EXIT_S)

    def disown(self) -> None:
        """In a forked process, leave the workers to the parent."""
        for worker in self.all:
            # With the pipe open here, a worker would not end with the parent.
            worker.close_pipe()
            # Neither killed nor waited for, because it is not a child of this process.
            worker.process.returncode = 0


@cache
def _workers(pid: int) -> _Workers:
    workers = _Workers()
    atexit.register(workers.close)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=workers.disown)
    _remove_leftovers()
    return workers


def _remove_leftovers() -> None:
    """Remove the folders of processes that were killed together with their workers."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).rpartition("+")[0].replace("+", ":")
        with suppress(ValueError):  # The folder of another program.
            if is_dead(owner):
                shutil.rmtree(folder, ignore_errors=True)
