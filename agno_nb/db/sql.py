"""The contract of :mod:`agno_nb.db.base` in portable SQL, over a small driver for each backend.

The statements keep to what DuckDB, SQLite and Postgres have in common, with ``?`` for parameters. Those of a turn read
and write a bounded number of rows, however long the session is.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from agno_nb.db import sandbox, schema
from agno_nb.db.base import NO_CONTEXT, ContextQuery, OpenedRun
from agno_nb.db.cells import SqlCells
from agno_nb.db.context import (
    current_attempts,
    history,
    keep_order,
    latest_summary,
    memories_of,
    nested_before,
    next_attempt,
    turns_before,
)
from agno_nb.db.driver import Driver
from agno_nb.db.encoding import Row, choice, micros, storable, timestamp_micros
from agno_nb.db.events import SqlEvents
from agno_nb.db.fork import fork
from agno_nb.db.memories import given
from agno_nb.db.parts import MOST_VALUES, Chosen, Part
from agno_nb.db.readable import TIMEOUT_S
from agno_nb.db.reopen import reopen, store_answers
from agno_nb.db.rows import (
    SESSION_COLUMNS,
    ended_run_row,
    opened_run_row,
    session_from_row,
    session_metrics,
    session_row,
)
from agno_nb.db.runs import select_runs
from agno_nb.db.state import store_state, turn_back
from agno_nb.db.statements import (
    Transaction,
    equal,
    insert_messages,
    marks,
    page_of,
    select_messages,
)
from agno_nb.db.steps import SqlSteps
from agno_nb.db.upkeep import SqlUpkeep
from agno_nb.db.variables import variable_rows
from agno_nb.db.worker import is_dead, this_worker
from agno_nb.errors import InvalidInputError, SessionNotFoundError, SessionOwnershipError
from agno_nb.types import TOKEN_COUNTS, JsonDict, Message, Metrics, RunOutput, Session, SessionType

if TYPE_CHECKING:
    import pyarrow as pa

_SESSION = ", ".join(SESSION_COLUMNS)
_SORT_COLUMNS = ("updated_at", "created_at", "session_name", "session_id", "user_id")


class SqlDb(SqlUpkeep, SqlSteps, SqlEvents, SqlCells):
    """A store behind a SQL driver."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._begun: dict[str, Row] = {}
        """What is stored of the runs that this object began and has not ended: what an end need not write again."""

    @contextmanager
    def _transaction(self, *, write: bool, alone: bool = False) -> Iterator[Transaction]:
        with self._driver.lease_alone() if alone else self._driver.lease(write=write) as connection:
            yield Transaction(connection)

    def create(self) -> None:
        with self._transaction(write=True):
            pass

    def open_run(
        self,
        run: RunOutput,
        messages: Sequence[Message],
        *,
        session: Session,
        nested: bool = False,
        goes_on_from: str | None = None,
        query: ContextQuery = NO_CONTEXT,
    ) -> OpenedRun:
        for name, value in (("session_id", run.session_id), ("user_id", run.user_id)):
            if value == "":
                raise InvalidInputError(f"{name} is empty; give a text, or leave it None")
        with self._transaction(write=True) as connection:
            stored = self._enter_session(connection, run, session)
            if stored.user_id != storable(run.user_id):
                raise SessionOwnershipError(
                    f"session {run.session_id!r} belongs to user {stored.user_id!r}, and this run has "
                    f"{'no user_id' if run.user_id is None else f'user_id {run.user_id!r}'}; choose another session_id"
                )
            turn: int | None = None
            num_superseded = 0
            if nested:
                turns = nested_before(connection, run, query)
            else:
                turn, turns, num_superseded = turns_before(connection, run.session_id, run.run_index, query)
            said_before = history(connection, run.session_id, turns, query)
            opened = OpenedRun(session=stored, history=said_before, turns=turns, num_superseded=num_superseded)
            if query.summary:
                shown = {message.run_id for message in said_before}
                first_shown = next((index for index, run_id in turns if run_id in shown), turn)
                opened.summary = latest_summary(connection, run.session_id, first_shown)
            if query.memories and run.user_id is not None:
                opened.memories = memories_of(connection, "user_id = ?", [run.user_id])
            if turn is not None:
                if stored.session_type != session.session_type:
                    raise InvalidInputError(
                        f"session {run.session_id!r} is the session of a {stored.session_type}, and cannot be one of "
                        f"a {session.session_type} too; choose another session_id"
                    )
                run.attempt = 0 if run.run_index is None else next_attempt(connection, run.session_id, turn)
                if run.run_index is not None:
                    keep_order(connection, run.session_id)
                    turn_back(connection, stored, run, goes_on_from)
                run.run_index = turn
            connection.insert("raw_runs", [opened_run_row(run, worker=this_worker())])
            connection.insert("raw_variables", variable_rows(run))
            insert_messages(connection, run, messages, _places(messages, messages))
        self._begun[run.run_id] = ended_run_row(run)
        return opened

    def reopen_run(self, run: RunOutput, *, query: ContextQuery = NO_CONTEXT) -> OpenedRun:
        with self._transaction(write=True) as connection:
            return reopen(connection, run, query, self)

    def store_answers(self, run: RunOutput) -> None:
        with self._transaction(write=True) as connection:
            store_answers(connection, run)

    def _enter_session(self, connection: Transaction, run: RunOutput, session: Session) -> Session:
        """Make the session, or claim the one that is there; return what is stored.

        The first statement of its transaction: where writers overlap (Postgres) it also locks the session.
        """
        key = {"session_id": run.session_id}
        stored = self._session(connection, key, lock=self._driver.row_lock)
        if stored is None:
            row = session_row(session, component_name=run.component_name, now=micros(time.time()))
            connection.insert(
                "raw_sessions",
                [row | key | {"user_id": run.user_id}],
                "ON CONFLICT (session_id) DO UPDATE SET updated_at = excluded.updated_at",
            )
            stored = self._session(connection, key)
            assert stored is not None
        if stored.user_id is None and run.user_id is not None:
            connection.update("raw_sessions", {"user_id": run.user_id}, key)
            stored.user_id = storable(run.user_id)
        return stored

    def add_messages(self, run: RunOutput, messages: Sequence[Message]) -> None:
        if not messages:
            return
        with self._transaction(write=True) as connection:
            if not connection.execute("SELECT 1 FROM raw_runs WHERE run_id = ?", [run.run_id]):
                raise _run_is_gone(run)
            insert_messages(connection, run, messages, _places(run.messages, messages))

    def end_run(
        self,
        run: RunOutput,
        messages: Sequence[Message] = (),
        *,
        session_state: JsonDict | None = None,
        began_with: JsonDict | None = None,
    ) -> None:
        stored = self._begun.pop(run.run_id, None)
        ended = ended_run_row(run)
        if stored is not None:
            # DuckDB writes an update column by column, and a run leaves most of them as they were.
            ended = {name: value for name, value in ended.items() if name == "status" or value != stored[name]}
        with self._transaction(write=True) as connection:
            # The session first, as in every transaction that changes it: two that wait for each other would not end.
            store_state(connection, run.session_id, session_state, began_with)
            if not connection.update("raw_runs", ended, {"run_id": run.run_id}):
                raise _run_is_gone(run)
            insert_messages(connection, run, messages, _places(run.messages, messages))

    def get_session(
        self, session_id: str, session_type: SessionType | str | None = None, user_id: str | None = None
    ) -> Session | None:
        with self._transaction(write=False) as connection:
            key = given(session_id=session_id, session_type=_of_type(session_type), user_id=user_id)
            return self._session(connection, key)

    def _session(self, connection: Transaction, key: Row, *, lock: str = "") -> Session | None:
        where, parameters = equal(key)
        rows = connection.execute(f"SELECT {_SESSION} FROM raw_sessions WHERE {where} {lock}", parameters)
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
        start, _ = page_of(limit, page)
        where, parameters = equal(
            given(session_type=_of_type(session_type), user_id=user_id, component_id=component_id)
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
            if limit is not None and limit <= MOST_VALUES:
                # Found by little of each, so that the states of others are not carried along.
                sql = f"SELECT session_id FROM raw_sessions WHERE {where} {order} LIMIT ? OFFSET ?"
                parameters = [row[0] for row in connection.execute(sql, [*parameters, limit, start])]
                where, limit = f"session_id IN ({marks(parameters) or 'NULL'})", None
            if limit is not None:
                order += " LIMIT ? OFFSET ?"
                parameters += [limit, start]
            rows = connection.execute(f"SELECT {_SESSION} FROM raw_sessions WHERE {where} {order}", parameters)
        return [session_from_row(row, self) for row in rows]

    def rename_session(
        self,
        session_id: str,
        session_type: SessionType | str | None = None,
        session_name: str | None = None,
        user_id: str | None = None,
    ) -> Session | None:
        key = given(session_id=session_id, session_type=_of_type(session_type), user_id=user_id)
        return self._change_session({"session_name": session_name}, key)

    def update_session_state(
        self, session_id: str, session_state: JsonDict, user_id: str | None = None
    ) -> Session | None:
        return self._change_session({"session_state": session_state}, given(session_id=session_id, user_id=user_id))

    def _change_session(self, changes: Row, key: Row) -> Session | None:
        with self._transaction(write=True) as connection:
            if not connection.update("raw_sessions", changes | {"updated_at": micros(time.time())}, key):
                return None
            return self._session(connection, key)

    def fork_session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        to_run_index: int | None = None,
        at_run: str | None = None,
    ) -> Session | None:
        if to_run_index is not None and at_run is not None:
            raise InvalidInputError("say where to fork by to_run_index or by at_run, not by both")
        with self._transaction(write=True, alone=True) as connection:
            if self._session(connection, given(session_id=session_id, user_id=user_id)) is None:
                return None
            fork_id = fork(connection, session_id, to_run_index=to_run_index, at_run=at_run, now=micros(time.time()))
            return self._session(connection, {"session_id": fork_id})

    def get_runs(
        self, session_id: str, *, from_run_index: int | None = None, limit: int | None = None
    ) -> list[RunOutput]:
        page_of(limit, None)
        where = "session_id = ?"
        parameters: list[str | int] = [session_id]
        if from_run_index is not None:
            where += " AND run_index >= ?"
            parameters.append(from_run_index)
        with self._transaction(write=False) as connection:
            return select_runs(connection, where, parameters, limit=limit)

    def get_run(self, run_id: str, session_id: str | None = None) -> RunOutput | None:
        # With the runs of its turn, so that it has those nested in it.
        where, parameters = equal(given(run_id=run_id, session_id=session_id))
        with self._transaction(write=False) as connection:
            turn = connection.execute(f"SELECT session_id, root_run_id FROM raw_runs WHERE {where}", parameters)
            runs = select_runs(connection, "session_id = ? AND root_run_id = ?", turn[0]) if turn else []
        return next((run for run in runs if run.run_id == run_id), None)

    def get_runs_begun_by(self, run_id: str) -> list[RunOutput]:
        sql = "SELECT run_id, session_id FROM raw_runs WHERE parent_run_id = ? ORDER BY created_at, run_id"
        with self._transaction(write=False) as connection:
            begun = connection.execute(sql, [run_id])
        return [run for ids in begun if (run := self.get_run(*ids)) is not None]

    def get_messages(self, session_id: str, *, last_n_runs: int | None = None) -> list[Message]:
        where, parameters = "session_id = ?", [session_id]
        with self._transaction(write=False) as connection:
            turns = current_attempts(connection, session_id, last=last_n_runs)
            run_ids = [run_id for run_id, _ in turns.values()]
            if last_n_runs is not None and len(run_ids) <= MOST_VALUES:
                where += f" AND run_id IN ({marks(run_ids) or 'NULL'})"
                parameters += run_ids
            messages = select_messages(connection, where, parameters)
        return [message for run_id in run_ids for message in messages.get(run_id, [])]

    def get_session_metrics(self, session_id: str) -> Metrics:
        sums = ", ".join(f"SUM({name})" for name in TOKEN_COUNTS)
        # A run without any answer of a model (a refused key, say) has no cost that could be unknown.
        answered = "SELECT run_id FROM raw_messages WHERE session_id = ? AND role = 'assistant' AND NOT from_history"
        sql = (
            f"SELECT {sums}, SUM(cost), SUM(CASE WHEN cost IS NULL AND kind <> 'workflow' "
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
        values = [storable(value) for value in parameters]
        return sandbox.run(self._rows, sql, values, frames or {}, timeout_s=timeout_s, max_rows=max_rows)

    def frame(self, sql: str, parameters: Sequence[Any] = (), *, chosen: Chosen | None = None) -> pa.Table:
        part = self._note_interrupted(chosen)
        return self._driver.frame(sql, [storable(value) for value in parameters], part)

    def _rows(self, needs: schema.Needs) -> dict[str, pa.Table]:
        self._note_interrupted()
        return self._driver.rows(needs)

    def _tables(self, names: Collection[str]) -> dict[str, pa.Table]:
        self._note_interrupted()
        return self._driver.tables(names)

    def _note_interrupted(self, chosen: Chosen | None = None) -> Part | None:
        """Stamp the running runs whose process has died, so that views can tell; find what was chosen."""
        running = "status = 'RUNNING' AND interrupted_at IS NULL"
        with self._transaction(write=False) as connection:
            rows = connection.execute(f"SELECT run_id, worker FROM raw_runs WHERE {running}")
            part = chosen.part(connection) if chosen else None
        dead = [run_id for run_id, worker in rows if is_dead(worker)]
        if dead:
            sql = f"UPDATE raw_runs SET interrupted_at = ? WHERE {running} AND run_id IN ({marks(dead)})"
            with self._transaction(write=True, alone=True) as connection:
                connection.execute(sql, [micros(time.time()), *dead])
        return part

    def close(self) -> None:
        self._driver.close()


def _of_type(session_type: str | None) -> SessionType | None:
    return None if session_type is None else choice(SessionType, session_type, "session_type")


def _run_is_gone(run: RunOutput) -> SessionNotFoundError:
    return SessionNotFoundError(
        f"session {run.session_id!r} was deleted while run {run.run_id!r} went on; what the run says cannot be stored"
    )


def _places(of_the_run: Sequence[Message], messages: Sequence[Message]) -> list[int]:
    """Return the place of each message in its run.

    The system message's is 0, so others begin at 1. Copies of earlier messages come before all of them.
    """
    own = [message for message in of_the_run if not message.from_history]
    copies = [message for message in messages if message.from_history]
    places = {message.message_id: place for place, message in enumerate(copies, -len(copies))}
    first = 0 if own and own[0].role == "system" else 1
    places |= {message.message_id: place for place, message in enumerate(own, first)}
    return [places[message.message_id] for message in messages]
