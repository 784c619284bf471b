"""Context reports, context hashes and the response cache."""

from __future__ import annotations

import asyncio
import itertools
import pickle
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from functools import partial
from typing import Any

import pandas as pd
import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import ValueNotStoredError
from agno_nb.models.openai import OpenAIChat
from agno_nb.session import SessionSummaryManager
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, Reply, ScriptedModel, call
from agno_nb.tools import Tool
from agno_nb.types import Media, Message, RunOutput, RunStatus, Variable
from agno_nb.workflow import StepInput, Workflow


def price(item: str) -> float:
    """Price of an item."""
    return 2.5


def tea(db: Db, **settings: Any) -> Agent:
    model = ScriptedModel([call("price", item="tea"), "It is 2.50.", "You asked for tea."] * 3, id="scripted")
    return Agent(**{"model": model, "db": db, "tools": [price], "add_history_to_context": True, **settings})


def said(run: RunOutput) -> list[tuple[str, str | None]]:
    return [(message.role, message.content) for message in run.messages if not message.from_history]


@pytest.fixture(params=["in memory", "sqlite"])
def db(request: pytest.FixtureRequest, tmp_path: Any) -> Db:
    return InMemoryDb() if request.param == "in memory" else SqliteDb(tmp_path / "talks.db")


def test_a_model_turns_the_cache_on_for_its_runs(db: Db) -> None:
    class Cached(ScriptedModel):
        cache_response = True

    agent = Agent(Cached(["One.", "Two."], id="scripted"), db=db)
    runs = [agent.run("Hi", session_id=each, cache=cache) for each, cache in (("a", None), ("b", None), ("c", False))]
    assert [run.content for run in runs] == ["One.", "One.", "Two."]
    assert [run.replay_of_run_id for run in runs] == [None, runs[0].run_id, None]
    assert OpenAIChat("m", cache_response=True).to_dict() == OpenAIChat("m").to_dict()
    agent.db = None
    agent.model = Cached(["Three."], id="scripted")
    with pytest.warns(UserWarning, match=r"cache_response=True of Cached\(id='scripted'\) has no effect"):
        agent.run("Hi")


def test_the_same_context_gives_the_stored_answer_and_asks_no_model(db: Db) -> None:
    agent = tea(db)
    first = [agent.run(text, session_id="one") for text in ("Price of tea?", "What did I ask?")]
    silent = tea(db, model=ScriptedModel([], id="scripted"))
    again = [silent.run(text, session_id="two", cache=True) for text in ("Price of tea?", "What did I ask?")]
    assert [run.replay_of_run_id for run in again] == [run.run_id for run in first]
    assert [said(run) for run in again] == [said(run) for run in first]
    assert [run.content for run in again] == ["It is 2.50.", "You asked for tea."]
    assert [(run.metrics.total_tokens, run.metrics.cost, run.status) for run in again] == [
        (0, 0.0, RunStatus.COMPLETED)
    ] * 2
    stored = db.get_run(again[0].run_id)
    assert stored is not None
    assert (stored.replay_of_run_id, stored.context_hash, said(stored)) == (
        first[0].run_id, first[0].context_hash, said(first[0]),
    )  # fmt: skip
    assert db.get_session_metrics("two").cost == 0.0


@dataclass
class Price:
    euros: float
    on: date


class Size(Enum):
    SMALL = "small"


def as_dict(item: str) -> dict[str, Any]:
    return {"item": item, "price": 2.5, "sizes": [1, None]}


def as_whole_number(item: str) -> float:
    return 4


def as_text(item: str) -> str:
    return '{"item": 1}'


def as_object(item: str) -> Price:
    return Price(2.5, date(2026, 11, 30))


def as_enum(item: str) -> Size:
    return Size.SMALL


def as_set(item: str) -> set[str]:
    return {item}


def as_nothing(item: str) -> None:
    return None


async def as_json(item: str):  # type: ignore[no-untyped-def]
    return [{"item": item}, 2.5]


def as_words(item):  # type: ignore[no-untyped-def]
    return f"{item}: 2.50 (cut)"


