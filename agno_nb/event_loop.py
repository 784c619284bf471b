"""The background event loop of the process, with its sync and async bridges.

All model I/O happens on the event loop of one daemon thread, because nothing else works everywhere: a kernel already
has a running loop, a cell magic cannot be async, and an ``AsyncOpenAI`` must not move between loops. Sync callers block
on it, async callers await it from any loop, and events arrive on the caller's thread.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import concurrent.futures.thread  # Registers its exit handler before ours, so that ours is called first.
import contextlib
import contextvars
import os
import queue
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar, cast

from agno_nb.errors import InvalidInputError, RunError

T = TypeVar("T")
E = TypeVar("E")
P = ParamSpec("P")

_POLL_S = 0.1
"""Seconds between wake-ups of a waiting caller. Windows delivers Ctrl-C, and ipykernel interrupts async cells, only at
such a wake-up."""
_CLEANUP_S = 5.0
"""Seconds that an interrupted caller waits until the run is stored. A second interrupt ends the wait."""

_start_lock = threading.Lock()
_background: tuple[int, asyncio.AbstractEventLoop] | None = None


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the loop, and start it if this process has none. A forked child starts its own."""
    global _background
    with _start_lock:
        if _background is None or _background[0] != os.getpid():
            loop = start_loop("agno_nb")
            before_thread_pools_end(finish_jobs)
            _background = os.getpid(), loop
        return _background[1]


def start_loop(name: str) -> asyncio.AbstractEventLoop:
    """Start an event loop in a daemon thread with this name, which stops when the interpreter exits."""
    loop = asyncio.new_event_loop()
    if (3, 12) <= sys.version_info[:3] < (3, 12, 3):
        loop.set_default_executor(_started_pool(min(32, (os.cpu_count() or 1) + 4)))
    thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
    thread.start()
    atexit.register(_stop, os.getpid(), loop, thread)
    return loop


def _started_pool(num_threads: int) -> ThreadPoolExecutor:
    """Return a thread pool whose threads are already started.

    Python 3.12.0 to 3.12.2 cannot start threads during interpreter shutdown, when the pool is still needed
    (https://github.com/python/cpython/issues/113964). Other versions don't use it: with many waiting threads, each task
    runs on another one, whose data is not in the CPU's caches.
    """
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="agno_nb")
    barrier = threading.Barrier(num_threads + 1)
    for _ in range(num_threads):
        pool.submit(barrier.wait)
    barrier.wait()
    return pool


