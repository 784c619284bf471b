"""Options and input of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, get_args

from agno_nb.errors import InvalidInputError
from agno_nb.redact import whole_characters
from agno_nb.types import CellInfo, JsonDict, Media, Message, Requirement, Role, ToolCall, Variable

if TYPE_CHECKING:
    from pydantic import BaseModel

Input: TypeAlias = "str | BaseModel | Mapping[str, Any] | Sequence[Any]"
"""The user's message: a string, or an object that is sent and stored as JSON."""


def as_text(input: Input) -> str:
    """Return an input as the text that is sent to the model.

    Raises
    ------
    InvalidInputError
        The input is empty or cannot be converted to JSON.
    """
    if isinstance(input, str):
        if not input.strip():
            raise InvalidInputError(f"the input {input!r} is empty; pass a message")
        return whole_characters(input)
    if input is None or (isinstance(input, Mapping | Sequence) and not input):
        raise InvalidInputError(f"the input {input!r} is empty; pass a message")
    items = [input] if isinstance(input, Message) else input
    if isinstance(items, Sequence) and any(isinstance(each, Message) for each in items):
        raise InvalidInputError(
            "run() takes the new user message, got Message objects; pass a string, put few-shot examples in "
            "Agent(additional_input=[...]), and send earlier turns with add_history_to_context=True"
        )
    from pydantic import TypeAdapter

    try:
        return TypeAdapter(object).dump_json(input).decode()
    except ValueError as error:
        raise InvalidInputError(f"cannot convert the input {input!r} to JSON: {error}") from None


def as_messages(messages: Sequence[Message | Mapping[str, Any] | BaseModel | str] | None) -> list[Message]:
    """Return `additional_input` as messages, marked as part of an earlier run.

    Raises
    ------
    InvalidInputError
        An item cannot be converted to a message.
    """
    if isinstance(messages, str | Mapping | Message):
        raise InvalidInputError(f"additional_input is {messages!r}; pass a list of messages")
    return [_as_message(each) for each in messages or ()]


def _as_message(value: Any) -> Message:
    if isinstance(value, Message):
        return replace(value, from_history=True)
    if not isinstance(value, Mapping) or "role" not in value:
        _refuse_misspelt_role(value)
        return Message(role="user", content=as_text(value), from_history=True)
    role, content = value["role"], value.get("content")
    if role not in get_args(Role) or not isinstance(content, str | None) or (content is None and role != "assistant"):
        raise InvalidInputError(
            f"invalid message {dict(value)!r} in additional_input; pass a role ({', '.join(get_args(Role))}) and a "
            "string as content"
        )
    calls = [_as_call(each) for each in value.get("tool_calls") or ()]
    return Message(**{**value, "tool_calls": calls, "from_history": True})


def _refuse_misspelt_role(value: Any) -> None:
    """Raise if a dict looks like a message without a valid "role" key. Other dicts are data, sent as JSON."""
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
    """Return a tool call of a message. A dict has the format of OpenAI requests."""
    if isinstance(value, ToolCall):
        return value
    try:
        function = value["function"]
        return ToolCall(tool_call_id=value["id"], tool_name=function["name"], arguments=function["arguments"])
    except (KeyError, TypeError):
        raise InvalidInputError(
            f"invalid tool call {value!r} in additional_input; pass "
            "{'id': ..., 'type': 'function', 'function': {'name': ..., 'arguments': '{...}'}}"
        ) from None


def first_set(*values: Any) -> Any:
    """Return the first value that is not None."""
    for value in values:
        if value is not None:
            return value
    return None


def media_of(options: Mapping[str, Any]) -> list[Media]:
    """Return the images, audio, videos and files passed to a call.

    Raises
    ------
    InvalidInputError
        One of them is not a media object.
    """
    media = []
    for name in ("images", "audio", "videos", "files"):
        value = options.get(name) or ()
        for each in value if isinstance(value, Sequence) else [value]:
            if not isinstance(each, Media):
                kind = {"images": "Image", "audio": "Audio", "videos": "Video", "files": "File"}[name]
                raise InvalidInputError(
                    f"{name} contains an object of type {type(each).__name__}; pass a list of {kind}(content=...), "
                    f"{kind}(filepath=...) or {kind}(url=...), from agno_nb.media"
                )
            media.append(each)
    return media


class ContinueOptions(TypedDict, total=False):
    """Options for continuing a run. They are not stored, so pass them again."""

    session_state: JsonDict | None
    """Merged over the stored state, key by key."""
    dependencies: JsonDict | None
    """Merged over the agent's dependencies, key by key. Never stored."""
    add_history_to_context: bool | None
    num_history_runs: int | None
    output_schema: Any
    """A pydantic model or JSON schema that the answer must follow."""
    additional_data: JsonDict | None
    """For workflows: values for steps as `step_input.additional_data`. Never stored."""


class TurnOptions(ContinueOptions, total=False):
    """Options for a new user message."""

    user_id: str | None
    """The current user, who owns the session."""
    session_id: str | None
    """The session to continue or create."""
    metadata: JsonDict | None
    """Stored with the run, merged over the agent's."""
    images: Sequence[Media] | None
    audio: Sequence[Media] | None
    videos: Sequence[Media] | None
    files: Sequence[Media] | None
    variables: Sequence[Variable] | None
    """Notebook variables that the input contains. Stored with the run."""
    cache: bool | None
    """Use the response cache: return the stored answer of a completed run with the same context, if there is one."""
    origin: CellInfo | None
    """The notebook cell that starts the run; defaults to the running cell."""


OPTION_ALIASES = {"replay": "cache"}
"""Other names that the options of a new run are accepted under."""


class RunOptions(TurnOptions, total=False):
    """Options of one run. They override the agent's settings for that run."""

    run_id: str | None
    """ID for the new run."""
    run_index: int | None
    """The turn to run again. Later turns are not in its context, and the new attempt supersedes the old one."""


class RunCall(RunOptions, total=False):
    """Keyword arguments of ``run()`` besides `stream`."""

    stream_events: bool | None
    yield_run_output: bool | None


class ContinueCall(ContinueOptions, total=False):
    """Keyword arguments of ``continue_run()`` besides `stream`."""

    run_id: str | None
    session_id: str | None
    requirements: Sequence[Requirement] | None
    user_id: str | None
    stream_events: bool | None
    yield_run_output: bool | None


class RegenerateCall(ContinueOptions, total=False):
    """Keyword arguments of ``regenerate()`` besides `stream`."""

    session_id: str | None
    user_id: str | None
    from_partial: bool | None
    stream_events: bool | None
    yield_run_output: bool | None


class BranchCall(TurnOptions, total=False):
    """Keyword arguments of ``continue_from()`` besides `stream`."""

    stream_events: bool | None
    yield_run_output: bool | None
