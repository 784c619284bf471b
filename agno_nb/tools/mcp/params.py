"""Where an MCP server is: a command to execute, or a URL. agno's classes of parameters are accepted too."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal
from urllib.parse import urlsplit

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.redact import is_secret_name, redact, remember_secret, without_userinfo
from agno_nb.tools.mcp.stdio import Command

Transport = Literal["stdio", "streamable-http", "sse"]
TRANSPORTS = ("stdio", "streamable-http", "sse")
_RUNNERS = ("uv", "uvx", "npx", "bunx", "pipx", "python", "python3", "node", "docker", "run", "tool")
"""Words of a command that don't name the server."""
_NAMED_VALUE = re.compile(r"(?:^|(?<=[=?&]))([^=?&:/]+)(?:=|: ?)(?!//)([^&]+)")
"""A name and its value in a word of a command or in a URL."""


@suggest_on_unknown_kwarg({})
@dataclass
class StreamableHTTPClientParams:
    """Parameters of a server with the streamable HTTP transport, as in agno."""

    url: str
    headers: dict[str, Any] | None = field(default=None, repr=False)
    timeout: float | None = 30
    """Seconds for connecting and sending."""
    sse_read_timeout: float | None = 60 * 5
    """Seconds between two events of a stream."""
    terminate_on_close: bool | None = None
    """Whether to end the session of the server when the connection is closed. Unlike in agno, None means True."""


@suggest_on_unknown_kwarg({})
@dataclass
class SSEClientParams:
    """Parameters of a server with the older SSE transport, as in agno."""

    url: str
    headers: dict[str, Any] | None = field(default=None, repr=False)
    timeout: float | None = 5
    sse_read_timeout: float | None = 60 * 5


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The URL of a server."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_sse: bool = False
    timeout_s: float = 30
    read_timeout_s: float = 300
    terminate_on_close: bool = True


Address = Command | Endpoint


def address_of(
    command: str | Sequence[str] | None,
    url: str | None,
    transport: str | None,
    server_params: Any,
    env: Mapping[str, str] | None,
    headers: Mapping[str, Any] | None,
) -> Address | None:
    """Return the address that the parameters of `MCPTools` describe, or None if there is none.

    Raises
    ------
    InvalidInputError
        The parameters contradict each other.
    """
    if transport is not None and transport not in TRANSPORTS:
        raise InvalidInputError(f"transport is {transport!r}; pass one of {', '.join(map(repr, TRANSPORTS))}")
    sources = {"command": command, "url": url, "server_params": server_params}
    if len(given := [name for name, value in sources.items() if value is not None]) > 1:
        raise InvalidInputError(f"MCPTools got {' and '.join(given)}; pass one of them")
    address: Address | None = None
    if command is not None:
        program, *args = _words(command)
        address = Command(program=program, args=tuple(args), env=_texts("env", env))
    elif server_params is not None and hasattr(server_params, "command"):
        address = Command(
            program=server_params.command,
            args=tuple(server_params.args or ()),
            env={**(server_params.env or {}), **_texts("env", env)},
            cwd=server_params.cwd,
        )
    elif server_params is not None and not hasattr(server_params, "url"):
        raise InvalidInputError(
            f"server_params is of type {type(server_params).__name__}; pass mcp.StdioServerParameters, "
            "StreamableHTTPClientParams or SSEClientParams"
        )
    elif server_params is not None or url is not None:
        address = _endpoint(url, transport, server_params, headers)
    if address is not None and transport is not None and (transport == "stdio") != isinstance(address, Command):
        remedy = "a url" if isinstance(address, Command) else "a command"
        raise InvalidInputError(f"transport {transport!r} needs {remedy}")
    if headers and not isinstance(address, Endpoint):
        raise InvalidInputError("headers are for servers with a url; pass variables of a command's environment as env=")
    if env and not isinstance(address, Command):
        raise InvalidInputError("env is for servers with a command; pass headers= to a server with a url")
    remember_secrets(address)
    return address


def _endpoint(url: str | None, transport: str | None, params: Any, headers: Mapping[str, Any] | None) -> Endpoint:
    url = url or params.url
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https"):
        raise InvalidInputError(f"url is {redact(without_userinfo(str(url)))!r}; pass one with http:// or https://")
    is_sse_params = "sse" in type(params).__name__.lower()
    if params is not None and transport is not None and is_sse_params != (transport == "sse"):
        raise InvalidInputError(f"transport {transport!r} contradicts {type(params).__name__}; leave it out")
    of_params = {
        "timeout_s": "timeout",
        "read_timeout_s": "sse_read_timeout",
        "terminate_on_close": "terminate_on_close",
    }
    values = {name: getattr(params, theirs, None) for name, theirs in of_params.items()}
    return Endpoint(
        url=url,
        headers=_texts("headers", {**(getattr(params, "headers", None) or {}), **(headers or {})}),
        is_sse=transport == "sse" or is_sse_params,
        **{name: value for name, value in values.items() if value is not None},
    )


def _words(command: str | Sequence[str]) -> list[str]:
    try:
        words = shlex.split(command, posix=os.name != "nt") if isinstance(command, str) else list(map(str, command))
    except ValueError as error:
        raise InvalidInputError(f"cannot read the command {command!r}: {error}") from None
    if not words:
        raise InvalidInputError("the command is empty; pass for example 'uvx mcp-server-time'")
    return words


def _texts(name: str, values: Mapping[str, Any] | None) -> dict[str, str]:
    for key, value in (values or {}).items():
        if value is None:
            raise InvalidInputError(f"{name}[{key!r}] is None; pass a string, or leave it out")
    return {key: str(value) for key, value in (values or {}).items()}


def remember_secrets(address: Address | None) -> None:
    """Let no output, error or log line show the keys that a server is passed."""
    for secret in _secrets(address):
        remember_secret(secret)
        remember_secret(secret.rpartition(" ")[2])  # Without "Bearer".


def _secrets(address: Address | None) -> Iterator[str]:
    """Yield the values with the name of a secret."""
    if address is None:
        return
    named = address.env if isinstance(address, Command) else address.headers
    yield from (value for name, value in named.items() if is_secret_name(name))
    words = list(address.args) if isinstance(address, Command) else [address.url]
    for word, following in zip(words, [*words[1:], ""], strict=False):
        # --token=x, -e TOKEN=x, https://host/mcp?token=x, and --header "Authorization: x".
        yield from (found[2].strip() for found in _NAMED_VALUE.finditer(word) if is_secret_name(found[1]))
        if word.startswith("-") and not following.startswith("-") and is_secret_name(word):
            yield following


def default_name(address: Address | None) -> str:
    """Return a short name of a server: the package or file of its command, or the host of its URL."""
    if address is None:
        return "MCPTools"
    if isinstance(address, Endpoint):
        return urlsplit(address.url).hostname or "MCPTools"
    # The name is shown, so that it must not be a key among the arguments.
    args = [word for word in address.args if not word.startswith("-") and "=" not in word and redact(word) == word]
    words = [PurePath(word).name for word in (address.program, *args)]
    stems = [word.partition("@")[0].removesuffix(".py") or word for word in words]
    return next((stem for stem in stems if stem.rstrip(".0123456789") not in _RUNNERS), stems[0])


def shown_address(address: Address | None) -> str:
    """Return the command or URL without keys."""
    if address is None:
        return "session"
    if isinstance(address, Endpoint):
        return redact(without_userinfo(address.url).partition("?")[0])
    return redact(shlex.join([address.program, *address.args]))
