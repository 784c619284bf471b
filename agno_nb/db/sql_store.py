"""A store behind a SQL driver.

Each method opens a transaction and calls a function of the module that it is about. The statements only use SQL that
DuckDB, SQLite and Postgres have in common, with ``?`` for parameters.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agno_nb._keywords import explain_wrong_arguments, suggest_in_methods
from agno_nb.db import events, fork, integrity, maintenance, memories, runs, sandbox, schema, sessions
from agno_nb.db.arrow_tables import filter_by_owner, with_interrupted
from agno_nb.db.base import NO_CONTEXT, CellTurn, ContextQuery, Db, OpenedRun
from agno_nb.db.driver import Driver
from agno_nb.db.encoding import Row, check_ids, check_json_object, micros, parse_time_us, to_sql
from agno_nb.db.frame_reader import TIMEOUT_S
from agno_nb.db.process_id import is_dead
from agno_nb.db.pushdown import ColumnFilter, Pushdown
from agno_nb.db.session_cache import SessionCache
from agno_nb.db.statements import Transaction, marks, non_null, page_of
from agno_nb.errors import InvalidInputError, SessionNotFoundError, StoreError
from agno_nb.types import (
    JsonDict,
    Message,
    Metrics,
    RunEvent,
    RunOutput,
    Session,
    SessionSummary,
    SessionType,
    StepOutput,
    UsageTotals,
    UserMemory,
    now,
    whole_number,
)

if TYPE_CHECKING:
    import pyarrow as pa

_USER_METHODS = (
    *("get_session", "get_sessions", "rename_session", "update_session_state", "fork_session", "delete_session"),
    *("delete_sessions", "get_runs", "get_run", "get_child_runs", "get_messages", "get_session_metrics", "get_usage"),
    *("get_summary", "get_user_memories", "upsert_user_memory", "update_user_memory", "delete_user_memory"),
    *("clear_memories", "purge_sessions", "backup", "snapshot", "export_session", "import_session", "export_parquet"),
    "import_parquet",
)
"""Methods that users call, unlike those that store a run."""


@suggest_in_methods(*_USER_METHODS)
class SqlDb(Db):
    """A store behind a SQL driver."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._cache = SessionCache()

    @contextmanager
    def _transaction(self, *, write: bool, exclusive: bool = False) -> Iterator[Transaction]:
        with self._driver.exclusive_transaction() if exclusive else self._driver.transaction(write=write) as connection:
            transaction = Transaction(connection)
            yield transaction
        for committed in transaction.on_commit:
            committed()

    @property
    def is_uncontended(self) -> bool:
        return self._driver.is_uncontended

    def create(self) -> None:
        with self._transaction(write=True):
            pass

    def close(self) -> None:
        self._driver.close()

    # Runs.

    def open_run(
        self,
        run: RunOutput,
        messages: Sequence[Message],
        *,
        session: Session,
        nested: bool = False,
        partial_of: str | None = None,
        query: ContextQuery = NO_CONTEXT,
    ) -> OpenedRun:
        for name, value in (("session_id", run.session_id), ("user_id", run.user_id)):
            if value == "":
                raise InvalidInputError(f"{name} is empty; pass a string, or leave it None")
        with self._transaction(write=True) as connection:
            return runs.open_run(
                connection,
                self._cache,
                run,
                messages,
                session=session,
                nested=nested,
                partial_of=partial_of,
                query=query,
                store=self,
                row_lock=self._driver.row_lock,
            )

    def reopen_run(self, run: RunOutput, *, query: ContextQuery = NO_CONTEXT) -> OpenedRun:
        with self._transaction(write=True) as connection:
            return runs.reopen_run(connection, run, query, self)

    def save_approvals(self, run: RunOutput) -> None:
        with self._transaction(write=True) as connection:
            runs.save_approvals(connection, run)

    def add_messages(self, run: RunOutput, messages: Sequence[Message]) -> None:
        if messages:
            with self._transaction(write=True) as connection:
                runs.add_messages(connection, self._cache, run, messages)

    def save_partial(self, run: RunOutput, partial: Message, messages: Sequence[Message] = ()) -> None:
        with self._transaction(write=True) as connection:
            runs.save_partial(connection, self._cache, run, partial, messages)

    def end_run(
        self,
        run: RunOutput,
        messages: Sequence[Message] = (),
        *,
        session_state: JsonDict | None = None,
        base_state: JsonDict | None = None,
    ) -> None:
        changes = runs.changes_at_end(self._cache, run)
        with self._transaction(write=True) as connection:
            runs.end_run(
                connection, self._cache, run, changes, messages, session_state=session_state, base_state=base_state
            )

    def add_step(
        self,
        run: RunOutput,
        step: StepOutput,
        step_index: int,
        *,
        session_state: JsonDict | None = None,
        base_state: JsonDict | None = None,
        state_changes: Sequence[JsonDict] | None = None,
    ) -> None:
        with self._transaction(write=True) as connection:
            runs.add_step(
                connection,
                run,
                step,
                step_index,
                session_state=session_state,
                base_state=base_state,
                state_changes=state_changes,
            )

    def add_event(
        self,
        run: RunOutput,
        event: RunEvent,
        content: str,
        *,
        details: JsonDict | None = None,
        model: str | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        with self._transaction(write=True) as connection:
            events.add_event(connection, run, event, content, details=details, model=model, metrics=metrics)

    def get_usage(
        self,
        *,
        session_id: str | None = None,
        notebook: str | None = None,
        this_process: bool = False,
        since: float | None = None,
        exclude_run_ids: Sequence[str] = (),
    ) -> UsageTotals:
        with self._transaction(write=False) as connection:
            return events.get_usage(
                connection,
                session_id=session_id,
                notebook=notebook,
                this_process=this_process,
                since=since,
                exclude_run_ids=exclude_run_ids,
            )

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
        with self._transaction(write=False) as connection:
            return runs.get_runs(connection, session_id, from_run_index, to_run_index, limit)

    def get_run(self, run_id: str, session_id: str | None = None) -> RunOutput | None:
        check_ids(run_id=run_id, session_id=session_id)
        with self._transaction(write=False) as connection:
            return runs.get_run(connection, run_id, session_id)

    def get_child_runs(self, run_id: str) -> list[RunOutput]:
        check_ids(run_id=run_id)
        with self._transaction(write=False) as connection:
            return runs.get_child_runs(connection, run_id)

    def find_cached_run(self, context_hash: str) -> RunOutput | None:
        with self._transaction(write=False) as connection:
            return runs.find_cached_run(connection, context_hash)

    def get_cell_turns(self, session_id: str, cell_id: str) -> list[CellTurn]:
        with self._transaction(write=False) as connection:
            return runs.get_cell_turns(connection, session_id, cell_id)

    def get_messages(self, session_id: str, *, last_n_runs: int | None = None) -> list[Message]:
        check_ids(session_id=session_id)
        last_n_runs = whole_number("last_n_runs", last_n_runs)
        with self._transaction(write=False) as connection:
            return runs.get_messages(connection, session_id, last_n_runs)

    # Sessions.

    def check_owner(self, user_id: str | None, *, session_id: str | None = None, run_id: str | None = None) -> None:
        check_ids(session_id=session_id, run_id=run_id, user_id=user_id or None)
        if user_id is not None and (session_id is not None or run_id is not None):
            with self._transaction(write=False) as connection:
                sessions.check_owner(connection, user_id, session_id=session_id, run_id=run_id)

    def get_session(
        self, session_id: str, session_type: SessionType | str | None = None, user_id: str | None = None
    ) -> Session | None:
        check_ids(session_id=session_id, user_id=user_id or None)
        key = sessions.session_key(session_id, session_type, user_id)
        with self._transaction(write=False) as connection:
            return sessions.get_session(connection, key, self)

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
        kind = sessions.check_type(session_type)
        limit = whole_number("limit", limit)
        with self._transaction(write=False) as connection:
            return sessions.get_sessions(
                connection,
                self,
                non_null(session_type=kind, user_id=user_id, component_id=component_id),
                session_name=session_name,
                start_timestamp=start_timestamp,
                end_timestamp=end_timestamp,
                limit=limit,
                page=page,
                sort_by=sort_by,
                sort_order=sort_order,
            )

    def rename_session(
        self,
        session_id: str,
        session_type: SessionType | str | None = None,
        session_name: str | None = None,
        user_id: str | None = None,
    ) -> Session | None:
        check_ids(session_id=session_id, user_id=user_id or None)
        key = sessions.session_key(session_id, session_type, user_id)
        with self._transaction(write=True) as connection:
            return sessions.change_session(connection, self, key, {"session_name": session_name})

    def update_session_state(
        self,
        session_id: str,
        session_state: JsonDict,
        user_id: str | None = None,
        *,
        base_state: JsonDict | None = None,
    ) -> Session | None:
        check_ids(session_id=session_id, user_id=user_id or None)
        check_json_object(session_state, "session_state")
        key = non_null(session_id=session_id, user_id=user_id)
        with self._transaction(write=True) as connection:
            return sessions.change_state(connection, self, key, session_state, base_state)

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
            raise InvalidInputError("fork_session() got both to_run_index and at_run; pass one of them")
        key = non_null(session_id=session_id, user_id=user_id)
        with self._transaction(write=True, exclusive=True) as connection:
            if sessions.get_session(connection, key, self) is None:
                return None
            fork_id = fork.fork(connection, session_id, to_run_index=to_run_index, at_run=at_run, now=micros(now()))
            return sessions.get_session(connection, {"session_id": fork_id}, self)

    def get_session_metrics(self, session_id: str) -> Metrics:
        check_ids(session_id=session_id)
        with self._transaction(write=False) as connection:
            return sessions.get_session_metrics(connection, session_id)

    @explain_wrong_arguments("pass the session_id, as in delete_session('plans')")
    def delete_session(self, session_id: str, user_id: str | None = None) -> bool:
        check_ids(session_id=session_id, user_id=user_id or None)
        return bool(self._delete("session_id = ?", [session_id], user_id))

    def delete_sessions(self, session_ids: Iterable[str], user_id: str | None = None) -> None:
        if isinstance(session_ids, str):
            raise InvalidInputError(f"session_ids is {session_ids!r}; pass a list of IDs, or use delete_session()")
        # A pandas Series is a list of IDs, too.
        if ids := list(session_ids):
            for session_id in ids:
                check_ids(session_id=session_id)
            self._delete(f"session_id IN ({marks(ids)})", ids, user_id)

    @explain_wrong_arguments("pass a date, as in purge_sessions('2026-01-31')")
    def purge_sessions(self, before: str | date, user_id: str | None = None) -> int:
        return self._delete("updated_at < ?", [parse_time_us(before, "before")], user_id)

    def _delete(self, where: str, parameters: Sequence[Any], user_id: str | None) -> int:
        with self._transaction(write=True, exclusive=True) as connection:
            return maintenance.delete_sessions(connection, where, parameters, user_id)

    # Summaries and memories.

    def add_summary(self, summary: SessionSummary) -> SessionSummary:
        with self._transaction(write=True) as connection:
            return memories.add_summary(connection, summary)

    def get_summary(self, session_id: str, *, before_run_index: int | None = None) -> SessionSummary | None:
        check_ids(session_id=session_id)
        with self._transaction(write=False) as connection:
            return memories.latest_summary(connection, session_id, before_run_index)

    def get_summary_after(self, run: RunOutput) -> SessionSummary | None:
        with self._transaction(write=False) as connection:
            return memories.get_summary_after(connection, run)

    def upsert_user_memory(self, memory: UserMemory) -> UserMemory:
        if not memory.user_id:
            raise InvalidInputError(f"a memory has user_id {memory.user_id!r}; set the user that it is about")
        with self._transaction(write=True) as connection:
            return memories.upsert_user_memory(connection, memory)

    def get_user_memories(
        self,
        user_id: str | None = None,
        component_id: str | None = None,
        topics: Sequence[str] | None = None,
        search_content: str | None = None,
        limit: int | None = None,
        page: int | None = None,
    ) -> list[UserMemory]:
        key = non_null(user_id=user_id, component_id=component_id)
        with self._transaction(write=False) as connection:
            return memories.get_user_memories(
                connection, key, topics=topics, search_content=search_content, limit=limit, page=page
            )

    def update_user_memory(self, memory: UserMemory, *, expected_updated_at: float) -> UserMemory | None:
        with self._transaction(write=True) as connection:
            return memories.update_user_memory(connection, memory, expected_updated_at)

    def delete_user_memory(
        self, memory_id: str, user_id: str | None = None, *, expected_updated_at: float | None = None
    ) -> bool:
        key: Row = non_null(memory_id=memory_id, user_id=user_id)
        if expected_updated_at is not None:
            key["updated_at"] = micros(expected_updated_at)
        with self._transaction(write=True, exclusive=True) as connection:
            return memories.delete_memories(connection, key) > 0

    def clear_memories(self, user_id: str | None = None) -> None:
        with self._transaction(write=True, exclusive=True) as connection:
            memories.delete_memories(connection, non_null(user_id=user_id))

    # Maintenance.

    def verify(self) -> list[str]:
        with self._transaction(write=False) as connection:
            return list(integrity.find_problems(connection))

    def vacuum(self) -> None:
        self._driver.vacuum()

    def backup(self, path: str | Path) -> None:
        maintenance.backup(self._driver, path)

    def snapshot(self, path: str | Path) -> None:
        maintenance.snapshot(self._driver, path, identity=self.identity)

    def export_session(self, session_id: str, path: str | Path, user_id: str | None = None) -> None:
        check_ids(session_id=session_id, user_id=user_id or None)
        with self._transaction(write=False) as connection:
            tables = maintenance.session_tables(connection, session_id, user_id)
        maintenance.write_session(path, tables)

    def import_session(self, path: str | Path) -> Session:
        session_id, rows = maintenance.read_session(path)
        with self._transaction(write=True, exclusive=True) as connection:
            maintenance.insert_rows(connection, rows)
        session = self.get_session(session_id)
        if session is None:
            raise SessionNotFoundError(f"session {session_id!r} was deleted after it was imported")
        return session

    def export_parquet(self, folder: str | Path) -> None:
        maintenance.write_tables(folder, self._tables(tuple(schema.tables())))

    def import_parquet(self, folder: str | Path) -> int:
        rows = maintenance.read_tables(folder)
        with self._transaction(write=True, exclusive=True) as connection:
            maintenance.insert_rows(connection, rows)
        return len(rows.get("raw_sessions", []))

    # Frames and queries.

    def read_user_rows(self, names: Collection[str], user_id: str | None) -> Mapping[str, pa.Table]:
        tables = self._tables({*names, "raw_sessions"})
        return {name: filter_by_owner(user_id, name, tables) for name in names}

    def arrow(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        frames: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = TIMEOUT_S,
        max_rows: int | None = None,
    ) -> pa.Table:
        def read(columns_read: schema.ColumnsRead) -> dict[str, pa.Table]:
            return self._rows(columns_read, self._mark_interrupted()[1])

        values = [to_sql(value) for value in parameters]
        return sandbox.run(read, sql, values, frames or {}, timeout_s=timeout_s, max_rows=max_rows)

    def frame(self, sql: str, parameters: Sequence[Any] = (), *, pushdown: Pushdown | None = None) -> pa.Table:
        column_filter, unmarked = self._mark_interrupted(pushdown)
        values = [to_sql(value) for value in parameters]
        if unmarked:
            return sandbox.run(lambda columns_read: self._rows(columns_read, unmarked, column_filter), sql, values, {})
        return self._driver.frame(sql, values, column_filter)

    def _rows(
        self, columns_read: schema.ColumnsRead, unmarked: Collection[str], column_filter: ColumnFilter | None = None
    ) -> dict[str, pa.Table]:
        if unmarked and "raw_runs" in columns_read:
            columns_read = {**columns_read, "raw_runs": columns_read["raw_runs"] | {"run_id"}}
        return with_interrupted(self._driver.rows(columns_read, column_filter), unmarked, now=micros(time.time()))

    def _tables(self, names: Collection[str]) -> dict[str, pa.Table]:
        """Read whole tables, all at the same moment."""
        _, unmarked = self._mark_interrupted()
        return with_interrupted(self._driver.tables(names), unmarked, now=micros(time.time()))

    def _mark_interrupted(self, pushdown: Pushdown | None = None) -> tuple[ColumnFilter | None, list[str]]:
        """Set the time of interruption of RUNNING runs whose process has died, for the views; resolve `pushdown`.

        Return also the runs that could not be marked, because this user may only read the store.
        """
        running = "status = 'RUNNING' AND interrupted_at IS NULL"
        with self._transaction(write=False) as connection:
            rows = connection.execute(f"SELECT run_id, worker FROM raw_runs WHERE {running}")
            column_filter = pushdown.resolve(connection) if pushdown else None
        dead = [run_id for run_id, worker in rows if is_dead(worker)]
        if dead:
            sql = f"UPDATE raw_runs SET interrupted_at = ? WHERE {running} AND run_id IN ({marks(dead)})"
            try:
                with self._transaction(write=True, exclusive=True) as connection:
                    connection.execute(sql, [micros(time.time()), *dead])
            except StoreError:
                return column_filter, dead
        return column_filter, []