@pytest.mark.parametrize(
    ("tool", "value"),
    [
        (as_dict, {"item": "tea", "price": 2.5, "sizes": [1, None]}),
        (as_whole_number, 4),
        (as_text, '{"item": 1}'),
        (as_object, Price(2.5, date(2026, 11, 30))),
        (as_enum, Size.SMALL),
        (as_set, {"tea"}),
        (as_nothing, None),
        (as_json, [{"item": "tea"}, 2.5]),
        (as_words, "tea: 2.50 (cut)"),
        (partial(as_dict), {"item": "tea", "price": 2.5, "sizes": [1, None]}),
    ],
)
def test_a_cached_call_has_the_value_of_its_tool(db: Db, tool: Any, value: Any) -> None:
    name = getattr(tool, "__name__", "as_dict")
    tool = Tool(tool, name=name)
    first, again = (
        Agent(ScriptedModel([call(name, item="tea"), "Here."], id="m"), db=db, tools=[tool]).run("?", cache=True)
        for _ in range(2)
    )
    assert again.is_cached
    assert (first.tools[0].value, again.tools[0].value) == (value, value)
    assert type(again.tools[0].value) is type(value)


def as_frame(item: str) -> pd.DataFrame:
    return pd.DataFrame({"item": [item]})


def as_frame_without_a_hint(item):  # type: ignore[no-untyped-def]
    return as_frame(item)


def as_day_without_a_hint(item):  # type: ignore[no-untyped-def]
    return date(2026, 11, 30)


def as_bytes(item: str):  # type: ignore[no-untyped-def]
    return b"tea"


def as_long_list(item: str) -> list[int]:
    return list(range(10_000))


@pytest.mark.parametrize("tool", [as_frame, as_frame_without_a_hint, as_day_without_a_hint, as_bytes, as_long_list])
def test_a_value_that_its_result_does_not_have_is_an_error_with_the_remedy(db: Db, tool: Any) -> None:
    name = tool.__name__
    model = ScriptedModel([call(name, item="tea"), "Here.", "And here."], id="m")
    agent = Agent(model, db=db, tools=[tool], add_history_to_context=True)
    first = agent.run("?", session_id="one", cache=True)
    again = agent.run("?", session_id="two", cache=True)
    assert again.tools[0].result == first.tools[0].result
    with pytest.raises(ValueNotStoredError) as caught:
        _ = again.tools[0].value
    assert str(caught.value) == (
        f"the answer is cached, and the object returned by {name}() is not stored, only its text in `result`; to call "
        "the tool, use `%%agent --fresh`, or run() without cache=True"
    )
    # All else works as for any call.
    assert "tea" in repr(again.tools[0])
    assert (pickle.loads(pickle.dumps(again)).tools[0].value, deepcopy(again).tools[0].result) == (
        None, again.tools[0].result,
    )  # fmt: skip
    assert again.tools[0] == replace(again.messages[1].tool_calls[0])
    assert agent.run("!", session_id="two").content == "And here."


def test_a_failed_call_has_no_value_in_the_cache_either(db: Db) -> None:
    def fail(item: str) -> str:
        """Fail."""
        raise RuntimeError("no tea")

    for _ in range(2):
        model = ScriptedModel([call("fail", item="tea"), "It failed."], id="m")
        run = Agent(model, db=db, tools=[fail]).run("?", cache=True)
        assert (run.tools[0].value, run.tools[0].tool_call_error) == (None, True)
    assert run.is_cached


def test_replay_is_another_name_of_cache(db: Db) -> None:
    agent = tea(db)
    again: dict[str, Any] = {"replay": True}
    first = agent.run("Price of tea?", session_id="one")
    for run in (
        agent.run("Price of tea?", session_id="two", **again),
        asyncio.run(agent.arun("Price of tea?", session_id="three", **again)),
    ):
        assert (run.replay_of_run_id, run.is_cached) == (first.run_id, True)
    with pytest.raises(TypeError, match="'replay' is another name for it"):
        agent.run("Price of tea?", cache=True, **again)


