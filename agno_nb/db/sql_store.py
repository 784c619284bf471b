"""A store behind a SQL driver.

Each method of the contract is a function of another module, called in a transaction. The statements only use SQL that
DuckDB, SQLite and Postgres have in common, with ``?`` for parameters.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from agno_nb._agno_parts import OF_STORES
from agno_nb._keywords import explain_wrong_arguments, suggest_in_methods
from agno_nb.db import (
    archive,
    history,
    maintenance,
    memories,
    model_usage,
    run_annotations,
    runs,
    sandbox,
    schema,
    sessions,
)
from agno_nb.db.arrow_tables import TimeZone, filter_by_owner, with_interrupted
from agno_nb.db.base import Db
from agno_nb.db.driver import Driver
from agno_nb.db.encoding import check_ids, micros, parse_time_us, to_sql
from agno_nb.db.frame_definitions import MEMORIES, Frame
from agno_nb.db.frame_reader import TIMEOUT_S
from agno_nb.db.group_commit import Group, Outcome, StoreCall, commit_together, current
from agno_nb.db.process_id import is_dead
from agno_nb.db.pushdown import ColumnFilter, Pushdown
from agno_nb.db.session_cache import CacheUpdate, SessionCache
from agno_nb.db.statements import Transaction, marks
from agno_nb.db.table_names import TableNames
from agno_nb.errors import InvalidInputError, StoreError
from agno_nb.types import JsonDict, Message, RunOutput, Session

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

P = ParamSpec("P")
T = TypeVar("T")

_USER_METHODS = (
    *(
        "get_session",
        "get_sessions",
        "upsert_session",
        "rename_session",
        "update_session_state",
        "fork_session",
        "delete_session",
    ),
    *("delete_run", "delete_runs", "delete_sessions", "get_runs", "get_run", "get_child_runs"),
    *("get_messages", "get_session_metrics", "get_usage"),
    *("add_annotations", "get_annotations", "delete_annotations"),
    *("get_summary", "get_user_memories", "upsert_user_memory", "update_user_memory", "delete_user_memory"),
    *("clear_memories", "purge_sessions", "backup", "snapshot", "export_session", "import_session", "export_parquet"),
    *("import_parquet", "upsert_sessions", "get_user_memory", "get_all_memory_topics", "get_user_memory_stats"),
    *("upsert_memories", "delete_user_memories"),
)
"""Methods that users call, unlike those that store a run."""


def _in_transaction(
    function: Callable[Concatenate[Transaction, P], T],
    *,
    write: bool = False,
    exclusive: bool = False,
    of_memories: bool = False,
) -> Callable[Concatenate[SqlDb, P], T]:
    """Return the method of :class:`Db` that is implemented by the function of the same name.

    Its signature and docstring are the contract's.
    """

    @functools.wraps(getattr(Db, function.__name__), updated=())
    def method(self: SqlDb, /, *args: P.args, **kwargs: P.kwargs) -> T:
        store = self._memory_store or self if of_memories else self
        with store._transaction(write=write, exclusive=exclusive) as connection:
            return function(connection, *args, **kwargs)

    return method


@suggest_in_methods(*_USER_METHODS, agno=OF_STORES)
class SqlDb(Db):
    """A store behind a SQL driver.

    Parameters
    ----------
    driver : Driver
    tables : TableNames
        The names that were chosen for the tables.
    memory_store : SqlDb, optional
        The store of the user memories, if it is another one.
    id : str, optional
        Identity of the store; derived from its address by default.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        tables: TableNames = TableNames(),  # noqa: B008  # It is frozen.
        memory_store: SqlDb | None = None,
        id: str | None = None,
    ) -> None:
        self._driver = driver
        self._tables = tables
        self._memory_store = memory_store
        self._id = id
        self._cache = SessionCache()

    @property
    def memory_store(self) -> SqlDb:
        return self._memory_store or self

    @property
    def _options(self) -> dict[str, Any]:
        """The arguments that all stores have."""
        return self._tables.options() | ({} if self._id is None else {"id": self._id})

    @contextmanager
    def _transaction(self, *, write: bool, exclusive: bool = False) -> Iterator[Transaction]:
        driver = self._driver
        if (group := current.group) is not None and group.driver is driver:
            transaction = Transaction(
                lambda: group,
                store=self,
                memory_store=self._memory_store,
                cache=self._cache,
                row_lock=driver.row_lock,
            )
            transaction.on_commit, transaction.on_rollback = group.on_commit, group.on_rollback
            transaction.missing_sessions = group.missing_sessions
            yield transaction
            return
        with ExitStack() as stack:
            opened = driver.exclusive_transaction() if exclusive else driver.transaction(write=write)
            transaction = Transaction(
                functools.partial(stack.enter_context, opened),
                store=self,
                memory_store=self._memory_store,
                cache=self._cache,
                row_lock=driver.row_lock,
            )
            yield transaction
        if transaction.on_commit:
            update = CacheUpdate(self._cache, transaction.data_version, transaction.next_data_version)
            update.run(transaction.on_commit)

    @property
    def is_uncontended(self) -> bool:
        return self._driver.is_uncontended

    @property
    def groups_commits(self) -> bool:
        return self._driver.groups_commits

    def commit_together(self, calls: Sequence[StoreCall]) -> list[Outcome]:
        def look_up(group: Group) -> None:
            opened = [call.args[0] for call in calls if call.method == self.open_run]
            session_ids = {run.session_id for run in opened} - self._cache.at(group.data_version).keys()
            group.missing_sessions |= sessions.missing_sessions(group, session_ids)

        # A method that was overridden may expect that the inherited one has committed. Other writes than those of a run
        # would have to be followed by the cache.
        is_common = self.groups_commits and all(getattr(call.method, "__func__", None) in _OF_RUNS for call in calls)
        if len(calls) == 1 or not is_common:
            return super().commit_together(calls)
        return commit_together(self._driver, self._cache, calls, look_up)

    def create(self) -> None:
        with self._transaction(write=True) as transaction:
            transaction.begin()

    def close(self) -> None:
        self._driver.close()
        if self._memory_store is not None:
            self._memory_store.close()

    # Runs.

    open_run = _in_transaction(runs.open_run, write=True)
    reopen_run = _in_transaction(runs.reopen_run, write=True)
    save_approvals = _in_transaction(runs.save_approvals, write=True)
    save_partial = _in_transaction(runs.save_partial, write=True)
    add_step = _in_transaction(runs.add_step, write=True)
    add_event = _in_transaction(memories.add_event, write=True)
    get_usage = _in_transaction(sessions.get_usage)
    get_runs = _in_transaction(history.get_runs)
    get_run = _in_transaction(history.get_run)
    get_child_runs = _in_transaction(history.get_child_runs)
    find_cached_run = _in_transaction(history.find_cached_run)
    get_cell_turns = _in_transaction(history.get_cell_turns)
    get_messages = _in_transaction(history.get_messages)

    def add_messages(self, run: RunOutput, messages: Sequence[Message]) -> None:
        if messages:
            with self._transaction(write=True) as connection:
                runs.add_messages(connection, run, messages)

    def end_run(
        self,
        run: RunOutput,
        messages: Sequence[Message] = (),
        *,
        session_state: JsonDict | None = None,
        base_state: JsonDict | None = None,
    ) -> None:
        # Before the transaction, so that the run has ended for this process even if its end cannot be stored.
        changes = runs.changes_at_end(self._cache, run)
        with self._transaction(write=True) as connection:
            runs.end_run(connection, run, changes, messages, session_state=session_state, base_state=base_state)

    # Sessions.

    get_session = _in_transaction(sessions.get_session)
    get_sessions = _in_transaction(sessions.get_sessions)
    get_session_metrics = _in_transaction(sessions.get_session_metrics)
    get_background_details = _in_transaction(model_usage.get_background_details)
    upsert_session = _in_transaction(sessions.upsert_session, write=True, exclusive=True)
    rename_session = _in_transaction(sessions.rename_session, write=True)
    update_session_state = _in_transaction(sessions.update_session_state, write=True)
    fork_session = _in_transaction(sessions.fork_session, write=True, exclusive=True)

    def check_owner(self, user_id: str | None, *, session_id: str | None = None, run_id: str | None = None) -> None:
        check_ids(session_id=session_id, run_id=run_id, user_id=user_id or None)
        if user_id is not None and (session_id is not None or run_id is not None):
            with self._transaction(write=False) as connection:
                sessions.check_owner(connection, user_id, session_id=session_id, run_id=run_id)

    @explain_wrong_arguments("pass the session_id, as in delete_session('plans')")
    def delete_session(self, session_id: str, user_id: str | None = None) -> bool:
        check_ids("session_id", session_id=session_id, user_id=user_id or None)
        return bool(self._delete("session_id = ?", [session_id], user_id))

    def delete_sessions(self, session_ids: Iterable[str], user_id: str | None = None) -> None:
        if isinstance(session_ids, str):
            raise InvalidInputError(f"session_ids is {session_ids!r}; pass a list of IDs, or use delete_session()")
        # A pandas Series is a list of IDs, too.
        if ids := list(session_ids):
            for session_id in ids:
                check_ids("session_id", session_id=session_id)
            self._delete(f"session_id IN ({marks(ids)})", ids, user_id)

    def delete_run(self, run_id: str, user_id: str | None = None) -> bool:
        check_ids("run_id", run_id=run_id, user_id=user_id or None)
        with self._transaction(write=True, exclusive=True) as connection:
            return bool(maintenance.delete_runs(connection, [run_id], user_id))

    def delete_runs(self, run_ids: Iterable[str], user_id: str | None = None) -> None:
        if isinstance(run_ids, str):
            raise InvalidInputError(f"run_ids is {run_ids!r}; pass a list of IDs, or use delete_run()")
        ids = list(run_ids)
        for run_id in ids:
            check_ids("run_id", run_id=run_id, user_id=user_id or None)
        with self._transaction(write=True, exclusive=True) as connection:
            maintenance.delete_runs(connection, ids, user_id)

    @explain_wrong_arguments("pass a date, as in purge_sessions('2026-01-31')")
    def purge_sessions(self, before: str | date, user_id: str | None = None) -> int:
        return self._delete("updated_at < ?", [parse_time_us(before, "before")], user_id)

    def _delete(self, where: str, parameters: Sequence[Any], user_id: str | None) -> int:
        with self._transaction(write=True, exclusive=True) as connection:
            return maintenance.delete_sessions(connection, where, parameters, user_id)

    # Annotations.

    add_annotations = _in_transaction(run_annotations.add_annotations, write=True)
    get_annotations = _in_transaction(run_annotations.get_annotations)
    delete_annotations = _in_transaction(run_annotations.delete_annotations, write=True)

    # Summaries and memories.

    add_summary = _in_transaction(memories.add_summary, write=True)
    get_summary = _in_transaction(memories.get_summary)
    get_summary_after = _in_transaction(memories.get_summary_after)
    upsert_user_memory = _in_transaction(memories.upsert_user_memory, write=True, of_memories=True)
    get_user_memories = _in_transaction(memories.get_user_memories, of_memories=True)
    update_user_memory = _in_transaction(memories.update_user_memory, write=True, of_memories=True)
    delete_user_memory = _in_transaction(memories.delete_user_memory, write=True, exclusive=True, of_memories=True)
    clear_memories = _in_transaction(memories.clear_memories, write=True, exclusive=True, of_memories=True)

    # Maintenance.

    verify = _in_transaction(maintenance.verify)

    def vacuum(self) -> None:
        self._driver.vacuum()
        if self._memory_store is not None:
            self._memory_store.vacuum()

    def backup(self, path: str | Path) -> None:
        archive.backup(self._driver, path, self._other_memories())

    def snapshot(self, path: str | Path) -> None:
        archive.snapshot(self._driver, path, self._other_memories(), identity=self.identity)

    def _other_memories(self) -> pa.Table | None:
        """Return the memories if they are in another store."""
        other = self._memory_store
        return None if other is None else other._driver.tables(["raw_memories"])["raw_memories"]

    def export_session(self, session_id: str, path: str | Path, user_id: str | None = None) -> None:
        check_ids("session_id", session_id=session_id, user_id=user_id or None)
        with self._transaction(write=False) as connection:
            tables = archive.session_tables(connection, session_id, user_id)
        archive.write_session(path, tables)

    def import_session(self, path: str | Path) -> Session:
        session_id, rows = archive.read_session(path)
        with self._transaction(write=True, exclusive=True) as connection:
            archive.insert_rows(connection, rows)
            session = sessions.get_session(connection, session_id)
        assert session is not None
        return session

    def export_parquet(self, folder: str | Path) -> None:
        archive.write_tables(folder, self._read_tables(tuple(schema.tables())))

    def import_parquet(self, folder: str | Path) -> int:
        rows = archive.read_tables(folder)
        memory_rows = rows.pop("raw_memories", []) if self._memory_store is not None else []
        with self._transaction(write=True, exclusive=True) as connection:
            archive.insert_rows(connection, rows)
            if memory_rows:
                with self.memory_store._transaction(write=True, exclusive=True) as other:
                    archive.insert_rows(other, {"raw_memories": memory_rows})
        return len(rows.get("raw_sessions", []))

    # Frames and queries.

    def read_user_rows(self, names: Collection[str], user_id: str | None) -> Mapping[str, pa.Table]:
        tables = self._read_tables({*names, "raw_sessions"})
        return {name: filter_by_owner(user_id, name, tables) for name in names}

    def arrow(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        frames: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = TIMEOUT_S,
        max_rows: int | None = None,
        max_memory: int | None = None,
    ) -> pa.Table:
        def read(columns_read: schema.ColumnsRead) -> dict[str, pa.Table]:
            return self._rows(columns_read, self._mark_interrupted()[1])

        values = [to_sql(value) for value in parameters]
        limits: dict[str, Any] = {"timeout_s": timeout_s, "max_rows": max_rows, "max_memory": max_memory}
        return sandbox.run(read, sql, values, frames or {}, **limits)

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
        rows = self._driver.rows(columns_read, column_filter)
        if self._memory_store is not None and (of_memories := columns_read.get("raw_memories")):
            # A store that doesn't exist has no tables.
            rows.pop("raw_memories", None)
            rows |= self._memory_store._driver.rows({"raw_memories": of_memories}, column_filter)
        return with_interrupted(rows, unmarked, now=micros(time.time()))

    def _read_tables(self, names: Collection[str]) -> dict[str, pa.Table]:
        """Read whole tables, all at the same moment, but for memories of another store."""
        _, unmarked = self._mark_interrupted()
        tables = self._driver.tables(names)
        if "raw_memories" in names and (other := self._other_memories()) is not None:
            tables["raw_memories"] = other
        return with_interrupted(tables, unmarked, now=micros(time.time()))

    def _read(self, frame: Frame, filters: Mapping[str, Any], tz: TimeZone) -> pd.DataFrame:
        if frame is MEMORIES and self._memory_store is not None:
            return self._memory_store._read(frame, filters, tz)
        return super()._read(frame, filters, tz)

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


_OF_RUNS = (SqlDb.open_run, SqlDb.add_messages, SqlDb.save_partial, SqlDb.add_step, SqlDb.add_event, SqlDb.end_run)
"""Methods whose transactions can be parts of a common one."""
