"""Defer interrupts of the main thread while a store is between two states."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType


class DeferredInterrupts:
    """A block in which Ctrl-C and a kernel's interrupt are deferred until they are allowed, or until its end.

    Python raises them between any two steps of the main thread, even between taking a lock and recording that. Other
    threads are not interrupted, so this has no effect in them.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[int, FrameType | None]] = []
        self._handler = signal.getsignal(signal.SIGINT)
        # None is a handler that was not set from Python.
        self._is_needed = threading.current_thread() is threading.main_thread() and callable(self._handler)

    def __enter__(self) -> DeferredInterrupts:
        self.defer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def defer(self) -> None:
        if self._is_needed:
            signal.signal(signal.SIGINT, lambda number, frame: self._pending.append((number, frame)))

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Allow interrupts in this block."""
        self._restore()
        try:
            yield
        finally:
            self.defer()

    def deliver(self) -> None:
        """Raise a deferred interrupt, if there is one."""
        if self._pending and callable(self._handler):
            last = self._pending[-1]
            self._pending.clear()
            self._handler(*last)

    def _restore(self) -> None:
        if self._is_needed:
            signal.signal(signal.SIGINT, self._handler)
            self.deliver()
