"""The domain of agno_nb as plain values. This module imports nothing of ours but the errors, and does no I/O.

One rule: a value is complete when it is made. Only :class:`RunOutput` and :class:`ToolCall` change while a run goes
on, and only the pipeline (:mod:`agno_nb.run`) changes them; a :class:`Requirement` changes when a person answers it.

It is one file, although a long one, because a domain is understood only as a whole.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from agno_nb.receipt import ContextReceipt

from agno_nb.errors import InvalidInputError

Role = Literal["system", "user", "assistant", "tool"]
JsonDict = dict[str, Any]


def new_id() -> str:
    """Make a text id that sorts by time of creation (UUID version 7, RFC 9562 section 5.7).

    Returns
    -------
    str
        36 characters, lower case.
    """
    milliseconds = time.time_ns() // 1_000_000
    bits = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    bits = bits & ~(0xF << 76) | 7 << 76
    bits = bits & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=bits))


class SessionType(StrEnum):
    """The three kinds of session, and so of whatever runs in one."""

    AGENT = "agent"
    TEAM = "team"
    WORKFLOW = "workflow"


class RunStatus(StrEnum):
    """What has become of a run. Always one of these five, in the store too."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    PAUSED = "PAUSED"
    CANCELLED = "CANCELLED"
    ERROR = "ERROR"


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
    memory_update_completed = "MemoryUpdateCompleted"


@dataclass(slots=True, kw_only=True, repr=False)
class Metrics:
    """Tokens, money and time of one model call, of a run, or of a session.

    Counts are None when the server did not report them, and `cost` is None when the price of any part is unknown:
    unknown is never written as 0.
    """

    input_tokens: int | None = None
    """Everything that was sent, the cached part included."""
    output_tokens: int | None = None
    """Everything that came back, reasoning included."""
    cache_read_tokens: int | None = None
    """The part of `input_tokens` that the provider had cached."""
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    """The part of `output_tokens` that was reasoning."""
    cost: float | None = None
    """US dollars."""
    time_to_first_token_s: float | None = None
    duration_s: float | None = None

    @property
    def total_tokens(self) -> int | None:
        return _sum_known([self.input_tokens, self.output_tokens])

    @property
    def time_to_first_token(self) -> float | None:
        """agno's name for `time_to_first_token_s`."""
        return self.time_to_first_token_s

    @property
    def duration(self) -> float | None:
        """agno's name for `duration_s`."""
        return self.duration_s

    @classmethod
    def total(cls, parts: Iterable[Metrics]) -> Metrics:
        """Add up the tokens and money of `parts`.

        Tokens are the sum of what was reported. The cost is known only if every part's is. Times do not add up
        (parts may overlap), so they are left to the caller.
        """
        parts = list(parts)
        counts = {name: _sum_known(getattr(part, name) for part in parts) for name in TOKEN_COUNTS}
        costs = [part.cost for part in parts]
        known = bool(costs) and None not in costs
        return cls(**counts, cost=sum(cost for cost in costs if cost is not None) if known else None)

    def __repr__(self) -> str:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return f"Metrics({', '.join(f'{name}={value:.6g}' for name, value in values.items() if value is not None)})"


TOKEN_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def _brief(text: str | None) -> str:
    return repr(text if text is None or len(text) <= 60 else text[:59] + "…")


def _sum_known(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


@dataclass(slots=True, kw_only=True)
class ToolSpec:
    """A tool as the model is told of it."""

    name: str
    description: str
    parameters: JsonDict
    """JSON schema of the arguments, an object."""


@dataclass(slots=True, kw_only=True, repr=False)
class ToolCall:
    """One call that the model asked for, and what came of it."""

    tool_call_id: str
    """Unique within its run: the provider's id where it gave a usable one."""
    tool_name: str
    arguments: str = "{}"
    """The arguments as JSON text, exactly as the model wrote them (they need not be valid)."""
    result: str | None = None
    """What the model was told. None while the call has not ended."""
    value: Any = None
    """The object that the tool returned. It lives in this process only and is never stored."""
    tool_call_error: bool = False
    """Whether the tool failed, was refused or got arguments that it does not take."""
    extra: JsonDict | None = None
    """What the provider wants back with this call (Gemini's thought signatures, say), untouched."""
    created_at: float = field(default_factory=time.time)
    duration_s: float | None = None

    @property
    def tool_args(self) -> JsonDict:
        """The arguments as a dict; empty when `arguments` is not a JSON object."""
        try:
            parsed = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError):
            return {}
        return parsed if isinstance(parsed, dict) else {}

    def __repr__(self) -> str:
        return f"ToolCall({self.tool_name}({_brief(self.arguments)}) -> {_brief(self.result)})"


