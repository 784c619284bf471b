"""``continue_run()`` of runs that have ended: from any of their messages, or for another answer."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, RunError, RunNotContinuableError
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import Tool, tool
from agno_nb.types import RunOutput
from agno_nb.workflow import Workflow


def population(city: str) -> str:
    """Look it up."""
    return {"Paris": "2.1 M", "Tokyo": "13.9 M"}[city]


def expert(*replies: Any, **settings: Any) -> tuple[Agent, ScriptedModel, InMemoryDb]:
    model, db = ScriptedModel([call("population", city="Paris"), "It is 2.1 M.", *replies]), InMemoryDb()
    agent = Agent(model, name="expert", tools=[population], db=db, session_id="s", **settings)
    return agent, model, db


def sent(model: ScriptedModel) -> list[tuple[str, str | None]]:
    """Return the roles and texts of the latest request."""
    return [(message.role, message.content) for message in model.requests[-1].messages]


QUESTION = [("user", "Paris?"), ("assistant", None), ("tool", "2.1 M")]


@pytest.mark.parametrize(
    ("options", "expected", "index"),
    [
        ({"input": "And Tokyo?"}, [*QUESTION, ("assistant", "It is 2.1 M."), ("user", "And Tokyo?")], 4),
        ({"continue_from": "last_user", "input": "I mean Tokyo."}, [QUESTION[0], ("user", "I mean Tokyo.")], 1),
        ({"continue_from": "last_user"}, QUESTION[:1], 1),
        ({"continue_from": 3}, QUESTION, 3),
        ({"continue_from": 2, "input": "Stop."}, [QUESTION[0], ("user", "Stop.")], 1),
        ({"continue_from": 0, "input": "Tokyo?"}, [("user", "Tokyo?")], 0),
        ({"regenerate": True}, QUESTION, 3),
        ({"regenerate": True, "additional_instructions": "Shorter."}, [*QUESTION, ("user", "Shorter.")], 3),
        ({}, QUESTION, 3),
    ],
    ids=[
        "input",
        "last_user and input",
        "last_user",
        "3",
        "pairs stay whole",
        "0",
        "regenerate",
        "instructions",
        "none",
    ],
)
def test_a_new_attempt_starts_from_a_part_of_the_messages(
    options: dict[str, Any], expected: list[tuple[str, str | None]], index: int
) -> None:
    agent, model, db = expert("Again.")
    run = agent.run("Paris?")
    again = agent.continue_run(run_id=run.run_id, **options)
    assert sent(model) == expected
    assert (again.content, again.run_index, again.attempt) == ("Again.", 0, 1)
    assert (again.forked_from_run_id, again.forked_from_message_index) == (run.run_id, index)
    assert again.regenerated_from == (run.run_id if "regenerate" in options else None)
    stored = db.get_run(again.run_id)
    assert stored is not None
    assert (stored.forked_from_run_id, stored.regenerated_from) == (run.run_id, again.regenerated_from)
    assert [(m.role, m.content) for m in stored.messages] == [*expected, ("assistant", "Again.")]
    original = db.get_run(run.run_id)
    assert original is not None
    assert original.content == "It is 2.1 M."


@pytest.mark.parametrize("options", [{"regenerate": True, "replace_original": False}, {"fork": True, "input": "And?"}])
def test_both_runs_stay_in_the_history(options: dict[str, Any]) -> None:
    agent, model, _ = expert("Again.", "Later.")
    agent.add_history_to_context = True
    run = agent.run("Paris?")
    again = agent.continue_run(run, add_history_to_context=False, **options)
    assert (again.run_index, again.attempt) == (1, 0)
    agent.run("Both?")
    answers = [text for role, text in sent(model) if role == "assistant" and text]
    assert answers[0] == "It is 2.1 M."
    assert answers[-1] == "Again."


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"fork": True, "input": "And?"}, [*QUESTION, ("assistant", "It is 2.1 M."), ("user", "And?")]),
        ({"fork": True, "continue_from": "last_user"}, QUESTION[:1]),
        ({"regenerate": True, "replace_original": False}, QUESTION),
    ],
    ids=["fork", "fork from the question", "regenerate"],
)
def test_the_history_of_a_fork_ends_before_its_source(
    options: dict[str, Any], expected: list[tuple[str, str | None]]
) -> None:
    agent, model, _ = expert(add_history_to_context=True)
    agent.model = ScriptedModel(["Hi."])
    agent.run("Hello")
    agent.model = model
    run = agent.run("Paris?")
    agent.model = model = ScriptedModel(["Later.", "Again.", "Once more."])
    agent.run("later")
    before = [("user", "Hello"), ("assistant", "Hi.")]
    again = agent.continue_run(run, **options)
    assert sent(model) == [*before, *expected]
    assert again.run_index == 3
    # The messages of a fork of the fork have those of both, so neither is in its history.
    agent.continue_run(again, fork=True, input="Why?")
    assert sent(model) == [*before, *expected, ("assistant", "Again."), ("user", "Why?")]


def test_the_history_of_a_paused_fork_ends_before_its_source() -> None:
    def approve(city: str) -> str:
        return f"{city}: yes"

    agent, model, _ = expert(call("approve", city="Paris"), "Done.", add_history_to_context=True)
    agent.tools = [population, Tool(approve, requires_confirmation=True)]
    agent.run("Hello there")
    run = agent.get_last_run_output("s")
    paused = agent.continue_run(run, fork=True, input="Approve it.")
    assert paused.is_paused
    stored = agent.get_run_output(paused.run_id)
    stored.requirements[0].confirm()
    assert agent.continue_run(stored).content == "Done."
    texts = [text for role, text in sent(model) if role == "user"]
    assert texts == ["Hello there", "Approve it."]


def test_the_history_has_the_new_attempt_only() -> None:
    agent, model, _ = expert("Again.", "Later.", add_history_to_context=True)
    run = agent.run("Paris?")
    agent.continue_run(run, regenerate=True)
    agent.run("And?")
    assert sent(model) == [*QUESTION, ("assistant", "Again."), ("user", "And?")]


def test_a_failed_run_is_tried_again_from_where_it_failed() -> None:
    agent, _, _ = expert()
    agent.model = ScriptedModel([call("population", city="Paris")])
    with pytest.raises(RunError) as failure:
        agent.run("Paris?")
    run = failure.value.run_output
    assert run is not None
    agent.model = again = ScriptedModel(["It is 2.1 M."])
    assert agent.continue_run(run_id=run.run_id).content == "It is 2.1 M."
    assert sent(again) == QUESTION


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"replace_original": False}, "replace_original needs regenerate=True"),
        ({"regenerate": True, "fork": True}, "regenerate=True cannot be combined with continue_from or fork"),
        ({"regenerate": True, "continue_from": 1}, "regenerate=True cannot be combined"),
        ({"continue_from": "start"}, 'continue_from is \'start\'; pass "end", "last_user", or a number'),
        ({"continue_from": 9}, "continue_from is 9"),
        ({"continue_from": 0}, "continue_from=0 keeps no user message"),
    ],
)
def test_options_that_contradict_are_refused(options: dict[str, Any], problem: str) -> None:
    agent, model, _ = expert()
    run = agent.run("Paris?")
    with pytest.raises(InvalidInputError, match=problem):
        agent.continue_run(run, **options)
    assert len(model.requests) == 2


@pytest.mark.parametrize("options", [{"input": "And?"}, {"regenerate": True}, {"continue_from": 0, "input": "Go"}])
def test_a_run_in_progress_is_not_continued_from_its_messages(options: dict[str, Any]) -> None:
    begun, release = threading.Event(), threading.Event()

    def wait() -> str:
        """Wait."""
        begun.set()
        release.wait(30)
        return "done"

    model = ScriptedModel([call("wait"), "Done."])
    agent = Agent(model, tools=[wait], db=InMemoryDb(), session_id="s")
    running = threading.Thread(target=lambda: agent.run("Wait.", run_id="r"))
    running.start()
    assert begun.wait(30)
    try:
        with pytest.raises(RunNotContinuableError, match="run 'r' appears to be still running; stop it first"):
            agent.continue_run(run_id="r", **options)
    finally:
        release.set()
        running.join()
    assert len(model.requests) == 2


@pytest.mark.parametrize("options", [{"continue_from": 0}, {"continue_from": 0, "input": "Go"}])
def test_the_first_message_is_a_place_to_continue_from_too(options: dict[str, Any]) -> None:
    @tool(requires_confirmation=True)
    def send() -> str:
        """Send."""
        return "sent"

    agent = Agent(ScriptedModel([call("send")]), tools=[send], db=InMemoryDb(), session_id="s")
    paused = agent.run("Send it.")
    with pytest.raises(InvalidInputError, match="is paused; resolve its requirements and call continue_run"):
        agent.continue_run(paused, **options)


async def test_the_entry_points_of_continue_run() -> None:
    agent, _, _ = expert("One.", "Two.", "Three.")
    run = agent.run("Paris?")
    assert (await agent.acontinue_run(run_id=run.run_id, input="1")).content == "One."
    events = [event async for event in agent.acontinue_run(run_id=run.run_id, input="2", stream=True)]
    assert events[-1].content == "Two."
    *_, last = agent.continue_run(run, input="3", stream=True, yield_run_output=True)
    assert isinstance(last, RunOutput)
    assert last.content == "Three."


def test_a_run_of_a_team_is_continued() -> None:
    model = ScriptedModel([call("delegate_task_to_member", member_id="ada", task="x"), "Ours.", "Again."])
    team = Team([Agent(ScriptedModel(["Mine."]), name="ada")], model=model, db=InMemoryDb())
    run = team.run("go")
    again = team.continue_run(run, regenerate=True)
    assert (again.content, again.attempt) == ("Again.", 1)
    assert [role for role, _ in sent(model)] == ["system", "user", "assistant", "tool"]


def test_a_completed_workflow_is_not_continued() -> None:
    flow = Workflow([lambda step_input: "done"], db=InMemoryDb())
    with pytest.raises(RunNotContinuableError, match="it is COMPLETED, not"):
        flow.continue_run(flow.run("go"), input="more")


@pytest.mark.parametrize("options", [{"input": "And?"}, {"fork": True}, {"regenerate": True}], ids=str)
def test_a_tool_cannot_start_its_own_run_again(options: dict[str, Any]) -> None:
    def again(run_context: Any) -> str:
        agent.continue_run(run_id=run_context.run_id, session_id="s", **options)
        raise AssertionError

    agent = Agent(ScriptedModel([call("again"), "Stopped."]), tools=[again], db=InMemoryDb(), session_id="s")
    run = agent.run("go")
    assert (run.content, run.tools[0].tool_call_error, run.nested_runs) == ("Stopped.", True, [])
    assert "appears to be still running" in str(run.tools[0].result)


KILLED = """
import json, os, sys
from pathlib import Path
from agno_nb import Agent, DuckDb, FunctionModel
from agno_nb.testing import call

