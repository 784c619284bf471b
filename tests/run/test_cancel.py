"""Interrupts and cancellations: partial text is kept, and nested work ends."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.run import cancel
from agno_nb.run.cancel import cancel_run, get_active_runs
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import INTERRUPTED_RESULT, RunEvent, RunOutput, RunOutputEvent, RunStatus
from tests.run.kinds import Make, kind, talk


class StallingModel(Model):
    """Says two words, then waits for ever."""

    id = "stalling"
    provider = "test"

    def __init__(self) -> None:
        self.closed = threading.Event()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        try:
            yield Delta(content="half ")
            yield Delta(content="an")
            await asyncio.Event().wait()
        finally:
            self.closed.set()


def interrupted_while(action: Callable[[], object], *, after: Callable[[float], object]) -> None:
    """Do `action` on this thread, and interrupt it as Ctrl-C does when `after` says so or has waited long enough."""

    def interrupt() -> None:
        after(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    action()


def words(event: RunOutputEvent) -> bool:
    return event.event.name == "run_content"


@kind
def test_closing_a_stream_cancels_the_run_and_keeps_the_partial_text(make: Make) -> None:
    model = StallingModel()
    with make(model).run("hello", stream=True, stream_events=True) as events:
        for said in ("half ", "an"):
            assert next(filter(words, events)).content == said
        final = [event for event in events.drain() if event.is_final][-1]
    assert final.event.name in ("run_cancelled", "workflow_cancelled")
    assert final.run_output is not None
    assert final.run_output.status is RunStatus.CANCELLED
    output = talk(final.run_output)
    assert (output.status, output.content) == (RunStatus.CANCELLED, "half an")
    assert [(m.role, m.content, m.finish_reason) for m in output.messages[-2:]] == [
        ("user", "hello", None),
        ("assistant", "half an", "interrupted"),
    ]
    assert model.closed.is_set()


@kind
def test_dropping_a_stream_cancels_the_run(make: Make) -> None:
    model = StallingModel()
    events = make(model).run("hello", stream=True, stream_events=True)
    assert next(filter(words, events)).content == "half "
    del events
    assert model.closed.wait(5)


@kind
def test_an_interrupt_in_a_stalled_stream_is_a_keyboard_interrupt(make: Make) -> None:
    model = StallingModel()
    events = make(model).run("hello", stream=True, stream_events=True)
    for said in ("half ", "an"):
        assert next(filter(words, events)).content == said
    with pytest.raises(KeyboardInterrupt):
        interrupted_while(events.__next__, after=threading.Event().wait)
    ended = [event.run_output for event in events.drain() if event.is_final]
    assert {run.status for run in ended if run is not None} == {RunStatus.CANCELLED}


def test_an_interrupt_in_a_tool_ends_the_run_though_the_tool_goes_on() -> None:
    release, begun = threading.Event(), threading.Event()

    def stuck() -> str:
        begun.set()
        release.wait(30)
        return "too late"

    def quick() -> str:
        return "in time"

    agent = Agent(ScriptedModel([[call("quick"), call("stuck")], "never"]), tools=[stuck, quick])
    events = agent.run("go", stream=True)
    with pytest.raises(KeyboardInterrupt):
        interrupted_while(events.__next__, after=lambda _: begun.wait(5))
    (final,) = events.drain()
    release.set()
    output = final.run_output
    assert output is not None
    assert output.status is RunStatus.CANCELLED
    assert [(m.role, m.content) for m in output.messages[2:]] == [("tool", "in time"), ("tool", INTERRUPTED_RESULT)]
    assert [t.tool_call_error for t in output.tools] == [False, True]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_cancelling_a_run_cancels_the_runs_that_its_tools_began(how: str) -> None:
    model = StallingModel()
    inner = Agent(model, name="inner")

    def ask() -> str:
        return str(inner.run("hello").content)

    async def aask() -> str:
        return str((await inner.arun("hello")).content)

    tool = ask if how == "sync" else aask
    outer = Agent(ScriptedModel([call(tool.__name__), "never"]), name="outer", tools=[tool])
    with outer.run("go", stream=True, stream_events=True) as events:
        for event in events:
            if event.component_name == "inner" and event.content == "an":
                break
        ended = [(event.component_name, event.event) for event in events.drain() if event.is_final]
    assert ended == [("inner", RunEvent.run_cancelled), ("outer", RunEvent.run_cancelled)]
    assert model.closed.is_set()


def test_cancelling_a_task_that_awaits_a_run_cancels_it() -> None:
    model = StallingModel()

    async def main() -> None:
        started = asyncio.Event()

        async def consume() -> None:
            async for _ in Agent(model).arun("hello", stream=True):
                started.set()

        task = asyncio.create_task(consume())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert model.closed.is_set()

    asyncio.run(main())


@kind
def test_cancelling_an_awaited_arun_waits_until_it_has_ended(make: Make) -> None:
    model = StallingModel()

    async def main() -> None:
        task = asyncio.ensure_future(make(model).arun("hello"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


@kind
def test_a_run_is_cancelled_by_its_id_from_another_thread(make: Make) -> None:
    model, db, started = StallingModel(), InMemoryDb(), threading.Event()
    runnable = make(model, db=db)

    def cancel() -> None:
        started.wait()
        assert runnable.cancel_run("r")

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with runnable.run("hello", stream=True, stream_events=True, run_id="r") as events:
        seen = []
        for event in events:
            seen.append(event)
            if words(event):
                started.set()
    canceller.join()
    assert seen[-1].is_final
    assert seen[-1].run_output is not None
    assert seen[-1].run_output.status is RunStatus.CANCELLED
    assert model.closed.is_set()
    assert db.get_run("r").status is RunStatus.CANCELLED  # type: ignore[union-attr]
    assert not runnable.cancel_run("r")
    assert get_active_runs() == {}


def test_cancelling_a_nested_run_that_ends_at_that_moment_leaves_the_outer_run_alone() -> None:
    async def main() -> tuple[bool, int, dict[str, bool]]:
        outer = asyncio.ensure_future(asyncio.Event().wait())
        cancel.tasks["nested"] = outer  # A step's run is executed by the task of its workflow.
        try:
            was_in_progress = cancel_run("nested")
        finally:
            del cancel.tasks["nested"]
        await asyncio.sleep(0)
        requests = outer.cancelling()
        outer.cancel()
        return was_in_progress, requests, get_active_runs()

    assert asyncio.run(main()) == (True, 0, {})
    assert cancel.requested == set()


def test_a_cancelled_run_is_returned_with_its_partial_text() -> None:
    agent = Agent(StallingModel())

    async def main() -> RunOutput:
        running = asyncio.ensure_future(agent.arun("hello", run_id="r2"))
        while not await agent.acancel_run("r2"):
            await asyncio.sleep(0)
        return await running

    run = asyncio.run(main())
    assert (run.run_id, run.status) == ("r2", RunStatus.CANCELLED)
