"""Server and network faults: the error class, its message, and the text received before."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from agno_nb.errors import (
    ContentFilterError,
    ContextLengthError,
    InvalidInputError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelNotFoundError,
    ModelRateLimitError,
    ModelRequestError,
    ModelServerError,
    ModelStreamError,
    ModelTimeoutError,
)
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from tests.fakes.http import Answer, FakeServer, json_answer, sse_events
from tests.models.asking import ask


def chat_text(text: str) -> bytes:
    return b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}}]}\n\n' % text.encode()


def responses_text(text: str) -> bytes:
    return b'event: x\ndata: {"type": "response.output_text.delta", "delta": "%b"}\n\n' % text.encode()


APIS = pytest.mark.parametrize(
    ("kind", "text"), [(OpenAIChat, chat_text), (OpenAIResponses, responses_text)], ids=["chat", "responses"]
)


@APIS
@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Answer(chunks=[]), ModelStreamError, "is incomplete"),
        (Answer(chunks=[], end="cut"), ModelConnectionError, "lost before the end of the answer"),
        (Answer(chunks=[b'data: {"choices": [{"del\n\n']), ModelStreamError, "not JSON"),
        (Answer(chunks=[b"data: \xff\xfe\n\n"]), ModelStreamError, "not JSON"),
        (Answer(chunks=[b'data: {"error": {"message": "oh no", "code": 502}}\n\n']), ModelServerError, "502.*oh no"),
        (Answer(chunks=[b'data: {"error": {"message": "slow", "code": 429}}\n\n']), ModelRateLimitError, "slow"),
        (Answer(chunks=[b'data: {"error": {"message": "x", "type": "server_error"}}\n\n']), ModelServerError, "x"),
        (Answer(chunks=[b'data: {"error": "just words"}\n\n']), ModelServerError, "just words"),
        (Answer(chunks=[], end="stall"), ModelTimeoutError, r"nothing for 0\.3 seconds"),
    ],
    ids=["truncated", "cut", "malformed", "not utf-8", "502", "429", "type", "words", "stall"],
)
def test_what_had_arrived_was_given_before_a_broken_answer_raises(
    answer: Answer, error: type[ModelError], words: str, kind: type[OpenAIModel], text: Any, server: FakeServer
) -> None:
    answer = Answer(chunks=[text("Hel"), text("lo"), *answer.chunks], end=answer.end)
    server.will_say(answer)

    outcome = ask(kind("m", base_url=server.base_url, timeout=0.3))

    assert outcome.text == "Hello"
    assert type(outcome.failure) is error
    assert server.host in str(outcome.failure)
    assert_matches(words, outcome.failure)


def assert_matches(words: str, error: ModelError) -> None:
    with pytest.raises(type(error), match=words):
        raise error


@APIS
@pytest.mark.parametrize("end", ["stall", "cut"])
def test_a_server_that_never_begins_to_answer(end: Any, kind: type[OpenAIModel], text: Any, server: FakeServer) -> None:
    server.will_say(Answer(chunks=[], end=end))

    outcome = ask(kind("m", base_url=server.base_url, timeout=0.3))

    assert type(outcome.failure) is (ModelTimeoutError if end == "stall" else ModelConnectionError)
    assert outcome.deltas == []


@APIS
def test_a_web_page(kind: type[OpenAIModel], text: Any, server: FakeServer) -> None:
    page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
    server.will_say(Answer(chunks=[page], content_type="text/html; charset=utf-8"))

    outcome = ask(kind("m", base_url=server.base_url))

    assert type(outcome.failure) is ModelStreamError
    assert_matches("web page.*base URL", outcome.failure)


@dataclass
class Refusal:
    status: int
    body: Any
    error: type[ModelError]
    words: str
    provider: str = ""

    @property
    def name(self) -> str:
        return f"{self.status} {self.words}"


def oops(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


REFUSALS = [
    Refusal(401, oops("Incorrect API key", code="invalid_api_key"), ModelAuthenticationError, "the model's `api_key`"),
    Refusal(403, oops("Country not supported"), ModelAuthenticationError, "does not allow.*'m'.*Country"),
    Refusal(402, oops("Add credits", code=402), ModelRateLimitError, "billing"),
    Refusal(404, oops("No model", code="model_not_found"), ModelNotFoundError, "no model 'm'.*check the name"),
    Refusal(404, {"detail": "Not Found"}, ModelNotFoundError, "nothing at this URL"),
    Refusal(404, oops("model 'm' not found"), ModelNotFoundError, "`ollama pull m`", provider="ollama"),
    Refusal(
        400, oops("Too long", code="context_length_exceeded"), ContextLengthError, "exceeds the context length of 'm'"
    ),
    Refusal(400, oops("Too long", type="exceed_context_size_error", code=400), ContextLengthError, "new session"),
    Refusal(
        400,
        {"object": "error", "message": "This model's maximum context length is 8 tokens", "code": 400},
        ContextLengthError,
        "num_history_runs",
    ),
    Refusal(400, oops("Filtered", code="content_filter"), ContentFilterError, "declined.*Filtered"),
    Refusal(400, oops("Bad tool", code="invalid_value"), ModelRequestError, "rejected the request.*Bad tool"),
    Refusal(422, {"detail": [{"msg": "field required"}]}, ModelRequestError, "rejected the request"),
    Refusal(413, "<html>Request Entity Too Large</html>", ModelRequestError, "Message: Request Entity Too Large$"),
    Refusal(408, oops("Slow"), ModelTimeoutError, "too long"),
    Refusal(429, oops("Slow down"), ModelRateLimitError, "too many requests.*Slow down"),
    Refusal(429, oops("No quota", code="insufficient_quota"), ModelRateLimitError, "no quota or credit"),
    Refusal(500, oops("Boom"), ModelServerError, "HTTP 500.*Boom"),
    Refusal(503, "<html>nginx</html>", ModelServerError, "HTTP 503.; try again. Message: nginx$"),
]


@APIS
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_a_refused_request(refusal: Refusal, kind: type[OpenAIModel], text: Any, server: FakeServer) -> None:
    server.will_say(json_answer(refusal.body, status=refusal.status, headers={"x-request-id": "req_1"}))

    outcome = ask(kind("m", base_url=server.base_url, provider=refusal.provider))

    error = outcome.failure
    assert type(error) is refusal.error
    assert (error.status_code, error.request_id) == (refusal.status, "req_1")
    assert_matches(refusal.words, error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after": "40"}, 40.0), ({"retry-after-ms": "40500"}, 40.5), ({"retry-after": "soon"}, None), ({}, None)],
)
def test_how_long_to_wait_is_told(headers: dict[str, str], seconds: float | None, server: FakeServer) -> None:
    server.will_say(json_answer(oops("Slow down"), status=429, headers=headers))

    error = ask(OpenAIChat("m", base_url=server.base_url)).failure

    assert isinstance(error, ModelRateLimitError)
    assert error.retry_after_s == seconds


@APIS
def test_a_model_sends_a_request_once_and_leaves_it_to_others_to_try_again(
    kind: type[OpenAIModel], text: Any, server: FakeServer
) -> None:
    server.will_say(json_answer(oops("Slow down"), status=429, headers={"retry-after-ms": "1"}))

    assert type(ask(kind("m", base_url=server.base_url)).failure) is ModelRateLimitError
    assert len(server.requests) == 1


def test_a_long_wait_that_a_server_asks_for_is_told(server: FakeServer) -> None:
    server.will_say(json_answer(oops("Down"), status=503, headers={"retry-after": "3600"}))

    error = ask(OpenAIChat("m", base_url=server.base_url)).failure

    assert (type(error), error.retry_after_s) == (ModelServerError, 3600.0)
    assert_matches("try again. The server asks to wait 3,600 seconds. Message: Down", error)


@APIS
def test_nobody_is_there(kind: type[OpenAIModel], text: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    outcome = ask(kind("m", base_url=f"http://127.0.0.1:{port}/v1"))

    assert type(outcome.failure) is ModelConnectionError
    assert_matches(f"localhost:{port} cannot be reached; start the server", outcome.failure)


@APIS
def test_a_host_that_takes_no_connection(kind: type[OpenAIModel], text: Any) -> None:
    class Unreachable(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectTimeout("timed out")

    outcome = ask(kind("m", base_url="https://llm.example/v1", transport=Unreachable()))

    assert type(outcome.failure) is ModelTimeoutError
    assert_matches("llm.example cannot be reached: no connection within 5 seconds", outcome.failure)


@pytest.mark.parametrize("base_url", ["localhost:8000/v1", "ftp://x/v1", "http://", "http://x:port/v1", "http://[/v1"])
def test_a_base_url_that_is_none(base_url: str) -> None:
    with pytest.raises(InvalidInputError, match="set it to"):
        OpenAIChat("m", base_url=base_url)


@pytest.mark.parametrize(
    ("choice", "error"),
    [
        ({"delta": {}, "finish_reason": "content_filter"}, ContentFilterError),
        ({"delta": {}, "finish_reason": "error"}, ModelServerError),
        ({"delta": {}, "finish_reason": "error", "error": {"code": 429, "message": "busy"}}, ModelRateLimitError),
    ],
)
def test_a_chat_that_the_server_ends_badly(choice: Any, error: type[ModelError], server: FakeServer) -> None:
    server.will_say(Answer(chunks=[chat_text("Hel"), f"data: {json.dumps({'choices': [choice]})}\n\n".encode()]))

    outcome = ask(OpenAIChat("m", base_url=server.base_url))

    assert (outcome.text, type(outcome.failure)) == ("Hel", error)


@pytest.mark.parametrize(
    ("event", "error", "words"),
    [
        (
            {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "Boom"}}},
            ModelServerError,
            "Boom",
        ),
        (
            {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "Busy"}}},
            ModelRateLimitError,
            "Busy",
        ),
        ({"type": "response.failed", "response": {"error": None}}, ModelServerError, "try again"),
        ({"type": "error", "code": "context_length_exceeded", "message": "Long"}, ContextLengthError, "Long"),
        ({"type": "error", "code": None, "message": "Boom", "param": None}, ModelServerError, "Boom"),
        ({"type": "error", "error": {"code": "invalid_prompt", "message": "Bad"}}, ModelRequestError, "Bad"),
        (
            {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "content_filter"}}},
            ContentFilterError,
            "content filter",
        ),
    ],
)
def test_a_response_that_the_server_ends_badly(
    event: dict[str, Any], error: type[ModelError], words: str, server: FakeServer
) -> None:
    server.will_say(Answer(chunks=[responses_text("Hel"), *sse_events([event])]))

    outcome = ask(OpenAIResponses("m", base_url=server.base_url))

    assert (outcome.text, type(outcome.failure)) == ("Hel", error)
    assert_matches(words, outcome.failure)
