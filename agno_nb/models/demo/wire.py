"""Speak the Chat Completions and the Responses API for the engine: one request in, one answer out, whole or in frames.

Ids are made of the request, so the same request gets the same bytes. A word counts as a token.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from agno_nb.models.demo.context import Call, Context
from agno_nb.models.demo.engine import reply
from agno_nb.models.demo.requests import read_chat, read_responses
from agno_nb.models.demo.schema import as_dict
from agno_nb.types import JsonDict

CREATED = 0
"""There is no clock here, so that answers can be compared."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A piece of an answer's body."""

    data: bytes
    is_word: bool = False
    """Whether it carries text, and so is one that a slow model would take its time for."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The HTTP answer to one request."""

    status: int
    content_type: str
    frames: list[Frame] = field(default_factory=list)


def respond(method: str, path: str, body: bytes) -> Exchange:
    """Answer one HTTP request.

    Parameters
    ----------
    method, path : str
        As in ``"POST"``, ``"/v1/chat/completions"``.
    body : bytes
        The request's JSON.
    """
    path = path.split("?")[0].rstrip("/")
    if method == "GET" and path.endswith("/models"):
        model = {"id": "demo", "object": "model", "created": CREATED, "owned_by": "agno_nb"}
        return _json(200, {"object": "list", "data": [model]})
    if method != "POST" or not path.endswith(("/chat/completions", "/responses")):
        return _error(404, f"The demo model has no {method} {path}: it speaks /chat/completions and /responses.")
    try:
        request = json.loads(body, parse_constant=str)
    except (ValueError, RecursionError):
        return _error(400, "The body of the request is not JSON.")
    if not isinstance(request, dict):
        return _error(400, "The body of the request is not a JSON object.")
    is_chat = path.endswith("/chat/completions")
    answer = _Answer(request, read_chat(request) if is_chat else read_responses(request))
    if request.get("stream") is not True:
        return _json(200, _chat_completion(answer) if is_chat else _response(answer, _output(answer)))
    return Exchange(200, "text/event-stream", list(_chat_frames(answer) if is_chat else _response_frames(answer)))


def _json(status: int, body: JsonDict) -> Exchange:
    return Exchange(status, "application/json", [Frame(_encode(body))])


def _error(status: int, message: str) -> Exchange:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return _json(status, {"error": error})


def _encode(body: JsonDict) -> bytes:
    # ASCII, because text may hold half a surrogate pair, which JSON can write and UTF-8 cannot.
    return json.dumps(body, separators=(",", ":")).encode("ascii")


