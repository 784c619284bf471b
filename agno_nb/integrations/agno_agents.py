"""agno's own agents, teams and workflows as runnables of this package.

The adapter runs agno's object with ``arun(stream=True)`` and translates its events. So display, store, ownership,
pauses and cancellation are those of any other run, and members and steps are nested runs. agno's messages become those
of the run when it ends or pauses. Until then, and for nested runs, whose messages agno does not stream, the messages
are made of the events.

agno calls sync hooks and sync databases on its event loop, so it has a loop of its own.
"""

from __future__ import annotations

import functools
import inspect
import os
import time
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from agno_nb.errors import InvalidInputError, RunNotContinuableError
from agno_nb.event_loop import AsyncEventStream, start_loop
from agno_nb.integrations import agno_conversion as conversion
from agno_nb.integrations.agno_nested import is_end
from agno_nb.integrations.agno_recording import RECEIVED_AT, Recording, paused_runs
from agno_nb.integrations.agno_steps import answer_step
from agno_nb.run.context import RunContext
from agno_nb.run.runnable import Runnable
from agno_nb.types import RunOutput, SessionType

SOURCE = {"source": "agno"}
"""Metadata of the runs and sessions of agno's objects."""
_PASSED = (
    "session_state",
    "dependencies",
    "metadata",
    "add_history_to_context",
    "add_dependencies_to_context",
    "add_session_state_to_context",
    "output_schema",
    "additional_data",
)
"""Options of a run that agno's ``arun()`` takes under the same names."""
_ADAPTER = "_agno_nb_runnable"
"""Attribute of agno's object that has its adapter."""


def runnable_of(value: object) -> Runnable | None:
    """Return the adapter of an agent, team or workflow of agno; None for other objects.

    It is kept in the object, so that there is one, with one automatic session.
    """
    adapter_class = _adapter_class(value)
    if adapter_class is None:
        return None
    found = vars(value).get(_ADAPTER)
    if not isinstance(found, AgnoRunnable) or found.agno is not value:
        # Not later: agno sets the ID of the agent and of the session itself.
        own: dict[str, Any] = {name: getattr(value, name, None) for name in ("id", "name", "session_id", "user_id")}
        found = adapter_class(agno=value, metadata={**SOURCE}, **own)
        object.__setattr__(value, _ADAPTER, found)
    return found


def _adapter_class(value: object) -> type[AgnoRunnable] | None:
    classes = {"Agent": AgnoAgent, "Team": AgnoTeam, "Workflow": AgnoWorkflow}
    for each in type(value).__mro__:
        if each.__module__.partition(".")[0] == "agno" and each.__name__ in classes:
            return classes[each.__name__]
    return None


@functools.cache
def _loop_of_process(pid: int) -> AbstractEventLoop:
    return start_loop("agno")


def agno_loop() -> AbstractEventLoop:
    """Return the event loop of agno's objects. Their clients keep connections, which belong to one loop."""
    return _loop_of_process(os.getpid())


class CancellingStream(AsyncEventStream[Any, None]):
    """What agno streams of a run. Closing it early cancels the run, and its members, which may run in other tasks."""

    def __init__(self, start: Callable[[Callable[[Any], None]], Coroutine[Any, Any, None]], cancel: Callable[[], Any]):
        super().__init__(start, agno_loop())
        self._cancel = cancel

    async def aclose(self) -> None:
        if self._job is not None and not self._job.outcome.done():
            self._cancel()
        await super().aclose()


