"""Calls of user functions from the event loop: sync, async, generators, and hooks around them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agno_nb.errors import describe
from agno_nb.event_loop import in_thread

Hook = Callable[..., Any]


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
    candidates = (unwrap_partial(function), getattr(unwrap_partial(function), "__call__", None))  # noqa: B004 - an async __call__
    return any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in candidates)


async def call_sync_or_async(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a sync function in a thread or an async one here, and return its result. Generators are exhausted."""
    with not_exiting():
        if is_async(function):
            value = function(*args, **kwargs)
        else:
            value = await in_thread(_call_and_drain, function, *args, **kwargs)
        if inspect.isawaitable(value):
            value = await value
        if isinstance(value, AsyncIterator):
            return _join_pieces([each async for each in value])
        return value


@contextmanager
def not_exiting() -> Iterator[None]:
    """Convert SystemExit and KeyboardInterrupt to an error, because they would end the event loop of all runs."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"it tried to exit the program: {describe(error)}") from error


def _call_and_drain(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    value = function(*args, **kwargs)
    return _join_pieces(list(value)) if inspect.isgenerator(value) else value


def _join_pieces(pieces: list[Any]) -> Any:
    """Join strings; return other values as a list."""
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
