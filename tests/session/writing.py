"""Models that write summaries, immediately or when released."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator

from agno_nb.event_loop import in_thread
from agno_nb.models.base import Delta, ModelRequest, ModelResponse
from agno_nb.testing import FunctionModel, Reply, ScriptedModel
from agno_nb.types import Message


def summary(text: str, *topics: str) -> str:
    return json.dumps({"summary": text, "topics": list(topics)})


def numbered() -> ScriptedModel:
    """Writes "summary 0", "summary 1" and so on."""
    return ScriptedModel((summary(f"summary {number}", f"topic {number}") for number in range(1000)), id="writer")


def echo(messages: list[Message], tools: object) -> Reply:
    return f"you said {messages[-1].content}"


def conversation(request: ModelRequest) -> str:
    """What of the conversation stands in a request for a summary."""
    text = request.messages[-1].content or ""
    return text.partition("<conversation>\n")[2].partition("\n</conversation>")[0]


class HeldModel(FunctionModel):
    """Writes "summary N" when it is let go."""

    def __init__(self) -> None:
        super().__init__(lambda messages, tools: summary(f"summary {len(self.requests) - 1}"), id="held")
        self.asked = threading.Event()
        self.let_go = threading.Event()
        self.done = threading.Event()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        self.asked.set()
        assert await in_thread(self.let_go.wait, 30)
        async for piece in super().stream(request):
            if isinstance(piece, ModelResponse):
                self.done.set()
            yield piece
