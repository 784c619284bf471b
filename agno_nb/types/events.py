"""Events of runs: their names, and agno's classes for them.

All events are objects of one class, :class:`RunOutputEvent`. agno has a class for each name; :func:`event_classes`
makes them for :func:`isinstance` and ``match``, and an event is an object of such a class if it has its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.types.basics import Alias, JsonDict, SessionType, now
from agno_nb.types.messages import ToolCall
from agno_nb.types.metrics import Metrics
from agno_nb.types.requirements import Requirement
from agno_nb.types.runs import RunOutput, RunStatus
from agno_nb.types.steps import last_name


class RunEvent(StrEnum):
    """Names of run events. Runs of teams and workflows have names of their own for some of them."""

    run_started = "RunStarted"
    run_content = "RunContent"
    run_content_completed = "RunContentCompleted"
    run_intermediate_content = "RunIntermediateContent"
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
    pre_hook_started = "PreHookStarted"
    pre_hook_completed = "PreHookCompleted"
    post_hook_started = "PostHookStarted"
    post_hook_completed = "PostHookCompleted"
    reasoning_started = "ReasoningStarted"
    reasoning_step = "ReasoningStep"
    reasoning_content_delta = "ReasoningContentDelta"
    reasoning_completed = "ReasoningCompleted"
    memory_update_started = "MemoryUpdateStarted"
    memory_update_completed = "MemoryUpdateCompleted"
    session_summary_started = "SessionSummaryStarted"
    session_summary_completed = "SessionSummaryCompleted"
    parser_model_response_started = "ParserModelResponseStarted"
    parser_model_response_completed = "ParserModelResponseCompleted"
    output_model_response_started = "OutputModelResponseStarted"
    output_model_response_completed = "OutputModelResponseCompleted"
    compression_started = "CompressionStarted"
    compression_completed = "CompressionCompleted"
    compaction_started = "CompactionStarted"
    compaction_completed = "CompactionCompleted"
    followups_started = "FollowupsStarted"
    followups_completed = "FollowupsCompleted"
    custom_event = "CustomEvent"

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
    step_paused = "StepPaused"
    step_continued = "StepContinued"
    step_executor_paused = "StepExecutorPaused"
    step_executor_continued = "StepExecutorContinued"
    step_output_review = "StepOutputReview"
    parallel_started = "ParallelExecutionStarted"
    parallel_completed = "ParallelExecutionCompleted"
    condition_started = "ConditionExecutionStarted"
    condition_completed = "ConditionExecutionCompleted"
    condition_paused = "ConditionPaused"
    router_started = "RouterExecutionStarted"
    router_completed = "RouterExecutionCompleted"
    router_paused = "RouterPaused"
    loop_started = "LoopExecutionStarted"
    loop_iteration_started = "LoopIterationStarted"
    loop_iteration_completed = "LoopIterationCompleted"
    loop_completed = "LoopExecutionCompleted"
    steps_started = "StepsExecutionStarted"
    steps_completed = "StepsExecutionCompleted"

    # Not in agno.
    model_notice = "ModelNotice"
    model_request_retried = "ModelRequestRetried"
    model_fallback_used = "ModelFallbackUsed"
    tool_call_limit_reached = "ToolCallLimitReached"
    answer_missing = "AnswerMissing"


class TeamRunEvent(StrEnum):
    """Names of the events of a team's own run. Its members' runs have those of :class:`RunEvent`."""

    run_started = "TeamRunStarted"
    run_content = "TeamRunContent"
    run_intermediate_content = "TeamRunIntermediateContent"
    run_content_completed = "TeamRunContentCompleted"
    run_completed = "TeamRunCompleted"
    run_error = "TeamRunError"
    run_cancelled = "TeamRunCancelled"
    run_paused = "TeamRunPaused"
    run_continued = "TeamRunContinued"
    pre_hook_started = "TeamPreHookStarted"
    pre_hook_completed = "TeamPreHookCompleted"
    post_hook_started = "TeamPostHookStarted"
    post_hook_completed = "TeamPostHookCompleted"
    tool_call_started = "TeamToolCallStarted"
    tool_call_completed = "TeamToolCallCompleted"
    tool_call_error = "TeamToolCallError"
    reasoning_started = "TeamReasoningStarted"
    reasoning_step = "TeamReasoningStep"
    reasoning_content_delta = "TeamReasoningContentDelta"
    reasoning_completed = "TeamReasoningCompleted"
    memory_update_started = "TeamMemoryUpdateStarted"
    memory_update_completed = "TeamMemoryUpdateCompleted"
    session_summary_started = "TeamSessionSummaryStarted"
    session_summary_completed = "TeamSessionSummaryCompleted"
    parser_model_response_started = "TeamParserModelResponseStarted"
    parser_model_response_completed = "TeamParserModelResponseCompleted"
    output_model_response_started = "TeamOutputModelResponseStarted"
    output_model_response_completed = "TeamOutputModelResponseCompleted"
    model_request_started = "TeamModelRequestStarted"
    model_request_completed = "TeamModelRequestCompleted"
    compression_started = "TeamCompressionStarted"
    compression_completed = "TeamCompressionCompleted"
    followups_started = "TeamFollowupsStarted"
    followups_completed = "TeamFollowupsCompleted"
    task_iteration_started = "TeamTaskIterationStarted"
    task_iteration_completed = "TeamTaskIterationCompleted"
    task_state_updated = "TeamTaskStateUpdated"
    task_created = "TeamTaskCreated"
    task_updated = "TeamTaskUpdated"
    custom_event = "CustomEvent"


_OF_AGENTS_ONLY = ("compaction_started", "compaction_completed")
AGENT_EVENTS = [each for each in RunEvent if each.name in TeamRunEvent.__members__ or each.name in _OF_AGENTS_ONLY]
"""The events of agents for which agno has classes."""


class WorkflowRunEvent(StrEnum):
    """agno's members for the events of a workflow's own run. Each equals the :class:`RunEvent` of the same value."""

    workflow_started = "WorkflowStarted"
    workflow_completed = "WorkflowCompleted"
    workflow_paused = "WorkflowPaused"
    workflow_continued = "WorkflowContinued"
    workflow_cancelled = "WorkflowCancelled"
    workflow_error = "WorkflowError"
    workflow_agent_started = "WorkflowAgentStarted"
    workflow_agent_completed = "WorkflowAgentCompleted"
    step_started = "StepStarted"
    step_completed = "StepCompleted"
    step_progress = "StepProgress"
    step_paused = "StepPaused"
    step_continued = "StepContinued"
    step_executor_paused = "StepExecutorPaused"
    step_executor_continued = "StepExecutorContinued"
    step_output_review = "StepOutputReview"
    step_error = "StepError"
    step_output = "StepOutput"
    loop_execution_started = "LoopExecutionStarted"
    loop_iteration_started = "LoopIterationStarted"
    loop_iteration_completed = "LoopIterationCompleted"
    loop_execution_completed = "LoopExecutionCompleted"
    parallel_execution_started = "ParallelExecutionStarted"
    parallel_execution_completed = "ParallelExecutionCompleted"
    condition_execution_started = "ConditionExecutionStarted"
    condition_execution_completed = "ConditionExecutionCompleted"
    condition_paused = "ConditionPaused"
    router_execution_started = "RouterExecutionStarted"
    router_execution_completed = "RouterExecutionCompleted"
    router_paused = "RouterPaused"
    steps_execution_started = "StepsExecutionStarted"
    steps_execution_completed = "StepsExecutionCompleted"
    custom_event = "CustomEvent"


class _IdOf:
    """An attribute of an event that has a value if its run is of one kind, and is otherwise None."""

    def __init__(self, kind: SessionType, name: str) -> None:
        self._kind, self._name = kind, name
        self.__doc__ = f"`{name}` of events of {kind} runs; otherwise None."

    def __get__(self, event: RunOutputEvent | None, owner: type[Any]) -> Any:
        if event is None:
            return self
        return getattr(event, self._name) if event.kind is self._kind else None


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class RunOutputEvent:
    """An event of a run. The fields that are set depend on `event`."""

    event: RunEvent | TeamRunEvent
    run_id: str
    session_id: str
    parent_run_id: str | None = None
    parent_tool_call_id: str | None = None
    """The tool call of the parent run that started this one."""
    kind: SessionType = SessionType.AGENT
    """What runs: an agent, a team or a workflow."""
    component_id: str | None = None
    component_name: str | None = None
    """Name of the agent, team or workflow. Events of nested runs are in the same stream."""
    content: Any = None
    """For RunContent: the new text. For the final event: the whole answer, or an object of the `output_schema`. For
    retries, fallbacks, tool call limits and missing answers: a sentence that describes the event."""
    reasoning_content: str | None = None
    """For RunContent: the new reasoning."""
    discards_content: bool = False
    """For RunContent: whether the text since the last tool call is not part of the answer, because it was reasoning, a
    tool call, or an answer that has to be corrected."""
    tool: ToolCall | None = None
    """For tool call events."""
    step: str | None = None
    """Path of the step, for events of the step and its runs."""
    details: JsonDict | None = None
    """For retries, fallbacks, tool call limits and missing answers: the values in `content`. For the end of a step: its
    `duration_s`. For hooks: `pre_hook_name` or `post_hook_name`. Each value is an attribute of the event too."""
    run_output: RunOutput | None = None
    """For the final event of a run."""
    model: str | None = None
    """The model of the run, as far as it is known."""
    model_provider: str | None = None
    workflow_id: str | None = None
    """The innermost workflow that the event is part of."""
    workflow_name: str | None = None
    workflow_run_id: str | None = None
    step_index: int | None = None
    """Position in the workflow's list of steps of the step that the event is part of, from 0."""
    created_at: float = field(default_factory=now)
    """Unix seconds."""

    agent_id = _IdOf(SessionType.AGENT, "component_id")
    agent_name = _IdOf(SessionType.AGENT, "component_name")
    team_id = _IdOf(SessionType.TEAM, "component_id")
    team_name = _IdOf(SessionType.TEAM, "component_name")
    step_id = Alias[str | None]("step")

    @property
    def is_final(self) -> bool:
        return self.run_output is not None

    @property
    def step_name(self) -> str | None:
        """Name of the step, without the steps around it."""
        return None if self.step is None else last_name(self.step)

    @property
    def status(self) -> RunStatus:
        """Status of the run at the time of the event."""
        return RunStatus.RUNNING if self.run_output is None else self.run_output.status

    @property
    def is_paused(self) -> bool:
        return self.status is RunStatus.PAUSED

    @property
    def is_cancelled(self) -> bool:
        return self.status is RunStatus.CANCELLED

    @property
    def tools(self) -> list[ToolCall]:
        """For the final event: the tool calls of the run."""
        return [] if self.run_output is None else self.run_output.tools

    @property
    def requirements(self) -> list[Requirement]:
        """For the final event: the requirements of the run."""
        return [] if self.run_output is None else self.run_output.requirements

    @property
    def active_requirements(self) -> list[Requirement]:
        """For RunPaused: the requirements to resolve."""
        return [] if self.run_output is None else self.run_output.active_requirements

    @property
    def content_type(self) -> str:
        """For the final event: the name of the output schema, or "str"."""
        return "str" if self.run_output is None else self.run_output.content_type

    @property
    def metrics(self) -> Metrics | None:
        """For the final event: the metrics of the run."""
        return None if self.run_output is None else self.run_output.metrics

    @property
    def session_state(self) -> JsonDict | None:
        """For the final event: the state of the session."""
        return None if self.run_output is None else self.run_output.session_state

    @property
    def metadata(self) -> JsonDict | None:
        """For the final event: the metadata of the run."""
        return None if self.run_output is None else self.run_output.metadata

    if not TYPE_CHECKING:  # Type checkers would accept any attribute.

        def __getattr__(self, name: str) -> Any:
            details = object.__getattribute__(self, "details")
            if details is not None and name in details:
                return details[name]
            raise AttributeError(f"events with the name {str(self.event)!r} have no attribute {name!r}")


