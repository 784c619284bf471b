"""Lists of messages: valid for the strictest provider, and marked as history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from agno_nb.types import Message, RunOutput

INTERRUPTED_RESULT = "This call was interrupted before it gave a result."


def trim_tool_calls(messages: Sequence[Message], limit: int) -> list[Message]:
    """Leave out all but the latest `limit` tool calls, and what answers them, from messages of earlier runs."""
    ids = [(message.run_id, call.tool_call_id) for message in messages for call in message.tool_calls]
    kept = set(ids[len(ids) - min(max(limit, 0), len(ids)) :])
    result = []
    for message in messages:
        calls = [call for call in message.tool_calls if (message.run_id, call.tool_call_id) in kept]
        if message.role == "tool" and (message.run_id, message.tool_call_id) not in kept:
            continue
        if message.tool_calls and not calls and not message.content:
            continue
        result.append(replace(message, tool_calls=calls))
    return result


def repair_tool_pairs(messages: Iterable[Message]) -> list[Message]:
    """Return `messages` so that every tool call is followed by its one answer, and every answer has its call.

    Strict providers refuse anything else, and one refused message would end the session for good. An answer that is
    missing is replaced by one that says so; an answer without a call is left out.
    """
    result: list[Message] = []
    pending: dict[str, Message] = {}

    def close_pending() -> None:
        result.extend(pending.values())
        pending.clear()

    for message in messages:
        if message.role == "tool":
            if message.tool_call_id is not None and pending.pop(message.tool_call_id, None) is not None:
                result.append(message)
            continue
        close_pending()
        result.append(message)
        pending = {
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
    close_pending()
    return result


def mark_as_history(messages: Iterable[Message]) -> list[Message]:
    """Return copies that are marked as said in an earlier run."""
    return [replace(message, from_history=True) for message in messages]


def last_assistant_message(run: RunOutput) -> Message:
    """Return what the model said last: with the calls of the latest batch, where there are any."""
    return next(message for message in reversed(run.messages) if message.role == "assistant")
