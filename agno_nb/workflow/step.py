"""One step: an agent, a team, a workflow or a function, with retries, stored when it ends."""

from __future__ import annotations

import asyncio
import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError, NestedRunPaused, describe, failed_save, leaves
from agno_nb.event_loop import in_thread, is_closing
from agno_nb.run.context import RunContext, current_step
from agno_nb.run.runnable import Runnable
from agno_nb.tools.invoke import call_sync_or_async, not_exiting
from agno_nb.tools.result import to_text
from agno_nb.types import RunEvent, RunOutput, RunOutputEvent, StepKind, StepOutput, StepStatus
from agno_nb.workflow.types import StepInput


@dataclass(frozen=True, kw_only=True)
class WorkflowExecution:
    """A workflow's run in progress, at one of its steps."""

    context: RunContext
    add_history: bool
    """Whether steps get the session's earlier runs by default."""
    num_history_runs: int
    completed: Mapping[str, StepOutput]
    """Results by path of the steps that are not run again if the run is continued."""
    path: str = ""
    """Path of the step; "" for the workflow itself."""
    iteration: int | None = None
    """Iteration of the innermost loop around the step."""

    async def record(self, output: StepOutput) -> None:
        """Store the result of a step with the state that it left."""
        turn = self.context
        while turn.enclosing_turn is not None:
            turn = turn.enclosing_turn
        await self.context.recorder.save_step(output, self.context.session_state, turn.recorder)


class Node(ABC):
    """An element of a workflow's list of steps."""

    kind: ClassVar[StepKind]
    name: str

    @abstractmethod
    async def run_step(self, step_input: StepInput, execution: WorkflowExecution) -> StepOutput:
        """Run the step and return its result; if `execution` has completed it, return the stored result."""

    @property
    @abstractmethod
    def runnables(self) -> list[Runnable]:
        """The agents, teams and workflows of the step."""


@suggest_on_unknown_kwarg({})
@dataclass(eq=False, repr=False)
class Step(Node):
    """One step of a workflow, executed by exactly one of an agent, a team, a workflow and a function.

    Raises
    ------
    InvalidInputError
        None or more than one of them is set.

    Examples
    --------
    >>> from agno_nb.workflow import Step, Workflow
    >>> def shout(step_input):
    ...     return step_input.message.upper()
    >>> Workflow([Step("shout", executor=shout, max_retries=2)]).run("hello").content
    'HELLO'
    """

    name: str = ""
    """Name of the step; defaults to the name of its agent, team, workflow or function."""
    agent: Runnable | None = None
    team: Runnable | None = None
    executor: Callable[..., Any] | None = None
    """A sync or async function, or a generator of strings. It takes a :class:`StepInput` and, if it has parameters with
    these names, `session_state` and `run_context`. It returns a :class:`StepOutput` or the content of one."""
    workflow: Runnable | None = None
    description: str | None = None
    max_retries: int = 0
    """Maximum number of retries if the step fails."""
    skip_on_failure: bool = False
    """Continue the workflow if the step fails after all retries."""
    add_workflow_history: bool | None = None
    """Add the session's earlier runs to the input of an agent, team or workflow; defaults to the workflow's setting."""
    num_history_runs: int | None = None
    """Number of latest runs to add; defaults to the workflow's setting."""

    def __post_init__(self) -> None:
        executors = [each for each in (self.agent, self.team, self.workflow, self.executor) if each is not None]
        if len(executors) != 1:
            raise InvalidInputError(
                f"step {self.name!r} has {len(executors)} of agent, team, workflow and executor; pass exactly one"
            )
        self._executor = executors[0]
        if self.executor is not None and not callable(self.executor):
            raise InvalidInputError(
                f"the executor of step {self.name!r} is {self.executor!r}, not a function; pass agents, teams and "
                "workflows as agent=, team= and workflow="
            )
        if self.executor is None and not isinstance(self._executor, Runnable):
            raise InvalidInputError(
                f"step {self.name!r} has {self._executor!r}, which is not an agent, team or workflow; pass functions "
                "as executor="
            )
        if not isinstance(self.max_retries, int) or self.max_retries < 0:
            raise InvalidInputError(f"max_retries of step {self.name!r} is {self.max_retries!r}; pass 0 or more")
        self.name = self.name or _default_name(self._executor)

    async def run_step(self, step_input: StepInput, execution: WorkflowExecution) -> StepOutput:
        context, path, started = execution.context, execution.path, time.perf_counter()
        if path in execution.completed:
            return execution.completed[path]
        template = StepOutput(
            step_name=self.name,
            path=path,
            kind=self._executor.kind.value if isinstance(self._executor, Runnable) else "function",
            iteration=execution.iteration,
            input=step_input.message,
        )
        context.emit(RunEvent.step_started, step=path)
        failure: BaseException | None = None
        token = current_step.set(path)
        try:
            for _ in range(self.max_retries + 1):
                try:
                    output, failure = await self._run_once(step_input, execution), None
                    break
                except BaseException as error:
                    if _ends_workflow(error):
                        raise
                    failure = error
                    output = StepOutput(success=False, error=describe(error))
                    failed = getattr(error, "run_output", None)
                    output.run_id = failed.run_id if failed is not None else None
                    if not isinstance(error, Exception):
                        break
        finally:
            current_step.reset(token)
        output = replace(
            template,
            content=output.content,
            success=output.success,
            stop=output.stop,
            error=output.error,
            run_id=output.run_id,
            duration_s=time.perf_counter() - started,
        )
        if failure is not None and not (self.skip_on_failure and isinstance(failure, Exception)):
            output.status = StepStatus.ERROR
        elif not output.success:
            output.status = StepStatus.SKIPPED
        await execution.record(output)
        event = RunEvent.step_completed if output.success else RunEvent.step_error
        content = output.error if output.content is None else to_text(output.content)
        context.emit(event, step=path, content=content, details={"duration_s": output.duration_s})
        if output.status is StepStatus.ERROR and failure is not None:
            raise failure
        return output

    @property
    def runnables(self) -> list[Runnable]:
        return [self._executor] if isinstance(self._executor, Runnable) else []

    async def _run_once(self, step_input: StepInput, execution: WorkflowExecution) -> StepOutput:
        if not isinstance(self._executor, Runnable):
            return await _run_function(self._executor, step_input, execution.context)
        text = step_input.message
        if execution.add_history if self.add_workflow_history is None else self.add_workflow_history:
            count = execution.num_history_runs if self.num_history_runs is None else self.num_history_runs
            history = await asyncio.to_thread(step_input.get_workflow_history_context, count)
            text = f"{history}\n\n{text}" if history else text
        run = await self._executor.arun(text, **execution.context.child_options(self._executor))
        return StepOutput(run.content, run_id=run.run_id)

    def __repr__(self) -> str:
        return f"Step({self.name!r}, {self._executor!r})"


