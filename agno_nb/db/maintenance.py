"""Delete, copy, export and import what a SQL store holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agno_nb.db import archive, schema
from agno_nb.db.arrow_tables import from_rows
from agno_nb.db.driver import Driver
from agno_nb.db.file_names import LOCK, expand, path_in_use
from agno_nb.db.statements import Transaction, marks, non_null, where_equal
from agno_nb.errors import InvalidInputError, SessionNotFoundError

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 500


def delete_sessions(connection: Transaction, where: str, parameters: Sequence[Any], user_id: str | None) -> int:
    """Delete the sessions of a user that match `where`, with all their rows; return their number."""
    owned, owners = where_equal(non_null(user_id=user_id))
    sql = f"DELETE FROM raw_sessions WHERE {where} AND {owned} RETURNING session_id"
    deleted = [session_id for (session_id,) in connection.execute(sql, [*parameters, *owners])]
    for start in range(0, len(deleted), _ROWS_AT_ONCE):
        _delete_rows(connection, deleted[start : start + _ROWS_AT_ONCE])
    return len(deleted)


def _delete_rows(connection: Transaction, session_ids: Sequence[str]) -> None:
    of_sessions = f"WHERE session_id IN ({marks(session_ids)})"
    sql = f"SELECT DISTINCT media_id FROM raw_message_media {of_sessions} AND media_id IS NOT NULL"
    media = [media_id for (media_id,) in connection.execute(sql, session_ids)]
    for table in schema.tables_with("session_id"):
        connection.execute(f"DELETE FROM {table} {of_sessions}", session_ids)
    for start in range(0, len(media), _ROWS_AT_ONCE):
        some = media[start : start + _ROWS_AT_ONCE]
        sql = (
            f"DELETE FROM raw_media WHERE media_id IN ({marks(some)}) AND NOT EXISTS "
            "(SELECT 1 FROM raw_message_media WHERE raw_message_media.media_id = raw_media.media_id)"
        )
        connection.execute(sql, some)


def backup(driver: Driver, path: str | Path) -> None:
    target = _absolute(path)
    if target.exists():
        raise InvalidInputError(f"{target} already exists; pass a path that doesn't")
    driver.backup(target)


def snapshot(driver: Driver, path: str | Path, *, identity: str) -> None:
    """Copy the store of `identity` into a file, and replace an earlier snapshot in one step."""
    target = _absolute(path)
    used = path_in_use(target, LOCK)
    is_in_use = str(used) == identity or any(Path(f"{used}{end}").exists() for end in (LOCK, "-wal"))
    if target.exists() and (is_in_use or not _is_database(target)):
        raise InvalidInputError(f"{target} already exists and is not a snapshot; pass another path")
    fresh = target.with_name(f".{target.name}.{os.getpid()}.fresh")
    try:
        driver.backup(fresh)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(16)
    return head[8:12] == b"DUCK" or head == b"SQLite format 3\0"


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
    archive.write_jsonl(_absolute(path), tables)


def read_session(path: str | Path) -> tuple[str, archive.Rows]:
    """Read an exported session; return its ID and rows."""
    source = _absolute(path)
    rows = archive.validate_rows(archive.read_jsonl(source), source)
    sessions = [row["session_id"] for row in rows.get("raw_sessions", [])]
    if len(sessions) != 1:
        raise InvalidInputError(f"{source} has {len(sessions)} sessions; pass a file written by export_session()")
    return sessions[0], rows


def write_tables(folder: str | Path, tables: Mapping[str, pa.Table]) -> None:
    archive.write_parquet(_absolute(folder), tables)


def read_tables(folder: str | Path) -> archive.Rows:
    source = _absolute(folder)
    return archive.validate_rows(archive.read_parquet(source), source)


def insert_rows(connection: Transaction, rows: archive.Rows) -> None:
    """Store imported rows. None of them may replace a row of the store."""
    for table, key in (("raw_sessions", "session_id"), ("raw_runs", "run_id"), ("raw_memories", "memory_id")):
        ids = [row[key] for row in rows.get(table, [])]
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            some = ids[start : start + _ROWS_AT_ONCE]
            sql = f"SELECT {key} FROM {table} WHERE {key} IN ({marks(some)}) LIMIT 1"
            if there := connection.execute(sql, some):
                raise InvalidInputError(
                    f"cannot import, because {key} {there[0][0]!r} is already in this store; delete it here first, or "
                    "import into another store"
                )
    for table, of_table in rows.items():
        then = "ON CONFLICT (media_id) DO NOTHING" if table == "raw_media" else ""
        for start in range(0, len(of_table), _ROWS_AT_ONCE):
            connection.insert(table, of_table[start : start + _ROWS_AT_ONCE], then)


def _absolute(path: str | Path) -> Path:
    return Path(expand(path)).resolve()
