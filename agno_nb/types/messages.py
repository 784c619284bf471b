"""Messages to and from a model: their media, tool specifications and tool calls."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import ValueNotStoredError
from agno_nb.redact import displayable
from agno_nb.types.basics import Alias, JsonDict, brief, json_object, new_id, now
from agno_nb.types.dicts import NOT_IN_DICTS, DictMethods, to_dict
from agno_nb.types.metrics import Metrics

if TYPE_CHECKING:
    from agno_nb.types.requirements import ApprovalKind, FeedbackQuestion, UserInputField

Role = Literal["system", "user", "assistant", "tool"]

INTERRUPTED_RESULT = "This call was interrupted before it gave a result."
"""The result of a call whose run was stopped or killed."""
REFUSED = "Refused: a run may make"
"""How the result of a call after the `tool_call_limit` begins."""
LONGEST_TOOL_NAME = 64
"""The limit of providers: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools"""


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
    """The description of a tool that is sent to the model."""

    name: str
    description: str
    parameters: JsonDict
    """JSON schema of the arguments."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, repr=False)
class ToolCall(DictMethods):
    """A tool call requested by the model, and its result."""

    tool_call_id: str
    """Unique within its run; the provider's id if it is usable."""
    tool_name: str
    arguments: str = "{}"
    """The arguments as JSON text, exactly as the model wrote them. They may be invalid."""
    result: str | None = None
    """The result that is sent to the model; None until the call has ended. If the call waits for external execution,
    set it to your result."""
    value: Any = field(default=None, compare=False, metadata=NOT_IN_DICTS)
    """The object returned by the tool. It is available in this process only and never stored. For a cached answer it is
    read from `result`; if that has only a part of the object, for example of a DataFrame, it raises an error."""
    artifact: Any = field(default=None, compare=False)
    """A JSON value that the tool returned for your program next to the result for the model."""
    tool_call_error: bool = False
    """Whether the tool failed, was rejected or received invalid arguments."""
    extra: JsonDict | None = None
    """Provider data to send back unchanged with this call, for example Gemini's thought signatures. The key
    `read_from_text` says that the model wrote the call as text."""
    created_at: float = field(default_factory=now)
    duration_s: float | None = None
    confirmed: bool | None = None
    """Decision on a call that waits for approval: True allows it, False rejects it."""
    confirmation_note: str | None = None
    """Reason for the decision. The model receives the reason for a rejection."""
    resolved_by: str | None = None
    """Who decided about the call or answered for it: the user of the notebook whose command or widget was used."""
    user_input_schema: list[UserInputField] = field(default_factory=list)
    """For a call that waits for user input: the fields to fill in."""
    is_finished: bool = field(default=False, compare=False)
    """Whether `result` is among the run's messages. Until then a person can still change the answer."""
    approval_kind: ApprovalKind | None = field(default=None, compare=False)
    """What the call needs or needed from a person; its requirement sets it."""

    def __getstate__(self) -> dict[str, Any]:
        # `value` may be anything, even a connection.
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "value"} | {"value": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def forget_value(self) -> None:
        """Make reading `value` an error, because it is known that there was one, but not which."""
        del self.value

    if not TYPE_CHECKING:  # Type checkers would accept any attribute.

        def __getattr__(self, name: str) -> Any:
            if name == "value":
                raise ValueNotStoredError(
                    f"the answer is cached, and the object returned by {self.tool_name}() is not stored, only its text "
                    "in `result`; to call the tool, use `%%agent --fresh`, or run() without cache=True"
                )
            raise AttributeError(f"'ToolCall' object has no attribute {name!r}")

    @property
    def is_read_from_text(self) -> bool:
        """Whether the model wrote the call as text, which the server did not parse."""
        return bool((self.extra or {}).get("read_from_text"))

    def data_for(self, provider: str) -> JsonDict:
        """Return the data to send back, which only the provider that it came from accepts."""
        extra = self.extra or {}
        return {"extra_content": extra["extra_content"]} if extra.get("provider") == provider else {}

    @property
    def tool_args(self) -> JsonDict:
        """The arguments as a dict; empty if `arguments` is not a JSON object."""
        return json_object(self.arguments or "{}") or {}

    @property
    def metrics(self) -> Metrics | None:
        """The duration of the call; None until it has ended."""
        return None if self.duration_s is None else Metrics(duration_s=self.duration_s)

    @property
    def is_paused(self) -> bool:
        """Whether a person has to answer, or has answered and the run was not continued."""
        return self.approval_kind is not None and not self.is_finished

    @property
    def requires_confirmation(self) -> bool:
        """Whether the call waits for approval; set `confirmed`. False when the run has continued."""
        return self.is_paused and self.approval_kind == "confirmation"

    @property
    def requires_user_input(self) -> bool:
        """Whether the call waits for values; set `value` of each field in `user_input_schema`."""
        return self.is_paused and self.approval_kind == "user_input"

    @property
    def external_execution_required(self) -> bool:
        """Whether the call waits to be executed by a person; set `result`."""
        return self.is_paused and self.approval_kind == "external_execution"

    @property
    def answered(self) -> bool:
        """Whether a person has given the values of all fields in `user_input_schema`."""
        return self.approval_kind == "user_input" and all(each.is_given for each in self.user_input_schema)

    @property
    def user_feedback_schema(self) -> list[FeedbackQuestion]:
        """The questions of a call of `ask_user`; empty for other calls."""
        from agno_nb.types.requirements import FeedbackQuestion

        questions = [FeedbackQuestion.from_field(each) for each in self.user_input_schema]
        return [each for each in questions if each is not None]

    def to_dict(self) -> JsonDict:
        """Return the call as a dict that JSON can represent, also with its arguments as `tool_args`."""
        return {**to_dict(self), "tool_args": self.tool_args}

    def __repr__(self) -> str:
        return f"ToolCall({displayable(self.tool_name)}({brief(self.arguments)}) -> {brief(self.result)})"


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, repr=False)
class Media(DictMethods):
    """An image, audio, video or file in a message, with exactly one of `url` and `content`.

    Users create media with the functions in :mod:`agno_nb.media`.
    """

    kind: Literal["image", "audio", "video", "file"]
    url: str | None = None
    content: bytes | None = None
    mime_type: str | None = None
    filename: str | None = None
    detail: str | None = None
    """For images: the resolution for the model, "low", "high" or "auto"."""

    def __repr__(self) -> str:
        what = brief(self.url) if self.url else f"{len(self.content or b'')} bytes"
        return displayable(f"Media({self.kind}, {what}, {self.mime_type})")