def test_a_cached_answer_streams_its_tools_and_text(db: Db) -> None:
    tea(db).run("Price of tea?", session_id="one")
    silent = tea(db, model=ScriptedModel([], id="scripted"))
    events = list(silent.run("Price of tea?", session_id="two", cache=True, stream=True, stream_events=True))
    assert [event.event.value for event in events] == [
        "RunStarted", "ToolCallStarted", "ToolCallCompleted", "RunContent", "RunContentCompleted",
        "RunCompleted",
    ]  # fmt: skip
    assert events[-1].run_output is not None
    assert events[-1].run_output.tools[0].result == "2.5"


def other_price(item: str) -> float:
    """Price of an item."""
    return 3.0


other_price.__name__ = price.__name__


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"instructions": "Be brief."}, {}),
        ({"model": FunctionModel(lambda messages, tools: "new")}, {}),
        ({"tools": []}, {}),
        ({"tools": [other_price]}, {}),
        ({}, {"user_id": "ada"}),
        ({}, {"images": [Media(kind="image", content=b"x", mime_type="image/png")]}),
        ({}, {"output_schema": {"type": "object"}}),
        ({"tool_call_limit": 0}, {}),
    ],
    ids=["instructions", "model", "no tool", "another function", "user", "image", "output schema", "no calls allowed"],
)
def test_whatever_decides_the_answer_is_part_of_the_context(
    db: Db, settings: dict[str, Any], options: dict[str, Any]
) -> None:
    first = tea(db).run("Price of tea?", session_id="one")
    changed = {"model": ScriptedModel(['{"new": 1}'], id="scripted"), **settings}
    run = tea(db, **changed).run("Price of tea?", session_id="two", cache=True, **options)
    assert run.replay_of_run_id is None
    assert run.context_hash != first.context_hash


def test_a_tool_that_got_another_code_in_place_is_part_of_the_context(db: Db) -> None:
    def rate(item: str) -> float:
        """Price of an item."""
        return 2.5

    def newer(item: str) -> float:
        """Price of an item."""
        return 3.0

    agent = tea(db, model=FunctionModel(lambda messages, tools: "It is 2.50."), tools=[rate])
    first, second = (agent.run("Price of tea?", session_id=each).context_hash for each in ("one", "two"))
    # As %autoreload does it, so that the function which the agent has is the new one.
    rate.__code__ = newer.__code__
    third = agent.run("Price of tea?", session_id="three").context_hash
    assert first == second != third


def test_neither_a_failed_run_nor_a_cached_answer_is_the_source_of_another(db: Db) -> None:
    def fail(messages: list[Message], tools: Any) -> str:
        raise RuntimeError("no")

    with pytest.raises(Exception, match="no"):
        Agent(FunctionModel(fail), db=db).run("hello", session_id="one")
    good = Agent(FunctionModel(lambda messages, tools: "hello"), db=db)
    first = good.run("hello", session_id="two", cache=True)
    assert first.replay_of_run_id is None
    second = good.run("hello", session_id="three", cache=True)
    third = good.run("hello", session_id="four", cache=True)
    assert [run.replay_of_run_id for run in (second, third)] == [first.run_id] * 2


def test_a_cached_answer_removes_what_its_run_removed_from_the_state(db: Db) -> None:
    def forget(session_state: dict[str, Any]) -> str:
        """Forget the note."""
        del session_state["note"]
        return "forgotten"

    replies: dict[str, list[Reply]] = {"one": ["Hi.", call("forget"), "Done."], "two": []}
    for session_id in replies:
        agent = Agent(ScriptedModel(replies[session_id], id="scripted"), db=db, tools=[forget])
        agent.run("hi", session_id=session_id, session_state={"note": session_id, "n": 1}, cache=True)
        run = agent.run("forget it", session_id=session_id, cache=True)
        assert (run.content, run.session_state, agent.get_session_state(session_id)) == ("Done.", {"n": 1}, {"n": 1})


def test_a_session_that_was_stored_without_its_tools_is_asked_again(db: Db) -> None:
    tea(db, store_tool_messages=False).run("Price of tea?", session_id="one")
    run = tea(db).run("Price of tea?", session_id="two", cache=True)
    assert run.content == "It is 2.50."


