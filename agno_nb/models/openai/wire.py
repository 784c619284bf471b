"""Tolerant readers of JSON from servers, and the structures that OpenAI's two APIs share.

Servers omit fields, send null, or send other types. The readers return the nearest sensible value.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from agno_nb.errors import InvalidInputError
from agno_nb.models.base import Delta, ModelRequest, ModelResponse
from agno_nb.models.openai.profiles import KNOWN_CALL_IDS, CallIds, Profile
from agno_nb.models.openai.reasoning_tags import END_TOKENS, MAX_END_TOKENS, ReasoningSplitter
from agno_nb.models.openai.schema import strict_parameters
from agno_nb.models.openai.schema_rules import rewrite_schema
from agno_nb.redact import whole_characters
from agno_nb.types import (
    LONGEST_TOOL_NAME,
    JsonDict,
    Message,
    Metrics,
    ToolSpec,
    as_dict,
    as_list,
    is_deeper,
    json_object,
    valid_tool_name,
)

if TYPE_CHECKING:
    from agno_nb.models.openai.profiles import Endpoint


@dataclass(slots=True)
class Answer(ABC):
    """An answer, assembled from the frames of a stream."""

    endpoint: Endpoint
    model: str
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refused: bool = False
    finish_reason: str | None = None
    is_done: bool = False
    """Whether the stream ended with ``[DONE]``."""
    last_message: JsonDict = field(default_factory=dict)
    """The last frame with a message instead of a piece of the answer."""
    is_finished: bool = False
    """Whether the rest of the text was returned."""
    splitter: ReasoningSplitter = field(init=False)

    def __post_init__(self) -> None:
        self.splitter = ReasoningSplitter(finds_orphans=not self.endpoint.profile.parses_reasoning)

    @property
    def is_ended(self) -> bool:
        """Whether no further frames are expected."""
        return False

    @property
    @abstractmethod
    def has_calls(self) -> bool:
        """Whether the answer has tool calls so far."""

    @abstractmethod
    def add(self, frame: JsonDict) -> Delta | None:
        """Add a frame, and return its new text if there is any."""

    def missing_text(self) -> str:
        """Return content that was not part of any delta, after the last frame."""
        return ""

    def missing_reasoning(self) -> str:
        """Return reasoning that was not part of any delta, after the last frame."""
        return ""

    def finish(self) -> Delta | None:
        """Return the rest of the text, after the last frame."""
        if self.is_finished:
            return None
        self.is_finished = True
        delta = self._delta(self.missing_text(), self.missing_reasoning(), is_end=True)
        if self.endpoint.profile.parses_reasoning:
            return delta
        content = "".join(self.content)
        if not (tokens := END_TOKENS.search(content, max(0, len(content) - MAX_END_TOKENS))):
            return delta
        # They were shown, but would end the message in the chat template of the next request.
        self.content = [content[: tokens.start()]]
        self.splitter.has_tags = True
        reasoning = "" if delta is None else delta.reasoning_content
        return Delta(content=self.content[0], reasoning_content=reasoning, discards_content=True)

    @abstractmethod
    def to_response(self, taken_ids: set[str]) -> ModelResponse:
        """Return the complete answer; raise ModelError if it is incomplete or ended by the server."""

    def _delta(self, content: str, reasoning: str = "", *, is_end: bool = False) -> Delta | None:
        if self.endpoint.profile.parses_reasoning:
            delta = Delta(content=content, reasoning_content=reasoning)
        else:
            if reasoning:
                self.splitter.finds_orphans = False
            delta = self.splitter.add(content, is_end=is_end)
            delta.reasoning_content = reasoning + delta.reasoning_content
        if delta.discards_content:
            self.content.clear()
        elif not delta.content and not delta.reasoning_content:
            return None
        self.content.append(delta.content)
        self.reasoning.append(delta.reasoning_content)
        return delta

    def _reason_of_end(self) -> str | None:
        """Return the finish reason, or None if the answer is incomplete. Some servers send only ``[DONE]``."""
        has_answer = any(self.content) or any(self.reasoning) or self.has_calls
        is_whole = self.is_done and has_answer and not self.last_message
        return self.finish_reason or ("stop" if is_whole else None)


def as_text(value: object) -> str:
    """Return the text of a string, of a part such as ``{"type": "text", "text": ...}``, or of a list of parts."""
    return whole_characters(as_piece(value))


def as_piece(value: object) -> str:
    """Return text like :func:`as_text`, which may start and end in the middle of a character."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return as_piece(value.get("text") or value.get("refusal") or value.get("summary"))
    return "".join(as_piece(part) for part in as_list(value))


