"""An approved call whose process died needs a second approval before it runs again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, StoreError
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.settings import AgnoNb
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, Reply, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, RunOutput, RunStatus
from agno_nb.workflow import Parallel, Workflow
from tests.db.processes import start
from tests.notebook.command_line import run_command
from tests.run.clerk import TOOLS, done
from tests.run.failing import FailingDb

PROGRAM = """
import os, sys, threading
from pathlib import Path
from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool

path, kind, dies = sys.argv[1:]
log = Path(path).with_suffix(".log")

@tool(requires_confirmation=True)
def send() -> str:
    "Send."
    with log.open("a") as file:
        file.write("sent ")
    if dies:
        os.kill(os.getpid(), 9)
    return "it is sent"

@tool(requires_user_input=True)
def pay(amount: int) -> str:
    "Pay."
    if dies:
        threading.Event().wait()  # "send" ends the process while this call runs
    return f"paid {amount}"

db = DuckDb(path)
calls = [call("send"), call("pay")] if kind == "agent" else [call("send")]
solo = Agent(ScriptedModel([calls, "Done."]), name="clerk", tools=[send, pay])
if kind == "team":
    leader = ScriptedModel([call("delegate_task_to_member", member_id="clerk", task="go"), "The clerk is done."])
    runnable = Team([solo], model=leader, db=db, session_id="s")
else:
    solo.db, solo.session_id = db, "s"
    runnable = solo

def answered(run):
    for requirement in run.active_requirements:
        if requirement.kind == "confirmation":
            requirement.confirm()
        else:
            requirement.provide_user_input({"amount": 3})
    return run

