"""Group commit: the writes of several runs in one transaction.

A commit is a write to the disk, and planning a statement takes a database longer than writing a few rows with it. Calls
that wait at the same time share both. The caller acknowledges each of them after the common commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agno_nb.db.session_cache import CacheUpdate, SessionCache
from agno_nb.db.statements import Connection, Write
from agno_nb.errors import AgnoNbError

if TYPE_CHECKING:
    from agno_nb.db.driver import Driver


@dataclass(frozen=True, slots=True)
class StoreCall:
    """A call of a method of a store, to be made later."""

    method: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def outcome(self) -> Outcome:
        """Make the call. An interrupt is raised."""
        try:
            return Outcome(self.method(*self.args, **self.kwargs))
        except Exception as error:
            return Outcome(error=error)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call returned or raised."""

    value: Any = None
    error: BaseException | None = None


class Group(Connection):
    """The common transaction, in which each call has a transaction of its own."""

    def __init__(self, driver: Driver, connection: Connection) -> None:
        self.driver, self._connection = driver, connection
        self.data_version, self.next_data_version = connection.data_version, connection.next_data_version
        self.missing_sessions: set[str] = set()
        """IDs of sessions that were looked up for the calls, don't exist, and have not been created since."""
        self.on_commit: list[Callable[[CacheUpdate], None]] = []
        self.on_rollback: list[Callable[[], None]] = []
        self._has_written = False

    def outcomes(self, calls: Sequence[StoreCall]) -> list[Outcome]:
        """Make all calls; raise an error if the transaction can no longer be committed."""
        current.group = self
        try:
            outcomes = [self._outcome(call) for call in calls]
            self._connection.flush()
            return outcomes
        finally:
            current.group = None

    def _outcome(self, call: StoreCall) -> Outcome:
        self._has_written = False
        outcome = call.outcome()
        # A rejected call, for example of another user's session, that has written nothing leaves the others alone.
        if outcome.error is not None and (self._has_written or not isinstance(outcome.error, AgnoNbError)):
            raise outcome.error
        return outcome

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        self._has_written |= not sql.startswith("SELECT")
        return self._connection.execute(sql, parameters)

    def change(self, sql: str, parameters: Sequence[Any], /) -> int:
        self._has_written = True
        return self._connection.change(sql, parameters)

    def write(self, write: Write, /) -> None:
        self._has_written = True
        self._connection.write(write)


class _Current(threading.local):
    group: Group | None = None
    """The group whose calls the thread is making."""


current = _Current()


def commit_together(
    driver: Driver, cache: SessionCache, calls: Sequence[StoreCall], prepare: Callable[[Group], None]
) -> list[Outcome]:
    """Make calls in one transaction, after `prepare`; return what each returned or raised.

    If the transaction fails, each call is made again in its own, so that one that cannot be stored fails alone. This is
    not done after a failed commit, because the data may have been stored.
    """
    group: Group | None = None
    outcomes: list[Outcome] = []
    try:
        with driver.transaction(write=True) as connection:
            group = Group(driver, connection)
            prepare(group)
            outcomes = group.outcomes(calls)
        CacheUpdate(cache, group.data_version, group.next_data_version).run(group.on_commit)
    except BaseException as error:
        for undo in group.on_rollback if group is not None else ():
            undo()
        if not isinstance(error, Exception):
            raise
        if group is None or outcomes:
            return failures(error, len(calls))
        return [call.outcome() for call in calls]
    return outcomes


def failures(error: BaseException, count: int) -> list[Outcome]:
    """Return the outcomes of calls that failed together. Each run adds its own attributes and traceback to its copy."""
    copies = [copy(error) for _ in range(count)]
    for each in copies:
        each.__cause__ = error.__cause__
    return [Outcome(error=each) for each in copies]
