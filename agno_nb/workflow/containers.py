"""Steps made of steps: in sequence, side by side, one way or the other, again and again, or as a function chooses.

What was chosen is stored as a step of its own, so that a run that is continued goes the same way.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from agno_nb._keywords import forgiving
from agno_nb.errors import InvalidInputError, NestedRunPaused, failed_save, leaves
from agno_nb.run.runnable import Runnable
from agno_nb.types import RunEvent, SessionType, StepKind, StepOutput
from agno_nb.workflow.step import Course, Node, Step, call_user
from agno_nb.workflow.values import StepInput, flat, of_several, together

Given = Any
"""What may stand in a list of steps: a Node, an agent, a team, a workflow, a function, or a list of them."""


def nodes_of(given: Given, of: str) -> list[Node]:
    """Make what the user gave a list of nodes.

    Raises
    ------
    InvalidInputError
        There is none, or something is not a step.
    """
    several = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if not several or given is None:
        raise InvalidInputError(f"{of} has no steps; give it a list of agents, teams, functions or steps")
    return [_node_of(each, of) for each in several]


def _node_of(given: Given, of: str) -> Node:
    if isinstance(given, Node):
        return given
    if isinstance(given, Runnable):
        match given.kind:
            case SessionType.AGENT:
                return Step(agent=given)
            case SessionType.TEAM:
                return Step(team=given)
            case SessionType.WORKFLOW:
                return Step(workflow=given)
    if isinstance(given, list):
        return Steps(given)
    if callable(given):
        return Step(executor=given)
    raise InvalidInputError(
        f"{given!r} cannot be a step of {of}: give an agent, a team, a workflow, a function or a step"
    )


def _placed(nodes: Sequence[Node], within: str) -> Iterator[tuple[Node, str]]:
    """Give each node its path; one whose name was there before is told apart by a number."""
    seen: Counter[str] = Counter()
    for node in nodes:
        seen[node.name] += 1
        name = node.name if seen[node.name] == 1 else f"{node.name}#{seen[node.name]}"
        yield node, f"{within}/{name}" if within else name


async def in_sequence(
    nodes: Sequence[Node], given: StepInput, course: Course, within: str, iteration: int | None
) -> list[StepOutput]:
    """Take one node after the other, until one says that the workflow ends."""
    outputs: list[StepOutput] = []
    for node, path in _placed(nodes, within):
        output = await node.take(given, course, path, iteration)
        outputs.append(output)
        if output.stop:
            break
        given = given.after(output)
    return outputs


def _has_paused(error: BaseException) -> bool:
    return any(isinstance(part, NestedRunPaused) for part in leaves(error))


def _last_content(outputs: Sequence[StepOutput], given: StepInput) -> Any:
    contents = [output.content for output in outputs if output.content is not None]
    return contents[-1] if contents else given.previous_step_content


@dataclass(eq=False, repr=False)
class _Group(Node):
    steps: Given
    name: str = ""
    description: str | None = None
    _nodes: list[Node] = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.name or self.kind
        self.steps = self.steps if isinstance(self.steps, list | tuple) else [self.steps]
        self._nodes = nodes_of(self.steps, f"{self.kind} {self.name!r}")

    async def take(self, given: StepInput, course: Course, path: str, iteration: int | None) -> StepOutput:
        course.context.emit(RunEvent[f"{self.kind}_started"], step=path)
        outputs = await self._taken(given, course, path, iteration)
        output = of_several(
            outputs, step_name=self.name, path=path, kind=self.kind, content=self._content(outputs, given)
        )
        course.context.emit(RunEvent[f"{self.kind}_completed"], step=path)
        return output

    @property
    def runnables(self) -> list[Runnable]:
        return [runnable for node in self._nodes for runnable in node.runnables]

    async def _taken(self, given: StepInput, course: Course, path: str, iteration: int | None) -> list[StepOutput]:
        return await in_sequence(self._nodes, given, course, path, iteration)

    def _content(self, outputs: list[StepOutput], given: StepInput) -> Any:
        return _last_content(outputs, given)

    async def _decided(self, what: Callable[[], Any], course: Course, path: str, iteration: int | None) -> Any:
        """Return what was decided at a place, from the store where the run has been here before."""
        if path in course.done:
            return course.done[path].content
        decided = StepOutput(
            await what(), step_name=self.name, path=path, kind=self.kind, iteration=iteration, duration_s=None
        )
        await course.record(decided)
        return decided.content

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self._nodes!r})"


@forgiving({})
class Steps(_Group):
    """Several steps under one name, one after the other."""

    kind: ClassVar[StepKind] = "steps"


@forgiving({})
class Parallel(_Group):
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

    def __init__(self, *steps: Given, name: str = "", description: str | None = None) -> None:
        super().__init__(list(steps), name, description)

    async def _taken(self, given: StepInput, course: Course, path: str, iteration: int | None) -> list[StepOutput]:
        failures: list[BaseException] = []

        async def take(node: Node, place: str) -> StepOutput | None:
            try:
                return await node.take(given, course, place, iteration)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                failures.append(error)
                return None

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(take(node, place)) for node, place in _placed(self._nodes, path)]
        # A person is asked before a failure ends the run: what failed is tried again when it goes on. Only if a run
        # could not be stored, that comes first; the run can be continued all the same.
        for failure in sorted(failures, key=lambda error: (failed_save(error) is None, not _has_paused(error))):
            raise failure
        return [output for task in tasks if (output := task.result()) is not None]

    def _content(self, outputs: list[StepOutput], given: StepInput) -> Any:
        return together(output for output in outputs if output.content is not None)


@forgiving({})
class Condition(_Group):
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
        steps: Given,
        else_steps: Given = None,
        *,
        name: str = "",
        description: str | None = None,
    ) -> None:
        super().__init__(steps, name, description)
        self.evaluator = evaluator
        self._others = nodes_of(else_steps, f"else_steps of condition {self.name!r}") if else_steps else []

    @property
    def runnables(self) -> list[Runnable]:
        return [*super().runnables, *(runnable for node in self._others for runnable in node.runnables)]

    async def _taken(self, given: StepInput, course: Course, path: str, iteration: int | None) -> list[StepOutput]:
        async def evaluate() -> bool:
            if not callable(self.evaluator):
                return bool(self.evaluator)
            return bool(await call_user(self.evaluator, given, course.context))

        holds = await self._decided(evaluate, course, path, iteration)
        return await in_sequence(self._nodes if holds else self._others, given, course, path, iteration)


@forgiving({})
class Router(_Group):
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
        self, selector: Callable[..., Any], choices: Given, *, name: str = "", description: str | None = None
    ) -> None:
        super().__init__(choices, name, description)
        self.selector = selector
        twice = [each for each, count in Counter(node.name for node in self._nodes).items() if count > 1]
        if twice:
            raise InvalidInputError(f"router {self.name!r} has two choices called {twice[0]!r}; give one another name")

    async def _taken(self, given: StepInput, course: Course, path: str, iteration: int | None) -> list[StepOutput]:
        async def select() -> list[str]:
            chosen = await call_user(self.selector, given, course.context)
            return [self._name_of(each) for each in (chosen if isinstance(chosen, list) else [chosen])]

        names = await self._decided(select, course, path, iteration)
        by_name = {node.name: node for node in self._nodes}
        gone = [name for name in names if name not in by_name]
        if gone:
            raise InvalidInputError(f"router {self.name!r} has no choice {gone[0]!r}; it has {', '.join(by_name)}")
        return await in_sequence([by_name[name] for name in names], given, course, path, iteration)

    def _name_of(self, chosen: Any) -> str:
        if isinstance(chosen, str):
            return chosen
        for node, choice in zip(self._nodes, self.steps, strict=True):
            if chosen is node or chosen is choice:
                return node.name
        # A step that the selector made for itself is the choice of its name.
        return chosen.name if isinstance(chosen, Node) else repr(chosen)


@forgiving({})
class Loop(_Group):
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
        steps: Given,
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

    async def _taken(self, given: StepInput, course: Course, path: str, iteration: int | None) -> list[StepOutput]:
        outputs: list[StepOutput] = []
        for turn in range(self.max_iterations):
            place = f"{path}[{turn}]"
            course.context.emit(RunEvent.loop_iteration_started, step=place)
            latest = await in_sequence(self._nodes, given, course, place, turn)
            outputs += latest
            for output in latest:
                given = given.after(output)

            async def goes_on(latest: list[StepOutput] = latest) -> bool:
                if self.end_condition is None:
                    return True
                said = [each for output in latest for each in flat(output)]
                return not await call_user(self.end_condition, said, course.context)

            stops = any(output.stop for output in latest)
            is_over = stops or turn + 1 == self.max_iterations or not await self._decided(goes_on, course, place, turn)
            course.context.emit(RunEvent.loop_iteration_completed, step=place)
            if is_over:
                break
        return outputs
