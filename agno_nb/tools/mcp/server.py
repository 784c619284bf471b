"""An MCP server with its connections: started when it is needed, and again when it has ended."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from agno_nb.errors import InputRequired, InvalidInputError, ToolServerError
from agno_nb.redact import displayable
from agno_nb.tools.mcp.connection import (
    Connection,
    ConnectionSettings,
    ServerCall,
    close_connections,
    close_when_collected,
)
from agno_nb.tools.mcp.params import Endpoint, remember_secrets
from agno_nb.types import JsonDict, shorten

if TYPE_CHECKING:
    from mcp import ClientSession, types

T = TypeVar("T")

MAX_PAGES = 100
MAX_TOOLS = 1_000
_MAX_CONNECTIONS = 8
"""Number of connections with different headers."""


class Peer(Protocol):
    """Our connection, or a session that the user has opened."""

    async def call(self, name: str, arguments: JsonDict, call: ServerCall) -> types.CallToolResult: ...

    async def request(self, ask: Callable[[ClientSession], Awaitable[T]]) -> T: ...


@dataclass(frozen=True)
class Listing:
    """The tools, resources and prompts of a server."""

    tools: Sequence[types.Tool]
    instructions: str | None
    resources: Sequence[types.Resource] = ()
    templates: Sequence[types.ResourceTemplate] = ()
    prompts: Sequence[types.Prompt] = ()


class Server:
    """A server and its connections: one, or one for each set of headers that a function has returned.

    All methods are called on the background loop.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings = settings
        self.is_stale = False
        """Whether the server has reported that its tools have changed."""
        self._connections: dict[frozenset[tuple[str, str]], Connection] = {}
        close_when_collected(self, self._connections)

    async def peer(self, headers: Mapping[str, str] | None = None) -> Peer:
        """Return an open connection; start the server, or connect again, if there is none.

        Raises
        ------
        ToolServerError
            The server cannot be started or reached.
        """
        key = frozenset((headers or {}).items())
        connection = self._connections.pop(key, None)
        if connection is None or not connection.is_usable:
            connection = Connection(self._settings_with(headers), _stale_marker(weakref.ref(self)))
        self._connections[key] = connection  # The latest one comes last.
        while len(self._connections) > _MAX_CONNECTIONS:
            self._connections.pop(next(iter(self._connections))).retire()
        await connection.opened()
        return connection

    def _settings_with(self, headers: Mapping[str, str] | None) -> ConnectionSettings:
        address = self.settings.address
        if not headers or not isinstance(address, Endpoint):
            return self.settings
        address = replace(address, headers={**address.headers, **headers})
        remember_secrets(address)
        return replace(self.settings, address=address)

    @property
    def is_connected(self) -> bool:
        return any(each.is_usable for each in self._connections.values())

    async def close(self) -> None:
        """Close the connections, which ends the server's process. The next use starts it again."""
        await close_connections([*self._connections.values()])
        self._connections.clear()


def _stale_marker(server: weakref.ref[Server]) -> Callable[[], None]:
    """Return a function for a connection, which must not keep its server alive."""

    def mark() -> None:
        if (found := server()) is not None:
            found.is_stale = True

    return mark


