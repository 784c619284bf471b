"""agno's attributes and methods of messages, tool calls and requirements, and values as dicts and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.media import Audio, File, Image
from agno_nb.run import RunContext
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, Requirement, RunOutput, RunStatus, StepOutput, StepRequirement, ToolCall
from agno_nb.types.steps import PauseKind, StepType
from agno_nb.workflow import Step, StepInput, Workflow
from tests.run.test_pauses import door

PIXEL = Image(content=b"GIF89a...")
SOUND = Audio(content=b"ID3...")
PAGE = File(content=b"%PDF-...", filename="a.pdf")


@tool(requires_confirmation=True)
def delete(path: str) -> str:
    """Delete a file."""
    return f"deleted {path}"


@tool(requires_user_input=True, user_input_fields=["to"])
def send(text: str, to: str) -> str:
    """Send a text."""
    return f"sent {text} to {to}"


@tool(external_execution=True)
def shell(command: str) -> str:
    """Execute a command."""
    raise AssertionError("a person executes it")


def look(path: str) -> str:
    """Look at a file."""
    return f"{path} is empty"


CALLS = [
    call("delete", path="a"),
    call("send", text="hi"),
    call("shell", command="ls"),
    call("look", path="b"),
]
DONE = ["deleted a", "sent hi to ada", "a b", "b is empty"]


def clerk() -> Agent:
    return Agent(ScriptedModel([CALLS, "Done."]), name="clerk", tools=[delete, send, shell, look])


def answer(calls: list[ToolCall]) -> None:
    """Answer as agno's examples do."""
    for each in calls:
        if each.requires_confirmation:
            each.confirmed = True
        if each.requires_user_input:
            for field in each.user_input_schema:
                field.value = "ada"
        if each.external_execution_required:
            each.result = "a b"


def needs(each: ToolCall) -> tuple[bool, bool, bool, bool]:
    return each.requires_confirmation, each.requires_user_input, each.external_execution_required, each.is_paused


@door
def test_a_run_continues_after_its_tools_are_answered(door: Callable[..., RunOutput]) -> None:
    agent = clerk()
    run = agent.run("go")
    assert [needs(each) for each in run.tools] == [
        (True, False, False, True),
        (False, True, False, True),
        (False, False, True, True),
        (False, False, False, False),
    ]
    assert [each.answered for each in run.tools] == [False] * 4
    answer(run.tools)
    assert [each.answered for each in run.tools] == [False, True, False, False]
    run = door(agent, run_response=run)
    assert (run.status, [each.result for each in run.tools]) == (RunStatus.COMPLETED, DONE)
    assert {needs(each) for each in run.tools} == {(False,) * 4}
    assert run.tools[1].answered


def test_the_tools_of_a_stored_run_know_what_they_need(tmp_path: Path) -> None:
    agent = clerk()
    agent.db = DuckDb(tmp_path / "store.duckdb")
    paused = agent.run("go", session_id="s")
    agent.db.close()
    other = Agent(ScriptedModel(["Done."]), name="clerk", tools=agent.tools, db=DuckDb(tmp_path / "store.duckdb"))
    run = other.get_run_output(run_id=paused.run_id, session_id="s")
    assert run is not None
    assert [needs(each) for each in run.tools] == [needs(each) for each in paused.tools]
    answer(run.tools)
    assert [each.result for each in other.continue_run(run_response=run).tools] == DONE


def test_the_tools_of_members_and_steps_are_answered_too() -> None:
    team = Team(
        [clerk()], model=ScriptedModel([call("delegate_task_to_member", member_id="clerk", task="go"), "Good."])
    )
    run = team.run("go")
    answer([each.tool_execution for each in run.active_requirements])
    assert team.continue_run(run_response=run).content == "Good."

    workflow = Workflow([clerk()])
    run = workflow.run("go")
    assert (run.pause_kind, run.has_completed()) == (PauseKind.EXECUTOR, False)
    answer([each.tool_execution for each in run.active_requirements])
    run = workflow.continue_run(run_response=run)
    assert (run.content, run.pause_kind, run.has_completed()) == ("Done.", None, True)


def test_the_run_of_a_member_is_added_once() -> None:
    run, member = RunOutput(session_id="s"), RunOutput(session_id="s")
    run.add_member_run(member)
    run.add_member_run(member)
    assert run.member_responses == [member]


def test_tools_read_the_messages_of_their_run() -> None:
    seen: list[str] = []

    def roles(run_context: RunContext) -> str:
        seen.extend(message.role for message in run_context.messages)
        return "ok"

    Agent(ScriptedModel([call("roles"), "Done."]), instructions="Be brief.", tools=[roles]).run("go")
    assert seen[:3] == ["system", "user", "assistant"]


