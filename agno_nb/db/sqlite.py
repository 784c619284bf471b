"""A store in a SQLite file, by the standard library's driver.

Several processes and threads may use one file: SQLite lets one write at a time and keeps the others waiting.
Frames and queries are DuckDB's: the rows are copied into an engine in memory when they have changed since the last
time.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agno_nb.db import schema
from agno_nb.db.async_db import AsyncDb
from agno_nb.db.encoding import micros
from agno_nb.db.engine import Engine, EngineDriver
from agno_nb.db.sql import SqlDb
from agno_nb.db.statements import Connection
from agno_nb.errors import InvalidInputError, NotAStoreError, StoreError, StoreLocked, StoreVersionError

TABLES = (*(f"raw_{view}" for view in schema.VIEWS), "raw_media")
"""What frames and queries see."""


class SqliteDb(SqlDb):
    """Sessions, runs, messages and tool calls in a SQLite file.

    Parameters
    ----------
    db_file : str or Path
        The file. It is made, with its folder, when something is first written; until then the store reads as empty.
        A relative path is taken from the working directory of this moment.
    lock_timeout_s : float
        How long to wait, in seconds, for another process or thread that writes to the file.

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
    >>> db = SqliteDb(db_file="examples/lesson.db")
    >>> db.get_session("s1") is None
    True
    """

    def __init__(self, db_file: str | Path = "agno_nb.db", *, lock_timeout_s: float = 15.0) -> None:
        if str(db_file) in ("", ":memory:"):
            raise InvalidInputError(f"db_file is {str(db_file)!r}; for a store without a file use InMemoryDb()")
        self.db_file = Path(db_file).expanduser().resolve()
        super().__init__(_SqliteDriver(self.db_file, lock_timeout_s))

    @property
    def identity(self) -> str:
        return str(self.db_file)

    def __repr__(self) -> str:
        return f"SqliteDb({self.identity!r})"


class AsyncSqliteDb(AsyncDb):
    """:class:`SqliteDb` for async code: the same arguments, the same methods, awaited."""

    def __init__(self, db_file: str | Path = "agno_nb.db", *, lock_timeout_s: float = 15.0) -> None:
        super().__init__(SqliteDb(db_file, lock_timeout_s=lock_timeout_s))


class _File:
    """An open SQLite file, and what it was when it was opened."""

    def __init__(self, path: Path, timeout_s: float, *, write: bool) -> None:
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
        self.pid = os.getpid()
        self.connection = sqlite3.connect(
            f"{path.as_uri()}?mode={'rwc' if write else 'rw'}",
            uri=True,
            timeout=timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        self.inode = path.stat().st_ino
        try:
            self._prepare(path, write=write)
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self, path: Path, *, write: bool) -> None:
        tables = {name for (name,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "raw_schema" not in tables:
            raise NotAStoreError(
                f"{path} is a SQLite file with other tables than a store of agno_nb has; choose another db_file. "
                "It was not touched."
            )
        if tables:
            ((version,),) = self.connection.execute("SELECT max(version) FROM raw_schema").fetchall()
            if version > schema.VERSION:
                raise StoreVersionError(
                    f"{path} has version {version} of the store's schema, and this agno_nb knows versions up to "
                    f"{schema.VERSION}; update agno_nb. The file was not touched."
                )
        self.has_store = bool(tables)
        if write:
            self.connection.execute("PRAGMA journal_mode = WAL")
        # What a commit has acknowledged survives a power cut too.
        self.connection.execute("PRAGMA synchronous = FULL")
        if write and not tables:
            self._create()

    def _create(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have made the store while this one waited.
            if not self.connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall():
                for statement in (schema.text("schema.sql") + schema.text("indexes.sql")).split(";\n"):
                    self.connection.execute(statement)
                self.connection.execute("INSERT INTO raw_schema VALUES (?, ?)", [schema.VERSION, micros(time.time())])
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.has_store = True

    @property
    def state(self) -> tuple[int, int]:
        """Changes when anybody changes the file."""
        ((version,),) = self.connection.execute("PRAGMA data_version").fetchall()
        return version, self.connection.total_changes


class _SqliteDriver(EngineDriver):
    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self._file: _File | None = None
        self._copy: tuple[Engine, object] | None = None

    @contextmanager
    def lease(self, *, write: bool) -> Iterator[Connection]:
        with self._alone(), self._our_errors():
            file = self._opened(write=write)
            if file is None:
                engine = Engine()
                engine.attach_empty()
                with engine.transaction(write=False) as cursor:
                    yield _Rows(cursor)
                return
            file.connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield _Rows(file.connection)
                file.connection.execute("COMMIT")
            except BaseException:
                # SQLite has done so itself after some errors. What the caller must hear of is the first error.
                with suppress(sqlite3.Error):
                    file.connection.execute("ROLLBACK")
                raise

    @contextmanager
    def attached(self, *, write: bool) -> Iterator[Engine]:
        with self._alone(), self._our_errors():
            file = self._opened(write=False)
            state = (file, file.state) if file else None
            if self._copy is None or self._copy[0].pid != os.getpid() or self._copy[1] != state:
                self._copy = _copied(file), state
            yield self._copy[0]

    def close(self) -> None:
        with self._alone():
            file, self._file, self._copy = self._file, None, None
            if file is not None and file.pid == os.getpid():
                file.connection.close()

    def _opened(self, *, write: bool) -> _File | None:
        """Return the file; None where there is no store yet and nothing is to be written."""
        if self._path.is_dir():
            raise StoreError(f"{self._path} is a folder; give the path of a file in it")
        file = self._file
        if file is not None:
            # A connection must not be taken along into a forked process, and one to a file that was deleted or
            # replaced would write where nobody reads.
            is_ours = file.pid == os.getpid()
            if (
                is_ours
                and self._path.exists()
                and self._path.stat().st_ino == file.inode
                and (file.has_store or not write)
            ):
                return file if file.has_store else None
            self._file = None
            if is_ours:
                file.connection.close()
        if not write and not self._path.exists():
            return None
        self._file = _File(self._path, self._timeout_s, write=write)
        return self._file if self._file.has_store else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=self._timeout_s):
            raise StoreLocked(
                f"another thread has kept the store {self._path} for {self._timeout_s:g} s; let it finish"
            )
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        """Raise what SQLite and the system say of the store as an error of ours, with what to do."""
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"the store {self._path} cannot be used: {error.strerror or error}; choose a db_file in a folder that "
                "you can write to"
            ) from error
        except sqlite3.Error as error:
            if "file is not a database" in str(error):
                raise NotAStoreError(
                    f"{self._path} is not a SQLite file; choose another db_file. It was not touched."
                ) from error
            if "is locked" in str(error) or "is busy" in str(error):
                raise StoreLocked(
                    f"another process has kept the store {self._path} for {self._timeout_s:g} s; let it finish, or "
                    "give this notebook another db_file"
                ) from error
            raise StoreError(
                f"the store {self._path} failed, and what was being written is not stored; make sure that the disk "
                f"has space and that you can write there, and try again ({error})"
            ) from error


class _Rows:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._connection.execute(sql, list(parameters)).fetchall()
        return rows


def _copied(file: _File | None) -> Engine:
    """Return an engine that holds what the file holds."""
    import pyarrow as pa

    engine = Engine()
    engine.attach_empty()
    if file is None:
        return engine
    with engine.transaction(write=True) as cursor:
        for table in TABLES:
            fields = cursor.sql(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema
            rows = file.connection.execute(f"SELECT {', '.join(fields.names)} FROM {table}").fetchall()
            columns = zip(*rows, strict=True) if rows else [()] * len(fields)
            arrays = [
                # SQLite has no truth values of its own.
                pa.array(
                    [None if v is None else bool(v) for v in column] if pa.types.is_boolean(field.type) else column,
                    field.type,
                )
                for field, column in zip(fields, columns, strict=True)
            ]
            cursor.register("copied", pa.Table.from_arrays(arrays, schema=fields))
            cursor.execute(f"INSERT INTO {table} SELECT * FROM copied")
            cursor.unregister("copied")
    return engine
