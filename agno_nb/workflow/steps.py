"""Steps made of steps: in sequence, side by side, one way or the other, again and again, or as a function chooses.

What was chosen is stored as a step of its own, so that a run that is continued goes the same way.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError, NestedRunPaused, failed_save, leaves
from agno_nb.run.runnable import Runnable
from agno_nb.types import RunEvent, SessionType, StepKind, StepOutput
from agno_nb.workflow.step import Node, Step, WorkflowExecution, call_step_function
from agno_nb.workflow.types import StepInput, combine, flatten, merge_outputs

StepLike = Any
"""What may stand in a list of steps: a Node, an agent, a team, a workflow, a function, or a list of them."""


def to_nodes(steps: StepLike, owner: str) -> list[Node]:
    """Make what the user gave a list of nodes.

    Raises
    ------
    InvalidInputError
        There is none, or something is not a step.
    """
    items = list(steps) if isinstance(steps, Sequence) and not isinstance(steps, str) else [steps]
    if not items or steps is None:
        raise InvalidInputError(f"{owner} has no steps; give it a list of agents, teams, functions or steps")
    return [_to_node(each, owner) for each in items]


def _to_node(step: StepLike, owner: str) -> Node:
    if isinstance(step, Node):
        return step
    if isinstance(step, Runnable):
        match step.kind:
            case SessionType.AGENT:
                return Step(agent=step)
            case SessionType.TEAM:
                return Step(team=step)
            case SessionType.WORKFLOW:
                return Step(workflow=step)
    if isinstance(step, list):
        return Steps(step)
    if callable(step):
        return Step(executor=step)
    raise InvalidInputError(
        f"{step!r} cannot be a step of {owner}: give an agent, a team, a workflow, a function or a step"
    )


def _with_paths(nodes: Sequence[Node], parent_path: str) -> Iterator[tuple[Node, str]]:
    """Give each node its path; one whose name was there before is told apart by a number."""
    seen: Counter[str] = Counter()
    for node in nodes:
        seen[node.name] += 1
        name = node.name if seen[node.name] == 1 else f"{node.name}#{seen[node.name]}"
        yield node, f"{parent_path}/{name}" if parent_path else name


async def run_sequence(
    nodes: Sequence[Node], step_input: StepInput, execution: WorkflowExecution, parent_path: str, iteration: int | None
) -> list[StepOutput]:
    """Take one node after the other, until one says that the workflow ends."""
    outputs: list[StepOutput] = []
    for node, path in _with_paths(nodes, parent_path):
        output = await node.run_step(step_input, execution, path, iteration)
        outputs.append(output)
        if output.stop:
            break
        step_input = step_input.append(output)
    return outputs


def _has_paused(error: BaseException) -> bool:
    return any(isinstance(part, NestedRunPaused) for part in leaves(error))


def _last_content(outputs: Sequence[StepOutput], step_input: StepInput) -> Any:
    contents = [output.content for output in outputs if output.content is not None]
    return contents[-1] if contents else step_input.previous_step_content


@dataclass(eq=False, repr=False)
class StepGroup(Node):
    """Several steps under one name. Subclasses say how they are run."""

    steps: StepLike
    name: str = ""
    description: str | None = None
    _nodes: list[Node] = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.name or self.kind
        self.steps = self.steps if isinstance(self.steps, list | tuple) else [self.steps]
        self._nodes = to_nodes(self.steps, f"{self.kind} {self.name!r}")

    async def run_step(
        self, step_input: StepInput, execution: WorkflowExecution, path: str, iteration: int | None
    ) -> StepOutput:
        execution.context.emit(RunEvent[f"{self.kind}_started"], step=path)
        outputs = await self._run_children(step_input, execution, path, iteration)
        output = combine(
            outputs, step_name=self.name, path=path, kind=self.kind, content=self._combined_content(outputs, step_input)
        )
        execution.context.emit(RunEvent[f"{self.kind}_completed"], step=path)
        return output

    @property
    def runnables(self) -> list[Runnable]:
        return [runnable for node in self._nodes for runnable in node.runnables]

    async def _run_children(
        self, step_input: StepInput, execution: WorkflowExecution, path: str, iteration: int | None
    ) -> list[StepOutput]:
        return await run_sequence(self._nodes, step_input, execution, path, iteration)

    def _combined_content(self, outputs: list[StepOutput], step_input: StepInput) -> Any:
        return _last_content(outputs, step_input)

    async def _decide_once(
        self, decide: Callable[[], Any], execution: WorkflowExecution, path: str, iteration: int | None
    ) -> Any:
        """Return what was decided at a place, from the store where the run has been here before."""
        if path in execution.completed:
            return execution.completed[path].content
        decided = StepOutput(
            await decide(), step_name=self.name, path=path, kind=self.kind, iteration=iteration, duration_s=None
        )
        await execution.record(decided)
        return decided.content

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self._nodes!r})"


@suggest_on_unknown_kwarg({})
class Steps(StepGroup):
    """Several steps under one name, one after the other."""

    kind: ClassVar[StepKind] = "steps"


@suggest_on_unknown_kwarg({})
class Parallel(StepGroup):
    """Steps side by side, each with the same input.

    They share the session's state as all steps do: there is one dict, so no key is lost; what two of them set under the
    same key is what the later of them set. When one fails, the others are done to their end first. Its content is that
    of all of them, each under its name, in the order in which they are given.

    Parameters
    ----------
    *steps : Step, agent, team, workflow or function
    name : str, optional
    """

    kind: ClassVar[StepKind] = "parallel"

    def __init__(self, *steps: StepLike, name: str = "", description: str | None = None) -> None:
        super().__init__(list(steps), name, description)

    async def _run_children(
        self, step_input: StepInput, execution: WorkflowExecution, path: str, iteration: int | None
    ) -> list[StepOutput]:
        failures: list[BaseException] = []

        async def run_node(node: Node, place: str) -> StepOutput | None:
            try:
                return await node.run_step(step_input, execution, place, iteration)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                failures.append(error)
                return None

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run_node(node, place)) for node, place in _with_paths(self._nodes, path)]
        # A person is asked before a failure ends the run: what failed is tried again when it goes on. Only if a run
        # could not be stored, that comes first; the run can be continued all the same.
        for failure in sorted(failures, key=lambda error: (failed_save(error) is None, not _has_paused(error))):
            raise failure
        return [output for task in tasks if (output := task.result()) is not None]

    def _combined_content(self, outputs: list[StepOutput], step_input: StepInput) -> Any:
        return merge_outputs(output for output in outputs if output.content is not None)


@suggest_on_unknown_kwarg({})
class Condition(StepGroup):
    """Steps that are taken where a condition holds, and others where it does not.

    Parameters
    ----------
    evaluator : bool or callable
        A function, sync or async, of the :class:`StepInput` (and `session_state`, `run_context`, if it has parameters
        of these names).
    steps : list
        What is done if it holds.
    else_steps : list, optional
        What is done if it does not; nothing where not given.
    name : str, optional
    """

    kind: ClassVar[StepKind] = "condition"

    def __init__(
        self,
        evaluator: Callable[..., Any] | bool,
        steps: StepLike,
        else_steps: StepLike = None,
        *,
        name: str = "",
        description: str | None = None,
    ) -> None:
        super().__init__(steps, name, description)
        self.evaluator = evaluator
        self._else_nodes = to_nodes(else_steps, f"else_steps of condition {self.name!r}") if else_steps else []

    @property
    def runnables(self) -> list[Runnable]:
        return [*super().runnables, *(runnable for node in self._else_nodes for runnable in node.runnables)]

    async def _run_children(
        self, step_input: StepInput, execution: WorkflowExecution, path: str, iteration: int | None
    ) -> list[StepOutput]:
        async def evaluate() -> bool:
            if not callable(self.evaluator):
                return bool(self.evaluator)
            return bool(await call_step_function(self.evaluator, step_input, execution.context))

        is_true = await self._decide_once(evaluate, execution, path, iteration)
        return await run_sequence(self._nodes if is_true else self._else_nodes, step_input, execution, path, iteration)


@suggest_on_unknown_kwarg({})
class Router(StepGroup):
    """Steps of which a function chooses some.

    Parameters
    ----------
    selector : callable
        A function, sync or async, of the :class:`StepInput` (and `session_state`, `run_context`). It returns one of the
        choices, the name of one, or a list of them, which are taken one after the other.
    choices : list
        The steps that it chooses from.
    name : str, optional
    """

    kind: ClassVar[StepKind] = "router"

    def __init__(
        self, selector: Callable[..., Any], choices: StepLike, *, name: str = "", description: str | None = None
    ) -> None:
        super().__init__(choices, name, description)
        self.selector = selector
        duplicates = [each for each, count in Counter(node.name for node in self._nodes).items() if count > 1]
        if duplicates:
            raise InvalidInputError(
                f"router {self.name!r} has two choices called {duplicates[0]!r}; give one another name"
            )

    async def _run_children(
        self, step_input: StepInput, execution: WorkflowExecution, path: str, iteration: int | None
    ) -> list[StepOutput]:
        async def select() -> list[str]:
            chosen = await call_step_function(self.selector, step_input, execution.context)
            return [self._choice_name(each) for each in (chosen if isinstance(chosen, list) else [chosen])]

        names = await self._decide_once(select, execution, path, iteration)
        by_name = {node.name: node for node in self._nodes}
        unknown = [name for name in names if name not in by_name]
        if unknown:
            raise InvalidInputError(f"router {self.name!r} has no choice {unknown[0]!r}; it has {', '.join(by_name)}")
        return await run_sequence([by_name[name] for name in names], step_input, execution, path, iteration)

    def _choice_name(self, chosen: Any) -> str:
        if isinstance(chosen, str):
            return chosen
        for node, choice in zip(self._nodes, self.steps, strict=True):
            if chosen is node or chosen is choice:
                return node.name
        # A step that the selector made for itself is the choice of its name.
        return chosen.name if isinstance(chosen, Node) else repr(chosen)


@suggest_on_unknown_kwarg({})
class Loop(StepGroup):
    """Steps that are taken again and again, each time with what the time before gave.

    Parameters
    ----------
    steps : list
    max_iterations : int, optional
    end_condition : callable, optional
        A function, sync or async, of the list of outputs of one time round (and `session_state`, `run_context`). The
        loop ends when it returns true.
    name : str, optional
    """

    kind: ClassVar[StepKind] = "loop"

    def __init__(
        self,
        steps: StepLike,
        *,
        max_iterations: int = 3,
        end_condition: Callable[..., Any] | None = None,
        name: str = "",
        description: str | None = None,
    ) -> None:
        super().__init__(steps, name, description)
        if not isinstance(max_iterations, int) or max_iterations < 1:
            raise InvalidInputError(f"max_iterations of loop {self.name!r} is {max_iterations!r}; give 1 or more")
        self.max_iterations, self.end_condition = max_iterations, end_condition

    async def _run_children(
        self, step_input: StepInput, execution: WorkflowExecution, path: str, iteration: int | None
    ) -> list[StepOutput]:
        outputs: list[StepOutput] = []
        for iteration_index in range(self.max_iterations):
            place = f"{path}[{iteration_index}]"
            execution.context.emit(RunEvent.loop_iteration_started, step=place)
            latest = await run_sequence(self._nodes, step_input, execution, place, iteration_index)
            outputs += latest
            for output in latest:
                step_input = step_input.append(output)

            async def should_continue(latest: list[StepOutput] = latest) -> bool:
                if self.end_condition is None:
                    return True
                outputs = [each for output in latest for each in flatten(output)]
                return not await call_step_function(self.end_condition, outputs, execution.context)

            stops = any(output.stop for output in latest)
            is_last = (
                stops
                or iteration_index + 1 == self.max_iterations
                or not await self._decide_once(should_continue, execution, place, iteration_index)
            )
            execution.context.emit(RunEvent.loop_iteration_completed, step=place)
            if is_last:
                break
        return outputs
