"""A small HTTP server that sends given bytes and records requests.

It is for the answers that no well-behaved server gives: cut off, malformed, stalled, or in one vendor's dialect.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

SSE = "text/event-stream"


@dataclass(kw_only=True)
class Answer:
    """A response of the server."""

    chunks: Iterable[bytes]
    """Pieces of the body, each written and flushed on its own. An endless iterator ends with the connection."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = SSE
    end: Literal["whole", "cut", "stall"] = "whole"
    """"cut" closes the connection in the middle of the body; "stall" says nothing more until the server is stopped."""


@dataclass(kw_only=True)
class Request:
    """A recorded request."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: Any
    """Parsed JSON; None when there was none."""


class FakeServer:
    """The server, on a free port of loopback while the ``with`` block lasts.

    Attributes
    ----------
    requests : list of Request
        In the order in which they came.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._answers: list[Answer] = []
        self._stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def host(self) -> str:
        """As our errors write it."""
        return f"localhost:{self.port}"

    def will_say(self, *answers: Answer) -> None:
        """Queue answers, one for each request to come."""
        self._answers.extend(answers)

    def forget(self) -> None:
        """Drop the answers that were not asked for."""
        self._answers.clear()

    def answer_to(self, request: Request) -> Answer:
        """Take the next answer from the queue."""
        return self._answers.pop(0) if self._answers else json_answer({"error": "unexpected"}, status=500)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.requests.append(
                    Request(
                        method=self.command,
                        path=self.path,
                        headers={name.lower(): value for name, value in self.headers.items()},
                        body=json.loads(body) if body else None,
                    )
                )
                answer = server.answer_to(server.requests[-1])
                self.close_connection = True
                self.send_response(answer.status)
                headers = {"Content-Type": answer.content_type, "Transfer-Encoding": "chunked", "Connection": "close"}
                for name, value in {**headers, **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for chunk in answer.chunks:
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                        self.wfile.flush()
                    if answer.end == "stall":
                        server._stopped.wait()
                    if answer.end == "whole":
                        self.wfile.write(b"0\r\n\r\n")
                except ConnectionError:
                    # The client had heard enough.
                    return

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

        return Handler


def sse(frames: Iterable[object], *, done: bool = True, newline: str = "\n") -> list[bytes]:
    """Write frames as server-sent events: dicts as JSON, bytes as they are."""
    chunks = [
        frame if isinstance(frame, bytes) else f"data: {json.dumps(frame)}{newline}{newline}".encode()
        for frame in frames
    ]
    return [*chunks, f"data: [DONE]{newline}{newline}".encode()] if done else chunks


def sse_events(events: Iterable[dict[str, Any]]) -> list[bytes]:
    """Write events of the Responses API: named by their type, and with no [DONE] at the end."""
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


def json_answer(body: object, *, status: int, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with a JSON body."""
    return Answer(
        chunks=[json.dumps(body).encode()], status=status, headers=headers or {}, content_type="application/json"
    )
