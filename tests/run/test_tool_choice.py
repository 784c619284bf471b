"""`tool_choice`: a call that the model must make, or none."""

from __future__ import annotations

from typing import Any

import pytest

from agno_nb import Agent, FunctionModel, InMemoryDb, ScriptedModel, Team
from agno_nb.errors import InvalidInputError
from agno_nb.models.base import Model
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.testing import call
from tests.fakes.strict import StrictServer, calls, says


def look() -> str:
    """Look it up."""
    return "42"


def choices(model: FunctionModel) -> list[str | None]:
    return [request.tool_choice for request in model.requests]


OPENAI = {"type": "function", "function": {"name": "look"}}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, [None, None]),
        ("auto", [None, None]),
        ("required", ["required", None]),
        ("look", ["look", None]),
        (OPENAI, ["look", None]),
        ({"type": "function", "name": "look"}, ["look", None]),
        ("none", ["none", "none"]),
    ],
    ids=str,
)
def test_a_call_is_required_from_the_first_answer_of_each_run_only(setting: Any, expected: list[str | None]) -> None:
    model = ScriptedModel([call("look"), "It is 42.", call("look"), "Still 42."])
    agent = Agent(
        model, tools=[look], tool_choice=setting, db=InMemoryDb(), session_id="s", add_history_to_context=True
    )

    assert agent.run("How many?").content == "It is 42."
    assert agent.run("And now?").content == "Still 42."

    assert choices(model) == expected * 2


def test_a_team_can_be_told_to_delegate() -> None:
    leader = ScriptedModel([call("delegate_task_to_member", member_id="poet", task="Autumn"), "Leaves fall."])
    team = Team([Agent(ScriptedModel(["Leaves."]), name="poet")], model=leader, tool_choice="delegate_task_to_member")

    team.run("A haiku")

    assert choices(leader) == ["delegate_task_to_member", None]


@pytest.mark.parametrize("setting", ["", 3, {"type": "function"}, {"type": "mcp", "name": "look"}, ["look"]], ids=repr)
def test_another_value_is_refused(setting: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"tool_choice is .*; pass 'auto', 'none', 'required'"):
        Agent("demo", tools=[look], tool_choice=setting)


def test_a_tool_that_there_is_not_is_refused_before_any_request() -> None:
    model = ScriptedModel([])
    with pytest.raises(InvalidInputError, match="tool_choice is 'lok', which is not among the tools: did you mean"):
        Agent(model, tools=[look], tool_choice="lok").run("go")
    with pytest.raises(InvalidInputError, match="tool_choice is 'required', and there are no tools"):
        Agent(model, tool_choice="required").run("go")
    assert Agent(ScriptedModel(["Hi."]), tool_choice="none").run("go").content == "Hi."
    assert model.requests == []


@pytest.mark.parametrize("api", [OpenAIChat, OpenAIResponses])
def test_the_server_is_told(api: type[OpenAIModel]) -> None:
    with StrictServer() as server:
        server.will_say(calls(("look", {})), says("It is 42."))
        model: Model = api("m", base_url=server.base_url, api_key="none")

        assert Agent(model, tools=[look], tool_choice="required").run("go").content == "It is 42. "

        assert [request.body.get("tool_choice") for request in server.requests] == ["required", None]


def test_a_server_that_ignores_it_is_named() -> None:
    model = OpenAIChat("m", base_url="http://localhost:9/v1", provider="ollama")
    with pytest.raises(InvalidInputError, match="ollama at localhost:9 ignores tool_choice='required'; leave it out"):
        Agent(model, tools=[look], tool_choice="required").run("go")


def test_the_cache_tells_choices_apart() -> None:
    db = InMemoryDb()
    model = ScriptedModel([call("look"), "It is 42.", "None."])
    Agent(model, tools=[look], db=db).run("go", cache=True)

    run = Agent(model, tools=[look], db=db, tool_choice="none").run("go", cache=True)

    assert (run.content, run.replay_of_run_id) == ("None.", None)
