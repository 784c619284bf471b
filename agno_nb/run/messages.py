"""Repair, trim and mark lists of messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from agno_nb.types import Message, RunOutput

INTERRUPTED_RESULT = "This call was interrupted before it gave a result."


def trim_tool_calls(messages: Sequence[Message], limit: int) -> list[Message]:
    """Return messages of earlier runs with only the latest `limit` tool calls and their results."""
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
    """Return `messages` with exactly one result after each tool call, and no result without a call.

    Strict providers reject anything else, and one rejected message would make the session unusable. A missing result
    is replaced by one that says so; a result without a call is left out.
    """
    result: list[Message] = []
    pending: dict[str, Message] = {}
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id is not None and pending.pop(message.tool_call_id, None) is not None:
                result.append(message)
            continue
        result += pending.values()
        result.append(message)
        pending = _interrupted_results(message) if message.tool_calls else {}
    return [*result, *pending.values()]


def _interrupted_results(message: Message) -> dict[str, Message]:
    return {
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


def mark_as_history(messages: Iterable[Message]) -> list[Message]:
    """Return copies of messages, marked as part of an earlier run."""
    return [replace(message, from_history=True) for message in messages]


def last_assistant_message(run: RunOutput) -> Message:
    """Return the model's latest message, which has the latest tool calls."""
    return next(message for message in reversed(run.messages) if message.role == "assistant")
