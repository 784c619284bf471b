"""The contract of :mod:`agno_nb.db.base` in portable SQL, over a small driver for each backend.

The statements keep to what DuckDB, SQLite and Postgres have in common, with ``?`` for parameters.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from agno_nb._keywords import suggest_in_methods
from agno_nb.db import sandbox, schema
from agno_nb.db.cells import SqlCells
from agno_nb.db.driver import Driver
from agno_nb.db.encoding import Row, check_ids, check_json_object, micros, timestamp_micros, to_sql, validate_choice
from agno_nb.db.events import SqlEvents
from agno_nb.db.fork import fork
from agno_nb.db.frame_reader import TIMEOUT_S
from agno_nb.db.history import current_attempts
from agno_nb.db.maintenance import SqlMaintenance
from agno_nb.db.memories import non_null
from agno_nb.db.ownership import require_owner
from agno_nb.db.process_id import is_dead
from agno_nb.db.pushdown import MAX_VALUES, ColumnFilter, Pushdown
from agno_nb.db.rows import session_from_row, session_metrics
from agno_nb.db.runs import SqlTurns, select_runs
from agno_nb.db.session_state import store_state
from agno_nb.db.statements import (
    Transaction,
    marks,
    page_of,
    select_messages,
    select_sessions,
    valid_usage,
    where_equal,
)
from agno_nb.db.steps import SqlSteps
from agno_nb.db.tables import with_interrupted
from agno_nb.errors import InvalidInputError, StoreError
from agno_nb.types import TOKEN_COUNTS, JsonDict, Message, Metrics, RunOutput, Session, SessionType, now, whole_number

if TYPE_CHECKING:
    import pyarrow as pa

_USER_METHODS = (
    *("get_session", "get_sessions", "rename_session", "update_session_state", "fork_session", "delete_session"),
    *("delete_sessions", "get_runs", "get_run", "get_child_runs", "get_messages", "get_session_metrics", "get_usage"),
    *("get_summary", "get_user_memories", "upsert_user_memory", "update_user_memory", "delete_user_memory"),
    *("clear_memories", "purge_sessions", "backup", "snapshot", "export_session", "import_session", "export_parquet"),
    "import_parquet",
)
"""Methods that people call, unlike those that store a run."""
_SORT_COLUMNS = ("updated_at", "created_at", "session_name", "session_id", "user_id")


@suggest_in_methods(*_USER_METHODS)
class SqlDb(SqlTurns, SqlMaintenance, SqlSteps, SqlEvents, SqlCells):
    """A store behind a SQL driver."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._opened_rows = {}
        self._partials = {}
        self._session_cache = None

    @contextmanager
    def _transaction(self, *, write: bool, exclusive: bool = False) -> Iterator[Transaction]:
        with self._driver.exclusive_transaction() if exclusive else self._driver.transaction(write=write) as connection:
            yield Transaction(connection)

    @property
    def is_uncontended(self) -> bool:
        return self._driver.is_uncontended

    def create(self) -> None:
        with self._transaction(write=True):
            pass

    def check_owner(self, user_id: str | None, *, session_id: str | None = None, run_id: str | None = None) -> None:
        check_ids(session_id=session_id, run_id=run_id, user_id=user_id or None)
        if user_id is None or (session_id is None and run_id is None):
            return
        where, key = "session_id = ?", session_id
        if session_id is None:
            where, key = "session_id IN (SELECT session_id FROM raw_runs WHERE run_id = ?)", run_id
        with self._transaction(write=False) as connection:
            rows = connection.execute(f"SELECT session_id, user_id FROM raw_sessions WHERE {where}", [key])
        for owned_id, owner in rows:
            require_owner(owned_id, owner, user_id)

    def get_session(
        self, session_id: str, session_type: SessionType | str | None = None, user_id: str | None = None
    ) -> Session | None:
        check_ids(session_id=session_id, user_id=user_id or None)
        with self._transaction(write=False) as connection:
            key = non_null(session_id=session_id, session_type=_of_type(session_type), user_id=user_id)
            return self._session(connection, key)

    def _session(self, connection: Transaction, key: Row) -> Session | None:
        rows = select_sessions(connection, *where_equal(key))
        return session_from_row(rows[0], self) if rows else None

    def get_sessions(
        self,
        session_type: SessionType | str | None = None,
        user_id: str | None = None,
        component_id: str | None = None,
        session_name: str | None = None,
        start_timestamp: int | None = None,
        end_timestamp: int | None = None,
        limit: int | None = None,
        page: int | None = None,
        sort_by: str | None = None,
        sort_order: Literal["asc", "desc"] | None = None,
    ) -> list[Session]:
        column, direction = sort_by or "updated_at", sort_order or "desc"
        for name, value, choices in (("sort_by", column, _SORT_COLUMNS), ("sort_order", direction, ("asc", "desc"))):
            if value not in choices:
                raise InvalidInputError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
        limit = whole_number("limit", limit)
        start, _ = page_of(limit, page)
        where, parameters = where_equal(
            non_null(session_type=_of_type(session_type), user_id=user_id, component_id=component_id)
        )
        if session_name is not None:
            pattern = "".join("\\" + letter if letter in "\\%_" else letter for letter in session_name)
            where += " AND LOWER(session_name) LIKE LOWER(?) ESCAPE '\\'"
            parameters.append(f"%{pattern}%")
        if start_timestamp is not None:
            where += " AND created_at >= ?"
            parameters.append(timestamp_micros(start_timestamp, "start_timestamp"))
        if end_timestamp is not None:
            # A session tells its times in whole seconds, so all of the last second is within the bound.
            where += " AND created_at < ?"
            parameters.append(timestamp_micros(end_timestamp, "end_timestamp") + micros(1))
        # An index in Postgres does not give the others in this order, though they are never null.
        nulls = " NULLS LAST" if column in ("session_name", "user_id") else ""
        order = f"ORDER BY {column} {direction}{nulls}, session_id {direction}"
        with self._transaction(write=False) as connection:
            if limit is not None and limit <= MAX_VALUES:
                # Found by little of each, so that the states of others are not carried along.
                sql = f"SELECT session_id FROM raw_sessions WHERE {where} {order} LIMIT ? OFFSET ?"
                parameters = [row[0] for row in connection.execute(sql, [*parameters, limit, start])]
                where, limit = f"session_id IN ({marks(parameters) or 'NULL'})", None
            if limit is not None:
                order += " LIMIT ? OFFSET ?"
                parameters += [limit, start]
            rows = select_sessions(connection, f"{where} {order}", parameters)
        return [session_from_row(row, self) for row in rows]

    def rename_session(
        self,
        session_id: str,
        session_type: SessionType | str | None = None,
        session_name: str | None = None,
        user_id: str | None = None,
    ) -> Session | None:
        check_ids(session_id=session_id, user_id=user_id or None)
        key = non_null(session_id=session_id, session_type=_of_type(session_type), user_id=user_id)
        return self._change_session({"session_name": session_name}, key)

    def update_session_state(
        self,
        session_id: str,
        session_state: JsonDict,
        user_id: str | None = None,
        *,
        began_with: JsonDict | None = None,
    ) -> Session | None:
        check_ids(session_id=session_id, user_id=user_id or None)
        check_json_object(session_state, "session_state")
        key = non_null(session_id=session_id, user_id=user_id)
        if began_with is None:
            return self._change_session({"session_state": session_state}, key)
        with self._transaction(write=True) as connection:
            if self._session(connection, key) is None:
                return None
            store_state(connection, session_id, session_state, began_with, gone=None)
            return self._session(connection, key)

    def _change_session(self, changes: Row, key: Row) -> Session | None:
        with self._transaction(write=True) as connection:
            connection.update("raw_sessions", changes | {"updated_at": micros(now())}, key)
            return self._session(connection, key)

    def fork_session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        to_run_index: int | None = None,
        at_run: str | None = None,
    ) -> Session | None:
        check_ids(session_id=session_id, at_run=at_run, user_id=user_id or None)
        if to_run_index is not None and at_run is not None:
            raise InvalidInputError("say where to fork by to_run_index or by at_run, not by both")
        with self._transaction(write=True, exclusive=True) as connection:
            if self._session(connection, non_null(session_id=session_id, user_id=user_id)) is None:
                return None
            fork_id = fork(connection, session_id, to_run_index=to_run_index, at_run=at_run, now=micros(now()))
            return self._session(connection, {"session_id": fork_id})

    def get_runs(
        self,
        session_id: str,
        *,
        from_run_index: int | None = None,
        to_run_index: int | None = None,
        limit: int | None = None,
    ) -> list[RunOutput]:
        check_ids(session_id=session_id)
        limit = whole_number("limit", limit)
        page_of(limit, None)
        where = "session_id = ?"
        parameters: list[str | int] = [session_id]
        for bound, run_index in ((">=", from_run_index), ("<=", to_run_index)):
            if run_index is not None:
                where += f" AND run_index {bound} ?"
                parameters.append(run_index)
        with self._transaction(write=False) as connection:
            return select_runs(connection, where, parameters, limit=limit)

    def get_run(self, run_id: str, session_id: str | None = None) -> RunOutput | None:
        check_ids(run_id=run_id, session_id=session_id)
        # With the runs of its turn, so that it has those nested in it.
        where, parameters = where_equal(non_null(run_id=run_id, session_id=session_id))
        with self._transaction(write=False) as connection:
            turn = connection.execute(f"SELECT session_id, root_run_id FROM raw_runs WHERE {where}", parameters)
            runs = select_runs(connection, "session_id = ? AND root_run_id = ?", turn[0]) if turn else []
        return next((run for run in runs if run.run_id == run_id), None)

    def get_child_runs(self, run_id: str) -> list[RunOutput]:
        check_ids(run_id=run_id)
        order = "created_at, run_index, attempt, run_id"
        sql = f"SELECT run_id, session_id FROM raw_runs WHERE parent_run_id = ? ORDER BY {order}"
        with self._transaction(write=False) as connection:
            rows = connection.execute(sql, [run_id])
        return [run for ids in rows if (run := self.get_run(*ids)) is not None]

    def get_messages(self, session_id: str, *, last_n_runs: int | None = None) -> list[Message]:
        check_ids(session_id=session_id)
        last_n_runs = whole_number("last_n_runs", last_n_runs)
        where, parameters = "session_id = ?", [session_id]
        with self._transaction(write=False) as connection:
            turns = current_attempts(connection, session_id, last=last_n_runs)
            run_ids = [run_id for run_id, _ in turns.values()]
            if last_n_runs is not None and len(run_ids) <= MAX_VALUES:
                where += f" AND run_id IN ({marks(run_ids) or 'NULL'})"
                parameters += run_ids
            messages = select_messages(connection, where, parameters)
        return [message for run_id in run_ids for message in messages.get(run_id, [])]

    def get_session_metrics(self, session_id: str) -> Metrics:
        check_ids(session_id=session_id)
        sums = ", ".join(f"SUM({valid_usage(name)})" for name in TOKEN_COUNTS)
        # A run without any answer of a model (a refused key, say) has no cost that could be unknown.
        answered = "SELECT run_id FROM raw_messages WHERE session_id = ? AND role = 'assistant' AND NOT from_history"
        cost = valid_usage("cost")
        sql = (
            f"SELECT {sums}, SUM({cost}), SUM(CASE WHEN {cost} IS NULL AND kind <> 'workflow' "
            f"AND run_id IN ({answered}) THEN 1 ELSE 0 END), "
            "SUM(duration_s) FROM raw_runs WHERE session_id = ?"
        )
        with self._transaction(write=False) as connection:
            return session_metrics(connection.execute(sql, [session_id, session_id])[0])

    def arrow(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        frames: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = TIMEOUT_S,
        max_rows: int | None = None,
    ) -> pa.Table:
        values = [to_sql(value) for value in parameters]
        return sandbox.run(self._rows, sql, values, frames or {}, timeout_s=timeout_s, max_rows=max_rows)

    def frame(self, sql: str, parameters: Sequence[Any] = (), *, pushdown: Pushdown | None = None) -> pa.Table:
        part, unstamped = self._mark_interrupted(pushdown)
        values = [to_sql(value) for value in parameters]
        if unstamped:
            return sandbox.run(lambda needs: self._stamped_rows(needs, unstamped, part), sql, values, {})
        return self._driver.frame(sql, values, part)

    def _rows(self, columns_read: schema.ColumnsRead) -> dict[str, pa.Table]:
        return self._stamped_rows(columns_read, self._mark_interrupted()[1])

    def _stamped_rows(
        self, needs: schema.ColumnsRead, unstamped: Collection[str], part: ColumnFilter | None = None
    ) -> dict[str, pa.Table]:
        if unstamped and "raw_runs" in needs:
            needs = {**needs, "raw_runs": needs["raw_runs"] | {"run_id"}}
        return with_interrupted(self._driver.rows(needs, part), unstamped, now=micros(time.time()))

    def _tables(self, names: Collection[str]) -> dict[str, pa.Table]:
        _, unstamped = self._mark_interrupted()
        return with_interrupted(self._driver.tables(names), unstamped, now=micros(time.time()))

    def _mark_interrupted(self, chosen: Pushdown | None = None) -> tuple[ColumnFilter | None, list[str]]:
        """Stamp the running runs whose process has died, so that views can tell; find what was chosen.

        Return also the runs that could not be stamped, because this user may only read the store.
        """
        running = "status = 'RUNNING' AND interrupted_at IS NULL"
        with self._transaction(write=False) as connection:
            rows = connection.execute(f"SELECT run_id, worker FROM raw_runs WHERE {running}")
            part = chosen.resolve(connection) if chosen else None
        dead = [run_id for run_id, worker in rows if is_dead(worker)]
        if dead:
            sql = f"UPDATE raw_runs SET interrupted_at = ? WHERE {running} AND run_id IN ({marks(dead)})"
            try:
                with self._transaction(write=True, exclusive=True) as connection:
                    connection.execute(sql, [micros(time.time()), *dead])
            except StoreError:
                return part, dead
        return part, []

    def close(self) -> None:
        self._driver.close()


def _of_type(session_type: str | None) -> SessionType | None:
    return None if session_type is None else validate_choice(SessionType, session_type, "session_type")
