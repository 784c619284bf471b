"""Answers that are there already: a run of the same context gives the stored answer, and asks no model."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from agno_nb.types import Message, Metrics, RunEvent, ToolCall, new_id

if TYPE_CHECKING:
    from agno_nb.run.running import RunContext


async def replayed(context: RunContext) -> Message | None:
    """Say again in this run what was said in an earlier one of the same context; return the answer.

    Tools are not called again: the messages of the model and of the tools are copied, and cost nothing.

    Returns
    -------
    Message or None
        None where the run does not ask for a replay, or there is nothing to replay.
    """
    run, db = context.run, context.db
    # What goes on from an earlier attempt has said a part of its answer already.
    if not context.options.get("replay") or context.said or db is None or run.context_hash is None:
        return None
    stored = await asyncio.to_thread(db.find_answer, run.context_hash)
    if stored is None:
        return None
    said = [message for message in stored.messages if message.role != "system" and not message.from_history][1:]
    if not said or said[-1].role != "assistant" or said[-1].tool_calls:
        return None  # Not all of it was stored.
    run.replay_of_run_id = stored.run_id
    for message in said:
        copy = _copy(message)
        context.add(copy)
        for call in copy.tool_calls:
            run.tools.append(call)
            context.emit(RunEvent.tool_call_started, tool=call)
            context.emit(RunEvent.tool_call_error if call.tool_call_error else RunEvent.tool_call_completed, tool=call)
        if copy.role == "assistant" and (copy.content or copy.reasoning_content):
            context.emit(RunEvent.run_content, content=copy.content or "", reasoning_content=copy.reasoning_content)
    return run.messages[-1]


def _copy(message: Message) -> Message:
    free = Metrics(input_tokens=0, output_tokens=0, cost=0.0) if message.role == "assistant" else None
    calls: list[ToolCall] = [replace(call, created_at=time.time(), duration_s=None) for call in message.tool_calls]
    return replace(message, message_id=new_id(), metrics=free, tool_calls=calls, created_at=time.time())