@dataclass(slots=True, kw_only=True)
class UserInputField:
    """One value that a person has to give before a tool can be called."""

    name: str
    """The tool's parameter."""
    description: str = ""
    schema: JsonDict = field(default_factory=dict)
    """JSON schema of the value."""
    value: Any = None
    """What was given."""
    is_given: bool = False

    @property
    def field_type(self) -> str:
        """The JSON type of the value, as in "string"; "any" where the schema does not say one."""
        said = self.schema.get("type")
        return said if isinstance(said, str) else "any"

    def give(self, value: Any) -> None:
        """Set the value.

        Raises
        ------
        InvalidInputError
            It is not what the schema asks for.
        """
        import jsonschema

        validator = jsonschema.validators.validator_for(self.schema)(self.schema)
        problem = next(validator.iter_errors(value), None)
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise InvalidInputError(f"{self.name} is {value!r}, which JSON cannot hold; give it as text") from None
        if problem is not None:
            raise InvalidInputError(f"{self.name} is {value!r}, and that is not what is asked for: {problem.message}")
        self.value, self.is_given = value, True


Need = Literal["confirmation", "user_input", "external_execution"]
"""What a tool may need of a person: leave, values for some of its arguments, or that they do the work."""


@dataclass(slots=True, kw_only=True, repr=False)
class Requirement:
    """What a paused run needs of a person before one of its tool calls can go on.

    It is resolved by :meth:`confirm` or :meth:`reject`, by :meth:`provide_user_input`, or by
    :meth:`set_external_execution_result`, whichever `kind` asks for; then the run is continued.
    """

    kind: Need
    tool: ToolCall
    """The call that waits, with its exact arguments."""
    run_id: str
    """The run that the call belongs to: the paused one, or one nested in it."""
    component_name: str | None = None
    """Who asks."""
    user_input_fields: list[UserInputField] = field(default_factory=list)
    """Of "user_input": what has to be given."""
    confirmed: bool | None = None
    """Of any kind: False when it was refused. Of "confirmation": True when it was allowed."""
    note: str | None = None
    """Why it was allowed or refused. Of a refusal the model is told."""
    result: str | None = None
    """Of "external_execution": what came of the call, as the model is told."""
    requirement_id: str = field(default_factory=new_id)

    def confirm(self, note: str | None = None) -> None:
        """Allow the call, with exactly these arguments.

        Parameters
        ----------
        note : str, optional
            Why. It is stored, and the model is not told.

        Raises
        ------
        InvalidInputError
            It is not leave that is asked for, or the call was answered already and the run went on.
        """
        self._answers("confirmation", "confirm()")
        self.confirmed, self.note = True, note

    def reject(self, note: str | None = None) -> None:
        """Refuse the call, whatever it needs.

        Parameters
        ----------
        note : str, optional
            Why: the model is told.

        Raises
        ------
        InvalidInputError
            The call was answered already and the run went on.
        """
        self._answers(self.kind, "reject()")
        self.confirmed, self.note = False, note

    def provide_user_input(self, values: Mapping[str, Any]) -> None:
        """Give values that are asked for: all of them, or some now and some later.

        Raises
        ------
        InvalidInputError
            A name is not asked for, or a value is not what its schema says. Nothing was set.
        """
        self._answers("user_input", "provide_user_input()")
        asked = {each.name: each for each in self.user_input_fields}
        unknown = [name for name in values if name not in asked]
        if unknown:
            raise InvalidInputError(f"{self} does not ask for {unknown[0]!r}; it asks for {', '.join(asked)}")
        given = {name: replace(asked[name]) for name in values}
        for name, value in values.items():
            given[name].give(value)
        self.user_input_fields = [given.get(each.name, each) for each in self.user_input_fields]
        self.confirmed = None

    def set_external_execution_result(self, result: str) -> None:
        """Tell what came of the call, which you have carried out yourself.

        Parameters
        ----------
        result : str
            What the model is told.

        Raises
        ------
        InvalidInputError
            The call is not one that you carry out, or `result` is not text.
        """
        self._answers("external_execution", "set_external_execution_result()")
        if not isinstance(result, str):
            raise InvalidInputError(f"the result of {self} is told to the model, so it must be text, not {result!r}")
        self.result, self.confirmed = result, None

    def take_answer(self, other: Requirement) -> None:
        """Answer as `other` was answered, which is the same requirement read at another time."""
        self.confirmed, self.note, self.result = other.confirmed, other.note, other.result
        self.user_input_fields = other.user_input_fields

    def _answers(self, kind: Need, method: str) -> None:
        if self.kind != kind:
            raise InvalidInputError(
                f"{self} needs {self.kind.replace('_', ' ')}, which {method} does not give; use {_ANSWERS[self.kind]}"
            )
        if self.tool.result is not None:
            raise InvalidInputError(f"{self} was answered already, and the run went on; it cannot be answered again")

    @property
    def is_resolved(self) -> bool:
        """Whether everything that it asks for was given."""
        if self.confirmed is False or self.tool.result is not None:
            return True
        if self.kind == "confirmation":
            return self.confirmed is True
        if self.kind == "user_input":
            return all(each.is_given for each in self.user_input_fields)
        return self.result is not None

    @property
    def needs_confirmation(self) -> bool:
        return self.kind == "confirmation" and not self.is_resolved

    @property
    def needs_user_input(self) -> bool:
        return self.kind == "user_input" and not self.is_resolved

    @property
    def needs_external_execution(self) -> bool:
        return self.kind == "external_execution" and not self.is_resolved

    @property
    def id(self) -> str:
        """agno's name for `requirement_id`."""
        return self.requirement_id

    @property
    def tool_execution(self) -> ToolCall:
        """agno's name for `tool`."""
        return self.tool

    @property
    def confirmation(self) -> bool | None:
        """agno's name for `confirmed`."""
        return self.confirmed

    @property
    def confirmation_note(self) -> str | None:
        """agno's name for `note`."""
        return self.note

    @property
    def user_input_schema(self) -> list[UserInputField]:
        """agno's name for `user_input_fields`."""
        return self.user_input_fields

    @property
    def external_execution_result(self) -> str | None:
        """agno's name for `result`."""
        return self.result

    @property
    def short_id(self) -> str:
        """The end of `requirement_id`, by which people can name it."""
        return self.requirement_id[-6:]

    @property
    def question(self) -> str:
        """What is asked, in words. The arguments in it are the model's, exactly as it wrote them."""
        asker, called = self.component_name or "The agent", f"{self.tool.tool_name}({self.tool.arguments})"
        if self.kind == "confirmation":
            return f"{asker} asks to call {called}"
        if self.kind == "external_execution":
            return f"{asker} asks you to carry out {called} and to tell what came of it"
        lines = [
            f"  {each.name} ({each.field_type})" + (f": {each.description}" if each.description else "")
            for each in self.user_input_fields
            if not each.is_given
        ]
        return "\n".join([f"{asker} asks for values to call {called} with:", *lines])

    def __str__(self) -> str:
        return f"requirement {self.requirement_id} ({self.tool.tool_name} of {self.component_name or 'the run'})"

    def __repr__(self) -> str:
        state = "resolved" if self.is_resolved else "open"
        return f"Requirement({self.kind}, {self.tool.tool_name}({_brief(self.tool.arguments)}), {state})"


