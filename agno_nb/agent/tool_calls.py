"""Execute the tool calls of one answer concurrently, pause for approval, or refuse them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agno_nb.errors import NestedRunPaused, StoreError, leaves
from agno_nb.event_loop import run_together
from agno_nb.exceptions import AgentRunException
from agno_nb.run.context import RunContext, current_tool_call_id
from agno_nb.run.continue_run import (
    is_waiting,
    last_assistant_message,
    rejection_message,
    user_input_args,
)
from agno_nb.tools import Tool
from agno_nb.tools.parameters import InvalidArguments
from agno_nb.types import (
    INTERRUPTED_RESULT,
    REFUSED,
    JsonDict,
    Media,
    Message,
    Metrics,
    Requirement,
    RunEvent,
    RunStatus,
    ToolCall,
    counted,
    now,
)


@dataclass(kw_only=True)
class ToolExecutor:
    """Executes the tool calls of one run."""

    tools: Mapping[str, Tool]
    """Tools by name."""
    hooks: Sequence[Callable[..., Any]]
    """Called around every tool, the first one outermost."""
    tool_call_limit: int | None
    injected: Mapping[str, Any]
    """Arguments that are passed to tools and hooks by the runtime."""
    context: RunContext
    sees_images: Callable[[], bool]
    """Whether the model in use is sent images that tools return."""
    exceptions: list[AgentRunException] = field(init=False, default_factory=list)
    """Raised by tools since they were last taken, to decide how the run continues."""

    def take_exceptions(self) -> list[AgentRunException]:
        """Return the exceptions of tools that decide how the run continues, and forget them."""
        taken, self.exceptions = self.exceptions, []
        return taken

    async def execute(self, pending: Sequence[tuple[ToolCall, Message]]) -> None:
        """Execute the calls of one answer concurrently, each with the message for its result.

        Each result is stored as soon as it is available. Calls that need approval stay without a result message.
        """
        context, run = self.context, self.context.run
        calls = last_assistant_message(run).tool_calls
        # Compared by identity, because a server may use one ID for two calls.
        num_left = len(calls) if self.tool_call_limit is None else self.tool_call_limit - len(run.tools) + len(calls)
        allowed = {id(call) for call in calls[: max(num_left, 0)]}
        has_started = False
        try:
            await context.recorder.save()  # The calls are stored before anything that may fail.
            has_started = True
            _, failures = await run_together(
                self._execute_one(call, message, is_allowed=id(call) in allowed) for call, message in pending
            )
            if failures:
                # Not earlier, so that the results of the other calls are not lost.
                raise next((error for error in failures if not isinstance(error, StoreError)), failures[0])
        except BaseException as error:
            if not has_started:
                # The run ends before any of its calls is started.
                for call, _ in pending:
                    if id(call) in allowed:
                        self._request_approval(call, self.tools.get(call.tool_name))
            self._end_calls(pending, keep_open=self._waiting_ids() if isinstance(error, StoreError) else set())
            if not has_started:
                for requirement in run.requirements:
                    if not requirement.tool.is_finished:
                        requirement.started_at = None
            raise
        self._leave_out(pending)

    def _request_approval(self, call: ToolCall, tool: Tool | None) -> str | None:
        """Add a requirement for a call that needs one. If its arguments are invalid, return the error for the model."""
        run = self.context.run
        if tool is None or tool.approval_kind is None or any(each.tool is call for each in run.requirements):
            return None
        try:
            tool.parse_arguments(call)
        except InvalidArguments as error:
            return str(error)
        call.user_input_schema = tool.input_fields(call)
        run.requirements.append(
            Requirement(
                kind=tool.approval_kind,
                tool=call,
                run_id=run.run_id,
                component_name=run.component_name,
                component_id=run.component_id,
            )
        )
        return None

    def _waiting_ids(self) -> set[str | None]:
        """Return the IDs of the calls that wait for approval, or are approved but not started."""
        run = self.context.run
        own = {each.tool.tool_call_id for each in run.requirements if each.run_id == run.run_id}
        return own | {each.parent_tool_call_id for each in run.nested_runs if each.status is RunStatus.PAUSED}

    def _end_calls(self, waiting: Sequence[tuple[ToolCall, Message]], *, keep_open: set[str | None]) -> None:
        """Set the result of unfinished calls to "interrupted". The run pauses for the calls in `keep_open`.

        If it does not pause, approval of its other calls was not requested. They stay without a result, so that a run
        that continues from this one requests it.
        """
        run = self.context.run
        unasked = [
            each
            for each in run.requirements
            if each.run_id == run.run_id and each.tool.tool_call_id not in keep_open
            if not (each.tool.is_finished or each.has_answer or each.may_have_run)
        ]
        run.requirements = [each for each in run.requirements if each not in unasked]
        unasked_calls = {id(each.tool) for each in unasked}
        for call, answer in waiting:
            if not call.is_finished and call.tool_call_id not in keep_open and id(call) not in unasked_calls:
                if call.result is None:
                    call.result, call.tool_call_error = INTERRUPTED_RESULT, True
                self.context.recorder.mark_unsaved(_fill_result(answer, call))
        still_open = [call for call, _ in waiting if not call.is_finished and id(call) not in unasked_calls]
        for call in still_open:
            self.context.collect_child_requirements(call.tool_call_id)
        self._leave_out(waiting)
        if still_open:
            run.status, run.content = RunStatus.PAUSED, last_assistant_message(run).content

    def _leave_out(self, waiting: Sequence[tuple[ToolCall, Message]]) -> None:
        """Remove the messages of calls without a result from the run."""
        run, left = self.context.run, {call.tool_call_id for call, _ in waiting if not call.is_finished}
        run.messages = [message for message in run.messages if message.from_history or message.tool_call_id not in left]

    async def _execute_one(self, call: ToolCall, result_message: Message, *, is_allowed: bool) -> None:
        started = time.perf_counter()
        context = self.context
        tool = self.tools.get(call.tool_name) if is_allowed else None
        images: list[Media] = []
        argument_error = self._request_approval(call, tool)
        requirement = next((one for one in context.run.requirements if one.tool is call), None)
        if requirement is not None and not requirement.is_resolved:
            return
        context.emit(RunEvent.tool_call_started, tool=call)
        if argument_error is not None:
            call.result, call.tool_call_error = argument_error, True
        elif not is_allowed:
            call.result = f"{REFUSED} {counted(self.tool_call_limit or 0, 'tool call')}. Answer with what you have."
            call.tool_call_error = True
        elif requirement is not None and requirement.confirmed is False:
            call.result, call.tool_call_error = rejection_message(requirement), True
        elif requirement is not None and requirement.kind == "external_execution":
            call.result = requirement.result
        elif requirement is None and self._may_have_run(call):
            call.result, call.tool_call_error = INTERRUPTED_RESULT, True
        elif tool is None:
            call.result = f"There is no tool {call.tool_name!r}. The tools are: {', '.join(self.tools) or 'none'}."
            call.tool_call_error = True
        else:
            images = await self._call(tool, call, user_input_args(requirement))
            if call.result is None:
                # A run that it started is paused. The call is repeated when that run is continued.
                if requirement is not None:
                    requirement.started_at = None
                return
        call.duration_s = time.perf_counter() - started
        result_message.media = images
        context.recorder.mark_unsaved(_fill_result(result_message, call))
        context.emit(RunEvent.tool_call_error if call.tool_call_error else RunEvent.tool_call_completed, tool=call)
        await context.recorder.save()

    async def _call(self, tool: Tool, call: ToolCall, user_input: JsonDict | None) -> list[Media]:
        """Call a tool, and return the images to send. The call has no result if a run that it started is paused."""
        current_tool_call_id.set(call.tool_call_id)
        try:
            injected = {**_media_by_parameter(self.context.message.media), **self.injected}
            return await tool.call(call, injected, user_input, hooks=self.hooks, sees_images=self.sees_images())
        except AgentRunException as error:
            self.exceptions.append(error)
            return []
        except BaseException as error:
            parts = list(leaves(error))
            if not any(isinstance(part, NestedRunPaused) for part in parts):
                raise
            # Failures next to the paused run are retried with it, but an error that tools cannot catch ends the run.
            for part in parts:
                if not isinstance(part, Exception | NestedRunPaused):
                    raise part from error
            self.context.collect_child_requirements(call.tool_call_id)
            return []

    def _may_have_run(self, call: ToolCall) -> bool:
        """Whether a process that has died may have executed the call, and no run that the call started is waiting."""
        if call.tool_call_id not in self.context.interrupted_call_ids:
            return False
        started = [run for run in self.context.pending_children if run.parent_tool_call_id == call.tool_call_id]
        return not any(is_waiting(run) for run in started)


_MEDIA_KINDS = {"images": "image", "audio": "audio", "audios": "audio", "videos": "video", "files": "file"}


def _media_by_parameter(media: Sequence[Media]) -> dict[str, list[Media]]:
    """Return the media of the user's message by the parameters of tools that they are injected into."""
    return {name: [each for each in media if each.kind == kind] for name, kind in _MEDIA_KINDS.items()}


def _fill_result(message: Message, call: ToolCall) -> Message:
    """Copy the result of a call to its message."""
    message.content, message.tool_call_error, call.is_finished = call.result, call.tool_call_error, True
    message.metrics, message.created_at = Metrics(duration_s=call.duration_s), now()
    return message
