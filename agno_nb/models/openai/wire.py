"""Reading JSON that may be anything, and the few shapes that both of OpenAI's APIs share.

Servers leave fields out, send null for them, or send another type. These readers give the nearest sensible value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from functools import cache
from typing import Any

from agno_nb.models.openai.profiles import Profile
from agno_nb.models.openai.schema import strict_parameters
from agno_nb.redact import whole_characters
from agno_nb.types import JsonDict, Message, Metrics, ToolCall, ToolSpec, is_deeper, new_id


def as_dict(value: object) -> JsonDict:
    """Give `value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Give `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Give the text of a string, of a part like ``{"type": "text", "text": ...}``, or of a list of them."""
    return whole_characters(as_piece(value))


def as_piece(value: object) -> str:
    """Give text as :func:`as_text` does, but with the halves of characters that it may begin and end with."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return as_piece(value.get("text") or value.get("refusal") or value.get("summary"))
    return "".join(as_piece(part) for part in as_list(value))


def parse_json(text: str) -> Any:
    """Parse JSON from a server. Numbers that cannot be stored or sent become None: NaN, infinities, 10,000 digits.

    Raises
    ------
    ValueError
        It is not JSON, or is nested more than `MAX_DEPTH` levels deep.
    """
    try:
        value = _decoder().decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # Nearly no text has as many brackets, and counting them takes much less time than looking into every value.
    if text.count("[") + text.count("{") > MAX_DEPTH and is_deeper(value, MAX_DEPTH - 1):
        raise ValueError("nested too deeply")
    return value


MAX_DEPTH = 200
"""Levels of nesting. Deeper JSON could be parsed and then not be stored: each level takes a few calls on the stack."""

_MAX_DIGITS = 308
"""As many as the largest float has."""


@cache
def _decoder() -> json.JSONDecoder:
    def parse_int(text: str) -> int | None:
        return int(text) if len(text) <= _MAX_DIGITS else None

    def parse_float(text: str) -> float | None:
        value = float(text)
        return value if math.isfinite(value) else None

    return json.JSONDecoder(parse_int=parse_int, parse_float=parse_float, parse_constant=lambda name: None)


def as_arguments(value: object) -> str:
    """Give the JSON text of a call's arguments, which some servers send as an object. It may hold half characters."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sent_arguments(text: str) -> str:
    """Give the arguments of an earlier call as the JSON object that servers want.

    What the model once wrote wrongly is sent within one: many servers parse it, and would refuse the session for good.
    """
    try:
        is_object = isinstance(json.loads(text or "{}"), dict)
    except (ValueError, RecursionError):
        is_object = False
    return (text or "{}") if is_object else json.dumps({"not_json": text}, ensure_ascii=False)


def sendable(body: JsonDict) -> JsonDict:
    """Give a body whose text is made of whole characters: instructions and the like may hold halves of them."""
    text = json.dumps(body, ensure_ascii=False)
    whole = whole_characters(text)
    return body if whole == text else as_dict(json.loads(whole))


def read_usage(usage: JsonDict, *, sent: str, received: str) -> Metrics:
    """Read a usage object. `sent` and `received` are what this API calls the two counts: "prompt", "completion"."""
    of_sent, of_received = (
        as_dict(usage.get(f"{sent}_tokens_details")),
        as_dict(usage.get(f"{received}_tokens_details")),
    )
    return Metrics(
        input_tokens=usage.get(f"{sent}_tokens"),
        output_tokens=usage.get(f"{received}_tokens"),
        cache_read_tokens=of_sent.get("cached_tokens"),
        cache_write_tokens=of_sent.get("cache_write_tokens"),
        reasoning_tokens=of_received.get("reasoning_tokens"),
        # OpenRouter says what the request cost.
        cost=usage.get("cost"),
    ).drop_impossible()


def function_fields(tool: ToolSpec, *, profile: Profile) -> JsonDict:
    """Describe a tool as both APIs want it: strictly, if the server does that and the parameters allow it."""
    limited = profile.limited_strict
    strict = strict_parameters(tool.parameters, limited=limited) if profile.strict_tools else None
    fields = {"name": tool.name, "description": tool.description, "parameters": strict or tool.parameters}
    return {**fields, "strict": True} if strict else fields


def call_ids(messages: Iterable[Message]) -> set[str]:
    """Collect the ids of all tool calls in `messages`."""
    return {call.tool_call_id for message in messages for call in message.tool_calls}


def with_unique_ids(calls: list[ToolCall], ids_in_use: set[str]) -> list[ToolCall]:
    """Give a new id to every call that has none, or one that another call of the conversation has already."""
    for call in calls:
        if not call.tool_call_id or call.tool_call_id in ids_in_use:
            # Without the dashes it is within the 40 characters that Chat Completions accepts.
            call.tool_call_id = f"call_{new_id().replace('-', '')}"
        ids_in_use.add(call.tool_call_id)
    return calls
