"""What came of the steps of a workflow."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Any, Literal

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.redact import displayable
from agno_nb.types.basics import brief, now


class StepStatus(StrEnum):
    """What has become of a step of a workflow."""

    COMPLETED = "COMPLETED"
    SKIPPED = "SKIPPED"
    """It failed, and the workflow went on without it."""
    ERROR = "ERROR"
    """It failed, and the workflow with it."""


StepKind = Literal["agent", "team", "workflow", "function", "parallel", "condition", "router", "loop", "steps"]


@suggest_on_unknown_kwarg({})
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
    created_at: float = field(default_factory=now, compare=False)
    """Unix seconds, of its beginning."""

    @property
    def step_run_id(self) -> str | None:
        """agno's name for `run_id`."""
        return self.run_id

    def __repr__(self) -> str:
        content = self.content if self.content is None or isinstance(self.content, str) else repr(self.content)
        return f"StepOutput({displayable(self.path or self.step_name or 'unnamed')}, {self.status}, {brief(content)})"
