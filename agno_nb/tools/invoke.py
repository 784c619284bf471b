"""Calls of user functions from the event loop: sync, async, generators, and hooks around them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import sys
import types
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agno_nb.errors import describe
from agno_nb.event_loop import in_thread
from agno_nb.types import CustomEvent, RunOutput, RunOutputEvent

if TYPE_CHECKING:
    from agno_nb.tools.parameters import Parameters

Hook = Callable[..., Any]
SendEvent = Callable[[CustomEvent], None]

PLAIN_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)
"""Types of functions that are tools as they are. Any other object may be a tool of another package."""


class ToolFailure(Exception):
    """A tool reports that it failed. The message is the result for the model, as it is."""


class ForeignFunction:
    """A tool of another package as a function for :class:`~agno_nb.tools.Tool`, which is called with keywords.

    Two of them are equal if they are of the same object with the same settings. Each is equal to its object.
    """

    def __init__(self, source: Any, settings: Mapping[str, Any], target: Callable[..., Any] | None) -> None:
        """Create one for `source`, which calls the function `target`; None if it calls none."""
        self.source = source
        self.settings = settings
        """Settings of the tool, by the names of those of :class:`~agno_nb.tools.Tool`."""
        self.__name__ = str(settings.get("name") or type(source).__name__)
        if target is not None:
            # Caches of results and answers depend on the function.
            self.__wrapped__, bare = target, inspect.unwrap(target)
            self.__module__ = getattr(bare, "__module__", None) or __name__
            self.__qualname__ = getattr(bare, "__qualname__", self.__name__)
            if (holder := getattr(target, "__self__", None)) is not None:
                self.__self__ = holder

    @property
    def is_async(self) -> bool:
        """Whether calling it returns a coroutine without blocking."""
        return False

    @property
    def injected(self) -> Collection[str]:
        """The injected parameters that it is called with."""
        return ()

    @property
    def description(self) -> str:
        """The description for the model."""
        return str(self.settings.get("description") or "")

    def parameters(self, without: Collection[str] = ()) -> Parameters:
        """Return the parameters that a model fills in, except those in `without`."""
        raise NotImplementedError

    def __call__(self, **arguments: Any) -> Any:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ForeignFunction):
            return self.source is other
        return self.source is other.source and self.settings == other.settings

    __hash__ = None  # type: ignore[assignment]  # Settings may change.


def as_foreign_function(value: Any) -> ForeignFunction | None:
    """Return a function that calls another package's tool; None if `value` is a function or another callable.

    Raises
    ------
    InvalidInputError
        `value` cannot be a tool.
    """
    if isinstance(value, PLAIN_FUNCTIONS):
        return None
    if isinstance(value, ForeignFunction):
        return value
    from agno_nb.integrations import foreign_function

    return foreign_function(value)


def unwrap_partial(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def found_by_name(module: str | None, name: str) -> Any:
    """Return an attribute of a module by its qualified name, or None."""
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def is_async(function: Callable[..., Any]) -> bool:
    if isinstance(function, ForeignFunction):
        return function.is_async
    candidates = (unwrap_partial(function), getattr(unwrap_partial(function), "__call__", None))  # noqa: B004 - an async __call__
    return any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in candidates)


async def call_sync_or_async(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a sync function in a thread or an async one here, and return its result. Generators are exhausted."""
    return await call_with_events(_discard, function, *args, **kwargs)


async def call_with_events(send: SendEvent, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function as :func:`call_sync_or_async` does. `send` gets the custom events that a generator yields."""
    loop = asyncio.get_running_loop()
    with not_exiting():
        if is_async(function):
            value = function(*args, **kwargs)
        else:
            from_thread = functools.partial(_call_soon, loop, send)
            value = await in_thread(_call_and_drain, from_thread, function, *args, **kwargs)
        if inspect.isawaitable(value):
            value = await value
        if isinstance(value, AsyncIterator):
            pieces = []
            async for piece in value:
                pieces.append(piece)
                if isinstance(piece, CustomEvent):
                    send(piece)
            return _join_pieces(pieces)
        return value


def _discard(event: CustomEvent) -> None:
    pass


def _call_soon(loop: asyncio.AbstractEventLoop, send: SendEvent, event: CustomEvent) -> None:
    loop.call_soon_threadsafe(send, event)


@contextmanager
def not_exiting() -> Iterator[None]:
    """Convert SystemExit and KeyboardInterrupt to an error, because they would end the event loop of all runs."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"it tried to exit the program: {describe(error)}") from error


def _call_and_drain(send: SendEvent, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    value = function(*args, **kwargs)
    if not inspect.isgenerator(value):
        return value
    pieces = []
    for piece in value:
        pieces.append(piece)
        if isinstance(piece, CustomEvent):
            send(piece)
    return _join_pieces(pieces)


def _counts(piece: Any, run_ids: set[str]) -> bool:
    """Whether a piece is a value, or the final event of a run that is not nested in another one of `run_ids`."""
    if isinstance(piece, RunOutputEvent):
        return piece.is_final and piece.parent_run_id not in run_ids
    return not (isinstance(piece, RunOutput) and piece.run_id in run_ids)


def _join_pieces(pieces: list[Any]) -> Any:
    """Join strings; return other values as a list.

    Of the events of a run, the answer is the value. Custom events are the values only if there are no others.
    """
    if any(isinstance(piece, RunOutputEvent) for piece in pieces):
        custom = [piece for piece in pieces if isinstance(piece, CustomEvent)]
        others = [piece for piece in pieces if not isinstance(piece, CustomEvent)]
        run_ids = {piece.run_id for piece in others if isinstance(piece, RunOutputEvent)}
        values = [piece for piece in others if _counts(piece, run_ids)]
        pieces = [piece.content if isinstance(piece, RunOutputEvent) else piece for piece in values]
        pieces = pieces or [event.own_values() for event in custom]
    return "".join(pieces) if pieces and all(isinstance(piece, str) for piece in pieces) else pieces


def wrap_hook(hook: Hook, name: str, inner: Callable[..., Any], injected: Mapping[str, Any]) -> Callable[..., Any]:
    """Wrap `inner` in a hook. A sync hook runs in a thread and gets a blocking function that calls `inner`."""
    loop = asyncio.get_running_loop()

    async def outer(**arguments: Any) -> Any:
        futures: list[concurrent.futures.Future[Any]] = []

        def blocking(**arguments: Any) -> Any:
            futures.append(asyncio.run_coroutine_threadsafe(inner(**arguments), loop))
            return futures[-1].result()

        next_call = inner if is_async(hook) else blocking
        available = {
            **injected,
            **dict.fromkeys(("function_name", "name"), name),
            **dict.fromkeys(("function_call", "function", "func"), next_call),
            **dict.fromkeys(("arguments", "args"), arguments),
        }
        try:
            return await call_sync_or_async(hook, **matching_kwargs(hook, available))
        finally:
            for each in futures:
                each.cancel()

    return outer


def matching_kwargs(hook: Hook, available: Mapping[str, Any]) -> dict[str, Any]:
    """Return the available values for which a hook has parameters."""
    parameters = inspect.signature(hook).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(available)
    return {parameter.name: available[parameter.name] for parameter in parameters if parameter.name in available}