_ANSWERS: dict[Need, str] = {
    "confirmation": "confirm() or reject()",
    "user_input": "provide_user_input({...}) or reject()",
    "external_execution": "set_external_execution_result(...) or reject()",
}


@dataclass(slots=True, kw_only=True, repr=False)
class Media:
    """An image, sound or file that is part of a message. It is given by exactly one of `url` and `content`.

    The classes that users make are in :mod:`agno_nb.media`.
    """

    kind: Literal["image", "audio", "video", "file"]
    url: str | None = None
    content: bytes | None = None
    mime_type: str | None = None
    filename: str | None = None
    detail: str | None = None
    """Of an image: how closely the model should look: "low", "high" or "auto"."""

    def __repr__(self) -> str:
        what = _brief(self.url) if self.url else f"{len(self.content or b'')} bytes"
        return f"Media({self.kind}, {what}, {self.mime_type})"


@dataclass(slots=True, kw_only=True, repr=False)
class Message:
    """One message to or from the model."""

    role: Role
    content: str | None = None
    """The text. None for an assistant message that only calls tools."""
    reasoning_content: str | None = None
    """What the model said it was thinking, where the provider tells."""
    media: list[Media] = field(default_factory=list)
    """Of a user message: what the user sent with the text."""
    tool_calls: list[ToolCall] = field(default_factory=list)
    """Of an assistant message: the calls it asks for, in its order."""
    tool_call_id: str | None = None
    """Of a tool message: the call that it answers."""
    tool_name: str | None = None
    tool_call_error: bool = False
    message_id: str = field(default_factory=new_id)
    run_id: str | None = None
    """The run in which the message was first said."""
    from_history: bool = False
    """Whether the message was said in an earlier run and is here as context. Such messages are not stored again."""
    finish_reason: str | None = None
    """Of an assistant message: why the model stopped, in the provider's word; "interrupted" when we cut it off."""
    model: str | None = None
    """Of an assistant message: the model that the server says it used."""
    metrics: Metrics | None = None
    """Of an assistant message: its model call. Of a tool message: `duration_s` of the tool."""
    provider_data: JsonDict | None = None
    """Raw items that this provider wants back in later requests (reasoning items, say), untouched."""
    created_at: float = field(default_factory=time.time)
    """Unix seconds."""

    def __repr__(self) -> str:
        calls = f", tool_calls={self.tool_calls!r}" if self.tool_calls else ""
        history = ", from_history=True" if self.from_history else ""
        return f"Message({self.role}, {_brief(self.content)}{calls}{history})"


