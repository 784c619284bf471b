"""Interrupts at every point and with every entry point, with a strict server."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import ModelRequestError, RunInterrupted
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.types import INTERRUPTED_RESULT, Message, RunOutput, RunStatus
from tests.fakes.strict import StrictServer, calls, says


@pytest.fixture
def server() -> Iterator[StrictServer]:
    with StrictServer() as server:
        yield server


class HeldDb(InMemoryDb):
    """A store whose next save of a message is held until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.held: Callable[[], object] | None = None
        self.held_end: Callable[[], object] | None = None

    def add_messages(self, run: RunOutput, messages: Sequence[Message]) -> None:
        held, self.held = self.held, None
        if held:
            held()
        super().add_messages(run, messages)

    def end_run(self, run: RunOutput, *args: Any, **kwargs: Any) -> None:
        held, self.held_end = self.held_end, None
        if held:
            held()
        super().end_run(run, *args, **kwargs)


@dataclass
class Scene:
    """Where a run is when it is interrupted."""

    server: StrictServer
    api: type[OpenAIChat | OpenAIResponses] = OpenAIChat
    db: HeldDb = field(default_factory=HeldDb)
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    ends_when_released: bool = False
    """Whether the run cannot end before it is released, interrupted or not."""

    def hold(self) -> str:
        self.reached.set()
        self.release.wait(30)
        return "too late"

    def agent(self, *tools: Callable[..., Any]) -> Agent:
        return Agent(
            self.api("strict", base_url=self.server.base_url, api_key="none"),
            db=self.db,
            tools=tools,
            session_id="s",
            add_history_to_context=True,
        )


def in_the_stream(scene: Scene) -> Agent:
    scene.server.will_say(says("half an", then="stall"))
    return scene.agent()


def in_a_sync_tool(scene: Scene) -> Agent:
    def stuck() -> str:
        return scene.hold()

    def quick() -> str:
        return "in time"

    scene.server.will_say(calls(("quick", {}), ("stuck", {})))
    return scene.agent(stuck, quick)


def in_an_async_tool(scene: Scene) -> Agent:
    async def waits() -> str:
        scene.reached.set()
        await asyncio.Event().wait()
        return "never"

    scene.server.will_say(calls(("waits", {})))
    return scene.agent(waits)


def in_a_tool_that_ignores_it(scene: Scene) -> Agent:
    async def stubborn() -> str:
        scene.reached.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "all the same"
        return "never"

    scene.server.will_say(calls(("stubborn", {})))
    return scene.agent(stubborn)


def in_a_nested_agent(scene: Scene) -> Agent:
    def stuck() -> str:
        return scene.hold()

    inner = scene.agent(stuck)
    inner.name = "inner"

    def ask() -> str:
        return str(inner.run("inner question").content)

    scene.server.will_say(calls(("ask", {})), calls(("stuck", {}), first_id=7))
    return scene.agent(ask)


def in_a_save(scene: Scene) -> Agent:
    def quick() -> str:
        scene.db.held = lambda: (scene.reached.set(), scene.release.wait(30))
        return "in time"

    scene.ends_when_released = True
    # The interrupt may come late, and finds the run in the next answer then.
    scene.server.will_say(calls(("quick", {})), says("never heard", then="stall"))
    return scene.agent(quick)


PLACES = [
    in_the_stream,
    in_a_sync_tool,
    in_an_async_tool,
    in_a_tool_that_ignores_it,
    in_a_nested_agent,
    in_a_save,
]


