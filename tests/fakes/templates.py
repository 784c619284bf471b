"""The rules of chat templates that refuse messages: those that Mistral, Google and Meta publish with their models.

A server that renders such a template answers 400 or 500 to each request that breaks a rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

JsonDict = dict[str, Any]


def mistral(messages: Sequence[JsonDict]) -> Iterator[str]:
    """Mistral's templates and API: they alternate, but for calls and results, and ids have nine characters."""
    turns = [each for each in _after_system(messages) if each["role"] != "tool" and not each.get("tool_calls")]
    yield from _not_alternating(turns)
    for before, message in zip([{"role": "start"}, *messages], messages, strict=False):
        role, called = message["role"], bool(before.get("tool_calls"))
        if role == "tool" and before["role"] != "tool" and not called:
            yield f"unexpected role 'tool' after role {before['role']!r}"
        if role == "user" and before["role"] == "tool":
            yield "unexpected role 'user' after role 'tool'"
        if role != "tool" and called:
            yield "not the same number of calls and results"
        for call_id in [call["id"] for call in message.get("tool_calls", [])] + [message.get("tool_call_id")]:
            if call_id is not None and not re.fullmatch("[a-zA-Z0-9]{9}", call_id):
                yield f"the call id is {call_id!r} and must be a-z, A-Z, 0-9, with a length of 9"
        if role == "assistant" and not message.get("content") and not message.get("tool_calls"):
            yield "an assistant message has either content or calls"
    if messages[-1]["role"] not in ("user", "tool"):
        yield f"the last role is {messages[-1]['role']!r}"


def gemma(messages: Sequence[JsonDict]) -> Iterator[str]:
    """Gemma's template, which knows no tools: all messages after the system's alternate."""
    if all(message["role"] != "tool" for message in messages):
        yield from _not_alternating(_after_system(messages))


def llama(messages: Sequence[JsonDict]) -> Iterator[str]:
    """Llama's template: one call in a message, and the system message first."""
    if any(len(message.get("tool_calls", [None])) != 1 for message in messages):
        yield "this model only supports single tool-calls at once"
    if any(message["role"] == "system" for message in messages[1:]):
        yield "the system message is not the first"


TEMPLATES: dict[str, Callable[[Sequence[JsonDict]], Iterator[str]]] = {
    "mistral": mistral,
    "gemma": gemma,
    "llama": llama,
}


def problems(messages: Sequence[JsonDict]) -> list[str]:
    """Return what any of the templates would refuse."""
    return [f"{name}: {problem}" for name, check in TEMPLATES.items() for problem in check(messages)]


def _after_system(messages: Sequence[JsonDict]) -> Sequence[JsonDict]:
    return messages[1:] if messages and messages[0]["role"] == "system" else messages


def _not_alternating(messages: Sequence[JsonDict]) -> Iterator[str]:
    for place, message in enumerate(messages):
        if (message["role"] == "user") != (place % 2 == 0):
            yield f"roles must alternate user/assistant: {[each['role'] for each in messages]}"
            return
