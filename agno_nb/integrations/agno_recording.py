"""Record a run of agno from its events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agno_nb.db.encoding import check_json_object
from agno_nb.errors import InvalidInputError, RunError
from agno_nb.integrations import agno_conversion as conversion
from agno_nb.integrations.agno_nested import NestedRuns, is_end, name_of
from agno_nb.integrations.agno_steps import StepPaths, step_requirements
from agno_nb.run.context import RunContext
from agno_nb.run.recorder import PartialAnswer
from agno_nb.types import (
    Message,
    Requirement,
    RunEvent,
    RunStatus,
    SessionType,
    StepOutput,
    ToolCall,
    to_plain_text,
)

if TYPE_CHECKING:
    from agno_nb.integrations.agno_agents import AgnoRunnable

MAX_PAUSED = 1_000
"""Number of paused runs of agno that are kept in memory, the latest ones."""

RECEIVED_AT = "_agno_nb_received_at"
"""Attribute of an event with the time at which agno streamed it."""

paused_runs: dict[str, Any] = {}
"""agno's paused runs by ID: without a database, agno has them only here."""

_STATE_IDS = ("current_user_id", "current_session_id", "current_run_id")
"""Keys that agno adds to the state of a session."""
_REJECTED = "Function call was rejected by the user"
"""What agno tells the model without a reason."""
_GROUPS = ("Parallel", "Condition", "Router", "Loop", "Steps")

_OTHERS = {each.value for each in RunEvent} - {
    "RunIntermediateContent",
    "RunContinued",
    "WorkflowStarted",
    "StepOutput",
}
"""Events that are only reported."""


