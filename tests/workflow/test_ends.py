"""Workflows that stop, fail, pause or are cancelled, and how they continue."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import ModelError, RunError, RunNotContinuableError
from agno_nb.testing import FunctionModel, Reply, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, RunEvent, RunStatus, StepStatus
from agno_nb.workflow import Condition, Loop, Parallel, Router, Step, StepInput, StepOutput, Workflow
from tests.workflow.flows import upper


def test_stop_ends_the_workflow_also_from_within(db: InMemoryDb) -> None:
    def stop(step_input: StepInput) -> StepOutput:
        return StepOutput("enough", stop=True)

    run = Workflow([Loop([Parallel(upper, stop), upper]), upper], db=db).run("x")
    assert (run.status, [step.path for step in run.step_results]) == (
        RunStatus.COMPLETED,
        ["loop[0]/parallel/upper", "loop[0]/parallel/stop"],
    )
    assert run.content == "## upper\n\nX\n\n## stop\n\nenough"
    assert db.steps_df()["stop"].tolist() == [False, True]


def test_a_step_is_tried_again_and_may_be_left_out(db: InMemoryDb) -> None:
    model = ScriptedModel([ModelError("no"), ModelError("no"), "yes", ModelError("never")])
    worker = Agent(model, name="w")
    run = Workflow(
        [Step("again", agent=worker, max_retries=2), Step("left out", agent=worker, skip_on_failure=True), upper], db=db
    ).run("x")
    assert [(step.step_name, step.status, step.content, step.error) for step in run.step_results] == [
        ("again", StepStatus.COMPLETED, "yes", None),
        ("left out", StepStatus.SKIPPED, None, "ModelError: never"),
        ("upper", StepStatus.COMPLETED, "YES", None),
    ]
    rows = db.runs_df()
    assert rows[["step", "status"]].values.tolist()[1:] == [
        ["again", "ERROR"], ["again", "ERROR"], ["again", "COMPLETED"], ["left out", "ERROR"],
    ]  # fmt: skip
    assert db.steps_df()["child_run_id"].tolist()[:2] == rows["run_id"].tolist()[3:]


def test_a_failure_ends_the_workflow_with_the_error_and_can_be_continued(db: InMemoryDb) -> None:
    calls: list[str] = []

    def first(step_input: StepInput, session_state: dict[str, Any]) -> str:
        calls.append("first")
        session_state["first"] = True
        return "1"

    def second(step_input: StepInput, session_state: dict[str, Any]) -> str:
        calls.append("second")
        if calls.count("second") == 1:
            raise ZeroDivisionError("oops")
        return f"{step_input.message} {session_state}"

    workflow = Workflow([first, second], db=db)
    with pytest.raises(RunError, match="ZeroDivisionError: oops") as caught:
        workflow.run("go")
    failed = caught.value.run_output
    assert failed is not None
    assert [(step.path, step.status) for step in failed.step_results] == [("first", "COMPLETED"), ("second", "ERROR")]
    done = workflow.continue_run(run_id=failed.run_id, session_id=failed.session_id)
    assert (done.run_id, done.status, done.content, done.error) == (
        failed.run_id, RunStatus.COMPLETED, "1 {'first': True}", None,
    )  # fmt: skip
    assert calls == ["first", "second", "second"]
    assert db.steps_df()[["path", "status"]].values.tolist() == [
        ["first", "COMPLETED"], ["second", "ERROR"], ["second", "COMPLETED"],
    ]  # fmt: skip
    assert db.runs_df()[["status", "error"]].astype(object).where(lambda f: f.notna(), None).values.tolist() == [
        ["COMPLETED", None]
    ]
    with pytest.raises(RunNotContinuableError, match="is COMPLETED"):
        workflow.continue_run(done)


def test_the_error_of_an_agent_in_a_step_carries_the_run_of_the_workflow() -> None:
    workflow = Workflow([Workflow([Agent(ScriptedModel([ModelError("on fire"), "ok"]), name="a"), upper], name="in")])
    with pytest.raises(ModelError, match="on fire") as caught:
        workflow.run("go")
    failed = caught.value.run_output
    assert failed is not None
    assert (failed.kind, failed.status, failed.error) == ("workflow", RunStatus.ERROR, "on fire")
    done = workflow.continue_run(failed)
    assert done.content == "OK"
    # The inner workflow continued too, and was not restarted.
    assert [each.status for each in done.nested_runs] == [RunStatus.COMPLETED]


def test_what_was_chosen_is_not_chosen_again_when_a_run_goes_on(db: InMemoryDb) -> None:
    asked: list[str] = []

    def choose(given: Any) -> Any:
        asked.append("chosen")
        return len(asked) == 1

    def route(given: Any) -> str:
        asked.append("routed")
        return "fails" if asked.count("routed") == 1 else "upper"

    def fails(given: Any) -> str:
        asked.append("done")
        if asked.count("done") == 1:
            raise ValueError("once")
        return "fine"

    def build() -> Workflow:
        return Workflow([Condition(choose, [Router(route, [fails, upper])])], db=db)

    with pytest.raises(RunError):
        build().run("x", session_id="s")
    (run_id,) = db.runs_df()["run_id"]
    assert build().continue_run(run_id=run_id, session_id="s").content == "fine"
    assert asked == ["chosen", "routed", "done", "done"]


def test_others_side_by_side_are_done_before_a_failure_ends_the_run(db: InMemoryDb) -> None:
    meeting = asyncio.Event()

    async def slow(given: Any) -> str:
        await asyncio.wait_for(meeting.wait(), 10)
        return "done"

    async def fails(given: Any) -> str:
        asyncio.get_running_loop().call_soon(meeting.set)
        raise ValueError("no")

    with pytest.raises(RunError, match="no"):
        Workflow([Parallel(fails, slow)], db=db).run("x")
    assert sorted(db.steps_df()[["step_name", "status"]].values.tolist()) == [
        ["fails", "ERROR"], ["slow", "COMPLETED"],
    ]  # fmt: skip


def test_a_step_that_is_cancelled_side_by_side_with_others_cancels_the_run(db: InMemoryDb) -> None:
    async def waits_for_what_is_cancelled(given: Any) -> str:
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        await task
        raise AssertionError

    with pytest.raises(asyncio.CancelledError):
        Workflow([Parallel(waits_for_what_is_cancelled, upper)], db=db).run("x")
    assert db.runs_df()["status"].tolist() == ["CANCELLED"]


@pytest.mark.parametrize("is_fresh", [False, True], ids=["same process", "from the store"])
def test_a_pause_in_a_step_pauses_the_workflow_and_both_go_on(db: InMemoryDb, is_fresh: bool) -> None:
    done: list[str] = []

    @tool(requires_confirmation=True)
    def send(to: str) -> str:
        done.append(f"sent {to}")
        return "sent"

    def note(step_input: StepInput) -> str:
        done.append(step_input.message)
        return "noted"

    def build() -> Workflow:
        def write(messages: list[Message], tools: Any) -> Reply:
            return "written" if messages[-1].role == "tool" else call("send", to="bob")

        def asks(step_input: StepInput) -> Any:
            """A function that asks an agent, and so is called again from its beginning."""
            return Agent(FunctionModel(write), name="inner", tools=[send]).run("write")

        writer = Agent(FunctionModel(write), name="writer", tools=[send])
        return Workflow([note, Parallel(writer, asks, note), upper], db=db, name="Mail")

    workflow = build()
    run = workflow.run("go", session_id="s")
    assert (run.status, done) == (RunStatus.PAUSED, ["go", "noted"])
    assert sorted(str(each.component_name) for each in run.active_requirements) == ["inner", "writer"]
    for requirement in run.requirements:
        requirement.confirm()
    if is_fresh:
        run = build().continue_run(run_id=run.run_id, session_id="s", requirements=run.requirements)
    else:
        run = workflow.continue_run(run)
    assert (run.status, run.content) == (
        RunStatus.COMPLETED,
        "## WRITER\n\nWRITTEN\n\n## ASKS\n\nWRITTEN\n\n## NOTE\n\nNOTED",
    )
    assert done == ["go", "noted", "sent bob", "sent bob"]
    assert len(db.runs_df()) == 3


def test_cancelling_cancels_the_steps_and_what_is_done_stays(db: InMemoryDb) -> None:
    begun = []

    async def waits(given: Any) -> str:
        begun.append(1)
        await (asyncio.Event().wait() if len(begun) == 1 else asyncio.sleep(0))
        return "waited"

    workflow = Workflow([upper, waits], db=db)
    with workflow.run("x", stream=True, stream_events=True) as events:
        for event in events:
            if event.event is RunEvent.step_started and event.step == "waits":
                break
        (ended,) = [event for event in events.drain() if event.is_final]
    assert ended.event is RunEvent.workflow_cancelled
    assert ended.run_output is not None
    assert ended.run_output.status is RunStatus.CANCELLED
    assert workflow.continue_run(ended.run_output).content == "waited"
    assert db.steps_df()["path"].tolist() == ["upper", "waits"]


def leaves(step_input: StepInput) -> None:
    sys.exit(3)


async def leaves_awaited(step_input: StepInput) -> None:
    sys.exit(3)


def leaves_midway(step_input: StepInput) -> Iterator[str]:
    yield "piece"
    sys.exit(3)


async def leaves_midway_awaited(step_input: StepInput) -> AsyncIterator[str]:
    yield "piece"
    sys.exit(3)


@pytest.mark.parametrize(
    "step", [leaves, leaves_awaited, leaves_midway, leaves_midway_awaited, Condition(leaves, [upper])]
)
def test_a_function_that_exits_does_not_end_the_loop_of_all_runs(step: Any) -> None:
    with pytest.raises(RunError, match="it tried to exit the program: SystemExit: 3"):
        Workflow([step]).run("x")
    assert Workflow([upper]).run("x").content == "X"


def test_a_failure_names_the_step(db: InMemoryDb) -> None:
    def fragile(step_input: StepInput, session_state: dict[str, Any]) -> str:
        if "ready" not in session_state:
            raise OSError("not yet")
        return "done"

    def evaluate(step_input: StepInput) -> bool:
        raise ValueError("neither")

    line = Workflow([upper, Parallel(fragile, upper, name="both"), Condition(evaluate, [upper])], name="line", db=db)
    with pytest.raises(RunError, match="the run failed in step 'both/fragile': OSError: not yet") as caught:
        line.run("x", session_id="s")
    line.update_session_state({"ready": True}, "s")
    # A step that failed before and is completed now is not the failed one.
    with pytest.raises(RunError, match="the run failed: ValueError: neither"):
        line.continue_run(run_id=caught.value.run_output.run_id, session_id="s")  # type: ignore[union-attr]
