"""Send one request to a model and keep all it yields."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from agno_nb.errors import ModelError
from agno_nb.models.base import Delta, ModelRequest, ModelResponse, join_characters
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.types import Message, ToolSpec

WEATHER = ToolSpec(
    name="get_weather",
    description="Weather of a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


@dataclass(kw_only=True)
class Outcome:
    """The pieces that a model yielded, and the response or error."""

    deltas: list[Delta] = field(default_factory=list)
    response: ModelResponse | None = None
    error: ModelError | None = None

    @property
    def text(self) -> str:
        return "".join(delta.content for delta in self.deltas)

    @property
    def last_discard(self) -> int:
        """Place of the last delta that discards those before it."""
        return max((place for place, delta in enumerate(self.deltas) if delta.discards_content), default=0)

    @property
    def reasoning(self) -> str:
        return "".join(delta.reasoning_content for delta in self.deltas)

    @property
    def whole(self) -> ModelResponse:
        """The response, of a model that did not fail."""
        if self.error is not None:
            raise self.error
        assert self.response is not None
        return self.response

    @property
    def failure(self) -> ModelError:
        """The error, of a model that failed."""
        assert self.error is not None, self.response
        assert self.response is None
        return self.error


async def ask_async(model: OpenAIModel, request: ModelRequest | str = "Hi") -> Outcome:
    if isinstance(request, str):
        request = ModelRequest(messages=[Message(role="user", content=request)], tools=[WEATHER])
    outcome = Outcome()
    try:
        async for piece in join_characters(model.stream(request)):
            if isinstance(piece, Delta):
                outcome.deltas.append(piece)
            else:
                outcome.response = piece
    except ModelError as error:
        outcome.error = error
    finally:
        await model.aclose()
    return outcome


def ask(model: OpenAIModel, request: ModelRequest | str = "Hi") -> Outcome:
    return asyncio.run(ask_async(model, request))
