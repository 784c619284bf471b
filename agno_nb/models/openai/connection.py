"""HTTP clients of the SDK, and the headers that name the user's account."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from agno_nb.errors import InvalidInputError
from agno_nb.models.openai.errors import CONNECT_TIMEOUT_S
from agno_nb.models.openai.profiles import Endpoint, environment
from agno_nb.models.openai.stream import raise_for_status

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI, Omit

C = TypeVar("C")

NO_KEY = "no-key-needed"


def new_client(endpoint: Endpoint, *, timeout_s: float, transport: httpx2.AsyncBaseTransport | None) -> AsyncOpenAI:
    """Return a client of the SDK that sends requests to `endpoint` only."""
    from httpx2 import Timeout
    from openai import AsyncOpenAI, DefaultAsyncHttpx2Client

    async def refuse_other_origin(request: httpx2.Request) -> None:
        endpoint.refuse_other_origin(request)

    options: dict[str, Any] = {"transport": transport} if transport else {"verify": _ssl_context()}
    base_url, query = endpoint.base_url_and_query
    return AsyncOpenAI(
        # The key is a header of each request, so that no client object holds it.
        api_key=NO_KEY,
        base_url=base_url,
        default_query=query,
        timeout=Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        # The agent retries, and emits events.
        max_retries=0,
        http_client=connected(
            lambda: DefaultAsyncHttpx2Client(
                **options, event_hooks={"request": [refuse_other_origin], "response": [raise_for_status]}
            )
        ),
    )


def connected(make: Callable[[], C]) -> C:
    """Create an HTTP client. The error about an invalid proxy doesn't quote it, because it may have a password."""
    from httpx2 import InvalidURL

    try:
        return make()
    except (ValueError, InvalidURL, ImportError) as error:
        reason = "it needs the package socksio" if isinstance(error, ImportError) else "it is not a valid URL"
    # Raised outside of the except block, because the traceback of the error holds the URL.
    raise InvalidInputError(
        f"cannot use the proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY: {reason}; set it to, for example, "
        "'http://localhost:3128'"
    )


def account_headers(endpoint: Endpoint, *, organization: str | None, project: str | None) -> dict[str, str | Omit]:
    """Return the headers for an account at OpenAI, without those that the SDK would send to any server."""
    from openai import omit

    headers: dict[str, str | Omit] = {}
    is_own = endpoint.is_openai_account
    if not is_own:
        lines = environment("OPENAI_CUSTOM_HEADERS").split("\n")
        headers.update({line.partition(":")[0].strip(): omit for line in lines if ":" in line})
    headers["OpenAI-Organization"] = organization or (is_own and environment("OPENAI_ORG_ID")) or omit
    headers["OpenAI-Project"] = project or (is_own and environment("OPENAI_PROJECT_ID")) or omit
    return headers


@cache
def _ssl_context() -> ssl.SSLContext:
    """Return the SSL context shared by all clients, because creating it dominates the creation of a client."""
    from httpx2 import create_ssl_context

    return create_ssl_context()


def close_on(loop: asyncio.AbstractEventLoop, client: AsyncOpenAI) -> None:
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(client.close(), loop)
