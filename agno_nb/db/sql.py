"""The contract of :mod:`agno_nb.db.base` in portable SQL, over a small driver for each backend.

The statements keep to what DuckDB, SQLite and Postgres have in common, with ``?`` for parameters. Those of a turn read
and write a bounded number of rows, however long the session is.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

from agno_nb.db.base import NO_CONTEXT, ContextQuery, Db, OpenedRun
from agno_nb.db.rows import (
    RUN_COLUMNS,
    SESSION_COLUMNS,
    Row,
    choice,
    ended_run_row,
    micros,
    opened_run_row,
    run_from_row,
    session_from_row,
    session_metrics,
    session_row,
    storable,
    to_json,
)
from agno_nb.db.statements import (
    Connection,
    current_attempts,
    equal,
    execute,
    history,
    insert,
    insert_messages,
    marks,
    next_attempt,
    next_turn,
    select_messages,
    update,
)
from agno_nb.db.worker import is_dead, this_worker
from agno_nb.errors import InvalidInputError, SessionNotFoundError, SessionOwnershipError
from agno_nb.types import TOKEN_COUNTS, JsonDict, Message, Metrics, RunOutput, Session, SessionType

if TYPE_CHECKING:
    import pyarrow as pa

_SESSION = ", ".join(SESSION_COLUMNS)
_SORT_COLUMNS = ("updated_at", "created_at", "session_name", "session_id", "user_id")


class Driver(ABC):
    """What differs between backends. The schema is in place before a lease is given."""

    @abstractmethod
    def lease(self, *, write: bool) -> AbstractContextManager[Connection]:
        """Open a transaction, to be held briefly: never across a model call or a user's code.

        It is committed at the end of the block, and rolled back when an exception leaves it.
        """

    @abstractmethod
    def arrow(self, sql: str, parameters: Sequence[Any], frames: Mapping[str, Any]) -> pa.Table:
        """Do what :meth:`agno_nb.db.base.Db.arrow` says."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held open between leases."""


