"""Reading of responses within limits: server-sent events, or one document if the server does not stream.

The SDK's reader has no limits, so that an endless line or a small gzip bomb would exhaust the memory.
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from agno_nb.errors import ResponseLimitError
from agno_nb.redact import whole_characters

if TYPE_CHECKING:
    import httpx2

    from agno_nb.models.openai.client import OpenAIModel

T = TypeVar("T")

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(b"\r\n|\r|\n")
_MAX_STRAY_BYTES = 2_000
_DRAIN_S = 0.1
_MAX_ERROR_BYTES = 2**20
_ERROR_BODY_S = 10.0


class Event(NamedTuple):
    """A server-sent event, or a document."""

    data: str
    """May have surrogates: halves of characters, and bytes that are not UTF-8."""
    name: str = ""
    is_document: bool = False

    @property
    def is_done(self) -> bool:
        """Whether it is ``[DONE]``, which ends a stream of Chat Completions."""
        return self.data.startswith("[DONE]") and not self.is_document


class Limits:
    """A model's limits for a response, whose time starts now."""

    def __init__(self, model: OpenAIModel) -> None:
        self._model = model
        self._deadline = asyncio.get_running_loop().time() + model.total_timeout

    async def wait_for(self, awaitable: Awaitable[T]) -> T:
        """Wait for `awaitable`; raise ResponseLimitError at the deadline of `total_timeout`."""
        try:
            async with asyncio.timeout_at(self._deadline) as scope:
                return await awaitable
        except TimeoutError:
            if not scope.expired():
                raise
        # Raised outside of the except block. Otherwise the context would be the HTTP client's error, which holds the
        # key.
        raise ResponseLimitError(
            f"{self._model.endpoint} did not finish the answer within {self._model.total_timeout:,g} seconds. If its "
            "answers take that long, raise `total_timeout` of the model."
        )

    def check(self, setting: str, size: int) -> None:
        """Raise ResponseLimitError if `size` exceeds a setting of the model."""
        limit = getattr(self._model, setting)
        if size > limit:
            what = "an event" if setting == "max_event_bytes" else "an answer"
            raise ResponseLimitError(
                f"{self._model.endpoint} sent {what} of more than {limit:,} bytes, so the rest was not read. If its "
                f"answers are that large, raise `{setting}` of the model."
            )


async def read_events(response: httpx2.Response, limits: Limits) -> AsyncGenerator[Event]:
    """Yield the events of a response; a JSON document or web page is one event. Limits apply after decompression."""
    decoder, num_bytes = EventDecoder(limits), 0
    async with aclosing(response.aiter_bytes()) as chunks:
        while (chunk := await limits.wait_for(anext(chunks, None))) is not None:
            num_bytes += len(chunk)
            limits.check("max_response_bytes", num_bytes)
            for event in decoder.feed(chunk):
                if event.is_done:
                    await _drain(chunks)
                    yield event
                    return
                yield event
        for event in decoder.finish():
            yield event


async def _drain(chunks: AsyncGenerator[bytes]) -> None:
    """Read to the end of the response, so that the connection can be reused."""
    import httpx2

    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in chunks:
                pass


class EventDecoder:
    """Decodes the bytes of a response. `_stray` is the start of text that is neither an event nor a document."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._head: bytes | None = b""
        """The first bytes until the format is known, then None."""
        self._is_document = False
        self._ends_in_cr = False
        self._buffer = bytearray()
        """The current line or document."""
        self._data: list[str] = []
        self._name = ""
        self._event_bytes = 0
        self._has_events = False
        self._stray = b""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        if self._head is not None:
            chunk = self._head + chunk
            if _BYTE_ORDER_MARK.startswith(chunk):
                self._head = chunk
                return
            chunk = chunk.removeprefix(_BYTE_ORDER_MARK).lstrip()
            self._head = None if chunk else b""
            # Lines of an event stream don't start like JSON or HTML.
            self._is_document = chunk.startswith((b"{", b"[", b"<"))
        if self._is_document:
            self._extend(chunk)
        else:
            yield from self._events(chunk)

    def finish(self) -> Iterator[Event]:
        """Yield the document if there is one. Events without a blank line at the end are incomplete."""
        if self._is_document:
            yield Event(_text(self._buffer), is_document=True)
            return
        if self._buffer:
            yield from self._line(bytes(self._buffer))  # Yields no event, because it is not the blank line of an end.
        if not self._has_events and self._stray:
            yield Event(_text(self._stray), is_document=True)

    def _extend(self, part: bytes) -> None:
        self._buffer += part
        self._limits.check("max_event_bytes", len(self._buffer) + self._event_bytes)

    def _events(self, chunk: bytes) -> Iterator[Event]:
        if self._ends_in_cr:
            chunk = chunk.removeprefix(b"\n")
        self._ends_in_cr = chunk.endswith(b"\r")
        *ends, start = _LINE_END.split(chunk)
        for end in ends:
            self._extend(end)
            line = bytes(self._buffer)
            self._buffer.clear()
            yield from self._line(line)
        self._extend(start)

    def _line(self, line: bytes) -> Iterator[Event]:
        if not line:
            if self._data:
                self._has_events = True
                yield Event("\n".join(self._data), self._name)
            self._data, self._name, self._event_bytes = [], "", 0
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._event_bytes += len(line)
            self._data.append(_text(value))
        elif name == b"event":
            self._name = _text(value[:_MAX_STRAY_BYTES])
        elif name not in (b"", b"id", b"retry") and len(self._stray) < _MAX_STRAY_BYTES:
            self._stray += line[:_MAX_STRAY_BYTES] + b"\n"


def _text(data: bytes | bytearray) -> str:
    # A server may split a character between events, which are then not UTF-8.
    return data.decode("utf-8", "surrogateescape")


class ErrorStatus(Exception):
    """A response with an error status, and the start of its body."""

    def __init__(self, response: httpx2.Response, body: str) -> None:
        super().__init__(response.status_code)
        self.response = response
        self.body = body


async def raise_for_status(response: httpx2.Response) -> None:
    """Raise an `ErrorStatus`: an event hook, because the SDK would read the whole body, whatever its size."""
    import httpx2

    if response.has_redirect_location:
        # The client would read the body before following the redirect.
        await response.stream.aclose()  # type: ignore[union-attr]
        response.stream = httpx2.ByteStream(b"")
    elif not response.is_success:
        body = bytearray()
        with suppress(TimeoutError, httpx2.HTTPError):
            async with asyncio.timeout(_ERROR_BODY_S), aclosing(response.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > _MAX_ERROR_BYTES:
                        break
        raise ErrorStatus(response, whole_characters(_text(body.removeprefix(_BYTE_ORDER_MARK))))