class StepStatus(StrEnum):
    """What has become of a step of a workflow."""

    COMPLETED = "COMPLETED"
    SKIPPED = "SKIPPED"
    """It failed, and the workflow went on without it."""
    ERROR = "ERROR"
    """It failed, and the workflow with it."""


StepKind = Literal["agent", "team", "workflow", "function", "parallel", "condition", "router", "loop", "steps"]


@dataclass(slots=True, repr=False)
class StepOutput:
    """What came of a step of a workflow. Functions return one to say more than their content."""

    content: Any = None
    _: KW_ONLY
    success: bool = True
    """Whether the step did what it is there for. The workflow goes on in any case; raise an exception to end it."""
    stop: bool = False
    """End the workflow after this step."""
    error: str | None = None
    """What went wrong."""
    step_name: str | None = None
    path: str = ""
    """Names from the outermost step to this one, with the iterations of loops, as in ``refine[1]/write``."""
    kind: StepKind = "function"
    """What did the step, or of several steps, what chose among them."""
    iteration: int | None = None
    """Of a step in a loop: which time round, from 0."""
    input: str = ""
    """What the step was given."""
    status: StepStatus = StepStatus.COMPLETED
    run_id: str | None = None
    """The run of the agent, team or workflow that did it."""
    steps: list[StepOutput] = field(default_factory=list, compare=False)
    """Of several steps: what came of each. In this process only; in a store they are rows of their own."""
    duration_s: float | None = None
    created_at: float = field(default_factory=time.time, compare=False)
    """Unix seconds, of its beginning."""

    @property
    def step_run_id(self) -> str | None:
        """agno's name for `run_id`."""
        return self.run_id

    def __repr__(self) -> str:
        content = self.content if self.content is None or isinstance(self.content, str) else repr(self.content)
        return f"StepOutput({self.path or self.step_name or 'unnamed'}, {self.status}, {_brief(content)})"


