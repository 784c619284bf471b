"""One step: an agent, a team, a workflow or a function, with retries, stored when it ends."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError, NestedRunPaused, describe, failed_save, leaves
from agno_nb.event_loop import in_own_loop, in_thread, is_closing
from agno_nb.run.context import current_step
from agno_nb.run.continue_run import find_earlier_input
from agno_nb.run.options import RunOptions, first_set
from agno_nb.run.runnable import Runnable
from agno_nb.tools.invoke import call_sync_or_async, not_exiting
from agno_nb.tools.result import to_text
from agno_nb.types import (
    CustomEvent,
    OnError,
    RunEvent,
    RunOutput,
    RunOutputEvent,
    RunStatus,
    StepKind,
    StepOutput,
    StepStatus,
    with_type,
)
from agno_nb.workflow.execution import Node, WorkflowExecution
from agno_nb.workflow.human_review import HumanReview, WorkflowRejected, message_with_answers, takes_review_keywords
from agno_nb.workflow.types import StepInput


@takes_review_keywords
@suggest_on_unknown_kwarg({"timeout_seconds": "timeout_s"})
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
    these names, `session_state`, `run_context`, `workflow` and `execution_input`. It returns a :class:`StepOutput` or
    the content of one. An object with such a method ``__call__`` is a function too."""
    workflow: Runnable | None = None
    step_id: str | None = None
    """Not used: the ID of a step is its path."""
    description: str | None = None
    max_retries: int = 0
    """Maximum number of retries if the step fails."""
    skip_on_failure: bool = False
    """Continue the workflow if the step fails after all retries."""
    timeout_s: float | None = None
    """Seconds after which an attempt at the step fails. A run in it is cancelled. A sync function cannot be stopped;
    its result is ignored. `timeout_seconds` is another name."""
    strict_input_validation: bool = False
    """Not used, as in agno: the `input_schema` of an agent, team or workflow checks its input."""
    add_workflow_history: bool | None = None
    """Add the session's earlier runs to the input of an agent, team or workflow; defaults to the workflow's setting."""
    num_history_runs: int | None = None
    """Number of latest runs to add; defaults to the workflow's setting."""
    human_review: HumanReview | None = None
    """What a person decides about the step. Its settings can also be passed as keywords of the step."""

    supported_reviews = frozenset({"confirmation", "user_input", "output_review"})
    is_group = False

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
                f"step {self.name!r} has {with_type(self._executor)}, which is not an agent, team or workflow of "
                "agno_nb; pass functions as executor="
            )
        if not isinstance(self.max_retries, int) or self.max_retries < 0:
            raise InvalidInputError(f"max_retries of step {self.name!r} is {self.max_retries!r}; pass 0 or more")
        if self.timeout_s is not None and (not isinstance(self.timeout_s, int | float) or not self.timeout_s > 0):
            raise InvalidInputError(
                f"timeout_s of step {self.name!r} is {self.timeout_s!r}; pass a number of seconds greater than 0"
            )
        self.name = self.name or self.executor_name
        if self.human_review is None:
            self.human_review = getattr(self.executor, "human_review", None)  # Of the decorator `pause`.
        self._check_review()

    @property
    def executor_name(self) -> str:
        """Name of the step's agent, team, workflow or function."""
        return _default_name(self._executor)

    @property
    def executor_type(self) -> StepKind:
        """What runs the step: "agent", "team", "workflow" or "function"."""
        return self.output_kind

    @property
    def output_kind(self) -> StepKind:
        return self._executor.kind.value if isinstance(self._executor, Runnable) else "function"

    async def execute(self, step_input: StepInput, execution: WorkflowExecution, decision: Any = None) -> StepOutput:
        context, path, started = execution.context, execution.path, time.perf_counter()
        if path in execution.completed:
            return execution.completed[path]
        template = StepOutput(
            step_name=self.name,
            path=path,
            kind=self.output_kind,
            executor_name=self.executor_name,
            iteration=execution.iteration,
            input=step_input.message,
        )
        details = self._event_details(execution)
        context.emit(RunEvent.step_started, step=path, details=details)
        failure: BaseException | None = None
        token = current_step.set(path)
        try:
            for _ in range(self.max_retries + 1):
                try:
                    output, failure = await self._run_in_time(step_input, execution), None
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
        skips = self.skip_on_failure or (self.human_review is not None and self.human_review.on_error is OnError.skip)
        if failure is not None and not (skips and isinstance(failure, Exception)):
            output.status = StepStatus.ERROR
        elif not output.success:
            output.status = StepStatus.SKIPPED
        await execution.record(output)
        event = RunEvent.step_completed if output.success else RunEvent.step_error
        content = output.error if output.content is None else to_text(output.content)
        context.emit(event, step=path, content=content, details=details | {"duration_s": output.duration_s})
        if output.status is StepStatus.ERROR and failure is not None:
            raise failure
        return output

    @property
    def runnables(self) -> list[Runnable]:
        return [self._executor] if isinstance(self._executor, Runnable) else []

    async def _run_in_time(self, step_input: StepInput, execution: WorkflowExecution) -> StepOutput:
        deadline = asyncio.timeout(self.timeout_s)
        try:
            async with deadline:
                return await self._run_once(step_input, execution)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise TimeoutError(f"step {self.name!r} did not finish within {self.timeout_s:g} seconds") from None

    async def _run_once(self, step_input: StepInput, execution: WorkflowExecution) -> StepOutput:
        if not isinstance(self._executor, Runnable):
            return await _run_function(self._executor, step_input, execution)
        text = message_with_answers(step_input.message, step_input.additional_data)
        if execution.add_history if self.add_workflow_history is None else self.add_workflow_history:
            earlier = await find_earlier_input(self._executor, text, execution.context)
            text = earlier or await self._with_history(text, step_input, execution)
        run = await self._run_executor(self._executor, text, execution)
        if run.status is RunStatus.CANCELLED:
            raise WorkflowRejected(run.get_content_as_string())
        return StepOutput(run.content, run_id=run.run_id)

    async def _with_history(self, text: str, step_input: StepInput, execution: WorkflowExecution) -> str:
        count = execution.num_history_runs if self.num_history_runs is None else self.num_history_runs
        history = await asyncio.to_thread(step_input.get_workflow_history_context, count)
        return f"{history}\n\n{text}" if history else text

    async def _run_executor(self, executor: Runnable, text: str, execution: WorkflowExecution) -> RunOutput:
        """Run the agent, team or workflow, with events if it pauses, or continues after a pause."""
        context, path = execution.context, execution.path
        if any(run.step == path and run.is_paused for run in context.pending_children):
            context.emit(RunEvent.step_executor_continued, step=path, details=self._event_details(execution))
        try:
            return await executor.arun(text, **self._child_options(executor, execution))
        except NestedRunPaused as paused:
            run = paused.run_output
            details = {"executor_run_id": run.run_id, "executor_requirements": run.active_requirements}
            context.emit(RunEvent.step_executor_paused, step=path, details=self._event_details(execution) | details)
            raise

    @staticmethod
    def _child_options(executor: Runnable, execution: WorkflowExecution) -> RunOptions:
        options = execution.context.child_options(executor)
        for name in ("add_dependencies_to_context", "add_session_state_to_context"):
            if first_set(execution.context.options.get(name), getattr(execution.workflow, name)):
                options[name] = True
        return options

    def _event_details(self, execution: WorkflowExecution) -> dict[str, Any]:
        """Return the attributes of agno's events of a step."""
        executor_id = self._executor.component_id if isinstance(self._executor, Runnable) else None
        return {
            "executor_type": self.output_kind,
            "executor_id": executor_id,
            "executor_name": self.executor_name,
        }

    def __repr__(self) -> str:
        return f"Step({self.name!r}, {self._executor!r})"