def test_a_receipt_says_what_was_sent_and_what_was_left_out(db: Db) -> None:
    model = FunctionModel(lambda messages, tools: "Noted.")
    agent = Agent(
        model, db=db, instructions="Be brief.", add_history_to_context=True, num_history_runs=1, tools=[price]
    )
    for text in ("I like tea.", "I like cake."):
        agent.run(text, session_id="s")
    agent.run("I like pie.", session_id="s", run_index=1)
    name = Variable(name="food", type="str", hash="0" * 16, chars=3)
    run = agent.run("Is pie food?", session_id="s", variables=[name])
    receipt = run.context()
    assert receipt is not None
    assert [(part.source, part.name, part.run_index, part.text) for part in receipt.parts[:-1]] == [
        ("instructions", None, None, "Be brief."),
        ("history", None, 1, "user: I like pie.\nassistant: Noted."),
        ("prompt", None, None, "Is pie food?"),
        ("variable", "food", None, None),
    ]
    assert (receipt.parts[-1].source, receipt.parts[-1].name) == ("tools", "price")
    assert [(each.what, each.why) for each in receipt.omitted] == [
        ("turn 0", "history is the last 1 completed turn"),
        ("1 earlier attempt", "superseded by later ones at their turns"),
    ]
    assert receipt.df()["tokens"].sum() == receipt.tokens
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert stored.context() == receipt
    assert stored.variables == [name]


def test_a_receipt_says_why_history_is_not_there(db: Db) -> None:
    agent = Agent(FunctionModel(lambda messages, tools: "Noted."), db=db)
    agent.run("I like tea.", session_id="s")
    receipt = agent.run("And cake.", session_id="s").context()
    assert receipt is not None
    assert repr(receipt) == "prompt    ~3 tokens\nleft out: turn 0 (history is not sent)"


def crew(db: Db, *, is_silent: bool) -> Team:
    """A leader and a member with a tool; a silent one cannot be asked anything."""
    ask = call("delegate_task_to_member", member_id="buyer", task="The price of tea")
    leads, buys = [ask, "Tea is 2.50."], [call("price", item="tea"), "It is 2.50."]
    buyer = Agent(ScriptedModel([] if is_silent else buys, id="buys"), name="buyer", tools=[price])
    return Team([buyer], model=ScriptedModel([] if is_silent else leads, id="leads"), name="Crew", db=db)


def test_a_cached_answer_of_a_team_asks_neither_its_leader_nor_its_members(db: Db) -> None:
    first = crew(db, is_silent=False).run("Price of tea?", session_id="one")
    again = crew(db, is_silent=True).run("Price of tea?", session_id="two", cache=True)
    assert (again.replay_of_run_id, again.content) == (first.run_id, "Tea is 2.50.")
    assert [(each.tool_name, each.result) for each in again.tools] == [("delegate_task_to_member", "It is 2.50.")]
    assert db.runs_df(session_id="two")["component_name"].tolist() == ["Crew"]
    assert db.get_session_metrics("two").cost == 0.0


def test_a_member_that_is_asked_the_same_by_another_leader_is_cached(db: Db) -> None:
    crew(db, is_silent=False).run("Price of tea?", session_id="one")
    team = crew(db, is_silent=True)
    ask = call("delegate_task_to_member", member_id="buyer", task="The price of tea")
    team.model = ScriptedModel([ask, "Cheap."], id="another")
    run = team.run("Price of tea?", session_id="two", cache=True)
    assert (run.replay_of_run_id, run.content) == (None, "Cheap.")
    assert [(each.content, each.replay_of_run_id is None) for each in run.member_responses] == [("It is 2.50.", False)]


def test_a_cached_workflow_asks_none_of_its_agents_and_calls_its_functions(db: Db) -> None:
    called: list[str] = []

    def shout(step_input: StepInput) -> str:
        called.append(step_input.message)
        return step_input.message.upper()

    def line(replies: list[Reply]) -> Workflow:
        buyer = Agent(ScriptedModel(replies, id="buys"), name="buyer", tools=[price])
        return Workflow([buyer, shout], name="Line", db=db)

    first = line([call("price", item="tea"), "It is 2.50."]).run("Price of tea?", session_id="one")
    again = line([]).run("Price of tea?", session_id="two", cache=True)
    assert (first.content, again.content) == ("IT IS 2.50.", "IT IS 2.50.")
    assert [run.replay_of_run_id for run in again.nested_runs] == [run.run_id for run in first.nested_runs]
    assert called == ["It is 2.50."] * 2
    assert (first.is_cached, again.is_cached) == (False, True)


