"""Messages in the order and form that servers accept. The stored messages stay as they are.

Many servers render messages with the model's chat template, and one message that the template refuses makes every later
request of the session fail. Where a message is missing, one is inserted that says what happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from agno_nb.models.openai.profiles import Profile
from agno_nb.models.openai.wire import sent_call_id
from agno_nb.types import JsonDict, Message

EARLIER = "(Earlier messages are not shown.)"
"""The user's message before a history that starts with an answer."""
ENDED = "(The turn ended here.)"
"""The answer of a turn that ended with the results of tools, or before any answer."""
MEDIA_FOLLOW = "(The media of these results follow.)"
"""The answer between the results of tools and the message with their media."""


def arrange(messages: Iterable[Message], profile: Profile, *, provider: str) -> list[Message]:
    """Return messages of the Chat Completions API as the server accepts them.

    Every call must have its result. Empty answers are left out, for example after a model only reasoned. The first
    message is the user's. Media of tool results follow in a message of the user, because results can only have text.
    """
    arranged = _with_media(_from_user(messages), alternating=profile.alternating_roles)
    if profile.single_calls:
        arranged = _with_single_calls(arranged, provider)
    return _alternating(arranged) if profile.alternating_roles else arranged


def arrange_for_responses(messages: Iterable[Message], profile: Profile) -> list[Message]:
    """Return messages of the Responses API as the server accepts them. Their results may have media."""
    arranged = _from_user(messages)
    return _alternating(arranged) if profile.alternating_roles else arranged


def arrange_items(items: list[JsonDict], profile: Profile) -> list[JsonDict]:
    """Return items of the Responses API with ids, and in the order, that chat templates accept.

    Items with encrypted reasoning are returned unchanged: it may belong to several calls, and no template renders it.
    """
    if not profile.single_calls or any(item.get("encrypted_content") for item in items):
        return items
    arranged: list[JsonDict] = []
    for item in items:
        if "call_id" in item:
            item = {**item, "call_id": sent_call_id(item["call_id"], profile.call_ids)}
        place = len(arranged)
        if item.get("type") == "function_call_output":
            called = {"type": "function_call", "call_id": item["call_id"]}
            of_call = (each for each in range(place, 0, -1) if called.items() <= arranged[each - 1].items())
            place = next(of_call, place)
        arranged.insert(place, item)
    return arranged


def _from_user(messages: Iterable[Message]) -> list[Message]:
    """Return messages without empty answers, starting with the user's."""
    kept = [message for message in messages if not _is_empty(message)]
    place = next((place for place, message in enumerate(kept) if message.role != "system"), None)
    if place is not None and kept[place].role != "user":
        kept.insert(place, Message(role="user", content=EARLIER, from_history=True))
    return kept


def _is_empty(message: Message) -> bool:
    is_answer = message.role == "assistant" and not message.tool_calls and not message.media
    return is_answer and not (message.content or "").strip()


def _with_media(messages: Iterable[Message], *, alternating: bool) -> list[Message]:
    """Add a message of the user with the media of each batch of results."""
    result: list[Message] = []
    with_media: list[Message] = []

    def add_media() -> None:
        if with_media:
            history = with_media[0].from_history
            if alternating:
                result.append(Message(role="assistant", content=MEDIA_FOLLOW, from_history=history))
            names = ", ".join(dict.fromkeys(message.tool_name or "a tool" for message in with_media))
            media = [each for message in with_media for each in message.media]
            result.append(Message(role="user", content=f"[from {names}]", media=media, from_history=history))
            with_media.clear()

    for message in messages:
        if message.role != "tool":
            add_media()
        elif message.media:
            with_media.append(message)
            message = replace(message, media=[])
        result.append(message)
    add_media()
    return result


def _with_single_calls(messages: Sequence[Message], provider: str) -> list[Message]:
    """Replace an answer with several calls by one answer for each call, followed by its result."""
    results: dict[str | None, Message] = {}
    single: list[Message] = []
    # From the end, because results follow their calls.
    for message in reversed(messages):
        if message.role == "tool":
            results[message.tool_call_id] = message
            continue
        answers = [message]
        # Calls with data of the provider belong together, for example those that share a thought signature.
        if len(message.tool_calls) > 1 and not any(call.data_for(provider) for call in message.tool_calls):
            empty = replace(message, content=None, reasoning_content=None, provider_data=None)
            answers = [
                replace(empty if place else message, tool_calls=[call]) for place, call in enumerate(message.tool_calls)
            ]
        for answer in reversed(answers):
            ids = [call.tool_call_id for call in reversed(answer.tool_calls)]
            single += [*(results[call_id] for call_id in ids if call_id in results), answer]
        results.clear()
    return single[::-1]


def _alternating(messages: Iterable[Message]) -> list[Message]:
    """Return one system message, and after it messages that alternate, except for tool calls and their results."""
    system = [message for message in messages if message.role == "system"]
    result = [_merged(system)] if system else []
    for message in messages:
        last = result[-1] if result else message
        if message.role == "system":
            continue
        if message.role == last.role != "tool" and last is not message:
            if last.media and last.from_history != message.from_history:
                # Media of earlier runs are sent under other rules, so the messages cannot be one.
                result.append(Message(role="assistant", content=ENDED, from_history=True))
            else:
                result[-1] = _merged([last, message])
                continue
        elif message.role == "user" and last.role == "tool":
            result.append(Message(role="assistant", content=ENDED, from_history=True))
        result.append(message)
    return result


def _merged(messages: Sequence[Message]) -> Message:
    """Return consecutive messages of one role as one; only the last may have tool calls."""
    if len(messages) == 1:
        return messages[0]
    text = "\n\n".join(message.content for message in messages if message.content)
    media = [each for message in messages for each in message.media]
    return replace(messages[-1], content=text or None, media=media, provider_data=None)
