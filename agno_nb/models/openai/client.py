"""The common part of OpenAI's two APIs: settings, key, connection, and the translation of errors."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import warnings
import weakref
from abc import abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from agno_nb._agno_parts import OF_MODELS, AgnoKeywords
from agno_nb.errors import InvalidInputError, ModelAuthenticationError, ModelError
from agno_nb.models import prices
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse, with_unique_ids
from agno_nb.models.openai.connection import NO_KEY, account_headers, close_on, new_client
from agno_nb.models.openai.errors import model_error, provider_error, unreadable_error, web_page_error
from agno_nb.models.openai.profiles import CallIds, Endpoint, Profile, Unseen
from agno_nb.models.openai.schema import schema_fields
from agno_nb.models.openai.schema_rules import rewrite_schema
from agno_nb.models.openai.stream import Event, Limits, read_events
from agno_nb.models.openai.text_calls import TextCallReader
from agno_nb.models.openai.wire import Answer, ToolNames, parse_json, sendable
from agno_nb.redact import is_secret_name, remember_secret, without_secrets
from agno_nb.types import JsonDict, Message, Metrics, as_dict, whole_number

MODEL_ALIASES = {"default_headers": "extra_headers", "request_params": "extra_body", "max_retries": "retries"}
"""agno's names of settings."""

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI
    from openai._types import Headers
    from pydantic import SecretStr

    ApiKey = str | SecretStr | Callable[[], str | Awaitable[str]]


