"""A nested run that pauses: both runs wait, and both continue."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import NestedRunPaused, RunNotContinuableError
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.types import Message, RunEvent, RunStatus, ToolSpec
from tests.run.clerk import TOOLS, done, look


def family(asks: str, db: Db | None, replies: list[Any], inner_replies: list[Any]) -> Agent:
    """An agent with a tool that asks another agent, which has a tool that must be confirmed."""
    inner = Agent(ScriptedModel(inner_replies), name="inner", tools=TOOLS)

    def ask(question: str) -> str:
        """Ask the expert."""
        done.append(f"asked {question}")
        return f"They say: {inner.run(question).content}"

    async def aask(question: str) -> str:
        """Ask the expert."""
        done.append(f"asked {question}")
        return f"They say: {(await inner.arun(question)).content}"

    return Agent(ScriptedModel(replies), name="outer", tools=[{"ask": ask, "aask": aask}[asks], look], db=db)


@pytest.mark.parametrize("asks", ["ask", "aask"])
@pytest.mark.parametrize("stored", [False, True], ids=["unstored", "stored"])
def test_a_pause_in_a_nested_run_pauses_the_run_around_it(asks: str, stored: bool) -> None:
    db = InMemoryDb() if stored else None
    asking = [call(asks, question="delete a?"), call("look", path="b")]
    agent = family(asks, db, [asking, "All said."], [call("delete", path="a"), "Deleted it."])
    events = list(agent.run("go", stream=True, stream_events=True))
    run = events[-1].run_output
    assert run is not None
    ended = [(event.component_name, event.event) for event in events if event.is_final]
    assert ended == [("inner", RunEvent.run_paused), ("outer", RunEvent.run_paused)]
    (requirement,) = run.requirements
    (nested,) = run.nested_runs
    assert (requirement.component_name, requirement.run_id) == ("inner", nested.run_id)
    assert (nested.parent_run_id, nested.parent_tool_call_id) == (run.run_id, run.tools[0].tool_call_id)

    requirement.confirm()
    events = list(agent.continue_run(run, stream=True, stream_events=True))
    again = [event.component_name for event in events if event.event is RunEvent.run_continued]
    assert again == ["outer", "inner"]
    assert run.content == "All said."
    assert [t.result for t in run.tools] == ["They say: Deleted it.", "4 bytes"]
    # The tool is called again from the start; the run that it started continues.
    assert sorted(done) == sorted(["asked delete a?", "looked at b", "asked delete a?", "deleted a"])


def test_a_nested_pause_is_continued_from_the_store_by_new_agents() -> None:
    db = InMemoryDb()
    first = family("ask", db, [call("ask", question="delete a?"), "unused"], [call("delete", path="a"), "unused"])
    paused = first.run("go", session_id="s")
    second = family("ask", db, ["All said."], ["Deleted it."])
    stored = db.get_run(paused.run_id, "s")
    assert stored is not None
    for requirement in stored.active_requirements:
        requirement.confirm()
    run = second.continue_run(run_id=paused.run_id, session_id="s", requirements=stored.requirements)
    assert (run.status, run.content) == (RunStatus.COMPLETED, "All said.")
    assert [t.result for t in run.tools] == ["They say: Deleted it."]
    outer, inner = db.get_runs("s")
    assert (inner.status, inner.content, inner.parent_run_id) == (RunStatus.COMPLETED, "Deleted it.", outer.run_id)
    assert [r.confirmed for r in outer.requirements] == [r.confirmed for r in inner.requirements] == [True]


def test_a_tool_may_answer_for_people_itself() -> None:
    inner = Agent(ScriptedModel([call("delete", path="a"), "Deleted it."]), name="inner", tools=TOOLS)

    def ask() -> str:
        """Ask the expert."""
        try:
            run = inner.run("delete a")
        except NestedRunPaused as paused:
            run = paused.run_output
            run.requirements[0].confirm()
            run = inner.continue_run(run)
        return str(run.content)

    run = Agent(ScriptedModel([call("ask"), "All said."]), tools=[ask]).run("go")
    assert (run.status, run.tools[0].result, run.requirements) == (RunStatus.COMPLETED, "Deleted it.", [])


def test_a_nested_run_is_continued_by_the_run_around_it() -> None:
    inner = Agent(ScriptedModel([call("delete", path="a")]), name="inner", tools=TOOLS)

    def ask() -> str:
        """Ask the expert."""
        return str(inner.run("delete a").content)

    run = Agent(ScriptedModel([call("ask")]), tools=[ask]).run("go")
    (nested,) = run.nested_runs
    nested.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError, match=f"is part of run '{run.run_id}'; continue that run instead"):
        inner.continue_run(nested)


def test_inner_runs_that_had_ended_are_not_run_again() -> None:
    inner = Agent(ScriptedModel(["Ready.", call("delete", path="a"), "Deleted it."]), name="inner", tools=TOOLS)

    def ask() -> str:
        """Ask the expert twice."""
        return f"{inner.run('ready?').content} {inner.run('delete a').content}"

    agent = Agent(ScriptedModel([call("ask"), "All said."]), tools=[ask], db=InMemoryDb())
    run = agent.run("go")
    run.requirements[0].confirm()
    run = agent.continue_run(run)
    assert run.tools[0].result == "Ready. Deleted it."
    assert [nested.status for nested in run.nested_runs] == [RunStatus.COMPLETED] * 2


def test_a_pause_inside_a_pause_inside_a_run_comes_out() -> None:
    def outermost(replies: list[list[Any]], db: Db) -> Agent:
        deepest = Agent(ScriptedModel(replies[2]), name="deepest", tools=TOOLS)

        def deeper() -> str:
            """Ask further."""
            return str(deepest.run("delete a").content)

        middle = Agent(ScriptedModel(replies[1]), name="middle", tools=[deeper])

        def deep() -> str:
            """Ask."""
            return str(middle.run("ask further").content)

        return Agent(ScriptedModel(replies[0]), name="outermost", tools=[deep], db=db)

    db = InMemoryDb()
    paused = outermost([[call("deep")], [call("deeper")], [call("delete", path="a")]], db).run("go", session_id="s")
    stored = db.get_run(paused.run_id)
    assert stored is not None
    assert [r.component_name for r in stored.requirements] == ["deepest"]
    stored.requirements[0].confirm()
    agent = outermost([["Outer."], ["Middle."], ["Deep."]], db)
    run = agent.continue_run(run_id=paused.run_id, requirements=stored.requirements)
    assert (run.content, run.tools[0].result, done) == ("Outer.", "Middle.", ["deleted a"])
    assert {one.status for one in db.get_runs("s")} == {RunStatus.COMPLETED}


@pytest.mark.parametrize("reloaded", [False, True], ids=["object", "store"])
def test_a_tool_that_asks_two_agents_at_once_gets_both_answers(reloaded: bool) -> None:
    async def both() -> str:
        """Ask both."""
        runs = await asyncio.gather(*(agent.arun("delete it") for agent in inner))
        return " ".join(str(run.content) for run in runs)

    # Which of the two pauses first, and whether the other is stopped by that, is up to the loop.
    inner = [
        Agent(FunctionModel(deletes_once), name="ada", tools=TOOLS),
        Agent(FunctionModel(deletes_once), name="bob", tools=TOOLS),
    ]
    db = InMemoryDb()
    agent = Agent(ScriptedModel([call("both"), "All said."]), tools=[both], db=db, session_id="s")
    run = agent.run("go")
    while run.is_paused:
        if reloaded:
            stored = db.get_run(run.run_id)
            assert stored is not None
            run = stored
        for requirement in run.active_requirements:
            requirement.confirm()
        ids = {"run_id": run.run_id, "requirements": run.requirements}
        run = agent.continue_run(**ids) if reloaded else agent.continue_run(run)
    assert (run.content, run.tools[0].result) == ("All said.", "Done. Done.")
    assert done == ["deleted a", "deleted a"]
    completed = [nested.component_name for nested in run.nested_runs if nested.status is RunStatus.COMPLETED]
    assert sorted(map(str, completed)) == ["ada", "bob"]


def deletes_once(messages: list[Message], tools: list[ToolSpec]) -> Any:
    return "Done." if messages[-1].role == "tool" else call("delete", path="a")