MEDIA_KEYWORDS = dict.fromkeys(("images", "audio", "videos", "files"), "media")
"""agno's keywords for media, each with the field that has them."""


class HasMedia(Protocol):
    """A value that has media."""

    @property
    def media(self) -> Sequence[Media]: ...


class WithMedia:
    """agno's attributes for the media of a value, by their kind."""

    __slots__ = ()

    @property
    def images(self: HasMedia) -> list[Media]:
        return [each for each in self.media if each.kind == "image"]

    @property
    def audio(self: HasMedia) -> list[Media]:
        return [each for each in self.media if each.kind == "audio"]

    @property
    def videos(self: HasMedia) -> list[Media]:
        return [each for each in self.media if each.kind == "video"]

    @property
    def files(self: HasMedia) -> list[Media]:
        return [each for each in self.media if each.kind == "file"]


@suggest_on_unknown_kwarg({"id": "message_id"}, joined=MEDIA_KEYWORDS)
@dataclass(slots=True, kw_only=True, repr=False)
class Message(DictMethods, WithMedia):
    """One message to or from the model."""

    role: Role
    content: str | None = None
    """The text. None for an assistant message that only calls tools."""
    reasoning_content: str | None = None
    """The model's reasoning, if the provider returns it."""
    media: list[Media] = field(default_factory=list)
    """For user messages: images, audio, videos and files. For tool messages: those of the result."""
    tool_calls: list[ToolCall] = field(default_factory=list)
    """For assistant messages: the requested tool calls, in order."""
    tool_call_id: str | None = None
    """For tool messages: the call that it answers."""
    tool_name: str | None = None
    tool_call_error: bool = False
    message_id: str = field(default_factory=new_id)
    run_id: str | None = None
    """The run that added the message."""
    from_history: bool = False
    """Whether the message comes from an earlier run. Such messages are not stored again."""
    finish_reason: str | None = None
    """For assistant messages: why the model stopped, in the provider's words; "interrupted" if the run was stopped."""
    model: str | None = None
    """For assistant messages: the model reported by the server."""
    metrics: Metrics | None = None
    """For assistant messages: of the model call. For tool messages: `duration_s` of the tool."""
    provider_data: JsonDict | None = None
    """Raw provider items to send back unchanged in later requests, for example reasoning items. For tool messages: the
    `artifact` of the call."""
    created_at: float = field(default_factory=now)
    """Unix seconds."""

    id = Alias[str]("message_id")

    def get_content_string(self) -> str:
        """Return the text; "" if there is none."""
        return self.content or ""

    def __repr__(self) -> str:
        calls = f", tool_calls={self.tool_calls!r}" if self.tool_calls else ""
        history = ", from_history=True" if self.from_history else ""
        return f"Message({self.role}, {brief(self.content)}{calls}{history})"