def _stop(pid: int, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """Stop the thread before the interpreter exits: killing it inside a C++ library would abort the process."""
    if pid == os.getpid():
        loop.call_soon_threadsafe(loop.stop)
        thread.join(1.0)


def before_thread_pools_end(work: Callable[[], None]) -> None:
    """Call `work` at interpreter exit while thread pools still accept work, which stores and requests need."""
    # The fallback, atexit, runs its handlers after threading's, when it is too late for most work.
    register = getattr(threading, "_register_atexit", atexit.register)
    with suppress(RuntimeError):  # The interpreter is already shutting down.
        register(work)


def finish_jobs() -> None:
    """Wait at the end of the main thread for the jobs that other threads wait for.

    Python waits for these threads too, but shuts down the thread pools first, so that runs could not be stored. An
    interrupt cancels the jobs, which store themselves as cancelled.
    """
    waited_for = [job for job in list(_under_way) if not job.owner.daemon and job.owner is not threading.main_thread()]
    try:
        for job in waited_for:
            while job.owner.is_alive() and not job.outcome.done():
                concurrent.futures.wait([job.outcome], timeout=_POLL_S)
    except KeyboardInterrupt:
        for job in waited_for:
            job.cancel()
        concurrent.futures.wait([job.outcome for job in waited_for], timeout=_CLEANUP_S)


def is_on_loop() -> bool:
    """Whether the calling code runs on the background loop."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return False
    return _background is not None and running is _background[1]


class Job(Generic[T]):
    """A coroutine running on the background loop, or another `loop`, with the caller's context variables.

    `on_done` is called on the loop when the coroutine has ended, even with an error.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, T],
        on_done: Callable[[], None] = lambda: None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        self.owner = threading.current_thread()
        self._loop = loop or background_loop()
        self._task: asyncio.Task[T] | None = None

        def finish(task: asyncio.Task[T]) -> None:
            _under_way.discard(self)
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if isinstance(error, GeneratorExit):
                # Raised by a user's future, it has closed the coroutine without raising in it.
                error = RunError("the run failed: GeneratorExit")
            if error is not None:
                self.outcome.set_exception(error)
            else:
                self.outcome.set_result(task.result())
            on_done()

        def start() -> None:
            self._task = self._loop.create_task(coroutine)
            self._task.add_done_callback(finish)

        _under_way.add(self)
        # call_soon_threadsafe runs `start`, and so the task, in a copy of the calling thread's context.
        self._loop.call_soon_threadsafe(start)

    def cancel(self) -> None:
        """Cancel the coroutine, which may still store its results."""
        self._loop.call_soon_threadsafe(lambda: self._task.cancel() if self._task else None)

    def wait(self) -> T:
        """Block until the coroutine has ended. An interrupt cancels it, waits for its cleanup, and is raised again."""
        try:
            while not self.outcome.done():
                concurrent.futures.wait([self.outcome], timeout=_POLL_S)
        except BaseException:
            self.cancel_and_wait()
            raise
        return self.outcome.result()

    def cancel_and_wait(self) -> None:
        """Cancel, and block until the coroutine has cleaned up, for at most `_CLEANUP_S`."""
        self.cancel()
        concurrent.futures.wait([self.outcome], timeout=_CLEANUP_S)

    async def wait_async(self) -> T:
        """Await the end from any loop. Cancelling the awaiting task cancels the coroutine and waits for its cleanup."""
        wrapped = asyncio.wrap_future(self.outcome)
        try:
            with _woken_up():
                await asyncio.wait({wrapped})
        except asyncio.CancelledError:
            self.cancel()
            await asyncio.wait({wrapped}, timeout=_CLEANUP_S)
            if wrapped.done() and not wrapped.cancelled():
                wrapped.exception()  # Retrieved, so that asyncio does not report it as lost.
            raise
        return wrapped.result()


_under_way: set[Job[Any]] = set()


@contextmanager
def _woken_up() -> Iterator[None]:
    """Wake the running loop up from time to time; all that wait on it share one timer."""
    loop = asyncio.get_running_loop()
    if loop in _timers:
        _timers[loop].num_waiting += 1
    else:
        _timers[loop] = _Timer(loop)
    try:
        yield
    finally:
        timer = _timers[loop]
        timer.num_waiting -= 1
        if not timer.num_waiting:
            timer.handle.cancel()
            del _timers[loop]