def _ends_workflow(error: BaseException) -> bool:
    """Whether `error` ends the workflow: the step's run paused, was cancelled or closed, or could not be stored."""
    if is_closing(error) or failed_save(error) is not None:
        return True
    return any(isinstance(part, asyncio.CancelledError | NestedRunPaused) for part in leaves(error))


def _default_name(executor: Any) -> str:
    return str(
        getattr(executor, "name", None)
        or getattr(executor, "component_id", None)
        or getattr(executor, "__name__", "step")
    )


def bind_arguments(function: Callable[..., Any], argument: Any, context: RunContext) -> Callable[[], Any]:
    """Bind a user's function to its argument, and to the state and run context if it has parameters for them."""
    available = {"session_state": context.session_state, "run_context": context}
    parameters = list(inspect.signature(function).parameters)[1:]
    return partial(function, argument, **{name: value for name, value in available.items() if name in parameters})


async def call_step_function(function: Callable[..., Any], argument: Any, context: RunContext) -> Any:
    """Call a user's function: on the event loop if it is async, otherwise in a thread."""
    return await call_sync_or_async(bind_arguments(function, argument, context))


async def _run_function(function: Callable[..., Any], step_input: StepInput, context: RunContext) -> StepOutput:
    """Call the function of a step, and collect what it yields."""
    path, loop = current_step.get(), asyncio.get_running_loop()
    pieces: list[Any] = []

    def collect(piece: Any) -> None:
        pieces.append(piece)
        if isinstance(piece, str):
            context.emit(RunEvent.step_output, content=piece, step=path)

    if inspect.isasyncgenfunction(function):
        with not_exiting():
            async for piece in bind_arguments(function, step_input, context)():
                collect(piece)
    elif inspect.isgeneratorfunction(function):
        generator = bind_arguments(function, step_input, context)()

        def consume() -> None:
            for piece in generator:
                loop.call_soon_threadsafe(collect, piece)

        with not_exiting():
            await in_thread(consume)
    else:
        return to_step_output(await call_step_function(function, step_input, context))
    outcomes = [piece.run_output if isinstance(piece, RunOutputEvent) else piece for piece in pieces]
    outputs = [outcome for outcome in outcomes if isinstance(outcome, StepOutput | RunOutput)]
    return to_step_output(outputs[-1] if outputs else "".join(piece for piece in pieces if isinstance(piece, str)))


def to_step_output(value: Any) -> StepOutput:
    """Convert the return value of a function to a step output."""
    if isinstance(value, StepOutput):
        return value
    if isinstance(value, RunOutput):
        return StepOutput(value.content, run_id=value.run_id)
    return StepOutput(value)
