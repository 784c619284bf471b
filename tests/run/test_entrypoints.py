"""The four entry points result in the same run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, ModelError, RunError
from agno_nb.models.demo import DemoModel
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.types import RunEvent, RunOutput, RunStatus
from tests.run.kinds import Make, kind, talk


def run(agent: Agent, text: str, **options: Any) -> RunOutput:
    return agent.run(text, **options)


def run_stream(agent: Agent, text: str, **options: Any) -> RunOutput:
    events = list(agent.run(text, stream=True, **options))
    assert events[-1].run_output is not None
    return events[-1].run_output


def arun(agent: Agent, text: str, **options: Any) -> RunOutput:
    async def main() -> RunOutput:
        return await agent.arun(text, **options)

    return asyncio.run(main())


def arun_stream(agent: Agent, text: str, **options: Any) -> RunOutput:
    async def main() -> RunOutput:
        last = [event async for event in agent.arun(text, stream=True, **options)][-1]
        assert last.run_output is not None
        return last.run_output

    return asyncio.run(main())


DOORS = [run, run_stream, arun, arun_stream]
door = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@kind
@door
def test_a_run_with_tools_is_the_same_through_every_door(make: Make, door: Callable[..., RunOutput]) -> None:
    model = ScriptedModel([[call("add", a=1), call("add", a=2, b=2)], "2 and 4"])
    agent = make(model, name="calc", instructions="Be brief.", tools=[add])
    output = door(agent, "1+1 and 2+2?", session_id="s", user_id="ada", metadata={"lesson": 1})
    assert output.status is RunStatus.COMPLETED
    assert (output.session_id, output.user_id, output.metadata) == ("s", "ada", {"lesson": 1})
    assert (output.component_id, output.component_name, output.kind) == ("calc", "calc", make.__name__)
    assert output.content == "2 and 4"
    output = talk(output)
    assert (output.session_id, output.user_id, output.model, output.model_provider) == ("s", "ada", "scripted", "test")
    assert (output.messages[0].content or "").startswith("Be brief.")
    assert [(m.role, m.content) for m in output.messages[1:]] == [
        ("user", "1+1 and 2+2?"),
        ("assistant", None),
        ("tool", "2"),
        ("tool", "4"),
        ("assistant", "2 and 4"),
    ]
    assert [(t.tool_name, t.tool_args, t.result, t.value) for t in output.tools] == [
        ("add", {"a": 1}, "2", 2),
        ("add", {"a": 2, "b": 2}, "4", 4),
    ]
    assert output.content == "2 and 4"


@kind
@door
def test_a_failing_model_raises_our_error_with_the_run(make: Make, door: Callable[..., RunOutput]) -> None:
    agent = make(ScriptedModel([ModelError("the provider is on fire")]))
    with pytest.raises(ModelError, match="on fire") as caught:
        door(agent, "hello")
    output = caught.value.run_output
    assert output is not None
    assert (output.status, output.error_type, output.error) == (
        RunStatus.ERROR,
        "ModelError",
        "the provider is on fire",
    )


@kind
@door
def test_a_failure_of_another_kind_is_raised_as_a_run_error_with_its_cause(
    make: Make, door: Callable[..., RunOutput]
) -> None:
    agent = make(ScriptedModel([ZeroDivisionError("oops")]))
    with pytest.raises(RunError, match="ZeroDivisionError: oops") as caught:
        door(agent, "hello")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.run_output is not None
    assert caught.value.run_output.error_type == "ZeroDivisionError"


@kind
@door
@pytest.mark.parametrize("nothing", ["", "  \n", {}, [], None])
def test_an_empty_input_is_refused(make: Make, door: Callable[..., RunOutput], nothing: Any) -> None:
    with pytest.raises(InvalidInputError, match="is empty; pass a message"):
        door(make(ScriptedModel([])), nothing)


class Order(BaseModel):
    item: str
    on: date


@kind
@door
@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Order(item="thé", on=date(2026, 1, 2)), '{"item":"thé","on":"2026-01-02"}'),
        ({"item": "tea", "n": [1, None]}, '{"item":"tea","n":[1,null]}'),
        ([Order(item="tea", on=date(2026, 1, 2)), "and cake"], '[{"item":"tea","on":"2026-01-02"},"and cake"]'),
    ],
    ids=["pydantic model", "dict", "list"],
)
def test_an_object_is_said_as_its_json(make: Make, door: Callable[..., RunOutput], given: Any, text: str) -> None:
    model, db = ScriptedModel(["Noted."]), InMemoryDb()
    output = door(make(model, db=db), given, session_id="s")
    assert output.input == text
    assert [message.content for message in model.requests[0].messages if message.role == "user"] == [text]
    assert db.runs_df()["input"].unique().tolist() == [text]


@kind
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "is empty; pass a message"),
        ({"x": object()}, "to JSON"),
    ],
)
def test_an_object_that_cannot_be_said_is_refused(make: Make, given: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        make(ScriptedModel([])).run(given)


@kind
@door
@pytest.mark.parametrize("name", ["user_id", "session_id", "run_id"])
@pytest.mark.parametrize("given", [3, pd.Series([3]).iloc[0], float("nan")], ids=repr)
def test_an_id_that_is_no_text_is_refused(make: Make, door: Callable[..., RunOutput], name: str, given: Any) -> None:
    db = InMemoryDb()
    with pytest.raises(InvalidInputError, match=rf"{name} is .*, and ids are text: give {name}=str"):
        door(make(ScriptedModel([]), db=db), "hello", **{name: given})
    assert db.sessions_df().empty


@kind
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"images": [b"..."]}, "images contains an object of type bytes; pass a list of Image"),
        ({"files": ["menu.csv"]}, "files contains an object of type str; pass a list of File"),
    ],
)
def test_media_that_are_none_are_refused(make: Make, given: Any, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        make(ScriptedModel([])).run("Look!", **given)


def test_half_a_character_is_said_stored_and_told_as_one_sign() -> None:
    def names() -> list[str]:
        return ["caf\udce9.txt"]

    db, agent = InMemoryDb(), DemoModel()
    run = Agent(agent, db=db, tools=[names], instructions="Be \udce9.").run(
        "names() in \ud83d\ude00 \ud83d", session_id="s"
    )
    assert (run.input, run.tools[0].result) == ("names() in \N{GRINNING FACE} \ufffd", '["caf\ufffd.txt"]')
    assert run.status is RunStatus.COMPLETED
    assert db.runs_df()["input"].tolist() == [run.input]
    assert db.tool_calls_df()["result"].tolist() == [run.tools[0].result]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"instructions": 5}, "instructions is 5; pass a string, a list of strings, or a function"),
        ({"instructions": ["Be brief.", 5]}, r"instructions is \['Be brief.', 5\]; pass a string"),
        ({"tools": 5}, r"tools is 5; pass a list of functions and toolkits"),
        ({"tools": "len"}, "tools is 'len'; pass a list"),
        ({"db": "talks.duckdb"}, r"db is 'talks.duckdb', of type str; pass a store such as DuckDb"),
    ],
)
def test_an_agent_cannot_be_made_of_something_else(given: Any, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        Agent("demo", **given)


@kind
@door
def test_an_unknown_option_names_the_nearest(make: Make, door: Callable[..., RunOutput]) -> None:
    with pytest.raises(TypeError, match="has no argument 'sesion_id': did you mean \"session_id\""):
        door(make(ScriptedModel([])), "hello", sesion_id="s")


@kind
def test_a_plain_stream_has_the_text_and_the_final_event(make: Make) -> None:
    agent = make(ScriptedModel([call("add", a=1), "It is two."]), tools=[add])
    events = list(agent.run("1+1?", stream=True))
    assert {e.event.name for e in events[:-1]} == {"run_content"}
    assert "".join(e.content or "" for e in events[:-1]) == "It is two."
    assert (events[-1].is_final, events[-1].content) == (True, "It is two.")
    if make.__name__ != "workflow":
        assert [e.content for e in events[:-1]] == ["It ", "is ", "two."]
    assert {e.run_id for e in events} == {events[-1].run_output.run_id}  # type: ignore[union-attr]


def test_stream_events_has_every_kind_in_order() -> None:
    agent = Agent(ScriptedModel([call("add", a=1), "two"]), tools=[add])
    assert [e.event for e in agent.run("1+1?", stream=True, stream_events=True)] == [
        RunEvent.run_started,
        RunEvent.model_request_started,
        RunEvent.model_request_completed,
        RunEvent.tool_call_started,
        RunEvent.tool_call_completed,
        RunEvent.model_request_started,
        RunEvent.run_content,
        RunEvent.model_request_completed,
        RunEvent.run_content_completed,
        RunEvent.run_completed,
    ]


@kind
def test_sync_run_works_where_a_loop_is_running(make: Make) -> None:
    agent = make(ScriptedModel(["in a kernel"]))

    async def cell() -> str:
        return str(agent.run("hello").content)

    assert asyncio.run(cell()) == "in a kernel"


@kind
def test_one_agent_serves_many_loops_one_after_the_other(make: Make) -> None:
    agent = make(FunctionModel(lambda messages, tools: "ok"))

    async def main() -> list[RunOutput]:
        return await asyncio.gather(*(agent.arun(str(i), session_id=str(i)) for i in range(5)))

    for _ in range(3):
        assert [output.content for output in asyncio.run(main())] == ["ok"] * 5


@kind
def test_the_automatic_session_stays_and_is_one_for_each_user(make: Make) -> None:
    agent = make(FunctionModel(lambda messages, tools: "ok"))
    ids = {user: [agent.run("hi", user_id=user).session_id for _ in range(2)] for user in ("ada", "bob", None)}
    assert all(first == second for first, second in ids.values())
    assert len({first for first, _ in ids.values()}) == 3


def test_a_sync_door_on_our_own_loop_says_what_to_await() -> None:
    inner = Agent(ScriptedModel(["never"]))

    async def ask() -> str:
        return str(inner.run("hello").content)

    output = Agent(ScriptedModel([call("ask"), "done"]), tools=[ask]).run("go")
    assert "use `await arun()`" in str(output.tools[0].result)
