"""Budgets, which are checked before each request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agno_nb import Budget
from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import BudgetExceeded, InvalidInputError
from agno_nb.models.base import ModelResponse
from agno_nb.models.openai import OpenAIChat
from agno_nb.testing import FunctionModel, call
from agno_nb.types import CellInfo, Metrics, RunOutput, RunStatus, SessionSummary, ToolCall, UsageTotals
from tests.fakes.http import Answer, FakeServer, sse
from tests.run.test_entrypoints import door


def paid(
    messages: Any = None, tools: Any = None, *, usd: float | None = 0.25, calls: list[ToolCall] | None = None
) -> ModelResponse:
    metrics = Metrics(input_tokens=90, output_tokens=10, cost=usd)
    return ModelResponse(content=None if calls else "ok", tool_calls=calls or [], metrics=metrics)


@pytest.fixture(params=["duckdb", "sqlite"])
def db(request: pytest.FixtureRequest, tmp_path: Any) -> Db:
    return InMemoryDb() if request.param == "duckdb" else SqliteDb(tmp_path / "store.sqlite")


def agent_of(db: Db | None, *budgets: Budget, **settings: Any) -> Agent:
    return Agent(FunctionModel(paid), db=db, budget=budgets, **settings)


@door
def test_the_request_after_the_last_cent_is_not_made(door: Callable[..., RunOutput], db: Db) -> None:
    agent = agent_of(db, Budget(0.5))
    for _ in range(2):
        door(agent, "x", session_id="s")
    with pytest.raises(BudgetExceeded) as caught:
        door(agent, "x", session_id="s")
    error = caught.value
    assert str(error) == (
        "the budget of $0.50 for this session is spent: $0.50 so far; start a new session or raise the budget"
    )
    assert error.usage == UsageTotals(tokens=200, usd=0.5)
    assert error.run_output is not None
    assert error.run_output.status is RunStatus.ERROR
    assert isinstance(agent.model, FunctionModel)
    assert len(agent.model.requests) == 2
    assert door(agent, "x", session_id="another").content == "ok"


def test_a_run_is_stopped_between_its_requests(db: Db) -> None:
    def look() -> str:
        return "seen"

    model = FunctionModel(lambda messages, tools: paid(calls=[call("look")]))
    agent = Agent(model, db=db, tools=[look], budget=Budget(tokens=250, per="run"))
    with pytest.raises(BudgetExceeded, match="the budget of 250 tokens for this run is spent: 300 tokens"):
        agent.run("x")
    assert len(model.requests) == 3
    with pytest.raises(BudgetExceeded, match="300 tokens so far"):
        agent.run("x")


def test_a_day_is_all_sessions_and_users_and_yesterday_is_not_counted(db: Db) -> None:
    agent = agent_of(db, Budget(tokens=150, per="day"))
    agent.run("x", session_id="a", user_id="ada")
    agent.run("x", session_id="b", user_id="bob")
    with pytest.raises(BudgetExceeded, match="for this day is spent: 200 tokens so far"):
        agent.run("x", session_id="c")
    assert db.get_usage(since=0) == UsageTotals(tokens=200, usd=0.5)
    assert db.get_usage(since=2e9) == UsageTotals()


def test_a_notebook_is_known_by_its_path_and_else_by_its_process(db: Db) -> None:
    agent = agent_of(db, Budget(tokens=150, per="notebook"))
    here, there = CellInfo(notebook="/a.ipynb"), CellInfo(notebook="/b.ipynb")
    for _ in range(2):
        agent.run("x", session_id="a", origin=here)
    agent.run("x", session_id="a", origin=there)
    with pytest.raises(BudgetExceeded, match="for this notebook is spent: 200 tokens so far"):
        agent.run("x", session_id="b", origin=here)
    with pytest.raises(BudgetExceeded, match="for this notebook is spent: 300 tokens so far"):
        agent.run("x", session_id="c", origin=CellInfo())


def test_several_budgets_and_both_kinds_of_limit(db: Db) -> None:
    agent = agent_of(db, Budget(10, tokens=100), Budget(tokens=10_000, per="day"))
    agent.run("x", session_id="s")
    with pytest.raises(
        BudgetExceeded, match=r"of \$10.00 and 100 tokens for this session is spent: \$0.25 and 100 tok"
    ):
        agent.run("x", session_id="s")


def test_nested_runs_count_for_those_that_asked_for_them(db: Db) -> None:
    inner = Agent(FunctionModel(paid), name="inner", db=db)

    def ask_inner() -> str:
        return str(inner.run("x").content)

    outer = Agent(
        FunctionModel(lambda messages, tools: paid(calls=[call("ask_inner")])),
        name="outer",
        db=db,
        tools=[ask_inner],
        budget=Budget(tokens=350, per="run"),
    )
    with pytest.raises(BudgetExceeded, match="400 tokens so far"):
        outer.run("x")
    (run,) = [run for run in db.get_runs(outer._last_session_ids[None]) if run.parent_run_id is None]
    told = [each.result for each in run.tools]
    assert told == ["ok", "ok"]


def test_a_nested_run_is_kept_to_the_budget_of_the_one_that_asked(db: Db) -> None:
    inner = Agent(FunctionModel(paid), name="inner", db=db)

    def ask_inner() -> str:
        return str(inner.run("x").content)

    replies = iter([paid(calls=[call("ask_inner")]), paid()])
    outer = Agent(
        FunctionModel(lambda messages, tools: next(replies)), db=db, tools=[ask_inner], budget=Budget(tokens=100)
    )
    with pytest.raises(BudgetExceeded):
        outer.run("x", session_id="s")
    runs = {run.component_name: run for run in db.get_runs("s")}
    assert runs["inner"].error_type == "BudgetExceeded"


def test_summaries_and_memories_count(db: Db) -> None:
    agent = agent_of(db, Budget(tokens=1000))
    run = agent.run("x", session_id="s", user_id="ada")
    db.add_summary(
        SessionSummary(session_id="s", summary="x", metrics=Metrics(input_tokens=30, output_tokens=3, cost=0.1))
    )
    from agno_nb.types import RunEvent

    db.add_event(run, RunEvent.memory_update_completed, "x", metrics=Metrics(input_tokens=7, output_tokens=0, cost=0.1))
    spent = db.get_usage(session_id="s")
    assert (spent.tokens, round(spent.usd, 6), spent.num_unpriced) == (140, 0.45, 0)
    fork = db.fork_session("s")
    assert fork is not None
    assert db.get_usage(session_id=fork.session_id) == UsageTotals()
    assert db.get_usage().tokens == 140


def test_an_unknown_price_is_said_before_anything_is_spent() -> None:
    with FakeServer() as server:
        agent = Agent(OpenAIChat("llama", base_url=server.base_url), budget=Budget(1.0, per="run"))
        with pytest.raises(InvalidInputError, match=r"the price of 'llama' at \S+ is unknown"):
            agent.run("x")
        assert server.requests == []


def test_what_earlier_runs_cost_and_nobody_knows_is_said(db: Db) -> None:
    Agent(FunctionModel(lambda messages, tools: paid(usd=None)), db=db).run("x", session_id="s")
    with pytest.warns(UserWarning, match=r"earlier runs and summaries of this session .*\(1\) do not.*\$1.00"):
        agent_of(db, Budget(1.0)).run("x", session_id="s")


def test_the_demo_model_costs_nothing(db: Db) -> None:
    run = Agent("demo", db=db, budget=Budget(0.01, per="day")).run("Hello")
    assert run.metrics.cost == 0.0


def test_a_priced_model_over_http_is_kept_to_its_budget() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}
    frames = [
        {"model": "gpt-4o", "choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": usage},
    ]
    with FakeServer() as server:
        server.will_say(Answer(chunks=sse(frames)))
        model = OpenAIChat("gpt-4o", base_url=server.base_url, provider="openai", api_key="sk-test-not-a-key-0")
        agent = Agent(model, db=InMemoryDb(), budget=Budget(0.001))
        agent.run("x", session_id="s")
        with pytest.raises(BudgetExceeded, match=r"the budget of \$0.001 for this session is spent: \$0.0125"):
            agent.run("x", session_id="s")
        assert len(server.requests) == 1


def test_a_budget_that_needs_a_store_says_so() -> None:
    with pytest.raises(InvalidInputError, match="cannot enforce a budget per day: the agent has no store; set db="):
        agent_of(None, Budget(tokens=5, per="day")).run("x")
    assert agent_of(None, Budget(tokens=5, per="run")).run("x").content == "ok"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "a budget needs a limit"),
        ({"usd": -1}, "invalid budget usd=-1; pass a number, 0 or more"),
        ({"tokens": "many"}, "invalid budget tokens='many'"),
        ({"usd": 1, "per": "week"}, "invalid budget per='week'; pass one of run, session, notebook, day"),
    ],
    ids=["nothing", "negative", "text", "week"],
)
def test_a_budget_that_cannot_be_kept_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Budget(**arguments)