@dataclass(kw_only=True, repr=False, eq=False)
class OpenAIModel(Model):
    """A model at a server with one of OpenAI's two APIs, with the settings of both."""

    id: str = field(default="gpt-5-mini", kw_only=False)
    """The model's name at the server."""
    api_key: ApiKey | None = None
    """The key, or a sync or async function that returns it, called before each request. By default the key is read from
    the provider's environment variable at each request, and sent only to the provider's own hosts."""
    base_url: str | None = None
    """URL of the server, for example ``"http://localhost:8000/v1"``; a query is sent with each request. Defaults to
    `OPENAI_BASE_URL` or OpenAI."""
    provider: str = ""
    """Name of the provider, which determines prices and profile. By default derived from the URL."""
    sees_images: bool = True
    """Whether the model accepts images. If False, notebooks don't send it figures."""
    tool_images: bool | None = None
    """Whether the model is sent images that tools return. By default as its server is known: OpenAI, Gemini, Claude and
    Grok are, others are not, because many small models fail."""
    organization: str | None = None
    project: str | None = None
    temperature: float | None = None
    """How freely tokens are chosen, from 0 to 2: 0 for nearly the same answer each time. Reasoning models often refuse
    it. By default the server's, as for all settings that are None."""
    top_p: float | None = None
    """Choose among the most likely tokens that together have this probability, from 0 to 1."""
    reasoning_effort: str | None = None
    """For reasoning models: "none", "minimal", "low", "medium", "high", ..."""
    strict_output: bool = True
    """Whether to use the server's strict mode for output schemas that allow it."""
    timeout: float = 600.0
    """Seconds without a byte after which the request fails. A whole answer may take longer."""
    total_timeout: float = 3600.0
    """Seconds after which the request fails even if bytes, for example keepalives, still arrive."""
    loading_timeout: float = 60.0
    """Seconds to wait for a server that responds that it is loading the model."""
    max_event_bytes: int = 16 * 2**20
    """Size limit of a stream event, or of an answer that is not streamed, after decompression."""
    max_response_bytes: int = 128 * 2**20
    """Size limit of a response after decompression. Events are about a hundred times as long as their text."""
    retries: int | None = None
    """Maximum number of retries of a request, instead of the agent's setting."""
    delay_between_retries: float | None = None
    """Seconds before the first retry, instead of the agent's setting."""
    exponential_backoff: bool | None = None
    """Whether to double the delay after each retry, instead of the agent's setting."""
    cache_response: bool = False
    """Whether runs use the response cache of their store by default, as with ``run(..., cache=True)``."""
    extra_headers: Mapping[str, str] | None = None
    extra_body: JsonDict | None = None
    """Further fields of the request, which take precedence over ours."""
    profile: Profile | None = None
    """Deviations of the server from OpenAI's API, if `provider` doesn't determine them."""
    transport: httpx2.AsyncBaseTransport | None = None
    """An HTTP transport to use instead of the network."""
    endpoint: Endpoint = field(init=False)
    """Target of requests, resolved from settings and environment when the model was created."""
    _connection: tuple[asyncio.AbstractEventLoop, AsyncOpenAI] | None = field(default=None, init=False)

    agno_keywords: ClassVar[AgnoKeywords] = OF_MODELS
    home: ClassVar[str] = "openai"
    """The provider whose URL is the default."""
    path: ClassVar[str]
    """Path of the API below the base URL."""
    answer_field: ClassVar[str]
    """A field that identifies an answer that is not streamed."""
    sampling: ClassVar[tuple[str, ...]] = ("temperature", "top_p", "reasoning_effort")
    """Settings that, like the limit of the answer, change what the model says."""

    def __post_init__(self) -> None:
        self.endpoint = Endpoint.find(
            home=self.home, base_url=self.base_url, provider=self.provider, profile=self.profile
        )
        self.provider = self.endpoint.provider
        for name in ("timeout", "total_timeout", "max_event_bytes", "max_response_bytes"):
            limit = getattr(self, name)
            if not isinstance(limit, int | float) or isinstance(limit, bool) or not limit > 0:
                raise InvalidInputError(f"{name} is {limit!r}; it must be a number greater than 0")
        if self.retries is not None:
            whole_number("retries", self.retries, least=0)
        if not isinstance(self.loading_timeout, int | float) or not self.loading_timeout >= 0:
            raise InvalidInputError(f"loading_timeout is {self.loading_timeout!r}; pass seconds, or 0 not to wait")
        if self.base_url is not None:
            # The endpoint's URL has no password.
            self.base_url = self.endpoint.base_url
        if isinstance(self.api_key, str):
            from pydantic import SecretStr

            remember_secret(self.api_key.strip())
            # Not shown by repr, vars() and debuggers.
            self.api_key = SecretStr(self.api_key.strip()) if self.api_key.strip() else None
        if self.endpoint.basic_auth and self.api_key is not None:
            raise InvalidInputError(
                f"the base URL of {self.endpoint} contains a user and a password, and api_key is set too, but a "
                "request can only send one of them; remove one"
            )
        for name, value in (self.extra_headers or {}).items():
            if is_secret_name(name):
                # A server may repeat it.
                remember_secret(str(value))
        has_key = self.api_key is not None or bool(self.endpoint.key_in_environment() or self.endpoint.basic_auth)
        if has_key and self.transport is None and not self.endpoint.is_private:
            warnings.warn(
                f"The key for {self.endpoint} is sent unencrypted, because its URL starts with http://; use https://.",
                stacklevel=3,
            )

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without keys and connection. An unpickled model reads its environment again."""
        state = {**self.__dict__, "api_key": None, "_connection": None}
        del state["endpoint"]
        return state | {name: without_secrets(state[name]) for name in ("extra_headers", "extra_body")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _connection=None)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        other = memo[id(self)] = copy(self)
        for name in ("extra_headers", "extra_body"):
            setattr(other, name, deepcopy(getattr(self, name), memo))
        return other

    def to_dict(self) -> dict[str, Any]:
        names = (*self.sampling, self.output_limit_name)
        settings = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.extra_body:
            # A hash, because the body may contain a key.
            body = json.dumps(self.extra_body, sort_keys=True, default=str)
            settings["extra_body"] = hashlib.sha256(body.encode()).hexdigest()[:16]
        return {"id": self.id, "provider": self.provider, "endpoint": self.endpoint.host, **settings}

    @property
    def is_priced(self) -> bool:
        return prices.cost(self.provider, self.id, Metrics(input_tokens=0, output_tokens=0)) is not None

    @property
    def sees_tool_images(self) -> bool:
        wanted = self.endpoint.profile.tool_images if self.tool_images is None else self.tool_images
        return self.sees_images and wanted

    def came_from_here(self, message: Message) -> bool:
        """Whether this model wrote `message`, so that its raw data may be sent back."""
        data = message.provider_data or {}
        return (data.get("provider"), data.get("model")) == (self.provider, self.id)

    async def aclose(self) -> None:
        """Close the connections. The model can still be used; connections are also closed when it is deleted."""
        if self._connection is not None:
            _, client = self._connection
            self._connection = None
            await client.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | ModelResponse]:
        """Stream the answer. Deltas may start and end in the middle of a character."""
        answer, names = self._new_answer(), ToolNames(request, call_ids=self._call_ids)
        sent = names.repaired_request()
        reader = TextCallReader(
            sent.tools, request.messages, request.output_schema, is_active=self._reads_text_calls(request)
        )
        ids_in_use = {call.tool_call_id for message in request.messages for call in message.tool_calls}
        try:
            async with aclosing(self._post(self._body(sent))) as frames:
                async for frame in frames:
                    if frame is None:
                        answer.is_done = True
                    elif (delta := answer.add(frame)) is not None and (delta := reader.add(delta)) is not None:
                        yield delta
                    if answer.is_ended:
                        break
            if (delta := answer.finish()) is not None and (delta := reader.add(delta)) is not None:
                yield delta
            response = answer.to_response(ids_in_use)
        except ModelError:
            if (delta := answer.finish()) is not None and (delta := reader.add(delta)) is not None:
                yield delta
            if (delta := reader.flush()) is not None:
                yield delta
            raise
        if (delta := reader.finish(response, advice=self.endpoint.profile.parser_advice)) is not None:
            yield delta
        with_unique_ids([call for call in response.tool_calls if not call.tool_call_id], ids_in_use)
        names.restore(response)
        if response.metrics.cost is None:
            # In a thread, because the first call reads a price table for a tenth of a second.
            model = response.model or self.id
            response.metrics.cost = await asyncio.to_thread(prices.cost, self.provider, model, response.metrics)
        yield response

    @property
    def _call_ids(self) -> CallIds:
        return self.endpoint.profile.call_ids

    @abstractmethod
    def _body(self, request: ModelRequest) -> JsonDict:
        """Return the body of the HTTP request."""

    @abstractmethod
    def _new_answer(self) -> Answer:
        """Return an empty answer."""

    def _reads_text_calls(self, request: ModelRequest) -> bool:
        reads = request.parse_text_tool_calls
        reads = not self.endpoint.profile.parses_calls if reads is None else reads
        return reads and request.tool_choice != "none"

    def _output_schema(self, request: ModelRequest, schema: JsonDict) -> JsonDict:
        profile = self.endpoint.profile
        enforced, limited = self.strict_output, profile.limited_strict
        fields = schema_fields(request.output_name, schema, enforced=enforced, limited=limited)
        return {**fields, "schema": rewrite_schema(fields["schema"], profile.schema_rules)}

    async def _post(self, body: JsonDict) -> AsyncGenerator[JsonDict | None]:
        """Send `body` and yield the frames of the answer as parsed JSON, and None for ``[DONE]``.

        The SDK builds its objects without validation, so that their fields may have any type.
        """
        limits = Limits(self)
        try:
            response = await limits.wait_for(self._send(body))
            async with aclosing(self._frames(response, limits)) as frames:
                async for frame in frames:
                    yield frame
            return
        except ModelError as error:
            failure = error.with_traceback(None)
        except Exception as error:
            translated = model_error(error, self.endpoint, self.id, self.timeout)
            if translated is None:
                raise
            failure = translated
        # Raised outside of the except blocks. Otherwise the context would be the SDK's error, which holds the request
        # and its key, and whose traceback holds the response.
        raise failure

    async def _send(self, body: JsonDict) -> httpx2.Response:
        from httpx2 import Response
        from openai import AsyncStream

        # With this type, the SDK returns the response when its headers have arrived. See `read_events`.
        return await self._client().post(  # type: ignore[return-value]
            self.path,
            body=sendable({**body, **(self.extra_body or {})}),
            options={"headers": await self._headers()},
            cast_to=Response,
            stream=True,
            stream_cls=AsyncStream[object],
        )

    async def _frames(self, response: httpx2.Response, limits: Limits) -> AsyncGenerator[JsonDict | None]:
        try:
            if "html" in response.headers.get("content-type", ""):
                raise web_page_error(self.endpoint)
            async with aclosing(read_events(response, limits)) as events:
                async for event in events:
                    for frame in self._parse(event):
                        yield frame
        finally:
            await response.aclose()

    def _parse(self, event: Event) -> Iterator[JsonDict | None]:
        if event.is_done:
            yield None
            return
        try:
            body, problem = parse_json(event.data), None
        except ValueError as error:
            problem = unreadable_error(event, self.endpoint, error)
        if problem is not None:
            # Raised here, because the context would be the parser's error, which holds the whole text.
            raise problem
        for part in body if isinstance(body, list) else [body]:
            frame = {"message": part} if isinstance(part, str) else as_dict(part)
            is_error = frame.get("error") or event.name == "error"
            if is_error or (event.is_document and self.answer_field not in frame):
                raise provider_error(frame or body, self.endpoint, self.id)
            yield frame

    def _client(self) -> AsyncOpenAI:
        """Return the client of the running loop; SDK clients cannot move between loops."""
        loop = asyncio.get_running_loop()
        if self._connection is None or self._connection[0] is not loop:
            client = new_client(self.endpoint, timeout_s=self.timeout, transport=self.transport)
            self._connection = (loop, client)
            # Not at exit, when the loop no longer runs and the system closes the sockets.
            weakref.finalize(self, close_on, loop, client).atexit = False
        return self._connection[1]

    async def _headers(self) -> Headers:
        headers = account_headers(self.endpoint, organization=self.organization, project=self.project)
        headers["Authorization"] = self.endpoint.basic_auth or Unseen(f"Bearer {await self._key()}")
        return {**headers, **(self.extra_headers or {})}

    async def _key(self) -> str:
        from pydantic import SecretStr

        key = self.api_key
        if callable(key):
            answer = key()
            key = await answer if inspect.isawaitable(answer) else answer
        if isinstance(key, SecretStr):
            key = key.get_secret_value()
        key = key or self.endpoint.key_in_environment()
        if key:
            remember_secret(key)
            return key
        if self.endpoint.needs_key:
            names = " or ".join(self.endpoint.key_variables)
            raise ModelAuthenticationError(
                f"there is no key for {self.endpoint}; set the environment variable {names}, or use the model 'demo', "
                "which needs none"
            )
        return NO_KEY
