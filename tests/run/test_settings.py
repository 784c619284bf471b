"""Settings in the forms that agno accepts: functions as dependencies, merged metadata, dicts as messages."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from agno_nb import Agent, InMemoryDb, Team, Workflow
from agno_nb.errors import InvalidInputError, RunError, UnknownArgumentError
from agno_nb.run.context import RunContext
from agno_nb.run.runnable import Runnable
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, RunOutput, RunStatus
from agno_nb.workflow import StepInput
from tests.run.kinds import Make, kind
from tests.run.test_entrypoints import door


def echo(messages: list[Message], tools: Any) -> str:
    return f"re: {messages[-1].content}"


@door
def test_functions_among_dependencies_are_called_once_per_run(door: Callable[..., RunOutput]) -> None:
    called: list[str] = []

    def reader() -> str:
        called.append("reader")
        return "Anna"

    async def place(run_context: RunContext, agent: Agent, session_state: dict[str, Any]) -> str:
        called.append("place")
        return f"{agent.name} of {run_context.user_id} at {session_state['at']}"

    def lookup(dependencies: dict[str, Any]) -> str:
        """Look it up."""
        return f"{dependencies['r']} {dependencies['n']}"

    model = ScriptedModel([call("lookup"), "done"])
    dependencies = {
        "r": reader, "n": 3, "p": place, "l": lambda: "lambda", "part": functools.partial(str.upper, "up"),
    }  # fmt: skip
    agent = Agent(
        model,
        name="guide",
        instructions="Greet {r}: {n}, {p}, {l}, {part}.",
        dependencies=dependencies,
        session_state={"at": "home"},
        tools=[lookup],
    )
    run = door(agent, "go", user_id="ada")
    assert model.requests[0].messages[0].content == "Greet Anna: 3, guide of ada at home, lambda, UP."
    assert run.tools[0].result == "Anna 3"
    assert called == ["reader", "place"]
    assert agent.dependencies is not None
    assert agent.dependencies["r"] is reader


def test_a_callable_that_needs_arguments_is_a_value_for_tools() -> None:
    def use(dependencies: dict[str, Any]) -> int:
        """Use it."""
        return int(dependencies["add"](1, 2))

    run = Agent(ScriptedModel([call("use"), "done"]), tools=[use], dependencies={"add": lambda a, b: a + b}).run("go")
    assert run.tools[0].value == 3


def test_what_a_team_has_resolved_is_not_called_again_for_its_members() -> None:
    called: list[int] = []

    def make() -> Callable[[], str]:
        called.append(1)
        return lambda: "never"

    leader = ScriptedModel([call("delegate_task_to_member", member_id="m", task="go"), "done"])
    member = Agent(FunctionModel(echo), name="m", instructions="Use {own}.", dependencies={"own": lambda: "mine"})
    run = Team([member], model=leader, dependencies={"f": make}).run("go")
    assert len(called) == 1
    assert run.nested_runs[0].messages[0].content == "Use mine."


def test_a_step_of_a_workflow_finds_the_results() -> None:
    def step(step_input: StepInput) -> str:
        return str(step_input.run_context.dependencies["r"])

    assert Workflow([step], dependencies={"r": lambda: "Anna"}).run("go").content == "Anna"


@pytest.mark.parametrize("error", [ValueError("no such reader"), SystemExit(3)])
def test_a_dependency_that_fails_ends_the_run_with_its_name(error: BaseException) -> None:
    def reader() -> str:
        raise error

    db = InMemoryDb()
    with pytest.raises(RunError, match=f"dependency 'r' failed: {type(error).__name__}") as caught:
        Agent(ScriptedModel([]), db=db, dependencies={"r": reader}).run("go")
    assert caught.value.run_output is not None
    assert db.runs_df()["status"].tolist() == ["ERROR"]


def test_dependencies_of_the_call_replace_those_of_the_agent_before_they_are_called() -> None:
    def never() -> str:
        raise AssertionError

    model = ScriptedModel(["ok"])
    agent = Agent(model, instructions="{r}", dependencies={"r": never})
    agent.run("go", dependencies={"r": lambda: "Ben"})
    assert model.requests[0].messages[0].content == "Ben"


def test_a_continued_run_calls_them_again() -> None:
    @tool(requires_confirmation=True)
    def show(dependencies: dict[str, Any]) -> str:
        """Show it."""
        return str(dependencies["r"])

    agent = Agent(ScriptedModel([call("show"), "done"]), tools=[show], dependencies={"r": lambda: "Anna"})
    run = agent.run("go")
    run.requirements[0].confirm()
    assert agent.continue_run(run).tools[0].result == "Anna"


@kind
def test_metadata_of_agent_and_call_are_merged_and_the_session_has_the_agents(make: Make) -> None:
    db = InMemoryDb()
    own = {"app": "shop", "tags": {"a": 1, "b": 1}}
    runnable: Runnable = make(FunctionModel(echo), db=db, session_id="s", metadata=own)
    run = runnable.run("go", metadata={"lesson": 1, "tags": {"b": 2}})
    assert run.metadata == {"app": "shop", "tags": {"a": 1, "b": 2}, "lesson": 1}
    assert own == {"app": "shop", "tags": {"a": 1, "b": 1}}
    session = db.get_session("s")
    assert session is not None
    assert session.metadata == own
    assert db.get_runs("s")[0].metadata == run.metadata
    assert runnable.run("again").metadata == own
    assert runnable.regenerate().metadata == own
    without = make(FunctionModel(echo), db=db, session_id="t")
    assert (without.run("go").metadata, without.run("go", metadata={"x": 1}).metadata) == (None, {"x": 1})


def test_none_means_the_default_where_it_means_nothing_else() -> None:
    db, model = InMemoryDb(), FunctionModel(echo)
    agent = Agent(model, db=db, session_id="s", add_history_to_context=True, num_history_runs=None)  # type: ignore[arg-type]
    assert agent.num_history_runs == 3
    for number in range(5):
        agent.run(f"q{number}")
    assert [m.content for m in model.requests[-1].messages if m.role == "user"] == ["q1", "q2", "q3", "q4"]
    agent.run("q5", num_history_runs=None)
    assert len(model.requests[-1].messages) == 7
    team = Team([Agent(name="m")], model=model, num_history_runs=None, tool_hooks=None)  # type: ignore[arg-type]
    assert (team.num_history_runs, team.tool_hooks, team.tool_call_limit, team.request_limit) == (3, (), None, 50)
    assert Workflow([echo], num_history_runs=None).num_history_runs == 3  # type: ignore[arg-type]
    assert Agent(model, store_media=None, markdown=None, retries=None).retries == 2  # type: ignore[arg-type]


class Example(BaseModel):
    n: int


def test_additional_input_takes_dicts_strings_and_objects() -> None:
    model = ScriptedModel(["ok"])
    agent = Agent(
        model,
        additional_input=[
            {"role": "user", "content": "1 + 1?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "2"},
            {"role": "assistant", "content": "2"},
            "and then?",
            Example(n=3),
            {"roles": ["admin"], "content": "x"},
            Message(role="assistant", content="last"),
        ],
    )
    agent.run("go")
    sent = [(message.role, message.content) for message in model.requests[0].messages]
    assert sent == [
        ("user", "1 + 1?"),
        ("assistant", None),
        ("tool", "2"),
        ("assistant", "2"),
        ("user", "and then?"),
        ("user", '{"n":3}'),
        ("user", '{"roles":["admin"],"content":"x"}'),
        ("assistant", "last"),
        ("user", "go"),
    ]
    assert model.requests[0].messages[1].tool_calls[0].tool_name == "add"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([{"role": "developer", "content": "x"}], "pass a role"),
        ([{"role": "user"}], "a string as content"),
        ([{"rol": "user"}], "with the key 'rol'; did you mean \"role\""),
        ([{"Role": "assistant", "content": "x"}], "with the key 'Role'; did you mean \"role\""),
        ([{"content": "x"}], "without a role; pass one of "),
        ([{"role": "user", "content": ["x"]}], "a string as content"),
        ([{"role": "assistant", "tool_calls": [{"id": "x"}]}], "invalid tool call"),
        ("Hello", "pass a list of messages"),
        ({"role": "user", "content": "x"}, "pass a list of messages"),
        ([3.5, None], "is empty; pass a message"),
    ],
)
def test_what_is_no_message_is_refused_where_it_is_written(given: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        Agent(ScriptedModel([]), additional_input=given)


@pytest.mark.parametrize("given", ["add", None, 3, {"type": "function", "function": {"name": "add"}}])
def test_what_can_be_no_tool_is_refused_where_the_agent_is_made(given: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^tools has .* of type .*; pass functions and toolkits"):
        Agent(ScriptedModel([]), tools=[print, given])


def test_an_unknown_key_of_a_message_names_the_nearest() -> None:
    with pytest.raises(UnknownArgumentError, match="no argument 'contnt': did you mean \"content\""):
        Agent(ScriptedModel([]), additional_input=[{"role": "assistant", "contnt": "x"}])


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


@pytest.mark.parametrize(
    "whole",
    [
        {"type": "json_schema", "json_schema": {"name": "Count", "strict": True, "schema": SCHEMA}},
        {"type": "json_schema", "name": "Count", "schema": SCHEMA},
    ],
)
@pytest.mark.parametrize("of_the_call", [True, False])
def test_an_output_schema_may_be_that_of_an_openai_request(whole: dict[str, Any], of_the_call: bool) -> None:
    model = ScriptedModel(['{"n": "x"}', '{"n": 3}'])
    options: dict[str, Any] = {"output_schema": whole}
    run = Agent(model).run("go", **options) if of_the_call else Agent(model, **options).run("go")
    assert (run.content, run.content_type, run.status) == ({"n": 3}, "dict", RunStatus.COMPLETED)
    assert (model.requests[0].output_schema, model.requests[0].output_name) == (SCHEMA, "Count")


def test_an_openai_schema_without_a_schema_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="has no JSON schema under the key 'schema'"):
        Agent(ScriptedModel([])).run("go", output_schema={"type": "json_schema", "json_schema": {"name": "x"}})


def test_session_messages_have_one_system_message_and_no_result_without_its_call() -> None:
    def look() -> str:
        return "seen"

    def answer(messages: list[Message], tools: Any) -> Any:
        return "done" if messages[-1].role == "tool" else call("look")

    agent = Agent(FunctionModel(answer), db=InMemoryDb(), session_id="s", instructions="Be brief.", tools=[look])
    for number in range(4):
        agent.run(f"q{number}")
    turn = ["user", "assistant", "tool", "assistant"]
    roles = [message.role for message in agent.get_session_messages()]
    assert roles == ["system", *turn * 4]
    for limit in range(20):
        messages = agent.get_session_messages(limit=limit)
        shown = [message.role for message in messages]
        assert len(shown) <= limit
        assert shown.count("system") == (1 if limit > 1 else 0)
        assert "system" not in shown[1:]
        called = {each.tool_call_id for message in messages for each in message.tool_calls}
        assert {message.tool_call_id for message in messages if message.role == "tool"} <= called
    assert [m.role for m in agent.get_session_messages(limit=3)] == ["system", "assistant"]
    assert [m.role for m in agent.get_session_messages(limit=5)] == ["system", *turn]
    assert [m.role for m in agent.get_session_messages(limit=1)] == ["assistant"]
    assert [m.role for m in agent.get_session_messages(last_n_runs=2)] == ["system", *turn * 2]
    assert [m.role for m in agent.get_session_messages(limit=2, skip_roles=["system"])] == ["assistant"]
    assert [m.role for m in agent.get_session_messages(limit=3, skip_roles=["system", "assistant"])] == [
        "tool",
        "user",
        "tool",
    ]


@pytest.mark.parametrize(
    "function",
    [lambda z: "Anna", lambda session_state, *, z: "Anna", functools.partial(pow, 2)],
    ids=["one", "two", "partial"],
)
def test_a_function_that_cannot_be_called_is_not_sent_to_the_model(function: Callable[..., Any]) -> None:
    model = ScriptedModel(["unused"])
    agent = Agent(model, instructions="Greet {r}.", dependencies={"r": function})
    parameter = "'exp'" if isinstance(function, functools.partial) else "'z'"
    with pytest.raises(InvalidInputError) as caught:
        agent.run("go")
    assert str(caught.value) == (
        f"{{r}} in the instructions is a function with the parameter {parameter}, so it has no value for the model; a "
        "function in dependencies can only have the parameters agent, team, workflow, run_context, session_state"
    )
    assert model.requests == []