def parse_json(text: str) -> Any:
    """Parse JSON from a server; raise ValueError if it is invalid or nested more than `MAX_DEPTH` levels deep.

    NaN, infinities and integers of thousands of digits become None.
    """
    try:
        value = _decoder().decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # Counting brackets is much faster than visiting every value, and rarely finds as many.
    if text.count("[") + text.count("{") > MAX_DEPTH and is_deeper(value, MAX_DEPTH - 1):
        raise ValueError("nested too deeply")
    return value


MAX_DEPTH = 200
"""Levels of nesting. Deeper JSON could be parsed but not stored, because each level needs several stack frames."""

_MAX_DIGITS = 308
"""Number of digits of the largest float."""

# Gemini requires a letter or "_" at the start.
_VALID_NAME = re.compile(rf"[A-Za-z_][\w-]{{0,{LONGEST_TOOL_NAME - 1}}}", re.ASCII)
_AROUND_NAME = re.compile(r"^\s*functions\.|(?:<\|.*|:\d+)$", re.DOTALL)
"""What models add to the names of tools: a namespace, the next control token (vllm#32587), or Kimi's number."""
_NINE = re.compile("[A-Za-z0-9]{9}")
_LONGEST_ID = 40
"""Limit of call ids in OpenAI's Chat Completions."""


@cache
def _decoder() -> json.JSONDecoder:
    def parse_int(text: str) -> int | None:
        return int(text) if len(text) <= _MAX_DIGITS else None

    def parse_float(text: str) -> float | None:
        value = float(text)
        return value if math.isfinite(value) else None

    return json.JSONDecoder(parse_int=parse_int, parse_float=parse_float, parse_constant=lambda name: None)


