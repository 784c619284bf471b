"""One connection to an MCP server, owned by a task of the background loop and shared by all runs.

The SDK's connections have to be opened and closed by the same task, and live longer than the run that needs them first.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import importlib
import math
import os
import sys
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from agno_nb.errors import InputRequired, ToolServerError, leaves, message_of
from agno_nb.event_loop import background_loop, run_blocking
from agno_nb.redact import displayable
from agno_nb.tools.mcp import elicitation
from agno_nb.tools.mcp.log import ServerLog
from agno_nb.tools.mcp.params import Address, Endpoint
from agno_nb.tools.mcp.schemas import problems
from agno_nb.tools.mcp.stdio import Command, ServerProcess
from agno_nb.types import JsonDict, UserInputField, one_line, shorten

if TYPE_CHECKING:
    from mcp import Client, ClientSession
    from mcp.client import ClientRequestContext
    from mcp.shared.exceptions import MCPError
    from mcp.types import CallToolResult, ElicitResult

T = TypeVar("T")

PROBE_S = 2.0
"""Seconds in which a server whose call timed out has to answer another request."""
_PROGRESS_INTERVAL_S = 0.05
_MESSAGE_LIMIT = 2_000
_REASON_LIMIT = 500

_open: set[Connection] = set()
"""The open connections, which are closed at the end of the process."""


class SessionEnded(ToolServerError):
    """The server no longer knows the session, and has not carried out the call."""


@dataclass(kw_only=True)
class ServerCall:
    """A call of a tool in progress."""

    on_progress: Callable[[str, JsonDict], None] = lambda text, values: None
    """Receives the progress as text and as values."""
    fields: Sequence[UserInputField] = ()
    """The fields that a person was asked for before."""
    values: JsonDict = field(default_factory=dict)
    """The given values by field."""
    requested: list[UserInputField] = field(default_factory=list)
    """The fields that the server asked for and that have no value yet."""
    injected: Mapping[str, Any] = field(default_factory=dict)
    """The arguments that the runtime injects into tools, for the function that returns headers."""
    output_schema: JsonDict | None = None
    """The schema of the tool's structured content."""
    error: str | None = None
    """The error for the model, if the call failed."""
    num_questions: int = 0
    deadline: asyncio.Timeout | None = None
    timeout_s: float = math.inf
    _next_event_at: float = -math.inf

    async def report(self, progress: float, total: float | None, message: str | None) -> None:
        """Show the progress, and give the call more time."""
        loop = asyncio.get_running_loop()
        if self.deadline is not None and not self.deadline.expired():
            self.deadline.reschedule(loop.time() + self.timeout_s)
        if loop.time() < self._next_event_at:
            return
        self._next_event_at = loop.time() + _PROGRESS_INTERVAL_S
        message = shorten(message, _MESSAGE_LIMIT) if message else message
        done = f"{progress:g} of {total:g}" if total is not None else f"{progress:g}"
        text = f"{done}: {message}" if message else done
        self.on_progress(displayable(shorten(text, 200)), {"progress": progress, "total": total, "message": message})

    def answer(self, question: Any) -> ElicitResult:
        """Answer a question of the server, or note that a person has to be asked."""
        from mcp.types import ElicitResult

        self.num_questions += 1
        if (known := elicitation.answer(question, self.fields, self.values)) is not None:
            return known
        if self.num_questions <= elicitation.MAX_QUESTIONS and not self.requested:
            self.requested = elicitation.fields_of(question, self.fields)
        return ElicitResult(action="cancel")


current_call: contextvars.ContextVar[ServerCall | None] = contextvars.ContextVar("agno_nb_mcp_call", default=None)
"""The call that the current code is part of."""


@dataclass(frozen=True, kw_only=True)
class ConnectionSettings:
    """The settings of a server that its connections use."""

    name: str
    address: Address
    log: ServerLog
    timeout_s: float
    start_timeout_s: float
    protocol_mode: str


