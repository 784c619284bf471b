"""A pool of open connections."""

from __future__ import annotations

import os
import weakref
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """An open connection."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class ConnectionPool(Generic[C]):
    """A pool of connections, each used by one thread at a time. At exit, and with the pool, they are closed.

    Parameters
    ----------
    max_size : int
        Maximum number of idle connections. Any number may be in use.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._idle: list[tuple[int, C]] = []
        weakref.finalize(self, _close, self._idle)

    def acquire(self) -> C | None:
        """Return the most recently released connection of this process, or None."""
        while True:
            try:
                pid, connection = self._idle.pop()
            except IndexError:
                return None
            if pid == os.getpid():
                return connection
            _inherited.append(connection)

    def release(self, connection: C) -> None:
        if len(self._idle) < self._max_size:
            self._idle.append((os.getpid(), connection))
        else:
            connection.close()

    def close(self) -> None:
        _close(self._idle)


_inherited: list[Closable] = []
"""Connections of the parent of a forked process. Closing them would release the locks of the parent."""


def _close(waiting: list[tuple[int, C]]) -> None:
    while waiting:
        pid, connection = waiting.pop()
        if pid == os.getpid():
            connection.close()
        else:
            _inherited.append(connection)
