"""People in the loop: a run that waits for somebody, and goes on when it was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import RunEvent, RunOutput, RunStatus

done: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@tool(requires_confirmation=True)
def delete(path: str) -> str:
    """Delete a file."""
    done.append(f"deleted {path}")
    return f"{path} is gone"


@tool(requires_user_input=True, user_input_fields=["to", "copies"])
def send(subject: str, to: str, copies: int = 1) -> str:
    """Send a letter.

    Args:
        to: Who gets it.
    """
    done.append(f"sent {subject} to {to} x{copies}")
    return "sent"


@tool(external_execution=True)
def shell(command: str) -> str:
    """Run a command."""
    raise AssertionError("it is carried out by a person")


def look(path: str) -> str:
    """Look at a file."""
    done.append(f"looked at {path}")
    return "4 bytes"


TOOLS: list[Any] = [delete, send, shell, look]


def continued(agent: Agent, *args: Any, **options: Any) -> RunOutput:
    return agent.continue_run(*args, **options)


def continued_stream(agent: Agent, *args: Any, **options: Any) -> RunOutput:
    events = list(agent.continue_run(*args, stream=True, **options))
    assert events[-1].run_output is not None
    return events[-1].run_output


def acontinued(agent: Agent, *args: Any, **options: Any) -> RunOutput:
    async def main() -> RunOutput:
        return await agent.acontinue_run(*args, **options)

    return asyncio.run(main())


def acontinued_stream(agent: Agent, *args: Any, **options: Any) -> RunOutput:
    async def main() -> RunOutput:
        last = [event async for event in agent.acontinue_run(*args, stream=True, **options)][-1]
        assert last.run_output is not None
        return last.run_output

    return asyncio.run(main())


door = pytest.mark.parametrize(
    "door", [continued, continued_stream, acontinued, acontinued_stream], ids=lambda door: door.__name__
)


@door
def test_a_confirmed_call_is_carried_out_and_the_same_run_goes_on(door: Callable[..., RunOutput]) -> None:
    model = ScriptedModel([[call("delete", path="a"), call("look", path="b")], "Both done."])
    agent = Agent(model, name="clerk", tools=TOOLS, db=InMemoryDb())
    run = agent.run("delete a, look at b")
    assert (run.status, run.is_paused, run.content) == (RunStatus.PAUSED, True, None)
    # The other tool of the batch was carried out first.
    assert done == ["looked at b"]
    (requirement,) = run.requirements
    assert (requirement.kind, requirement.tool.tool_name, requirement.tool.tool_args) == (
        "confirmation",
        "delete",
        {"path": "a"},
    )
    requirement.confirm()
    run_id = run.run_id
    answered = door(agent, run)
    assert (answered.run_id, answered.status, answered.content) == (run_id, RunStatus.COMPLETED, "Both done.")
    assert done == ["looked at b", "deleted a"]
    assert [(m.role, m.content) for m in answered.messages] == [
        ("user", "delete a, look at b"),
        ("assistant", None),
        ("tool", "a is gone"),
        ("tool", "4 bytes"),
        ("assistant", "Both done."),
    ]


@door
def test_a_new_agent_continues_by_ids_what_is_in_the_store(door: Callable[..., RunOutput]) -> None:
    db = DuckDb("store.duckdb")
    calls = [call("delete", path="a"), call("send", subject="hi"), call("shell", command="ls"), call("look", path="b")]
    first = Agent(ScriptedModel(["Hello.", calls]), name="clerk", tools=TOOLS, db=db, add_history_to_context=True)
    first.run("hello", session_id="s", user_id="ada")
    paused = first.run("do it all", session_id="s", user_id="ada")

    stored = DuckDb("store.duckdb").get_run(paused.run_id)
    assert stored is not None
    assert [(r.kind, r.tool.tool_name, r.is_resolved) for r in stored.requirements] == [
        ("confirmation", "delete", False),
        ("user_input", "send", False),
        ("external_execution", "shell", False),
    ]
    ask, fill, carry_out = stored.requirements
    ask.reject("not that one")
    fill.provide_user_input({"to": "Bob"})
    fill.provide_user_input({"copies": 2})
    carry_out.set_external_execution_result("file.txt")

    model = ScriptedModel(["All done."])
    second = Agent(
        model, name="clerk", instructions="Other.", tools=TOOLS, db=DuckDb("store.duckdb"), add_history_to_context=True
    )
    run = door(second, run_id=paused.run_id, session_id="s", user_id="ada", requirements=stored.requirements)
    assert (run.run_id, run.status, run.content) == (paused.run_id, RunStatus.COMPLETED, "All done.")
    assert done == ["looked at b", "sent hi to Bob x2"]
    (request,) = model.requests
    assert [(m.role, m.content) for m in request.messages] == [
        ("user", "hello"),
        ("assistant", "Hello."),
        ("user", "do it all"),
        ("assistant", None),
        ("tool", "The user refused this call, and it was not carried out. They say: not that one"),
        ("tool", "sent"),
        ("tool", "file.txt"),
        ("tool", "4 bytes"),
    ]
    again = db.get_run(paused.run_id)
    assert again is not None
    assert [(m.role, m.content) for m in again.messages] == [(m.role, m.content) for m in run.messages[2:]]
    assert [r.is_resolved for r in again.requirements] == [True, True, True]
    assert [r.tool.result for r in again.requirements] == [t.result for t in again.tools[:3]]


def test_several_pauses_in_one_run() -> None:
    db = InMemoryDb()
    model = ScriptedModel([call("delete", path="a"), call("delete", path="b"), "Gone."])
    agent = Agent(model, tools=TOOLS, db=db)
    run = agent.run("delete a, then b")
    run.requirements[0].confirm()
    run = agent.continue_run(run)
    assert run.status is RunStatus.PAUSED
    assert [r.tool.tool_args["path"] for r in run.active_requirements] == ["b"]
    for requirement in run.active_requirements:
        requirement.confirm()
    run = agent.continue_run(run)
    assert (run.status, run.content, done) == (RunStatus.COMPLETED, "Gone.", ["deleted a", "deleted b"])
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert [(r.tool.tool_args["path"], r.confirmed) for r in stored.requirements] == [("a", True), ("b", True)]


def family(asks: Callable[..., Any], db: Db | None, replies: list[Any], inner_replies: list[Any]) -> Agent:
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

    return Agent(ScriptedModel(replies), name="outer", tools=[{"ask": ask, "aask": aask}[asks.__name__], look], db=db)


def ask() -> None: ...
def aask() -> None: ...


@pytest.mark.parametrize("asks", [ask, aask], ids=["sync", "async"])
@pytest.mark.parametrize("stored", [False, True], ids=["unstored", "stored"])
def test_a_pause_in_a_nested_run_pauses_the_run_around_it(asks: Callable[..., Any], stored: bool) -> None:
    db = InMemoryDb() if stored else None
    asking = [call(asks.__name__, question="delete a?"), call("look", path="b")]
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
    # The tool is called again from its beginning; the run that it began goes on.
    assert sorted(done) == sorted(["asked delete a?", "looked at b", "asked delete a?", "deleted a"])


def test_a_nested_pause_is_continued_from_the_store_by_new_agents() -> None:
    db = InMemoryDb()
    first = family(ask, db, [call("ask", question="delete a?"), "unused"], [call("delete", path="a"), "unused"])
    paused = first.run("go", session_id="s")
    second = family(ask, db, ["All said."], ["Deleted it."])
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
