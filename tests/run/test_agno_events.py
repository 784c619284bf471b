"""Events under agno's names and classes."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from agno_nb import run as _run_package
from agno_nb.agent import Agent
from agno_nb.run import agent as agent_events, team as team_events, workflow as workflow_events
from agno_nb.run.agent import (
    BaseAgentRunEvent,
    CustomEvent,
    RunCompletedEvent,
    RunContentEvent,
    RunStartedEvent,
    ToolCallStartedEvent,
)
from agno_nb.run.workflow import StepCompletedEvent, StepStartedEvent, WorkflowCompletedEvent
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import RunEvent, RunOutput, RunOutputEvent, RunStatus, SessionType, TeamRunEvent, WorkflowRunEvent
from agno_nb.workflow import Step, Workflow


def lamp() -> str:
    """Switch the lamp."""
    return "on"


def events_of(runnable: Any, **options: Any) -> list[Any]:
    return list(runnable.run("go", stream=True, stream_events=True, **options))


def agent(**settings: Any) -> Agent:
    return Agent(ScriptedModel([call("lamp"), "Done."]), name="Switch", tools=[lamp], **settings)


def test_events_of_an_agent_are_objects_of_agnos_classes() -> None:
    started, *_, completed = events = events_of(agent())
    assert isinstance(started, RunStartedEvent)
    assert isinstance(completed, RunCompletedEvent)
    assert not isinstance(completed, (RunStartedEvent, RunContentEvent))
    assert [e.tool.tool_name for e in events if isinstance(e, ToolCallStartedEvent)] == ["lamp"]
    assert all(isinstance(event, BaseAgentRunEvent) for event in events)
    assert not any(isinstance(event, team_events.BaseTeamRunEvent) for event in events)
    match completed:
        case RunContentEvent():
            pytest.fail("the last event is not content")
        case RunCompletedEvent(content=content):
            assert content == "Done."


def test_the_events_of_a_team_and_of_its_members_have_different_names() -> None:
    member = Agent(ScriptedModel(["Mine."]), name="ada")
    leader = ScriptedModel([call("delegate_task_to_member", member_id="ada", task="x"), "Ours."])
    events = events_of(Team([member], model=leader, name="duo"))
    assert [
        (e.event, e.team_name, e.agent_name) for e in events if e.event.name in ("run_started", "run_completed")
    ] == [
        ("TeamRunStarted", "duo", None),
        ("RunStarted", None, "ada"),
        ("RunCompleted", None, "ada"),
        ("TeamRunCompleted", "duo", None),
    ]
    assert [e.content for e in events if isinstance(e, team_events.RunContentEvent)] == ["Ours."]
    assert [e.content for e in events if isinstance(e, RunContentEvent)] == ["Mine."]
    assert events[-1].event == TeamRunEvent.run_completed
    assert events[-1].event != RunEvent.run_completed
    (content,) = [e for e in Team([member], model=ScriptedModel(["Ours."])).run("go", stream=True) if not e.is_final]
    assert content.event == TeamRunEvent.run_content


def test_the_events_of_a_workflow_name_it_and_the_step() -> None:
    events = events_of(Workflow([Step(name="switch", agent=agent())], name="Evening"))
    assert events[-1].event == WorkflowRunEvent.workflow_completed == "WorkflowCompleted"
    assert [type_.__name__ for type_ in (StepStartedEvent, StepCompletedEvent, WorkflowCompletedEvent)
            for event in events if isinstance(event, type_)] == [
        "StepStartedEvent", "StepCompletedEvent", "WorkflowCompletedEvent",
    ]  # fmt: skip
    started = next(event for event in events if isinstance(event, RunStartedEvent))
    assert (started.agent_id, started.step_name) == ("switch", "switch")
    assert {(e.workflow_id, e.workflow_name, e.workflow_run_id) for e in events} == {
        ("evening", "Evening", events[-1].run_id)
    }


def test_the_final_event_has_the_values_of_the_run() -> None:
    started, *_, completed = events_of(agent(session_state={"n": 1}))
    assert (started.status, started.tools, started.session_state) == (RunStatus.RUNNING, [], None)
    assert (completed.status, completed.session_state) == (RunStatus.COMPLETED, {"n": 1})
    assert [tool.tool_name for tool in completed.tools] == ["lamp"]
    assert not completed.is_paused
    with pytest.raises(AttributeError, match="events with the name 'RunCompleted' have no attribute 'nonsense'"):
        _ = completed.nonsense


def test_the_values_in_details_are_attributes() -> None:
    event = RunOutputEvent(event=RunEvent.loop_started, run_id="r", session_id="s", details={"max_iterations": 3})
    assert pickle.loads(pickle.dumps(event)).max_iterations == 3


def test_the_run_is_the_last_item_if_requested() -> None:
    *_, completed, run = events_of(agent(), yield_run_output=True)
    assert isinstance(run, RunOutput)
    assert run is completed.run_output


async def test_the_run_is_the_last_item_of_an_async_stream() -> None:
    items = [item async for item in agent().arun("go", stream=True, yield_run_output=True)]
    assert [type(item).__name__ for item in items] == ["RunOutputEvent", "RunOutputEvent", "RunOutput"]


@pytest.mark.parametrize(
    ("module", "kind", "names"),
    [
        (agent_events, SessionType.AGENT, {"IntermediateRunContentEvent", "RunContentCompletedEvent", "CustomEvent"}),
        (team_events, SessionType.TEAM, {"TaskCreatedEvent", "RunPausedEvent", "TeamRunOutputEvent"}),
        (workflow_events, SessionType.WORKFLOW, {"StepOutputEvent", "LoopExecutionStartedEvent", "StepPausedEvent"}),
    ],
    ids=["agent", "team", "workflow"],
)
def test_a_class_creates_an_event_of_its_name(module: Any, kind: SessionType, names: set[str]) -> None:
    assert names <= set(module.__all__)
    for name, made in module._CLASSES.items():
        assert (made.__name__, made.__module__) == (name, module.__name__)
        if made.event is not None:
            event = made(run_id="r", session_id="s")
            assert isinstance(event, made)
            assert (event.event, event.kind) == (made.event, kind)


def test_the_statuses_have_agnos_names() -> None:
    assert _run_package.RunStatus.completed is RunStatus.COMPLETED
    assert [each.value for each in RunStatus] == ["RUNNING", "COMPLETED", "PAUSED", "CANCELLED", "ERROR"]


def lookup(word: str) -> str:
    """Look up a word."""
    return f"about {word}"


def kept(run: RunOutput) -> list[str]:
    assert run.events is not None
    return [str(each.event) for each in run.events]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_run_has_its_events_without_the_arriving_text(stream: bool) -> None:
    agent = Agent(ScriptedModel([call("lookup", word="sea"), "Blue."]), tools=[lookup], store_events=True)
    run = [*agent.run("go", stream=True)][-1].run_output if stream else agent.run("go")
    assert run is not None
    assert kept(run) == [
        "RunStarted",
        "ModelRequestStarted",
        "ModelRequestCompleted",
        "ToolCallStarted",
        "ToolCallCompleted",
        "ModelRequestStarted",
        "ModelRequestCompleted",
        "RunContentCompleted",
        "RunCompleted",
    ]
    assert run.to_dict().keys() & {"events"} == set()


def test_a_run_keeps_the_events_that_are_not_skipped() -> None:
    skipped = [*RunEvent]
    skipped.remove(RunEvent.run_content)
    run = Agent(ScriptedModel(["Blue."]), store_events=True, events_to_skip=skipped).run("go")
    assert run.events is not None
    assert {str(each.event) for each in run.events} == {"RunContent"}
    assert "".join(each.content for each in run.events) == "Blue."


def test_a_workflow_keeps_the_events_of_its_agents_and_agents_keep_none_by_default() -> None:
    run = Workflow([Agent(ScriptedModel(["Blue."]), name="a")], store_events=True).run("go")
    names = kept(run)
    assert (names[0], names[1], names[-1]) == ("WorkflowStarted", "StepStarted", "WorkflowCompleted")
    assert {"RunStarted", "RunCompleted", "StepCompleted"} <= {*names}
    assert run.nested_runs[0].events is None


@dataclass
class Profile(CustomEvent):
    """A customer, for the program that reads the stream."""

    customer: str = ""
    email: str | None = None


def profile() -> Iterator[Any]:
    """Find a customer."""
    yield Profile(customer="Ada", email="ada@example.com")


async def profile_of() -> AsyncIterator[Any]:
    """Find a customer."""
    yield Profile(customer="Ada")
    yield "found"
    yield CustomEvent(step_of_program=2)


@pytest.mark.parametrize(
    ("tool", "sent", "result"),
    [
        (profile, [{"customer": "Ada", "email": "ada@example.com"}],
         '[{"customer": "Ada", "email": "ada@example.com"}]'),
        (profile_of, [{"customer": "Ada", "email": None}, {"step_of_program": 2}], "found"),
    ],
    ids=["generator", "async generator"],
)  # fmt: skip
@pytest.mark.parametrize("stream_events", [False, True], ids=["content", "all events"])
def test_events_that_a_tool_yields_are_in_the_stream(
    tool: Any, sent: list[dict[str, Any]], result: str, stream_events: bool
) -> None:
    model = ScriptedModel([call(tool.__name__), "Done."])
    clerk = Agent(model, name="Clerk", tools=[tool], session_id="s", store_events=True)
    events = list(clerk.run("go", stream=True, stream_events=stream_events))
    run, custom = events[-1].run_output, [each for each in events if isinstance(each, CustomEvent)]
    assert run is not None
    assert [each.own_values() for each in custom] == sent
    assert isinstance(custom[0], Profile)
    assert pickle.loads(pickle.dumps(custom[0])) == custom[0]
    assert {(e.event, e.run_id, e.session_id, e.agent_name, e.tool_call_id) for e in custom} == {
        (RunEvent.custom_event, run.run_id, "s", "Clerk", run.tools[0].tool_call_id)
    }
    assert all(isinstance(each, BaseAgentRunEvent) for each in custom)
    assert run.tools[0].result == result
    assert [each for each in run.events or () if isinstance(each, CustomEvent)] == custom


def test_events_that_a_step_yields_are_in_the_stream() -> None:
    def find(step_input: Any) -> Iterator[Any]:
        yield Profile(customer="Ada")
        yield "found"

    events = events_of(Workflow([Step("find", executor=find)], id="flow"))
    (custom,) = [each for each in events if isinstance(each, CustomEvent)]
    assert (custom.customer, custom.step, custom.step_index, custom.workflow_id) == ("Ada", "find", 0, "flow")  # type: ignore[attr-defined]
    assert events[-1].content == "found"


def test_the_events_of_a_run_that_a_tool_yields_are_its_answer() -> None:
    member = Agent(ScriptedModel([call("lamp"), "It is on."]), name="Member", tools=[lamp])

    def ask() -> Iterator[Any]:
        """Ask the member."""
        yield from member.run("go", stream=True, stream_events=True, yield_run_output=True)

    run = Agent(ScriptedModel([call("ask"), "Done."]), tools=[ask]).run("go")
    assert run.tools[0].result == "It is on."


def test_the_end_of_the_content_is_an_event_before_the_post_hooks() -> None:
    hooked = Agent(ScriptedModel(["Done."]), post_hooks=[lambda run_output: None])
    names = [str(each.event) for each in events_of(hooked)]
    assert names[-4:] == ["RunContentCompleted", "PostHookStarted", "PostHookCompleted", "RunCompleted"]
    leader = Team([], model=ScriptedModel(["Ours."]))
    assert [str(each.event) for each in events_of(leader)][-2:] == ["TeamRunContentCompleted", "TeamRunCompleted"]