class UserSession:
    """A session that the user has opened. It works on the event loop on which it was opened only."""

    def __init__(self, session: ClientSession, name: str, timeout_s: float) -> None:
        self.session, self.is_stale = session, False
        self._name, self._timeout_s = name, timeout_s
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            raise InvalidInputError(
                "MCPTools(session=...) needs the event loop of the session; call it in the coroutine or cell that "
                "has opened the session, or pass a command or url"
            ) from None

    async def peer(self, headers: Mapping[str, str] | None = None) -> Peer:
        if self.session.protocol_version is None:
            await self.request(lambda session: session.initialize())
        return self

    @property
    def is_connected(self) -> bool:
        return self.session.protocol_version is not None

    async def request(self, ask: Callable[[ClientSession], Awaitable[T]]) -> T:
        async def on_its_loop() -> T:
            return await ask(self.session)

        if asyncio.get_running_loop() is self.loop:
            return await on_its_loop()
        if not self.loop.is_running():
            raise ToolServerError(f"the event loop of MCP session {self._name!r} has ended; open a new session")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(on_its_loop(), self.loop))

    async def call(self, name: str, arguments: JsonDict, call: ServerCall) -> types.CallToolResult:
        """Call a tool. The session has its own callbacks for questions of the server."""
        loop = asyncio.get_running_loop()

        async def report(progress: float, total: float | None, message: str | None) -> None:
            asyncio.run_coroutine_threadsafe(call.report(progress, total, message), loop)

        try:
            async with asyncio.timeout(self._timeout_s) as call.deadline:
                call.timeout_s = self._timeout_s
                return await self.request(lambda s: s.call_tool(name, arguments, progress_callback=report))
        except ToolServerError:
            raise
        except TimeoutError:
            raise ToolServerError(
                f"{name} did not answer within {self._timeout_s:g} seconds; the event loop of its session must not be "
                "blocked during the call, for example by a cell"
            ) from None
        except Exception as error:
            reason = shorten(displayable(str(error)), 2_000) or type(error).__name__
            raise ToolServerError(f"the MCP session {self._name!r} failed: {reason}") from error

    async def close(self) -> None:
        """Leave the session open: it belongs to the user."""


async def list_tools(peer: Peer, name: str, timeout_s: float) -> Listing:
    """Return the tools and instructions of a server.

    Raises
    ------
    ToolServerError
        The server fails, does not answer, or has more tools or pages of them than `MAX_TOOLS` and `MAX_PAGES`.
    """
    return await _asked(peer, name, timeout_s, _tools)


async def list_all(peer: Peer, name: str, timeout_s: float) -> Listing:
    """Return the tools, instructions, resources and prompts of a server, with the same errors as `list_tools`."""
    return await _asked(peer, name, timeout_s, _all)


async def _asked(
    peer: Peer, name: str, timeout_s: float, ask: Callable[[ClientSession], Awaitable[Listing]]
) -> Listing:
    try:
        async with asyncio.timeout(timeout_s):
            return await peer.request(ask)
    except (InputRequired, ToolServerError):
        raise
    except Exception as error:
        if isinstance(peer, Connection):
            peer.retire()
        late = f"it did not answer within {timeout_s:g} seconds"
        reason = late if isinstance(error, TimeoutError) else shorten(displayable(str(error)), 2_000)
        raise ToolServerError(f"cannot list the tools of MCP server {name!r}: {reason}") from error


async def _tools(session: ClientSession) -> Listing:
    capabilities = session.server_capabilities
    tools = [] if capabilities is None or capabilities.tools is None else await _pages(session.list_tools, "tools")
    return Listing(tools, session.instructions)


async def _all(session: ClientSession) -> Listing:
    listing, capabilities = await _tools(session), session.server_capabilities
    if capabilities is not None and capabilities.resources is not None:
        listing = replace(
            listing,
            resources=await _pages(session.list_resources, "resources"),
            templates=await _pages(session.list_resource_templates, "resource_templates"),
        )
    if capabilities is not None and capabilities.prompts is not None:
        listing = replace(listing, prompts=await _pages(session.list_prompts, "prompts"))
    return listing


async def _pages(list_page: Any, attribute: str) -> list[Any]:
    from mcp.types import PaginatedRequestParams

    found: list[Any] = []
    params = None
    for _ in range(MAX_PAGES):
        page = await list_page(params=params)
        found += getattr(page, attribute)
        if len(found) > MAX_TOOLS:
            raise ToolServerError(f"the server lists more than {MAX_TOOLS:,} {attribute.replace('_', ' ')}")
        if page.next_cursor is None:
            return found
        params = PaginatedRequestParams(cursor=page.next_cursor)
    raise ToolServerError(f"the list of {attribute.replace('_', ' ')} has more than {MAX_PAGES} pages")
