"""Endless responses, and compressed ones that are large in memory."""

from __future__ import annotations

import itertools
import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from agno_nb.errors import InvalidInputError, ModelServerError, ModelStreamError, ResponseLimitError
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.models.resolve import resolve_model
from agno_nb.models.retry import is_provider_error, is_transient
from tests.fakes.http import SSE, Answer, FakeServer
from tests.models.asking import ask

KB, MB = 2**10, 2**20
KINDS = pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses], ids=["chat", "responses"])
JSON = "application/json"


def bomb(data: bytes, *, begin: bytes = b"", encoding: str = "gzip") -> Iterator[bytes]:
    """Compress `begin` and then `data` again and again, without end."""
    compressor = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    yield compressor.compress(begin) + compressor.flush(zlib.Z_FULL_FLUSH)
    yield from itertools.repeat(compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH))


def endless(data: bytes) -> Iterable[bytes]:
    return itertools.repeat(data)


ZEROS = b"0" * (16 * MB)
COMMENTS = (b": " + b"x" * 8 * KB + b"\n\n") * KB
LIMITS: dict[str, tuple[Callable[[], Answer], str]] = {
    "a line": (lambda: Answer(chunks=endless(b"data: " + b"x" * 64 * KB)), "max_event_bytes"),
    "a comment": (lambda: Answer(chunks=endless(b": " + b"x" * 64 * KB)), "max_event_bytes"),
    "lines of one event": (lambda: Answer(chunks=endless(b"data: " + b"x" * KB + b"\n")), "max_event_bytes"),
    "comments": (lambda: Answer(chunks=endless(b": " + b"x" * 8 * KB + b"\n\n")), "max_response_bytes"),
    "events": (
        lambda: Answer(chunks=endless(b'data: {"choices": [], "x": "%b"}\n\n' % (b"x" * 8 * KB))),
        "max_response_bytes",
    ),
    "blank lines": (lambda: Answer(chunks=endless(b"\n" * 64 * KB)), "max_response_bytes"),
    "white space": (lambda: Answer(chunks=endless(b" " * 64 * KB)), "max_response_bytes"),
    "a document": (lambda: Answer(chunks=endless(b"[" * 64 * KB), content_type=JSON), "max_event_bytes"),
    "a line of a gzip bomb": (
        lambda: Answer(chunks=bomb(ZEROS, begin=b"data: "), headers={"Content-Encoding": "gzip"}),
        "max_event_bytes",
    ),
    "comments of a gzip bomb": (
        lambda: Answer(chunks=bomb(COMMENTS), headers={"Content-Encoding": "gzip"}),
        "max_response_bytes",
    ),
    "a document of a deflate bomb": (
        lambda: Answer(
            chunks=bomb(ZEROS, begin=b'{"choices": "', encoding="deflate"),
            headers={"Content-Encoding": "deflate"},
            content_type=JSON,
        ),
        "max_event_bytes",
    ),
}


@KINDS
@pytest.mark.parametrize("name", LIMITS)
def test_a_response_without_end(name: str, kind: type[OpenAIModel], server: FakeServer) -> None:
    answer, setting = LIMITS[name]
    server.will_say(answer())
    model = kind("m", base_url=server.base_url, max_event_bytes=512 * KB, max_response_bytes=2 * MB)
    # Import the SDK first, so that its memory isn't counted.
    ask(kind("m", base_url="http://127.0.0.1:9/v1"))

    tracemalloc.start()
    try:
        failure = ask(model).failure
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert type(failure) is ResponseLimitError
    limit = getattr(model, setting)
    assert f"of more than {limit:,} bytes" in str(failure)
    assert f"raise `{setting}` of the model" in str(failure)
    assert server.host in str(failure)
    # One piece of a bomb alone is 16 MB.
    assert peak < 15 * MB
    assert (is_transient(failure), is_provider_error(failure)) == (False, True)


@KINDS
@pytest.mark.parametrize("encoding", ["gzip", ""])
def test_the_body_of_an_error_without_end(encoding: str, kind: type[OpenAIModel], server: FakeServer) -> None:
    begin = b'{"error": {"message": "Boom", "details": "'
    chunks = bomb(ZEROS, begin=begin) if encoding else itertools.chain([begin], endless(b"x" * 64 * KB))
    server.will_say(
        Answer(chunks=chunks, status=500, content_type=JSON, headers={"Content-Encoding": encoding} if encoding else {})
    )
    ask(kind("m", base_url="http://127.0.0.1:9/v1"))

    tracemalloc.start()
    try:
        failure = ask(kind("m", base_url=server.base_url)).failure
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (type(failure), failure.status_code) == (ModelServerError, 500)
    assert "Message: Boom" in str(failure)
    assert peak < 15 * MB


@KINDS
def test_the_body_of_a_redirect_without_end(kind: type[OpenAIModel], server: FakeServer) -> None:
    server.will_say(
        Answer(chunks=bomb(ZEROS), status=307, headers={"Location": "/v1/x", "Content-Encoding": "gzip"}),
        Answer(chunks=[b'{"error": {"message": "arrived"}}'], status=400, content_type=JSON),
    )

    assert "arrived" in str(ask(kind("m", base_url=server.base_url)).failure)
    assert server.requests[-1].path == "/v1/x"


@KINDS
@pytest.mark.parametrize(
    "chunks", [[], endless(b": keep-alive\n\n"), endless(b"\n")], ids=["silence", "comments", "blank lines"]
)
def test_the_total_timeout(chunks: Iterable[bytes], kind: type[OpenAIModel], server: FakeServer) -> None:
    server.will_say(Answer(chunks=chunks, end="stall"))

    failure = ask(kind("m", base_url=server.base_url, total_timeout=0.5)).failure

    assert type(failure) is ResponseLimitError
    assert "did not finish the answer within 0.5 seconds. If its answers take that long, raise `total_timeout`" in str(
        failure
    )
    assert not is_transient(failure)


@KINDS
@pytest.mark.parametrize("name", ["total_timeout", "max_event_bytes", "max_response_bytes"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), None, "5", True], ids=str)
def test_a_limit_that_is_none(value: Any, name: str, kind: type[OpenAIModel]) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} is .*; it must be a number greater than 0"):
        kind("m", **{name: value})


def test_limits_are_generous(server: FakeServer) -> None:
    text = "x" * (8 * MB)
    frame = json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}).encode()
    server.will_say(Answer(chunks=[b"data: " + frame + b"\n\n"], content_type=SSE))

    assert ask(OpenAIChat("m", base_url=server.base_url)).whole.content == text


def test_a_redirect_of_the_list_of_models_without_end(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.will_say(
        Answer(chunks=bomb(ZEROS), status=302, headers={"Location": "/v1/x", "Content-Encoding": "gzip"}),
        Answer(chunks=[b'{"data": [{"id": "m1"}]}'], content_type=JSON),
    )
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)

    assert resolve_model().id == "m1"


@pytest.mark.parametrize("is_bomb", [False, True])
def test_a_list_of_models_without_end(is_bomb: bool, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = bomb(ZEROS, begin=b'{"data": "') if is_bomb else itertools.chain([b"["], endless(b" " * 64 * KB))
    server.will_say(Answer(chunks=chunks, content_type=JSON, headers={"Content-Encoding": "gzip"} if is_bomb else {}))
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)

    with pytest.raises(InvalidInputError, match="does not list its models"):
        resolve_model()


def test_an_error_of_the_stream_is_one() -> None:
    assert issubclass(ResponseLimitError, ModelStreamError)