class Connection:
    """An open or opening connection. It is created and used on the background loop."""

    def __init__(self, settings: ConnectionSettings, on_tools_changed: Callable[[], None]) -> None:
        self.settings, self._on_tools_changed = settings, on_tools_changed
        self.client: Client
        self.process: ServerProcess | None = None
        self._calls: list[ServerCall] = []
        self._pid, self._loop = os.getpid(), asyncio.get_running_loop()
        self._is_retired = False
        self._session_has_ended = False
        self._failure: ToolServerError | None = None
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._closing = asyncio.Event()
        if not _open:
            # Each time, because handlers of a forked parent don't count. Calling one twice does nothing.
            atexit.register(_close_all, os.getpid())
        _open.add(self)
        # Without the context variables of the run that happens to be the first.
        self._task = self._loop.create_task(self._own(), context=contextvars.Context())

    @property
    def is_usable(self) -> bool:
        """Whether new calls can use it."""
        is_here = self._pid == os.getpid() and self._loop is background_loop()
        has_ended = self.process is not None and self.process.has_ended
        return is_here and not (has_ended or self._is_retired or self._closing.is_set() or self._task.done())

    async def opened(self) -> None:
        """Wait until it is open; raise ToolServerError if the server cannot be started or reached."""
        await asyncio.wait({self._opened})
        if self._failure is not None:
            raise ToolServerError(str(self._failure))

    def retire(self) -> None:
        """Accept no more calls, and close when those in progress have ended."""
        self._is_retired = True
        if not self._calls:
            self.close_soon()

    def close_soon(self) -> None:
        self._closing.set()

    async def close(self) -> None:
        self.close_soon()
        await asyncio.wait({self._task})

    async def _own(self) -> None:
        """Open the connection, keep it open, and close it."""
        try:
            await self._open_and_wait()
        except BaseException as error:
            if not self._opened.done():
                self._failure = await self._start_error(error)
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
                raise
        finally:
            self._closing.set()
            if not self._opened.done():
                self._opened.set_result(None)
            _open.discard(self)

    async def _open_and_wait(self) -> None:
        if "mcp" not in sys.modules:  # The import takes half a second, in which other runs continue.
            await asyncio.to_thread(importlib.import_module, "mcp")
        from mcp import Client
        from mcp.types import Implementation

        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self.settings.start_timeout_s):
                self.client = await stack.enter_async_context(
                    Client(
                        await self._transport(stack),
                        mode=self.settings.protocol_mode,
                        cache=None,
                        client_info=Implementation(name="agno_nb", version=version("agno_nb")),
                        elicitation_callback=self._elicit,
                        message_handler=self._receive,
                    )
                )
            # `call` checks the results: a check of the SDK's may take for ever.
            self.client.session.validate_tool_result = _skip_check  # type: ignore[method-assign]
            self._opened.set_result(None)
            await self._closing.wait()

    async def _transport(self, stack: AsyncExitStack) -> Any:
        address = self.settings.address
        if isinstance(address, Command):
            self.process = ServerProcess(address, self.settings.log, self.close_soon)
            return self.process.running()
        return await _http_transport(address, stack, self._note_end_of_session)

    async def _note_end_of_session(self, response: Any) -> None:
        """Notice the answer of a server that no longer knows the session, for example after a restart."""
        if response.status_code == 404 and "mcp-session-id" in response.request.headers:
            self._session_has_ended = True

    async def _start_error(self, error: BaseException) -> ToolServerError:
        verb = "be started" if self.process is not None else "be reached"
        if isinstance(error, TimeoutError):
            reason = f"it did not answer within {self.settings.start_timeout_s:g} seconds"
            remedy = "; raise start_timeout_seconds if it needs longer, for example for a download"
        elif self.process is not None and self.process.has_ended and self.process.pid is not None:
            reason, remedy = await self.process.describe_end(), ""
        else:
            reason, remedy = "; ".join(_reason(each) for each in leaves(error)), ""
        return ToolServerError(f"MCP server {self.settings.name!r} cannot {verb}: {reason}{remedy}{self._log_lines()}")

    def _log_lines(self) -> str:
        lines = self.settings.log.last_lines() if self.process is not None else ""
        return f"\nThe end of its log, {self.settings.log.path}:\n{lines}" if lines else ""

    async def _receive(self, message: Any) -> None:
        from mcp.types import ToolListChangedNotification

        if isinstance(getattr(message, "root", message), ToolListChangedNotification):
            self._on_tools_changed()

    async def _elicit(self, context: ClientRequestContext, params: Any) -> ElicitResult:
        from mcp.types import ElicitResult

        # Older servers don't say which call a question is for.
        call = current_call.get() or (self._calls[0] if len(self._calls) == 1 else None)
        if call is None:
            self.settings.log.add("(agno_nb) cancelled a question that was asked during concurrent calls")
            return ElicitResult(action="cancel")
        return call.answer(params)

    async def request(self, ask: Callable[[ClientSession], Awaitable[T]]) -> T:
        """Send other requests."""
        return await ask(self.client.session)

    async def call(self, name: str, arguments: JsonDict, call: ServerCall) -> CallToolResult:
        """Call a tool.

        Raises
        ------
        SessionEnded
            The server no longer knows the session, and has not carried out the call.
        ToolServerError
            The server has ended, does not answer, or its answer is not valid.
        InputRequired
            The server has asked a person a question, which is to be answered first.
        """
        self._calls.append(call)
        try:
            async with asyncio.timeout(self.settings.timeout_s) as call.deadline:
                call.timeout_s = self.settings.timeout_s
                result = await self.client.call_tool(name, arguments, progress_callback=call.report)
            _check_output(name, result, call.output_schema)
        except Exception as error:
            if call.requested:
                raise InputRequired(call.requested) from None
            raise await self._call_error(name, error) from error
        finally:
            self._calls.remove(call)
            if self._is_retired and not self._calls:
                self.close_soon()
        if call.requested:
            raise InputRequired(call.requested)
        if call.num_questions > elicitation.MAX_QUESTIONS:
            raise ToolServerError(f"{name} asked the user more than {elicitation.MAX_QUESTIONS} questions in one call")
        return result

    async def _call_error(self, name: str, error: Exception) -> ToolServerError:
        """Return the error for a failed call, and retire a connection that cannot be trusted."""
        from mcp.shared.exceptions import MCPError

        server, restarted = f"MCP server {self.settings.name!r}", "it is started again at the next call"
        if isinstance(error, TimeoutError):
            late = f"{name} did not answer within {self.settings.timeout_s:g} seconds, and the call was cancelled"
            if await self.is_responsive():
                return ToolServerError(f"{late}; {server} itself still answers")
            self.retire()
            return ToolServerError(f"{late}; {server} does not answer at all, {restarted}{self._log_lines()}")
        if isinstance(error, MCPError) and self._session_has_ended:
            self.retire()
            return SessionEnded(f"the session of {server} has ended: {shorten(error.message, _MESSAGE_LIMIT)}")
        if isinstance(error, MCPError) and not self._is_closed(error):
            return ToolServerError(f"{server}: {shorten(error.message, _MESSAGE_LIMIT)}")
        self.retire()
        if self.process is not None and (self.process.has_ended or isinstance(error, MCPError)):
            how = await self.process.describe_end()
            return ToolServerError(f"{server} ended during the call: {how}; {restarted}{self._log_lines()}")
        if isinstance(error, MCPError | OSError) or not isinstance(error, RuntimeError | ValueError):
            return ToolServerError(f"the connection to {server} failed: {_reason(error)}; {restarted}")
        return ToolServerError(f"{server} returned an invalid result: {_reason(error)}; {restarted}")

    def _is_closed(self, error: MCPError) -> bool:
        """Whether an error is the SDK's own for a closed connection. Servers also use its code for other errors."""
        from mcp.types import CONNECTION_CLOSED

        if error.code != CONNECTION_CLOSED:
            return False
        return self.process is None or self.process.has_ended or error.message == "Connection closed"

    async def is_responsive(self) -> bool:
        """Whether the server answers at all."""
        from mcp.shared.exceptions import MCPError

        session = self.client.session
        is_modern = self.settings.protocol_mode != "legacy"
        try:
            async with asyncio.timeout(min(PROBE_S, self.settings.timeout_s)):
                await (session.list_tools() if is_modern else session.send_ping())
        except MCPError as error:
            return not self._is_closed(error)  # The server has answered that it doesn't know the request.
        except Exception:
            return False
        return True


