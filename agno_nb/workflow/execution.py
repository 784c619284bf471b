"""A workflow's run in progress, and the base class of the elements that run in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from agno_nb.run.context import RunContext
from agno_nb.run.runnable import Runnable
from agno_nb.types import OnReject, StepKind, StepOutput
from agno_nb.workflow.human_review import HumanReview, run_reviewed
from agno_nb.workflow.types import StepInput, WorkflowExecutionInput

if TYPE_CHECKING:
    from agno_nb.workflow.workflow import Workflow


@dataclass(frozen=True, kw_only=True)
class WorkflowExecution:
    """A workflow's run in progress, at one of its steps."""

    context: RunContext
    workflow: Workflow
    execution_input: WorkflowExecutionInput
    add_history: bool
    """Whether steps get the session's earlier runs by default."""
    num_history_runs: int
    completed: Mapping[str, StepOutput]
    """Results by path of the steps that are not run again if the run is continued."""
    path: str = ""
    """Path of the step; "" for the workflow itself."""
    index: int | None = None
    """Position of the step, or of the group around it, in the workflow's list of steps."""
    iteration: int | None = None
    """Iteration of the innermost loop around the step."""

    async def record(self, output: StepOutput) -> None:
        """Store the result of a step with the state that it left."""
        await self.context.recorder.save_step(output, self.context.session_state, self.context.turn.recorder)


class Node(ABC):
    """An element of a workflow's list of steps."""

    kind: ClassVar[StepKind]
    name: str
    human_review: HumanReview | None = None
    """What a person decides about the step."""
    supported_reviews: ClassVar[frozenset[str]] = frozenset({"confirmation"})
    is_group: ClassVar[bool] = True
    takes_else: ClassVar[bool] = False
    default_on_reject: ClassVar[OnReject] = OnReject.skip

    async def run_step(self, step_input: StepInput, execution: WorkflowExecution) -> StepOutput:
        """Run the step and return its result; if `execution` has completed it, return the stored result."""
        if self.human_review is None:
            return await self.execute(step_input, execution)
        return await run_reviewed(self, step_input, execution)

    @abstractmethod
    async def execute(self, step_input: StepInput, execution: WorkflowExecution, decision: Any = None) -> StepOutput:
        """Run the step without its human review. A group uses `decision` if a person made it."""

    @property
    @abstractmethod
    def runnables(self) -> list[Runnable]:
        """The agents, teams and workflows of the step."""

    @property
    def output_kind(self) -> StepKind:
        """The kind of the step's results."""
        return self.kind

    @property
    def step_type(self) -> str:
        """agno's name of the kind of step, for example "Step" or "Router"."""
        return type(self).__name__

    @property
    def selectable(self) -> list[str]:
        """The routes that a person can choose from."""
        return []

    def decision_of(self, answer: Any) -> Any:
        """Return the decision of a group that a person's answer makes."""
        return None

    def _check_review(self) -> None:
        if self.human_review is not None:
            self.human_review.check(f"{self.step_type} {self.name!r}", self.supported_reviews)