class _Timer:
    """The wake-ups of a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.num_waiting = 1
        self._loop = loop
        self._set()

    def _set(self) -> None:
        self.handle = self._loop.call_later(_POLL_S, self._set)


_timers: dict[asyncio.AbstractEventLoop, _Timer] = {}


def refuse_on_loop(method: str, instead: str) -> None:
    """Raise if a blocking `method` is used on the background loop, where it would deadlock."""
    if is_on_loop():
        raise InvalidInputError(
            f"{method} would block agno_nb's event loop, which runs this code (for example an async tool); "
            f"use `await {instead}`"
        )


def run_blocking(coroutine: Coroutine[Any, Any, T], *, method: str = "run()", instead: str | None = None) -> T:
    """Run a coroutine on the background loop and block until it has ended.

    For errors, `method` is the called method, and `instead` its async version, which by default has the prefix ``a``.
    """
    try:
        refuse_on_loop(method, instead or f"a{method}")
    except InvalidInputError:
        coroutine.close()
        raise
    return Job(coroutine).wait()


async def run_awaiting(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and await its end, from any loop."""
    if is_on_loop():
        return await coroutine
    return await Job(coroutine).wait_async()


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a user's function in a new thread, with the current context variables.

    Unlike with :func:`asyncio.to_thread`, the thread is a daemon outside any pool: a tool that never returns blocks
    neither the interpreter's exit nor other tools. Cancelling stops the waiting, not the thread.
    """
    loop = asyncio.get_running_loop()
    # An error is passed as a value: a GeneratorExit from a future would close the coroutine that awaits it.
    future: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def settle(outcome: tuple[T | None, BaseException | None]) -> None:
        if not future.done():
            future.set_result(outcome)

    def work() -> None:
        result, failure = None, None
        try:
            result = context.run(function, *args, **kwargs)
        except BaseException as error:
            failure = error
            if isinstance(error, StopIteration):  # A coroutine cannot raise it: PEP 479.
                failure = RuntimeError(f"{function!r} raised StopIteration")
        loop.call_soon_threadsafe(settle, (result, failure))

    threading.Thread(target=work, name=f"agno_nb-{getattr(function, '__name__', 'call')}", daemon=True).start()
    result, failure = await future
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # Its traceback refers to this frame, which would be a reference cycle.
    return cast("T", result)


async def in_own_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run the user's async code in a thread with an event loop of its own, where it can also call blocking methods."""
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []
    is_cancelled = False

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None
        started.append((asyncio.get_running_loop(), task))
        if is_cancelled:  # Before the loop was there to be told.
            raise asyncio.CancelledError
        return await work()

    try:
        return await in_thread(lambda: asyncio.run(main()))
    except asyncio.CancelledError:
        is_cancelled = True
        for loop, task in started:
            with contextlib.suppress(RuntimeError):  # The loop is closed.
                loop.call_soon_threadsafe(task.cancel)
        raise


def is_closing(error: BaseException) -> bool:
    """Whether `error` was raised because the coroutine that caught it is being closed. It must not await anything.

    A GeneratorExit that closes a coroutine is raised in the coroutine's own frame. If a called or awaited function
    raised it, the traceback has the frames of that function too.
    """
    return isinstance(error, GeneratorExit) and (error.__traceback__ is None or error.__traceback__.tb_next is None)


def loop_is_idle() -> bool:
    """Whether the running loop, which is the background loop, has no task other than the current one."""
    # The number of jobs comes first, because asyncio looks through the tasks of all loops.
    return len(_under_way) <= 1 and len(asyncio.all_tasks()) == 1


async def run_together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> tuple[list[T], list[BaseException]]:
    """Run coroutines concurrently, each to its end. Return their results, or the errors if any of them failed.

    The CancelledError of a coroutine that was not cancelled from here is raised if no other one failed.
    """
    failures: list[BaseException] = []

    async def run_one(coroutine: Coroutine[Any, Any, T]) -> T | None:
        try:
            return await coroutine
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            failures.append(error)
            return None

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run_one(coroutine)) for coroutine in coroutines]
    return [] if failures else [cast("T", task.result()) for task in tasks], failures


