"""Nested runs of agno: each is recorded by a task of its own, from the events of its run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from agno_nb.integrations.agno_steps import StepPaths
from agno_nb.run.context import RunContext, current_step, current_tool_call_id, discard_event
from agno_nb.run.execute import execute
from agno_nb.run.options import RunOptions
from agno_nb.types import RunOutput, SessionType, ToolCall, to_plain_text

if TYPE_CHECKING:
    from agno_nb.integrations.agno_agents import AgnoRunnable

_ENDS = {f"{kind}{end}" for kind in ("Run", "Workflow") for end in ("Completed", "Cancelled", "Paused", "Error")}


def name_of(event: Any) -> str:
    """Return the name of an event, without the prefix of teams."""
    return str(getattr(event.event, "value", event.event)).removeprefix("Team")


def is_end(event: Any) -> bool:
    """Whether an event ends its run."""
    return hasattr(event, "event") and name_of(event) in _ENDS


class Part:
    """A nested run: a queue of its events, and the task that records it."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.is_ending = False
        """Whether the last event of the run was fed."""
        self.task: asyncio.Task[RunOutput] | None = None
        self._events: asyncio.Queue[Any] = asyncio.Queue()

    def feed(self, event: Any) -> None:
        self.is_ending |= event is None or (event.run_id == self.run_id and is_end(event))
        self._events.put_nowait(event)

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (event := await self._events.get()) is not None:
            yield event

    async def wait(self) -> None:
        """Wait until the run is recorded. Its failure is agno's to handle."""
        self.feed(None)
        if self.task is not None:
            await asyncio.wait({self.task})
            if not self.task.cancelled():
                self.task.exception()


class NestedRuns:
    """The nested runs of a run: its members or steps, and what is nested in them."""

    def __init__(self, runnable: AgnoRunnable, context: RunContext, steps: StepPaths) -> None:
        self._runnable, self._context, self._run, self._steps = runnable, context, context.run, steps
        self._parts: dict[str, Part] = {}
        """The direct part by the ID of each nested run, at any depth."""
        self._workflows: dict[str, str] = {}
        """The run of the nested workflow by the ID of each of its steps."""
        self._delegated: set[str] = set()
        """IDs of the calls that have started a nested run."""

    def forward(self, event: Any, run_id: str) -> None:
        """Pass an event of a nested run to the part that records it."""
        step_id = getattr(event, "step_id", None)
        if step_id and hasattr(event, "workflow_name"):
            self._workflows[step_id] = run_id
        if run_id not in self._parts:
            parent_id = getattr(event, "parent_run_id", None) or self._workflows.get(step_id or "")
            around = self._parts.get(parent_id or "")
            self._parts[run_id] = around if around is not None else self._start(event, run_id)
        self._parts[run_id].feed(event)

    async def settle(self) -> None:
        """Wait until the nested runs that have ended are recorded, so that events are in order."""
        for part in dict.fromkeys(self._parts.values()):
            if part.is_ending:
                await part.wait()

    async def finish(self) -> None:
        """Wait until all nested runs are recorded."""
        for part in dict.fromkeys(self._parts.values()):
            await part.wait()

    async def record_result(self, result: Any) -> None:
        """Record a nested run from its result, unless it is recorded."""
        known = {run.run_id for run in self._run.nested_runs} | self._parts.keys()
        if result.run_id not in known and result.parent_run_id in (None, self._run.run_id):
            part = self._parts[result.run_id] = self._start(result, result.run_id)
            part.feed(result)
            await part.wait()

    def _start(self, source: Any, run_id: str) -> Part:
        """Start to record a nested run, which is continued if it had paused."""
        context, part = self._context, Part(run_id)
        kind, component_id, name = _component(source)
        asked = getattr(getattr(source, "input", None), "input_content", None)
        task = None if asked is None else to_plain_text(asked)
        call = self._delegating_call(component_id, task)
        text = self._input_of(call) if task is None else task
        step = self._steps.path_around(source) if self._run.kind is SessionType.WORKFLOW else None
        runnable = self._runnable.part(kind, component_id, name, aiter(part))
        earlier = next((run for run in self._run.nested_runs if run.run_id == run_id and run.is_paused), None)
        options = RunOptions(session_id=self._run.session_id, user_id=self._run.user_id)
        if earlier is None:
            options["run_id"] = run_id
        # A call of agno is not executed again when its run is continued.
        context.pending_children.clear()

        async def record() -> RunOutput:
            current_tool_call_id.set(None if call is None else call.tool_call_id)
            current_step.set(step)
            return await execute(runnable, text, options, discard_event, earlier)

        part.task = asyncio.create_task(record())
        return part

    def _delegating_call(self, component_id: str | None, task: str | None) -> ToolCall | None:
        """Return the call that has started the run of a member: one in progress, or with this task."""
        if task is None:
            calls = [call for call in self._run.tools if not call.is_finished]
        else:
            calls = [call for call in self._run.tools if call.tool_args.get("task") == task]
        calls = [call for call in calls if call.tool_args.get("member_id") == component_id] or calls
        # Of two calls for the same member, each has a run of its own. A call may also be for all members.
        started = {run.parent_tool_call_id for run in self._run.nested_runs} | self._delegated
        call = next((call for call in calls if call.tool_call_id not in started), calls[-1] if calls else None)
        if call is not None:
            self._delegated.add(call.tool_call_id)
        return call

    def _input_of(self, call: ToolCall | None) -> str:
        if call is not None and isinstance(task := call.tool_args.get("task"), str):
            return task
        return self._steps.last_content or self._run.input


def _component(source: Any) -> tuple[SessionType, str | None, str | None]:
    """Return kind, ID and name of what an event or a result of agno is about."""
    for kind in (SessionType.AGENT, SessionType.TEAM, SessionType.WORKFLOW):
        if hasattr(source, f"{kind.value}_name"):
            component_id, name = getattr(source, f"{kind.value}_id", None), getattr(source, f"{kind.value}_name")
            return kind, component_id or None, name or None
    return SessionType.AGENT, None, None
