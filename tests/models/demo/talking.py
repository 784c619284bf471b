"""A conversation with the demo model without an agent: its calls are made and answered here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agno_nb.models.base import Delta, ModelRequest, ModelResponse
from agno_nb.models.demo import DemoModel
from agno_nb.types import Message, ToolSpec

JsonDict = dict[str, Any]
TEXT = {"type": "string"}
NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}


def tool(name: str, description: str = "", required: str = "", **properties: JsonDict) -> ToolSpec:
    """A tool as a request lists it. `required` has names separated by spaces."""
    schema = {"type": "object", "properties": properties, "required": required.split()}
    return ToolSpec(name=name, description=description, parameters=schema)


async def stream(request: ModelRequest, model: DemoModel | None = None) -> tuple[list[Delta], ModelResponse]:
    pieces = [piece async for piece in (model or DemoModel()).stream(request)]
    assert isinstance(pieces[-1], ModelResponse)
    return [piece for piece in pieces if isinstance(piece, Delta)], pieces[-1]


def respond(request: ModelRequest) -> ModelResponse:
    return asyncio.run(stream(request))[1]


@dataclass
class Talk:
    """Asks, makes the calls of the answer, and keeps both as a session does."""

    tools: list[ToolSpec] = field(default_factory=list)
    run: Callable[[str, JsonDict], str] = lambda name, arguments: "done"
    system: str = ""
    messages: list[Message] = field(default_factory=list)
    calls: list[tuple[str, JsonDict]] = field(default_factory=list)
    """The calls of the last turn."""

    def ask(self, prompt: str, **request: Any) -> str:
        """Return the answer to `prompt`."""
        self.messages.append(Message(role="user", content=prompt))
        self.calls = []
        for _ in range(4):
            sent = [Message(role="system", content=self.system), *self.messages]
            response = respond(ModelRequest(messages=sent, tools=self.tools, **request))
            self.messages.append(Message(role="assistant", content=response.content, tool_calls=response.tool_calls))
            if not response.tool_calls:
                return response.content or ""
            for call in response.tool_calls:
                self.calls.append((call.tool_name, call.tool_args))
                result = self.run(call.tool_name, call.tool_args)
                self.messages.append(Message(role="tool", content=result, tool_call_id=call.tool_call_id))
        raise AssertionError(f"the calls do not end: {self.calls}")

    def called(self, prompt: str, **request: Any) -> list[tuple[str, JsonDict]]:
        """Return the calls that `prompt` leads to."""
        self.ask(prompt, **request)
        return self.calls


def answer(prompt: str, *, system: str = "", schema: JsonDict | None = None) -> Any:
    """Return the answer to one prompt; as an object if it has a schema."""
    text = Talk(system=system).ask(prompt, output_schema=schema)
    return text if schema is None else json.loads(text)
