"""The provider boundary. Nothing of a provider's SDK passes it.

A model has one method, which yields pieces of text as they arrive and finally the complete response. If there is no
complete response, it raises a :class:`~agno_nb.errors.ModelError`.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import ModelError, ModelStreamError
from agno_nb.models.retry import LoadingWait, RetryPolicy
from agno_nb.redact import CharacterJoiner, whole_characters
from agno_nb.types import JsonDict, Message, Metrics, ToolCall, ToolSpec, new_id


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class ModelRequest:
    """A request to a model."""

    messages: list[Message]
    tools: list[ToolSpec] = field(default_factory=list)
    allow_tool_calls: bool = True
    """If False, the model should answer with text although there are tools."""
    tool_choice: str | None = None
    """"auto" or None, "none", "required", or the name of the tool that the model must call."""
    output_schema: JsonDict | None = None
    """JSON schema that the answer must follow."""
    output_name: str = "answer"
    """Name of the schema in the request: letters, digits, _ and -."""
    max_tokens: int | None = None
    """Limit of the answer, including reasoning; defaults to the limit of the model."""
    parse_text_tool_calls: bool | None = None
    """Whether to read tool calls that the model wrote as text. By default, if the server may not parse them."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class Delta:
    """A piece of the answer."""

    content: str = ""
    reasoning_content: str = ""
    discards_content: bool = False
    """Whether the content of all earlier pieces is not part of the answer, because it was reasoning or a tool call."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class ModelResponse:
    """The complete answer to a request."""

    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    """Tokens and cost reported by the server. The pipeline measures times."""
    finish_reason: str | None = None
    model: str | None = None
    """The model reported by the server."""
    provider_data: JsonDict | None = None
    """Raw items to send back with this message in later requests to the same provider and model. A `placeholder` among
    them says that the answer only shows the form of an `output_schema`. It is added to the run's metadata and shown."""
    warning: str | None = None
    """Something that the user should know about the answer. It is stored as an event and shown."""


class Model(ABC):
    """A language model at an endpoint.

    Attributes
    ----------
    id : str
        The provider's name of the model, for example ``"gpt-5-mini"``.
    provider : str
        Name of the provider, for example ``"openai"``, which determines prices.
    sees_images : bool
        Whether it accepts images. If False, notebooks don't send it figures.
    notice : str or None
        A warning to show in the first turn of a session, next to how to change the model.
    loading_timeout : float
        Seconds to wait for a server that is loading the model.
    retries, delay_between_retries, exponential_backoff : optional
        Settings for retries, which take precedence over the agent's.
    cache_response : bool
        Whether runs use the response cache of their store by default, as with ``run(..., cache=True)``.
    output_limit : int or None
        Maximum number of tokens of an answer, if it is set.
    """

    id: str
    provider: str
    sees_images: bool = True
    notice: ClassVar[str | None] = None
    loading_timeout: float = 60.0
    retries: int | None = None
    delay_between_retries: float | None = None
    exponential_backoff: bool | None = None
    cache_response: bool = False

    @abstractmethod
    def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        """Send `request`; yield pieces as they arrive and finally the complete response.

        Runs on the loop of :mod:`agno_nb.event_loop`. Closing the iterator early closes the connection.

        Raises
        ------
        ModelError
            There is no complete response.
        """

    @property
    def output_limit(self) -> int | None:
        return None

    @property
    def output_limit_name(self) -> str:
        """Name of the setting of `output_limit`."""
        return "max_tokens"

    @property
    def sees_tool_images(self) -> bool:
        """Whether it is sent images that tools return."""
        return False

    @property
    def is_priced(self) -> bool:
        """Whether the price is known. Budgets in US dollars require it."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """Return a description without secrets, which may be stored and shown."""
        return {"id": self.id, "provider": self.provider}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r})"


async def join_characters(pieces: AsyncIterator[Delta | ModelResponse]) -> AsyncGenerator[Delta | ModelResponse]:
    """Yield the pieces of a model's stream with whole characters and without impossible metrics.

    Models may split text anywhere, even in the middle of an emoji. Half a character can be neither stored nor shown.
    """
    content, reasoning = CharacterJoiner(), CharacterJoiner()
    async with aclosing(pieces):  # type: ignore[type-var]
        async for piece in pieces:
            discards = isinstance(piece, Delta) and piece.discards_content
            if discards:
                content.flush()
            if isinstance(piece, Delta):
                text, thought = content.add(piece.content), reasoning.add(piece.reasoning_content)
            else:
                text, thought = content.flush(), reasoning.flush()
            if text or thought or discards:
                yield Delta(content=text, reasoning_content=thought, discards_content=discards)
            if not isinstance(piece, Delta):
                _join_response(piece)
                yield piece


def _join_response(response: ModelResponse) -> None:
    for owner, names in (
        (response, ("content", "reasoning_content", "finish_reason", "model")),
        *((call, ("tool_call_id", "tool_name", "arguments")) for call in response.tool_calls),
    ):
        for name in names:
            if text := getattr(owner, name):
                setattr(owner, name, whole_characters(text))
    response.metrics = response.metrics.drop_impossible()


def with_unique_ids(calls: list[ToolCall], ids_in_use: set[str]) -> list[ToolCall]:
    """Set a new id on calls without one, and on those whose id is already used in the conversation.

    Some servers number the calls of each answer from 0, or give all of them the same id.
    """
    for call in calls:
        if not call.tool_call_id or call.tool_call_id in ids_in_use:
            # Without dashes, the id has at most the 40 characters that Chat Completions accepts.
            call.tool_call_id = f"call_{new_id().replace('-', '')}"
        ids_in_use.add(call.tool_call_id)
    return calls


async def complete(model: Model, request: ModelRequest) -> ModelResponse:
    """Send a request without streaming, with retries of transient failures."""
    policy, loading = RetryPolicy(), LoadingWait(model.loading_timeout)
    failures = 0
    while True:
        started = time.perf_counter()
        try:
            async with aclosing(join_characters(model.stream(request))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, ModelResponse):
                        piece.metrics.duration_s = time.perf_counter() - started
                        return piece
            raise ModelStreamError(f"{model!r} ended its stream without a complete response")
        except ModelError as error:
            if (wait_s := loading.wait_s(error)) is None:
                wait_s, failures = policy.wait_s(error, failures), failures + 1
            if wait_s is None:
                raise
            await asyncio.sleep(wait_s)
