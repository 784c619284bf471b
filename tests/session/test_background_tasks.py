"""Background tasks run after the answer, and their readers wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from agno_nb import event_loop
from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.session import SessionSummaryManager
from agno_nb.testing import FunctionModel
from agno_nb.types import RunEvent
from tests.session.writing import HeldModel, echo, numbered


@pytest.fixture
def held() -> Iterator[HeldModel]:
    model = HeldModel()
    yield model
    model.let_go.set()


@pytest.fixture
def agent(db: Db, held: HeldModel) -> Agent:
    return Agent(FunctionModel(echo), db=db, session_id="s", session_summary_manager=SessionSummaryManager(held))


async def whatever_the_loop_has_to_do() -> None:
    for _ in range(20):
        await event_loop.run_awaiting(asyncio.sleep(0))


def test_the_answer_is_there_before_the_summary(agent: Agent, db: Db, held: HeldModel) -> None:
    assert agent.run("hello").content == "you said hello"
    assert held.asked.wait(30)
    assert not held.done.is_set()
    assert db.get_summary("s") is None
    held.let_go.set()
    assert str(agent.get_session_summary()) == "summary 0"


def test_a_stream_ends_before_the_summary(agent: Agent, held: HeldModel) -> None:
    events = list(agent.run("hello", stream=True, stream_events=True))
    assert events[-1].event is RunEvent.run_completed
    assert held.asked.wait(30)
    assert not held.done.is_set()


async def test_the_next_run_of_the_session_waits_and_sees_it(agent: Agent, db: Db, held: HeldModel) -> None:
    await agent.arun("first")
    second = asyncio.create_task(agent.arun("second"))
    await whatever_the_loop_has_to_do()
    assert [run.input for run in db.get_runs("s")] == ["first"]
    held.let_go.set()
    run = await second
    summary = db.get_summary("s")
    assert summary is not None
    assert "summary 0" in (run.messages[0].content or "")
    # It starts after waiting, so that the store can determine the messages of a summary.
    assert run.created_at >= summary.updated_at


async def test_a_run_that_is_cancelled_while_it_waits_leaves_the_summary_alone(
    agent: Agent, db: Db, held: HeldModel
) -> None:
    await agent.arun("first")
    second = asyncio.create_task(agent.arun("second"))
    await whatever_the_loop_has_to_do()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    held.let_go.set()
    assert str(await agent.aget_session_summary()) == "summary 0"
    assert [run.input for run in db.get_runs("s")] == ["first"]


def test_another_session_does_not_wait(agent: Agent, held: HeldModel) -> None:
    agent.run("first")
    assert held.asked.wait(30)
    assert agent.run("elsewhere", session_id="other").content == "you said elsewhere"
    assert not held.done.is_set()


def test_a_session_that_is_deleted_meanwhile_is_not_missed(agent: Agent, db: Db, held: HeldModel) -> None:
    agent.run("first")
    assert held.asked.wait(30)
    assert db.delete_session("s")
    held.let_go.set()
    agent.run("a new beginning")
    summary = agent.get_session_summary()
    assert summary is not None
    assert (summary.version, summary.from_run_index, summary.to_run_index) == (0, 0, 0)


async def test_concurrent_runs_of_a_session_are_summarised_in_their_order(db: Db) -> None:
    manager = SessionSummaryManager(numbered())
    agent = Agent(FunctionModel(echo), db=db, session_id="s", session_summary_manager=manager)
    await asyncio.gather(*(agent.arun(f"q{number}") for number in range(5)))
    await agent.aget_session_summary()
    versions = db.query("select version, from_run_index, to_run_index from summaries order by version").df()
    assert versions.to_numpy().tolist() == [[number, 0, number] for number in range(5)]


async def test_five_who_wait_in_async_tools_do_not_keep_it_from_being_made(db: Db, held: HeldModel) -> None:
    # Waiting takes no thread of the pool that the store works in.
    manager = SessionSummaryManager(held)
    agent = Agent(FunctionModel(echo), db=db, session_id="s", session_summary_manager=manager)
    await agent.arun("hello")

    async def everybody() -> list[str]:
        return [str(each) for each in await asyncio.gather(*(agent.aget_session_summary() for _ in range(100)))]

    waiting = asyncio.create_task(event_loop.run_awaiting(everybody()))
    await whatever_the_loop_has_to_do()
    held.let_go.set()
    assert await waiting == ["summary 0"] * 100
