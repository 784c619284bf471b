"""Read the file of another user's store, without leaving files next to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agno_nb.db import schema
from agno_nb.db.duckdb.duckdb import FileDriver
from agno_nb.db.duckdb.lock_file import LOCK
from agno_nb.db.file_names import os_error, path_in_use
from agno_nb.db.sqlite import LOG, SqliteDriver

if TYPE_CHECKING:
    import pyarrow as pa

_SQLITE = b"SQLite format 3\0"
_TIMEOUT_S = 15.0


def read_foreign_tables(path: Path) -> dict[str, pa.Table]:
    """Read the tables of the store in a file of DuckDB or SQLite, all but the contents of media.

    Raises
    ------
    StoreError
        It cannot be read, is not a store or has another version.
    InvalidInputError
        DuckDB cannot use the path.
    """
    driver = (SqliteDriver if _is_sqlite(path) else FileDriver)(path, _TIMEOUT_S, read_only=True)
    return driver.tables([table for table in schema.tables() if table != "raw_media"])


def _is_sqlite(path: Path) -> bool:
    # A file in use is not looked into: closing it would take away the locks that this process has on it (POSIX).
    if Path(f"{path_in_use(path, LOCK)}{LOCK}").exists():
        return False
    if Path(f"{path_in_use(path, LOG)}{LOG}").exists():
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError as error:
        raise os_error(path, error) from error
