"""The input of a run: what :meth:`Runnable.run` accepts, as the text and the messages that are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, get_args, is_typeddict

from agno_nb import media
from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb._typed_dicts import with_known_typed_dicts
from agno_nb.errors import InvalidInputError
from agno_nb.redact import whole_characters
from agno_nb.types import MEDIA_KEYWORDS, Alias, Media, Message, Role, RunOutput, ToolCall, WithMedia

if TYPE_CHECKING:
    from pydantic import BaseModel

Input: TypeAlias = "str | BaseModel | Message | Mapping[str, Any] | Sequence[Any]"
"""The user's message: a string, a list of strings that are its lines, or an object that is sent and stored as JSON; or
messages, of which the user's last one is the input."""


@suggest_on_unknown_kwarg({}, joined={**MEDIA_KEYWORDS, "audios": "media"})
@dataclass(kw_only=True)
class RunInput(WithMedia):
    """The input of a run as its pre-hooks get it. They may change the content."""

    input_content: str
    """The text that is sent to the model as the user's message."""
    media: list[Media] = field(default_factory=list)

    audios = Alias[list[Media]]("audio")

    def input_content_string(self) -> str:
        return self.input_content


class ReadInput(NamedTuple):
    """An input as text, with the messages around it."""

    text: str
    media: Sequence[Media] = ()
    before: Sequence[Message] = ()
    """Messages before the user's last one, which is the text."""
    after: Sequence[Message] = ()


def read_input(input: Input) -> ReadInput:
    """Return an input as the user's text, and the messages around it if it is made of messages.

    Raises
    ------
    InvalidInputError
        The input is empty, cannot be converted to JSON, or has no message of the user.
    """
    if isinstance(input, str):
        return ReadInput(as_text(input))
    items = input if isinstance(input, list | tuple) else [input]
    if not items or not _is_message(items[0]):
        return ReadInput(as_text(input))
    messages = [_read_message(each) for each in items]
    last = max((place for place, message in enumerate(messages) if message.role == "user"), default=None)
    if last is None:
        raise InvalidInputError(
            "the input has no message with the role 'user', to which the model could answer; add one, and pass the "
            "messages of every run as Agent(additional_input=[...])"
        )
    message = messages[last]
    text = message.content or ""
    if not text.strip() and not message.media:
        raise InvalidInputError(f"the user's message {items[last]!r} is empty; pass a content")
    return ReadInput(whole_characters(text), message.media, messages[:last], messages[last + 1 :])


def input_messages(run: RunOutput) -> list[Message]:
    """Return the messages of a run's input: the user's message, or all that were passed, before the first answer."""
    own = (message for message in run.messages if message.role != "system" and not message.from_history)
    return list(takewhile(lambda message: message.role != "assistant" or not _is_answer(message), own))


def _is_answer(message: Message) -> bool:
    """Whether the model of the run wrote an assistant message. Messages that are passed have none of these values."""
    return message.metrics is not None or message.finish_reason is not None


def validated(input: Input, schema: Any) -> Input:
    """Return an input as the object of an `input_schema`: a pydantic model, a TypedDict or a dataclass.

    Raises
    ------
    InvalidInputError
        The input does not follow the schema.
    """
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(with_known_typed_dicts(schema))
    try:
        if isinstance(input, str):
            return adapter.validate_json(input)  # type: ignore[no-any-return]
        value = adapter.validate_python(input, from_attributes=not is_typeddict(schema))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'input'}: {each['msg']}" for each in error.errors())
        name = getattr(schema, "__name__", schema)
        raise InvalidInputError(f"the input {input!r} does not follow input_schema {name}: {problems}") from None
    return value  # type: ignore[no-any-return]


def _is_message(value: Any) -> bool:
    if isinstance(value, Message):
        return True
    return isinstance(value, Mapping) and value.get("role") in get_args(Role) and "content" in value


_OF_OTHER_RUNS: dict[str, Any] = {"run_id": None, "from_history": False, "metrics": None, "finish_reason": None}


def _read_message(value: Any) -> Message:
    """Return an item of a list of messages. The parts of a content in OpenAI's format become text and media."""
    if isinstance(value, Message):
        # A message of its own, even if it has been part of another run, where its tokens are counted.
        own = Message(role=value.role, content=value.content)
        return replace(value, message_id=own.message_id, created_at=own.created_at, **_OF_OTHER_RUNS)
    if not _is_message(value):
        raise InvalidInputError(
            f"the input has {value!r} among its messages; pass messages only, each with a role and a content"
        )
    content = value["content"]
    if not isinstance(content, list):
        return replace(_as_message(value, of="the input"), **_OF_OTHER_RUNS)
    texts, found = [], list[Media]()
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in ("text", "input_text"):
            texts.append(part["text"])
        elif kind in ("image_url", "input_image"):
            source = part["image_url"]
            found.append(media.Image(url=source["url"] if isinstance(source, Mapping) else source))
        else:
            raise InvalidInputError(
                f"the content of a message has the part {part!r}; pass text and image_url, and other media as "
                "run(..., audio=[...], files=[...])"
            )
    return Message(role=value["role"], content="\n".join(texts), media=found)


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
    if isinstance(input, list | tuple) and all(isinstance(each, str) for each in input):
        return as_text("\n".join(input))
    items = [input] if isinstance(input, Message) else input
    if isinstance(items, Sequence) and any(isinstance(each, Message) for each in items):
        raise InvalidInputError("a workflow takes the user's text, got Message objects; pass a string")
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


def _as_message(value: Any, *, of: str = "additional_input") -> Message:
    if isinstance(value, Message):
        return replace(value, from_history=True)
    if not isinstance(value, Mapping) or "role" not in value:
        _refuse_misspelt_role(value)
        return Message(role="user", content=as_text(value), from_history=True)
    role, content = value["role"], value.get("content")
    if role not in get_args(Role) or not isinstance(content, str | None) or (content is None and role != "assistant"):
        raise InvalidInputError(
            f"invalid message {dict(value)!r} in {of}; pass a role ({', '.join(get_args(Role))}) and a "
            "string as content"
        )
    calls = [_as_call(each, of=of) for each in value.get("tool_calls") or ()]
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


def _as_call(value: Any, *, of: str) -> ToolCall:
    """Return a tool call of a message. A dict has the format of OpenAI requests."""
    if isinstance(value, ToolCall):
        return value
    try:
        function = value["function"]
        return ToolCall(tool_call_id=value["id"], tool_name=function["name"], arguments=function["arguments"])
    except (KeyError, TypeError):
        raise InvalidInputError(
            f"invalid tool call {value!r} in {of}; pass "
            "{'id': ..., 'type': 'function', 'function': {'name': ..., 'arguments': '{...}'}}"
        ) from None


def media_of(options: Mapping[str, Any]) -> list[Media]:
    """Return the images, audio, videos and files passed to a call.

    Raises
    ------
    InvalidInputError
        One of them is not a media object.
    """
    found = []
    for name in ("images", "audio", "videos", "files"):
        value = options.get(name) or ()
        for each in value if isinstance(value, Sequence) else [value]:
            if not isinstance(each, Media):
                kind = {"images": "Image", "audio": "Audio", "videos": "Video", "files": "File"}[name]
                raise InvalidInputError(
                    f"{name} contains an object of type {type(each).__name__}; pass a list of {kind}(content=...), "
                    f"{kind}(filepath=...) or {kind}(url=...), from agno_nb.media"
                )
            found.append(each)
    return found
