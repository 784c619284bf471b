"""A model server on loopback, in a process of its own, that streams one short answer after a fixed time.

``python -m benchmarks.model_server --latency-ms 100`` prints its base URL and serves until its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ANSWER = "There are 152 Adelie penguins."


def body() -> bytes:
    """Return the events of an answer as Chat Completions streams them."""
    words = [word + " " for word in ANSWER.split()]
    chunks = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": word}}]} for word in words]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = {"prompt_tokens": 12, "completion_tokens": len(words), "total_tokens": 12 + len(words)}
    chunks.append({"choices": [], "usage": usage})
    common = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "benchmark"}
    events = [f"data: {json.dumps(common | chunk)}\n\n" for chunk in chunks]
    return "".join([*events, "data: [DONE]\n\n"]).encode()


class ModelServer(asyncio.Protocol):
    """One connection. Requests are not looked at."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._received = b""
        events = body()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(events)}\r\n\r\n"
        self._answer = head.encode() + events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            if len(self._received) < end + 4 + length:
                return
            self._received = self._received[end + 4 + length :]
            asyncio.get_running_loop().call_later(self._latency_s, self._transport.write, self._answer)


@contextmanager
def running_model_server(*, latency_ms: int) -> Iterator[str]:
    """Start the server; the value is its base URL."""
    command = [sys.executable, "-m", "benchmarks.model_server", "--latency-ms", str(latency_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.stdin.close()


async def serve(latency_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ModelServer(latency_s), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_server", description=__doc__)
    parser.add_argument("--latency-ms", type=int, default=100)
    asyncio.run(serve(parser.parse_args().latency_ms / 1000))
