"""Files made from a store: copies, sessions exported as JSONL, and whole stores exported as Parquet.

Exported files have all columns of the tables of schema.sql, so that imported rows are identical. Files of a newer
version of the schema are rejected. Columns that an older version lacks are null, so a new version may only add such
columns.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agno_nb.db import schema
from agno_nb.db.arrow_tables import from_rows
from agno_nb.db.driver import Driver
from agno_nb.db.encoding import JSON_COLUMNS, Row, from_json
from agno_nb.db.file_names import LOCK, expand, path_in_use
from agno_nb.db.statements import Transaction, chunks, marks, non_null, where_equal
from agno_nb.errors import InvalidInputError, SessionNotFoundError, StoreError

if TYPE_CHECKING:
    import pyarrow as pa

Rows = dict[str, list[Row]]
"""The rows of each table."""


def backup(driver: Driver, path: str | Path, memories: pa.Table | None) -> None:
    target = _absolute(path)
    if target.exists():
        raise InvalidInputError(f"{target} already exists; pass a path that doesn't")
    driver.backup(target, memories)


def snapshot(driver: Driver, path: str | Path, memories: pa.Table | None, *, identity: str) -> None:
    """Copy the store of `identity` into a file, and replace an earlier snapshot in one step."""
    target = _absolute(path)
    used = path_in_use(target, LOCK)
    is_in_use = str(used) == identity or any(Path(f"{used}{end}").exists() for end in (LOCK, "-wal"))
    if target.exists() and (is_in_use or not _is_database(target)):
        raise InvalidInputError(f"{target} already exists and is not a snapshot; pass another path")
    fresh = target.with_name(f".{target.name}.{os.getpid()}.fresh")
    try:
        driver.backup(fresh, memories)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(16)
    return head[8:12] == b"DUCK" or head == b"SQLite format 3\0"


def _absolute(path: str | Path) -> Path:
    return Path(expand(path)).resolve()


def session_tables(connection: Transaction, session_id: str, user_id: str | None) -> dict[str, pa.Table]:
    """Read all rows of a session, with the contents of its media."""
    where, parameters = where_equal(non_null(session_id=session_id, user_id=user_id))
    if not connection.execute(f"SELECT 1 FROM raw_sessions WHERE {where}", parameters):
        raise SessionNotFoundError(f"cannot export session {session_id!r}: there is no such session")
    conditions = dict.fromkeys(schema.tables_with("session_id"), "session_id = ?")
    conditions["raw_media"] = "media_id IN (SELECT media_id FROM raw_message_media WHERE session_id = ?)"
    tables = {}
    for table, of_session in conditions.items():
        columns = ", ".join(schema.tables()[table].columns)
        rows = connection.execute(f"SELECT {columns} FROM {table} WHERE {of_session}", [session_id])
        tables[table] = from_rows(table, rows)
    return tables


def write_session(path: str | Path, tables: Mapping[str, pa.Table]) -> None:
    """Write a header line and a line for each row. An existing file is replaced in one step."""
    target = _absolute(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps({"agno_nb": "session", "schema": schema.VERSION}) + "\n")
            for name, table in tables.items():
                for row in table.to_pylist():
                    kept = {column: value for column, value in row.items() if value is not None}
                    file.write(json.dumps({"table": name, "row": kept}, ensure_ascii=False, default=_encode) + "\n")
        partial.replace(target)
    except OSError as error:
        raise StoreError(f"cannot write the session to {target}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def read_session(path: str | Path) -> tuple[str, Rows]:
    """Read a file of :func:`write_session`; return the session's ID and its rows, with JSON as values.

    Raises
    ------
    InvalidInputError
        The file is of another kind, incomplete, damaged, or from a newer agno_nb.
    """
    source = _absolute(path)
    rows: Rows = {}
    try:
        head, *lines = source.read_text(encoding="utf-8").split("\n")
        about = json.loads(head)
        if about.get("agno_nb") != "session" or lines[-1:] != [""]:
            raise ValueError
        _check_version(about["schema"], source)
        for line in lines[:-1]:
            record = json.loads(line)
            table, row = record["table"], record["row"]
            if table == "raw_media" and row.get("content") is not None:
                row["content"] = base64.b64decode(row["content"], validate=True)
            rows.setdefault(table, []).append(_parse_row(table, row, source))
    except OSError as error:
        raise InvalidInputError(f"cannot read {source}: {error.strerror}") from error
    except InvalidInputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInputError(f"{source} is not a complete exported session; run export_session() again") from None
    sessions = [row["session_id"] for row in rows.get("raw_sessions", [])]
    if len(sessions) != 1:
        raise InvalidInputError(f"{source} has {len(sessions)} sessions; pass a file written by export_session()")
    return sessions[0], rows


def write_tables(folder: str | Path, tables: Mapping[str, pa.Table]) -> None:
    """Write a Parquet file for each table into an empty folder."""
    import pyarrow.parquet as pq

    target = _absolute(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise InvalidInputError(f"{target} is not empty; pass an empty folder or a new one")
        for name, table in tables.items():
            pq.write_table(table, target / f"{name}.parquet", compression="zstd")
    except OSError as error:
        raise StoreError(f"cannot write the store to {target}: {error.strerror or error}") from error


def read_tables(folder: str | Path) -> Rows:
    """Read a folder of :func:`write_tables`; return its rows, with JSON as values.

    Raises
    ------
    InvalidInputError
        The folder is of another kind, lacks a file, is damaged, or is from a newer agno_nb.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = _absolute(folder)

    def read(name: str) -> list[Row]:
        try:
            rows: list[Row] = pq.read_table(source / f"{name}.parquet", partitioning=None).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise InvalidInputError(
                f"{source} is not a folder of export_parquet(): cannot read {name}.parquet ({error})"
            ) from error
        return [_parse_row(name, row, source) for row in rows]

    version = max((row["version"] for row in read("raw_schema")), default=0)
    _check_version(version, source)
    there = {file.stem for file in source.glob("*.parquet")}
    # A store of an older version may lack tables.
    table_names = [name for name in schema.tables() if name in there or version == schema.VERSION]
    return {name: read(name) for name in table_names if name != "raw_schema"}