def test_a_call_has_the_duration_of_its_tool() -> None:
    finished = ToolCall(tool_call_id="c", tool_name="look", duration_s=2.5)
    assert finished.metrics is not None
    assert finished.metrics.duration_s == 2.5
    assert ToolCall(tool_call_id="c", tool_name="look").metrics is None


def test_a_requirement_was_created_when_its_call_was_requested() -> None:
    asked = ToolCall(tool_call_id="c", tool_name="delete", created_at=86_400.0)
    created = Requirement(kind="confirmation", tool=asked, run_id="r").created_at
    assert created.isoformat() == "1970-01-02T00:00:00+00:00"


def test_messages_take_media_by_kind_and_an_id() -> None:
    message = Message(role="user", content="Look", images=[PIXEL], audio=SOUND, files=[PAGE], videos=None, id="m")
    assert message.media == [PIXEL, SOUND, PAGE]
    assert (message.images, message.audio, message.videos, message.files) == ([PIXEL], [SOUND], [], [PAGE])
    assert (message.id, message.message_id, message.get_content_string()) == ("m", "m", "Look")
    assert Message(role="assistant").get_content_string() == ""
    assert Message(role="user", media=[PIXEL], files=[PAGE]).media == [PIXEL, PAGE]


def test_an_id_is_not_given_twice() -> None:
    with pytest.raises(TypeError, match="Message\\(\\) got 'message_id' twice; 'id' is another name for it"):
        Message(role="user", message_id="a", id="b")


@pytest.mark.parametrize(
    "value",
    [
        Message(role="user", content="Look", media=[PIXEL, PAGE]),
        Message(role="assistant", tool_calls=[ToolCall(tool_call_id="c", tool_name="look", arguments='{"path": "b"}')]),
        PIXEL,
        StepOutput("text", step_name="a", steps=[StepOutput({"n": 1}, step_name="b", kind="agent")]),
    ],
    ids=["media", "call", "image", "step"],
)
def test_values_are_dicts_and_back(value: Any) -> None:
    text = value.to_json()
    assert json.loads(text) == value.to_dict()
    assert type(value).from_dict(json.loads(text)) == value


def test_a_dict_has_the_names_of_agno_too() -> None:
    values = ToolCall(tool_call_id="c", tool_name="look", arguments='{"path": "b"}', value=object()).to_dict()
    assert (values["tool_args"], "value" in values) == ({"path": "b"}, False)
    step = StepOutput("x", step_name="a", path="loop[0]/a", kind="agent", run_id="r").to_dict()
    assert [step[name] for name in ("step_id", "step_run_id", "executor_type", "step_type")] == [
        "loop[0]/a",
        "r",
        "agent",
        "Step",
    ]


def test_a_paused_run_continues_from_its_json() -> None:
    agent = clerk()
    agent.db = InMemoryDb()
    run = RunOutput.from_dict(json.loads(agent.run("go").to_json()))
    assert all(requirement.tool is each for requirement, each in zip(run.requirements, run.tools[:3], strict=True))
    answer(run.tools)
    assert [each.result for each in agent.continue_run(run_response=run).tools] == DONE


def test_a_workflow_that_waits_for_a_step_continues_from_its_json() -> None:
    def shout(step_input: StepInput) -> str:
        return step_input.message.upper()

    workflow = Workflow([Step("shout", executor=shout, requires_confirmation=True)], db=InMemoryDb())
    paused = workflow.run("go")
    assert paused.pause_kind is PauseKind.STEP
    run = RunOutput.from_dict(json.loads(paused.to_json()))
    requirement = run.requirements[0]
    assert isinstance(requirement, StepRequirement)
    assert requirement.needs_confirmation
    requirement.confirm()
    assert workflow.continue_run(run_response=run).content == "GO"


def test_an_input_of_a_step_is_made_without_a_run() -> None:
    made = StepInput(input="go", previous_step_content="x", images=[PIXEL], additional_data={"n": 1})
    assert (made.images, made.session_state, made.workflow_session) == ([PIXEL], {}, None)
    assert (made.get_workflow_history(), made.get_workflow_history_context()) == ([], None)
    again = StepInput.from_dict(json.loads(made.append(StepOutput("y", step_name="a")).to_json()))
    assert (again.input, again.previous_step_content, again.images) == ("go", "y", [PIXEL])
    assert again.get_step_content("a") == "y"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("agent", StepType.STEP), ("function", StepType.STEP), ("workflow", StepType.WORKFLOW), ("loop", StepType.LOOP)],
)
def test_outputs_have_the_type_of_their_step(kind: Any, expected: StepType) -> None:
    assert StepOutput(executor_type=kind, step_id="a").step_type is expected