log = Path("log.txt")

def look(item: str) -> str:
    with log.open("a") as file:
        file.write("looked\\n")
    return f"{item}!"

def answer(messages, tools):
    if sys.argv[1] == "die" and log.exists() and Path("done").exists():
        os.kill(os.getpid(), 9)
    last = messages[-1]
    results = [message.content for message in messages if message.role == "tool"]
    return f"{last.role}: {' '.join(results)}" if results else call("look", item="owl")

agent = Agent(FunctionModel(answer), db=DuckDb("store.duckdb"), tools=[look], name="A")
if sys.argv[1] == "die":
    run = agent.run("What?", session_id="s")
    Path("done").touch()
    agent.continue_run(run_id=run.run_id, **json.loads(sys.argv[2]))
else:
    last = max(agent.store.get_runs("s"), key=lambda run: run.created_at)
    print(last.interrupted, [message.role for message in last.messages], [call.result for call in last.tools])
    print(agent.continue_run(run_id=last.run_id).content)
"""


@pytest.mark.parametrize(
    ("options", "roles", "content"),
    [
        ({"regenerate": True}, ["user", "assistant", "tool"], "tool: owl!"),
        ({"regenerate": True, "replace_original": False}, ["user", "assistant", "tool"], "tool: owl!"),
        ({"input": "And?"}, ["user", "assistant", "tool", "assistant", "user"], "user: owl!"),
        ({"input": "And?", "fork": True}, ["user", "assistant", "tool", "assistant", "user"], "user: owl!"),
    ],
    ids=["regenerate", "regenerate as a new turn", "input", "fork"],
)
def test_a_kill_before_the_first_answer_loses_nothing_that_the_run_starts_from(
    tmp_path: Path, python: str, options: dict[str, Any], roles: list[str], content: str
) -> None:
    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [python, "-W", "error", "-c", KILLED, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert start("die", json.dumps(options)).returncode == -9
    gone_on = start("continue")
    assert (gone_on.stdout.splitlines(), gone_on.stderr) == ([f"True {roles} ['owl!']", content], "")
    assert (tmp_path / "log.txt").read_text() == "looked\n"
