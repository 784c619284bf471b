"""agno's own teams and workflows: members and steps are nested runs."""

from __future__ import annotations

from typing import Any

import pytest
from agno.db.json import JsonDb
from agno.workflow import Loop, Parallel, Router, Step
from agno.workflow.types import HumanReview, UserInputField

from agno_nb.db.base import Db
from agno_nb.errors import RunError
from agno_nb.run_view import RunFold, RunView
from agno_nb.types import RunEvent, RunOutput, RunOutputEvent, RunStatus, StepStatus
from tests.fakes.http import FakeServer, json_answer
from tests.fakes.strict import calls, says
from tests.integrations.conftest import Make, delete, recorded


def stored_run(db: Db, run: RunOutput) -> RunOutput:
    stored = db.get_run(run.run_id)
    assert stored is not None
    return stored


def roles(run: RunOutput) -> list[str]:
    return [message.role for message in run.messages]


def delegates(task: str, member: str = "clerk") -> Any:
    return calls(("delegate_task_to_member", {"member_id": member, "task": task}), tokens=3)


def steps_of(run: RunOutput) -> list[tuple[str, str, str | None, StepStatus]]:
    return [(each.path, each.kind, each.content, each.status) for each in run.step_results]


def test_runs_of_members_are_nested(server: FakeServer, agent: Make, team: Make, db: Db) -> None:
    server.will_say(delegates("Say hello."), says("Hello there.", tokens=2), says("They say hello.", tokens=4))
    office = recorded(team(agent()), db)
    stream = office.run("Greet me.", stream=True, stream_events=True)
    events: list[RunOutputEvent] = list(stream)
    assert stream.result is not None
    for run in (stream.result, stored_run(db, stream.result)):
        (member,) = run.nested_runs
        assert (run.kind, run.content, run.metrics.output_tokens) == ("team", "They say hello. ", 7)
        assert (member.component_id, member.input, member.content) == ("clerk", "Say hello.", "Hello there. ")
        assert (member.parent_tool_call_id, member.metrics.output_tokens, member.metadata) == (
            run.tools[0].tool_call_id,
            2,
            {"source": "agno"},
        )
        assert roles(member) == ["user", "assistant"]
        assert roles(run) == ["system", "user", "assistant", "tool", "assistant"]
        assert run.total_metrics.output_tokens == 9

    # A member's events are between the start and the end of the call that started it.
    names = [(each.component_name, str(each.event)) for each in events if each.tool or each.is_final]
    assert names == [
        ("office", "TeamToolCallStarted"),
        ("clerk", "RunCompleted"),
        ("office", "TeamToolCallCompleted"),
        ("office", "TeamRunCompleted"),
    ]
    fold = RunFold()
    for event in events:
        fold.feed(event)
    (shown,) = [part for part in fold.view.parts if isinstance(part, RunView)]
    assert (shown.name, shown.task, shown.markdown, shown.status) == (
        "clerk",
        "Say hello.",
        "Hello there. ",
        RunStatus.COMPLETED,
    )


def test_each_of_several_calls_has_its_run(server: FakeServer, agent: Make, team: Make, db: Db) -> None:
    tasks = [("delegate_task_to_member", {"member_id": "clerk", "task": task}) for task in ("one", "two")]
    server.will_say(calls(*tasks), says("Done."), says("Done."), says("Both are done."))
    run = stored_run(db, recorded(team(agent()), db).run("Go."))
    started = {each.input: each.parent_tool_call_id for each in run.nested_runs}
    assert started == {"one": "call_1", "two": "call_2"}
    assert {call.tool_args["task"]: call.tool_call_id for call in run.tools} == started


def test_a_call_of_the_leader_waits_for_approval(server: FakeServer, agent: Make, team: Make, db: Db) -> None:
    server.will_say(calls(("delete", {"path": "a"})), says("Done."))
    office = recorded(team(agent(), tools=[delete]), db)
    paused = office.run("Go.")
    (requirement,) = paused.active_requirements
    assert (requirement.run_id, requirement.component_name) == (paused.run_id, "office")
    requirement.confirm()
    run = stored_run(db, office.continue_run(paused))
    assert (run.content, [call.result for call in run.tools]) == ("Done. ", ["a is deleted"])


