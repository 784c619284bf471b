"""MCP servers as child processes: their messages over pipes, their stderr in a log file, and their end.

The SDK's own client ends a connection when the server's stdout is closed, which a process that the server has started
can prevent. This one also observes the process itself, and ends everything in its process group.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from agno_nb.errors import ToolServerError
from agno_nb.event_loop import uncancellable
from agno_nb.tools.mcp.log import ServerLog
from agno_nb.types import shorten

if TYPE_CHECKING:
    from mcp.shared.message import SessionMessage

MAX_MESSAGE_BYTES = 64 * 2**20
"""Length limit of one message of a server."""
EXIT_S = 2.0
"""Seconds that a server may take to end after its stdin was closed, and again after SIGTERM."""
_DRAIN_S = 0.5
"""Seconds between the end of a process and the end of its output, in either order."""
_FEW, _MANY = 10, 100
"""Numbers of unread messages at which reading is resumed and paused."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program with its arguments. The environment is the SDK's default plus `env`."""

    program: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | Path | None = None

    def environment(self) -> dict[str, str]:
        from mcp.client.stdio import get_default_environment

        return {**get_default_environment(), **self.env}


class Messages:
    """The messages of a server, in the SDK's protocol for streams. Unread messages pause the reading of the pipe."""

    def __init__(self) -> None:
        self.pause: Callable[[], None] = lambda: None
        self.resume: Callable[[], None] = lambda: None
        self._unread: deque[SessionMessage] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._is_closed = False
        self._is_paused = False

    def put(self, message: SessionMessage) -> None:
        self._unread.append(message)
        if len(self._unread) >= _MANY and not self._is_paused:
            self._is_paused = True
            self.pause()
        self._wake()

    def close(self) -> None:
        """End the stream after the unread messages."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    async def receive(self) -> SessionMessage:
        while not self._unread:
            if self._is_closed:
                raise StopAsyncIteration
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        message = self._unread.popleft()
        if self._is_paused and len(self._unread) <= _FEW:
            self._is_paused = False
            self.resume()
        return message

    async def aclose(self) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        return await self.receive()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()


class ServerProcess(asyncio.SubprocessProtocol):
    """A server, and the stream for messages to it in the SDK's protocol.

    Parameters
    ----------
    command : Command
    log : ServerLog
        Receives the server's stderr, and text on stdout that is not a message.
    on_end : callable
        Called once when the server has ended or can no longer be used.
    """

    def __init__(self, command: Command, log: ServerLog, on_end: Callable[[], None]) -> None:
        self.command, self.log, self._on_end = command, log, on_end
        self.pid: int | None = None
        self.returncode: int | None = None
        self.failure: str | None = None
        """Why the server can no longer be used."""
        self.messages = Messages()
        self._exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writable: asyncio.Future[None] | None = None
        self._output_ended = False
        self._line = bytearray()
        self._transport: asyncio.SubprocessTransport | None = None

    async def _start(self) -> None:
        """Start the process in a session of its own, so that an interrupt of the kernel does not reach it."""
        program = self.command.program
        if sys.platform == "win32":
            program = shutil.which(program) or program  # Finds npx.cmd, which CreateProcess does not.
        try:
            with self.log.open() as stderr:
                await asyncio.get_running_loop().subprocess_exec(
                    lambda: self,
                    program,
                    *self.command.args,
                    env=self.command.environment(),
                    cwd=self.command.cwd,
                    stderr=stderr,
                    start_new_session=True,
                )
        except FileNotFoundError as error:
            if self.command.cwd is not None and not Path(self.command.cwd).is_dir():
                raise ToolServerError(f"there is no directory {str(self.command.cwd)!r}; change `cwd`") from error
            raise ToolServerError(
                f"there is no program {self.command.program!r}; install it, or pass its path"
            ) from error
        except (OSError, ValueError) as error:
            raise ToolServerError(f"cannot execute {self.command.program!r}: {error}") from error
        stdout: Any = None if self._transport is None else self._transport.get_pipe_transport(1)
        if stdout is not None:
            self.messages.pause, self.messages.resume = stdout.pause_reading, stdout.resume_reading

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The process may end before subprocess_exec() returns.
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Messages, Self]]:
        """Start the process and end it: the SDK's kind of transport."""
        await self._start()
        try:
            yield self.messages, self
        finally:
            # A cancelled task must not leave the process.
            await uncancellable(self._stop())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Do nothing: the SDK closes its streams before the process is ended."""

    async def aclose(self) -> None:
        """Do nothing, as above."""

    async def send(self, message: SessionMessage) -> None:
        """Write a message, and wait while the server does not read."""
        from mcp.shared.exceptions import MCPError
        from mcp.types import CONNECTION_CLOSED

        data = message.message.model_dump_json(by_alias=True, exclude_unset=True).encode()
        stdin = self._stdin
        if stdin is None or stdin.is_closing() or self._exited.done():
            raise MCPError(code=CONNECTION_CLOSED, message="Connection closed")
        stdin.write(data + b"\n")
        if self._writable is not None:
            await asyncio.wait({self._writable})

    @property
    def _stdin(self) -> asyncio.WriteTransport | None:
        return None if self._transport is None else cast("Any", self._transport.get_pipe_transport(0))

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._receive(bytes(self._line + line))
            self._line.clear()
        self._line += rest
        if len(self._line) > MAX_MESSAGE_BYTES:
            self._line.clear()
            self._fail(f"it sent a message of more than {MAX_MESSAGE_BYTES // 2**20} MB")

    def _receive(self, line: bytes) -> None:
        from mcp.shared.message import SessionMessage
        from mcp.types import jsonrpc_message_adapter

        if not line.strip():
            return
        try:
            message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError:
            self.log.add(f"(not a message of MCP, on stdout) {shorten(line.decode(errors='replace'), 500)}")
            return
        self.messages.put(message)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.resume_writing()
        if fd == 1:
            self._output_ended = True
            self._end_when_over("it closed its output")

    def process_exited(self) -> None:
        assert self._transport is not None
        self.returncode = self._transport.get_returncode()
        self._kill_group()
        if not self._exited.done():
            self._exited.set_result(None)
        self.resume_writing()
        self._end_when_over("it ended")

    def _end_when_over(self, reason: str) -> None:
        """End the messages when the process has exited and its output is read, or a while after one of these.

        A process that has left the group may hold the pipe open.
        """
        if self._exited.done() and self._output_ended:
            self._fail(reason)
        else:
            asyncio.get_running_loop().call_later(_DRAIN_S, self._fail, reason)

    def _fail(self, reason: str) -> None:
        if self.failure is None:
            self.failure = reason
            self.messages.close()
            self._on_end()

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended, or can no longer be used."""
        return self._exited.done() or self.failure is not None

    async def describe_end(self) -> str:
        """Return how the server ended, for an error. A closed pipe may be noticed before the end of the process."""
        await asyncio.wait({self._exited}, timeout=_DRAIN_S)
        if self.returncode is None:
            return self.failure or "it closed its input"
        if self.returncode < 0:
            with suppress(ValueError):
                return f"its process was ended by {signal.Signals(-self.returncode).name}"
        return f"its process ended with exit code {self.returncode}"

    async def _stop(self) -> None:
        """Close stdin and wait for the end; then terminate, and at last kill, the server and its child processes."""
        self.failure = self.failure or "it was closed"
        transport = self._transport
        if transport is None:
            return
        try:
            if not self._exited.done():
                await self._end_process()
        finally:
            transport.close()

    async def _end_process(self) -> None:
        descendants = self._descendants()
        if self._stdin is not None:
            self._stdin.close()
        if not await self._has_exited():
            self._signal_group(signal.SIGTERM)
            if not await self._has_exited():
                self._kill_group()
                await self._has_exited()
        for process in descendants:
            with suppress(Exception):  # It has ended; psutil compares the start times.
                process.kill()

    async def _has_exited(self) -> bool:
        await asyncio.wait({self._exited}, timeout=EXIT_S)
        return self._exited.done()

    def _descendants(self) -> list[Any]:
        import psutil

        try:
            return list(psutil.Process(self.pid).children(recursive=True))
        except psutil.Error:
            return []

    def _kill_group(self) -> None:
        self._signal_group(getattr(signal, "SIGKILL", signal.SIGTERM))

    def _signal_group(self, number: int) -> None:
        if self.pid is None:
            return
        if sys.platform == "win32":
            with suppress(ProcessLookupError):
                assert self._transport is not None
                self._transport.send_signal(number)
            return
        # macOS answers with EPERM if only a process that has ended is left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
