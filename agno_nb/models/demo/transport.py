"""Carry the OpenAI SDK's requests to the demo engine, in this process and without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2

from agno_nb.models.demo.wire import Frame, respond


class DemoTransport(httpx2.AsyncBaseTransport):
    """An HTTP transport that ends at the demo model.

    Parameters
    ----------
    latency_s : float
        Seconds before an answer begins.
    word_delay_s : float
        Seconds before each word of a streamed answer.
    """

    def __init__(self, *, latency_s: float = 0.0, word_delay_s: float = 0.0) -> None:
        self.latency_s = latency_s
        self.word_delay_s = word_delay_s

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        if self.latency_s > 0:
            await asyncio.sleep(self.latency_s)
        exchange = respond(request.method, request.url.path, body)
        return httpx2.Response(
            exchange.status,
            headers={"content-type": exchange.content_type},
            stream=_Frames(exchange.frames, self.word_delay_s),
        )


class _Frames(httpx2.AsyncByteStream):
    def __init__(self, frames: list[Frame], word_delay_s: float) -> None:
        self.frames = frames
        self.word_delay_s = word_delay_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for frame in self.frames:
            if frame.is_word and self.word_delay_s > 0:
                await asyncio.sleep(self.word_delay_s)
            yield frame.data