async def uncancellable(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine to its end even if the task is cancelled, which then takes effect at the next ``await``."""
    outer = asyncio.current_task()
    inner = asyncio.ensure_future(coroutine)
    cancelled = False
    while not inner.done():
        try:
            await asyncio.wait({inner})
        except asyncio.CancelledError:
            cancelled = True
            if outer is not None:
                outer.uncancel()
    if cancelled and outer is not None:
        outer.cancel()
    return inner.result()


_END: Any = object()


class EventStream(Generic[E, T]):
    """The events of a coroutine, as an iterator on the caller's thread.

    `start` takes the function that receives events, and returns the coroutine. `result` is the return value of the
    coroutine; None until the last event has been read.
    """

    def __init__(self, start: Callable[[Callable[[E], None]], Coroutine[Any, Any, T]]) -> None:
        # The job must not refer to this object, or an unused stream would never be collected and cancelled.
        events: queue.SimpleQueue[E] = queue.SimpleQueue()
        self._events = events
        self._job = Job(start(events.put), on_done=lambda: events.put(_END))
        self.result: T | None = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle the stream of a run, which executes in this process; pickle its result")

    def __iter__(self) -> Iterator[E]:
        return self

    def __next__(self) -> E:
        event = None
        try:
            while event is None:
                with suppress(queue.Empty):
                    event = self._events.get(timeout=_POLL_S)
        except BaseException:
            self.close()
            raise
        if event is _END:
            self._events.put(_END)
            self.result = self._job.outcome.result()
            raise StopIteration
        return event

    def close(self) -> None:
        """Cancel the run and wait until it is stored."""
        if not self._job.outcome.done():
            self._job.cancel_and_wait()

    def drain(self) -> list[E]:
        """Cancel the run, and return the unread events, for example to see how an interrupted run ended."""
        self.close()
        return _unread(self._events)

    def __enter__(self) -> EventStream[E, T]:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        job = getattr(self, "_job", None)
        if job is not None and not job.outcome.done():
            job.cancel()


class AsyncEventStream(Generic[E, T]):
    """The events of a coroutine, as an async iterator on the caller's loop. See :class:`EventStream`.

    The coroutine runs on the background loop, or another `loop`.
    """

    def __init__(
        self,
        start: Callable[[Callable[[E], None]], Coroutine[Any, Any, T]],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._start, self._loop = start, loop
        self._events: asyncio.Queue[E] | None = None
        self._job: Job[T] | None = None
        self.result: T | None = None

    def __aiter__(self) -> AsyncIterator[E]:
        return self

    async def __anext__(self) -> E:
        if self._events is None or self._job is None:
            loop, events = asyncio.get_running_loop(), asyncio.Queue[E]()
            self._events = events
            put = events.put_nowait
            is_same = is_on_loop() if self._loop is None else self._loop is loop
            emit = put if is_same else (lambda event: _post(loop, put, event))
            self._job = Job(self._start(emit), on_done=lambda: emit(_END), loop=self._loop)
        try:
            event = await _next(self._events)
        except asyncio.CancelledError:
            await self.aclose()
            raise
        if event is _END:
            self._events.put_nowait(_END)
            self.result = self._job.outcome.result()
            raise StopAsyncIteration
        return event

    async def aclose(self) -> None:
        """Cancel the run and wait until it is stored."""
        if self._job is not None and not self._job.outcome.done():
            self._job.cancel()
            await asyncio.wait({asyncio.wrap_future(self._job.outcome)}, timeout=_CLEANUP_S)

    async def drain(self) -> list[E]:
        """Cancel the run, and return the unread events. See :meth:`EventStream.drain`."""
        await self.aclose()
        return _unread(self._events) if self._events is not None else []

    async def __aenter__(self) -> AsyncEventStream[E, T]:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._job is not None and not self._job.outcome.done():
            self._job.cancel()


def _unread(events: queue.SimpleQueue[E] | asyncio.Queue[E]) -> list[E]:
    unread = [events.get_nowait() for _ in range(events.qsize())]
    return [event for event in unread if event is not _END]


async def _next(events: asyncio.Queue[E]) -> E:
    if not events.empty():
        return events.get_nowait()
    getter = asyncio.ensure_future(events.get())
    try:
        with _woken_up():
            await asyncio.wait({getter})
    finally:
        getter.cancel()
    return getter.result()


def _post(loop: asyncio.AbstractEventLoop, put: Callable[[E], None], event: E) -> None:
    # The reader's loop may be closed, because asyncio.run has ended. The run continues without a reader.
    if not loop.is_closed():
        loop.call_soon_threadsafe(put, event)
