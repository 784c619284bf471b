"""Regenerating, continuing and branching keep old rows and link the new ones to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, ModelError, ModelStreamError, RunNotFoundError, SessionOwnershipError
from agno_nb.media import File
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.run.rewind import CONTINUE_PROMPT
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import Metrics, RunOutput, RunStatus, Session


def plain(agent: Agent, method: str, *args: Any, **options: Any) -> RunOutput:
    run: RunOutput = getattr(agent, method)(*args, **options)
    return run


def stream(agent: Agent, method: str, *args: Any, **options: Any) -> RunOutput:
    run: RunOutput = list(getattr(agent, method)(*args, stream=True, **options))[-1].run_output
    return run


def awaited(agent: Agent, method: str, *args: Any, **options: Any) -> RunOutput:
    async def main() -> RunOutput:
        run: RunOutput = await getattr(agent, f"a{method}")(*args, **options)
        return run

    return asyncio.run(main())


def awaited_stream(agent: Agent, method: str, *args: Any, **options: Any) -> RunOutput:
    async def main() -> RunOutput:
        events = getattr(agent, f"a{method}")(*args, stream=True, **options)
        run: RunOutput = [event async for event in events][-1].run_output
        return run

    return asyncio.run(main())


door = pytest.mark.parametrize("door", [plain, stream, awaited, awaited_stream], ids=lambda door: door.__name__)
Door = Callable[..., RunOutput]


@door
def test_a_turn_again_is_a_new_attempt_that_sees_what_the_old_one_saw(door: Door) -> None:
    db = InMemoryDb()
    model = ScriptedModel(["One.", "Two.", "Three.", "Two again."])
    agent = Agent(model, db=db, session_id="s", add_history_to_context=True)
    agent.run("first")
    second = agent.run("second", metadata={"lesson": 2}, files=[File(content=b"x", filename="x.txt")])
    agent.run("third")
    again = door(agent, "regenerate", second.run_id)
    assert (again.run_index, again.attempt, again.input, again.content) == (1, 1, "second", "Two again.")
    assert again.metadata == {"lesson": 2}
    assert [m.content for m in model.requests[-1].messages] == ["first", "One.", "second"]
    assert [media.content for media in model.requests[-1].messages[-1].media] == [b"x"]
    frame = db.runs_df().set_index("run_id")
    assert frame.loc[second.run_id, "superseded_by"] == again.run_id
    assert frame["stale"].tolist() == [False, False, True, False]


def test_without_a_name_it_is_the_last_turn() -> None:
    agent = Agent(ScriptedModel(["One.", "Two.", "Two again."]), db=InMemoryDb(), session_id="s")
    agent.run("first")
    agent.run("second")
    assert (agent.regenerate().run_index, agent.get_chat_history()[-1].content) == (1, "Two again.")


def test_a_failed_run_goes_on_with_what_its_tools_had_found() -> None:
    searched: list[str] = []

    def search(query: str) -> str:
        searched.append(query)
        return "42"

    db = InMemoryDb()
    model = ScriptedModel([call("search", query="x"), ModelError("the line was cut"), "It is 42."])
    agent = Agent(model, db=db, session_id="s", tools=[search])
    with pytest.raises(ModelError) as failed:
        agent.run("find x")
    assert failed.value.run_output is not None
    run = agent.regenerate(failed.value.run_output.run_id, from_partial=True)
    assert (run.content, run.attempt, searched) == ("It is 42.", 1, ["x"])
    assert [(m.role, m.content) for m in run.messages] == [
        ("user", "find x"),
        ("assistant", None),
        ("tool", "42"),
        ("assistant", "It is 42."),
    ]
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert [(t.tool_name, t.result) for t in stored.tools] == [("search", "42")]


class CutOff(Model):
    """Is cut off in its first answer."""

    id, provider = "cut-off", "test"

    def __init__(self) -> None:
        self.was_cut_off = False

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        if self.was_cut_off:
            yield ModelResponse(content="four", metrics=Metrics(output_tokens=1))
            return
        self.was_cut_off = True
        yield Delta(content="one ")
        yield Delta(content="two ")
        raise ModelStreamError("the line was cut")


def test_what_was_said_before_the_interrupt_is_said_once_and_counted_once() -> None:
    db = InMemoryDb()
    agent = Agent(CutOff(), db=db, session_id="s")
    with pytest.raises(ModelStreamError):
        agent.run("count")
    (cut_off,) = db.get_runs("s")
    assert (cut_off.status, cut_off.content) == (RunStatus.ERROR, "one two ")
    run = agent.regenerate(from_partial=True)
    assert run.content == "one two four"
    assert [(m.role, m.content) for m in run.messages[1:]] == [
        ("assistant", cut_off.content),
        ("user", CONTINUE_PROMPT),
        ("assistant", "four"),
    ]
    assert run.metrics.output_tokens == 1


def test_there_must_be_something_to_go_on_with() -> None:
    agent = Agent(ScriptedModel(["One."]), db=InMemoryDb(), session_id="s")
    with pytest.raises(RunNotFoundError, match="there is no turn yet in session 's'"):
        agent.regenerate()
    run = agent.run("first", user_id="ada")
    with pytest.raises(InvalidInputError, match="it was not interrupted"):
        agent.regenerate(run.run_id, from_partial=True, user_id="ada")
    with pytest.raises(SessionOwnershipError):
        agent.regenerate(run.run_id, user_id="bob")
    opened = RunOutput(session_id="s", user_id="ada", input="second")
    agent.store.open_run(opened, [], session=Session(session_id="s", user_id="ada"))
    with pytest.raises(InvalidInputError, match="appears to be still running"):
        agent.regenerate(from_partial=True, user_id="ada")
    with pytest.raises(RunNotFoundError, match="there is no run 'x'"):
        agent.regenerate("x")


@door
def test_a_branch_goes_on_from_a_run_and_leaves_the_session_as_it_is(door: Door) -> None:
    db = InMemoryDb()
    model = ScriptedModel(["One.", "Two.", "Otherwise."])
    agent = Agent(model, db=db, session_id="s", add_history_to_context=True)
    first = agent.run("first")
    agent.run("second")
    branch = door(agent, "continue_from", first.run_id, "otherwise")
    assert (branch.content, branch.run_index) == ("Otherwise.", 1)
    assert [m.content for m in model.requests[-1].messages] == ["first", "One.", "otherwise"]
    session = db.get_session(branch.session_id)
    assert session is not None
    assert (session.forked_from_session_id, session.forked_from_run_id) == ("s", first.run_id)
    assert [run.input for run in db.get_runs("s")] == ["first", "second"]
    frame = db.sessions_df().set_index("session_id")
    assert frame.loc[branch.session_id, "forked_from_run_id"] == first.run_id


def test_a_fork_at_a_superseded_attempt_has_that_attempt() -> None:
    db = InMemoryDb()
    agent = Agent(ScriptedModel(["Old.", "New."]), db=db, session_id="s")
    old = agent.run("question")
    agent.regenerate()
    fork = agent.fork_session(at_run=old.run_id)
    assert [run.content for run in fork.runs] == ["Old."]
    with pytest.raises(RunNotFoundError, match="has no turn 'x' to fork at"):
        agent.fork_session("s", at_run="x")
    with pytest.raises(InvalidInputError, match="got both to_run_index and at_run"):
        agent.fork_session("s", at_run=old.run_id, to_run_index=0)