@dataclass(slots=True, kw_only=True, frozen=True)
class Origin:
    """Where in a notebook a run was asked for, as far as the front end tells."""

    notebook: str | None = None
    """Absolute path of the notebook."""
    cell_id: str | None = None
    execution_count: int | None = None
    cell_hash: str | None = None
    """First 16 hex digits of the SHA-256 of the cell's source."""
    kernel_id: str | None = None
    """The Jupyter server's id of the kernel."""


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
    metadata: JsonDict | None = None
    error_type: str | None = None
    error: str | None = None
    origin: Origin = field(default_factory=Origin)
    variables: list[Variable] = field(default_factory=list)
    """What of the notebook was put into the prompt."""
    receipt: ContextReceipt | None = None
    """Of what the model was sent. :meth:`context` is how to ask for it."""
    context_hash: str | None = None
    """SHA-256, in hex, of everything that decides the answer: model, messages, tools, output schema, user."""
    replay_of_run_id: str | None = None
    """The run whose stored answer this is, where no model was asked."""
    created_at: float = field(default_factory=time.time)
    """Unix seconds."""
    ended_at: float | None = None

    interrupted: bool = False
    """Whether the process died before the run ended. The status is RUNNING then."""

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
    def total_metrics(self) -> Metrics:
        """Tokens and cost of this run and of all runs nested in it, each counted once; the times are this run's."""
        # A run without a model call of its own (a workflow's, say) has no cost that could be unknown.
        asked = self.metrics != Metrics(duration_s=self.metrics.duration_s)
        total = Metrics.total(
            [*([self.metrics] if asked else []), *(nested.total_metrics for nested in self.nested_runs)]
        )
        total.duration_s, total.time_to_first_token_s = self.metrics.duration_s, self.metrics.time_to_first_token_s
        return total

    @property
    def is_paused(self) -> bool:
        return self.status is RunStatus.PAUSED

    @property
    def is_cancelled(self) -> bool:
        return self.status is RunStatus.CANCELLED

    def context(self) -> ContextReceipt | None:
        """Return what the model was sent: each part with its source and size, and what was left out and why.

        None of a run that sent nothing to a model itself: that of a workflow, or one that failed before.
        """
        return self.receipt

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

    def get_content_as_string(self) -> str:
        """Return the answer as text: as it is, as JSON where it is an object, and "" where there is none."""
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        if hasattr(self.content, "model_dump_json"):
            return str(self.content.model_dump_json())
        return json.dumps(self.content, ensure_ascii=False, default=str)

    def __repr__(self) -> str:
        content = _brief(self.get_content_as_string())
        return f"RunOutput({self.status}, run_id={self.run_id!r}, session_id={self.session_id!r}, content={content})"


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
    """Of RunContent: the piece of text that is new. Of the final event: the whole. Of a retry and of a fallback: what
    happened, as a sentence."""
    reasoning_content: str | None = None
    """Of RunContent: the piece of reasoning that is new."""
    tool: ToolCall | None = None
    """Of ToolCall events."""
    step: str | None = None
    """Of a step's events, and of those of the runs that it began: the step's path."""
    details: JsonDict | None = None
    """Of a retry and of a fallback: what `content` says, as values."""
    run_output: RunOutput | None = None
    """Of the event that ends a run."""

    @property
    def is_final(self) -> bool:
        return self.run_output is not None


@dataclass(slots=True, kw_only=True)
class Spending:
    """What models were paid for."""

    tokens: int = 0
    """Sent and come back."""
    usd: float = 0.0
    num_unpriced: int = 0
    """How many runs, summaries and other work have a price that is not known. It is not in `usd`."""

    def __add__(self, other: Spending) -> Spending:
        return Spending(
            tokens=self.tokens + other.tokens,
            usd=self.usd + other.usd,
            num_unpriced=self.num_unpriced + other.num_unpriced,
        )


class SessionReader(Protocol):
    """What a :class:`Session` loads its rows from: any store."""

    def get_messages(self, session_id: str) -> list[Message]: ...

    def get_runs(self, session_id: str) -> list[RunOutput]: ...

    def get_session_metrics(self, session_id: str) -> Metrics: ...

    def get_summary(self, session_id: str) -> SessionSummary | None: ...


