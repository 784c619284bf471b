"""The modes of a team, members chosen by a function, and what members and leader are sent."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import pickle
import re
from typing import Any

import pytest
from pydantic import BaseModel
from rich.console import Console

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError
from agno_nb.run.context import RunContext
from agno_nb.team import Team, TeamMode
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.types import RunStatus, TeamRunEvent
from tests.team.crew import ask, echo, prompts


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (TeamMode.coordinate, False, False)),
        ({"mode": None}, (TeamMode.coordinate, False, False)),
        ({"mode": "route"}, (TeamMode.route, True, False)),
        ({"mode": TeamMode.broadcast}, (TeamMode.broadcast, False, True)),
        ({"respond_directly": True}, (TeamMode.route, True, False)),
        ({"delegate_to_all_members": True}, (TeamMode.broadcast, False, True)),
        ({"delegate_to_all_members": True, "respond_directly": True}, (TeamMode.broadcast, False, True)),
        ({"mode": "tasks", "respond_directly": True}, (TeamMode.tasks, False, False)),
    ],
    ids=str,
)
def test_a_mode_and_its_flags_agree(settings: dict[str, Any], expected: tuple[TeamMode, bool, bool]) -> None:
    team = Team([Agent(name="a")], **settings)
    assert (team.mode, team.respond_directly, team.delegate_to_all_members) == expected
    assert isinstance(team.mode, TeamMode)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("mode", "route", (TeamMode.route, True, False)),
        ("mode", "coordinate", (TeamMode.coordinate, False, False)),
        ("mode", None, (TeamMode.broadcast, False, True)),
        ("respond_directly", True, (TeamMode.route, True, False)),
        ("respond_directly", False, (TeamMode.broadcast, False, True)),
        ("delegate_to_all_members", False, (TeamMode.coordinate, False, False)),
    ],
)
def test_a_mode_that_is_set_later_and_its_flags_agree(
    name: str, value: Any, expected: tuple[TeamMode, bool, bool]
) -> None:
    team = Team([Agent(name="a")], mode="broadcast")
    setattr(team, name, value)
    for each in (team, copy.copy(team), copy.deepcopy(team), team.deep_copy(), pickle.loads(pickle.dumps(team))):
        assert (each.mode, each.respond_directly, each.delegate_to_all_members) == expected


def test_a_mode_that_is_set_later_is_the_mode_of_the_next_run() -> None:
    leader = ScriptedModel([call("delegate_task_to_member", member_id="a", task="Go")])
    team = Team([Agent(FunctionModel(echo), name="a")], model=leader)
    team.mode = "route"
    assert team.run("Go").content == "did: Go"
    with pytest.raises(InvalidInputError, match="mode is 'rout'; did you mean \"route\""):
        team.mode = "rout"  # type: ignore[assignment]
    assert team.mode is TeamMode.route


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({"mode": "route"}, (TeamMode.route, True, False)),
        ({"mode": "tasks"}, (TeamMode.tasks, False, False)),
        ({"delegate_to_all_members": False, "respond_directly": True}, (TeamMode.route, True, False)),
        ({"delegate_to_all_members": False}, (TeamMode.coordinate, False, False)),
        ({"max_iterations": 2}, (TeamMode.broadcast, False, True)),
    ],
    ids=str,
)
def test_the_mode_of_a_copy_and_its_flags_agree(update: dict[str, Any], expected: tuple[TeamMode, bool, bool]) -> None:
    other = Team([Agent(name="a")], mode="broadcast").deep_copy(update=update)
    assert (other.mode, other.respond_directly, other.delegate_to_all_members) == expected
    assert isinstance(other.mode, TeamMode)
    with pytest.raises(InvalidInputError, match="mode is 'rout'; did you mean \"route\""):
        other.deep_copy(update={"mode": "rout"})


def test_a_copy_with_another_mode_works_in_it() -> None:
    team = Team([Agent(ScriptedModel(["Oslo"]), name="m")], model=ScriptedModel([ask("m", "Which?"), "I say Oslo"]))
    assert team.deep_copy(update={"mode": "route"}).run("Go").content == "Oslo"


def test_a_mode_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidInputError, match="mode is 'broadcst'; did you mean \"broadcast\""):
        Team([Agent(name="a")], mode="broadcst")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="max_iterations"):
        Team([Agent(name="a")], max_iterations=0)


def test_route_returns_the_answer_of_the_member_in_the_schema_of_the_team() -> None:
    class City(BaseModel):
        name: str

    member = Agent(ScriptedModel(['{"name": "Oslo"}']), name="m")
    run = Team([member], model=ScriptedModel([ask("m", "Which?")]), mode="route", output_schema=City).run("Go")
    assert run.content == City(name="Oslo")
    own = Agent(ScriptedModel(["Oslo"]), name="m")
    assert Team([own], model=ScriptedModel([ask("m", "Which?")]), mode="route").run("Go").content == "Oslo"


def test_members_get_the_users_message_unchanged() -> None:
    class Topic(BaseModel):
        topic: str

    member = FunctionModel(echo)
    leader = ScriptedModel([ask("m", "a label"), "Done.", call("delegate_task_to_members", task="label"), "Done."])
    team = Team([Agent(member, name="m")], model=leader, determine_input_for_members=False)
    team.run(Topic(topic="tea"))
    Team([Agent(member, name="m")], model=leader, determine_input_for_members=False, mode="broadcast").run("Tea?")
    assert prompts(member) == [['{"topic":"tea"}'], ["Tea?"]]
    assert "the user's message as it is" in (leader.requests[0].messages[0].content or "")


def test_a_team_without_members_is_a_leader_alone() -> None:
    leader = ScriptedModel(["Hello."])
    run = Team([], model=leader, get_member_information_tool=True).run("Hi")
    assert (run.content, leader.requests[0].tools) == ("Hello.", [])
    assert [message.content for message in leader.requests[0].messages] == [
        "You lead a team that has no members at present. Answer yourself.",
        "Hi",
    ]
    assert Team(model=ScriptedModel(["Alone."]), mode="broadcast").run("Hi").content == "Alone."


def test_a_member_without_a_name_is_listed_by_its_id() -> None:
    listed = Team([Agent(id="m1"), Agent()]).get_members_system_message_content()
    assert listed == "<team_members>\n- m1: m1\n- agent: agent\n</team_members>"


def test_the_leader_reads_its_members_with_a_tool() -> None:
    def lookup(query: str) -> str:
        """Look something up."""
        return query

    inner = Team([Agent(name="Deep", role="Dives")], name="Divers", role="Go down")
    leader = ScriptedModel([call("get_member_information"), "Done."])
    team = Team(
        [Agent(name="Reader", role="Reads", tools=[lookup]), inner],
        model=leader,
        get_member_information_tool=True,
        add_member_tools_to_context=True,
    )
    run = team.run("Who?")
    members = "<team_members>\n- reader: Reads\n  Tools: lookup\n- divers: Go down\n  - Deep: Dives\n</team_members>"
    assert run.tools[0].result == team.get_members_system_message_content() == members
    assert members in (leader.requests[0].messages[0].content or "")


@pytest.mark.parametrize("sends", [True, False])
def test_events_of_members_are_in_the_stream_or_not(sends: bool) -> None:
    inner = Team([Agent(FunctionModel(echo), name="m")], name="inner", model=ScriptedModel([ask("m", "x"), "Inner."]))
    team = Team([inner], name="t", model=ScriptedModel([ask("inner", "x"), "Done."]), stream_member_events=sends)
    names = {event.component_name for event in team.run("Go", stream=True, stream_events=True)}
    assert names == ({"t", "inner", "m"} if sends else {"t"})


def test_a_function_returns_the_members_for_each_run() -> None:
    calls: list[Any] = []
    reader, writer = Agent(FunctionModel(echo), name="reader"), Agent(FunctionModel(echo), name="writer")

    async def choose(session_state: dict[str, Any], team: Team, run_context: RunContext) -> list[Agent]:
        calls.append((dict(session_state), team.name, run_context.user_id))
        return [reader, writer] if session_state.get("reads") else [writer]

    leader = ScriptedModel(["Hi.", "Hi.", ask("reader", "x"), "Done."])
    team = Team(choose, name="Crew", model=leader)
    assert list(team.parts) == []
    team.run("One", session_id="a")
    team.run("Two", session_id="a", user_id="ada")
    assert team.parts == [writer]
    run = team.run("Three", session_state={"reads": True})
    assert [each.content for each in run.member_responses] == ["did: x"]
    assert calls == [({}, "Crew", None), ({}, "Crew", "ada"), ({"reads": True}, "Crew", None)]
    schemas = [request.tools[0].parameters["properties"]["member_id"] for request in leader.requests]
    allowed = [schema.get("enum") or [schema["const"]] for schema in schemas]
    assert allowed == [["writer"], ["writer"], ["reader", "writer"], ["reader", "writer"]]


@pytest.mark.parametrize(
    ("members", "said"),
    [("ab", "pass a list of agents and teams"), ([len], "functions as tools"), ([Agent(name="a")] * 2, "the ID 'a'")],
)
def test_members_that_a_function_cannot_return_end_the_run(members: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as raised:
        Team(lambda: members, model=ScriptedModel([])).run("Hi")
    assert raised.value.run_output is not None
    assert raised.value.run_output.status is RunStatus.ERROR


def test_a_function_may_return_no_members() -> None:
    leader = ScriptedModel(["Alone."])
    assert Team(lambda: None, model=leader).run("Hi").content == "Alone."
    assert leader.requests[0].tools == []


def test_initialize_team_sets_the_models_that_a_run_would_use() -> None:
    model, other = ScriptedModel([]), ScriptedModel([])
    deep, shallow, own = Agent(name="deep"), Agent(name="shallow"), Agent(other, name="own")
    inner = Team([deep], name="inner")
    Team([shallow, own, inner], model=model).initialize_team()
    assert [each.model for each in (deep, shallow, own, inner)] == [model, model, other, model]


def test_the_content_of_a_route_is_in_the_stream_and_in_the_history(db: InMemoryDb) -> None:
    leader = ScriptedModel([ask("m", "x"), ask("m", "y")])
    team = Team([Agent(FunctionModel(echo), name="m")], model=leader, mode="route", db=db, add_history_to_context=True)
    events = [(event.event, event.content) for event in team.run("One", stream=True, session_id="s")]
    assert events == [(TeamRunEvent.run_content, "did: x"), (TeamRunEvent.run_completed, "did: x")]
    team.run("Two", session_id="s")
    # Chat templates of many models refuse a message of the user after the results of tools.
    assert [(m.role, m.content) for m in leader.requests[1].messages[1:]] == [
        ("user", "One"),
        ("assistant", None),
        ("tool", "did: x"),
        ("assistant", "did: x"),
        ("user", "Two"),
    ]
    assert [(m.role, m.content) for m in team.get_chat_history("s")] == [
        ("user", "One"),
        ("assistant", "did: x"),
        ("user", "Two"),
        ("assistant", "did: y"),
    ]


@pytest.mark.parametrize(
    ("setting", "argument", "shows"),
    [(False, None, False), (True, None, True), (True, False, False), (False, True, True)],
)
def test_a_terminal_shows_the_whole_answers_of_members(setting: bool, argument: bool | None, shows: bool) -> None:
    long = "A line of the answer. " * 20 + "Its end."
    inner = Team(
        [Agent(ScriptedModel([long]), name="deep")], name="inner", model=ScriptedModel([ask("deep", "x"), "I"])
    )
    team = Team([inner], model=ScriptedModel([ask("inner", "x"), "Done."]), show_members_responses=setting)
    console = Console(file=io.StringIO(), width=60)
    team.print_response("Go", console=console, show_member_responses=argument)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert ("Its end." in text) is shows
    titles = re.findall(r"^╭─ (.*?) ─", text, re.MULTILINE)
    members = ["Response of deep", "Response of inner"] if shows else []
    assert [re.sub(r" \(.*", "", title) for title in titles] == ["Message", *members, "Response"]


def test_the_whole_answers_of_members_are_shown_by_the_async_method() -> None:
    team = Team([Agent(FunctionModel(echo), name="m")], model=ScriptedModel([ask("m", "x"), "Done."]))
    console = Console(file=io.StringIO(), width=60)
    asyncio.run(team.aprint_response("Go", console=console, show_member_responses=True))
    assert isinstance(console.file, io.StringIO)
    assert "Response of m" in console.file.getvalue()


def test_what_a_call_adds_to_the_context_is_added_to_the_members_too() -> None:
    member, leader = FunctionModel(echo), ScriptedModel([ask("m", "x"), "Done."])
    Team([Agent(member, name="m")], model=leader).run(
        "Go",
        session_state={"city": "Oslo"},
        dependencies={"unit": "kelvin"},
        add_session_state_to_context=True,
        add_dependencies_to_context=True,
    )
    for request in (leader.requests[0], member.requests[0]):
        assert "Oslo" in (request.messages[0].content or "")
        assert "kelvin" in (request.messages[0].content or "")


def test_the_answer_to_a_json_schema_is_a_dict() -> None:
    schema = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    run = Team([], model=ScriptedModel(['{"name": "Oslo"}'])).run("Go", output_schema=schema)
    assert (run.content, run.content_type) == ({"name": "Oslo"}, "dict")


@pytest.mark.parametrize("mode", [*TeamMode])
def test_the_settings_of_a_team_are_saved_with_its_mode(mode: TeamMode) -> None:
    member = Agent(name="m")
    team = Team([member], name="Crew", mode=mode, max_iterations=4)
    saved = json.loads(json.dumps(team.to_dict()))
    again = Team.from_dict(saved, members=[member])
    assert (again.mode, again.name, again.max_iterations) == (mode, "Crew", 4)
    assert (again.respond_directly, again.delegate_to_all_members) == (
        team.respond_directly,
        team.delegate_to_all_members,
    )


def test_the_content_of_the_final_event_is_the_object_of_the_schema() -> None:
    class City(BaseModel):
        name: str

    team = Team([], model=ScriptedModel(['{"name": "Oslo"}']), output_schema=City)
    *_, last = team.run("Go", stream=True)
    assert (last.event, last.content) == (TeamRunEvent.run_completed, City(name="Oslo"))
