"""``arun(background=True)`` returns when the run is stored, and the run continues."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, SessionOwnershipError, UnknownArgumentError
from agno_nb.event_loop import run_awaiting
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.run import background
from agno_nb.run.background_tasks import QueueKey, wait_for
from agno_nb.run.cancel import get_active_runs
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import RunOutput, RunStatus
from agno_nb.workflow import Workflow
from tests.run.kinds import Make, kind


class GatedModel(Model):
    """Answers when its gate is opened."""

    id, provider = "gated", "test"

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        await self.gate.wait()
        yield ModelResponse(content="Done.")

    async def open(self) -> None:
        """Open the gate on the loop of the runs."""

        async def open_it() -> None:
            self.gate.set()

        await run_awaiting(open_it())


async def end_of(run: RunOutput, db: InMemoryDb) -> RunOutput:
    """Wait for the end of a background run, and read it."""
    await run_awaiting(wait_for(QueueKey("run", run.run_id, db.identity)))
    stored = db.get_run(run.run_id)
    assert stored is not None
    return stored


@kind
async def test_a_run_in_the_background_is_returned_at_its_start_and_continues(make: Make) -> None:
    model, db = GatedModel(), InMemoryDb()
    runnable = make(model, db=db)
    run = await runnable.arun("hello", background=True, session_id="s", user_id="ada", metadata={"a": 1})
    assert (run.status, run.content, run.input, run.messages) == (RunStatus.pending, None, "hello", [])
    assert (run.session_id, run.user_id, run.metadata) == ("s", "ada", {"a": 1})
    running = await runnable.aget_run_output(run.run_id, "s", user_id="ada")
    assert running is not None
    assert running.status is RunStatus.RUNNING
    await model.open()
    ended = await end_of(run, db)
    assert (ended.status, ended.content, ended.run_index) == (RunStatus.COMPLETED, "Done.", 0)
    # The object that was returned is not changed by another thread.
    assert run.status is RunStatus.RUNNING
    assert [turn.input for turn in db.get_session("s").runs] == ["hello"]  # type: ignore[union-attr]


async def test_a_workflow_reads_its_run_with_the_name_of_agno() -> None:
    db = InMemoryDb()
    flow = Workflow([Agent(ScriptedModel(["Done."]))], db=db)
    run = await flow.arun("hello", background=True)
    await end_of(run, db)
    assert [flow.get_run(run.run_id), await flow.aget_run(run.run_id, "none")] == [db.get_run(run.run_id), None]


@kind
async def test_a_run_in_the_background_is_cancelled_by_its_id(make: Make) -> None:
    db = InMemoryDb()
    runnable = make(GatedModel(), db=db)
    run = await runnable.arun("hello", background=True)
    assert await runnable.acancel_run(run.run_id)
    assert (await end_of(run, db)).status is RunStatus.CANCELLED


@kind
async def test_a_run_that_fails_in_the_background_is_stored_with_its_error(make: Make) -> None:
    db = InMemoryDb()
    run = await make(ScriptedModel([]), db=db).arun("hello", background=True)
    ended = await end_of(run, db)
    assert ended.status is RunStatus.ERROR
    assert "the script has no reply" in (ended.error or "")


async def test_a_run_that_is_refused_raises() -> None:
    db = InMemoryDb()
    agent = Agent(ScriptedModel(["One."]), db=db, session_id="s")
    agent.run("mine", user_id="ada")
    with pytest.raises(SessionOwnershipError):
        await agent.arun("hello", background=True, user_id="eve")
    with pytest.raises(InvalidInputError, match=r"background=True needs a store.*; set db"):
        await Agent(ScriptedModel([])).arun("hello", background=True)
    with pytest.raises(InvalidInputError, match="a background run has no stream"):
        agent.arun("hello", background=True, stream=True)  # type: ignore[call-overload]
    with pytest.raises(UnknownArgumentError, match=r"use await arun\(\.\.\., background=True\)"):
        agent.run("hello", background=True)  # type: ignore[call-overload]


async def test_a_run_that_waits_for_its_turn_is_returned_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MAX_WAIT_S", 0)
    model, db = GatedModel(), InMemoryDb()
    agent = Agent(model, db=db, session_id="s")
    first = await agent.arun("one", background=True, run_id="bg1")
    while "bg1" not in get_active_runs():
        await asyncio.sleep(0)
    second = await agent.arun("two", background=True)
    assert db.get_run(second.run_id) is None
    await model.open()
    assert [(await end_of(run, db)).run_index for run in (first, second)] == [0, 1]


async def end_after_opening(model: GatedModel, first: RunOutput, second: RunOutput, db: InMemoryDb) -> None:
    await model.open()
    await run_awaiting(wait_for(*(QueueKey("run", run.run_id, db.identity) for run in (first, second))))


async def test_a_run_that_is_refused_after_it_was_returned_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MAX_WAIT_S", 0)
    model, db = GatedModel(), InMemoryDb()
    agent = Agent(model, db=db, session_id="s", user_id="ada")
    first = await agent.arun("one", background=True, run_id="bg2")
    while "bg2" not in get_active_runs():
        await asyncio.sleep(0)
    second = await agent.arun("two", background=True, user_id="eve")
    with pytest.warns(UserWarning, match=f"background run '{second.run_id}' could not start: .*belongs to"):
        await end_after_opening(model, first, second, db)


async def test_a_tool_starts_a_run_that_is_not_part_of_its_own() -> None:
    db = InMemoryDb()
    other = Agent(ScriptedModel(["Later."]), db=db, name="other")
    started: list[RunOutput] = []

    async def start() -> str:
        started.append(await other.arun("x", background=True, session_id="t"))
        return "started"

    run = await Agent(ScriptedModel([call("start"), "Done."]), db=db, tools=[start], session_id="s").arun("go")
    assert run.nested_runs == []
    ended = await end_of(started[0], db)
    assert (ended.content, ended.parent_run_id, ended.session_id) == ("Later.", None, "t")


def test_the_exit_of_the_interpreter_waits_for_runs_in_the_background(python: str, tmp_path: Path) -> None:
    code = """
import asyncio
from agno_nb import Agent, SqliteDb
from agno_nb.event_loop import background_loop, before_thread_pools_end
from agno_nb.models.base import Model, ModelResponse

class GatedModel(Model):
    id, provider, gate = "gated", "test", asyncio.Event()

    async def stream(self, request):
        await self.gate.wait()
        yield ModelResponse(content="Done.")

async def main():
    run = await Agent(GatedModel(), db=SqliteDb("talks.db")).arun("hello", background=True, run_id="r")
    print(run.status)

asyncio.run(main())
# The handler that is registered last is called first.
before_thread_pools_end(lambda: background_loop().call_soon_threadsafe(GatedModel.gate.set))
"""
    result = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("RUNNING\n", "")
    read = "from agno_nb import SqliteDb; print(SqliteDb('talks.db').get_run('r').content)"
    assert subprocess.run([python, "-c", read], cwd=tmp_path, capture_output=True, text=True).stdout == "Done.\n"
