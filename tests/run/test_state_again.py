"""A new attempt at a turn starts with the session state of the first."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import AgnoNbError, RunError
from agno_nb.models.base import Model
from agno_nb.run.runnable import Runnable
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, Reply, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, RunStatus
from agno_nb.workflow import Parallel, StepInput, Workflow


def count(session_state: dict[str, Any], by: int = 1) -> str:
    """Count on."""
    session_state["n"] = session_state.get("n", 0) + by
    session_state.setdefault("seen", []).append(session_state["n"])
    return f"n is {session_state['n']}"


def counting(messages: list[Message], tools: Any) -> Reply:
    """Count as far as the user says, and return the result."""
    last = messages[-1]
    if last.role != "user":
        return last.content or ""
    return call("count", by=int(last.content)) if (last.content or "").isdigit() else "I do not count."


def agent(db: Db, **said: Any) -> Runnable:
    return Agent(FunctionModel(counting), db=db, session_id="s", tools=[count], **said)


def team(db: Db, **said: Any) -> Runnable:
    def lead(messages: list[Message], tools: Any) -> Reply:
        last = messages[-1]
        return (
            (last.content or "")
            if last.role == "tool"
            else call("delegate_task_to_member", member_id="counter", task=last.content)
        )

    member = Agent(FunctionModel(counting), name="counter", tools=[count])
    return Team([member], model=FunctionModel(lead), db=db, session_id="s", **said)


def workflow(db: Db, **said: Any) -> Runnable:
    """An agent and a function count side by side, and the agent once more after them."""

    def mark(step_input: StepInput, session_state: dict[str, Any]) -> str:
        session_state["marked"] = session_state.get("marked", 0) + 1
        return step_input.message

    counter = Agent(FunctionModel(counting), name="counter", tools=[count])
    return Workflow([mark, Parallel(counter, mark)], db=db, session_id="s", **said)


def states(runnable: Runnable, *texts: str, **options: Any) -> list[dict[str, Any]]:
    found = []
    for text in texts:
        runnable.run(text, **options)
        found.append(runnable.get_session_state())
    return found


@pytest.mark.parametrize("make", [agent, team, workflow], ids=lambda make: make.__name__)
def test_what_is_tried_again_counts_once(make: Any) -> None:
    db = InMemoryDb()
    runnable = make(db, session_state={"seen": [0]})
    first, second, third = states(runnable, "1", "10", "100")
    assert (first["n"], second["n"], third["n"]) == (1, 11, 111)
    runnable.regenerate()
    assert runnable.get_session_state() == third
    turns = [run for run in db.get_runs("s") if run.run_index is not None]
    runnable.regenerate(turns[1].run_id)
    assert runnable.get_session_state() == second
    runnable.run("5", run_index=0)
    assert runnable.get_session_state()["n"] == 5
    assert runnable.get_session_state()["seen"] == [0, 5]


def test_run_all_leaves_the_state_that_it_left_the_first_time() -> None:
    runnable = agent(InMemoryDb())
    first = states(runnable, "1", "2", "3")
    for place, text in enumerate("123"):
        assert states(runnable, text, run_index=place) == [first[place]]


def test_a_failed_attempt_counts_for_nothing_when_it_is_tried_again() -> None:
    answers = iter([call("count"), "One.", call("count"), RunError("down"), call("count"), "Two."])

    def answer(messages: list[Message], tools: Any) -> Reply:
        reply = next(answers)
        if isinstance(reply, Exception):
            raise reply
        return reply

    db = InMemoryDb()
    runnable = Agent(FunctionModel(answer), db=db, session_id="s", tools=[count])
    runnable.run("a")
    with pytest.raises(AgnoNbError):
        runnable.run("b")
    assert runnable.get_session_state()["n"] == 2
    runnable.regenerate()
    assert runnable.get_session_state() == {"n": 2, "seen": [1, 2]}


def test_what_was_cut_off_and_goes_on_keeps_what_its_tools_did() -> None:
    is_down = [True]

    def answer(messages: list[Message], tools: Any) -> Reply:
        if messages[-1].role == "tool" and is_down:
            raise RunError("down")
        # The prompt to continue is not a number.
        return counting(messages, tools) if (messages[-1].content or "").isdigit() else "Seven."

    db = InMemoryDb()
    runnable = Agent(FunctionModel(answer), db=db, session_id="s", tools=[count])
    with pytest.raises(AgnoNbError):
        runnable.run("7")
    is_down.clear()
    runnable.run("1")
    cut_off = db.get_runs("s")[0]
    went_on = runnable.regenerate(cut_off.run_id, from_partial=True)
    # The tool was not called again, and the later turn's changes are reverted.
    assert runnable.get_session_state() == went_on.session_state == {"n": 7, "seen": [7]}
    assert went_on.state_changes == cut_off.state_changes
    runnable.regenerate(cut_off.run_id)
    assert runnable.get_session_state() == {"n": 7, "seen": [7]}


@tool(requires_confirmation=True)
def ask_first(session_state: dict[str, Any]) -> str:
    """Count when it is allowed."""
    return count(session_state)


def test_what_a_run_did_before_and_after_a_pause_is_taken_back() -> None:
    db = InMemoryDb()
    runnable = Agent(
        ScriptedModel([call("count"), call("ask_first"), "Done.", "Nothing."]),
        db=db,
        session_id="s",
        tools=[count, ask_first],
    )
    paused = runnable.run("a")
    assert paused.status is RunStatus.PAUSED
    paused.requirements[0].confirm()
    done = runnable.continue_run(paused)
    assert runnable.get_session_state() == {"n": 2, "seen": [1, 2]}
    stored = db.get_run(done.run_id)
    assert stored is not None
    assert stored.state_changes == done.state_changes == [
        {"path": ["n"], "after": 2}, {"path": ["seen"], "after": [1, 2]},
    ]  # fmt: skip
    runnable.regenerate()
    assert runnable.get_session_state() == {}


def test_what_others_set_meanwhile_stays() -> None:
    runnable = agent(InMemoryDb())
    runnable.run("1")
    runnable.update_session_state({"n": 50, "mine": True})
    runnable.regenerate()
    assert runnable.get_session_state() == {"n": 51, "mine": True, "seen": [51]}


def test_continue_from_goes_on_with_the_state_of_that_run() -> None:
    runnable = agent(InMemoryDb())
    first = runnable.run("1")
    runnable.run("10")
    branch = runnable.continue_from(first.run_id, "5")
    assert branch.session_state == {"n": 6, "seen": [1, 6]}
    assert runnable.get_session_state("s") == {"n": 11, "seen": [1, 11]}


@pytest.mark.parametrize("make", [agent, team, workflow], ids=lambda make: make.__name__)
def test_a_cached_answer_leaves_the_state_as_its_run_did(make: Any) -> None:
    db = InMemoryDb()
    runnable = make(db)
    first = states(runnable, "1", "10")
    # The same session again, and another one.
    for place, text in enumerate(("1", "10")):
        assert states(runnable, text, run_index=place, cache=True) == [first[place]]
        assert runnable.get_last_run_output().state_changes
    for place, text in enumerate(("1", "10")):
        run = runnable.run(text, session_id="t", cache=True)
        asked = run.nested_runs[0] if run.kind == "workflow" else run
        assert asked.replay_of_run_id is not None
        assert runnable.get_session_state("t") == first[place]


def test_a_state_that_cannot_be_stored_is_told_and_nothing_is_noted() -> None:
    def spoil(session_state: dict[str, Any]) -> str:
        """Put something into the state."""
        session_state["x"] = object()
        return "ok"

    db = InMemoryDb()
    runnable = Agent(ScriptedModel([call("spoil"), "Done."]), db=db, session_id="s", tools=[spoil])
    with pytest.raises(AgnoNbError, match=r"session_state\['x'\] is of type object"):
        runnable.run("a")
    (run,) = db.get_runs("s")
    assert (run.status, run.state_changes) == (RunStatus.ERROR, [])


def test_without_a_store_a_run_tells_what_it_changed() -> None:
    model: Model = FunctionModel(counting)
    run = Agent(model, tools=[count], session_state={"n": 1}).run("2")
    assert run.session_state == {"n": 3, "seen": [3]}
    assert run.state_changes == [{"path": ["n"], "after": 3}, {"path": ["seen"], "after": [3]}]


KILLED = """
import os, sys
from agno_nb import Agent, DuckDb, FunctionModel
from agno_nb.testing import call

