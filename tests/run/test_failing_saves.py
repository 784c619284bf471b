"""A store that fails at any write of a turn: the error is a StoreError, nothing is lost, and the process continues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.errors import InvalidInputError, RunError, RunNotFoundError, StoreError
from agno_nb.run.continue_run import INTERRUPTED_RESULT
from agno_nb.run.runnable import Runnable
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, Reply, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, Requirement, RunOutput, RunStatus
from agno_nb.workflow import Parallel, StepInput, Workflow
from tests.run import clerk
from tests.run.failing import FailingDb

done: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


def look() -> str:
    """Look."""
    done.append("looked")
    return "seen"


@tool(requires_confirmation=True)
def send() -> str:
    """Send."""
    done.append("sent")
    return "it is sent"


def talker(name: str, *tools: str) -> Agent:
    """An agent that calls all its tools at once, and then repeats their results."""

    def reply(messages: list[Message], specs: Any) -> Reply:
        since = messages[max(n for n, message in enumerate(messages) if message.role == "user") :]
        results = [str(message.content) for message in since if message.role == "tool"]
        if results or not tools:
            return f"{name}: {', '.join(results)}"
        return [call(each) for each in tools]

    return Agent(FunctionModel(reply), name=name, tools=[look, send])


def agent(db: FailingDb) -> Runnable:
    made = talker("solo", "look", "look")
    made.db = db
    return made


def pausing_agent(db: FailingDb) -> Runnable:
    made = talker("clerk", "look", "send")
    made.db = db
    return made


def _team(db: FailingDb, *members: Agent) -> Team:
    def lead(messages: list[Message], specs: Any) -> Reply:
        results = [str(message.content) for message in messages if message.role == "tool"]
        if results:
            return f"team: {'; '.join(results)}"
        return [call("delegate_task_to_member", member_id=each.component_id, task="do it") for each in members]

    return Team(list(members), model=FunctionModel(lead), name="team", db=db)


def team(db: FailingDb) -> Runnable:
    return _team(db, talker("ada", "look"), talker("bob"))


def pausing_team(db: FailingDb) -> Runnable:
    return _team(db, talker("ada", "look", "send"), talker("bob", "look"))


def _count(step_input: StepInput, session_state: dict[str, Any]) -> str:
    done.append("counted")
    session_state["count"] = session_state.get("count", 0) + 1
    return f"counted {session_state['count']}"


def workflow(db: FailingDb) -> Runnable:
    return Workflow([_count, Parallel(talker("ada", "look"), talker("bob")), _count], name="line", db=db)


def pausing_workflow(db: FailingDb) -> Runnable:
    return Workflow([_count, Parallel(talker("ada", "look", "send"), _count)], name="line", db=db)


Make = Callable[[FailingDb], Runnable]
PLAIN: list[Make] = [agent, team, workflow]
PAUSING: list[Make] = [pausing_agent, pausing_team, pausing_workflow]


def to_the_end(runnable: Runnable, run: RunOutput) -> RunOutput:
    """Approve what a run waits for, as often as it waits."""
    while run.is_paused:
        for requirement in run.active_requirements:
            requirement.confirm()
            done.append("approved")
        run = runnable.continue_run(run)
    return run


def whole(make: Make) -> tuple[RunOutput, int, list[str]]:
    """A turn in a working store, with its number of writes and its effects."""
    db = FailingDb()
    runnable = make(db)
    run = to_the_end(runnable, runnable.run("go", session_id="s"))
    effects = sorted(done)
    done.clear()
    return run, db.num_writes, effects


def carried_on(runnable: Runnable, error: StoreError, session_id: str) -> RunOutput:
    """Do in the same process what a person does after `error`: continue what can be continued, else try again."""
    run = error.run_output
    assert run is not None
    if run.is_paused or (run.kind == "workflow" and run.run_index is not None and run.status is RunStatus.ERROR):
        for requirement in run.active_requirements:
            requirement.confirm()
            done.append("approved")
        return to_the_end(runnable, runnable.continue_run(run))
    if run.status is RunStatus.COMPLETED:
        return run
    try:
        again = runnable.regenerate(run.run_id, session_id=session_id, from_partial=True)
    except (InvalidInputError, RunNotFoundError):  # Nothing had been said.
        again = runnable.run("go", session_id=session_id)
    return to_the_end(runnable, again)


def cases(makes: list[Make]) -> list[Any]:
    return [
        pytest.param(make, down, after_commit, id=f"{make.__name__}{' down' * down}{' after commit' * after_commit}")
        for make in makes
        for down in (False, True)
        for after_commit in (False, True)
    ]


@pytest.mark.parametrize(("make", "down", "after_commit"), cases(PLAIN + PAUSING))
def test_a_store_that_fails_at_any_write_of_a_turn(make: Make, down: bool, after_commit: bool) -> None:
    expected, num_writes, effects = whole(make)
    db = FailingDb(for_good=down, after_commit=after_commit)
    for number in range(num_writes):
        done.clear()
        session_id = f"s{number}"
        db.fails_next(number)
        runnable = make(db)
        with pytest.raises(StoreError, match=r"^write \d+ failed") as caught:
            to_the_end(runnable, runnable.run("go", session_id=session_id))
        run = caught.value.run_output
        assert run is not None
        assert run.status is not RunStatus.RUNNING
        db.works_again()
        ended = carried_on(runnable, caught.value, session_id)
        assert ended.status is RunStatus.COMPLETED
        # No call was carried out more often than a person approved it, and no result that was known was lost.
        assert done.count("sent") <= done.count("approved")
        if INTERRUPTED_RESULT not in ended.get_content_as_string():
            assert ended.content == expected.content
            if make in (agent, pausing_agent):
                assert sorted(done) == effects
        # The next write stores what could not be stored.
        assert Agent(ScriptedModel(["ok"]), db=db).run("next", session_id="other").content == "ok"
        runs = db.get_runs(session_id)
        assert [each.status for each in runs if each.status is RunStatus.RUNNING] == []
        stored = db.get_run(ended.run_id)
        assert stored is not None
        assert (stored.status, stored.content) == (RunStatus.COMPLETED, ended.content)
        own = [message for message in ended.messages if not message.from_history]
        assert [(m.role, m.content) for m in stored.messages] == [(m.role, m.content) for m in own]
        assert [(step.path, step.status) for step in stored.step_results] == [
            (step.path, step.status) for step in ended.step_results
        ]
    assert db.verify() == []


TOOL_CALLS: dict[str, tuple[dict[str, Any], Callable[[Requirement], Any]]] = {
    "delete": ({"path": "a"}, lambda requirement: requirement.confirm()),
    "send": ({"subject": "hi"}, lambda requirement: requirement.provide_user_input({"to": "Ada", "copies": 2})),
    "shell": ({"command": "ls"}, lambda requirement: requirement.set_external_execution_result("a b")),
}
RESULTS = {"delete": "a is gone", "send": "sent", "shell": "a b"}


def asking(name: str, *calls: str) -> Agent:
    def reply(messages: list[Message], specs: Any) -> Reply:
        since = messages[max(n for n, message in enumerate(messages) if message.role == "user") :]
        results = [str(message.content) for message in since if message.role == "tool"]
        return "; ".join(results) if results else [call(each, **TOOL_CALLS[each][0]) for each in calls]

    return Agent(FunctionModel(reply), name=name, tools=clerk.TOOLS)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("kind", TOOL_CALLS)
@pytest.mark.parametrize("is_team", [False, True])
def test_an_answer_that_cannot_be_stored_is_still_asked_for(is_team: bool, kind: str, down: bool) -> None:
    db = FailingDb()
    solo = asking("solo", kind)
    runnable: Runnable = _team(db, solo) if is_team else solo
    runnable.db = db
    runnable.run("go", session_id="other")
    num_writes = db.num_writes
    for number in range(1, num_writes):
        clerk.done.clear()
        db = runnable.db = FailingDb(number, for_good=down)
        with pytest.raises(StoreError, match="failed") as caught:
            runnable.run("go", session_id="s")
        db.works_again()
        run = caught.value.run_output
        assert run is not None
        if not run.is_paused:
            # The leader's request or the opening of the member's run was not stored: nobody has called the tool yet.
            assert is_team
            continue
        (requirement,) = run.active_requirements
        assert clerk.done == []
        TOOL_CALLS[kind][1](requirement)
        ended = runnable.continue_run(run)
        assert (ended.status, RESULTS[kind] in ended.content) == (RunStatus.COMPLETED, True)
        assert INTERRUPTED_RESULT not in ended.content


class Stopped(BaseException):
    """Ends a run in the middle of its tools."""


@pytest.mark.parametrize("kind", TOOL_CALLS)
@pytest.mark.parametrize("make", [Agent, Team])
def test_a_call_that_no_person_was_asked_for_pauses_the_attempt_that_continues(make: type[Agent], kind: str) -> None:
    failures = [Stopped()]

    def slow() -> str:
        """Take long."""
        if failures:
            raise failures.pop()
        return "slow"

    model = ScriptedModel([[call("slow"), call(kind, **TOOL_CALLS[kind][0])], "Done."])
    settings: dict[str, Any] = {"tools": [slow, *clerk.TOOLS], "db": FailingDb(), "session_id": "s"}
    runnable = Team([talker("bob")], model=model, **settings) if make is Team else Agent(model, **settings)
    with pytest.raises(RunError, match="Stopped") as caught:
        runnable.run("go")
    first = caught.value.run_output
    assert first is not None
    assert (first.status, first.requirements) == (RunStatus.ERROR, [])
    paused = runnable.regenerate(from_partial=True)
    assert (paused.status, paused.attempt) == (RunStatus.PAUSED, 1)
    (requirement,) = paused.active_requirements
    assert (requirement.tool.tool_name, requirement.may_have_run) == (kind, False)
    TOOL_CALLS[kind][1](requirement)
    ended = runnable.continue_run(run_id=paused.run_id, requirements=paused.requirements)
    assert ended.content == "Done."
    # The other call was started, and is not made again.
    results = {each.tool_name: each.result for each in ended.tools}
    assert results == {"slow": INTERRUPTED_RESULT, kind: RESULTS[kind]}
    sent = [(m.role, m.content) for m in model.requests[-1].messages]
    assert sent[-2:] == [("tool", INTERRUPTED_RESULT), ("tool", RESULTS[kind])]


def test_calls_beyond_the_limit_are_not_asked_about_after_a_failed_save() -> None:
    db = FailingDb()
    model = ScriptedModel([[call("delete", path="a"), call("delete", path="b")], "Done."])
    agent = Agent(model, db=db, tools=clerk.TOOLS, tool_call_limit=1, session_id="s")
    db.fails_at = (1,)  # Write 0 opens the run, and write 1 stores the answer with its calls.
    with pytest.raises(StoreError) as caught:
        agent.run("delete both")
    assert caught.value.run_output is not None
    (requirement,) = caught.value.run_output.requirements
    assert requirement.tool.tool_args == {"path": "a"}
