"""Runs, and the notebook cells and variables that they start from.

The file is long because agno's run has an attribute for each kind of requirement of its tools and steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.types.basics import Alias, JsonDict, SessionType, brief, new_id, now, to_plain_text
from agno_nb.types.dicts import NOT_IN_DICTS, DictMethods, from_dict, to_dict
from agno_nb.types.messages import Media, Message, ToolCall, WithMedia
from agno_nb.types.metrics import Metrics
from agno_nb.types.requirements import Requirement
from agno_nb.types.step_requirements import ExecutorRequirement, StepRequirement
from agno_nb.types.steps import PauseKind, StepOutput, last_name

if TYPE_CHECKING:
    from agno_nb.types.context_report import ContextReport
    from agno_nb.types.events import RunOutputEvent


class RunStatus(StrEnum):
    """The status of a run."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    PAUSED = "PAUSED"
    CANCELLED = "CANCELLED"
    ERROR = "ERROR"

    # agno's names.
    running = RUNNING
    completed = COMPLETED
    paused = PAUSED
    cancelled = CANCELLED
    error = ERROR
    pending = RUNNING
    """A run that agno calls pending, because it waits for its turn, is stored as running."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class CellInfo:
    """The notebook cell that started a run, as far as the front end reports it."""

    notebook: str | None = None
    """Absolute path of the notebook."""
    cell_id: str | None = None
    execution_count: int | None = None
    cell_hash: str | None = None
    """First 16 hex digits of the SHA-256 of the cell's source."""
    kernel_id: str | None = None
    """Kernel id of the Jupyter server."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class Variable:
    """A variable that replaced ``{name}`` in a prompt."""

    name: str
    """The expression in braces, for example ``df`` or ``config["model"]``."""
    type: str
    """For example ``str`` or ``pandas.DataFrame``."""
    shape: tuple[int, ...] | None = None
    """Shape of a DataFrame, Series or array."""
    dtypes: dict[str, str] | None = None
    """Dtypes of the columns shown of a DataFrame; the dtype of a Series or array has the key ""."""
    hash: str
    """First 16 hex digits of the SHA-256 of the inserted text."""
    cut: bool = False
    """Whether only the beginning was inserted, because the value was too long."""
    chars: int
    """Characters inserted, summed over all occurrences."""


def _from_agno(cls: type[RunOutput], values: Mapping[str, Any]) -> JsonDict:
    """Return the keywords of agno's runs as those of a run."""
    found = {name: value for name, value in values.items() if name not in _OTHER_NAMES}
    for name, field_name in _OTHER_NAMES.items():
        if values.get(name) is not None:
            found.setdefault(field_name, values[name])
            if field_name == "component_id":
                found.setdefault("kind", SessionType(name.removesuffix("_id")))
    return found


_OTHER_NAMES = {
    **{f"{kind.value}_id": "component_id" for kind in SessionType},
    **{f"{kind.value}_name": "component_name" for kind in SessionType},
    "member_responses": "nested_runs",
    "step_executor_runs": "nested_runs",
    "workflow_step_id": "step",
}