def _check_version(version: int, source: Path) -> None:
    if version > schema.VERSION:
        raise InvalidInputError(
            f"{source} has version {version} of the store's schema, and this agno_nb knows versions up to "
            f"{schema.VERSION}; update agno_nb"
        )


def _parse_row(table: str, row: Row, source: Path) -> Row:
    """Return an exported row with all columns of its table, and JSON as values."""
    columns = schema.tables()[table].columns
    if unknown := row.keys() - set(columns):
        raise InvalidInputError(f"{source} has columns of {table} that are not in the schema: {', '.join(unknown)}")
    parsed = {name: row.get(name) for name in columns}
    if table == "raw_media":
        content = parsed["content"]
        if content is None or hashlib.sha256(content).hexdigest() != parsed["media_id"]:
            raise InvalidInputError(f"{source} is damaged: the content of media {parsed['media_id']!r} has changed")
    try:
        return {name: from_json(value) if name in JSON_COLUMNS else value for name, value in parsed.items()}
    except ValueError:
        raise InvalidInputError(f"{source} is damaged: it contains invalid JSON") from None


def insert_rows(connection: Transaction, rows: Rows) -> None:
    """Store imported rows. None of them may replace a row of the store."""
    for table, key in (("raw_sessions", "session_id"), ("raw_runs", "run_id"), ("raw_memories", "memory_id")):
        for ids in chunks([row[key] for row in rows.get(table, [])]):
            if there := connection.execute(f"SELECT {key} FROM {table} WHERE {key} IN ({marks(ids)}) LIMIT 1", ids):
                raise InvalidInputError(
                    f"cannot import, because {key} {there[0][0]!r} is already in this store; delete it here first, or "
                    "import into another store"
                )
    for table, of_table in rows.items():
        if table != "raw_media":
            connection.insert(table, of_table)
            continue
        # Not all contents in one statement, which can have a gigabyte in Postgres.
        for some in chunks(of_table):
            connection.insert(table, some, "ON CONFLICT (media_id) DO NOTHING")
