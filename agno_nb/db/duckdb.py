"""The default store: a DuckDB file that several notebooks use at the same time, without a server.

DuckDB lets one process have a file open for writing, so nobody keeps it open. Each use is a *lease*: lock, attach,
one transaction, detach, unlock; a few milliseconds. Three things make it safe, all of them measured on
DuckDB 2.0.0:

- The lock is a file of its own, ``<store>.lock``, taken before the store is attached and released after it is
  detached. DuckDB reads a file's header before it takes its own lock, and would overwrite what another process
  committed in between.
- The store itself is never opened, copied or locked by us: closing any handle of it drops DuckDB's lock (POSIX).
- Nothing leaves a lease unread: an open result would keep the file open after the detach.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from agno_nb.db.async_db import AsyncDb
from agno_nb.db.engine import POLL_S, Engine, EngineDriver, our_errors
from agno_nb.db.sql import SqlDb
from agno_nb.errors import InvalidInputError, StoreError, StoreLocked


class DuckDb(SqlDb):
    """Sessions, runs, messages and tool calls in a DuckDB file.

    Several processes and threads may use one file at the same time. While they do, do not open it with another program.

    Parameters
    ----------
    db_file : str or Path
        The file. It is made, with its folder, when something is first written; until then the store reads as empty.
        A relative path is taken from the working directory of this moment.
    lock_timeout_s : float
        How long to wait, in seconds, for another process or thread that uses the file.

    Raises
    ------
    NotAStoreError
        On first use: the file is something else. It is not touched.
    StoreVersionError
        On first use: the file was written by a newer agno_nb. It is not touched.
    StoreLocked
        On any use: the file was in use for longer than `lock_timeout_s`.
    StoreError
        On any use: the file cannot be read or written.

    Examples
    --------
    >>> db = DuckDb("examples/lesson.duckdb")
    >>> db.get_session("s1") is None
    True
    """

    def __init__(self, db_file: str | Path = "agno_nb.duckdb", *, lock_timeout_s: float = 15.0) -> None:
        if str(db_file) in ("", ":memory:"):
            raise InvalidInputError(f"db_file is {str(db_file)!r}; for a store without a file use InMemoryDb()")
        self.db_file = Path(db_file).expanduser().resolve()
        super().__init__(_FileDriver(self.db_file, lock_timeout_s))

    @property
    def identity(self) -> str:
        return str(self.db_file)

    def __repr__(self) -> str:
        return f"DuckDb({self.identity!r})"


_engines: WeakValueDictionary[Path, Engine] = WeakValueDictionary()
_engines_lock = threading.Lock()
_inherited: list[Engine] = []


def _after_fork_in_child() -> None:
    # An engine does not survive a fork: using it loses data and closing it crashes, so the child only keeps it.
    global _engines_lock
    _engines_lock = threading.Lock()
    _inherited.extend(_engines.values())
    _engines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class _FileDriver(EngineDriver):
    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._engine: Engine | None = None

    @contextmanager
    def attached(self, *, write: bool) -> Iterator[Engine]:
        engine = self._engine_of_this_process()
        with our_errors(self._path), self._alone(engine, write=write) as has_file:
            try:
                # Reading a file that is not there, or has nothing in it, does not make it a store.
                if not (has_file and engine.attach_file(write=write)):
                    engine.attach_empty()
                yield engine
            finally:
                engine.detach()

    def vacuum(self) -> None:
        with self.attached(write=True) as engine:
            engine.rewrite()

    def close(self) -> None:
        self._engine = None

    def _engine_of_this_process(self) -> Engine:
        if self._engine is None or self._engine.pid != os.getpid():
            with _engines_lock:
                self._engine = _engines.get(self._path) or Engine(self._path)
                _engines[self._path] = self._engine
        return self._engine

    @contextmanager
    def _alone(self, engine: Engine, *, write: bool) -> Iterator[bool]:
        """Keep other threads and processes out; say whether there is a file to attach, or to make."""
        if self._path.is_dir():
            raise StoreError(f"{self._path} is a folder; give the path of a file in it")
        deadline = time.monotonic() + self._timeout_s
        if not engine.lock.acquire(timeout=self._timeout_s):
            raise StoreLocked(self._waited("another thread", "let it finish"))
        try:
            if write:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            elif not self._path.exists():
                # There is nothing to keep others from, and no lock file should be left where there is no store.
                yield False
                return
            # Made anew each time, because a lock object must not be taken along into a forked process.
            file_lock = FileLock(f"{self._path}.lock", thread_local=False)
            with file_lock.acquire(max(0.0, deadline - time.monotonic()), poll_interval=POLL_S):
                yield True
        except Timeout:
            raise StoreLocked(
                self._waited("another process", "let it finish, or give this notebook another db_file")
            ) from None
        finally:
            engine.lock.release()

    def _waited(self, who: str, remedy: str) -> str:
        return f"{who} has kept the store {self._path} for {self._timeout_s:g} s; {remedy}"


class AsyncDuckDb(AsyncDb):
    """:class:`DuckDb` for async code: the same arguments, the same methods, awaited."""

    def __init__(self, db_file: str | Path = "agno_nb.duckdb", *, lock_timeout_s: float = 15.0) -> None:
        super().__init__(DuckDb(db_file, lock_timeout_s=lock_timeout_s))
