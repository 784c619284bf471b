"""Opening and closing of model connections."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading

import httpx2
import pytest

from agno_nb.event_loop import background_loop
from agno_nb.models.base import Delta, ModelRequest
from agno_nb.models.openai import OpenAIChat
from agno_nb.types import Message
from tests.fakes.http import Answer, FakeServer, sse

REQUEST = ModelRequest(messages=[Message(role="user", content="Hi")])


class Closable(httpx2.AsyncBaseTransport):
    def __init__(self) -> None:
        self.closed = threading.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        frame = {"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=b"".join(sse([frame])))

    async def aclose(self) -> None:
        self.closed.set()


async def pieces(model: OpenAIChat) -> list[object]:
    return [piece async for piece in model.stream(REQUEST)]


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_model_that_is_dropped_closes_its_connections() -> None:
    transport = Closable()
    model = OpenAIChat("m", base_url="https://llm.example/v1", transport=transport)
    answer = asyncio.run_coroutine_threadsafe(pieces(model), background_loop()).result(timeout=30)
    assert answer[0] == Delta(content="Hello")
    assert not transport.closed.is_set()

    del model
    gc.collect()

    assert transport.closed.wait(timeout=30)


def test_a_reader_that_stops_early_closes_the_request(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    frame = {"choices": [{"delta": {"content": "Hello"}}]}
    server.will_say(Answer(chunks=sse([frame], done=False), end="stall"))

    async def first_piece() -> object:
        model = OpenAIChat("m", base_url=server.base_url)
        stream = model.stream(REQUEST)
        piece = await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        await model.aclose()
        return piece

    assert asyncio.run(first_piece(), debug=True) == Delta(content="Hello")
    assert errors_in(caplog) == []


def test_a_cancelled_reader_closes_the_request(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    frame = {"choices": [{"delta": {"content": "Hello"}}]}
    server.will_say(Answer(chunks=sse([frame], done=False), end="stall"))

    async def cancelled() -> list[object]:
        model = OpenAIChat("m", base_url=server.base_url)
        seen: list[object] = []
        arrived = asyncio.Event()

        async def read() -> None:
            async for piece in model.stream(REQUEST):
                seen.append(piece)
                arrived.set()

        task = asyncio.create_task(read())
        await arrived.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        await model.aclose()
        return seen

    assert asyncio.run(cancelled(), debug=True) == [Delta(content="Hello")]
    assert errors_in(caplog) == []


def test_a_model_can_be_made_without_loading_the_sdk() -> None:
    script = (
        "import sys; from agno_nb.models.resolve import resolve_model; resolve_model('openai:gpt-5-mini');"
        "resolve_model('google:gemini-2.5-flash');"
        "print({'openai', 'httpx2', 'genai_prices', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert (done.stdout.strip(), done.stderr) == ("set()", "")
