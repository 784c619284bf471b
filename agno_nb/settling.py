"""The calls of one answer of a model: carried out together, left to a person, or refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agno_nb.errors import NestedRunPaused
from agno_nb.run.context import INTERRUPTED_RESULT, last_answer
from agno_nb.run.requirements import given_input, refusal
from agno_nb.run.running import RunContext, current_tool_call_id
from agno_nb.tools import Tool
from agno_nb.types import Message, Metrics, Requirement, RunEvent, ToolCall, now


@dataclass(kw_only=True)
class Settling:
    """What settles the tool calls of one run.

    Parameters
    ----------
    tools : mapping of str to Tool
        What the model may call, by name.
    hooks : sequence of callable
        Called around every tool, the first one outermost.
    tool_call_limit : int or None
        How many calls the run may make. Further ones are refused.
    injected : mapping
        What tools and hooks are given without the model.
    asker : str or None
        Who a person is told asks, where a call needs one.
    context : RunContext
    """

    tools: Mapping[str, Tool]
    hooks: Sequence[Callable[..., Any]]
    tool_call_limit: int | None
    injected: Mapping[str, Any]
    asker: str | None
    context: RunContext

    async def settle(self, waiting: Sequence[tuple[ToolCall, Message]]) -> None:
        """Settle calls of one answer together, each with the message for its result.

        A result is stored when it is there. Calls that need a person are left without one, and their messages out.
        """
        context, run = self.context, self.context.run
        await context.save()  # The request is stored before anything is done that may fail.
        calls = last_answer(run).tool_calls
        # By their places: a server may give two calls the same id.
        num_left = len(calls) if self.tool_call_limit is None else self.tool_call_limit - len(run.tools) + len(calls)
        allowed = {id(call) for call in calls[: max(num_left, 0)]}
        try:
            async with asyncio.TaskGroup() as together:
                for call, answer in waiting:
                    together.create_task(self._settle_one(call, answer, is_allowed=id(call) in allowed))
        except BaseException:
            for call, answer in waiting:
                if not call.is_finished:
                    if call.result is None:
                        call.result, call.tool_call_error = INTERRUPTED_RESULT, True
                    context.store(_filled(answer, call))
            raise
        left = {call.tool_call_id for call, _ in waiting if not call.is_finished}
        run.messages = [message for message in run.messages if message.from_history or message.tool_call_id not in left]

    async def _settle_one(self, call: ToolCall, answer: Message, *, is_allowed: bool) -> None:
        started = time.perf_counter()
        context = self.context
        tool = self.tools.get(call.tool_name) if is_allowed else None
        requirement = next((one for one in context.run.requirements if one.tool is call), None)
        if requirement is None and tool is not None and tool.need is not None and tool.problem(call) is None:
            context.run.requirements.append(
                Requirement(
                    kind=tool.need,
                    tool=call,
                    run_id=context.run_id,
                    component_name=self.asker,
                    user_input_fields=tool.asked_fields(),
                )
            )
            return
        context.emit(RunEvent.tool_call_started, tool=call)
        if not is_allowed:
            call.result = f"Refused: a run may make {self.tool_call_limit} tool calls. Answer with what you have."
            call.tool_call_error = True
        elif requirement is not None and requirement.confirmed is False:
            call.result, call.tool_call_error = refusal(requirement), True
        elif requirement is not None and requirement.kind == "external_execution":
            call.result = requirement.result
        elif tool is None:
            call.result = f"There is no tool {call.tool_name!r}. The tools are: {', '.join(self.tools) or 'none'}."
            call.tool_call_error = True
        else:
            current_tool_call_id.set(call.tool_call_id)
            try:
                await tool.call(call, self.injected, given_input(requirement), hooks=self.hooks)
            except* NestedRunPaused:
                context.wait_for_nested_runs(call.tool_call_id)
            if call.result is None:
                return
        call.duration_s = time.perf_counter() - started
        context.store(_filled(answer, call))
        context.emit(RunEvent.tool_call_error if call.tool_call_error else RunEvent.tool_call_completed, tool=call)
        await context.save()


def _filled(answer: Message, call: ToolCall) -> Message:
    """Write into a tool message what came of its call."""
    answer.content, answer.tool_call_error, call.is_finished = call.result, call.tool_call_error, True
    answer.metrics, answer.created_at = Metrics(duration_s=call.duration_s), now()
    return answer