def test_members_that_are_not_streamed_are_recorded(server: FakeServer, agent: Make, team: Make, db: Db) -> None:
    server.will_say(delegates("Say hello."), says("Hello there."), says("They say hello."))
    run = recorded(team(agent(instructions="Be brief."), stream_member_events=False), db).run("Greet me.")
    (member,) = stored_run(db, run).nested_runs
    assert (member.input, member.content, member.parent_tool_call_id) == ("Say hello.", "Hello there. ", "call_1")
    assert roles(member) == ["system", "user", "assistant"]


def test_a_team_in_a_team_has_nested_runs_of_its_own(server: FakeServer, agent: Make, team: Make, db: Db) -> None:
    inner = team(agent())
    inner.name = inner.id = "inner"
    server.will_say(
        delegates("Ask the clerk.", "inner"), delegates("Say hello."), says("Hello."), says("Hi."), says("Done.")
    )
    run = stored_run(db, recorded(team(inner), db).run("Greet me."))
    (middle,) = run.nested_runs
    (clerk,) = middle.nested_runs
    assert [(each.kind, each.component_id, each.content) for each in (run, middle, clerk)] == [
        ("team", "office", "Done. "),
        ("team", "inner", "Hi. "),
        ("agent", "clerk", "Hello. "),
    ]


@pytest.mark.parametrize("approves", [True, False], ids=["approved", "rejected"])
def test_a_call_of_a_member_waits_for_approval(
    approves: bool, server: FakeServer, agent: Make, team: Make, db: Db
) -> None:
    server.will_say(
        delegates("Delete it."), calls(("delete", {"path": "a"}), first_id=7), says("Handled."), says("Done.")
    )
    office = recorded(team(agent(tools=[delete])), db)
    paused = stored_run(db, office.run("Tidy up."))
    assert [(each.status, roles(each)[-2:]) for each in (paused, *paused.nested_runs)] == [
        (RunStatus.PAUSED, ["assistant", "tool"]),
        (RunStatus.PAUSED, ["user", "assistant"]),
    ]
    (requirement,) = paused.active_requirements
    assert (requirement.component_name, requirement.run_id) == ("clerk", paused.nested_runs[0].run_id)
    requirement.confirm() if approves else requirement.reject("keep it")

    office.continue_run(run_id=paused.run_id, session_id=paused.session_id, requirements=paused.requirements)
    run = stored_run(db, paused)
    (member,) = run.nested_runs
    assert [(each.status, each.content) for each in (run, member)] == [
        (RunStatus.COMPLETED, "Done. "),
        (RunStatus.COMPLETED, "Handled. "),
    ]
    (result,) = [message.content or "" for message in member.messages if message.role == "tool"]
    assert ("a is deleted" if approves else "keep it") in result


def test_members_that_have_answered_are_not_recorded_again(server: FakeServer, agent: Make, team: Make, db: Db) -> None:
    server.will_say(
        delegates("Say hello.", "greeter"),
        says("Hello."),
        delegates("Delete it."),
        calls(("delete", {"path": "a"}), first_id=7),
        says("Handled."),
        says("Done."),
    )
    office = recorded(team(agent("greeter"), agent(tools=[delete])), db)
    paused = stored_run(db, office.run("Tidy up."))
    paused.active_requirements[0].confirm()
    office.continue_run(run_id=paused.run_id, session_id=paused.session_id, requirements=paused.requirements)
    run = stored_run(db, paused)
    assert [(each.component_id, each.content) for each in run.nested_runs] == [
        ("greeter", "Hello. "),
        ("clerk", "Handled. "),
    ]


def test_cancelling_a_team_cancels_its_member(server: FakeServer, agent: Make, team: Make, db: Db) -> None:
    server.will_say(delegates("Tell a story."), says("Once upon", then="stall"))
    office = recorded(team(agent()), db)
    for event in office.run("A story.", stream=True, stream_events=True, run_id="story"):
        if event.content == "upon ":
            office.cancel_run("story")
    run = db.get_run("story")
    assert run is not None
    (member,) = run.nested_runs
    assert (run.status, member.status, member.content) == (RunStatus.CANCELLED, RunStatus.CANCELLED, "Once upon ")