@dataclass(slots=True, kw_only=True)
class SessionSummary:
    """A condensed version of a session up to some run. Every version is kept."""

    summary: str
    topics: list[str] = field(default_factory=list)
    session_id: str | None = None
    version: int | None = None
    """From 0, in the order of making. The store counts."""
    from_run_index: int | None = None
    """The first turn that it covers."""
    to_run_index: int | None = None
    """The last turn that it covers."""
    model: str | None = None
    """The model that wrote it."""
    model_provider: str | None = None
    metrics: Metrics = field(default_factory=Metrics)
    """What writing it took. These tokens are not among the session's runs."""
    updated_at: float = field(default_factory=time.time)
    """Unix seconds."""

    def __str__(self) -> str:
        return self.summary


@dataclass(slots=True, kw_only=True)
class UserMemory:
    """A fact about a user, across sessions."""

    memory: str
    topics: list[str] = field(default_factory=list)
    user_id: str | None = None
    """Whose it is. The store keeps no memory of nobody."""
    memory_id: str = field(default_factory=new_id)
    input: str | None = None
    """What the user said when it was learnt."""
    component_id: str | None = None
    """Id of the agent, team or workflow that learnt it."""
    created_at: float = field(default_factory=time.time)
    """Unix seconds."""
    updated_at: float = field(default_factory=time.time)
    """Unix seconds."""


@dataclass(kw_only=True, repr=False)
class Session:
    """One conversation thread.

    `runs`, `messages`, `metrics` and `summary` are read from the store when first touched.
    """

    session_id: str
    user_id: str | None = None
    """The owner; None while nobody has claimed it."""
    session_type: SessionType = SessionType.AGENT
    session_name: str | None = None
    component_id: str | None = None
    """Id of the agent, team or workflow that began it."""
    session_state: JsonDict = field(default_factory=dict)
    metadata: JsonDict | None = None
    forked_from_session_id: str | None = None
    forked_from_run_id: str | None = None
    """The last run of that session which this one has a copy of."""
    created_at: int = 0
    """Unix seconds."""
    updated_at: int = 0
    """Unix seconds, of the last run or change."""
    store: SessionReader | None = field(default=None, compare=False)
    """Where the rows are read from."""

    @cached_property
    def runs(self) -> list[RunOutput]:
        """All runs, oldest first, superseded attempts and nested runs included."""
        return self.store.get_runs(self.session_id) if self.store else []

    @cached_property
    def messages(self) -> list[Message]:
        """All messages of the current attempt of every turn, oldest first."""
        return self.store.get_messages(self.session_id) if self.store else []

    @cached_property
    def metrics(self) -> Metrics:
        """Tokens and cost of all runs, superseded ones included: they were paid for."""
        return self.store.get_session_metrics(self.session_id) if self.store else Metrics()

    @cached_property
    def summary(self) -> SessionSummary | None:
        """The latest summary, or None."""
        return self.store.get_summary(self.session_id) if self.store else None

    def __repr__(self) -> str:
        name = f", session_name={self.session_name!r}" if self.session_name else ""
        return f"{type(self).__name__}(session_id={self.session_id!r}, user_id={self.user_id!r}{name})"


class AgentSession(Session):
    """A session of an agent."""


class TeamSession(Session):
    """A session of a team."""


class WorkflowSession(Session):
    """A session of a workflow."""

    def get_workflow_history(self, num_runs: int | None = None) -> list[tuple[str, str]]:
        """Return input and output of the completed runs, oldest first, or of the latest `num_runs` of them."""
        attempts = sorted(self.runs, key=lambda run: run.attempt)
        turns = {run.run_index: run for run in attempts if run.run_index is not None}
        done = [run for _, run in sorted(turns.items()) if run.status is RunStatus.COMPLETED]
        shown = done if num_runs is None else done[len(done) - min(max(num_runs, 0), len(done)) :]
        return [(run.input, run.get_content_as_string()) for run in shown]


SESSION_CLASSES: dict[SessionType, type[Session]] = {
    SessionType.AGENT: AgentSession,
    SessionType.TEAM: TeamSession,
    SessionType.WORKFLOW: WorkflowSession,
}