@dataclass(eq=False, repr=False, kw_only=True)
class AgnoRunnable(Runnable):
    """An agent, team or workflow of agno, or a part of one that has nested runs."""

    continues_partial: ClassVar[bool] = False

    agno: Any = None
    """agno's object. None for a part that is not found."""
    events: AsyncIterator[Any] | None = field(default=None)
    """For a part: what agno streams of it."""

    @property
    def model_name(self) -> str | None:
        """Name of the object's model."""
        return getattr(getattr(self.agno, "model", None), "id", None)

    def part(
        self, kind: SessionType, component_id: str | None, name: str | None, events: AsyncIterator[Any]
    ) -> Runnable:
        """Return the adapter of a member or a step, which records the events of a nested run."""
        part = _find(self.agno, component_id)
        return _CLASSES[kind](agno=part, id=component_id, name=name, metadata={**SOURCE}, events=events)

    def validate_answers(self, run: RunOutput) -> None:
        if run.run_id not in paused_runs and getattr(self.agno, "db", None) is None:
            raise RunNotContinuableError(
                f"cannot continue run {run.run_id!r}: without a database, agno keeps paused runs in memory, and this "
                f"kernel does not have the run; run it again, with db=... in {self!r}"
            )

    async def run_steps(self, context: RunContext) -> None:
        if context.partial_messages:
            raise InvalidInputError(f"{self!r} cannot continue a partial answer; run it again, with `%agent retry`")
        recording = Recording(self, context)
        if self.events is not None:
            await recording.consume(self.events)
            return
        # agno's generators must be read to their end, which is after the result.
        async with await self._stream(context) as stream:
            await recording.consume(stream)

    async def _stream(self, context: RunContext) -> CancellingStream:
        """Start or continue the run on agno's loop."""
        if context.is_continued:
            method, arguments = self.agno.acontinue_run, await self._continue_arguments(context)
        else:
            method, arguments = self.agno.arun, self._run_arguments(context)
        arguments |= {"stream": True, "stream_events": True}
        if "yield_run_output" in inspect.signature(method).parameters:
            arguments["yield_run_output"] = True

        async def read(emit: Callable[[Any], None]) -> None:
            items = method(**arguments)
            if inspect.isawaitable(items):
                items = await items
            async for item in items:
                # A nested run is recorded later than it happens, and agno's own times are whole seconds.
                vars(item)[RECEIVED_AT] = time.perf_counter()
                emit(conversion.with_own_requirements(item) if is_end(item) else item)

        return CancellingStream(read, functools.partial(self.agno.cancel_run, context.run_id))

    def _run_arguments(self, context: RunContext) -> dict[str, Any]:
        run, options = context.run, context.options
        if isinstance(options.get("output_schema"), Mapping):
            raise InvalidInputError(f"{self!r} takes no JSON schema; set output_schema of the agno object")
        accepted = inspect.signature(self.agno.arun).parameters
        passed = {name: options[name] for name in _PASSED if options.get(name) is not None}  # type: ignore[literal-required]
        ids = {"run_id": run.run_id, "session_id": run.session_id, "user_id": run.user_id}
        media = conversion.media_options(context.message.media) if context.message.media else {}
        return {"input": run.input, **ids, **media, **{name: passed[name] for name in passed if name in accepted}}

    async def _continue_arguments(self, context: RunContext) -> dict[str, Any]:
        run = context.run
        kept = paused_runs.pop(run.run_id, None)
        output = await self.read_run(run) if kept is None else kept
        if output is None:
            raise RunNotContinuableError(f"the database of {self!r} has no run {run.run_id!r}")
        answered = [each for each in run.requirements if each.is_resolved]
        if self.kind is SessionType.WORKFLOW:
            answer_step(output.step_requirements[-1], answered)
            return {"run_response": output}
        answers = {each.requirement_id: each for each in answered}
        for asked in output.requirements or ():
            if not asked.is_resolved() and asked.id in answers:
                conversion.answer(asked, answers[asked.id])
        # agno copies the answers to the calls of the run only if it reads the run itself.
        of_run = {"run_id": run.run_id, "session_id": run.session_id} if kept is None else {"run_response": kept}
        return {**of_run, "requirements": output.requirements, "user_id": run.user_id}

    async def read_run(self, run: RunOutput) -> Any:
        """Return agno's own record of a run, from its database; None without one."""
        if getattr(self.agno, "db", None) is None:
            return None

        async def read(emit: Callable[[Any], None]) -> None:
            emit(await self.agno.aget_run_output(run_id=run.run_id, session_id=run.session_id))

        return await anext(AsyncEventStream[Any, None](read, agno_loop()))


class AgnoAgent(AgnoRunnable):
    """An agent of agno."""

    kind: ClassVar[SessionType] = SessionType.AGENT


class AgnoTeam(AgnoRunnable):
    """A team of agno."""

    kind: ClassVar[SessionType] = SessionType.TEAM


class AgnoWorkflow(AgnoRunnable):
    """A workflow of agno."""

    kind: ClassVar[SessionType] = SessionType.WORKFLOW


_CLASSES = {each.kind: each for each in (AgnoAgent, AgnoTeam, AgnoWorkflow)}


def _find(within: Any, component_id: str | None) -> Any:
    """Return the member or step of an agno object that has an ID, at any depth."""
    several = [getattr(within, name, None) for name in ("members", "steps", "choices", "else_steps")]
    parts = [part for each in several if isinstance(each, list | tuple) for part in each]
    parts += [part for name in ("agent", "team", "workflow") if (part := getattr(within, name, None)) is not None]
    for part in parts:
        if component_id is not None and getattr(part, "id", None) == component_id:
            return part
        if (found := _find(part, component_id)) is not None:
            return found
    return None
