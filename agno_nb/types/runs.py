"""A run: one input and all that followed until the answer, where it was asked for, and what happened in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.types.basics import JsonDict, SessionType, brief, new_id, now, to_plain_text
from agno_nb.types.messages import Message, ToolCall
from agno_nb.types.metrics import Metrics
from agno_nb.types.requirements import Requirement
from agno_nb.types.steps import StepOutput

if TYPE_CHECKING:
    from agno_nb.types.context_report import ContextReport


class RunStatus(StrEnum):
    """What has become of a run. Always one of these five, in the store too."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    PAUSED = "PAUSED"
    CANCELLED = "CANCELLED"
    ERROR = "ERROR"


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class CellInfo:
    """Where in a notebook a run was asked for, as far as the front end tells."""

    notebook: str | None = None
    """Absolute path of the notebook."""
    cell_id: str | None = None
    execution_count: int | None = None
    cell_hash: str | None = None
    """First 16 hex digits of the SHA-256 of the cell's source."""
    kernel_id: str | None = None
    """The Jupyter server's id of the kernel."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class Variable:
    """What a ``{name}`` in a prompt stood for."""

    name: str
    """The expression between the braces, as in ``df`` or ``config["model"]``."""
    type: str
    """As in ``str`` or ``pandas.DataFrame``."""
    shape: tuple[int, ...] | None = None
    """Of a DataFrame, Series or array."""
    dtypes: dict[str, str] | None = None
    """Of a DataFrame: the dtype of each column that was shown. Of a Series or array: its one, under the name ""."""
    hash: str
    """First 16 hex digits of the SHA-256 of what was put in."""
    cut: bool = False
    """Whether it was too long, and only the beginning was put in."""
    chars: int
    """Characters that it put into the prompt, at all its places together."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, repr=False)
