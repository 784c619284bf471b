"""The context of a run in progress, as seen by its steps, tools and hooks."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agno_nb.db.base import ContextQuery, Db, OpenedRun
from agno_nb.db.session_state import copy_state
from agno_nb.errors import InvalidInputError, RunError
from agno_nb.event_loop import in_thread
from agno_nb.run.background_tasks import BackgroundTask
from agno_nb.run.options import RunOptions
from agno_nb.run.recorder import RunRecorder
from agno_nb.types import (
    Budget,
    JsonDict,
    Message,
    Metrics,
    RunEvent,
    RunOutput,
    RunOutputEvent,
    RunStatus,
    Session,
    SessionType,
    TeamRunEvent,
    outermost_step,
)

if TYPE_CHECKING:
    from agno_nb.models.base import Model
    from agno_nb.run.runnable import Runnable

MAX_DEPTH = 20
"""Maximum number of runs that a run may be nested in."""

Emit = Callable[[RunOutputEvent], None]

_noticed: set[str] = set()
"""First turns with a notice, and sessions that are not stored."""


def discard_event(event: RunOutputEvent) -> None:
    """Receive an event that has no other listener."""


class SessionState(dict[str, Any]):
    """The state of a session during a run, with the IDs of the run under agno's names.

    ``state["current_user_id"]`` and ``state.get("current_user_id")`` find the user, and so `current_session_id` and
    `current_run_id`. They are not items of the state, so they are neither stored nor sent.
    """

    def __init__(self, values: Mapping[str, Any], run: RunOutput) -> None:
        super().__init__(values)
        self.run = run

    def ids(self) -> JsonDict:
        run = self.run
        return {"current_user_id": run.user_id, "current_session_id": run.session_id, "current_run_id": run.run_id}

    def __missing__(self, name: str) -> Any:
        return self.ids()[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else self.ids().get(name, default)

    def __deepcopy__(self, memo: dict[int, Any]) -> JsonDict:
        return deepcopy(dict(self), memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


@dataclass(kw_only=True)
class RunContext:
    """A run in progress. Tools and hooks get it as ``run_context``."""

    run: RunOutput
    message: Message
    """The user's message."""
    options: RunOptions
    emit_to: Emit
    recorder: RunRecorder
    query: ContextQuery
    """The parts of the session that the run needs."""
    opened: OpenedRun
    """The session with the history, summary and memories that the run starts with."""
    db: Db | None = None
    parent: RunContext | None = None
    outer_runs: Sequence[RunContext] = field(init=False, default=())
    """The runs that this run is nested in, innermost first."""
    enclosing_turn: RunContext | None = None
    """The nearest run of the same session that this run is nested in; None if the run is a turn of its own."""
    started: float = field(default_factory=time.perf_counter)
    """``time.perf_counter()`` at the start of the run, plus the duration of its pauses."""
    is_new_session: bool = False
    """Whether the ID of the session was generated for this run."""
    is_continued: bool = False
    """Whether a paused or interrupted run is being continued."""
    stores_message_later: bool = False
    """Whether the user's message is stored when its hooks have run, instead of when the run is opened."""
    introduction: str | None = None
    """The assistant's first message of the session, if the session is new."""
    partial_messages: list[Message] = field(default_factory=list)
    """Partial output of an earlier attempt that this run starts from."""
    tools: Sequence[Any] = ()
    """The tools of the agent that is running: its setting, or what the function in it returned."""
    output_schema: Any = None
    """The schema of the answer: that of the call, or else the agent's."""
    tool_instructions: Sequence[str] = ()
    """Instructions of tools and toolkits, for the system prompt."""
    interrupted_call_ids: frozenset[str] = frozenset()
    """If the process of a continued run has died: tool calls that it may have executed."""
    pending_children: list[RunOutput] = field(default_factory=list)
    """If the run is continued: nested runs from before the pause that have not been requested again."""
    session_state: JsonDict = field(default_factory=dict)
    """The session's state. Tools change it in place; it is stored when the run ends."""
    dependencies: JsonDict = field(default_factory=dict)
    child_tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    background_tasks: list[BackgroundTask] = field(default_factory=list)
    """Tasks to start when the turn is over."""
    budgets: Sequence[Budget] = ()
    """Limits on cost and tokens of the run and all runs nested in it."""
    request_limit: int | None = None
    """Maximum number of model requests of the run."""
    num_requests: int = 0
    """Model requests of the run so far, including those before a pause."""
    num_nested_requests: int = 0
    """Model requests of the runs nested in it."""
    stores_nested: bool = True
    """Whether the messages of nested runs are stored."""
    default_model: Model | None = None
    """Model for nested runs that have none of their own."""
    team: Runnable | None = None
    """The team that is running, or the team that this run is nested in."""
    members: Sequence[Any] = ()
    """The members of the team that is running."""
    sends_nested_events: bool = True
    """Whether listeners get the events of nested runs."""
    step_indexes: dict[str, int] = field(default_factory=dict)
    """For workflows: the positions of the steps in the list of steps, by path."""

    def __post_init__(self) -> None:
        self.has_listener = self.emit_to is not discard_event
        if self.parent is not None:
            self.outer_runs = [self.parent, *self.parent.outer_runs]
            self.team = self.parent.team
            self.has_listener |= self.parent.has_listener

    @property
    def session(self) -> Session:
        return self.opened.session

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def session_id(self) -> str:
        return self.run.session_id

    @property
    def user_id(self) -> str | None:
        return self.run.user_id

    @property
    def messages(self) -> list[Message]:
        """The messages of the run so far, including history."""
        return self.run.messages

    @property
    def metadata(self) -> JsonDict | None:
        return self.run.metadata

    @property
    def root(self) -> RunContext:
        """The outermost run that this run is nested in, or the run itself."""
        return self.outer_runs[-1] if self.outer_runs else self

    @property
    def _workflow(self) -> RunContext | None:
        """The innermost workflow's run that this run is nested in, or the run itself."""
        contexts = (self, *self.outer_runs)
        return next((context for context in contexts if context.run.kind is SessionType.WORKFLOW), None)

    @property
    def workflow_id(self) -> str | None:
        """ID of the workflow that the run is part of."""
        return self._workflow.run.component_id if self._workflow is not None else None

    @property
    def workflow_name(self) -> str | None:
        return self._workflow.run.component_name if self._workflow is not None else None

    @property
    def run_index(self) -> int | None:
        """Number of the turn that the run is, or is part of."""
        return self.run.run_index if self.enclosing_turn is None else self.enclosing_turn.run_index

    def emit(self, event: RunEvent | TeamRunEvent, **values: Any) -> None:
        """Send an event of the run to its listener, and to the listeners of the runs that it is nested in.

        Parameters
        ----------
        event : RunEvent or TeamRunEvent
        **values
            Fields of :class:`~agno_nb.types.RunOutputEvent`.
        """
        if not self.has_listener:
            return
        made = make_event(self.run, event, **values)
        if (workflow := self._workflow) is not None:
            made.workflow_id, made.workflow_name = workflow.run.component_id, workflow.run.component_name
            made.workflow_run_id = workflow.run_id
            made.step_index = None if made.step is None else workflow.step_indexes.get(outermost_step(made.step))
        self.emit_to(made)
        for context in self.outer_runs:
            if not context.sends_nested_events:
                return
            context.emit_to(made)

    def takes_notice(self) -> bool:
        """Whether to show the model's notice: once, in the first turn of a session, and again if that is run again."""
        key = self.root.session_id if self.root.db is None else self.root.run_id
        if not self.has_listener or self.root.run_index or key in _noticed:
            return False
        _noticed.add(key)
        return True

    async def record_event(
        self, event: RunEvent, content: str, *, details: JsonDict, model: str, duration_s: float | None = None
    ) -> None:
        """Send an event and store it."""
        self.emit(event, content=content, details=details)
        metrics = Metrics(duration_s=duration_s)
        await self.recorder.save_event(event, content, details=details, model=model, metrics=metrics)

    def copy_state(self) -> JsonDict:
        """Return a copy of the current session state."""
        return copy_state(self.session_state)

    def child_options(self, child: Runnable) -> RunOptions:
        """Return the options for a run of `child` as a member or step of this run."""
        options = RunOptions(user_id=self.user_id, dependencies=self.dependencies, files=self.message.media)
        if child.db is None:
            options["session_id"] = self.session_id
        for name in ("cache", "add_dependencies_to_context", "add_session_state_to_context"):
            if name in self.options:
                options[name] = self.options[name]
        return options

    def add_child(self, run: RunOutput) -> None:
        """Add a run that was started by this run's tools, members or steps."""
        if all(nested is not run for nested in self.run.nested_runs):
            self.run.nested_runs.append(run)

    def collect_child_requirements(self, tool_call_id: str | None) -> None:
        """Add the requirements of the paused runs that a tool call started, or steps if `tool_call_id` is None."""
        known = {requirement.requirement_id for requirement in self.run.requirements}
        for nested in self.run.nested_runs:
            if nested.parent_tool_call_id == tool_call_id and nested.status is RunStatus.PAUSED:
                requirements = nested.active_requirements
                self.run.requirements += [one for one in requirements if one.requirement_id not in known]