class _EventClass(type):
    """A class of events with certain names, or of all events of one kind of run."""

    kind: SessionType
    event: str | None
    """The name; None for all events of the kind."""

    def __instancecheck__(cls, instance: object) -> bool:
        if not isinstance(instance, RunOutputEvent) or instance.kind is not cls.kind:
            return False
        return cls.event is None or instance.event == cls.event

    def __call__(cls, **values: Any) -> RunOutputEvent:
        return RunOutputEvent(**{"event": cls.event, "kind": cls.kind, **values})


_IRREGULAR = {"run_intermediate_content": "IntermediateRunContentEvent", "custom_event": "CustomEvent"}


def event_classes(
    kind: SessionType, events: Iterable[RunEvent | TeamRunEvent | WorkflowRunEvent], *, base: str, module: str
) -> dict[str, type[RunOutputEvent]]:
    """Return agno's classes by name: one for each of `events` of runs of a kind, and `base` for all their events.

    Examples
    --------
    >>> classes = event_classes(SessionType.AGENT, [RunEvent.run_started], base="BaseAgentRunEvent", module="example")
    >>> event = RunOutputEvent(event=RunEvent.run_started, run_id="r", session_id="s")
    >>> isinstance(event, classes["RunStartedEvent"]), isinstance(event, classes["BaseAgentRunEvent"])
    (True, True)
    """

    def make(name: str, event: str | None, doc: str) -> type[RunOutputEvent]:
        members = {"__slots__": (), "__module__": module, "__doc__": doc, "kind": kind, "event": event}
        return cast("type[RunOutputEvent]", _EventClass(name, (RunOutputEvent,), members))

    classes = {base: make(base, None, f"The events of {kind} runs.")}
    for each in events:
        name = _IRREGULAR.get(each.name) or f"{each.value.removeprefix('Team')}Event"
        classes[name] = make(name, each.value, f"The {each.value} events of {kind} runs.")
    return classes
