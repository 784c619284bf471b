"""What may be said at the call of a run. It counts for that run, instead of what the agent says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, get_args

from agno_nb.errors import InvalidInputError
from agno_nb.redact import whole_characters
from agno_nb.types import CellInfo, JsonDict, Media, Message, Role, ToolCall, Variable

if TYPE_CHECKING:
    from pydantic import BaseModel

Input: TypeAlias = "str | BaseModel | Mapping[str, Any] | Sequence[Any]"
"""What the user says: a text, or an object, which is said and stored as its JSON."""


def as_text(input: Input) -> str:
    """Return what the model is told of an input.

    Raises
    ------
    InvalidInputError
        There is nothing in it, or it cannot be written as JSON.
    """
    if isinstance(input, str):
        if not input.strip():
            raise InvalidInputError(f"there is nothing to answer: the input is {input!r}")
        return whole_characters(input)
    if input is None or (isinstance(input, Mapping | Sequence) and not input):
        raise InvalidInputError(f"there is nothing to answer: the input is {input!r}")
    items = [input] if isinstance(input, Message) else input
    if isinstance(items, Sequence) and any(isinstance(each, Message) for each in items):
        raise InvalidInputError(
            "the input is made of messages; give what the user says now, and examples as additional_input= of the "
            "agent. Earlier turns are sent from the store by add_history_to_context=True"
        )
    from pydantic import TypeAdapter

    try:
        return TypeAdapter(object).dump_json(input).decode()
    except ValueError as error:
        raise InvalidInputError(f"the input is {input!r}, which cannot be written as JSON: {error}") from None


def as_messages(messages: Sequence[Message | Mapping[str, Any] | BaseModel | str] | None) -> list[Message]:
    """Return the messages of an `additional_input`.

    Raises
    ------
    InvalidInputError
        Something in it is not a message.
    """
    if isinstance(messages, str | Mapping | Message):
        raise InvalidInputError(f"additional_input is {messages!r}; pass a list of messages")
    return [_as_message(each) for each in messages or ()]


def _as_message(value: Any) -> Message:
    if isinstance(value, Message):
        return value
    if not isinstance(value, Mapping) or "role" not in value:
        _refuse_misspelt_role(value)
        return Message(role="user", content=as_text(value))
    role, content = value["role"], value.get("content")
    if role not in get_args(Role) or not isinstance(content, str | None) or (content is None and role != "assistant"):
        raise InvalidInputError(
            f"additional_input has the message {dict(value)!r}; pass a role ({', '.join(get_args(Role))}) and a string "
            "as content"
        )
    return Message(**{**value, "tool_calls": [_as_call(each) for each in value.get("tool_calls") or ()]})


def _refuse_misspelt_role(value: Any) -> None:
    """Refuse a dict that is a message but for its "role"; other dicts are data, sent as JSON."""
    if not isinstance(value, Mapping) or not value:
        return
    for key, part in value.items():
        is_role = isinstance(part, str) and part in get_args(Role)
        if is_role and get_close_matches(str(key).lower(), ["role"]):
            raise InvalidInputError(f'additional_input has {dict(value)!r}, with the key {key!r}; did you mean "role"?')
    if value.keys() <= {"content", "tool_calls", "tool_call_id"}:
        raise InvalidInputError(
            f"additional_input has {dict(value)!r} without a role; pass one of {', '.join(get_args(Role))}"
        )


def _as_call(value: Any) -> ToolCall:
    """Return a tool call of a message; a dict is one of an OpenAI request."""
    if isinstance(value, ToolCall):
        return value
    try:
        function = value["function"]
        return ToolCall(tool_call_id=value["id"], tool_name=function["name"], arguments=function["arguments"])
    except (KeyError, TypeError):
        raise InvalidInputError(
            f"additional_input has the tool call {value!r}; pass "
            "{'id': ..., 'type': 'function', 'function': {'name': ..., 'arguments': '{...}'}}"
        ) from None


def media_of(options: Mapping[str, Any]) -> list[Media]:
    """Return the images, sounds, videos and files of a call.

    Raises
    ------
    InvalidInputError
        One of them is something else.
    """
    media = []
    for name in ("images", "audio", "videos", "files"):
        value = options.get(name) or ()
        for each in value if isinstance(value, Sequence) else [value]:
            if not isinstance(each, Media):
                kind = {"images": "Image", "audio": "Audio", "videos": "Video", "files": "File"}[name]
                raise InvalidInputError(
                    f"{name} holds something of type {type(each).__name__}; give a list of {kind}(content=...), "
                    f"{kind}(filepath=...) or {kind}(url=...), from agno_nb.media"
                )
            media.append(each)
    return media


class ContinueOptions(TypedDict, total=False):
    """What may be said when a paused run is continued. None of it is stored, so it has to be said again."""

    session_state: JsonDict | None
    """Merged over the stored state, key by key."""
    dependencies: JsonDict | None
    """As those of the agent, which they replace key by key. Never stored."""
    add_history_to_context: bool | None
    num_history_runs: int | None
    output_schema: Any
    """A pydantic model or JSON schema that the answer must follow."""


class TurnOptions(ContinueOptions, total=False):
    """What may be said with what the user says."""

    user_id: str | None
    """Who is talking. The session belongs to them."""
    session_id: str | None
    """The conversation to go on with, or to begin."""
    metadata: JsonDict | None
    """Stored with the run, merged over the agent's."""
    images: Sequence[Media] | None
    audio: Sequence[Media] | None
    videos: Sequence[Media] | None
    files: Sequence[Media] | None
    variables: Sequence[Variable] | None
    """What of the notebook was put into the input. Stored with the run."""
    replay: bool | None
    """Give the stored answer, and ask no model, where a run of the same context was completed before."""
    origin: CellInfo | None
    """The notebook cell that asks, where it is not the one that is running."""


class RunOptions(TurnOptions, total=False):
    """What may be said at the call, and then counts for that run instead of what the agent says."""

    run_id: str | None
    """Id for the new run."""
    run_index: int | None
    """The turn to try again. What came after it is not in the context; the new attempt supersedes the old one."""