current_run: contextvars.ContextVar[RunContext | None] = contextvars.ContextVar("agno_nb_run", default=None)
"""The run that is executing the current code. It is set in the threads of tools too."""

current_tool_call_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("agno_nb_tool_call", default=None)
"""The tool call of that run that is executing the current code."""

current_step: contextvars.ContextVar[str | None] = contextvars.ContextVar("agno_nb_step", default=None)
"""Path of the workflow step that is executing the current code."""


DEPENDENCY_PARAMETERS = ("agent", "team", "workflow", "run_context", "session_state")
"""Parameters that a function among the dependencies may have."""
SETTING_PARAMETERS = (*DEPENDENCY_PARAMETERS, "dependencies")
"""Parameters that a function in place of a setting may have."""
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


async def resolve_dependencies(runnable: Runnable, context: RunContext) -> None:
    """Replace each function among the dependencies of a run by its result.

    A function may have the parameters `DEPENDENCY_PARAMETERS`. Async functions are awaited, others are called in a
    thread. A callable that needs other arguments is kept as a value for tools. Functions that an outer run has already
    resolved are not called again.

    Raises
    ------
    RunError
        A function failed.
    """
    if not context.dependencies:
        return
    inherited = context.parent.dependencies if context.parent is not None else {}
    values = (runnable, context.team, runnable, context, context.session_state)
    injected = dict(zip(DEPENDENCY_PARAMETERS, values, strict=True))
    for name, value in context.dependencies.items():
        arguments = _dependency_arguments(value, injected)
        if arguments is None or (name in inherited and inherited[name] is value):
            continue
        try:
            result = await in_thread(value, **arguments)
            context.dependencies[name] = await result if inspect.isawaitable(result) else result
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            raise RunError(f"dependency {name!r} failed: {type(error).__name__}: {error}") from error


