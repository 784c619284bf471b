"""The demo engine behind a real socket on loopback, for whatever wants to be given a URL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agno_nb.models.demo.wire import respond


@contextmanager
def serve(*, latency_s: float = 0.0, word_delay_s: float = 0.0) -> Iterator[str]:
    """Serve the demo model over HTTP while the context is open.

    Parameters
    ----------
    latency_s : float
        Seconds before an answer begins.
    word_delay_s : float
        Seconds before each word of a streamed answer.

    Yields
    ------
    str
        The base URL for a client, as in ``"http://127.0.0.1:49152/v1"``.
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    server.latency_s, server.word_delay_s = latency_s, word_delay_s
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="agno_nb demo server", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    # Answers that are under way are waited for when the server closes; `closing` cuts them short.
    daemon_threads = False
    latency_s = 0.0
    word_delay_s = 0.0

    def __init__(self, *args: Any) -> None:
        self.closing = threading.Event()
        super().__init__(*args)


class _Handler(BaseHTTPRequestHandler):
    # One answer a connection, which ends with it: nothing is left open between requests when the server stops.
    protocol_version = "HTTP/1.0"
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = self.headers.get("content-length", "0")
        body = self.rfile.read(int(length) if length.isdigit() else 0)
        exchange = respond(self.command, self.path, body)
        if self.server.closing.wait(self.server.latency_s):
            return
        try:
            self.send_response(exchange.status)
            self.send_header("content-type", exchange.content_type)
            self.end_headers()
            for frame in exchange.frames:
                if frame.is_word and self.server.word_delay_s and self.server.closing.wait(self.server.word_delay_s):
                    return
                self.wfile.write(frame.data)
        except ConnectionError:
            # The client has heard enough.
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the client knows what it asked."""