def test_a_member_that_fails_does_not_fail_the_team(server: FakeServer, agent: Make, team: Make, db: Db) -> None:
    server.will_say(delegates("Go."), json_answer({"error": {"message": "too long"}}, status=400), says("It failed."))
    run = stored_run(db, recorded(team(agent()), db).run("Go."))
    (member,) = run.nested_runs
    assert (run.status, run.content) == (RunStatus.COMPLETED, "It failed. ")
    assert (member.status, member.error) == (RunStatus.ERROR, "too long")


# Workflows


def shout(step_input: Any) -> str:
    return str(step_input.previous_step_content).upper()


def test_steps_are_nested_runs_and_results(server: FakeServer, agent: Make, workflow: Make, db: Db) -> None:
    server.will_say(says("dear anna", tokens=2))
    letter = recorded(workflow(Step(name="write", agent=agent()), Step(name="shout", executor=shout)), db)
    stream = letter.run("To Anna", stream=True, stream_events=True)
    events = list(stream)
    assert stream.result is not None
    for run in (stream.result, stored_run(db, stream.result)):
        assert (run.kind, run.status, run.content) == ("workflow", RunStatus.COMPLETED, "DEAR ANNA ")
        assert steps_of(run) == [
            ("write", "agent", "dear anna ", StepStatus.COMPLETED),
            ("shout", "function", "DEAR ANNA ", StepStatus.COMPLETED),
        ]
        (written,) = run.nested_runs
        assert (written.step, written.content, written.input) == ("write", "dear anna ", "To Anna")
        assert run.step_results[0].run_id == written.run_id
        assert run.total_metrics.output_tokens == 2
    steps = [(str(each.event), each.step) for each in events if each.event.startswith("Step")]
    assert steps == [
        ("StepStarted", "write"),
        ("StepCompleted", "write"),
        ("StepStarted", "shout"),
        ("StepCompleted", "shout"),
    ]
    fold = RunFold()
    for event in events:
        fold.feed(event)
    views = [part for part in fold.view.parts if isinstance(part, RunView)]
    assert [(each.name, each.markdown) for each in views] == [("write", "dear anna "), ("shout", "DEAR ANNA ")]


def test_steps_in_groups_have_paths(workflow: Make, db: Db) -> None:
    loop = Loop(name="twice", steps=[Step(name="shout", executor=shout)], max_iterations=2)
    both = Parallel(Step(name="left", executor=shout), Step(name="right", executor=shout), name="both")
    run = stored_run(db, recorded(workflow(loop, both), db).run("go"))
    assert run.status is RunStatus.COMPLETED
    paths = [each.path for each in run.step_results]
    assert [each.rpartition("/")[2] for each in paths[:2]] == ["shout", "shout"]
    assert sorted(each.rpartition("/")[2] for each in paths[2:]) == ["left", "right"]


def fail(step_input: Any) -> str:
    raise ValueError("no paper")


def test_a_step_that_fails_fails_the_workflow(workflow: Make, db: Db) -> None:
    step = Step(name="print", executor=fail, max_retries=0, human_review=HumanReview(on_error="fail"))
    with pytest.raises(RunError, match="no paper") as caught:
        recorded(workflow(step), db).run("go")
    assert caught.value.run_output is not None
    assert stored_run(db, caught.value.run_output).status is RunStatus.ERROR


def test_a_step_that_is_skipped_is_recorded(workflow: Make, db: Db) -> None:
    steps = Step(name="print", executor=fail, max_retries=0), Step(name="end", executor=shout)
    run = stored_run(db, recorded(workflow(*steps), db).run("go"))
    assert run.status is RunStatus.COMPLETED
    results = {each.path: (each.status, each.error) for each in run.step_results}
    assert results == {"print": (StepStatus.SKIPPED, "no paper"), "end": (StepStatus.COMPLETED, None)}


def test_a_workflow_without_a_database_cannot_wait(workflow: Make, db: Db) -> None:
    review = HumanReview(requires_confirmation=True)
    letter = recorded(workflow(Step(name="send", executor=shout, human_review=review)), db)
    with pytest.raises(RunError, match=r"in a database only; pass db=\.\.\. to AgnoWorkflow\('letter'\)"):
        letter.run("go")


