"""Reading a store's file that is somebody else's: briefly, and without a trace beside it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agno_nb.db import schema
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.engine import Engine, our_errors
from agno_nb.db.tables import from_rows
from agno_nb.errors import NotAStoreError, StoreError

if TYPE_CHECKING:
    import pyarrow as pa

_SQLITE = b"SQLite format 3\0"


def tables_in(path: Path) -> dict[str, pa.Table]:
    """Read the tables of the store in a file of DuckDB or SQLite, all but the contents of media.

    Raises
    ------
    StoreError
        It cannot be read, is not a store or has another version.
    """
    names = [table for table in schema.tables() if table != "raw_media"]
    if os.access(f"{path}.lock", os.W_OK):
        # Somebody works with it here, or did, so it is read in turn with them.
        return DuckDb(path)._driver.tables(names)
    if _is_sqlite(path):
        return _in_sqlite(path, names)
    engine = Engine(path)
    with our_errors(path):
        try:
            if not engine.attach_file(write=False, migrates=False):
                raise NotAStoreError(f"{path} has no tables in it")
            return engine.tables(names)
        finally:
            engine.stop()


def _is_sqlite(path: Path) -> bool:
    # Not looked into where it is in use: to close a file takes away the locks that this process has on it (POSIX).
    if _log_of(path).exists():
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error


def _log_of(path: Path) -> Path:
    return Path(f"{path}-wal")


def _in_sqlite(path: Path, names: list[str]) -> dict[str, pa.Table]:
    try:
        with _opened(path) as connection:
            ((version,),) = connection.execute("SELECT max(version) FROM raw_schema").fetchall()
            if schema.is_older(version, path):
                raise schema.too_old(path)
            found = {}
            for table in names:
                columns = ", ".join(schema.column_types()[table])
                found[table] = from_rows(table, connection.execute(f"SELECT {columns} FROM {table}").fetchall())
            return found
    except sqlite3.Error as error:
        if "no such table" in str(error):
            raise NotAStoreError(f"{path} is a SQLite file without the tables of a store of agno_nb") from error
        raise StoreError(f"{path} cannot be read ({error})") from error


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a SQLite file so that SQLite makes no file beside it, as it does where changes are in a log."""
    log, shared = _log_of(path), Path(f"{path}-shm")
    if not log.exists():
        yield from _connected(f"{path.as_uri()}?mode=ro&immutable=1")
    elif shared.exists():
        # Somebody has it open.
        yield from _connected(f"{path.as_uri()}?mode=ro")
    else:
        # Its process was killed, or the file was handed in together with its log.
        with tempfile.TemporaryDirectory(prefix="agno_nb-") as folder:
            for file in (path, log):
                shutil.copy(file, folder)
            copy = Path(folder) / path.name
            yield from _connected(copy.as_uri())


def _connected(uri: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        yield connection
