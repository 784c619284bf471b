"""Metrics of a run and of a session, by model: `metrics.details`."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest

from agno_nb import Agent, InMemoryDb, MemoryManager, ScriptedModel, SessionSummaryManager
from agno_nb.metrics import Metrics, ModelMetrics, ModelType, RunMetrics, SessionMetrics
from agno_nb.models.base import ModelResponse


def answer(content: str, sent: int, received: int) -> ModelResponse:
    usage = Metrics(input_tokens=sent, output_tokens=received, cost=0.0)
    return ModelResponse(content=content, finish_reason="stop", metrics=usage)


@pytest.fixture
def agent() -> Agent:
    """An agent whose answers take 10 + 1 and 20 + 2 tokens, its summaries 100 + 3, and its memories 200 + 4."""
    summary = '{"summary": "Ada.", "topics": []}'
    return Agent(
        ScriptedModel([answer("Hello.", 10, 1), answer("Bye.", 20, 2)], id="talker"),
        db=InMemoryDb(),
        session_id="s",
        user_id="ada",
        update_memory_on_run=True,
        memory_manager=MemoryManager(ScriptedModel([answer("Nothing to keep.", 200, 4)] * 2, id="keeper")),
        session_summary_manager=SessionSummaryManager(ScriptedModel([answer(summary, 100, 3)] * 2, id="writer")),
    )


def tokens(details: dict[str, list[ModelMetrics]] | None) -> dict[str, list[tuple[str, int | None, int | None]]]:
    assert details is not None
    return {
        kind: [(each.id, each.input_tokens, each.output_tokens) for each in found] for kind, found in details.items()
    }


OF_FIRST = {
    "model": [("talker", 10, 1)],
    "memory_model": [("keeper", 200, 4)],
    "session_summary_model": [("writer", 100, 3)],
}


def test_details_of_a_run_have_its_summary_and_memories(agent: Agent) -> None:
    run = agent.run("I am Ada.")
    assert tokens(run.metrics.details) == OF_FIRST
    assert (run.metrics.input_tokens, run.metrics.total_tokens) == (10, 11)


def test_details_of_a_run_from_the_store_are_the_same(agent: Agent) -> None:
    first = agent.run("I am Ada.")
    agent.run("Goodbye.")
    stored = agent.get_run_output(first.run_id)
    assert stored is not None
    assert tokens(stored.metrics.details) == OF_FIRST
    assert stored.metrics.details == first.metrics.details


def test_details_of_a_session_are_sums_over_its_runs(agent: Agent) -> None:
    agent.run("I am Ada.")
    agent.run("Goodbye.")
    metrics = agent.get_session_metrics()
    assert tokens(metrics.details) == {
        "model": [("talker", 30, 3)],
        "memory_model": [("keeper", 400, 8)],
        "session_summary_model": [("writer", 200, 6)],
    }
    assert (metrics.input_tokens, metrics.output_tokens, metrics.total_tokens) == (30, 3, 33)


def test_a_run_without_a_store_has_the_details_of_its_model() -> None:
    run = Agent(ScriptedModel([answer("Hello.", 10, 1)], id="talker"), db=False).run("Hi.")
    assert run.metrics.details is not None
    (model,) = run.metrics.details[ModelType.MODEL]
    assert (model.id, model.provider, model.total_tokens, model.cost) == ("talker", "test", 11, 0.0)


def test_details_make_no_difference_between_metrics(agent: Agent) -> None:
    metrics = agent.run("I am Ada.").metrics
    for other in (replace(metrics), copy.deepcopy(metrics), pickle.loads(pickle.dumps(metrics))):
        assert other == metrics
        assert other.details is None
    assert Metrics().details is None


def test_metrics_as_a_dict(agent: Agent) -> None:
    metrics = agent.run("I am Ada.").metrics
    found = metrics.to_dict()
    times = {"duration": metrics.duration_s, "time_to_first_token": metrics.time_to_first_token_s}
    assert found == {
        "input_tokens": 10,
        "output_tokens": 1,
        "total_tokens": 11,
        "cost": 0.0,
        "duration_s": metrics.duration_s,
        "time_to_first_token_s": metrics.time_to_first_token_s,
        **times,
        "details": {
            "model": [model("talker", 10, 1, provider="test")],
            "memory_model": [model("keeper", 200, 4)],
            "session_summary_model": [model("writer", 100, 3, provider="test")],
        },
    }
    assert Metrics.from_dict(found) == metrics
    assert Metrics.from_dict({"input_tokens": 10, "duration": 1.5}) == Metrics(input_tokens=10, duration_s=1.5)


def model(name: str, sent: int, received: int, **provider: str) -> dict[str, object]:
    usage = {"input_tokens": sent, "output_tokens": received, "total_tokens": sent + received, "cost": 0.0}
    return {"id": name, **provider, **usage}


def test_the_classes_of_agno_are_one() -> None:
    assert RunMetrics is SessionMetrics is Metrics
    assert (
        repr(ModelMetrics(id="m", provider="p", input_tokens=3)) == "ModelMetrics(input_tokens=3, id='m', provider='p')"
    )