async def _skip_check(name: str, result: CallToolResult) -> None: ...


def _check_output(name: str, result: CallToolResult, schema: JsonDict | None) -> None:
    """Raise a ValueError if structured content does not match its schema."""
    if schema is None or result.is_error:
        return
    if result.structured_content is None and "structured_content" not in result.model_fields_set:
        raise ValueError(f"{name} has an output schema, but returned no structured content")
    if found := problems(schema, result.structured_content):
        raise ValueError(f"the structured content of {name} does not match its schema: {found[0].message}")


async def _http_transport(
    endpoint: Endpoint, stack: AsyncExitStack, on_response: Callable[[Any], Awaitable[None]]
) -> Any:
    import httpx2
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    if endpoint.is_sse:
        return sse_client(
            endpoint.url,
            headers=dict(endpoint.headers),
            timeout=endpoint.timeout_s,
            sse_read_timeout=endpoint.read_timeout_s,
        )
    timeout = httpx2.Timeout(endpoint.timeout_s, read=endpoint.read_timeout_s)
    http_client = await stack.enter_async_context(
        create_mcp_http_client(headers=dict(endpoint.headers), timeout=timeout)
    )
    http_client.event_hooks = {"response": [on_response]}
    return streamable_http_client(endpoint.url, http_client=http_client, terminate_on_close=endpoint.terminate_on_close)


def _reason(error: BaseException) -> str:
    # Errors of validators continue with the schema.
    text = displayable(message_of(error)).partition("\n\n")[0]
    return one_line(text, _REASON_LIMIT) or type(error).__name__


async def close_connections(connections: Sequence[Connection]) -> None:
    """Close connections of this process at the same time."""
    own = [each for each in connections if each._pid == os.getpid()]
    await asyncio.gather(*(each.close() for each in own))


def close_all_soon(connections: dict[Any, Connection]) -> None:
    """Close connections whose toolkit is gone, from any thread."""
    for each in connections.values():
        if each._pid == os.getpid():
            with suppress(RuntimeError):  # The loop has been closed.
                each._loop.call_soon_threadsafe(each.close_soon)


def _close_all(pid: int) -> None:
    """Close the connections at the end of the process, before its event loop is stopped."""
    atexit.unregister(_close_all)
    if pid == os.getpid() and _open:
        with suppress(BaseException):
            run_blocking(close_connections(list(_open)), method="exit")


def close_when_collected(owner: object, connections: dict[Any, Connection]) -> None:
    """Close connections when their owner is garbage-collected."""
    weakref.finalize(owner, close_all_soon, connections).atexit = False