class _Answer:
    """What the engine decided, cut into pieces and counted."""

    def __init__(self, request: JsonDict, context: Context) -> None:
        self.request = request
        self.context = context
        decided = reply(context)
        self.calls: list[Call] = decided.calls
        pieces = _pieces(decided.text)
        limits = (request.get(name) for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"))
        limit = next((limit for limit in limits if isinstance(limit, int) and limit > 0), len(pieces))
        self.is_cut = limit < len(pieces)
        self.pieces = pieces[:limit]

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def model(self) -> str:
        model = self.request.get("model")
        return model if isinstance(model, str) and model else "demo"

    @cached_property
    def id(self) -> str:
        asked = {name: value for name, value in self.request.items() if not name.startswith("stream")}
        return hashlib.sha256(_encode(asked)).hexdigest()[:24]

    def call_id(self, index: int) -> str:
        return f"call_{self.id[:20]}{index:02d}"

    def arguments(self, call: Call) -> str:
        return json.dumps(call.arguments, ensure_ascii=False)

    @property
    def input_tokens(self) -> int:
        context = self.context
        texts = [context.system, *(f"{tool.name} {tool.description}" for tool in context.tools)]
        for turn in context.turns:
            texts += [turn.prompt, turn.answer, *(f"{self.arguments(call)} {call.result or ''}" for call in turn.calls)]
        return sum(len(text.split()) for text in texts)

    @property
    def output_tokens(self) -> int:
        return len(self.pieces) + sum(1 + len(_pieces(self.arguments(call))) for call in self.calls)


def _pieces(text: str) -> list[str]:
    """A text cut before each space, so that the pieces together are the text."""
    return re.findall(r"\s*\S+|\s+$", text)


def _chat_completion(answer: _Answer) -> JsonDict:
    message: JsonDict = {"role": "assistant", "content": None if answer.calls else answer.text, "refusal": None}
    if answer.calls:
        message["tool_calls"] = [_chat_call(answer, index, call) for index, call in enumerate(answer.calls)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
    return {**_chat_head(answer, "chat.completion"), "choices": [choice], "usage": _chat_usage(answer)}


def _chat_head(answer: _Answer, kind: str) -> JsonDict:
    return {"id": f"chatcmpl-{answer.id}", "object": kind, "created": CREATED, "model": answer.model}


def _chat_call(answer: _Answer, index: int, call: Call) -> JsonDict:
    function = {"name": call.name, "arguments": answer.arguments(call)}
    return {"id": answer.call_id(index), "type": "function", "function": function}


def _finish_reason(answer: _Answer) -> str:
    return "tool_calls" if answer.calls else "length" if answer.is_cut else "stop"


def _chat_usage(answer: _Answer) -> JsonDict:
    sent, said = answer.input_tokens, answer.output_tokens
    return {"prompt_tokens": sent, "completion_tokens": said, "total_tokens": sent + said}


def _chat_frames(answer: _Answer) -> Iterator[Frame]:
    def frame(delta: JsonDict, finish_reason: str | None = None, *, is_word: bool = False) -> Frame:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _event({**_chat_head(answer, "chat.completion.chunk"), "choices": [choice]}, is_word=is_word)

    yield frame({"role": "assistant", "content": None if answer.calls else ""})
    for piece in answer.pieces:
        yield frame({"content": piece}, is_word=True)
    for index, call in enumerate(answer.calls):
        whole = _chat_call(answer, index, call)
        yield frame({"tool_calls": [{**whole, "index": index, "function": {"name": call.name, "arguments": ""}}]})
        for piece in _pieces(answer.arguments(call)):
            yield frame({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, is_word=True)
    yield frame({}, _finish_reason(answer))
    if as_dict(answer.request.get("stream_options")).get("include_usage") is True:
        yield _event({**_chat_head(answer, "chat.completion.chunk"), "choices": [], "usage": _chat_usage(answer)})
    yield Frame(b"data: [DONE]\n\n")


def _event(body: JsonDict, *, is_word: bool = False) -> Frame:
    name = f"event: {body['type']}\n".encode() if "type" in body else b""
    return Frame(name + b"data: " + _encode(body) + b"\n\n", is_word)


def _response(answer: _Answer, output: list[JsonDict], status: str = "") -> JsonDict:
    status = status or ("incomplete" if answer.is_cut else "completed")
    sent, said = answer.input_tokens, answer.output_tokens
    usage = {
        "input_tokens": sent,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sent + said,
    }
    tools = answer.context.tools
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": answer.model,
        "output": output,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": answer.context.parallel_tool_calls,
        "store": False,
        "temperature": None,
        "top_p": None,
        "tool_choice": "auto",
        "tools": [
            {"type": "function", "name": tool.name, "parameters": tool.parameters, "strict": False} for tool in tools
        ],
        "usage": None if status == "in_progress" else usage,
    }


def _output(answer: _Answer) -> list[JsonDict]:
    if answer.calls:
        return [_response_call(answer, index, call) for index, call in enumerate(answer.calls)]
    return [_response_message(answer, answer.text)]


def _response_message(answer: _Answer, text: str | None) -> JsonDict:
    """The message item; not begun yet where `text` is None."""
    status = "in_progress" if text is None else "incomplete" if answer.is_cut else "completed"
    content = [] if text is None else [_text_part(text)]
    return {"type": "message", "id": f"msg_{answer.id}", "role": "assistant", "status": status, "content": content}


def _text_part(text: str) -> JsonDict:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response_call(answer: _Answer, index: int, call: Call, *, is_begun: bool = False) -> JsonDict:
    return {
        "type": "function_call",
        "id": f"fc_{answer.id}{index:02d}",
        "call_id": answer.call_id(index),
        "name": call.name,
        "arguments": "" if is_begun else answer.arguments(call),
        "status": "in_progress" if is_begun else "completed",
    }


def _response_frames(answer: _Answer) -> Iterator[Frame]:
    for number, (kind, fields) in enumerate(_response_events(answer)):
        yield _event({"type": f"response.{kind}", "sequence_number": number, **fields}, is_word=kind.endswith(".delta"))


def _response_events(answer: _Answer) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("created", "in_progress"):
        yield kind, {"response": _response(answer, [], "in_progress")}
    for index, call in enumerate(answer.calls):
        whole = _response_call(answer, index, call)
        place = {"item_id": whole["id"], "output_index": index}
        yield "output_item.added", {"output_index": index, "item": _response_call(answer, index, call, is_begun=True)}
        for piece in _pieces(whole["arguments"]):
            yield "function_call_arguments.delta", {**place, "delta": piece}
        yield "function_call_arguments.done", {**place, "name": call.name, "arguments": whole["arguments"]}
        yield "output_item.done", {"output_index": index, "item": whole}
    if not answer.calls:
        place = {"item_id": f"msg_{answer.id}", "output_index": 0, "content_index": 0}
        yield "output_item.added", {"output_index": 0, "item": _response_message(answer, None)}
        yield "content_part.added", {**place, "part": _text_part("")}
        for piece in answer.pieces:
            yield "output_text.delta", {**place, "delta": piece, "logprobs": []}
        yield "output_text.done", {**place, "text": answer.text, "logprobs": []}
        yield "content_part.done", {**place, "part": _text_part(answer.text)}
        yield "output_item.done", {"output_index": 0, "item": _response_message(answer, answer.text)}
    yield "incomplete" if answer.is_cut else "completed", {"response": _response(answer, _output(answer))}
