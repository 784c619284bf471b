"""Agents: a model, what it is told, and the tools that it may use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

from agno_nb._keywords import forgiving
from agno_nb.db.base import ContextQuery
from agno_nb.errors import ModelStreamError
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.models.resolve import resolve_model
from agno_nb.run.context import INTERRUPTED_RESULT, paired, system_text
from agno_nb.run.pipeline import RunContext, RunOptions
from agno_nb.run.runnable import Runnable
from agno_nb.tools import Tool, toolbox
from agno_nb.types import Message, Metrics, RunEvent, RunOutput, SessionType, ToolCall

RunResponse = RunOutput

__all__ = ["Agent", "RunOutput", "RunResponse"]

ALIASES = {"add_history_to_messages": "add_history_to_context"}


@forgiving(ALIASES, deprecated=["add_history_to_messages"])
@dataclass(eq=False, repr=False)
class Agent(Runnable):
    """A model with instructions and tools, that answers in sessions.

    Examples
    --------
    >>> from agno_nb.agent import Agent
    >>> from agno_nb.testing import ScriptedModel
    >>> agent = Agent(ScriptedModel(["Hello, Ada."]), name="greeter")
    >>> agent.run("I am Ada").content
    'Hello, Ada.'
    """

    kind: ClassVar[SessionType] = SessionType.AGENT

    model: Model | str | None = None
    """A model, a string such as ``"openai:gpt-5-mini"``, or None: chosen at the first run by what is configured."""
    _: KW_ONLY
    tools: Sequence[Tool | Callable[..., Any]] | None = None
    """Functions that the model may call."""
    instructions: str | Sequence[str] | None = None
    """What the model is told to do, in every run."""
    markdown: bool = False
    """Ask for an answer in Markdown."""
    add_history_to_context: bool = False
    """Send the messages of the session's latest runs with each new one."""
    num_history_runs: int = 3
    """How many of the latest runs those are."""
    tool_call_limit: int | None = None
    """How many tool calls a run may make. Further ones are refused, and the model is asked to answer without them."""

    _resolved: tuple[Any, Model] | None = field(init=False, default=None)
    _tools_made: list[Tool] = field(init=False, default_factory=list)

    @property
    def resolved_model(self) -> Model:
        """The model in use: chosen once, and again only when `model` is set to another."""
        if self._resolved is None or self._resolved[0] is not self.model:
            self._resolved = self.model, resolve_model(self.model)
        return self._resolved[1]

    def context_query(self, options: RunOptions) -> ContextQuery:
        """Ask for the runs that history shows."""
        said = options.get("add_history_to_context")
        wanted = self.add_history_to_context if said is None else said
        count = options.get("num_history_runs")
        return ContextQuery(num_history_runs=(self.num_history_runs if count is None else count) if wanted else 0)

    async def steps(self, context: RunContext) -> None:
        """Let the model and the tools talk until the model answers."""
        run, model = context.run, self.resolved_model
        run.model, run.model_provider = model.id, model.provider
        tools = toolbox(self.tools or [], made=self._tools_made)
        self._open_messages(context)
        while True:
            allowed = self.tool_call_limit is None or len(run.tools) < self.tool_call_limit
            request = ModelRequest(
                messages=paired(run.messages),
                tools=[tool.spec for tool in tools.values()],
                allow_tool_calls=allowed,
            )
            answer = await _ask(model, request, context)
            if not answer.tool_calls:
                run.content, run.reasoning_content = answer.content or "", answer.reasoning_content
                return
            await self._use_tools(answer.tool_calls, tools, context)

    def _open_messages(self, context: RunContext) -> None:
        text = system_text(description=self.description, instructions=self.instructions, markdown=self.markdown)
        if text is not None:
            # It stands before the user's message, which was stored already.
            context.add(Message(role="system", content=text, created_at=context.message.created_at))
        context.run.messages += [*context.history, context.message]

    async def _use_tools(self, calls: Sequence[ToolCall], tools: dict[str, Tool], context: RunContext) -> None:
        """Run the calls of one answer together. Each result is stored when it is there; their order is the calls'."""
        left = None if self.tool_call_limit is None else max(self.tool_call_limit - len(context.run.tools), 0)
        context.run.tools += calls
        await context.save()  # The request is stored before anything is done that may fail.
        answers = [Message(role="tool", tool_call_id=call.tool_call_id, tool_name=call.tool_name) for call in calls]
        context.run.messages += answers
        injected = {"agent": self, "run_context": context, "session_state": context.session_state}
        try:
            async with asyncio.TaskGroup() as together:
                for place, (call, answer) in enumerate(zip(calls, answers, strict=True)):
                    refused = left is not None and place >= left
                    together.create_task(self._use(call, answer, None if refused else tools, injected, context))
        finally:
            for call, answer in zip(calls, answers, strict=True):
                if call.result is None:
                    call.result, call.tool_call_error = INTERRUPTED_RESULT, True
                    context.store(_filled(answer, call))

    async def _use(
        self,
        call: ToolCall,
        answer: Message,
        tools: dict[str, Tool] | None,
        injected: dict[str, Any],
        context: RunContext,
    ) -> None:
        context.emit(RunEvent.tool_call_started, tool=call)
        started = time.perf_counter()
        if tools is None:
            call.result = f"Refused: a run may make {self.tool_call_limit} tool calls. Answer with what you have."
            call.tool_call_error = True
        elif call.tool_name not in tools:
            call.result = f"There is no tool {call.tool_name!r}. The tools are: {', '.join(tools) or 'none'}."
            call.tool_call_error = True
        else:
            await tools[call.tool_name].call(call, injected)
        call.duration_s = time.perf_counter() - started
        context.store(_filled(answer, call))
        context.emit(RunEvent.tool_call_error if call.tool_call_error else RunEvent.tool_call_completed, tool=call)
        await context.save()


async def _ask(model: Model, request: ModelRequest, context: RunContext) -> Message:
    """Send one request, pass on the answer as it arrives, and put it at the end of the run."""
    started = time.perf_counter()
    first_s: float | None = None
    response: ModelResponse | None = None
    partial = context.partial = Message(role="assistant", content="", model=model.id)
    context.emit(RunEvent.model_request_started)
    async with aclosing(model.stream(request)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            if first_s is None:
                first_s = time.perf_counter() - started
            if isinstance(piece, Delta):
                partial.content = (partial.content or "") + piece.content
                partial.reasoning_content = (partial.reasoning_content or "") + piece.reasoning_content or None
                context.emit(
                    RunEvent.run_content, content=piece.content, reasoning_content=piece.reasoning_content or None
                )
            else:
                response = piece
    if response is None:
        raise ModelStreamError(f"{model!r} ended its stream without a whole response")
    metrics = response.metrics
    metrics.time_to_first_token_s, metrics.duration_s = first_s, time.perf_counter() - started
    answer = Message(
        role="assistant",
        content=response.content,
        reasoning_content=response.reasoning_content,
        tool_calls=response.tool_calls,
        message_id=partial.message_id,
        finish_reason=response.finish_reason,
        model=response.model or model.id,
        metrics=metrics,
        provider_data=response.provider_data,
    )
    context.partial = None
    context.add(answer)
    context.emit(RunEvent.model_request_completed)
    return answer


def _filled(answer: Message, call: ToolCall) -> Message:
    """Write into a tool message what came of its call."""
    answer.content, answer.tool_call_error = call.result, call.tool_call_error
    answer.metrics, answer.created_at = Metrics(duration_s=call.duration_s), time.time()
    return answer
