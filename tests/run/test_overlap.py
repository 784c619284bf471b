"""Members, steps and tool calls that run at the same time: each of five waits until all five have started."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agno_nb import Agent, DuckDb, Parallel, Team, Workflow, event_loop
from agno_nb.db.sqlite import SqliteDb
from agno_nb.event_loop import run_awaiting
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.run.runnable import Runnable
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import RunOutput, RunStatus
from agno_nb.workflow import StepInput

FIVE = range(5)
WAIT_S = 60


class Meeting:
    """Returns once five have come, and counts them."""

    def __init__(self) -> None:
        self.count = 0
        self._on_loop, self._in_threads = asyncio.Barrier(5), threading.Barrier(5)

    async def on_loop(self) -> str:
        await asyncio.wait_for(self._on_loop.wait(), WAIT_S)
        self.count += 1
        return "met"

    def in_thread(self) -> str:
        self._in_threads.wait(WAIT_S)
        self.count += 1
        return "met"


class MeetingModel(Model):
    id, provider = "meeting", "test"

    def __init__(self, meeting: Meeting) -> None:
        self._meeting = meeting

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        yield ModelResponse(content=await self._meeting.on_loop())


def meet_in_tool(meeting: Meeting) -> Callable[[int], str]:
    def meet(number: int) -> str:
        """Meet the others."""
        return meeting.in_thread()

    return meet


def meet_in_async_tool(meeting: Meeting) -> Callable[..., Any]:
    async def meet(number: int) -> str:
        """Meet the others."""
        return await meeting.on_loop()

    return meet


def calls_of_tools(meeting: Meeting, meet: Callable[..., Any], db: Any) -> Runnable:
    return Agent(ScriptedModel([[call("meet", number=n) for n in FIVE], "Done."]), tools=[meet], db=db)


def team_of(members: list[Runnable], db: Any) -> Runnable:
    tasks = [call("delegate_task_to_member", member_id=f"m{n}", task="Meet.") for n in FIVE]
    return Team(members, model=ScriptedModel([tasks, "Done."]), db=db)


def agents(meeting: Meeting) -> list[Runnable]:
    return [Agent(MeetingModel(meeting), name=f"m{n}") for n in FIVE]


def agents_with_sync_tools(meeting: Meeting) -> list[Runnable]:
    replies = lambda: ScriptedModel([call("meet", number=0), "Done."])  # noqa: E731
    return [Agent(replies(), name=f"m{n}", tools=[meet_in_tool(meeting)]) for n in FIVE]


def sync_functions(meeting: Meeting) -> list[Any]:
    def named(name: str) -> Callable[[StepInput], str]:
        def step(step_input: StepInput) -> str:
            return meeting.in_thread()

        step.__name__ = name
        return step

    return [named(f"m{n}") for n in FIVE]


KINDS: dict[str, Callable[[Meeting, Any], Runnable]] = {
    "tools": lambda meeting, db: calls_of_tools(meeting, meet_in_tool(meeting), db),
    "async tools": lambda meeting, db: calls_of_tools(meeting, meet_in_async_tool(meeting), db),
    "members": lambda meeting, db: team_of(agents(meeting), db),
    "members with sync tools": lambda meeting, db: team_of(agents_with_sync_tools(meeting), db),
    "parallel agents": lambda meeting, db: Workflow([Parallel(*agents(meeting))], db=db),
    "parallel agents with sync tools": lambda meeting, db: Workflow(
        [Parallel(*agents_with_sync_tools(meeting))], db=db
    ),
    "parallel sync functions": lambda meeting, db: Workflow([Parallel(*sync_functions(meeting))], db=db),
}


@pytest.mark.parametrize("is_async", [False, True], ids=["run", "arun"])
@pytest.mark.parametrize("store", ["none", "duckdb", "sqlite"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_five_run_at_the_same_time(kind: str, store: str, is_async: bool, tmp_path: Path) -> None:
    db: Any = {"duckdb": lambda: DuckDb(tmp_path / "a.duckdb"), "sqlite": lambda: SqliteDb(tmp_path / "a.db")}.get(
        store, lambda: False
    )()
    meeting = Meeting()
    runnable = KINDS[kind](meeting, db)

    async def arun() -> RunOutput:
        return await runnable.arun("Go")

    run = asyncio.run(arun()) if is_async else runnable.run("Go")
    assert (run.status, meeting.count) == (RunStatus.COMPLETED, 5)
    if db:
        db.close()


def test_callers_that_wait_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[float] = []

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def counted(delay: float, *args: Any, **kwargs: Any) -> Any:
            timers.append(delay)
            return call_later(delay, *args, **kwargs)

        monkeypatch.setattr(loop, "call_later", counted)
        return await asyncio.gather(*(run_awaiting(asyncio.sleep(0, "done")) for _ in range(30)))

    monkeypatch.setattr(event_loop, "_POLL_S", 3600.0)
    assert asyncio.run(main()) == ["done"] * 30
    assert len(timers) == 1
