"""Toolkits that have to be connected, for example to a database, while runs use them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from agno_nb.errors import RunError, describe
from agno_nb.redact import warn
from agno_nb.tools.invoke import call_sync_or_async


@dataclass
class _Connection:
    num_runs: int = 0
    is_open: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


_connections: dict[int, _Connection] = {}
"""Connections in use, by the `id` of the toolkit. The event loop of all runs is the only one that changes them."""


async def connect(toolkits: Sequence[Any]) -> AsyncExitStack:
    """Call `connect()` of toolkits. Closing the result calls `close()` of those that no other run uses.

    Raises
    ------
    RunError
        A toolkit could not connect.
    """
    async with AsyncExitStack() as stack:
        for toolkit in toolkits:
            await _connect(toolkit)
            stack.push_async_callback(_disconnect, toolkit)
        return stack.pop_all()


async def _connect(toolkit: Any) -> None:
    connection = _connections.setdefault(id(toolkit), _Connection())
    connection.num_runs += 1
    try:
        async with connection.lock:
            if not connection.is_open:
                await call_sync_or_async(toolkit.connect)
                connection.is_open = True
    except BaseException as error:
        _forget(toolkit, connection)
        if not isinstance(error, Exception):
            raise
        raise RunError(f"toolkit {_name(toolkit)!r} could not connect: {describe(error)}") from error


async def _disconnect(toolkit: Any) -> None:
    connection = _connections[id(toolkit)]
    try:
        async with connection.lock:
            if connection.num_runs == 1:
                connection.is_open = False
                await call_sync_or_async(toolkit.close)
    except Exception as error:
        # The run has its answer.
        warn(f"toolkit {_name(toolkit)!r} could not be closed: {describe(error)}")
    finally:
        _forget(toolkit, connection)


def _forget(toolkit: Any, connection: _Connection) -> None:
    connection.num_runs -= 1
    if not connection.num_runs:
        del _connections[id(toolkit)]


def _name(toolkit: Any) -> str:
    return str(getattr(toolkit, "name", None) or type(toolkit).__name__)