class SqlDb(Db):
    """A store behind a SQL driver."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def create(self) -> None:
        with self._driver.lease(write=True):
            pass

    def open_run(
        self,
        run: RunOutput,
        messages: Sequence[Message],
        *,
        session: Session,
        nested: bool = False,
        query: ContextQuery = NO_CONTEXT,
    ) -> OpenedRun:
        for name, value in (("session_id", run.session_id), ("user_id", run.user_id)):
            if value == "":
                raise InvalidInputError(f"{name} is empty; give a text, or leave it None")
        row = session_row(session, component_name=run.component_name, now=micros(time.time()))
        with self._driver.lease(write=True) as connection:
            stored = self._enter_session(connection, row | {"session_id": run.session_id, "user_id": run.user_id})
            if stored.user_id != storable(run.user_id):
                raise SessionOwnershipError(
                    f"session {run.session_id!r} belongs to user {stored.user_id!r}, and this run has "
                    f"{'no user_id' if run.user_id is None else f'user_id {run.user_id!r}'}; choose another session_id"
                )
            turn = next_turn(connection, run.session_id) if run.run_index is None else run.run_index
            if not nested:
                if stored.session_type != session.session_type:
                    raise InvalidInputError(
                        f"session {run.session_id!r} is the session of a {stored.session_type}, and cannot be one of "
                        f"a {session.session_type} too; choose another session_id"
                    )
                run.attempt = 0 if run.run_index is None else next_attempt(connection, run.session_id, turn)
                run.run_index = turn
            insert(connection, "raw_runs", [opened_run_row(run, worker=this_worker())])
            insert_messages(connection, run, messages, _places(messages, messages))
            said_before = history(connection, run.session_id, end=turn, query=query)
        return OpenedRun(session=stored, history=said_before)

    def _enter_session(self, connection: Connection, row: Row) -> Session:
        """Make the session of `row`, or claim the one that is there; return what is stored.

        One statement, and the first of its transaction: where writers overlap (Postgres) it also locks the session.
        """
        rows = insert(
            connection,
            "raw_sessions",
            [row],
            "ON CONFLICT (session_id) DO UPDATE SET user_id = COALESCE(raw_sessions.user_id, excluded.user_id), "
            f"updated_at = excluded.updated_at RETURNING {_SESSION}",
        )
        return session_from_row(rows[0], self)

    def add_messages(self, run: RunOutput, messages: Sequence[Message]) -> None:
        if not messages:
            return
        with self._driver.lease(write=True) as connection:
            if not execute(connection, "SELECT 1 FROM raw_runs WHERE run_id = ?", [run.run_id]):
                raise _run_is_gone(run)
            insert_messages(connection, run, messages, _places(run.messages, messages))

    def end_run(
        self, run: RunOutput, messages: Sequence[Message] = (), *, session_state: JsonDict | None = None
    ) -> None:
        session_changes: Row = {"updated_at": micros(time.time())}
        if session_state is not None:
            session_changes["session_state"] = to_json(session_state, "session_state")
        with self._driver.lease(write=True) as connection:
            if not update(connection, "raw_runs", ended_run_row(run), {"run_id": run.run_id}, returning="run_id"):
                raise _run_is_gone(run)
            insert_messages(connection, run, messages, _places(run.messages, messages))
            update(connection, "raw_sessions", session_changes, {"session_id": run.session_id}, returning="session_id")

    def get_session(
        self, session_id: str, session_type: SessionType | str | None = None, user_id: str | None = None
    ) -> Session | None:
        where, parameters = equal(_given(session_id=session_id, session_type=session_type, user_id=user_id))
        with self._driver.lease(write=False) as connection:
            rows = execute(connection, f"SELECT {_SESSION} FROM raw_sessions WHERE {where}", parameters)
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
        if (limit is not None and limit < 0) or (page is not None and (limit is None or page < 1)):
            raise InvalidInputError(f"limit is {limit!r} and page {page!r}; pages count from 1 and need a limit")
        where, parameters = equal(_given(session_type=session_type, user_id=user_id, component_id=component_id))
        if session_name is not None:
            pattern = "".join("\\" + letter if letter in "\\%_" else letter for letter in session_name)
            where += " AND LOWER(session_name) LIKE LOWER(?) ESCAPE '\\'"
            parameters.append(f"%{pattern}%")
        if start_timestamp is not None:
            where += " AND created_at >= ?"
            parameters.append(micros(start_timestamp))
        if end_timestamp is not None:
            # A session tells its times in whole seconds, so all of the last second is within the bound.
            where += " AND created_at < ?"
            parameters.append(micros(end_timestamp + 1))
        order = f"{column} {direction} NULLS LAST, session_id {direction}"
        sql = f"SELECT {_SESSION} FROM raw_sessions WHERE {where} ORDER BY {order}"
        if limit is not None:
            sql += " LIMIT ? OFFSET ?"
            parameters += [limit, limit * ((page or 1) - 1)]
        with self._driver.lease(write=False) as connection:
            rows = execute(connection, sql, parameters)
        return [session_from_row(row, self) for row in rows]

    def rename_session(
        self,
        session_id: str,
        session_type: SessionType | str | None = None,
        session_name: str | None = None,
        user_id: str | None = None,
    ) -> Session | None:
        changes = {"session_name": session_name, "updated_at": micros(time.time())}
        key = _given(session_id=session_id, session_type=session_type, user_id=user_id)
        with self._driver.lease(write=True) as connection:
            rows = update(connection, "raw_sessions", changes, key, returning=_SESSION)
        return session_from_row(rows[0], self) if rows else None

    def delete_session(self, session_id: str, user_id: str | None = None) -> bool:
        return bool(self._delete([session_id], user_id))

    def delete_sessions(self, session_ids: Sequence[str], user_id: str | None = None) -> None:
        self._delete(session_ids, user_id)

    def _delete(self, session_ids: Sequence[str], user_id: str | None) -> list[str]:
        if not session_ids:
            return []
        owned, parameters = equal(_given(user_id=user_id))
        sql = f"DELETE FROM raw_sessions WHERE session_id IN ({marks(session_ids)}) AND {owned} RETURNING session_id"
        with self._driver.lease(write=True) as connection:
            deleted = [session_id for (session_id,) in execute(connection, sql, [*session_ids, *parameters])]
            for table in ("raw_runs", "raw_messages", "raw_tool_calls") if deleted else ():
                execute(connection, f"DELETE FROM {table} WHERE session_id IN ({marks(deleted)})", deleted)
        return deleted

    def get_runs(self, session_id: str) -> list[RunOutput]:
        return self._runs({"session_id": session_id})

    def get_run(self, run_id: str, session_id: str | None = None) -> RunOutput | None:
        runs = self._runs(_given(run_id=run_id, session_id=session_id))
        return runs[0] if runs else None

    def _runs(self, key: Row) -> list[RunOutput]:
        where, parameters = equal(key)
        sql = f"SELECT {', '.join(RUN_COLUMNS)} FROM raw_runs WHERE {where} ORDER BY created_at, run_id"
        with self._driver.lease(write=False) as connection:
            rows = execute(connection, sql, parameters)
            if not rows:
                return []
            # Messages are found by their session; by their run alone, all of them would have to be looked at.
            session_id = dict(zip(RUN_COLUMNS, rows[0], strict=True))["session_id"]
            messages = select_messages(connection, *equal(key | {"session_id": session_id}))
        return [run_from_row(row, messages) for row in rows]

    def get_messages(self, session_id: str) -> list[Message]:
        with self._driver.lease(write=False) as connection:
            turns = current_attempts(connection, session_id, 0, next_turn(connection, session_id))
            messages = select_messages(connection, "session_id = ?", [session_id])
        return [message for run_id, _ in turns for message in messages.get(run_id, [])]

    def get_session_metrics(self, session_id: str) -> Metrics:
        sums = ", ".join(f"SUM({name})" for name in TOKEN_COUNTS)
        # A run without any answer of a model (a refused key, say) has no cost that could be unknown.
        answered = "SELECT run_id FROM raw_messages WHERE session_id = ? AND role = 'assistant' AND NOT from_history"
        sql = (
            f"SELECT {sums}, SUM(cost), SUM(CASE WHEN cost IS NULL AND run_id IN ({answered}) THEN 1 ELSE 0 END), "
            "SUM(duration_s) FROM raw_runs WHERE session_id = ?"
        )
        with self._driver.lease(write=False) as connection:
            return session_metrics(execute(connection, sql, [session_id, session_id])[0])

    def arrow(self, sql: str, parameters: Sequence[Any] = (), frames: Mapping[str, Any] | None = None) -> pa.Table:
        self._note_interrupted()
        return self._driver.arrow(sql, [storable(value) for value in parameters], frames or {})

    def _note_interrupted(self) -> None:
        """Stamp the running runs whose process has died, so that views can tell."""
        running = "status = 'RUNNING' AND interrupted_at IS NULL"
        with self._driver.lease(write=False) as connection:
            rows = execute(connection, f"SELECT run_id, worker FROM raw_runs WHERE {running}")
        dead = [run_id for run_id, worker in rows if is_dead(worker)]
        if dead:
            sql = f"UPDATE raw_runs SET interrupted_at = ? WHERE {running} AND run_id IN ({marks(dead)})"
            with self._driver.lease(write=True) as connection:
                execute(connection, sql, [micros(time.time()), *dead])

    def close(self) -> None:
        self._driver.close()


def _given(**arguments: Any) -> Row:
    """Return the arguments that were given; None stands for any."""
    if arguments.get("session_type") is not None:
        arguments["session_type"] = choice(SessionType, arguments["session_type"], "session_type")
    return {name: value for name, value in arguments.items() if value is not None}


def _run_is_gone(run: RunOutput) -> SessionNotFoundError:
    return SessionNotFoundError(
        f"session {run.session_id!r} was deleted while run {run.run_id!r} went on; what the run says cannot be stored"
    )


def _places(of_the_run: Sequence[Message], messages: Sequence[Message]) -> list[int]:
    """Return the place of each message among those of its run: the system message's is 0, so others begin at 1."""
    own = [message for message in of_the_run if not message.from_history]
    first = 0 if own and own[0].role == "system" else 1
    places = {message.message_id: place for place, message in enumerate(own, first)}
    return [places[message.message_id] for message in messages]
