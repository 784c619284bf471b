"""Teams: a leader whose tools are its members, with the pipeline of agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import SessionType
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, ModelError, RunNotContinuableError
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.session import TeamSession
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, Reply, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, Metrics, RunEvent, RunStatus, TeamRunEvent, ToolCall
from tests.team.crew import ask, echo


def test_the_leader_gives_tasks_to_members_and_answers_from_what_they_say(db: InMemoryDb) -> None:
    poet, cook = Agent(FunctionModel(echo), name="Poet"), Agent(FunctionModel(echo), name="Cook")
    leader = ScriptedModel([[ask("poet", "a haiku"), ask("cook", "a soup")], "Haiku and soup."])
    run = Team([poet, cook], model=leader, name="Crew", db=db).run("Both, please", session_id="s", user_id="ada")

    assert run.content == "Haiku and soup."
    assert [(tool.tool_name, tool.result) for tool in run.tools] == [
        ("delegate_task_to_member", "did: a haiku"),
        ("delegate_task_to_member", "did: a soup"),
    ]
    assert [(each.component_name, each.input, each.content) for each in run.member_responses] == [
        ("Poet", "a haiku", "did: a haiku"),
        ("Cook", "a soup", "did: a soup"),
    ]
    rows = db.runs_df()
    shown = ["kind", "component_name", "user_id", "run_index", "parent_run_id", "root_run_id", "parent_tool_call_id"]
    assert rows[shown].astype(object).where(rows[shown].notna(), None).values.tolist() == [
        ["team", "Crew", "ada", 0, None, run.run_id, None],
        ["agent", "Poet", "ada", None, run.run_id, run.run_id, run.tools[0].tool_call_id],
        ["agent", "Cook", "ada", None, run.run_id, run.run_id, run.tools[1].tool_call_id],
    ]


def test_the_leader_is_told_of_its_members_and_the_schema_names_them() -> None:
    leader = ScriptedModel(["Hello."])
    poet = Agent(ScriptedModel([]), name="Poet", role="Writes haiku", description="Lives in {town}.")
    Team(
        [poet, Agent(ScriptedModel([]), id="c-1", description="Cooks soup")], model=leader, instructions="Be kind."
    ).run("Hi")

    (request,) = leader.requests
    system = request.messages[0].content or ""
    assert system.startswith("Be kind.")
    assert "<team_members>\n- poet: Writes haiku\n- c-1: Cooks soup\n</team_members>" in system
    (tool,) = request.tools
    assert tool.name == "delegate_task_to_member"
    assert tool.parameters["required"] == ["member_id", "task"]
    assert tool.parameters["properties"]["member_id"]["enum"] == ["poet", "c-1"]


def test_an_agent_is_told_its_role() -> None:
    model = ScriptedModel(["Hello."])
    Agent(model, description="You live in Rome.", role="Writes haiku", instructions="Be brief.").run("Hi")
    assert model.requests[0].messages[0].content == "You live in Rome.\n\nYour role: Writes haiku\n\nBe brief."


def test_a_member_that_does_not_exist_or_fails_is_told_to_the_leader() -> None:
    member = Agent(ScriptedModel([ModelError("on fire")]), name="poet")
    leader = ScriptedModel([[ask("poet", "x"), ask("nobody", "y")], "Sorry."])
    run = Team([member], model=leader).run("Go")
    assert [tool.tool_call_error for tool in run.tools] == [True, True]
    assert run.tools[0].result == "ModelError: on fire"
    assert "Input should be 'poet'" in str(run.tools[1].result)
    assert [each.status for each in run.nested_runs] == [RunStatus.ERROR]
    assert (run.status, run.content) == (RunStatus.COMPLETED, "Sorry.")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ("ab", "pass a list of agents and teams"),
        (Agent(name="a"), "pass a list of agents and teams"),
        ([Agent(name="a"), len], "functions as tools"),
        ([Agent(name="a"), Agent(name="A")], "have the ID 'a'"),
    ],
)
def test_members_that_cannot_be_are_refused(members: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        Team(members)


def test_a_team_takes_aliases_and_explains_unknown_arguments() -> None:
    team = Team(
        members=[Agent(name="a")], search_session_history=True, num_history_sessions=2, store_tool_results=False
    )
    assert (team.search_past_sessions, team.num_past_sessions_to_search, team.store_tool_messages) == (True, 2, False)
    with pytest.raises(
        TypeError, match="Team\\(\\) has no argument 'respond_direct': did you mean \"respond_directly\""
    ):
        Team([Agent(name="a")], respond_direct=True)  # type: ignore[call-arg]


def test_all_members_are_asked_at_once() -> None:
    meeting = asyncio.Barrier(2)

    class Meeting(Model):
        id, provider = "meeting", "test"

        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
            await asyncio.wait_for(meeting.wait(), 10)
            yield ModelResponse(content=f"did {request.messages[-1].content}")

    members = [
        Agent(Meeting(), name="a"),
        Agent(Meeting(), name="b"),
        Agent(ScriptedModel([ModelError("no")]), name="c"),
    ]
    leader = ScriptedModel([call("delegate_task_to_members", task="it"), "All did."])
    run = Team(members, model=leader, delegate_to_all_members=True).run("Go")
    assert run.tools[0].result == "a: did it\n\nb: did it\n\nc failed: no"
    assert not run.tools[0].tool_call_error
    assert [each.component_name for each in run.nested_runs] == ["a", "b", "c"]


def test_members_respond_directly(db: InMemoryDb) -> None:
    leader = ScriptedModel([ask("a", "x"), [ask("a", "y"), ask("b", "z")]])
    team = Team(
        [Agent(FunctionModel(echo), name="a"), Agent(FunctionModel(echo), name="b")],
        model=leader,
        respond_directly=True,
        db=db,
    )
    events = list(team.run("One", stream=True))
    assert [(event.event, event.content) for event in events] == [
        (TeamRunEvent.run_content, "did: x"),
        (TeamRunEvent.run_completed, "did: x"),
    ]
    assert team.run("Two").content == "did: y\n\ndid: z"
    assert [(m.role, m.content) for m in team.get_chat_history()] == [
        ("user", "One"),
        ("assistant", "did: x"),
        ("user", "Two"),
        ("assistant", "did: y\n\ndid: z"),
    ]


def test_tokens_of_the_tree_are_counted_once(db: InMemoryDb) -> None:
    def priced(text: str, *calls: ToolCall) -> ModelResponse:
        return ModelResponse(
            content=text, tool_calls=list(calls), metrics=Metrics(input_tokens=10, output_tokens=1, cost=0.5)
        )

    member = Agent(ScriptedModel([priced("m")]), name="m")
    team = Team([member], model=ScriptedModel([priced("", ask("m", "x")), priced("done")]), db=db)
    run = team.run("Go")
    assert (run.metrics.input_tokens, run.total_metrics.input_tokens, run.total_metrics.cost) == (20, 30, 1.5)
    assert run.total_metrics.duration_s == run.metrics.duration_s
    total = team.get_session_metrics()
    assert (total.input_tokens, total.output_tokens, total.cost) == (30, 3, 1.5)
    stored = team.get_run_output(run.run_id)
    assert stored is not None
    assert stored.total_metrics.input_tokens == 30


def test_what_members_say_is_not_stored_where_the_team_says_so(db: InMemoryDb) -> None:
    member = Agent(FunctionModel(echo), name="m")
    team = Team([member], model=ScriptedModel([ask("m", "x"), "done"]), db=db, store_member_responses=False)
    run = team.run("Go")
    assert [each.content for each in run.member_responses] == ["did: x"]
    stored = team.get_run_output(run.run_id)
    assert stored is not None
    assert [(each.status, each.content, each.messages) for each in stored.member_responses] == [
        (RunStatus.COMPLETED, None, [])
    ]
    assert stored.member_responses[0].metrics.output_tokens == run.member_responses[0].metrics.output_tokens


def test_cancelling_a_team_cancels_every_member(db: InMemoryDb) -> None:
    class Stalling(Model):
        id, provider = "stalling", "test"

        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
            yield Delta(content="half")
            await asyncio.Event().wait()

    members = [
        Agent(Stalling(), name="a"),
        Team([Agent(Stalling(), name="c")], name="b", model=ScriptedModel([ask("c", "x")])),
    ]
    team = Team(members, name="t", model=ScriptedModel([[ask("a", "x"), ask("b", "y")]]), db=db)
    speaking = set()
    with team.run("Go", stream=True, stream_events=True) as events:
        for event in events:
            if event.event is RunEvent.run_content:
                speaking.add(event.component_name)
            if speaking == {"a", "c"}:
                break
        ended = [event.component_name for event in events.drain() if event.event.name == "run_cancelled"]
    assert sorted(ended[:3]) == ["a", "b", "c"]
    assert ended[3:] == ["t"]
    rows = db.runs_df()
    assert set(rows["status"]) == {"CANCELLED"}
    assert dict(zip(rows["component_name"], rows["content"].fillna(""), strict=True)) == {
        "t": "", "a": "half", "b": "", "c": "half",
    }  # fmt: skip


def test_a_team_has_a_session_of_its_kind_and_all_that_agents_have(db: InMemoryDb) -> None:
    tools = {"get_chat_history", "get_tool_call_history", "search_past_sessions", "read_past_session"}
    leader = ScriptedModel(["Hello."])
    team = Team(
        [Agent(name="a")],
        name="Crew",
        model=leader,
        db=db,
        read_chat_history=True,
        read_tool_call_history=True,
        search_session_history=True,
        enable_agentic_state=True,
        enable_agentic_memory=True,
    )
    team.run("Hi", user_id="ada", session_id="s")
    offered = {tool.name for tool in leader.requests[0].tools}
    assert offered == tools | {"update_session_state", "update_user_memory", "delegate_task_to_member"}
    session = db.get_session("s")
    assert isinstance(session, TeamSession)
    assert db.get_session("s", SessionType.AGENT) is None
    assert [each.session_id for each in db.get_sessions(session_type="team", component_id="crew")] == ["s"]
    Agent(ScriptedModel(["x"]), db=db).run("Hi", user_id="ada", session_id="s")
    assert isinstance(db.get_session("s"), TeamSession)
    assert [run.kind for run in db.get_runs("s")] == [SessionType.TEAM, SessionType.AGENT]


def test_a_member_with_a_store_of_its_own_keeps_its_runs_there(db: InMemoryDb) -> None:
    own = InMemoryDb()
    team = Team([Agent(ScriptedModel(["m"]), name="m", db=own)], model=ScriptedModel([ask("m", "x"), "done"]), db=db)
    run = team.run("Go", user_id="ada")
    assert db.runs_df()["kind"].tolist() == ["team"]
    (stored,) = own.get_runs(run.nested_runs[0].session_id)
    assert (stored.parent_run_id, stored.run_index, stored.user_id, stored.root_run_id) == (
        run.run_id, 0, "ada", stored.run_id,
    )  # fmt: skip


def test_a_fork_takes_the_members_runs_along(db: InMemoryDb) -> None:
    team = Team([Agent(ScriptedModel(["m"]), name="m")], model=ScriptedModel([ask("m", "x"), "done"]), db=db)
    run = team.run("Go")
    fork = team.fork_session()
    (turn,) = [each for each in fork.runs if each.run_index == 0]
    assert turn.run_id != run.run_id
    assert [(each.content, each.parent_run_id, each.root_run_id) for each in turn.nested_runs] == [
        ("m", turn.run_id, turn.run_id)
    ]


@pytest.mark.parametrize("is_fresh", [False, True], ids=["same process", "from the store"])
@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "all at once"])
def test_a_pause_of_a_member_pauses_the_team_and_both_go_on(db: InMemoryDb, is_fresh: bool, at_once: bool) -> None:
    sent: list[str] = []

    @tool(requires_confirmation=True)
    def send(to: str) -> str:
        sent.append(to)
        return f"sent to {to}"

    def crew() -> Team:
        """The same team, as defined by another process."""

        def write(messages: list[Message], tools: Any) -> Reply:
            return messages[-1].content or "" if messages[-1].role == "tool" else call("send", to=messages[-1].content)

        def lead(messages: list[Message], tools: Any) -> Reply:
            results = [m.content for m in messages if m.role == "tool"]
            if results:
                return "\n".join(str(result) for result in results)
            if at_once:
                return call("delegate_task_to_members", task="Bob")
            return [ask("writer", "Bob"), ask("reader", "Bob")]

        return Team(
            [Agent(FunctionModel(write), name="writer", tools=[send]), Agent(FunctionModel(echo), name="reader")],
            model=FunctionModel(lead),
            name="Crew",
            db=db,
            delegate_to_all_members=at_once,
            share_member_interactions=True,
        )

    team = crew()
    run = team.run("Write to Bob", session_id="s")
    assert (run.status, sent) == (RunStatus.PAUSED, [])
    assert db.runs_df()[["component_name", "status"]].values.tolist() == [
        ["Crew", "PAUSED"], ["writer", "PAUSED"], ["reader", "COMPLETED"],
    ]  # fmt: skip
    (requirement,) = run.active_requirements
    assert (requirement.component_name, requirement.tool.tool_args) == ("writer", {"to": "Bob"})
    assert (requirement.member_agent_name, requirement.member_run_id) == ("writer", run.member_responses[0].run_id)
    requirement.confirm()
    if is_fresh:
        done = crew().continue_run(run_id=run.run_id, session_id="s", requirements=[requirement])
    else:
        done = team.continue_run(run)
    assert (done.run_id, done.status, sent) == (run.run_id, RunStatus.COMPLETED, ["Bob"])
    results = "writer: sent to Bob\n\nreader: did: Bob" if at_once else "sent to Bob\ndid: Bob"
    assert done.content == results
    assert [(each.component_name, each.content) for each in done.member_responses] == [
        ("writer", "sent to Bob"),
        ("reader", "did: Bob"),
    ]
    # The member that had answered was not asked again.
    assert len(db.runs_df()) == 3


@pytest.mark.parametrize("own_db", [False, True], ids=["in the session", "in a store of its own"])
def test_a_member_is_not_run_again_because_another_turn_ends_during_the_pause(db: InMemoryDb, own_db: bool) -> None:
    sent: list[str] = []

    @tool(requires_confirmation=True)
    def send(text: str) -> str:
        sent.append(text)
        return f"sent {text}"

    def write(messages: list[Message], tools: Any) -> Reply:
        last = messages[-1]
        return f"Wrote: {last.content}" if last.role == "tool" else call("send", text=(last.content or "")[-1])

    def lead(messages: list[Message], tools: Any) -> Reply:
        last = messages[-1]
        return str(last.content) if last.role == "tool" else ask("writer", f"Write {last.content}")

    members_db = InMemoryDb() if own_db else None

    def crew() -> Team:
        writer = Agent(FunctionModel(write), name="writer", tools=[send], db=members_db)
        return Team([writer], model=FunctionModel(lead), name="Crew", db=db, add_team_history_to_members=True)

    runs = [crew().run(text, session_id="s") for text in "ab"]
    for run in runs:
        (requirement,) = run.active_requirements
        requirement.confirm()
        run = crew().continue_run(run_id=run.run_id, session_id="s", requirements=[requirement])
        assert run.content == f"Wrote: sent {run.input}"
    assert sent == ["a", "b"]
    assert [*(members_db or db).runs_df()["component_name"]].count("writer") == 2


def test_a_pause_of_a_member_whose_words_are_not_stored_is_continued_in_its_process_only(db: InMemoryDb) -> None:
    @tool(requires_confirmation=True)
    def send() -> str:
        return "sent"

    def crew() -> Team:
        member = Agent(ScriptedModel([call("send"), "m"]), name="m", tools=[send])
        return Team([member], model=ScriptedModel([ask("m", "x"), "done"]), db=db, store_member_responses=False)

    team = crew()
    run = team.run("Go")
    run.requirements[0].confirm()
    assert team.continue_run(run).content == "done"
    team = crew()
    run = team.run("Go")
    run.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError, match="store_member_responses=False"):
        team.continue_run(run_id=run.run_id, session_id=run.session_id, requirements=run.requirements)
    assert [one.status for one in db.get_runs(run.session_id)] == [RunStatus.PAUSED] * 2
    assert team.continue_run(run).content == "done"


def test_tools_of_the_leader_and_of_members_are_given_the_team(db: InMemoryDb) -> None:
    given: list[tuple[Any, Any]] = []

    def look(agent: Any, team: Any) -> str:
        given.append((agent, team))
        return "seen"

    member = Agent(ScriptedModel([call("look"), "looked", call("look"), "looked"]), name="Poet", tools=[look], db=db)
    leader = ScriptedModel([[call("look"), ask("poet", "look")], "Done."])
    crew = Team([member], model=leader, name="Crew", tools=[look], db=db)
    crew.run("go", session_id="s")
    member.run("alone", session_id="t")
    assert given == [(crew, crew), (member, crew), (member, None)]