def test_a_workflow_is_cached_where_no_step_of_it_asked_a_model(db: Db) -> None:
    def echo(step_input: StepInput) -> str:
        return step_input.message

    def answers(reply: str) -> Agent:
        return Agent(ScriptedModel([reply], id="says"), name="says", db=db)

    answers("Tea.").run("Tea?", session_id="one")
    inner = Workflow([echo, answers("not asked")], name="inner")
    assert Workflow([inner, echo], name="Line", db=db).run("Tea?", session_id="two", cache=True).is_cached
    asks = Workflow([inner, echo, answers("Coffee.")], name="Line", db=db)
    assert not asks.run("Tea?", session_id="three", cache=True).is_cached
    assert not Workflow([echo], name="Line", db=db).run("Tea?", session_id="four", cache=True).is_cached


def test_the_receipts_of_a_team_say_what_leader_and_member_were_sent(db: Db) -> None:
    run = crew(db, is_silent=False).run("Price of tea?", session_id="one")
    receipt, of_member = run.context(), run.member_responses[0].context()
    assert receipt is not None
    assert of_member is not None
    assert [(part.source, part.name) for part in receipt.parts] == [
        ("instructions", None), ("prompt", None), ("tools", "delegate_task_to_member"),
    ]  # fmt: skip
    assert (receipt.parts[0].text or "").endswith("<team_members>\n- buyer: buyer\n</team_members>")
    assert [(part.source, part.name, part.text) for part in of_member.parts[:1]] == [
        ("prompt", None, "The price of tea")
    ]
    assert of_member.parts[1].name == "price"
    stored = {each.component_name: each.context() for each in db.get_runs("one")}
    assert stored == {"Crew": receipt, "buyer": of_member}


def summarised(db: Db, **settings: Any) -> Agent:
    """An agent with a history of one turn, so that earlier turns are in the summary."""
    return Agent(
        **{
            "model": FunctionModel(lambda messages, tools: f"Heard: {messages[-1].content}", id="m"),
            "db": db,
            "add_history_to_context": True,
            "num_history_runs": 1,
            "session_summary_manager": SessionSummaryManager(model=summing()),
            **settings,
        }
    )


def summing() -> FunctionModel:
    """A model whose summaries differ each time, like a language model's."""
    numbers = itertools.count(1)

    def answer(messages: list[Message], tools: Any) -> Reply:
        return f'{{"summary": "Version {next(numbers)} of what was said.", "topics": []}}'

    return FunctionModel(answer)


TALK = ("I like tea.", "I like cake.", "I like rain.", "I like snow.", "What do I like?")


@pytest.mark.parametrize("session_id", ["one", "another"], ids=["the same session", "a new session"])
def test_run_all_of_a_summarised_session_asks_nothing(db: Db, session_id: str) -> None:
    agent = summarised(db)
    first = [agent.run(text, session_id="one") for text in TALK]
    before = agent.get_session_summary("one")
    assert before is not None
    # An answer of a different context in between is not in the cache.
    agent.run("I like nothing.", session_id="one", run_index=2)
    # In another process: nothing is known of the first but what is stored.
    silent = summarised(
        db,
        model=ScriptedModel([], id="m", provider=agent.resolved_model.provider),
        session_summary_manager=SessionSummaryManager(model=ScriptedModel([])),
    )
    for times in range(2):
        again = [
            silent.run(
                text, session_id=session_id, cache=True, run_index=None if session_id != "one" and not times else place
            )
            for place, text in enumerate(TALK)
        ]
        assert [run.replay_of_run_id for run in again] == [run.run_id for run in first]
        assert [run.context_hash for run in again] == [run.context_hash for run in first]
        now = silent.get_session_summary(session_id)
        assert now is not None
        assert (now.summary, now.to_run_index, now.metrics.cost) == (before.summary, 4, 0.0)
    # The next run continues from there.
    went_on = agent.run("And now?", session_id=session_id, cache=True)
    assert went_on.replay_of_run_id is None
    assert before.summary not in str(went_on.messages[0].content)
    assert "Version 4 of what was said." in str(went_on.messages[0].content)