async def call_setting(name: str, function: Callable[..., Any], runnable: Runnable, context: RunContext) -> Any:
    """Return the value of a setting for a run: the result of a function, which may have `SETTING_PARAMETERS`.

    Raises
    ------
    InvalidInputError
        The function has another parameter.
    RunError
        The function failed.
    """
    values = (runnable, context.team, runnable, context, context.session_state, context.dependencies)
    available, parameters = dict(zip(SETTING_PARAMETERS, values, strict=True)), _parameters(function) or []
    for each in parameters:
        if each.default is each.empty and each.kind not in _VARIADIC and each.name not in available:
            remedy = "; to let the model call it, pass a list, tools=[...]" if name == "tools" else ""
            raise InvalidInputError(
                f"the function in {name} has the parameter {each.name!r}; it can only have "
                f"{', '.join(SETTING_PARAMETERS)}{remedy}"
            )
    arguments = {each.name: available[each.name] for each in parameters if each.name in available}
    try:
        result = await in_thread(function, **arguments)
        return await result if inspect.isawaitable(result) else result
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise RunError(f"the function in {name} failed: {type(error).__name__}: {error}") from error


def _dependency_arguments(value: Any, injected: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments for calling a dependency; None if it is a value."""
    parameters = _parameters(value) if callable(value) else None
    if parameters is None or any(map(_is_unknown, parameters)):
        return None
    return {
        each.name: injected[each.name] for each in parameters if each.kind not in _VARIADIC and each.name in injected
    }


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return [*inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        return None


def _is_unknown(parameter: inspect.Parameter) -> bool:
    """Whether a function needs an argument that a run doesn't have."""
    is_required = parameter.default is parameter.empty and parameter.kind not in _VARIADIC
    return is_required and parameter.name not in DEPENDENCY_PARAMETERS


def uncalled_function_error(name: str, function: Any) -> InvalidInputError:
    """Return the error for a ``{name}`` that stands for a function that cannot be called to get the value."""
    unknown = [each.name for each in _parameters(function) or () if _is_unknown(each)]
    reason = f"with the parameter {unknown[0]!r}" if unknown else "that was not called"
    return InvalidInputError(
        f"{{{name}}} in the instructions is a function {reason}, so it has no value for the model; a function in "
        f"dependencies can only have the parameters {', '.join(DEPENDENCY_PARAMETERS)}"
    )


_OWN_NAMES: dict[SessionType, dict[RunEvent | TeamRunEvent, Any]] = {
    SessionType.TEAM: {RunEvent[each.name]: each for each in TeamRunEvent if each.name in RunEvent.__members__},
    SessionType.WORKFLOW: {
        RunEvent[f"run_{change}"]: RunEvent[f"workflow_{change}"]
        for change in ("started", "completed", "paused", "continued", "cancelled", "error")
    },
}


def make_event(
    run: RunOutput, event: RunEvent | TeamRunEvent, *, step: str | None = None, **values: Any
) -> RunOutputEvent:
    """Create an event of a run. Teams have their own names, and workflows for the start and end of a run."""
    own_names = _OWN_NAMES.get(run.kind, {})
    return RunOutputEvent(
        event=own_names.get(event, event),
        step=step or run.step,
        run_id=run.run_id,
        session_id=run.session_id,
        parent_run_id=run.parent_run_id,
        parent_tool_call_id=run.parent_tool_call_id,
        kind=run.kind,
        component_id=run.component_id,
        component_name=run.component_name,
        model=run.model,
        model_provider=run.model_provider,
        **values,
    )
