"""MCP servers as toolkits."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Self

from agno_nb._keywords import nearest
from agno_nb.errors import InvalidInputError, ToolServerError
from agno_nb.event_loop import is_on_loop, run_awaiting, run_blocking
from agno_nb.redact import displayable, warn
from agno_nb.tools.function import Tool
from agno_nb.tools.invoke import call_sync_or_async, matching_kwargs
from agno_nb.tools.mcp.connection import Connection, ConnectionSettings, ServerCall, SessionEnded, current_call
from agno_nb.tools.mcp.log import ServerLog
from agno_nb.tools.mcp.params import (
    Endpoint,
    SSEClientParams,
    StreamableHTTPClientParams,
    Transport,
    address_of,
    default_name,
    shown_address,
)
from agno_nb.tools.mcp.results import error_text, value_of
from agno_nb.tools.mcp.schemas import schema_problem
from agno_nb.tools.mcp.server import Listing, Peer, Server, UserSession, list_all, list_tools
from agno_nb.tools.mcp.server_tool import CallFailed, ServerTool
from agno_nb.tools.toolkit import Toolkit
from agno_nb.types import shorten, valid_tool_name

if TYPE_CHECKING:
    from mcp import ClientSession, StdioServerParameters, types

MAX_DESCRIPTION = 10_000
"""Length limit for the descriptions of tools, which are part of each request."""
_LISTS = (
    "requires_confirmation_tools",
    "external_execution_required_tools",
    "stop_after_tool_call_tools",
    "show_result_tools",
)

_CACHING = ("cache_results", "cache_ttl", "cache_dir")


class MCPTools(Toolkit):
    """The tools of a server of the Model Context Protocol.

    The server is started, or connected to, when an agent uses it first. The connection is shared by all runs of the
    process, and closed with it, with :meth:`close`, or when this object is gone. A server that has ended is started
    again at the next call.

    Parameters
    ----------
    command : str or sequence of str, optional
        The command that starts the server, for example ``"uvx mcp-server-time"``. It is executed without a shell.
    url : str, optional
        The URL of a server.
    transport : {"stdio", "streamable-http", "sse"}, optional
        Defaults to "streamable-http" for a URL.
    server_params : StdioServerParameters, StreamableHTTPClientParams or SSEClientParams, optional
        Instead of `command` or `url`.
    session : mcp.ClientSession, optional
        A session that you have opened, in the coroutine or cell that has opened it.
    env : dict, optional
        Variables for the process of a command. Of the notebook's own environment it gets only the SDK's default, such
        as ``PATH`` and ``HOME``, and so no keys.
    headers : dict, optional
        HTTP headers for a URL.
    header_provider : callable, optional
        Returns further headers for each call. Its parameters can be ``run_context``, ``agent`` and ``team``.
    timeout_seconds : float, default 10
        Time limit of a call in seconds, which starts again with each report of progress.
    start_timeout_seconds : float, default 60
        Seconds that starting or reaching the server may take, including a download.
    include_tools, exclude_tools : sequence of str, optional
        Names of the server's tools to offer, or not to offer.
    tool_name_prefix : str, optional
        Put before the names of the tools, with ``_``.
    confirm : bool or sequence of str, optional
        The tools whose calls need approval: True for all of them, False for none, or their names. By default those that
        the server itself declares to be destructive (``destructiveHint``).
    refresh_connection : bool, default False
        Before each run, check the connection, and list the tools again.
    protocol_mode : {"legacy", "auto"}, default "legacy"
        "auto" uses the latest version of the protocol that the server supports, in which there are no sessions.
    name : str, optional
        Defaults to the package or file of the command, or the host of the URL.
    add_instructions : bool, default False
        Add the server's instructions to the system prompt, or `instructions` in their place.
    client : object, optional
        Kept alive with this object.
    **settings
        See :class:`Toolkit`. Its lists of tools have the server's names, without the prefix.

    Raises
    ------
    InvalidInputError
        The parameters contradict each other, or the package ``mcp`` is missing.

    Examples
    --------
    >>> MCPTools("uvx mcp-server-time", include_tools=["get_current_time"])
    MCPTools('mcp-server-time', not connected)
    """

    def __init__(
        self,
        command: str | Sequence[str] | None = None,
        *,
        url: str | None = None,
        env: Mapping[str, str] | None = None,
        transport: Transport | None = None,
        server_params: StdioServerParameters | StreamableHTTPClientParams | SSEClientParams | Any = None,
        session: ClientSession | None = None,
        timeout_seconds: float = 10,
        start_timeout_seconds: float = 60,
        client: Any = None,
        include_tools: Collection[str] | None = None,
        exclude_tools: Collection[str] | None = None,
        refresh_connection: bool = False,
        tool_name_prefix: str | None = None,
        headers: Mapping[str, Any] | None = None,
        header_provider: Callable[..., Mapping[str, Any]] | None = None,
        confirm: bool | Collection[str] | None = None,
        protocol_mode: Literal["legacy", "auto"] = "legacy",
        name: str | None = None,
        **settings: Any,
    ) -> None:
        arguments = {key: value for key, value in locals().items() if key not in ("self", "settings", "__class__")}
        self._arguments = {**arguments, **settings}
        _check_package()
        if protocol_mode not in ("legacy", "auto"):
            raise InvalidInputError(f"protocol_mode is {protocol_mode!r}; pass 'legacy' or 'auto'")
        self._lists = {each: _names(each, settings.pop(each, None)) for each in _LISTS}
        self._caching = {each: settings.pop(each) for each in _CACHING if each in settings}
        address = address_of(command, url, transport, server_params, env, headers)
        if (address is None) == (session is None):
            raise InvalidInputError("MCPTools needs one of command, url, server_params and session")
        if header_provider is not None and not isinstance(address, Endpoint):
            raise InvalidInputError("header_provider is for servers with a url")
        super().__init__(name or default_name(address), **settings)
        self.address, self.refresh_connection, self._client = address, refresh_connection, client
        self.timeout_seconds = _seconds("timeout_seconds", timeout_seconds)
        self.tool_name_prefix, self.header_provider = tool_name_prefix, header_provider
        self.include_tools = _names("include_tools", include_tools)
        self.exclude_tools = _names("exclude_tools", exclude_tools)
        self.confirm = confirm if isinstance(confirm, bool | None) else _names("confirm", confirm)
        self.initialized = False
        """Whether the tools are known."""
        self._listing: asyncio.Lock | None = None
        self._server: Server | UserSession
        if address is None:
            assert session is not None
            self._server = UserSession(session, self.name, timeout_seconds)
        else:
            self._server = Server(
                ConnectionSettings(
                    name=displayable(self.name),
                    address=address,
                    log=ServerLog(self.name),
                    timeout_s=timeout_seconds,
                    start_timeout_s=_seconds("start_timeout_seconds", start_timeout_seconds),
                    protocol_mode=protocol_mode,
                )
            )

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self._server, UserSession):
            raise TypeError("cannot pickle MCPTools with a session; pass a command or url")
        return functools.partial(type(self), **self._arguments), ()

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # Copies of an agent share the connection.

    @property
    def tools(self) -> list[Tool]:
        """The tools. If they are not known yet, this starts the server, or connects to it."""
        if not self.initialized:
            on_session_loop = isinstance(self._server, UserSession) and _is_running(self._server.loop)
            if is_on_loop() or on_session_loop:
                raise InvalidInputError(f"{self!r}: its tools are not known yet; `await connect()` first")
            run_blocking(self.prepare_tools(), method="tools", instead="connect()")
        return [*self.functions.values()]

    @tools.setter
    def tools(self, tools: Any) -> None:
        raise InvalidInputError("the tools of an MCP server cannot be set; use include_tools or exclude_tools")

    def get_functions(self) -> dict[str, Tool]:
        return {each.name: each for each in self.tools}

    get_async_functions = get_functions

    async def connect(self, force: bool = False) -> None:
        """Connect and list the tools now instead of with the first run. `force` makes a new connection.

        Raises
        ------
        ToolServerError
            The server cannot be started or reached, or its list of tools cannot be read.
        InvalidInputError
            It has no tool of a name in one of the lists.
        """
        await run_awaiting(self._connect(force))

    async def _connect(self, force: bool) -> None:
        if force:
            await self._server.close()
            self.initialized = False
        await self.prepare_tools()
        await self._peer({})

    async def close(self) -> None:
        """Close the connection, which ends a server that was started with a command. The next call starts it again."""
        await run_awaiting(self._server.close())

    async def is_alive(self) -> bool:
        """Whether there is a connection and the server answers."""
        return await run_awaiting(self._is_alive())

    async def _is_alive(self) -> bool:
        if not self._server.is_connected:
            return False
        peer = await self._peer({})
        return await peer.is_responsive() if isinstance(peer, Connection) else True

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def prepare_tools(self) -> None:
        """List the tools if they are not known or have changed. Agents call it before each run, on the background loop.

        If the list cannot be read again, the known tools stay, and their calls report the error.
        """
        if self.initialized and not (self.refresh_connection or self._server.is_stale):
            return
        if self._listing is None:
            self._listing = asyncio.Lock()
        async with self._listing:
            if self.initialized and not (self.refresh_connection or self._server.is_stale):
                return  # Another run has listed them in the meantime.
            try:
                self._server.is_stale = False
                listing = await list_tools(await self._peer({}), self.name, self.timeout_seconds)
            except ToolServerError:
                if not self.initialized:
                    raise
                return
            self._take(listing)

    async def _peer(self, injected: Mapping[str, Any]) -> Peer:
        headers = None
        if self.header_provider is not None:
            available = {"run_context": None, "agent": None, "team": None, **injected}
            try:
                provided = await call_sync_or_async(
                    self.header_provider, **matching_kwargs(self.header_provider, available)
                )
            except Exception as error:
                raise ToolServerError(f"the header_provider of MCP server {self.name!r} failed: {error}") from error
            headers = {key: str(value) for key, value in (provided or {}).items()}
        return await self._server.peer(headers)

    def _take(self, listing: Listing) -> None:
        """Make tools of the listed ones."""
        known = [each.name for each in listing.tools]
        confirm = [] if isinstance(self.confirm, bool | None) else self.confirm
        lists = {"include_tools": self.include_tools, "exclude_tools": self.exclude_tools, "confirm": confirm}
        for setting, names in {**lists, **self._lists}.items():
            for name in names:
                # A name that was right once is not wrong because the server has withdrawn the tool.
                if name not in known and not self.initialized:
                    raise InvalidInputError(
                        f"MCP server {self.name!r} has no tool {displayable(name)!r} for {setting}: "
                        f"{displayable(nearest(name, known))}"
                    )
        functions: dict[str, Tool] = {}
        for each in listing.tools:
            if each.name in self.exclude_tools or (self.include_tools and each.name not in self.include_tools):
                continue
            problem = schema_problem(each.input_schema)
            name = valid_tool_name("_".join(filter(None, [self.tool_name_prefix, each.name])))
            if not valid_tool_name(each.name):
                problem = "its name has no letters or digits"
            elif name in functions:
                problem = f"another one has the name {name!r} too"
            if problem is None:
                functions[name] = self._tool(each, name)
            else:
                shown = displayable(shorten(each.name, 100))
                warn(f"the tool {shown!r} of MCP server {displayable(self.name)!r} is left out: {problem}")
        self.functions, self.initialized = functions, True
        if "instructions" not in self._arguments:
            self.instructions = shorten(listing.instructions or "", MAX_DESCRIPTION) or None

    def _tool(self, described: types.Tool, name: str) -> Tool:
        output_schema = described.output_schema
        if output_schema is not None and schema_problem(output_schema) is not None:
            output_schema = None

        async def call_server(**arguments: Any) -> Any:
            call = current_call.get() or ServerCall()
            call.output_schema = output_schema
            try:
                peer = await self._peer(call.injected)
                try:
                    result = await peer.call(described.name, arguments, call)
                except SessionEnded:
                    peer = await self._peer(call.injected)  # A new session.
                    result = await peer.call(described.name, arguments, call)
            except ToolServerError as error:
                call.error = str(error)
                raise
            if result.is_error:
                call.error = error_text(result)
                raise CallFailed(call.error)
            return value_of(result)

        is_external = described.name in self._lists["external_execution_required_tools"]
        stops = described.name in self._lists["stop_after_tool_call_tools"]
        return ServerTool(
            call_server,
            name=name,
            description=shorten(described.description or described.title or "", MAX_DESCRIPTION),
            json_schema=described.input_schema,
            requires_confirmation=self._needs_approval(described) and not is_external,
            external_execution=is_external,
            stop_after_tool_call=stops,
            show_result=described.name in self._lists["show_result_tools"] or stops,
            **self._caching,
        )

    def _needs_approval(self, described: types.Tool) -> bool:
        if described.name in self._lists["requires_confirmation_tools"]:
            return True
        if self.confirm is None:
            # Not the default of the specification, which is true: most servers have no hints.
            return described.annotations is not None and described.annotations.destructive_hint is True
        return self.confirm if isinstance(self.confirm, bool) else described.name in self.confirm

    async def describe(self) -> Listing:
        """Return the tools, resources, templates of resources, and prompts of the server.

        Raises
        ------
        ToolServerError
            The server cannot be started or reached, or does not answer.
        """
        return await run_awaiting(self._describe())

    async def _describe(self) -> Listing:
        await self.prepare_tools()
        return await list_all(await self._peer({}), self.name, self.timeout_seconds)

    @property
    def shown_address(self) -> str:
        """The command or URL without keys."""
        return displayable(shown_address(self.address))

    def __repr__(self) -> str:
        state = f"tools={[*self.functions]}" if self.initialized else "not connected"
        return displayable(f"MCPTools({self.name!r}, {state})")


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _check_package() -> None:
    if find_spec("mcp") is None:
        raise InvalidInputError("MCP servers need the package mcp; run `pip install 'agno_nb[mcp]'`")


def _seconds(setting: str, value: float) -> float:
    if not isinstance(value, int | float) or not value > 0:
        raise InvalidInputError(f"{setting} is {value!r}; pass a number of seconds greater than 0")
    return value


def _names(setting: str, names: Collection[str] | None) -> list[str]:
    if isinstance(names, str) or any(not isinstance(each, str) for each in names or ()):
        raise InvalidInputError(f"{setting} is {names!r}; pass a list of names")
    return [*(names or ())]