@suggest_on_unknown_kwarg({}, convert=_from_agno)
@dataclass(slots=True, kw_only=True, repr=False)
class RunOutput(DictMethods, WithMedia):
    """A run of an agent, team or workflow: its input, messages, tool calls, answer and metrics.

    The object is created at the start of the run, updated during it, and returned at the end. If the run fails, it is
    the `run_output` of the error.
    """

    run_id: str = field(default_factory=new_id)
    session_id: str
    user_id: str | None = None
    parent_run_id: str | None = None
    """The run whose tool, member or step started this one."""
    parent_tool_call_id: str | None = None
    """The tool call of the parent run that started this one."""
    root_run_id: str = ""
    """The outermost run; for a run that is not nested, its own id."""
    step: str | None = None
    """For runs of a workflow step: the path of the step."""
    kind: SessionType = SessionType.AGENT
    component_id: str | None = None
    """Id of the agent, team or workflow that ran."""
    component_name: str | None = None
    run_index: int | None = None
    """The turn in the session, from 0. None for runs nested in another run of the same session."""
    attempt: int = 0
    """Attempt number within the turn, from 0."""
    status: RunStatus = RunStatus.RUNNING
    input: str = ""
    content: Any = None
    """The answer: a string, or an object of the `output_schema`."""
    content_type: str = "str"
    reasoning_content: str | None = None
    messages: list[Message] = field(default_factory=list)
    """Messages to and from the model, including history."""
    tools: list[ToolCall] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    """Metrics of this run alone; `total_metrics` includes nested runs."""
    model: str | None = None
    """The requested model."""
    served_model: str | None = None
    """The model reported by the server, which may serve another one or add a version."""
    model_provider: str | None = None
    requirements: list[Requirement] = field(default_factory=list)
    """Requirements of all pauses, resolved and open."""
    nested_runs: list[RunOutput] = field(default_factory=list, compare=False)
    """Runs started by tools, members or steps, in order. If read from a store, only runs of the same session."""
    step_results: list[StepOutput] = field(default_factory=list)
    """For workflows: results of the steps, in the order in which they ended."""
    session_state: JsonDict = field(default_factory=dict)
    state_changes: list[JsonDict] = field(default_factory=list)
    """Changes of the session state during the run, each with `path`, `before` and `after`."""
    metadata: JsonDict | None = None
    error_type: str | None = None
    error: str | None = None
    origin: CellInfo = field(default_factory=CellInfo)
    variables: list[Variable] = field(default_factory=list)
    """Notebook variables inserted into the prompt."""
    context_report: ContextReport | None = None
    """The result of :meth:`context`."""
    events: list[RunOutputEvent] | None = field(default=None, compare=False, metadata=NOT_IN_DICTS)
    """The events so far, in order, if the agent has `store_events`; None for a run that was read from a store."""
    context_hash: str | None = None
    """SHA-256 in hex of everything that determines the answer: model, messages, tools, output schema, user."""
    replay_of_run_id: str | None = None
    """For a cached answer, the run that produced it; no model was called."""
    created_at: float = field(default_factory=now)
    """Unix seconds."""
    ended_at: float | None = None

    interrupted: bool = False
    """Whether the process died before the run ended. The status is then RUNNING."""
    is_reloaded: bool = field(default=False, compare=False)
    """Whether the run was read from a store. Its messages then don't include history."""

    def __post_init__(self) -> None:
        self.root_run_id = self.root_run_id or self.run_id

    agent_id = Alias[str | None]("component_id")
    agent_name = Alias[str | None]("component_name")
    member_responses = Alias[list["RunOutput"]]("nested_runs")
    workflow_id = Alias[str | None]("component_id")
    workflow_name = Alias[str | None]("component_name")
    team_id = Alias[str | None]("component_id")
    team_name = Alias[str | None]("component_name")
    step_executor_runs = Alias[list["RunOutput"]]("nested_runs")
    workflow_step_id = Alias[str | None]("step")

    @property
    def media(self) -> list[Media]:
        """Images and other media that tools returned. ``images``, ``audio``, ``videos`` and ``files`` have a part."""
        own = (message for message in self.messages if message.role == "tool" and not message.from_history)
        return [media for message in own for media in message.media]

    @property
    def is_cached(self) -> bool:
        """Whether the answer came from the response cache; for workflows, whether all agents' answers did."""
        model_runs = self._model_runs()
        return bool(model_runs) and all(run.replay_of_run_id is not None for run in model_runs)

    def _model_runs(self) -> list[RunOutput]:
        """Return this run or, for a workflow, the runs of its agents and teams."""
        if self.kind is not SessionType.WORKFLOW:
            return [self]
        return [run for nested in self.nested_runs for run in nested._model_runs()]

    @property
    def total_metrics(self) -> Metrics:
        """Tokens and cost of this run and all nested runs, with the times of this run."""
        # The cost of a run without model calls, for example of a workflow, is not unknown.
        has_model_calls = self.metrics != Metrics(duration_s=self.metrics.duration_s)
        total = Metrics.total(
            [*([self.metrics] if has_model_calls else []), *(nested.total_metrics for nested in self.nested_runs)]
        )
        total.duration_s, total.time_to_first_token_s = self.metrics.duration_s, self.metrics.time_to_first_token_s
        return total

    @property
    def forked_from_run_id(self) -> str | None:
        """For a run that ``continue_run()`` started from another one: that run."""
        return (self.metadata or {}).get("forked_from_run_id")

    @property
    def forked_from_message_index(self) -> int | None:
        """Number of messages of that run which it started from."""
        return (self.metadata or {}).get("forked_from_message_index")

    @property
    def regenerated_from(self) -> str | None:
        """For a run that answers another one again with ``continue_run(regenerate=True)``: that run."""
        return (self.metadata or {}).get("regenerated_from")

    @property
    def workflow_agent_run(self) -> RunOutput | None:
        """For workflows with a `WorkflowAgent`: the run of the agent."""
        is_workflow = self.kind is SessionType.WORKFLOW
        return next((run for run in self.nested_runs if is_workflow and run.step is None), None)

    @property
    def is_paused(self) -> bool:
        return self.status is RunStatus.PAUSED

    @property
    def pause_kind(self) -> PauseKind | None:
        """For paused workflows: what the first open requirement is about, a step or a call of a step's agent."""
        if not self.is_paused or not self.active_requirements:
            return None
        is_step = isinstance(self.active_requirements[0], StepRequirement)
        return PauseKind.STEP if is_step else PauseKind.EXECUTOR

    @property
    def has_completed(self) -> bool:
        """Whether the run has completed or failed."""
        return self.status in (RunStatus.COMPLETED, RunStatus.ERROR)

    @property
    def is_cancelled(self) -> bool:
        return self.status is RunStatus.CANCELLED

    def context(self) -> ContextReport | None:
        """Return the context report: the parts of the first request with sources and sizes, and omitted parts.

        None for runs without a request of their own: workflows, and runs that failed before it.
        """
        return self.context_report

    @property
    def active_requirements(self) -> list[Requirement]:
        """Requirements to resolve before the run can be continued."""
        return [requirement for requirement in self.requirements if not requirement.is_resolved]

    @property
    def tools_requiring_confirmation(self) -> list[ToolCall]:
        return [requirement.tool for requirement in self.requirements if requirement.needs_confirmation]

    @property
    def tools_requiring_user_input(self) -> list[ToolCall]:
        return [
            requirement.tool
            for requirement in self.requirements
            if requirement.needs_user_input or requirement.needs_user_feedback
        ]

    @property
    def tools_awaiting_external_execution(self) -> list[ToolCall]:
        return [requirement.tool for requirement in self.requirements if requirement.needs_external_execution]

    @property
    def step_requirements(self) -> list[StepRequirement | ExecutorRequirement]:
        """For workflows: the requirements of steps, and the paused agents and teams of steps with those of their calls.

        Failed steps are in `error_requirements`.
        """
        own = [each for each in self._steps_that_need_a_person() if each.purpose != "error"]
        calls: dict[str, list[Requirement]] = {}
        for each in self.active_requirements:
            if not isinstance(each, StepRequirement):
                calls.setdefault(each.run_id, []).append(each)
        return [*own, *(self._executor_requirement(run_id, requirements) for run_id, requirements in calls.items())]

    def _steps_that_need_a_person(self) -> list[StepRequirement]:
        return [each for each in self.requirements if isinstance(each, StepRequirement)]

    def _executor_requirement(self, run_id: str, requirements: list[Requirement]) -> ExecutorRequirement:
        # The call may be one of a team's member; its executor is the run of the step.
        nested = next((run for run in self.nested_runs if run.contains_run(run_id)), self)
        return ExecutorRequirement(
            step_name=last_name(nested.step or ""),
            step_id=nested.step or "",
            executor_name=nested.component_name,
            executor_type=nested.kind.value,
            executor_run_id=nested.run_id,
            executor_id=nested.component_id,
            executor_session_id=nested.session_id,
            executor_requirements=requirements,
        )

    def add_member_run(self, run: RunOutput) -> None:
        """Add the run of a member to `nested_runs`, if it is not there: agno's method."""
        if not any(nested.run_id == run.run_id for nested in self.nested_runs):
            self.nested_runs.append(run)

    def contains_run(self, run_id: str) -> bool:
        """Whether a run is this one or nested in it."""
        return self.run_id == run_id or any(nested.contains_run(run_id) for nested in self.nested_runs)

    @property
    def error_requirements(self) -> list[StepRequirement]:
        """For workflows: failed steps that a person decided about, or must decide about."""
        return [each for each in self._steps_that_need_a_person() if each.purpose == "error"]

    @property
    def steps_with_errors(self) -> list[StepRequirement]:
        return [each for each in self.error_requirements if each.needs_decision]

    active_error_requirements = steps_with_errors

    @property
    def active_step_requirements(self) -> list[StepRequirement | ExecutorRequirement]:
        return [each for each in self.step_requirements if not each.is_resolved]

    @property
    def steps_requiring_confirmation(self) -> list[StepRequirement]:
        return [each for each in self._steps_that_need_a_person() if each.needs_confirmation]

    @property
    def steps_requiring_user_input(self) -> list[StepRequirement]:
        return [each for each in self._steps_that_need_a_person() if each.needs_user_input]

    @property
    def steps_requiring_route(self) -> list[StepRequirement]:
        return [each for each in self._steps_that_need_a_person() if each.needs_route_selection]

    @property
    def steps_requiring_output_review(self) -> list[StepRequirement]:
        return [each for each in self._steps_that_need_a_person() if each.needs_output_review]

    @property
    def steps_requiring_executor_resolution(self) -> list[ExecutorRequirement]:
        return [each for each in self.step_requirements if isinstance(each, ExecutorRequirement)]

    @property
    def paused_step_name(self) -> str | None:
        """For paused workflows: the name of the first step that waits."""
        waiting = [*self.active_step_requirements, *self.steps_with_errors]
        return waiting[0].step_name if waiting else None

    @property
    def paused_step_index(self) -> int | None:
        """For paused workflows: the position of the first step that waits in the list of steps."""
        waiting = [each for each in self._steps_that_need_a_person() if not each.is_resolved]
        return waiting[0].step_index if waiting else None

    def share_requirements(self, nested: RunOutput) -> None:
        """Replace copies of a nested run's requirements with the originals, keeping the answers given here.

        Afterwards an answer set on either run, or on its tool calls, counts for both.
        """
        originals = {requirement.requirement_id: requirement for requirement in nested.requirements}
        for index, requirement in enumerate(self.requirements):
            original = originals.get(requirement.requirement_id)
            if original is not None and original is not requirement:
                original.copy_answer_from(requirement)
                self.requirements[index] = original

    def get_content_as_string(self) -> str:
        """Return the answer as text: strings unchanged, objects as JSON or else ``str()``, and "" if there is none."""
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
        except Exception:  # Tuples as keys, circular references, or any error of a user's class.
            return None

    def __repr__(self) -> str:
        content, status = brief(self.get_content_as_string()), "interrupted" if self.interrupted else self.status
        error = f", error={brief(self.error)}" if self.error else ""
        return f"RunOutput({status}, run_id={self.run_id!r}, session_id={self.session_id!r}, content={content}{error})"

    def to_dict(self) -> JsonDict:
        """Return the run as a dict that JSON can represent, without what is None, and without its context report."""
        kind = {"component_id": f"{self.kind.value}_id", "component_name": f"{self.kind.value}_name"}
        found = to_dict(self, leave_out=frozenset({"context_report"}))
        return found | {name: found[field] for field, name in kind.items() if field in found}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the run of a dict of :meth:`to_dict`. An object of an output schema stays a dict."""
        run = from_dict(cls, data)
        _share_calls(run)
        calls = {call.tool_call_id: call for call in run.tools}
        run.requirements = [
            _requirement_from_dict(each, calls if each["run_id"] == run.run_id else {})
            for each in data.get("requirements", ())
        ]
        return run


def _share_calls(run: RunOutput) -> None:
    """Use the calls in `tools` in the messages too, as in a run that was not copied."""
    left = [*run.tools]
    for message in run.messages:
        for place, written in enumerate(message.tool_calls):
            if (call := next((each for each in left if each == written), None)) is not None:
                message.tool_calls[place] = call
                left.remove(call)


def _requirement_from_dict(data: JsonDict, calls: Mapping[str, ToolCall]) -> Requirement:
    """Return a requirement of a run with the call of the run, so that an answer set on either counts for both."""
    tool_call_id = data["tool"]["tool_call_id"]
    cls = StepRequirement if StepRequirement.is_call_id(tool_call_id) else Requirement
    requirement = cls.from_dict(data)
    requirement.tool = calls.get(tool_call_id, requirement.tool)
    requirement.tool.approval_kind = requirement.kind
    return requirement


def current_attempts(runs: Iterable[RunOutput]) -> list[RunOutput]:
    """Return the current attempt at each turn, oldest first. Nested runs are not turns."""
    current: dict[int, RunOutput] = {}
    for run in runs:
        if run.run_index is not None and run.attempt >= current.get(run.run_index, run).attempt:
            current[run.run_index] = run
    return [current[index] for index in sorted(current)]


def completed_turns(runs: Iterable[RunOutput]) -> list[RunOutput]:
    """Return the current attempt at each turn if it completed, oldest first."""
    return [run for run in current_attempts(runs) if run.status is RunStatus.COMPLETED]