@pytest.mark.parametrize("approves", [True, False], ids=["approved", "rejected"])
def test_a_step_waits_for_approval(approves: bool, workflow: Make, db: Db) -> None:
    review = HumanReview(requires_confirmation=True, confirmation_message="Really?", on_reject="skip")
    steps = Step(name="send", executor=lambda step_input: "sent", human_review=review), Step(name="end", executor=shout)
    letter = recorded(workflow(*steps, db=JsonDb(db_path="agno")), db)
    paused = stored_run(db, letter.run("go"))
    (requirement,) = paused.active_requirements
    assert (paused.status, requirement.kind, requirement.tool.tool_name, requirement.tool.tool_args) == (
        RunStatus.PAUSED,
        "confirmation",
        "send",
        {"message": "Really?"},
    )
    requirement.confirm() if approves else requirement.reject()
    run = letter.continue_run(run_id=paused.run_id, session_id=paused.session_id, requirements=paused.requirements)
    assert (run.status, run.active_requirements) == (RunStatus.COMPLETED, [])
    assert [each.content for each in run.step_results if each.path == "send"] == (["sent"] if approves else [])


def test_a_step_asks_for_values(workflow: Make, db: Db) -> None:
    def write(step_input: Any) -> str:
        return str((step_input.additional_data or {})["user_input"]["name"])

    review = HumanReview(
        requires_user_input=True, user_input_schema=[UserInputField(name="name", field_type="str", description="Whom")]
    )
    letter = recorded(workflow(Step(name="write", executor=write, human_review=review), db=JsonDb(db_path="agno")), db)
    paused = letter.run("go")
    (requirement,) = paused.active_requirements
    assert [(each.name, each.field_type, each.description) for each in requirement.user_input_fields] == [
        ("name", "string", "Whom")
    ]
    requirement.provide_user_input({"name": "Anna"})
    assert letter.continue_run(paused).content == "Anna"


def test_a_router_asks_for_the_route(workflow: Make, db: Db) -> None:
    routes = [Step(name=name, executor=lambda step_input, name=name: f"by {name}") for name in ("train", "plane")]
    router = Router(name="travel", choices=routes, human_review=HumanReview(requires_user_input=True))
    trip = recorded(workflow(router, db=JsonDb(db_path="agno")), db)
    paused = trip.run("go")
    (requirement,) = paused.active_requirements
    requirement.provide_user_input({"routes": "train"})
    run = trip.continue_run(paused)
    assert run.status is RunStatus.COMPLETED
    assert "by train" in str(run.content)


def test_a_call_of_a_steps_agent_waits_for_approval(server: FakeServer, agent: Make, workflow: Make, db: Db) -> None:
    server.will_say(calls(("delete", {"path": "a"})), says("Deleted."))
    steps = Step(name="tidy", agent=agent(tools=[delete])), Step(name="end", executor=shout)
    letter = recorded(workflow(*steps, db=JsonDb(db_path="agno")), db)
    paused = stored_run(db, letter.run("Tidy up."))
    (requirement,) = paused.active_requirements
    assert (paused.status, requirement.tool.tool_name, requirement.component_name) == (
        RunStatus.PAUSED,
        "delete",
        "clerk",
    )
    requirement.confirm()
    letter.continue_run(run_id=paused.run_id, session_id=paused.session_id, requirements=paused.requirements)
    run = stored_run(db, paused)
    assert (run.status, run.content) == (RunStatus.COMPLETED, "DELETED. ")
    (member,) = run.nested_runs
    assert [call.result for call in member.tools] == ["a is deleted"]


def test_a_workflow_in_a_workflow_is_a_nested_run(server: FakeServer, agent: Make, workflow: Make, db: Db) -> None:
    inner = workflow(Step(name="write", agent=agent()))
    inner.name = inner.id = "inner"
    server.will_say(says("dear anna"))
    run = stored_run(db, recorded(workflow(Step(name="outer", workflow=inner)), db).run("To Anna"))
    assert run.content == "dear anna "
    (middle,) = run.nested_runs
    assert (middle.kind, middle.content, middle.step) == ("workflow", "dear anna ", "outer")
    assert [each.component_id for each in middle.nested_runs] == ["clerk"]


def test_events_of_groups_are_reported(workflow: Make, db: Db) -> None:
    both = Parallel(Step(name="left", executor=shout), Step(name="right", executor=shout), name="both")
    events = list(recorded(workflow(both), db).run("go", stream=True, stream_events=True))
    assert RunEvent.step_completed in {each.event for each in events}
    assert RunEvent.parallel_completed in {each.event for each in events}
