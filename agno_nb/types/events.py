"""Events of runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.types.basics import JsonDict
from agno_nb.types.messages import ToolCall

if TYPE_CHECKING:
    from agno_nb.types.runs import RunOutput


class RunEvent(StrEnum):
    """Names of run events. Workflow runs have their own for the start and the end."""

    run_started = "RunStarted"
    run_content = "RunContent"
    run_completed = "RunCompleted"
    run_paused = "RunPaused"
    run_continued = "RunContinued"
    run_cancelled = "RunCancelled"
    run_error = "RunError"
    model_request_started = "ModelRequestStarted"
    model_request_completed = "ModelRequestCompleted"
    tool_call_started = "ToolCallStarted"
    tool_call_completed = "ToolCallCompleted"
    tool_call_error = "ToolCallError"
    workflow_started = "WorkflowStarted"
    workflow_completed = "WorkflowCompleted"
    workflow_paused = "WorkflowPaused"
    workflow_continued = "WorkflowContinued"
    workflow_cancelled = "WorkflowCancelled"
    workflow_error = "WorkflowError"
    step_started = "StepStarted"
    step_output = "StepOutput"
    step_completed = "StepCompleted"
    step_error = "StepError"
    parallel_started = "ParallelExecutionStarted"
    parallel_completed = "ParallelExecutionCompleted"
    condition_started = "ConditionExecutionStarted"
    condition_completed = "ConditionExecutionCompleted"
    router_started = "RouterExecutionStarted"
    router_completed = "RouterExecutionCompleted"
    loop_started = "LoopExecutionStarted"
    loop_iteration_started = "LoopIterationStarted"
    loop_iteration_completed = "LoopIterationCompleted"
    loop_completed = "LoopExecutionCompleted"
    steps_started = "StepsExecutionStarted"
    steps_completed = "StepsExecutionCompleted"
    model_request_retried = "ModelRequestRetried"
    model_fallback_used = "ModelFallbackUsed"
    tool_call_limit_reached = "ToolCallLimitReached"
    memory_update_completed = "MemoryUpdateCompleted"


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class RunOutputEvent:
    """An event of a run. The fields that are set depend on `event`."""

    event: RunEvent
    run_id: str
    session_id: str
    parent_run_id: str | None = None
    component_name: str | None = None
    """Name of the agent, team or workflow. Events of nested runs are in the same stream."""
    content: str | None = None
    """For RunContent: the new text. For the final event: the whole answer. For retries, fallbacks and tool call limits:
    a sentence that describes the event."""
    reasoning_content: str | None = None
    """For RunContent: the new reasoning."""
    tool: ToolCall | None = None
    """For tool call events."""
    step: str | None = None
    """Path of the step, for events of the step and its runs."""
    details: JsonDict | None = None
    """For retries, fallbacks and tool call limits: the values in `content`. For the end of a step: its `duration_s`."""
    run_output: RunOutput | None = None
    """For the final event of a run."""

    @property
    def is_final(self) -> bool:
        return self.run_output is not None
