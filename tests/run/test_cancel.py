"""Interrupts and cancellations: partial text is kept, and nested work ends."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import RunNotContinuableError
from agno_nb.event_loop import background_loop, is_on_loop, run_blocking
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.run import cancel
from agno_nb.run.cancel import cancel_run, get_active_runs, is_cancelled
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import Tool
from agno_nb.types import INTERRUPTED_RESULT, RunEvent, RunOutput, RunOutputEvent, RunStatus, new_id
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
    model, db, started, run_id = StallingModel(), InMemoryDb(), threading.Event(), new_id()
    runnable = make(model, db=db)

    def cancel() -> None:
        started.wait()
        assert runnable.cancel_run(run_id)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with runnable.run("hello", stream=True, stream_events=True, run_id=run_id) as events:
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
    assert db.get_run(run_id).status is RunStatus.CANCELLED  # type: ignore[union-attr]
    assert not runnable.cancel_run(run_id)
    assert get_active_runs() == {}


def test_a_cancelled_run_is_returned_with_its_partial_text() -> None:
    agent = Agent(StallingModel())

    async def main() -> RunOutput:
        running = asyncio.ensure_future(agent.arun("hello", run_id="r2"))
        while "r2" not in get_active_runs():
            await asyncio.sleep(0)
        assert await agent.acancel_run("r2")
        return await running

    run = asyncio.run(main())
    assert (run.run_id, run.status) == ("r2", RunStatus.CANCELLED)


def test_a_cancelled_run_continues_only_if_the_call_says_how() -> None:
    def stop() -> str:
        """Stop the run that calls this."""
        cancel_run("r")
        return "stopped"

    agent = Agent(ScriptedModel([call("stop"), "Four."]), db=InMemoryDb(), tools=[stop])
    run = agent.run("Count", session_id="s", run_id="r")
    assert run.status is RunStatus.CANCELLED
    with pytest.raises(RunNotContinuableError, match=r"is CANCELLED, not PAUSED; use regenerate\(\) to run its turn"):
        agent.continue_run(run_id="r")
    again = agent.continue_run(run_id="r", input="Two and two?")
    assert (again.content, again.run_index, again.attempt) == ("Four.", 0, 1)


class CancellingDb(InMemoryDb):
    """Cancels a run while it stores the end of it."""

    is_uncontended = False

    def __init__(self, run_id: str, *, on_loop: bool) -> None:
        super().__init__()
        self.run_id, self.is_uncontended = run_id, on_loop

    def end_run(self, run: RunOutput, *args: Any, **kwargs: Any) -> None:
        super().end_run(run, *args, **kwargs)
        if run.run_id == self.run_id:
            self.answer = cancel_run(self.run_id)
            if not is_on_loop():
                # The loop does what the cancellation has asked for before the run goes on.
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0), background_loop()).result()


@kind
@pytest.mark.parametrize("on_loop", [True, False], ids=["on the loop", "in a thread"])
def test_a_run_whose_end_is_being_stored_can_no_longer_be_cancelled(make: Make, on_loop: bool) -> None:
    db = CancellingDb(new_id(), on_loop=on_loop)
    run = make(ScriptedModel(["Done."]), db=db).run("hello", run_id=db.run_id)
    assert (run.status, db.answer) == (RunStatus.COMPLETED, False)
    assert db.get_run(db.run_id).status is RunStatus.COMPLETED  # type: ignore[union-attr]


def test_a_late_cancellation_does_not_reach_the_next_run_of_the_same_task() -> None:
    """The loop receives the cancellation of a run when that has ended and another one has started."""

    class Canceller(Model):
        id, provider = "canceller", "test"

        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
            assert cancel_run(run_id)
            # The run ends without another turn of the loop.
            yield ModelResponse(content="One.")

    async def main() -> list[RunOutput]:
        first = await Agent(Canceller()).arun("1", run_id=run_id)
        return [first, await Agent(ScriptedModel(["Two."]), db=InMemoryDb()).arun("2")]

    run_id = new_id()
    assert [run.content for run in run_blocking(main())] == ["One.", "Two."]
    assert not is_cancelled(run_id)


@kind
def test_a_run_that_has_not_started_is_cancelled_at_its_start(make: Make) -> None:
    model, db = ScriptedModel(["Never."]), InMemoryDb()
    runnable = make(model, db=db)
    run_id = new_id()
    assert [runnable.cancel_run(run_id) for _ in range(2)] == [False, True]
    assert is_cancelled(run_id)
    run = runnable.run("hello", run_id=run_id)
    assert run.status is RunStatus.CANCELLED
    assert model.requests == []
    assert db.get_run(run_id).status is RunStatus.CANCELLED  # type: ignore[union-attr]
    assert not is_cancelled(run_id)
    assert runnable.run("hello").content == "Never."


def test_a_run_that_waits_for_its_turn_is_cancelled_at_its_start() -> None:
    model, db = StallingModel(), InMemoryDb()
    agent, other = Agent(model, db=db, session_id="s"), Agent(ScriptedModel([]), db=db, session_id="s")

    async def main() -> tuple[RunOutput, RunOutput]:
        first = asyncio.ensure_future(agent.arun("hello", run_id="first"))
        while "first" not in get_active_runs():
            await asyncio.sleep(0)
        second = asyncio.ensure_future(other.arun("hello", run_id="second"))
        await asyncio.sleep(0)
        assert not cancel_run("second")
        assert cancel_run("first")
        return await first, await second

    assert [run.status for run in asyncio.run(main())] == [RunStatus.CANCELLED] * 2


def test_an_earlier_cancellation_does_not_reach_a_paused_run_that_is_continued() -> None:
    def approve() -> str:
        return "yes"

    agent = Agent(ScriptedModel([call("approve"), "Done."]), tools=[Tool(approve, requires_confirmation=True)])
    run = agent.run("go")
    assert not agent.cancel_run(run.run_id)
    run.requirements[0].confirm()
    assert agent.continue_run(run).content == "Done."
    assert not is_cancelled(run.run_id)


def test_the_number_of_remembered_ids_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel, "MAX_REQUESTED", 2)
    for run_id in ("a", "b", "c"):
        cancel_run(run_id)
    assert [is_cancelled(run_id) for run_id in ("a", "b", "c")] == [False, True, True]
    for run_id in ("b", "c"):
        assert Agent(ScriptedModel(["x"])).run("go", run_id=run_id).status is RunStatus.CANCELLED


def test_the_message_of_a_run_that_is_cancelled_before_its_hooks_is_stored() -> None:
    db = InMemoryDb()
    agent = Agent(ScriptedModel([]), db=db, pre_hooks=[lambda: None])
    agent.cancel_run("hooked")
    run = agent.run("hello", run_id="hooked")
    assert [(each.role, each.content) for each in run.messages] == [("user", "hello")]
    stored = db.get_run("hooked")
    assert stored is not None
    assert [(each.role, each.content) for each in stored.messages] == [("user", "hello")]