def when_reached(scene: Scene, act: Callable[[], object]) -> threading.Thread:
    def watch() -> None:
        scene.reached.wait(30)
        act()
        if scene.ends_when_released:
            scene.release.set()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def run(agent: Agent, scene: Scene) -> None:
    watcher = when_reached(scene, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(RunInterrupted) as caught:
        agent.run("go")
    watcher.join()
    # A notebook shows no traceback of the thread that waited.
    stored = "" if agent.db is None else "; its partial output is stored"
    assert caught.value._render_traceback_() == [f"RunInterrupted: the run was interrupted{stored}"]


def run_stream(agent: Agent, scene: Scene) -> None:
    watcher = when_reached(scene, lambda: os.kill(os.getpid(), signal.SIGINT))

    def read() -> None:
        # The interrupt may come in this loop as well as in the stream, and leaving `with` waits for the end in both.
        with agent.run("go", stream=True) as events:
            for event in events:
                if event.content == "an ":
                    scene.reached.set()

    with pytest.raises(KeyboardInterrupt):
        read()
    watcher.join()


def arun(agent: Agent, scene: Scene) -> None:
    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(agent.arun("go"))
        watcher = when_reached(scene, lambda: loop.call_soon_threadsafe(task.cancel))
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(watcher.join)

    asyncio.run(main())


def arun_stream(agent: Agent, scene: Scene) -> None:
    async def read() -> None:
        async with agent.arun("go", stream=True) as events:
            async for event in events:
                if event.content == "an ":
                    scene.reached.set()

    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(read())
        watcher = when_reached(scene, lambda: loop.call_soon_threadsafe(task.cancel))
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(watcher.join)

    asyncio.run(main())


DOORS = [run, run_stream, arun, arun_stream]
CASES = [
    (place, door)
    for place in PLACES
    for door in DOORS
    # Without events, the arrival of the words is unknown.
    if place is not in_the_stream or door in (run_stream, arun_stream)
]


@pytest.mark.parametrize("api", [OpenAIChat, OpenAIResponses])
@pytest.mark.parametrize(("place", "door"), CASES, ids=lambda part: part.__name__)
def test_after_an_interrupt_the_session_is_valid_and_goes_on(
    place: Callable[[Scene], Agent],
    door: Callable[[Agent, Scene], None],
    api: type[OpenAIChat | OpenAIResponses],
    server: StrictServer,
) -> None:
    scene = Scene(server, api)
    agent = place(scene)
    door(agent, scene)

    (stopped,) = [one for one in scene.db.get_runs("s") if one.run_index is not None]
    assert stopped.status is RunStatus.CANCELLED
    assert [one.status for one in scene.db.get_runs("s")] == [RunStatus.CANCELLED] * len(scene.db.get_runs("s"))
    assert [call.tool_name for call in stopped.tools if call.result is None] == []
    if place is in_the_stream:
        assert (stopped.content, stopped.messages[-1].finish_reason) == ("half an ", "interrupted")

    scene.release.set()
    server.forget()
    server.will_say(says("Fine."), says("other half."))
    assert agent.run("and now?").status is RunStatus.COMPLETED
    again = agent.regenerate(stopped.run_id, from_partial=True)
    assert (again.status, server.refused) == (RunStatus.COMPLETED, [])
    assert again.content.endswith("other half. ")
    if place is in_the_stream:
        assert again.content == "half an other half. "
    assert len(server.requests[-1].body["messages" if api is OpenAIChat else "input"]) > 2


def test_the_second_interrupt_does_not_wait_for_the_store(server: StrictServer) -> None:
    scene = Scene(server)
    agent = in_an_async_tool(scene)
    saving = threading.Event()
    scene.db.held_end = lambda: (saving.set(), scene.release.wait(30))

    def interrupt_twice() -> None:
        scene.reached.wait(30)
        os.kill(os.getpid(), signal.SIGINT)
        saving.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt_twice)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        agent.run("go")
    watcher.join()
    scene.release.set()
    server.will_say(says("Fine."))
    # The next run of the session waits until the stopped one is stored.
    assert agent.run("and now?").content == "Fine. "
    first, _ = scene.db.get_runs("s")
    assert (first.status, [call.result for call in first.tools]) == (RunStatus.CANCELLED, [INTERRUPTED_RESULT])


def test_the_server_refuses_what_is_not_valid(server: StrictServer) -> None:
    """Without this the tests above would prove nothing."""
    invalid = {"messages": [{"role": "assistant", "content": ""}, {"role": "user", "content": "hello"}]}
    agent = Agent(OpenAIChat("strict", base_url=server.base_url, api_key="none", extra_body=invalid))
    with pytest.raises(ModelRequestError, match="assistant message without content"):
        agent.run("hello")
    assert server.refused == ["assistant message without content"]
