"""The part of a store behind a SQL driver that keeps it in order: deleting, checking, copying, moving."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agno_nb._keywords import explain_wrong_arguments
from agno_nb.db import archive, schema
from agno_nb.db.driver import Driver
from agno_nb.db.duckdb.lock_file import LOCK
from agno_nb.db.encoding import check_ids, parse_time_us
from agno_nb.db.file_names import expand, path_in_use
from agno_nb.db.integrity import find_problems
from agno_nb.db.memories import SqlMemories, non_null
from agno_nb.db.statements import Transaction, marks, where_equal
from agno_nb.db.tables import from_rows
from agno_nb.errors import InvalidInputError, SessionNotFoundError
from agno_nb.types import Session

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 500


class SqlMaintenance(SqlMemories):
    """Retention, verification, copies, export and import in SQL."""

    _driver: Driver

    @explain_wrong_arguments("pass the session_id, as in delete_session('plans')")
    def delete_session(self, session_id: str, user_id: str | None = None) -> bool:
        check_ids(session_id=session_id, user_id=user_id or None)
        return bool(self._delete("session_id = ?", [session_id], user_id))

    def delete_sessions(self, session_ids: Iterable[str], user_id: str | None = None) -> None:
        if isinstance(session_ids, str):
            raise InvalidInputError(f"session_ids is {session_ids!r}; give a list of ids, or delete_session() one")
        # A Series of pandas is a list of ids too.
        if ids := list(session_ids):
            for session_id in ids:
                check_ids(session_id=session_id)
            self._delete(f"session_id IN ({marks(ids)})", ids, user_id)

    @explain_wrong_arguments("pass a date, as in purge_sessions('2026-01-31')")
    def purge_sessions(self, before: Any, user_id: str | None = None) -> int:
        return self._delete("updated_at < ?", [parse_time_us(before, "before")], user_id)

    def _delete(self, where: str, parameters: Sequence[Any], user_id: str | None) -> int:
        owned, owners = where_equal(non_null(user_id=user_id))
        sql = f"DELETE FROM raw_sessions WHERE {where} AND {owned} RETURNING session_id"
        with self._transaction(write=True, exclusive=True) as connection:
            deleted = [session_id for (session_id,) in connection.execute(sql, [*parameters, *owners])]
            for start in range(0, len(deleted), _ROWS_AT_ONCE):
                _delete_rows(connection, deleted[start : start + _ROWS_AT_ONCE])
        return len(deleted)

    def verify(self) -> list[str]:
        with self._transaction(write=False) as connection:
            return list(find_problems(connection))

    def vacuum(self) -> None:
        self._driver.vacuum()

    def backup(self, path: str | Path) -> None:
        target = _path(path)
        if target.exists():
            raise InvalidInputError(f"{target} is there already; give a path where nothing is")
        self._driver.backup(target)

    def snapshot(self, path: str | Path) -> None:
        target = _path(path)
        used = path_in_use(target, LOCK)
        is_in_use = str(used) == self.identity or any(Path(f"{used}{end}").exists() for end in (LOCK, "-wal"))
        if target.exists() and (is_in_use or not _is_database(target)):
            raise InvalidInputError(f"{target} is there already and is not a snapshot; give another path")
        fresh = target.with_name(f".{target.name}.{os.getpid()}.fresh")
        try:
            self._driver.backup(fresh)
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)

    def export_session(self, session_id: str, path: str | Path, user_id: str | None = None) -> None:
        check_ids(session_id=session_id, user_id=user_id or None)
        where, parameters = where_equal(non_null(session_id=session_id, user_id=user_id))
        tables = {}
        with self._transaction(write=False) as connection:
            if not connection.execute(f"SELECT 1 FROM raw_sessions WHERE {where}", parameters):
                raise SessionNotFoundError(f"there is no session {session_id!r} that could be exported")
            for table in schema.tables_with("session_id"):
                tables[table] = _rows(connection, table, "session_id = ?", [session_id])
            of_session = "media_id IN (SELECT media_id FROM raw_message_media WHERE session_id = ?)"
            tables["raw_media"] = _rows(connection, "raw_media", of_session, [session_id])
        archive.write_jsonl(_path(path), tables)

    def import_session(self, path: str | Path) -> Session:
        source = _path(path)
        rows = archive.validate_rows(archive.read_jsonl(source), source)
        sessions = [row["session_id"] for row in rows.get("raw_sessions", [])]
        if len(sessions) != 1:
            raise InvalidInputError(f"{source} holds {len(sessions)} sessions; export_session writes one")
        self._add(rows)
        session = self.get_session(sessions[0])
        assert session is not None
        return session

    def export_parquet(self, folder: str | Path) -> None:
        archive.write_parquet(_path(folder), self._tables(tuple(schema.tables())))

    def import_parquet(self, folder: str | Path) -> int:
        source = _path(folder)
        rows = archive.validate_rows(archive.read_parquet(source), source)
        self._add(rows)
        return len(rows.get("raw_sessions", []))

    def _add(self, rows: archive.Rows) -> None:
        """Store rows that came from elsewhere, all or none, and none in place of another."""
        with self._transaction(write=True, exclusive=True) as connection:
            for table, key in (("raw_sessions", "session_id"), ("raw_runs", "run_id"), ("raw_memories", "memory_id")):
                ids = [row[key] for row in rows.get(table, [])]
                for start in range(0, len(ids), _ROWS_AT_ONCE):
                    some = ids[start : start + _ROWS_AT_ONCE]
                    sql = f"SELECT {key} FROM {table} WHERE {key} IN ({marks(some)}) LIMIT 1"
                    if there := connection.execute(sql, some):
                        raise InvalidInputError(
                            f"{key} {there[0][0]!r} is in this store already, so nothing was imported; delete it here "
                            "first, or import into another store"
                        )
            for table, of_table in rows.items():
                then = "ON CONFLICT (media_id) DO NOTHING" if table == "raw_media" else ""
                for start in range(0, len(of_table), _ROWS_AT_ONCE):
                    connection.insert(table, of_table[start : start + _ROWS_AT_ONCE], then)


def _rows(connection: Transaction, table: str, where: str, parameters: Sequence[Any]) -> pa.Table:
    columns = ", ".join(schema.column_types()[table])
    return from_rows(table, connection.execute(f"SELECT {columns} FROM {table} WHERE {where}", parameters))


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


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(16)
    return head[8:12] == b"DUCK" or head == b"SQLite format 3\0"


def _path(path: str | Path) -> Path:
    return Path(expand(path)).resolve()