def _ends_workflow(error: BaseException) -> bool:
    """Whether `error` ends the workflow: the step's run paused, was cancelled or closed, or could not be stored."""
    if is_closing(error) or failed_save(error) is not None:
        return True
    ends = asyncio.CancelledError | NestedRunPaused | WorkflowRejected
    return any(isinstance(part, ends) for part in leaves(error))


def _default_name(executor: Any) -> str:
    return str(
        getattr(executor, "step_name", None)
        or getattr(executor, "name", None)
        or getattr(executor, "component_id", None)
        or getattr(executor, "__name__", None)
        or type(executor).__name__
    )


def bind_arguments(
    function: Callable[..., Any], argument: Any, execution: WorkflowExecution, **more: Any
) -> Callable[[], Any]:
    """Bind a user's function to what its parameters ask for: `argument`, and the workflow's values by their names."""
    available = {
        "session_state": execution.context.session_state,
        "run_context": execution.context,
        "workflow": execution.workflow,
        "execution_input": execution.execution_input,
        **more,
    }
    parameters = inspect.signature(function).parameters
    values = {name: value for name, value in available.items() if name in parameters}
    first = next((each for name, each in parameters.items() if name not in available and _is_positional(each)), None)
    if first is None:
        return partial(function, **values)
    if first.kind is first.POSITIONAL_OR_KEYWORD:
        return partial(function, **{first.name: argument}, **values)
    return partial(function, argument, **values)


def _is_positional(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.VAR_POSITIONAL)


async def call_step_function(
    function: Callable[..., Any], argument: Any, execution: WorkflowExecution, **more: Any
) -> Any:
    """Call a user's function: on the event loop if it is async, otherwise in a thread."""
    return await call_sync_or_async(bind_arguments(function, argument, execution, **more))


async def _run_function(
    function: Callable[..., Any], step_input: StepInput, execution: WorkflowExecution
) -> StepOutput:
    """Call the function of a step, and collect what it yields."""
    path, loop = current_step.get(), asyncio.get_running_loop()
    pieces: list[Any] = []

    def collect(piece: Any) -> None:
        pieces.append(piece)
        if isinstance(piece, CustomEvent):
            piece.step = path
            execution.context.send(piece)
        elif isinstance(piece, str):
            execution.context.emit(RunEvent.step_output, content=piece, step=path)

    called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    call = bind_arguments(function, step_input, execution)
    # A function that is the whole workflow often calls blocking methods too.
    is_workflow = "execution_input" in inspect.signature(function).parameters
    if inspect.isasyncgenfunction(called):

        async def iterate() -> None:
            async for piece in call():
                loop.call_soon_threadsafe(collect, piece) if is_workflow else collect(piece)

        with not_exiting():
            await (in_own_loop(iterate) if is_workflow else iterate())
    elif inspect.isgeneratorfunction(called):

        def consume() -> None:
            for piece in call():
                loop.call_soon_threadsafe(collect, piece)

        with not_exiting():
            await in_thread(consume)
    elif is_workflow and inspect.iscoroutinefunction(called):
        with not_exiting():
            return to_step_output(await in_own_loop(call))
    else:
        return to_step_output(await call_sync_or_async(call))
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