class RunOutput:
    """One input and all that followed until the answer.

    It is made when the run begins, filled while it goes on, and returned (or carried by the error that is raised)
    at its end.
    """

    run_id: str = field(default_factory=new_id)
    session_id: str
    user_id: str | None = None
    parent_run_id: str | None = None
    """The run whose tool, member or step asked for this one."""
    parent_tool_call_id: str | None = None
    """The tool call of that run which asked for this one."""
    root_run_id: str = ""
    """The run of the turn that this one is a part of, at whatever depth. Of a turn: its own id."""
    step: str | None = None
    """Of a run made by a step of a workflow: the step's path, its name where it stands in no other."""
    kind: SessionType = SessionType.AGENT
    component_id: str | None = None
    """Id of the agent, team or workflow that ran."""
    component_name: str | None = None
    run_index: int | None = None
    """The turn: the place in the session, from 0. None for a run nested in another of the same session."""
    attempt: int = 0
    """The how-manieth try at that turn, from 0."""
    status: RunStatus = RunStatus.RUNNING
    input: str = ""
    content: Any = None
    """The answer: text, or an object of the `output_schema`."""
    content_type: str = "str"
    reasoning_content: str | None = None
    messages: list[Message] = field(default_factory=list)
    """What the model was sent and said, history included."""
    tools: list[ToolCall] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    """Of this run alone. `total_metrics` is with those of the runs nested in it."""
    model: str | None = None
    model_provider: str | None = None
    requirements: list[Requirement] = field(default_factory=list)
    """What the run had to ask of a person, in all its pauses. Of a paused run some are not resolved yet."""
    nested_runs: list[RunOutput] = field(default_factory=list, compare=False)
    """Runs that this one's tools, members or steps began, in order. Of a run that was read from the store: those of the
    same session."""
    step_results: list[StepOutput] = field(default_factory=list)
    """Of a workflow: what came of its steps, in the order in which they ended."""
    session_state: JsonDict = field(default_factory=dict)
    state_changes: list[JsonDict] = field(default_factory=list)
    """What changed in the session's state while the run went on, value by value: `path`, `before` and `after`."""
    metadata: JsonDict | None = None
    error_type: str | None = None
    error: str | None = None
    origin: CellInfo = field(default_factory=CellInfo)
    variables: list[Variable] = field(default_factory=list)
    """What of the notebook was put into the prompt."""
    context_report: ContextReport | None = None
    """Of what the model was sent. :meth:`context` is how to ask for it."""
    context_hash: str | None = None
    """SHA-256, in hex, of everything that decides the answer: model, messages, tools, output schema, user."""
    replay_of_run_id: str | None = None
    """The run whose stored answer this is, where no model was asked."""
    created_at: float = field(default_factory=now)
    """Unix seconds."""
    ended_at: float | None = None

    interrupted: bool = False
    """Whether the process died before the run ended. The status is RUNNING then."""
    is_reloaded: bool = field(default=False, compare=False)
    """Whether the run was read from a store. Its messages are then without the session's history."""

    def __post_init__(self) -> None:
        self.root_run_id = self.root_run_id or self.run_id

    @property
    def agent_id(self) -> str | None:
        """agno's name for `component_id`."""
        return self.component_id

    @property
    def agent_name(self) -> str | None:
        """agno's name for `component_name`."""
        return self.component_name

    @property
    def member_responses(self) -> list[RunOutput]:
        """agno's name for `nested_runs`, of a team."""
        return self.nested_runs

    @property
    def step_executor_runs(self) -> list[RunOutput]:
        """agno's name for `nested_runs`, of a workflow."""
        return self.nested_runs

    @property
    def is_cached(self) -> bool:
        """Whether the answer came from the response cache. For a workflow: those of all its agents and teams."""
        model_runs = self._model_runs()
        return bool(model_runs) and all(run.replay_of_run_id is not None for run in model_runs)

    def _model_runs(self) -> list[RunOutput]:
        """Return the runs, this one or those of its steps, that have a model to ask."""
        if self.kind is not SessionType.WORKFLOW:
            return [self]
        return [run for nested in self.nested_runs for run in nested._model_runs()]

    @property
    def total_metrics(self) -> Metrics:
        """Tokens and cost of this run and of all runs nested in it, each counted once; the times are this run's."""
        # A run without a model call of its own (a workflow's, say) has no cost that could be unknown.
        has_model_calls = self.metrics != Metrics(duration_s=self.metrics.duration_s)
        total = Metrics.total(
            [*([self.metrics] if has_model_calls else []), *(nested.total_metrics for nested in self.nested_runs)]
        )
        total.duration_s, total.time_to_first_token_s = self.metrics.duration_s, self.metrics.time_to_first_token_s
        return total

    @property
    def is_paused(self) -> bool:
        return self.status is RunStatus.PAUSED

    @property
    def is_cancelled(self) -> bool:
        return self.status is RunStatus.CANCELLED

    def context(self) -> ContextReport | None:
        """Return what the model was sent: each part with its source and size, and what was left out and why.

        None of a run that sent nothing to a model itself: that of a workflow, or one that failed before.
        """
        return self.context_report

    @property
    def active_requirements(self) -> list[Requirement]:
        """What has to be resolved before the run can be continued."""
        return [requirement for requirement in self.requirements if not requirement.is_resolved]

    @property
    def tools_requiring_confirmation(self) -> list[ToolCall]:
        return [requirement.tool for requirement in self.requirements if requirement.needs_confirmation]

    @property
    def tools_requiring_user_input(self) -> list[ToolCall]:
        return [requirement.tool for requirement in self.requirements if requirement.needs_user_input]

    @property
    def tools_awaiting_external_execution(self) -> list[ToolCall]:
        return [requirement.tool for requirement in self.requirements if requirement.needs_external_execution]

    def share_requirements(self, nested: RunOutput) -> None:
        """Replace this run's copies of the requirements of a nested run by the originals, with the answers given here.

        After that, an answer that is set on either run, or on its tool calls, counts for both.
        """
        originals = {requirement.requirement_id: requirement for requirement in nested.requirements}
        for index, requirement in enumerate(self.requirements):
            original = originals.get(requirement.requirement_id)
            if original is not None and original is not requirement:
                original.copy_answer_from(requirement)
                self.requirements[index] = original

    def get_content_as_string(self) -> str:
        """Return the answer as text: as it is, as JSON if it is an object, and "" if there is none.

        An object that JSON cannot hold is its ``str()``.
        """
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        return self._content_as_json() or to_plain_text(self.content)

    def _content_as_json(self) -> str | None:
        try:
            if hasattr(self.content, "model_dump_json"):
                return str(self.content.model_dump_json())
            return json.dumps(self.content, ensure_ascii=False, default=str)
        except Exception:  # Keys that are tuples, a list within itself, or whatever a model of the user's raises.
            return None

    def __repr__(self) -> str:
        content = brief(self.get_content_as_string())
        return f"RunOutput({self.status}, run_id={self.run_id!r}, session_id={self.session_id!r}, content={content})"


class RunEvent(StrEnum):
    """Names of the events of a stream. A workflow's run has its own for how it begins and ends."""

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
    """One thing that happened in a run. Which fields are set depends on `event`."""

    event: RunEvent
    run_id: str
    session_id: str
    parent_run_id: str | None = None
    component_name: str | None = None
    """Whose run it is: nested runs share the stream of the run that began them."""
    content: str | None = None
    """Of RunContent: the piece of text that is new. Of the final event: the whole. Of a retry, a fallback and the end
    at a tool call limit: what happened, as a sentence."""
    reasoning_content: str | None = None
    """Of RunContent: the piece of reasoning that is new."""
    tool: ToolCall | None = None
    """Of ToolCall events."""
    step: str | None = None
    """Of a step's events, and of those of the runs that it began: the step's path."""
    details: JsonDict | None = None
    """Of a retry, a fallback and the end at a tool call limit: what `content` says, as values. Of the end of a step:
    its `duration_s`."""
    run_output: RunOutput | None = None
    """Of the event that ends a run."""

    @property
    def is_final(self) -> bool:
        return self.run_output is not None
