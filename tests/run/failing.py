"""A store that fails on request, before or after a commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.session_cache import CacheUpdate
from agno_nb.db.statements import Transaction
from agno_nb.errors import StoreError


class FailingDb(InMemoryDb):
    """Fails at the writes with the given numbers, counted from 0."""

    def __init__(self, *fails_at: int, for_good: bool = False, after_commit: bool = False) -> None:
        super().__init__()
        self.fails_at, self.for_good, self.after_commit = fails_at, for_good, after_commit
        self.num_writes = 0
        self.num_failures = 0

    def fails_next(self, number: int) -> None:
        """Count the writes from 0 again, and fail at this one."""
        self.num_writes, self.fails_at = 0, (number,)

    def works_again(self) -> None:
        self.fails_at = ()

    def fails_from_now_on(self) -> None:
        self.fails_at, self.for_good = (self.num_writes,), True

    @contextmanager
    def _transaction(self, *, write: bool, exclusive: bool = False) -> Iterator[Transaction]:
        number = self.num_writes
        self.num_writes += write
        fails = write and (number in self.fails_at or (self.for_good and number >= min(self.fails_at, default=1 << 30)))
        if fails:
            self.num_failures += 1
        if fails and not self.after_commit:
            raise StoreError(f"write {number} failed")

        def fail_after_commit(update: CacheUpdate) -> None:
            raise StoreError(f"write {number} failed after it was committed")

        with super()._transaction(write=write, exclusive=exclusive) as connection:
            if fails:
                # The first of these calls, as if the driver had failed: the store does not know of the commit.
                connection.on_commit.append(fail_after_commit)
            yield connection