def as_arguments(value: object) -> str:
    """Return a call's arguments as JSON text; some servers send an object. The text may have halves of characters."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def whole_arguments(text: str) -> str:
    """Return the complete arguments of a call. Some servers send nothing or null for none (vllm#33268)."""
    text = whole_characters(text).strip()
    return "{}" if text in ("", "null") else text


def sent_arguments(text: str) -> str:
    """Return the arguments of an earlier call as a JSON object.

    Invalid arguments are wrapped in one. Many servers parse them and would otherwise reject every later request.
    """
    text = text or "{}"
    return text if json_object(text) is not None else json.dumps({"not_json": text}, ensure_ascii=False)


def sendable(body: JsonDict) -> JsonDict:
    """Return a body without halves of characters, which instructions and other texts may contain."""
    text = json.dumps(body, ensure_ascii=False)
    whole = whole_characters(text)
    return body if whole == text else as_dict(json.loads(whole))


def read_usage(usage: JsonDict, *, sent: str, received: str) -> Metrics:
    """Read a usage object. `sent` and `received` are the API's prefixes, for example "prompt" and "completion"."""
    of_sent, of_received = (as_dict(usage.get(f"{prefix}_tokens_details")) for prefix in (sent, received))
    return Metrics(
        input_tokens=usage.get(f"{sent}_tokens"),
        output_tokens=usage.get(f"{received}_tokens"),
        cache_read_tokens=of_sent.get("cached_tokens"),
        cache_write_tokens=of_sent.get("cache_write_tokens"),
        reasoning_tokens=of_received.get("reasoning_tokens"),
        # Reported by OpenRouter.
        cost=usage.get("cost"),
    ).drop_impossible()


def function_fields(tool: ToolSpec, *, profile: Profile) -> JsonDict:
    """Describe a tool for either API, in strict mode if the server and the parameters allow it."""
    limited = profile.limited_strict
    strict = strict_parameters(tool.parameters, limited=limited) if profile.strict_tools else None
    parameters = rewrite_schema(strict or tool.parameters, profile.schema_rules)
    fields = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {**fields, "strict": True} if strict else fields


def offered_tools(request: ModelRequest, endpoint: Endpoint) -> tuple[list[ToolSpec], str | None]:
    """Return the tools to send, and the `tool_choice`: None, "none", "required" or the name of a tool.

    Raises
    ------
    InvalidInputError
        The server doesn't let clients choose a tool.
    """
    choice = request.tool_choice if request.allow_tool_calls else "none"
    if not request.tools or choice in (None, "auto"):
        return request.tools, None
    if endpoint.profile.tool_choice == "ignored":
        if choice != "none":
            raise InvalidInputError(
                f"{endpoint} ignores tool_choice={choice!r}; leave it out and ask for the call in the instructions"
            )
        return [], None
    if endpoint.profile.tool_choice == "strings" and choice not in ("none", "required"):
        return [tool for tool in request.tools if tool.name == choice], "required"
    return request.tools, choice


class ToolNames:
    """The tool names of a request: repaired if providers would reject them, and translated back in the answer.

    Small models call tools by names that don't exist: empty, with dots or spaces, 200 characters long. Such calls are
    stored unchanged. Without repair, a provider would reject every later request with them in the history.
    """

    def __init__(self, request: ModelRequest, *, call_ids: CallIds = "forty") -> None:
        self._request, self._call_ids = request, call_ids
        self._sent_names: dict[str, str] = {}
        # Valid names first, because they stay as they are.
        for tool in sorted(request.tools, key=lambda tool: _VALID_NAME.fullmatch(tool.name) is None):
            if tool.name not in self._sent_names:
                self._sent_names[tool.name] = _unused(_repaired(tool.name), self._sent_names.values())
        self._originals = {sent: name for name, sent in self._sent_names.items()}

    def repaired_request(self) -> ModelRequest:
        """Return the request with valid names and ids. Its messages are not changed."""
        request = self._request
        messages = [self._message(message) for message in request.messages]
        tools = [replace(tool, name=self._sent(tool.name)) for tool in request.tools]
        choice = request.tool_choice and self._sent_names.get(request.tool_choice, request.tool_choice)
        return replace(request, messages=messages, tools=tools, tool_choice=choice)

    def restore(self, response: ModelResponse) -> None:
        """Restore the original tool names in an answer, and remove what models add to them."""
        for call in response.tool_calls:
            name = call.tool_name if call.tool_name in self._originals else _AROUND_NAME.sub("", call.tool_name)
            call.tool_name = self._originals.get(name, call.tool_name)

    def _sent(self, name: str) -> str:
        return self._sent_names.get(name) or _repaired(name)

    def _message(self, message: Message) -> Message:
        if not message.tool_calls and not message.tool_call_id:
            return message
        calls = [
            replace(
                call, tool_name=self._sent(call.tool_name), tool_call_id=sent_call_id(call.tool_call_id, self._call_ids)
            )
            for call in message.tool_calls
        ]
        return replace(
            message,
            tool_calls=calls,
            tool_call_id=message.tool_call_id and sent_call_id(message.tool_call_id, self._call_ids),
        )


def _repaired(name: str) -> str:
    if _VALID_NAME.fullmatch(name):
        return name
    valid = valid_tool_name(name)
    return valid if _VALID_NAME.fullmatch(valid) else f"tool_{valid}"[:LONGEST_TOOL_NAME].rstrip("_")


def _unused(name: str, names_in_use: Collection[str]) -> str:
    candidate, number = name, 1
    while candidate in names_in_use:
        number += 1
        candidate = f"{name[: LONGEST_TOOL_NAME - 1 - len(str(number))]}_{number}"
    return candidate


def sent_call_id(call_id: str, form: CallIds) -> str:
    """Return an id that the server accepts, which is the same for a call and its result."""
    if form == "forty":
        return call_id if len(call_id) <= _LONGEST_ID else f"call_{_hash(call_id)[:32]}"
    is_known = form == "nine or known" and KNOWN_CALL_IDS.fullmatch(call_id)
    return call_id if is_known or _NINE.fullmatch(call_id) else _hash(call_id)[:9]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
