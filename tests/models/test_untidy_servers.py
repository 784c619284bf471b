"""Servers that don't stream, failures with status 200, and malformed JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from agno_nb.errors import (
    ContextLengthError,
    ModelError,
    ModelNotFoundError,
    ModelRateLimitError,
    ModelRequestError,
    ModelServerError,
    ModelStreamError,
)
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.models.openai.errors import retry_after_s
from agno_nb.models.openai.wire import MAX_DEPTH, parse_json
from agno_nb.types import JsonDict, Metrics
from tests.fakes.http import SSE, Answer, FakeServer, json_answer, sse, sse_events
from tests.models.asking import ask

KINDS = pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses], ids=["chat", "responses"])
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TEXT = {"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}
EVENTS = [
    {"type": "response.output_text.delta", "delta": "Hello"},
    {"type": "response.completed", "response": {"output": []}},
]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def body_of(kind: type[OpenAIModel]) -> bytes:
    return b"".join(sse([TEXT]) if kind is OpenAIChat else sse_events(EVENTS))


@KINDS
@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
@pytest.mark.parametrize("before", [b"", b"\n\n", b": hello\r\n\r\n", b"retry: 1\n", b"\r\n"])
def test_a_byte_order_mark(before: bytes, size: int, kind: type[OpenAIModel], server: FakeServer) -> None:
    body = BYTE_ORDER_MARK + before + body_of(kind)
    server.will_say(Answer(chunks=[body[start : start + size] for start in range(0, len(body), size)]))

    assert ask(kind("m", base_url=server.base_url)).whole.content == "Hello"


@KINDS
@pytest.mark.parametrize("newline", [b"\r\n", b"\r", b"\n"])
@pytest.mark.parametrize("size", [1, 5, 1_000])
def test_line_ends_in_any_packet(newline: bytes, size: int, kind: type[OpenAIModel], server: FakeServer) -> None:
    # An event may have its data in several lines.
    body = body_of(kind).replace(b", ", b",\ndata: ").replace(b"\n", newline)
    server.will_say(Answer(chunks=[body[start : start + size] for start in range(0, len(body), size)]))

    assert ask(kind("m", base_url=server.base_url)).whole.content == "Hello"


@dataclass
class Document:
    """A whole answer, to a request for a stream."""

    name: str
    kind: type[OpenAIModel]
    body: JsonDict
    content: str | None = "Hello"
    reasoning: str | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    finish: str = "stop"
    metrics: Metrics = field(default_factory=Metrics)


CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}
DOCUMENTS = [
    Document("text", OpenAIChat, {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}),
    Document("no finish_reason", OpenAIChat, {"choices": [{"message": {"content": "Hello"}}], "error": None}),
    Document(
        "reasoning and usage",
        OpenAIChat,
        {
            "object": "chat.completion",
            "choices": [{"message": {"content": "Hello", "reasoning": "Hm."}, "finish_reason": "length"}],
            "usage": USAGE,
        },
        reasoning="Hm.",
        finish="length",
        metrics=Metrics(input_tokens=3, output_tokens=2),
    ),
    Document(
        "calls",
        OpenAIChat,
        {"choices": [{"message": {"content": None, "tool_calls": [CALL, CALL | {"id": "c2"}]}}]},
        content=None,
        calls=[("get_weather", "{}"), ("get_weather", "{}")],
    ),
    Document("text", OpenAIResponses, {"object": "response", "status": "completed", "output": [MESSAGE]}),
    Document("no status", OpenAIResponses, {"output": [MESSAGE], "error": None}),
    Document(
        "reasoning, a call and usage",
        OpenAIResponses,
        {
            "status": "completed",
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
            ],
            "usage": {"input_tokens": 3, "output_tokens": 2},
        },
        content=None,
        reasoning="Hm.",
        calls=[("get_weather", "{}")],
        finish="tool_calls",
        metrics=Metrics(input_tokens=3, output_tokens=2),
    ),
    Document(
        "incomplete",
        OpenAIResponses,
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [MESSAGE]},
        finish="length",
    ),
]


@pytest.mark.parametrize("content_type", ["application/json", SSE, "text/plain"])
@pytest.mark.parametrize("begin", [b"", BYTE_ORDER_MARK, b"\n \n"])
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: f"{document.kind.__name__}: {document.name}")
def test_a_server_that_does_not_stream(document: Document, begin: bytes, content_type: str, server: FakeServer) -> None:
    body = begin + json.dumps(document.body, indent=1).encode()
    server.will_say(Answer(chunks=[body[:7], body[7:]], content_type=content_type))

    outcome = ask(document.kind("m", base_url=server.base_url))

    whole = outcome.whole
    assert (whole.content, whole.reasoning_content) == (document.content, document.reasoning)
    assert (outcome.text or None, outcome.reasoning or None) == (document.content, document.reasoning)
    assert [(call.tool_name, call.arguments) for call in whole.tool_calls] == document.calls
    assert (whole.finish_reason, whole.metrics) == (document.finish, document.metrics)


def test_a_whole_message_after_its_pieces_is_not_added_to_them(server: FakeServer) -> None:
    last = {"choices": [{"delta": {}, "message": {"content": "Hello"}, "finish_reason": "stop"}]}
    server.will_say(Answer(chunks=sse([{"choices": [{"delta": {"content": "Hello"}}]}, last])))

    assert ask(OpenAIChat("m", base_url=server.base_url)).whole.content == "Hello"


FAILED: dict[str, tuple[Any, type[ModelError]]] = {
    "error": ({"error": {"message": "Boom"}}, ModelServerError),
    "error with a code": ({"error": {"message": "Boom", "code": 429}}, ModelRateLimitError),
    "error with a word": ({"error": {"message": "Boom", "type": "model_not_found"}}, ModelNotFoundError),
    "error in words": ({"error": "Boom"}, ModelServerError),
    "error in words, and a code": ({"error": "Boom", "code": "context_length_exceeded"}, ContextLengthError),
    "error is true": ({"error": True, "message": "Boom"}, ModelServerError),
    "error without a message": ({"error": {"code": 400}, "message": "Boom"}, ModelRequestError),
    "error in a list": ([{"error": {"message": "Boom", "code": 429}}], ModelRateLimitError),
    "message": ({"message": "Boom", "code": 429}, ModelRateLimitError),
    "detail": ({"detail": "Boom"}, ModelServerError),
    "details": ({"detail": [{"loc": ["body"], "msg": "Boom"}]}, ModelServerError),
    "errors": ({"errors": [{"message": "Boom"}]}, ModelServerError),
    "a string": ("Boom", ModelServerError),
}


@KINDS
@pytest.mark.parametrize("name", FAILED)
def test_200_for_a_failure(name: str, kind: type[OpenAIModel], server: FakeServer) -> None:
    body, error = FAILED[name]
    if name == "a string":
        body, error = {"choices": [], "output": [], "error": body}, ModelServerError
    server.will_say(json_answer(body, status=200))

    failure = ask(kind("m", base_url=server.base_url)).failure

    assert type(failure) is error
    assert str(failure).endswith("Message: Boom")


@KINDS
@pytest.mark.parametrize("name", FAILED)
def test_the_message_of_an_error_status(name: str, kind: type[OpenAIModel], server: FakeServer) -> None:
    server.will_say(json_answer(FAILED[name][0], status=500))

    failure = ask(kind("m", base_url=server.base_url)).failure

    assert str(failure).endswith("Message: Boom")
    assert failure.status_code == 500


GEMINI = {"error": {"code": 400, "message": "Boom", "status": "INVALID_ARGUMENT"}}
BAD_GATEWAY = "<title>502 Bad Gateway</title></head>\r\n<body><center><h1>502 Bad Gateway</h1></center><hr>nginx"
NGINX = f"<html>\r\n<head>{BAD_GATEWAY}</body></html>"
LITELLM = "litellm.BadRequestError: VertexAIException - "
QUOTED = json.dumps([GEMINI], indent=1).replace("\n", "\\n")
WORDS: dict[str, tuple[Any, str]] = {
    "gemini: a list": ([GEMINI], "Boom"),
    "litellm: JSON in words": ({"error": {"message": f"{LITELLM}{json.dumps(GEMINI)}"}}, "Boom"),
    "litellm: bytes in words": ({"error": {"message": f"{LITELLM}b'{QUOTED}'"}}, "Boom"),
    "JSON in a string": (json.dumps(json.dumps(GEMINI)), "Boom"),
    "JSON without a message in words": ({"error": "bad {'x': 1} and {\"y\": 2}"}, "bad {'x': 1} and {\"y\": 2}"),
    "fastapi": (
        {"detail": [
            {"loc": ["body", "messages", 0, "content"], "msg": "field required", "type": "missing"},
            {"loc": ["body", "model"], "msg": "too long"},
        ]},
        "messages.0.content: field required; model: too long",
    ),
    "several errors": ({"errors": [{"message": "One"}, {"message": "Two"}, {"message": "One"}]}, "One; Two"),
    "a list of strings": (["One, ", "two"], "One, two"),
    "a page": (NGINX, "502 Bad Gateway"),
    "a page in an error": ({"error": {"message": NGINX}}, "502 Bad Gateway"),
    "a page with a heading": ("<!DOCTYPE html><title>No</title><h1>Quota &amp; rate</h1><p>x", "No: Quota & rate"),
    "a page without a title": ("<html><style>p {}</style><body><p>Out of\n<b>memory</b></body>", "Out of memory"),
}  # fmt: skip


@KINDS
@pytest.mark.parametrize("name", WORDS)
def test_the_words_of_a_server(name: str, kind: type[OpenAIModel], server: FakeServer) -> None:
    body, words = WORDS[name]
    text = body if isinstance(body, str) else json.dumps(body)
    server.will_say(Answer(chunks=[text.encode()], status=502, content_type="text/plain"))

    assert str(ask(kind("m", base_url=server.base_url)).failure).endswith(f"; try again. Message: {words}")


# A piece of each body, and how often it is repeated.
HOSTILE = [
    ("<", 900_000),
    ("<h1>", 200_000),
    ("<html", 200_000),
    ("{", 900_000),
    ('{"error":"', 90_000),
    ('\\"', 400_000),
    ('[{"msg":"x"},', 70_000),
]


@pytest.mark.parametrize(("piece", "times"), HOSTILE, ids=[repr(piece) for piece, _ in HOSTILE])
@pytest.mark.parametrize("before", ["", "<html>", '{"error": "'])
def test_a_hostile_error(before: str, piece: str, times: int, server: FakeServer) -> None:
    server.will_say(Answer(chunks=[f"{before}{piece * times}".encode()], status=502, content_type="text/plain"))

    assert len(str(ask(OpenAIChat("m", base_url=server.base_url)).failure)) < 1_000


@KINDS
@pytest.mark.parametrize("is_begun", [False, True], ids=["alone", "after a piece"])
@pytest.mark.parametrize("name", ["message", "detail", "details", "errors", "a string"])
def test_a_failure_in_a_stream_that_says_no_error(
    name: str, is_begun: bool, kind: type[OpenAIModel], server: FakeServer
) -> None:
    body, error = FAILED[name]
    begun = [{"choices": [{"delta": {"content": "He"}}]}] if kind is OpenAIChat else EVENTS[:1]
    server.will_say(Answer(chunks=sse([*begun, body] if is_begun else [body])))

    failure = ask(kind("m", base_url=server.base_url)).failure

    assert (type(failure), str(failure).endswith("Message: Boom")) == (error, True)


@KINDS
def test_a_message_beside_an_answer_is_no_failure(kind: type[OpenAIModel], server: FakeServer) -> None:
    frames: list[Any] = [TEXT] if kind is OpenAIChat else [*EVENTS]
    server.will_say(Answer(chunks=sse([{"message": "warming up"}, *frames, "note"])))

    assert ask(kind("m", base_url=server.base_url)).whole.content == "Hello"


@KINDS
def test_a_json_text_instead_of_an_answer(kind: type[OpenAIModel], server: FakeServer) -> None:
    server.will_say(json_answer("Boom", status=200))

    failure = ask(kind("m", base_url=server.base_url)).failure

    assert (type(failure), str(failure).endswith("Message: Boom")) == (ModelServerError, True)


@KINDS
def test_an_error_event(kind: type[OpenAIModel], server: FakeServer) -> None:
    server.will_say(Answer(chunks=[b'event: error\ndata: {"message": "Boom", "code": 429}\n\n']))

    failure = ask(kind("m", base_url=server.base_url)).failure

    assert (type(failure), str(failure).endswith("Message: Boom")) == (ModelRateLimitError, True)


@KINDS
@pytest.mark.parametrize("end", ["", "\n", "\nretry later"], ids=["nothing", "line end", "line"])
@pytest.mark.parametrize("content_type", ["text/plain", SSE])
def test_200_for_a_failure_in_plain_text(
    content_type: str, end: str, kind: type[OpenAIModel], server: FakeServer
) -> None:
    server.will_say(Answer(chunks=[b"Boom: out of ", f"memory{end}".encode()], content_type=content_type))

    failure = ask(kind("m", base_url=server.base_url)).failure

    text = f"Boom: out of memory{end}".split()
    assert (type(failure), str(failure).endswith(f"Message: {' '.join(text)}")) == (ModelStreamError, True)


@KINDS
def test_a_web_page_that_says_it_is_something_else(kind: type[OpenAIModel], server: FakeServer) -> None:
    server.will_say(Answer(chunks=[b"\n<!DOCTYPE html><html><body>Log in</body></html>"], content_type="text/plain"))

    failure = ask(kind("m", base_url=server.base_url)).failure

    assert (type(failure), "web page" in str(failure)) == (ModelStreamError, True)


@KINDS
def test_a_document_of_another_api(kind: type[OpenAIModel], server: FakeServer) -> None:
    other = {"output": [MESSAGE]} if kind is OpenAIChat else {"choices": [{"message": {"content": "Hello"}}]}
    server.will_say(json_answer(other, status=200), json_answer({"status": "queued", "output": []}, status=200))

    assert isinstance(ask(kind("m", base_url=server.base_url)).failure, ModelError)
    assert isinstance(ask(kind("m", base_url=server.base_url)).failure, ModelError)


DEEP = "[" * 100_000 + "]" * 100_000
DIGITS = "1" + "0" * 10_000
UNREADABLE = {
    "deep": f'{{"error": {{"message": "Bo\\"om", "x": {DEEP}}}}}',
    "deep first": f'{{"x": {DEEP}, "error": {{"message": "Bo\\"om"}}}}',
    "a bit deep": f'{{"error": {{"message": "Bo\\"om"}}, "x": {"[" * MAX_DEPTH}{"]" * MAX_DEPTH}}}',
    "digits": f'{{"error": {{"message": "Bo\\"om", "code": {DIGITS}}}}}',
    "digits before the point": f'{{"error": {{"message": "Bo\\"om", "code": {DIGITS}.5}}}}',
    "cut off": '{"error": {"message": "Bo\\"om", "code": 5',
}


@KINDS
@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("name", UNREADABLE)
def test_json_that_no_parser_likes(name: str, status: int, kind: type[OpenAIModel], server: FakeServer) -> None:
    body = UNREADABLE[name].encode()
    server.will_say(
        Answer(chunks=[body], status=status, content_type="application/json"),
        Answer(chunks=[b"data: " + body + b"\n\n"]),
    )

    for _ in range(2):
        failure = ask(kind("m", base_url=server.base_url)).failure
        assert isinstance(failure, ModelError)
        assert str(failure).endswith('Message: Bo"om')
        assert len(str(failure)) < 1_000


@pytest.mark.parametrize("digits", [DIGITS, f"-{DIGITS}", f"{DIGITS}.5", "1e999", "NaN", "-Infinity"])
def test_numbers_that_nothing_can_hold_are_null(digits: str, server: FakeServer) -> None:
    item = f'{{"type": "reasoning", "encrypted_content": "x", "n": {digits}}}'
    frame = f'{{"created": {digits}, "choices": [{{"index": {digits}, "delta": {{"content": "Hello"}}}}]}}'
    usage = f'{{"choices": [{{"finish_reason": "stop"}}], "usage": {{"prompt_tokens": {digits}, "cost": {digits}}}}}'
    events = [
        f'{{"type": "response.output_item.done", "output_index": {digits}, "item": {item}}}',
        f'{{"type": "response.completed", "response": {{"usage": {{"input_tokens": {digits}}}}}}}',
    ]
    server.will_say(
        Answer(chunks=[f"data: {each}\n\n".encode() for each in (frame, usage)]),
        Answer(chunks=[f"data: {each}\n\n".encode() for each in events]),
    )

    chat = ask(OpenAIChat("m", base_url=server.base_url)).whole
    responses = ask(OpenAIResponses("m", base_url=server.base_url)).whole

    assert (chat.content, chat.metrics, responses.metrics) == ("Hello", Metrics(), Metrics())
    assert responses.provider_data is not None
    # It is stored and sent again as JSON, which has no such number.
    assert responses.provider_data["items"][0]["n"] is None


IMPOSSIBLE = ["9223372036854775807", "1e30", "1e308", "-1", '"12"', "true", "[1]", "{}", "0.5", "1" + "0" * 400, "NaN"]


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=lambda value: value[:20])
def test_impossible_usage_is_unknown(value: str, server: FakeServer) -> None:
    def usage(sent: str, received: str) -> str:
        return (
            f'{{"{sent}_tokens": {value}, "{received}_tokens": 2, "cost": {"-1" if value == "0.5" else value}, '
            f'"{sent}_tokens_details": {{"cached_tokens": {value}, "cache_write_tokens": {value}}}, '
            f'"{received}_tokens_details": {{"reasoning_tokens": {value}}}}}'
        )

    chat = f'{{"choices": [{{"delta": {{}}, "finish_reason": "stop"}}], "usage": {usage("prompt", "completion")}}}'
    responses = f'{{"type": "response.completed", "response": {{"usage": {usage("input", "output")}}}}}'
    server.will_say(*(Answer(chunks=[f"data: {each}\n\n".encode()]) for each in (chat, responses)))

    assert ask(OpenAIChat("m", base_url=server.base_url)).whole.metrics == Metrics(output_tokens=2)
    assert ask(OpenAIResponses("m", base_url=server.base_url)).whole.metrics == Metrics(output_tokens=2)


def test_counts_that_contradict_each_other_have_no_price(server: FakeServer) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 100}}
    server.will_say(Answer(chunks=sse([{**TEXT, "usage": usage}])))

    metrics = ask(OpenAIChat("gpt-5-mini", base_url=server.base_url, provider="openai")).whole.metrics

    assert metrics == Metrics(input_tokens=10, output_tokens=1, cache_read_tokens=100)


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "9" * 400}, {"retry-after": "1.2.3"}, {"retry-after-ms": "nan"}, {"retry-after-ms": "inf"},
        {"retry-after-ms": "1e400"}, {"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"},
        {"retry-after": "soon"}, {"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"},
    ],
)  # fmt: skip
def test_an_impossible_wait_is_none(headers: dict[str, str]) -> None:
    assert retry_after_s(headers) is None


def test_nesting_up_to_the_limit_is_read() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(parse_json(text)) == text
    assert parse_json(f'"{"[" * 1_000}"') == "[" * 1_000
    with pytest.raises(ValueError, match="nested"):
        parse_json(f"[{text}]")
