"""A server as strict as the strictest providers: it rejects calls without answers, unknown ids and loose schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.http import Answer, FakeServer, Request, json_answer, sse, sse_events
from tests.fakes.strict_schema import strict_problems

JsonDict = dict[str, Any]


@dataclass(kw_only=True)
class Said(Answer):
    """An answer for both APIs; the Responses API uses `events`."""

    events: list[JsonDict]


class StrictServer(FakeServer):
    """Sends given answers, but HTTP 400 for requests that break the rules.

    Attributes
    ----------
    refused : list of str
        What was wrong with the requests that it refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []

    def answer_to(self, request: Request) -> Answer:
        problems = list(problems_of(request))
        self.refused += problems
        if problems:
            return json_answer({"error": {"message": problems[0], "type": "invalid_request_error"}}, status=400)
        answer = super().answer_to(request)
        if isinstance(answer, Said) and request.path.endswith("/responses"):
            return Answer(chunks=sse_events(answer.events), end=answer.end)
        return answer


def problems_of(request: Request) -> Iterator[str]:
    """Return the errors of a request to the Chat Completions or the Responses API."""
    if request.path.endswith("/responses"):
        yield from _problems_of_items(request.body["input"])
        yield from _problems_of_tools(request.body.get("tools", []))
        yield from _problems_of_form(request.body.get("text", {}).get("format"))
    else:
        yield from _problems_of_messages(request.body["messages"])
        yield from _problems_of_tools([tool["function"] for tool in request.body.get("tools", [])])
        yield from _problems_of_form(request.body.get("response_format", {}).get("json_schema"))


def _problems_of_messages(messages: Sequence[JsonDict]) -> Iterator[str]:
    waiting: set[str] = set()
    for message in messages:
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in waiting:
                yield f"tool message for {message['tool_call_id']!r}, which no preceding message called"
            waiting.discard(message["tool_call_id"])
            if not isinstance(message["content"], str):
                yield "tool message without text"
            continue
        if waiting:
            yield f"no tool message for {sorted(waiting)}"
        calls = message.get("tool_calls") or []
        waiting = {call["id"] for call in calls}
        if len(waiting) < len(calls):
            yield "two tool calls have one id"
        if role == "assistant" and not calls and not message.get("content"):
            yield "assistant message without content"
        for call in calls:
            yield from _problems_of_arguments(call["function"]["arguments"])
            yield from _problems_of_name(call["function"]["name"])
            if len(call["id"]) > 40:
                yield f"the id {call['id']!r} of a call is longer than 40 characters"
    if waiting:
        yield f"no tool message for {sorted(waiting)}"
    if messages[-1]["role"] not in ("user", "tool"):
        yield f"the last message is the {messages[-1]['role']}'s"


def _problems_of_items(items: Sequence[JsonDict]) -> Iterator[str]:
    called = [item["call_id"] for item in items if item.get("type") == "function_call"]
    answered = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    for call_id in sorted(set(called) ^ set(answered)):
        yield f"call {call_id!r} does not have both a call and an output"
    if len(set(called)) < len(called) or len(set(answered)) < len(answered):
        yield "two items have one call_id"
    for item in items:
        if item.get("type") == "function_call":
            yield from _problems_of_arguments(item["arguments"])
            yield from _problems_of_name(item["name"])
            if len(item["call_id"]) > 64:
                yield f"the id {item['call_id']!r} of a call is longer than 64 characters"


def _problems_of_arguments(text: str) -> Iterator[str]:
    try:
        if not isinstance(json.loads(text), dict):
            yield f"arguments are not an object: {text}"
    except json.JSONDecodeError:
        yield f"arguments are not JSON: {text}"


def _problems_of_tools(tools: Sequence[JsonDict]) -> Iterator[str]:
    for tool in tools:
        schema = tool["parameters"]
        if schema.get("type") != "object" or schema.get("additionalProperties") is not False:
            yield f"the arguments of {tool['name']} are not a closed object"
        if tool.get("strict"):
            yield from (f"{tool['name']} is strict: {problem}" for problem in strict_problems(schema))
        yield from _problems_of_name(tool["name"])
    names = [tool["name"] for tool in tools]
    if len(set(names)) < len(names):
        yield f"two tools have one name: {names}"


def _problems_of_form(form: JsonDict | None) -> Iterator[str]:
    if form and form.get("strict"):
        yield from strict_problems(form["schema"])


def _problems_of_name(name: str) -> Iterator[str]:
    if not re.fullmatch("[a-zA-Z0-9_-]{1,64}", name):
        yield f"{name!r} does not match '^[a-zA-Z0-9_-]+$' or is too long"


def says(text: str, *, then: str = "whole", tokens: int | None = None) -> Answer:
    """Answer in text, word by word; ``then="stall"`` goes on for ever. It may say how many tokens came back."""
    words = [f"{word} " for word in text.split()]
    frames = [_chunk({"content": word}) for word in words]
    part = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    events = [_event("output_text.delta", **part, delta=word) for word in words]
    if then == "stall":
        return Said(chunks=sse(frames, done=False), events=events, end="stall")
    content = [{"type": "output_text", "text": "".join(words), "annotations": []}]
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
    return Said(
        chunks=sse([*frames, _chunk({}, "stop"), *_used(tokens)]), events=[*events, _completed(message, tokens=tokens)]
    )


def calls(*asked: tuple[str, JsonDict | str], first_id: int = 1, tokens: int | None = None) -> Answer:
    """Ask for tool calls. Arguments that are text are said as they are."""
    pieces = [
        {
            "index": i,
            "id": f"call_{first_id + i}",
            "type": "function",
            "function": {"name": n, "arguments": a if isinstance(a, str) else json.dumps(a)},
        }
        for i, (n, a) in enumerate(asked)
    ]
    items = [
        {
            "type": "function_call",
            "id": f"fc_{piece['id']}",
            "call_id": piece["id"],
            "status": "completed",
            **piece["function"],
        }
        for piece in pieces
    ]
    return Said(
        chunks=sse([_chunk({"tool_calls": pieces}), _chunk({}, "tool_calls"), *_used(tokens)]),
        events=[
            *[_event("output_item.done", output_index=place, item=item) for place, item in enumerate(items)],
            _completed(*items, tokens=tokens),
        ],
    )


def _event(kind: str, **fields: Any) -> JsonDict:
    return {"type": f"response.{kind}", "sequence_number": 1, **fields}


def _completed(*items: JsonDict, tokens: int | None) -> JsonDict:
    usage = None if tokens is None else {"input_tokens": 0, "output_tokens": tokens, "total_tokens": tokens}
    response = {"id": "resp_1", "model": "strict", "status": "completed", "output": list(items), "usage": usage}
    return _event("completed", response=response)


def _used(tokens: int | None) -> list[JsonDict]:
    usage = {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}
    return [] if tokens is None else [{"choices": [], "usage": usage}]


def _chunk(delta: JsonDict, finish: str | None = None) -> JsonDict:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "strict", "choices": [choice]}
