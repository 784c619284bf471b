"""The provider boundary. Nothing of a provider's SDK passes it.

A model is one method. What it yields are pieces of text as they arrive, and last the whole response; a stream that
cannot end with a whole response raises a :class:`~agno_nb.errors.ModelError`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import ModelError, ModelStreamError
from agno_nb.models.retry import RetryPolicy
from agno_nb.redact import CharacterJoiner, whole_characters
from agno_nb.types import JsonDict, Message, Metrics, ToolCall, ToolSpec


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class ModelRequest:
    """What the model is asked."""

    messages: list[Message]
    tools: list[ToolSpec] = field(default_factory=list)
    allow_tool_calls: bool = True
    """False tells the model to answer in text although tools are listed."""
    output_schema: JsonDict | None = None
    """JSON schema that the answer must follow."""
    output_name: str = "answer"
    """Name of that schema on the wire: letters, digits, _ and -."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class Delta:
    """A piece of the answer, as it arrives."""

    content: str = ""
    reasoning_content: str = ""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class ModelResponse:
    """The whole answer to one request."""

    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    """Tokens and cost as the server reports them. Times are measured by the pipeline."""
    finish_reason: str | None = None
    model: str | None = None
    """The model that the server says it used."""
    provider_data: JsonDict | None = None
    """Raw items to send back with this message in later requests to the same provider and model."""


class Model(ABC):
    """A language model at an endpoint.

    Attributes
    ----------
    id : str
        The provider's name of the model, as in ``"gpt-5-mini"``.
    provider : str
        Who serves it, as in ``"openai"``. Prices and raw items belong to this name.
    sees_images : bool
        Whether it takes images. A notebook does not send a figure to a model that does not.
    """

    id: str
    provider: str
    sees_images: bool = True

    @abstractmethod
    def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        """Send `request`; yield pieces as they arrive and the whole response last.

        Runs on the loop of :mod:`agno_nb.event_loop`. Closing the iterator early closes the connection.

        Raises
        ------
        ModelError
            When there is no whole response.
        """

    @property
    def is_priced(self) -> bool:
        """Whether it is known what a request will cost. A budget in money needs it."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """Describe the model without secrets: what may be stored and shown."""
        return {"id": self.id, "provider": self.provider}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r})"


async def join_characters(pieces: AsyncIterator[Delta | ModelResponse]) -> AsyncGenerator[Delta | ModelResponse]:
    """Yield what the stream of a model yields, but in whole characters and with usage that can be true.

    A model may cut its text anywhere, even in the middle of an emoji. Half a character can be neither stored nor shown.
    """
    content, reasoning = CharacterJoiner(), CharacterJoiner()
    async with aclosing(pieces):  # type: ignore[type-var]
        async for piece in pieces:
            if isinstance(piece, Delta):
                text, thought = content.add(piece.content), reasoning.add(piece.reasoning_content)
            else:
                text, thought = content.flush(), reasoning.flush()
            if text or thought:
                yield Delta(content=text, reasoning_content=thought)
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


async def complete(model: Model, request: ModelRequest) -> ModelResponse:
    """Ask a model, of which nobody watches the answer arrive; again where its failure may pass.

    Raises
    ------
    ModelError
        There is no whole answer.
    """
    policy = RetryPolicy()
    for failures in itertools.count():
        started = time.perf_counter()
        try:
            async with aclosing(join_characters(model.stream(request))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, ModelResponse):
                        piece.metrics.duration_s = time.perf_counter() - started
                        return piece
        except ModelError as error:
            wait_s = policy.wait_s(error, failures)
            if wait_s is None:
                raise
            await asyncio.sleep(wait_s)
        else:
            break
    raise ModelStreamError(f"{model!r} ended its stream without a whole response")
