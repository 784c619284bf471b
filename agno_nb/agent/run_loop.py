"""The loop of a run: model requests and tool calls alternate until the model answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agno_nb.agent.model_calls import ModelCaller
from agno_nb.agent.response_cache import cached_response
from agno_nb.agent.tool_calls import ToolExecutor
from agno_nb.agent.tool_choice import choose
from agno_nb.errors import OutputSchemaError
from agno_nb.exceptions import AgentRunException
from agno_nb.models.base import Model, ModelRequest
from agno_nb.run.continue_run import last_assistant_message, pending_tool_calls, repair_tool_pairs
from agno_nb.run.inputs import as_messages
from agno_nb.run.output_schema import OutputSchema, correction
from agno_nb.types import Message, RunEvent, RunOutput, RunStatus, ToolCall, shorten


@dataclass(kw_only=True)
class RunLoop:
    """The loop of one run, whose messages have been built or restored."""

    caller: ModelCaller
    executor: ToolExecutor
    schema: OutputSchema | None
    parses: bool
    """Whether the answer becomes an object of the schema."""
    tool_choice: str | Mapping[str, Any] | None
    parse_text_tool_calls: bool | None
    is_final: Callable[[], bool]
    """Whether the results of the latest calls are the answer, so that no further request is needed."""
    _shown_results: list[str] = field(init=False, default_factory=list)
    """Results of tools that are part of the answer."""

    async def run(self) -> None:
        """Send requests and execute calls until the model answers, or calls wait for approval."""
        context, run = self.caller.context, self.caller.context.run
        if context.is_continued:
            earlier_calls = run.tools[: -len(last_assistant_message(run).tool_calls)]
            self._shown_results += self._results_to_show(earlier_calls)
        partial = [m.content or "" for m in run.messages if m.finish_reason == "interrupted" and not m.from_history]
        partial_content = "".join(partial)
        limit, is_retry, is_at_limit = self.executor.tool_call_limit, False, False
        while True:
            if (pending := pending_tool_calls(run.messages)) and await self._execute(pending):
                return
            may_call = limit is None or len(run.tools) < limit
            answer = await self._next_answer(may_call=may_call)
            run.tools += answer.tool_calls
            if answer.tool_calls and may_call:
                continue
            text = answer.content or ""
            if answer.reasoning_content and not text.strip() and not answer.tool_calls:
                await self.caller.report_missing_answer(answer)
            elif answer.finish_reason == "length" and not self.parses and not answer.tool_calls:
                await self.caller.report_cut_answer()
            if answer.tool_calls:
                await self.executor.execute(pending_tool_calls(run.messages))  # All of them are refused.
                text = text or _latest_text(run)
                if not is_at_limit:
                    await self._report_limit()
                is_at_limit = True
            run.content, run.reasoning_content = partial_content + text, answer.reasoning_content
            if placeholder := (answer.provider_data or {}).get("placeholder"):
                run.metadata = {**(run.metadata or {}), "placeholder": placeholder}
            if self.schema is None or not self.parses:
                results = self._shown_results if self.schema is None else []
                run.content = "\n\n".join([*results, run.content] if run.content else results)
                return
            try:
                run.content, run.content_type = self.schema.parse(run.content), self.schema.content_type
                return
            except ValueError as error:
                if answer.finish_reason == "length":
                    raise _cut_answer_error(self.schema, self.caller.model, run.content) from None
                if is_retry:
                    raise self._output_schema_error(error, run.content, may_call=may_call) from None
                context.recorder.add_message(Message(role="user", content=correction(str(error))))
                # The corrected answer replaces it, and the partial answer that it continued.
                context.emit(RunEvent.run_content, content="", discards_content=True)
                partial_content, is_retry = "", True

    async def _next_answer(self, *, may_call: bool) -> Message:
        """Return the model's answer to the messages so far, from the response cache if possible."""
        context, tools = self.caller.context, self.executor.tools
        request = ModelRequest(
            messages=repair_tool_pairs(context.run.messages),
            # In an order that does not depend on the settings, so that providers can cache the prompt.
            tools=[tools[name].spec for name in sorted(tools)],
            allow_tool_calls=may_call,
            parse_text_tool_calls=self.parse_text_tool_calls,
        )
        if self.tool_choice is not None:
            choose(request, self.tool_choice)
        if self.schema is not None:
            request.output_schema, request.output_name = self.schema.json_schema, self.schema.name
        answer = None
        if context.run.context_hash is None:
            answer = await cached_response(context, request, model=self.caller.model, tools=tools)
        return answer or await self.caller.request(request)

    async def _execute(self, pending: Sequence[tuple[ToolCall, Message]]) -> bool:
        """Execute the calls of the last answer, and return whether the run ends with them: paused, or answered."""
        context, tools, run = self.caller.context, self.executor.tools, self.caller.context.run
        await self.executor.execute(pending)
        answer = last_assistant_message(run)
        if run.active_requirements:
            run.status, run.content = RunStatus.PAUSED, answer.content
            return True
        exceptions = self.executor.take_exceptions()
        for message in (message for each in exceptions for message in messages_of(each)):
            context.recorder.add_message(message)
        if results := self._results_to_show(answer.tool_calls):
            self._shown_results += results
            context.emit(RunEvent.run_content, content="\n\n".join(results) + "\n\n")
        executed = [
            tools[call.tool_name] for call in answer.tool_calls if call.tool_name in tools and not call.tool_call_error
        ]
        stops = [str(each) for each in exceptions if each.stop_execution]
        if stops or any(tool.stop_after_tool_call for tool in executed):
            run.content = "\n\n".join(self._shown_results or stops) or answer.content or ""
            return True
        return self.is_final()

    def _results_to_show(self, calls: Sequence[ToolCall]) -> list[str]:
        tools = self.executor.tools
        return [
            call.result or ""
            for call in calls
            if call.tool_name in tools and tools[call.tool_name].is_shown and not call.tool_call_error
        ]

    async def _report_limit(self) -> None:
        """Record that the model still calls tools after the limit, which ends the run."""
        limit, run = self.executor.tool_call_limit, self.caller.context.run
        await self.caller.context.record_event(
            RunEvent.tool_call_limit_reached,
            f"{self.caller.model.id} still called tools after tool_call_limit={limit}, so the run ends with "
            "the text so far",
            details={"tool_call_limit": limit, "num_tool_calls": len(run.tools)},
            model=self.caller.model.id,
        )

    def _output_schema_error(self, error: ValueError, answer: str, *, may_call: bool) -> OutputSchemaError:
        assert self.schema is not None
        limit = self.executor.tool_call_limit
        remedy = f"\nIt was given after tool_call_limit={limit}; raise the limit if it needs more calls"
        return OutputSchemaError(
            f"the answer is not {self.schema.noun}: {error}. It begins with {shorten(answer, 200)!r}; "
            f"`error.run_output.content` is the whole answer{'' if may_call else remedy}"
        )


def messages_of(exception: AgentRunException) -> list[Message]:
    """Return the messages that a tool adds to its run with an exception."""
    own = (("user", exception.user_message), ("assistant", exception.agent_message))
    named = [Message(role=role, content=each) if isinstance(each, str) else each for role, each in own if each]  # type: ignore[arg-type]
    return [*named, *(replace(each, from_history=False) for each in as_messages(exception.messages))]


def _cut_answer_error(schema: OutputSchema, model: Model, answer: str) -> OutputSchemaError:
    name, limit = model.output_limit_name, model.output_limit
    cause = f"cut by {name}={limit}" if limit else "cut by the server's limit of output tokens or its context length"
    return OutputSchemaError(
        f"the answer was {cause} before the JSON of {schema.name!r} was complete; raise {name} of the model. "
        f"It ends with {answer[-100:]!r}; `error.run_output.content` is the whole answer"
    )


def _latest_text(run: RunOutput) -> str:
    """Return the model's latest text in a run, or "" if it has only called tools."""
    answers = (m for m in reversed(run.messages) if m.role == "assistant" and not m.from_history)
    return next((message.content for message in answers if message.content), "")
