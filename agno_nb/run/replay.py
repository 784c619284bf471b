"""Answers that are there already: a run of the same context gives the stored answer, and asks no model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agno_nb.db.state import repeat
from agno_nb.run.sent import add_tools, context_hash
from agno_nb.types import JsonDict, Message, Metrics, RunEvent, ToolCall, new_id, now

if TYPE_CHECKING:
    from agno_nb.models.base import ModelRequest
    from agno_nb.run.running import RunContext


async def answered_before(
    context: RunContext, request: ModelRequest, *, model: JsonDict, functions: Sequence[Callable[..., Any]]
) -> Message | None:
    """Write down what a run's first request sends; where it asks for a replay, return the answer that is there.

    What was said in the earlier run is said again in this one. Tools are not called again: the messages of the model
    and of the tools are copied, and cost nothing. What the earlier run changed in the session's state is changed again.

    Parameters
    ----------
    model : dict
        What is known of the model without secrets.
    functions : sequence of callables
        Those of the tools.

    Returns
    -------
    Message or None
        None where the run does not ask for a replay, or there is nothing to replay.
    """
    run, db = context.run, context.db
    if run.receipt is not None:
        add_tools(run.receipt, request.tools, request.output_schema)
    run.context_hash = context_hash(
        model=model,
        user_id=run.user_id,
        messages=request.messages,
        tools=request.tools,
        functions=functions,
        allow_tool_calls=request.allow_tool_calls,
        output_schema=request.output_schema,
    )
    # What goes on from an earlier attempt has said a part of its answer already.
    if not context.options.get("replay") or context.said or db is None:
        return None
    stored = await asyncio.to_thread(db.find_answer, run.context_hash)
    if stored is None:
        return None
    said = [message for message in stored.messages if message.role != "system" and not message.from_history][1:]
    if not said or said[-1].role != "assistant" or said[-1].tool_calls:
        return None  # Not all of it was stored.
    run.replay_of_run_id = stored.run_id
    repeat(context.session_state, stored.state_changes)
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
    calls: list[ToolCall] = [replace(call, created_at=now(), duration_s=None) for call in message.tool_calls]
    return replace(message, message_id=new_id(), metrics=free, tool_calls=calls, created_at=now())