run = runnable.run("go")
runnable.continue_run(answered(run))
"""


@pytest.mark.parametrize("kind", ["agent", "team"])
def test_a_call_that_a_dead_process_started_needs_a_new_approval(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "store.duckdb"
    process = start(PROGRAM, path, kind, "dies")
    process.communicate(timeout=60)
    log = path.with_suffix(".log")
    assert log.read_text() == "sent "
    db = DuckDb(path)
    turn = db.get_runs("s")[0]
    assert (turn.status, turn.interrupted) == (RunStatus.RUNNING, True)

    runnable = rebuilt(kind, db, log)
    paused = runnable.continue_run(run_id=turn.run_id, session_id="s")
    assert paused.status is RunStatus.PAUSED
    asked = [each for each in paused.active_requirements if each.kind == "confirmation"]
    assert [each.tool.tool_name for each in asked] == ["send"]
    assert "This call was started before and its result is unknown" in asked[0].question
    assert log.read_text() == "sent "
    # The same is read from the store, in another process.
    stored = db.get_run(turn.run_id)
    assert stored is not None
    assert (stored.status, stored.interrupted) == (RunStatus.PAUSED, False)
    assert [each.tool.tool_name for each in stored.active_requirements if each.kind == "confirmation"] == ["send"]
    for requirement in stored.active_requirements:
        if requirement.kind == "confirmation":
            requirement.confirm()
        else:
            requirement.provide_user_input({"amount": 3})
    ended = runnable.continue_run(run_id=turn.run_id, session_id="s", requirements=stored.requirements)
    assert (ended.status, log.read_text()) == (RunStatus.COMPLETED, "sent sent ")


def rebuilt(kind: str, db: DuckDb, log: Path) -> Agent:
    @tool(requires_confirmation=True)
    def send() -> str:
        """Send."""
        with log.open("a") as file:
            file.write("sent ")
        return "it is sent"

    @tool(requires_user_input=True)
    def pay(amount: int) -> str:
        """Pay."""
        return f"paid {amount}"

    solo = Agent(ScriptedModel(["Done."]), name="clerk", tools=[send, pay])
    if kind == "team":
        return Team([solo], model=ScriptedModel(["The clerk is done."]), db=db)
    solo.db = db
    return solo


def commands(notebook: Notebook, capsys: pytest.CaptureFixture[str], line: str) -> str:
    name, *words = line.split()
    run_command(notebook, name, words)
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", ["agent", "team"])
@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_the_commands_of_a_notebook_ask_again_about_a_call_that_a_dead_process_started(
    tmp_path: Path, kind: str, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store.duckdb"
    start(PROGRAM, path, kind, "dies").communicate(timeout=60)
    log, db = path.with_suffix(".log"), DuckDb(path)
    runnable = rebuilt(kind, db, log)
    notebook = Notebook({"clerk": runnable}, tmp_path, AgnoNb())
    notebook.db, notebook.runnable = db, runnable
    run_command(notebook, "resume", ["s"])
    capsys.readouterr()
    asked = "asks to call send({}). This call was started before and its result is unknown"
    for line in ("pending", "continue"):
        assert asked in commands(notebook, capsys, line)
    run = db.get_runs("s")[0]
    assert (run.interrupted, log.read_text()) == (True, "sent ")
    with pytest.raises(InvalidInputError, match=r"use continue_run\(\), which asks again"):
        runnable.regenerate(session_id="s", from_partial=True)
    ids = {each.tool.tool_name: each.short_id for each in run.requirements}
    if kind == "agent":
        # The values were given for a call that may have been made. An answer that is stored is not asked for again.
        assert "pay" in commands(notebook, capsys, "pending")
        commands(notebook, capsys, f"answer {ids['pay']} amount=4")
        assert "pay" not in commands(notebook, capsys, "pending")
        assert asked in commands(notebook, capsys, "pending")
        assert log.read_text() == "sent "
    commands(notebook, capsys, f"{verb} {ids['send']}")
    ended = db.get_runs("s")[0]
    assert ended.status is RunStatus.COMPLETED
    assert log.read_text() == ("sent sent " if verb == "approve" else "sent ")
    results = {call.tool_name: call.result for call in [*ended.tools, *(t for n in ended.nested_runs for t in n.tools)]}
    refused = "This call was started before and its result is unknown. The user refused to run it again."
    assert results["send"] == ("it is sent" if verb == "approve" else refused)
    assert kind == "team" or results["pay"] == "paid 4"
    assert "no pending approvals" in commands(notebook, capsys, "pending")


def interrupted(db: InMemoryDb, run: RunOutput, monkeypatch: pytest.MonkeyPatch) -> RunOutput:
    """Make a run look as if its process had died after it started the approved calls."""
    from agno_nb.db import process_id

    again = db.get_run(run.run_id)
    assert again is not None
    for requirement in again.requirements:
        requirement.confirm()
        requirement.started_at = 1.0
    db.reopen_run(again)
    process_id.runs_in_progress.discard(run.run_id)
    return again


def test_a_person_may_refuse_it_and_the_model_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    db = InMemoryDb()
    model = ScriptedModel([call("delete", path="a"), "I see."])
    agent = Agent(model, tools=TOOLS, db=db, session_id="s")
    run = agent.run("delete a")
    interrupted(db, run, monkeypatch)
    paused = agent.continue_run(run_id=run.run_id)
    assert (paused.is_paused, done) == (True, [])
    paused.active_requirements[0].reject("check first")
    assert agent.continue_run(paused).content == "I see."
    assert model.requests[-1].messages[-1].content == (
        "This call was started before and its result is unknown. The user refused to run it again. "
        "They say: check first"
    )


def test_to_confirm_all_blindly_is_not_a_new_approval(monkeypatch: pytest.MonkeyPatch) -> None:
    db = InMemoryDb()
    agent = Agent(ScriptedModel([call("delete", path="a"), "Done."]), tools=TOOLS, db=db, session_id="s")
    run = agent.run("delete a")
    interrupted(db, run, monkeypatch)
    stored = db.get_run(run.run_id)
    assert stored is not None
    # No question has mentioned yet that it was started before.
    stored.requirements[0].confirm()
    paused = agent.continue_run(run_id=run.run_id, requirements=stored.requirements)
    assert (paused.is_paused, done) == (True, [])


def test_the_start_is_stored_before_the_call_and_the_result_after_it() -> None:
    db = InMemoryDb()
    seen: list[Any] = []

    @tool(requires_confirmation=True)
    def send() -> str:
        """Send."""
        (run,) = db.get_runs("s")
        seen.append(run.requirements[0].started_at)
        return "sent"

    agent = Agent(ScriptedModel([call("send"), "Done."]), tools=[send], db=db, session_id="s")
    run = agent.run("go")
    assert run.requirements[0].started_at is None
    run.requirements[0].confirm()
    agent.continue_run(run)
    assert seen == [run.requirements[0].started_at]
    assert isinstance(seen[0], float)


def test_a_run_that_cannot_be_reopened_keeps_its_approval() -> None:
    db = FailingDb()
    agent = Agent(ScriptedModel([call("delete", path="a"), "Done."]), tools=TOOLS, db=db, session_id="s")
    run = agent.run("delete a")
    run.requirements[0].confirm()
    db.fails_from_now_on()
    with pytest.raises(StoreError) as caught:
        agent.continue_run(run)
    assert (caught.value.run_output, run.status, done) == (run, RunStatus.PAUSED, [])
    assert run.requirements[0].started_at is None
    db.works_again()
    assert (agent.continue_run(run).content, done) == ("Done.", ["deleted a"])


def test_an_interrupted_run_without_an_approved_call_continues_as_a_new_attempt() -> None:
    from agno_nb.db import process_id

    db = InMemoryDb()
    agent = Agent(ScriptedModel([call("look", path="a"), "Done.", "Again."]), tools=TOOLS, db=db, session_id="s")
    run = agent.run("look")
    with db._transaction(write=True) as connection:
        connection.update("raw_runs", {"status": "RUNNING"}, {"run_id": run.run_id})
    assert run.run_id not in process_id.runs_in_progress
    again = agent.continue_run(run_id=run.run_id)
    assert (again.content, again.attempt, again.forked_from_run_id) == ("Again.", 1, run.run_id)
    assert done == ["looked at a"]


def test_a_nested_run_that_waits_is_not_approved_by_continuing_a_workflow_that_failed() -> None:
    def reply(messages: list[Message], tools: Any) -> Reply:
        return "Done." if messages[-1].role == "tool" else call("delete", path="a")

    failures: list[int] = []

    class Stop(BaseException):
        pass

    def fails(step_input: Any) -> str:
        failures.append(1)
        if len(failures) == 1:
            raise Stop
        return "fine"

    db = FailingDb()
    workflow = Workflow([Parallel(Agent(FunctionModel(reply), name="clerk", tools=TOOLS), fails)], db=db)
    # The pause of the agent wins; the pause of the workflow is then lost with the store.
    run = workflow.run("go", session_id="s")
    assert run.is_paused
    run.status, run.requirements = RunStatus.ERROR, []
    with db._transaction(write=True) as connection:
        connection.update("raw_runs", {"status": "ERROR", "requirements": None}, {"run_id": run.run_id})
    again = workflow.continue_run(run)
    assert (again.is_paused, done) == (True, [])
    again.active_requirements[0].confirm()
    assert workflow.continue_run(again).status is RunStatus.COMPLETED
    assert done == ["deleted a"]
