"""What is said to and by a model: messages, their media, the tools that it is told of and the calls it asks for."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.redact import displayable
from agno_nb.types.basics import JsonDict, brief, new_id, now
from agno_nb.types.metrics import Metrics

if TYPE_CHECKING:
    from agno_nb.types.requirements import UserInputField

Role = Literal["system", "user", "assistant", "tool"]


LONGEST_TOOL_NAME = 64
"""What providers accept: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools"""


def valid_tool_name(name: str) -> str:
    """Return the name with ASCII letters, digits, _ and - only; letters lose their accents. It may be empty.

    Examples
    --------
    >>> valid_tool_name("fs.read café")
    'fs_read_cafe'
    """
    plain = unicodedata.normalize("NFKD", name)
    plain = re.sub(r"[^\w-]+", "_", "".join(c for c in plain if not unicodedata.combining(c)), flags=re.ASCII)
    return plain.strip("_")[:LONGEST_TOOL_NAME]


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class ToolSpec:
    """A tool as the model is told of it."""

    name: str
    description: str
    parameters: JsonDict
    """JSON schema of the arguments, an object."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, repr=False)
class ToolCall:
    """One call that the model asked for, and what came of it."""

    tool_call_id: str
    """Unique within its run: the provider's id where it gave a usable one."""
    tool_name: str
    arguments: str = "{}"
    """The arguments as JSON text, exactly as the model wrote them (they need not be valid)."""
    result: str | None = None
    """What the model was told. None while the call has not ended. If the call waits for external execution, set it to
    the result of your own execution."""
    value: Any = None
    """The object that the tool returned. It lives in this process only and is never stored."""
    tool_call_error: bool = False
    """Whether the tool failed, was refused or got arguments that it does not take."""
    extra: JsonDict | None = None
    """What the provider wants back with this call (Gemini's thought signatures, say), untouched."""
    created_at: float = field(default_factory=now)
    duration_s: float | None = None
    confirmed: bool | None = None
    """Decision on a call that waits for approval: True allows it, False rejects it."""
    confirmation_note: str | None = None
    """Reason for the decision. The model receives the reason for a rejection."""
    user_input_schema: list[UserInputField] = field(default_factory=list)
    """For a call that waits for user input: the fields to fill in."""
    is_finished: bool = field(default=False, compare=False)
    """Whether `result` is among the run's messages. Until then a person can still change the answer."""

    def __getstate__(self) -> dict[str, Any]:
        # The object that a tool returned may be anything, a connection too.
        return {each.name: getattr(self, each.name) for each in fields(self)} | {"value": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def tool_args(self) -> JsonDict:
        """The arguments as a dict; empty when `arguments` is not a JSON object."""
        try:
            parsed = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError):
            return {}
        return parsed if isinstance(parsed, dict) else {}

    def __repr__(self) -> str:
        return f"ToolCall({displayable(self.tool_name)}({brief(self.arguments)}) -> {brief(self.result)})"


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, repr=False)
class Media:
    """An image, sound or file that is part of a message. It is given by exactly one of `url` and `content`.

    The classes that users make are in :mod:`agno_nb.media`.
    """

    kind: Literal["image", "audio", "video", "file"]
    url: str | None = None
    content: bytes | None = None
    mime_type: str | None = None
    filename: str | None = None
    detail: str | None = None
    """Of an image: how closely the model should look: "low", "high" or "auto"."""

    def __repr__(self) -> str:
        what = brief(self.url) if self.url else f"{len(self.content or b'')} bytes"
        return displayable(f"Media({self.kind}, {what}, {self.mime_type})")


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, repr=False)
class Message:
    """One message to or from the model."""

    role: Role
    content: str | None = None
    """The text. None for an assistant message that only calls tools."""
    reasoning_content: str | None = None
    """What the model said it was thinking, where the provider tells."""
    media: list[Media] = field(default_factory=list)
    """Of a user message: what the user sent with the text."""
    tool_calls: list[ToolCall] = field(default_factory=list)
    """Of an assistant message: the calls it asks for, in its order."""
    tool_call_id: str | None = None
    """Of a tool message: the call that it answers."""
    tool_name: str | None = None
    tool_call_error: bool = False
    message_id: str = field(default_factory=new_id)
    run_id: str | None = None
    """The run in which the message was first said."""
    from_history: bool = False
    """Whether the message was said in an earlier run and is here as context. Such messages are not stored again."""
    finish_reason: str | None = None
    """Of an assistant message: why the model stopped, in the provider's word; "interrupted" when we cut it off."""
    model: str | None = None
    """Of an assistant message: the model that the server says it used."""
    metrics: Metrics | None = None
    """Of an assistant message: its model call. Of a tool message: `duration_s` of the tool."""
    provider_data: JsonDict | None = None
    """Raw items that this provider wants back in later requests (reasoning items, say), untouched."""
    created_at: float = field(default_factory=now)
    """Unix seconds."""

    def __repr__(self) -> str:
        calls = f", tool_calls={self.tool_calls!r}" if self.tool_calls else ""
        history = ", from_history=True" if self.from_history else ""
        return f"Message({self.role}, {brief(self.content)}{calls}{history})"