def add(item: str, session_state: dict) -> str:
    session_state.setdefault("items", []).append(item)
    return f"added {item}"

def answer(messages, tools):
    results = [message.content for message in messages if message.role == "tool"]
    if len(results) == 2 and sys.argv[1] == "die":
        os.kill(os.getpid(), 9)
    return ", ".join(results) if len(results) == 2 else call("add", item="ab"[len(results)])

agent = Agent(FunctionModel(answer), db=DuckDb("store.duckdb"), tools=[add], name="A", session_state={"owner": "ada"})
if sys.argv[1] == "die":
    agent.run("Add two", session_id="s")
run = agent.get_last_run_output("s")
print(agent.get_session_state("s"), [call.result for call in run.tools])
run = agent.continue_run(run_id=run.run_id) if sys.argv[1] == "continue" else agent.regenerate(run.run_id)
print(agent.get_session_state("s"), run.content)
"""


@pytest.mark.parametrize("how", ["continue", "regenerate"])
def test_a_killed_process_leaves_the_state_of_the_stored_results(tmp_path: Path, python: str, how: str) -> None:
    def start(argument: str) -> subprocess.CompletedProcess[str]:
        command = [python, "-W", "error", "-c", KILLED, argument]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert start("die").returncode == -9
    state = {"owner": "ada", "items": ["a", "b"]}
    gone_on = start(how)
    assert (gone_on.stdout.splitlines(), gone_on.stderr) == (
        [f"{state} ['added a', 'added b']", f"{state} added a, added b"],
        "",
    )


def test_a_state_that_is_as_at_the_start_again_has_no_changes() -> None:
    def add(session_state: dict[str, Any]) -> str:
        session_state["n"] = 1
        return "added"

    def take(session_state: dict[str, Any]) -> str:
        del session_state["n"]
        return "taken"

    db = InMemoryDb()
    agent = Agent(ScriptedModel([call("add"), call("take"), "Done."] * 2), db=db, tools=[add, take], session_id="s")
    run = agent.run("Go")
    assert (agent.get_session_state(), db.get_run(run.run_id).state_changes) == ({}, [])  # type: ignore[union-attr]
    workflow = Workflow([lambda session_state: add(session_state), lambda session_state: take(session_state)], db=db)
    run = workflow.run("Go", session_id="w")
    assert (workflow.get_session_state("w"), db.get_run(run.run_id).state_changes) == ({}, [])  # type: ignore[union-attr]


def test_a_state_that_cannot_be_stored_fails_the_run_at_its_end_only() -> None:
    def spoil(session_state: dict[str, Any]) -> str:
        session_state["bad"] = object()
        return "spoilt"

    db = InMemoryDb()
    agent = Agent(ScriptedModel([call("spoil"), "Done."]), db=db, tools=[spoil], session_id="s")
    with pytest.raises(AgnoNbError, match="bad"):
        agent.run("Go")
    stored = agent.get_last_run_output()
    assert stored is not None
    assert [message.content for message in stored.messages][-2:] == ["spoilt", "Done."]
