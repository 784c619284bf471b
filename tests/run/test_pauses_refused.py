"""Runs that cannot be continued, and the errors."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import (
    InvalidInputError,
    RunNotContinuableError,
    RunNotFoundError,
    SessionOwnershipError,
)
from agno_nb.run.continue_run import INTERRUPTED_RESULT
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import Tool, tool
from agno_nb.types import RunStatus
from tests.run.clerk import TOOLS, done, look, paused_run


def test_an_unresolved_requirement_is_named_with_its_call() -> None:
    agent, run = paused_run()
    with pytest.raises(InvalidInputError, match=r'still needs confirmation in the call delete\(\{"path": "a"\}\)'):
        agent.continue_run(run)
    assert (run.status, done) == (RunStatus.PAUSED, [])
    run.requirements[0].confirm()
    assert agent.continue_run(run_response=run).content == "Done."  # type: ignore[call-overload] # agno's name.


def test_a_run_that_is_not_paused_cannot_be_continued() -> None:
    agent, run = paused_run(InMemoryDb())
    run.requirements[0].confirm()
    agent.continue_run(run)
    with pytest.raises(RunNotContinuableError, match="is COMPLETED, not PAUSED; use regenerate\\(\\)"):
        agent.continue_run(run)
    with pytest.raises(RunNotContinuableError, match="is COMPLETED, not PAUSED"):
        agent.continue_run(run_id=run.run_id)
    with pytest.raises(RunNotFoundError, match="there is no run 'nonsense' in session 's'"):
        agent.continue_run(run_id="nonsense", session_id="s")
    with pytest.raises(InvalidInputError, match="takes one run; pass the RunOutput"):
        agent.continue_run()


def test_only_its_user_continues_a_run() -> None:
    db = InMemoryDb()
    agent, run = paused_run(db, user_id="ada")
    run.requirements[0].confirm()
    with pytest.raises(SessionOwnershipError, match=r"belongs to user 'ada'.* as user 'bob'; pass user_id='ada'"):
        agent.continue_run(run, user_id="bob")
    with pytest.raises(SessionOwnershipError, match="without a user_id"):
        agent.continue_run(run_id=run.run_id, requirements=run.requirements)
    assert done == []
    assert agent.continue_run(run_id=run.run_id, requirements=run.requirements, user_id="ada").content == "Done."


def test_a_run_is_continued_by_the_agent_that_was_asked() -> None:
    db = InMemoryDb()
    _, run = paused_run(db)
    run.requirements[0].confirm()
    other = Agent(ScriptedModel([]), name="cook", tools=TOOLS, db=db)
    with pytest.raises(RunNotContinuableError, match="belongs to agent 'clerk', not to agent 'cook'"):
        other.continue_run(run)


def test_a_tool_that_is_gone_or_takes_other_arguments_is_told_before_anything_is_done() -> None:
    db = InMemoryDb()
    _, run = paused_run(db)
    run.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError, match=r"waits for tool 'delete'.* has no such tool"):
        Agent(ScriptedModel([]), name="clerk", tools=[look], db=db).continue_run(run)

    def delete(file: str) -> str:
        raise AssertionError("it does not take these arguments")

    with pytest.raises(InvalidInputError, match="delete does not take these arguments"):
        Agent(ScriptedModel([]), name="clerk", tools=[delete], db=db).continue_run(run)
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert stored.status is RunStatus.PAUSED
    # Rejected calls need no tool.
    run.requirements[0].reject()
    assert Agent(ScriptedModel(["Fine."]), name="clerk", db=db).continue_run(run).content == "Fine."


def test_after_a_newer_attempt_the_old_one_cannot_be_continued() -> None:
    agent, run = paused_run(InMemoryDb(), reply="Second try.")
    newer = agent.regenerate(run.run_id)
    assert (newer.run_index, newer.attempt, newer.content) == (0, 1, "Second try.")
    run.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError, match=f"superseded by run '{newer.run_id}'"):
        agent.continue_run(run)
    assert done == []


CONTINUE = """
import sys
from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.errors import RunNotContinuableError
from agno_nb.testing import ScriptedModel
from agno_nb.tools import tool

