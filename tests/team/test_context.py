"""The context of members: history, the team's history, other members' answers, state and model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, ScriptedModel, call
from tests.team.crew import ask, echo, prompts


def test_members_without_a_model_answer_by_the_teams_also_in_a_team_within() -> None:
    model = ScriptedModel([ask("inner", "x"), ask("deep", "y"), "deep", "inner", "outer"])
    deep = Agent(name="deep")
    own = Agent(ScriptedModel(["own"]), name="own")
    run = Team([Team([deep], name="inner"), own], model=model, name="outer").run("Go")
    assert run.content == "outer"
    (inner,) = run.nested_runs
    assert [(each.component_name, each.model, each.content) for each in (inner, *inner.nested_runs)] == [
        ("inner", "scripted", "inner"),
        ("deep", "scripted", "deep"),
    ]
    assert deep.model is None


def test_an_agent_in_a_tool_of_a_member_does_not_take_the_teams_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGNO_NB_MODEL", "demo")
    helper = Agent(name="helper")

    def helped() -> str:
        return str(helper.run("Hello").model)

    model = ScriptedModel([ask("m", "x"), call("helped"), "m", "team"])
    run = Team([Agent(name="m", tools=[helped])], model=model).run("Go")
    assert run.nested_runs[0].tools[0].result == "demo"


def test_a_member_has_the_history_of_its_own_runs_in_the_teams_session(db: InMemoryDb) -> None:
    model, other = FunctionModel(echo), FunctionModel(echo)
    leader = ScriptedModel(
        [ask("a", "1"), "one", [ask("b", "2")], "two", ask("a", "3"), "three", ask("a", "4"), "four"]
    )
    team = Team(
        [Agent(model, name="a", add_history_to_context=True, num_history_runs=2), Agent(other, name="b")],
        model=leader,
        db=db,
    )
    for prompt in ("I", "II", "III"):
        team.run(prompt)
    team.run("II again", run_index=1)
    assert prompts(model) == [
        ["1"],
        ["1", "did: 1", "3"],
        # The turn that is tried again does not see what came after it.
        ["1", "did: 1", "4"],
    ]
    assert prompts(other) == [["2"]]


def test_a_member_knows_what_it_did_earlier_in_the_same_turn(db: InMemoryDb) -> None:
    model = FunctionModel(echo)
    leader = ScriptedModel([ask("a", "1"), ask("a", "2"), "done"])
    Team([Agent(model, name="a", add_history_to_context=True)], model=leader, db=db).run("Go")
    assert prompts(model) == [["1"], ["1", "did: 1", "2"]]


def test_members_are_shown_the_teams_history_and_what_others_said() -> None:
    model = FunctionModel(lambda messages, tools: "seen")
    leader = ScriptedModel(["Hello, Ada.", ask("a", "1"), ask("b", "2"), "done"])
    team = Team(
        [Agent(model, name="a"), Agent(model, name="b")],
        model=leader,
        db=InMemoryDb(),
        add_team_history_to_members=True,
        num_team_history_runs=1,
        share_member_interactions=True,
    )
    team.run("I am Ada")
    team.run("Go")
    history = "<team_history>\nuser: I am Ada\nteam: Hello, Ada.\n</team_history>"
    assert prompts(model) == [
        [f"{history}\n\n1"],
        [f"{history}\n\n<member_interactions>\na was asked: 1\nand said: seen\n</member_interactions>\n\n2"],
    ]


def test_the_session_state_is_shared_with_members(db: InMemoryDb) -> None:
    def note(session_state: dict[str, Any], what: str) -> str:
        session_state.setdefault("notes", []).append(what)
        return json.dumps(session_state)

    members = [
        Agent(
            ScriptedModel([call("note", what=name), "ok"]), name=name, tools=[note], session_state={"of": name, "n": 0}
        )
        for name in ("a", "b")
    ]
    leader = ScriptedModel([[ask("a", "1"), ask("b", "2")], call("note", what="leader"), "done"])
    team = Team(members, model=leader, tools=[note], db=db, session_state={"n": 1})
    run = team.run("Go")
    state = team.get_session_state()
    assert state == run.session_state
    assert sorted(state.pop("notes")) == ["a", "b", "leader"]
    # The team's initial state wins; a member's values fill in keys that are not set.
    assert state == {"n": 1, "of": "a"}
