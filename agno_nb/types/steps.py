"""Steps of workflows: their kinds, statuses and results."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Any, Literal

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.redact import displayable
from agno_nb.types.basics import Alias, JsonDict, brief, now
from agno_nb.types.dicts import DictMethods, to_dict


class StepStatus(StrEnum):
    """The status of a workflow step."""

    COMPLETED = "COMPLETED"
    SKIPPED = "SKIPPED"
    """The step failed or a person rejected it, and the workflow continued."""
    ERROR = "ERROR"
    """The step failed, and the workflow with it."""


StepKind = Literal["agent", "team", "workflow", "function", "parallel", "condition", "router", "loop", "steps"]


class StepType(StrEnum):
    """agno's names of the kinds of steps."""

    FUNCTION = "Function"
    STEP = "Step"
    STEPS = "Steps"
    LOOP = "Loop"
    PARALLEL = "Parallel"
    CONDITION = "Condition"
    ROUTER = "Router"
    WORKFLOW = "Workflow"


_KINDS: dict[str, StepKind] = {
    StepType.FUNCTION: "function",
    StepType.STEP: "function",
    StepType.STEPS: "steps",
    StepType.LOOP: "loop",
    StepType.PARALLEL: "parallel",
    StepType.CONDITION: "condition",
    StepType.ROUTER: "router",
    StepType.WORKFLOW: "workflow",
}
_STEP_TYPES: dict[str, StepType] = {kind: StepType(each) for each, kind in _KINDS.items() if kind != "function"}
"""The types by kind. Agents, teams and functions run in a Step."""


class ExecutorType(StrEnum):
    """What runs a step and can pause: agno's name for a part of :data:`StepKind`."""

    AGENT = "agent"
    TEAM = "team"
    WORKFLOW = "workflow"


class PauseKind(StrEnum):
    """What a paused workflow waits for: agno's name for the kind of its first open requirement."""

    STEP = "step"
    """A question about a step."""
    EXECUTOR = "executor"
    """A tool call of a step's agent or team."""


@suggest_on_unknown_kwarg({"step_run_id": "run_id", "step_id": "path", "executor_type": "kind", "step_type": "kind"})
@dataclass(slots=True, repr=False)
class StepOutput(DictMethods):
    """The result of a workflow step. Functions return one to set more than the content."""

    content: Any = None
    _: KW_ONLY
    success: bool = True
    """Whether the step succeeded. The workflow continues in any case; raise an exception to end it."""
    stop: bool = False
    """End the workflow after this step."""
    error: str | None = None
    """The error message."""
    step_name: str | None = None
    path: str = ""
    """Names from the outermost step to this one, with loop iterations, for example ``refine[1]/write``. See
    :func:`name_in_path`."""
    kind: StepKind = "function"
    """What ran: an agent, team, workflow or function, or the control structure of several steps."""
    executor_name: str | None = field(default=None, compare=False)
    """Name of the agent, team, workflow or function. Stores don't keep names of functions."""
    iteration: int | None = None
    """For a step in a loop: the iteration, from 0."""
    input: str = ""
    """The input of the step."""
    status: StepStatus = StepStatus.COMPLETED
    run_id: str | None = None
    """The run of the step's agent, team or workflow."""
    steps: list[StepOutput] = field(default_factory=list, compare=False)
    """The results of inner steps. Available in this process only; stores keep them as separate rows."""
    duration_s: float | None = None
    created_at: float = field(default_factory=now, compare=False)
    """Start of the step in Unix seconds."""

    def __post_init__(self) -> None:
        # A type of agno's, passed as `step_type`.
        self.kind = _KINDS.get(self.kind, self.kind)

    step_run_id = Alias[str | None]("run_id")
    step_id = Alias[str]("path")
    executor_type = Alias[StepKind]("kind")

    @property
    def step_type(self) -> StepType:
        """The kind of step that had the output, under agno's name."""
        return _STEP_TYPES.get(self.kind, StepType.STEP)

    def to_dict(self) -> JsonDict:
        """Return the output as a dict that JSON can represent, also with agno's names."""
        names = {"step_run_id": self.run_id, "step_id": self.path, "executor_type": self.kind}
        return {**to_dict(self), **names, "step_type": self.step_type.value}

    def __repr__(self) -> str:
        content = self.content if self.content is None or isinstance(self.content, str) else repr(self.content)
        return f"StepOutput({displayable(self.path or self.step_name or 'unnamed')}, {self.status}, {brief(content)})"


def name_in_path(name: str) -> str:
    """Return a name for a step's path, with what separates the parts of a path percent-encoded.

    Otherwise, a step whose path is another's would have its approval and its result.

    Examples
    --------
    >>> name_in_path("a/b"), name_in_path("C# [draft]"), name_in_path("write[1]")
    ('a%2Fb', 'C# [draft]', 'write%5B1]')
    """
    return _SEPARATOR.sub(lambda match: f"%{ord(match[0]):02X}", name)


def last_name(path: str) -> str:
    """Return the name at the end of a step's path.

    Examples
    --------
    >>> last_name("refine[1]/a%2Fb")
    'a/b'
    """
    return _ENCODED.sub(lambda match: chr(int(match[1], 16)), path.rpartition("/")[2])


def outermost_step(path: str) -> str:
    """Return the path of the step in the workflow's list of steps that the step at `path` is, or is part of.

    Examples
    --------
    >>> outermost_step("refine[1]/write"), outermost_step("write")
    ('refine', 'write')
    """
    return _INNER.split(path, maxsplit=1)[0]


_INNER = re.compile(r"/|\[(?=\d)")
_SEPARATOR = re.compile(r"/|[#\[](?=\d)|%(?=2F|23|5B|25)")
_ENCODED = re.compile(r"%(2F|23|5B|25)")