@tool(requires_confirmation=True)
def delete(path: str) -> str:
    with open("done.txt", "a") as file:
        file.write("deleted\\n")
    return "gone"

agent = Agent(ScriptedModel(["Done."]), name="clerk", tools=[delete], db=DuckDb("store.duckdb"))
run = agent.get_run_output(sys.argv[1])
run.requirements[0].confirm()
print("ready", flush=True)
sys.stdin.readline()
try:
    print(agent.continue_run(run).content)
except RunNotContinuableError as error:
    print(type(error).__name__)
"""


def test_of_two_processes_only_one_continues(python: str) -> None:
    _, run = paused_run(DuckDb("store.duckdb"))
    command, pipe = [python, "-c", CONTINUE, run.run_id], subprocess.PIPE
    children = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    assert [child.stdout.readline() for child in children if child.stdout] == ["ready\n"] * 2
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate()[0].strip() for child in children]
    assert sorted(said) == ["Done.", "RunNotContinuableError"]
    assert Path("done.txt").read_text() == "deleted\n"


def test_what_is_asked_is_checked_when_it_is_given() -> None:
    agent = Agent(ScriptedModel([[call("send", subject="hi"), call("delete", path="a")]]), tools=TOOLS)
    run = agent.run("send it")
    fill = next(r for r in run.requirements if r.kind == "user_input")
    ask = next(r for r in run.requirements if r.kind == "confirmation")
    assert [(f.name, f.description, f.field_type) for f in fill.user_input_fields] == [
        ("to", "Who gets it.", "string"),
        ("copies", "", "integer"),
    ]
    with pytest.raises(InvalidInputError, match="has no input field 'subject'; it has to, copies"):
        fill.provide_user_input({"subject": "other"})
    with pytest.raises(InvalidInputError, match="invalid value 'many' for copies"):
        fill.provide_user_input({"to": "Bob", "copies": "many"})
    assert [f.is_given for f in fill.user_input_fields] == [False, False]
    with pytest.raises(InvalidInputError, match=r"confirm\(\) cannot resolve .*: it requires user input"):
        fill.confirm()
    with pytest.raises(ValueError, match=r"use confirm\(\) or reject\(\)"):
        ask.set_external_execution_result("x")
    assert (ask.needs_confirmation, fill.needs_user_input, run.tools_requiring_confirmation) == (True, True, [ask.tool])


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"requires_confirmation": True, "external_execution": True}, "choose one"),
        ({"user_input_fields": ["to"]}, "it needs requires_user_input=True too"),
        ({"requires_user_input": True, "user_input_fields": ["too"]}, 'did you mean "to"?'),
    ],
)
def test_a_tool_that_asks_for_what_cannot_be_is_refused(said: dict[str, Any], problem: str) -> None:
    def letter(to: str) -> str:
        return to

    with pytest.raises(InvalidInputError) as refused:
        Tool(letter, **said)
    assert problem in str(refused.value)


def test_an_interrupted_continuation_leaves_a_cancelled_run() -> None:
    db = InMemoryDb()
    _, run = paused_run(db)
    run.requirements[0].confirm()
    begun, release = threading.Event(), threading.Event()

    def slow(path: str) -> str:
        begun.set()
        release.wait(30)
        return "too late"

    agent = Agent(ScriptedModel(["never"]), name="clerk", tools=[tool(name="delete")(slow)], db=db)
    with agent.continue_run(run, stream=True):
        assert begun.wait(10)
    release.set()
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert (stored.status, stored.tools[0].result) == (RunStatus.CANCELLED, INTERRUPTED_RESULT)
    with pytest.raises(RunNotContinuableError, match="is CANCELLED"):
        agent.continue_run(run_id=run.run_id)


def test_a_run_stored_without_its_tool_calls_is_continued_as_an_object_only() -> None:
    db = InMemoryDb()
    model = ScriptedModel([call("delete", path="a"), "Done."])
    agent = Agent(model, tools=TOOLS, db=db, store_tool_messages=False)
    run = agent.run("delete a")
    run.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError, match="stored without its tool calls"):
        agent.continue_run(run_id=run.run_id, requirements=run.requirements)
    assert agent.continue_run(run).content == "Done."
