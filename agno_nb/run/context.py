"""What the model is sent: ``[system] [history] [user]``, valid for the strictest provider."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace

from agno_nb.types import JsonDict, Message

INTERRUPTED_RESULT = "This call was interrupted before it gave a result."


def system_text(
    *,
    description: str | None = None,
    instructions: str | Sequence[str] | None = None,
    markdown: bool = False,
) -> str | None:
    """Write the system message; None when there is nothing to say."""
    parts = [description]
    if isinstance(instructions, str):
        parts.append(instructions)
    elif instructions:
        parts.append("\n".join(f"- {line}" for line in instructions) if len(instructions) > 1 else instructions[0])
    if markdown:
        parts.append("Write your answer in Markdown.")
    return "\n\n".join(part.strip() for part in parts if part and part.strip()) or None


def paired(messages: Iterable[Message]) -> list[Message]:
    """Return `messages` so that every tool call is followed by its one answer, and every answer has its call.

    Strict providers refuse anything else, and one refused message would end the session for good. An answer that is
    missing is replaced by one that says so; an answer without a call is left out.
    """
    result: list[Message] = []
    waiting: dict[str, Message] = {}

    def give_up() -> None:
        result.extend(waiting.values())
        waiting.clear()

    for message in messages:
        if message.role == "tool":
            if message.tool_call_id is not None and waiting.pop(message.tool_call_id, None) is not None:
                result.append(message)
            continue
        give_up()
        result.append(message)
        waiting = {
            call.tool_call_id: Message(
                role="tool",
                content=INTERRUPTED_RESULT,
                tool_call_id=call.tool_call_id,
                tool_name=call.tool_name,
                tool_call_error=True,
                run_id=message.run_id,
                from_history=message.from_history,
                created_at=message.created_at,
            )
            for call in message.tool_calls
        }
    give_up()
    return result


def as_history(messages: Iterable[Message]) -> list[Message]:
    """Return copies that are marked as said in an earlier run."""
    return [replace(message, from_history=True) for message in messages]


def merged_state(*layers: JsonDict | None) -> JsonDict:
    """Merge dicts, later ones over earlier ones: dicts key by key, anything else replaced whole. Copies throughout."""
    merged: JsonDict = {}
    for layer in layers:
        for key, value in (layer or {}).items():
            below = merged.get(key)
            both = isinstance(below, dict) and isinstance(value, dict)
            merged[key] = merged_state(below, value) if both else deepcopy(value)
    return merged