class Recording:
    """Records one run of agno from its events."""

    def __init__(self, runnable: AgnoRunnable, context: RunContext) -> None:
        self.runnable, self.context, self.run = runnable, context, context.run
        self._calls = conversion.ToolCalls(self.run)
        self._steps = StepPaths()
        self._nested = NestedRuns(runnable, context, self._steps)
        self._provider: str | None = None
        self._answer: Message | None = None
        """The latest complete answer of the model, to which the calls that follow belong."""
        self._answered: list[Message] = []
        """Messages made of events, of which agno may have the original when the run ends."""
        self._partial: PartialAnswer | None = None
        self._partials = AsyncExitStack()
        self._reasoning = ""
        self._attempts = 0
        self._request_started: float | None = None
        self._end: Any = None
        """The event that ended the run."""
        self._pause: Any = None
        if context.message not in self.run.messages:
            self.run.messages.append(context.message)

    async def consume(self, items: AsyncIterator[Any]) -> None:
        """Record everything that agno streams: events of the run, of nested runs, and at the end its result."""
        output: Any = None
        if self.runnable.events is not None:
            self._keep_rejections()
        async with self._partials:
            try:
                async for item in items:
                    if not hasattr(item, "event"):
                        output = item
                    elif (run_id := getattr(item, "run_id", None)) in (None, "", self.run.run_id):
                        await self._record(item)
                    else:
                        self._nested.forward(item, run_id)
                    if self._end is not None and self.runnable.events is not None:
                        break
            except BaseException:
                self._keep_answered()
                raise
            await self._nested.finish()
        if self._end is not None and self._end.event.endswith("Error"):
            self._keep_answered()
            reason = getattr(self._end, "content", None) or getattr(self._end, "error", None) or self._end.error_type
            raise RunError(to_plain_text(reason or "agno does not say why"))
        output = output or getattr(self._end, "run_output", None)
        if self._pause is not None and output is None and self.run.kind is SessionType.WORKFLOW:
            output = await self.runnable.read_run(self.run)
        await self._record_unseen(output)
        self._finish(output)

    async def _record_unseen(self, output: Any) -> None:
        """Record the nested runs and steps that agno did not stream."""
        for name in ("member_responses", "step_executor_runs"):
            for each in getattr(output, name, None) or ():
                await self._nested.record_result(each)
        for result in self._steps.unseen(getattr(output, "step_results", None) or ()):
            await self._save_step(result)

    async def _record(self, event: Any) -> None:
        name = name_of(event)
        if name == "RunStarted":
            await self._start(event)
        elif name == "RunContent":
            await self._add_text(event.content, event.reasoning_content)
        elif name == "ReasoningContentDelta":
            await self._add_text(None, event.reasoning_content)
        elif name == "ReasoningStep":
            await self._add_text(None, event.reasoning_content.removeprefix(self._reasoning))
        elif name == "ModelRequestStarted":
            self._request_started = _received_at(event)
            self.context.emit(RunEvent.model_request_started)
        elif name == "ModelRequestCompleted":
            await self._end_request(event)
        elif name == "ToolCallStarted":
            self._start_call(event)
        elif name in ("ToolCallCompleted", "ToolCallError"):
            await self._nested.settle()
            self._end_call(event, is_error=name == "ToolCallError")
        elif self.run.kind is SessionType.WORKFLOW and (name.endswith("Paused") or name == "StepOutputReview"):
            self._pause = event
        elif is_end(event):
            # After a cancellation, agno also says that the run has completed.
            self._end = self._end if self._end is not None else event
            self._pause = event if name.endswith("Paused") else None
        elif name.startswith("Step") and name != "StepOutput":
            await self._record_step(event, name)
        elif name.startswith(_GROUPS) and name.endswith("Started"):
            self._steps.start(event)
        elif name in _OTHERS:
            self.context.emit(RunEvent(name))

    async def _start(self, event: Any) -> None:
        self._attempts += 1
        run = self.run
        if self.runnable.events is not None and self._attempts == 1:
            self.context.started = _received_at(event)
        self._provider = conversion.provider_of(event.model_provider, getattr(self.runnable.agno, "model", None))
        run.model, run.model_provider = event.model or None, self._provider
        if self._attempts > 1:
            self._answered, self._answer = [], None
            await self._partials.aclose()
            self._partial = self.context.recorder.partial = None
            self.context.emit(RunEvent.run_content, content="", discards_content=True)
            await self.context.record_event(
                RunEvent.model_request_retried,
                f"agno runs it again after an error (attempt {self._attempts}).",
                details={"retry": self._attempts - 1},
                model=run.model or "",
            )

    async def _add_text(self, content: Any, reasoning_content: str | None) -> None:
        text = content if isinstance(content, str) else ""
        if not text and not reasoning_content:
            return
        if self._partial is None:
            partial = PartialAnswer(self.context.recorder, self.run.model or "")
            self._partial = self.context.recorder.partial = await self._partials.enter_async_context(partial)
        self._partial.add(text, reasoning_content or "")
        self._reasoning += reasoning_content or ""
        self.context.emit(RunEvent.run_content, content=text, reasoning_content=reasoning_content)

    async def _end_request(self, event: Any) -> None:
        """Make a message of the text that has arrived. The calls that follow are the message's."""
        partial, self._partial = self._partial, None
        self.context.recorder.partial = None
        await self._partials.aclose()
        self._answer = Message(
            role="assistant",
            content=(partial.content or None) if partial is not None else None,
            reasoning_content=(partial.reasoning_content or None) if partial is not None else None,
            model=self.run.model,
            metrics=conversion.to_metrics(event, model=self.run.model, provider=self._provider),
        )
        if self._answer.metrics is not None and self._request_started is not None:
            self._answer.metrics.duration_s = _received_at(event) - self._request_started
        self._answered.append(self._answer)
        self.context.emit(RunEvent.model_request_completed)

    def _start_call(self, event: Any) -> None:
        call = self._calls.current(event.tool)
        self._attach(call)
        self.context.emit(RunEvent.tool_call_started, tool=call)

    def _attach(self, call: ToolCall) -> None:
        """Add a call to the answer that asks for it, unless a message has it."""
        messages = [*self.run.messages, *self._answered]
        if any(each is call for message in messages for each in message.tool_calls):
            return
        if self._answer is None:
            self._answer = Message(role="assistant", model=self.run.model)
            self._answered.append(self._answer)
        self._answer.tool_calls.append(call)

    def _end_call(self, event: Any, *, is_error: bool) -> None:
        execution = event.tool
        if (ended := self._calls.ended(execution)) is not None:
            ended.tool_call_error |= is_error
            return
        call = self._calls.current(execution)
        is_error = is_error or bool(execution.tool_call_error)
        result = execution.result if execution.result is not None else getattr(event, "error", None)
        duration_s = getattr(execution.metrics, "duration", None)
        conversion.finish_call(call, result, is_error=is_error, duration_s=duration_s)
        self._answered.append(replace(_result_of(call), media=conversion.to_media(event)))
        self.context.emit(RunEvent.tool_call_error if is_error else RunEvent.tool_call_completed, tool=call)

    async def _record_step(self, event: Any, name: str) -> None:
        if name == "StepStarted":
            self.context.emit(RunEvent.step_started, step=self._steps.start(event))
            return
        await self._nested.settle()
        if name in ("StepCompleted", "StepError"):
            error = event.error or "the step failed" if name == "StepError" else None
            await self._save_step(self._steps.end(event, error=error))

    async def _save_step(self, output: StepOutput) -> None:
        turn = self.context.enclosing_turn or self.context
        await self.context.recorder.save_step(output, self.context.session_state, turn.recorder)
        self.context.emit(
            RunEvent.step_error if output.error is not None else RunEvent.step_completed,
            step=output.path,
            content=output.error if output.error is not None else self._steps.last_content,
            details={"duration_s": output.duration_s},
        )

    def _keep_rejections(self) -> None:
        """Add the results of rejected calls to a nested run that continues, because agno does not stream them."""
        for each in self.run.requirements:
            if each.run_id == self.run.run_id and each.confirmed is False and not each.tool.is_finished:
                conversion.finish_call(each.tool, each.note or _REJECTED, is_error=True)
                self._answered.append(_result_of(each.tool))

    def _keep_answered(self) -> None:
        """Add the messages made of events to the run, which agno ended without its messages."""
        answered, self._answered = self._answered, []
        for message in answered:
            self.context.recorder.add_message(message)
        if answered and self.run.content is None:
            self.run.content = next((each.content for each in reversed(answered) if each.role == "assistant"), None)

    def _finish(self, output: Any) -> None:
        """Set messages, content, state and requirements of the run from agno's result, or else from its events."""
        run, end, context = self.run, self._end, self.context
        self._keep_messages(getattr(output, "messages", None))
        source = output if output is not None else end
        run.content, run.content_type = getattr(source, "content", None), getattr(source, "content_type", None) or "str"
        run.reasoning_content = getattr(source, "reasoning_content", None)
        self._keep_state(getattr(source, "session_state", None))
        status = str(getattr(getattr(output, "status", None), "value", "")) or getattr(end, "event", "")
        if self._pause is not None or status == RunStatus.PAUSED:
            self._keep_requirements(output)
            return
        if status == RunStatus.ERROR:
            raise RunError(to_plain_text(run.content) if run.content is not None else "agno does not say why")
        if status == RunStatus.CANCELLED or status.endswith("Cancelled"):
            run.status = RunStatus.CANCELLED
        if run.kind is SessionType.WORKFLOW:
            context.recorder.add_message(Message(role="assistant", content=run.get_content_as_string()))
            context.emit(RunEvent.run_content, content=run.get_content_as_string())

    def _keep_messages(self, messages: Any) -> None:
        if not messages:
            self._keep_answered()
            return
        run, known = self.run, {message.message_id for message in self.run.messages}
        place = next(at for at, message in enumerate(run.messages) if message is self.context.message)
        for message in conversion.to_messages(messages, self._calls, run, self._provider, typed=self.context.message):
            if message is self.context.message:
                place = len(run.messages)
            elif message.message_id not in known:
                self._complete(message)
                run.messages.insert(place, message)
                self.context.recorder.mark_unsaved(message)
                place += 1

    def _complete(self, message: Message) -> None:
        """Add to a message what only its events said: time, duration and media. agno has whole seconds."""
        for place, made in enumerate(self._answered):
            if (made.role, made.tool_call_id) == (message.role, message.tool_call_id):
                message.created_at, message.media = made.created_at, message.media or made.media
                if message.metrics is not None and made.metrics is not None and message.metrics.duration_s is None:
                    message.metrics.duration_s = made.metrics.duration_s
                del self._answered[place]
                return

    def _keep_state(self, state: Any) -> None:
        """Store agno's state of the session, unless it has values that cannot be stored."""
        if not isinstance(state, dict) or self.context.enclosing_turn is not None:
            return
        own = {name: value for name, value in state.items() if name not in _STATE_IDS}
        try:
            check_json_object(own, "session_state")
        except InvalidInputError:
            return
        self.context.session_state.clear()
        self.context.session_state.update(own)

    def _keep_requirements(self, output: Any) -> None:
        run, source = self.run, output if output is not None else self._pause
        if output is None and run.kind is SessionType.WORKFLOW:
            raise RunError(f"agno keeps paused workflows in a database only; pass db=... to {self.runnable!r}")
        run.content = next((each.content for each in reversed(run.messages) if each.role == "assistant"), None)
        run.content_type, run.status = "str", RunStatus.PAUSED
        for nested in run.nested_runs:
            if nested.is_paused:
                self.context.collect_child_requirements(nested.parent_tool_call_id)
        known = {each.requirement_id for each in run.requirements}
        for asked in source.requirements or () if run.kind is not SessionType.WORKFLOW else ():
            if not asked.is_resolved() and asked.id not in known:
                run.requirements.append(self._requirement(asked))
        if run.kind is SessionType.WORKFLOW and output.step_requirements:
            run.requirements += step_requirements(output.step_requirements[-1], run.run_id, run.component_name)
        if not run.active_requirements:
            raise RunError("agno has paused the run for something that cannot be answered here")
        if self.runnable.events is None and run.kind is not SessionType.WORKFLOW:
            paused_runs[run.run_id] = output
            while len(paused_runs) > MAX_PAUSED:
                del paused_runs[next(iter(paused_runs))]

    def _requirement(self, asked: Any) -> Requirement:
        call = self._calls.current(asked.tool_execution)
        if asked.member_run_id in (None, self.run.run_id):
            self._attach(call)
        name = asked.member_agent_name or self.run.component_name
        return conversion.to_requirement(asked, call, asked.member_run_id or self.run.run_id, name)


def _received_at(event: Any) -> float:
    """Return the time of ``time.perf_counter()`` at which agno streamed an event."""
    received: float = vars(event)[RECEIVED_AT]
    return received


def _result_of(call: ToolCall) -> Message:
    return Message(
        role="tool",
        content=call.result,
        tool_call_id=call.tool_call_id,
        tool_name=call.tool_name,
        tool_call_error=call.tool_call_error,
        metrics=call.metrics,
    )
