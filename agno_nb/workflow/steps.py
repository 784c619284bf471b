"""Steps that contain steps: the base class of sequences, parallel steps, conditions, loops and routers.

A decision is stored as a step of its own, so that a continued run takes the same path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError, NestedRunPaused, leaves
from agno_nb.run.options import first_set
from agno_nb.run.runnable import Runnable
from agno_nb.types import RunEvent, StepKind, StepOutput, name_in_path, with_type
from agno_nb.workflow.execution import Node, WorkflowExecution
from agno_nb.workflow.human_review import HumanReview, takes_review_keywords
from agno_nb.workflow.step import Step
from agno_nb.workflow.types import StepInput, combine

StepLike = Any
"""An element of a list of steps: a Node, an agent, a team, a workflow, a function, or a list of them."""


def to_nodes(steps: StepLike, owner: str) -> list[Node]:
    """Convert steps to a list of nodes. Agents, teams and workflows without a name are `step_1`, `step_2` and so on.

    Raises
    ------
    InvalidInputError
        There are no steps, or an element is not a step.
    """
    items = list(steps) if isinstance(steps, Sequence) and not isinstance(steps, str) else [steps]
    if not items or steps is None:
        raise InvalidInputError(f"{owner} has no steps; pass a list of agents, teams, functions or steps")
    return [_to_node(each, owner, place) for place, each in enumerate(items, start=1)]


def _to_node(step: StepLike, owner: str, place: int) -> Node:
    if isinstance(step, Node):
        return step
    if isinstance(step, Runnable):
        # As agent=, team= or workflow=.
        return Step(name=step.name or f"step_{place}", **{step.kind.value: step})  # type: ignore[arg-type]
    if isinstance(step, list):
        return Steps(step)
    if callable(step):
        return Step(executor=step)
    raise InvalidInputError(
        f"{with_type(step)} cannot be a step of {owner}; pass an agent, team, workflow or step of agno_nb, "
        "or a function"
    )


def with_places(nodes: Sequence[Node], execution: WorkflowExecution) -> Iterator[tuple[Node, WorkflowExecution]]:
    """Yield each node with the execution at its path, which no other node has. A number is added to repeated names."""
    seen: Counter[str] = Counter()
    for index, node in enumerate(nodes):
        seen[node.name] += 1
        name = name_in_path(node.name)
        name = name if seen[node.name] == 1 else f"{name}#{seen[node.name]}"
        if not execution.path:
            execution.context.step_indexes[name] = index
        yield (
            node,
            replace(
                execution,
                path=f"{execution.path}/{name}" if execution.path else name,
                index=first_set(execution.index, index),
            ),
        )


async def run_sequence(nodes: Sequence[Node], step_input: StepInput, execution: WorkflowExecution) -> list[StepOutput]:
    """Run nodes in sequence, until one of them stops the workflow."""
    outputs: list[StepOutput] = []
    for node, place in with_places(nodes, execution):
        output = await node.run_step(step_input, place)
        outputs.append(output)
        if output.stop:
            break
        step_input = step_input.append(output)
    return outputs


def _has_paused(error: BaseException) -> bool:
    return any(isinstance(part, NestedRunPaused) for part in leaves(error))


@dataclass(eq=False, repr=False)
class StepGroup(Node):
    """Several steps under one name. Subclasses define how they run."""

    steps: StepLike
    name: str = ""
    description: str | None = None
    human_review: HumanReview | None = None
    """What a person decides about the group. Its settings can also be passed as keywords of the group."""
    _nodes: list[Node] = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.name or self.kind
        self._check_review()
        self.steps = self.steps if isinstance(self.steps, list | tuple) else [self.steps]
        self._nodes = to_nodes(self.steps, f"{self.kind} {self.name!r}")

    async def execute(self, step_input: StepInput, execution: WorkflowExecution, decision: Any = None) -> StepOutput:
        context, path = execution.context, execution.path
        context.emit(RunEvent[f"{self.kind}_started"], step=path)
        outputs = await self._run_children(step_input, execution, decision)
        output = combine(
            outputs, step_name=self.name, path=path, kind=self.kind, content=self._combined_content(outputs, step_input)
        )
        context.emit(RunEvent[f"{self.kind}_completed"], step=path, details={"step_results": outputs})
        return output

    @property
    def runnables(self) -> list[Runnable]:
        return [runnable for node in self._nodes for runnable in node.runnables]

    async def _run_children(
        self, step_input: StepInput, execution: WorkflowExecution, decision: Any = None
    ) -> list[StepOutput]:
        return await run_sequence(self._nodes, step_input, execution)

    def _combined_content(self, outputs: list[StepOutput], step_input: StepInput) -> Any:
        return first_set(*(output.content for output in reversed(outputs)), step_input.previous_step_content)

    async def _decide_once(self, decide: Callable[[], Any], execution: WorkflowExecution) -> Any:
        """Return the decision at a place; a continued run uses the stored one."""
        path, iteration = execution.path, execution.iteration
        if path in execution.completed:
            return execution.completed[path].content
        decided = StepOutput(await decide(), step_name=self.name, path=path, kind=self.kind, iteration=iteration)
        await execution.record(decided)
        return decided.content

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self._nodes!r})"


@takes_review_keywords
@suggest_on_unknown_kwarg({})
class Steps(StepGroup):
    """Several steps under one name, run in sequence."""

    kind: ClassVar[StepKind] = "steps"
