"""Models for tests of your own agents: their replies are scripted or computed, and they record their requests."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, TypeAlias

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import ModelError
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.types import Message, Metrics, ToolCall, ToolSpec

Reply: TypeAlias = "str | ToolCall | Sequence[ToolCall] | ModelResponse | BaseException"

__all__ = ["FunctionModel", "Reply", "ScriptedModel", "call"]

_call_numbers = itertools.count(1)


def call(tool_name: str, **arguments: Any) -> ToolCall:
    """Make a tool call for a script.

    Examples
    --------
    >>> call("add", a=1).tool_args
    {'a': 1}
    """
    return ToolCall(tool_call_id=f"call_{next(_call_numbers)}", tool_name=tool_name, arguments=json.dumps(arguments))


@suggest_on_unknown_kwarg({})
class FunctionModel(Model):
    """A model that replies with the result of a function.

    Parameters
    ----------
    function : callable
        Called with the messages and tools of each request. Returns text, which is streamed word by word, one or more
        tool calls, a complete :class:`~agno_nb.models.base.ModelResponse`, or an exception to raise.
    id, provider : str, optional
        Name of the model and of its provider.

    Attributes
    ----------
    requests : list of ModelRequest
        All requests so far, oldest first.
    """

    def __init__(
        self,
        function: Callable[[list[Message], list[ToolSpec]], Reply],
        *,
        id: str = "function",
        provider: str = "test",
    ) -> None:
        self.id = id
        self.provider = provider
        self.function = function
        self.requests: list[ModelRequest] = []

    @property
    def is_priced(self) -> bool:
        """True: a reply can contain its cost."""
        return True

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        """Yield the reply word by word, then the complete response."""
        self.requests.append(request)
        response = _response(self.function(request.messages, request.tools))
        for word in re.findall(r"\s*\S+\s*", response.content or "") or [response.content or ""]:
            if word:
                yield Delta(content=word)
        yield response


@suggest_on_unknown_kwarg({})
class ScriptedModel(FunctionModel):
    """A model that returns scripted replies in order.

    Examples
    --------
    >>> from agno_nb.agent.agent import Agent
    >>> model = ScriptedModel([call("add", a=1, b=2), "It is 3."])
    >>> def add(a: int, b: int) -> int:
    ...     return a + b
    >>> run = Agent(model, tools=[add]).run("1 + 2?")
    >>> run.tools[0].result, run.content
    ('3', 'It is 3.')
    """

    def __init__(self, replies: Iterable[Reply], *, id: str = "scripted", provider: str = "test") -> None:
        self._replies = iter(replies)
        super().__init__(self._next, id=id, provider=provider)

    def _next(self, messages: list[Message], tools: list[ToolSpec]) -> Reply:
        for reply in self._replies:
            return reply
        raise ModelError(f"the script has no reply for request {len(self.requests)}; add one to ScriptedModel([...])")


def _response(reply: Reply) -> ModelResponse:
    if isinstance(reply, BaseException):
        raise reply
    if isinstance(reply, ModelResponse):
        return reply
    if isinstance(reply, str):
        words = len(reply.split())
        return ModelResponse(content=reply, finish_reason="stop", metrics=Metrics(output_tokens=words))
    calls = [reply] if isinstance(reply, ToolCall) else list(reply)
    return ModelResponse(tool_calls=calls, finish_reason="tool_calls")
