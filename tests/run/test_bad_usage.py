"""Runs end and are stored if a server reports impossible usage or splits characters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.models.openai import OpenAIChat
from agno_nb.notebook.live import LiveAnswer
from agno_nb.notebook.render import footer_text
from agno_nb.run_view import RunView
from agno_nb.types import Budget, Metrics, RunStatus
from tests.fakes.http import Answer, FakeServer


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture(params=["duckdb", "sqlite", "memory", "none"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Db | None]:
    stores: dict[str, Db | None] = {
        "duckdb": DuckDb(tmp_path / "store.duckdb"),
        "sqlite": SqliteDb(tmp_path / "store.db"),
        "memory": InMemoryDb(),
        "none": None,
    }
    chosen = stores[request.param]
    yield chosen
    if chosen is not None:
        chosen.close()


def answer(*deltas: dict[str, Any], usage: str = "null") -> Answer:
    frames = [json.dumps({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
    end = f'{{"choices": [{{"index": 0, "delta": {{}}, "finish_reason": "stop"}}], "usage": {usage}}}'
    return Answer(chunks=[f"data: {frame}\n\n".encode() for frame in (*frames, end)])


@pytest.mark.parametrize("count", ["9223372036854775807", "1e30", "1e308", "NaN", "-5", "1" + "0" * 5_000], ids=len)
def test_a_run_with_impossible_usage_ends_and_is_read(count: str, store: Db | None, server: FakeServer) -> None:
    usage = f'{{"prompt_tokens": {count}, "completion_tokens": {count}, "cost": {count}}}'
    call = {"index": 0, "id": "c1", "function": {"name": "double", "arguments": '{"n": 2}'}}
    server.will_say(answer({"tool_calls": [call]}, usage=usage), answer({"content": "4"}, usage=usage))
    model = OpenAIChat("m", base_url=server.base_url)
    agent = Agent(model, tools=[double], db=store, session_id="s1")

    run = agent.run("2 * 2?")

    assert (run.status, run.content) == (RunStatus.COMPLETED, "4")
    assert run.metrics == run.total_metrics
    assert replace(run.metrics, duration_s=None, time_to_first_token_s=None) == Metrics()
    assert "tokens" not in footer_text(RunView(status=run.status, metrics=run.metrics))
    if store is not None:
        assert store.verify() == []
        assert store.runs_df()["status"].tolist() == ["COMPLETED"]
        assert store.sessions_df()["total_tokens"].isna().all()
        assert store.run_tree_df()["tree_cost"].isna().all()
        assert store.get_session_metrics("s1").total_tokens is None
        # Nothing is known to be spent.
        server.will_say(answer({"content": "again"}))
        assert Agent(model, db=store, session_id="s1", budget=Budget(tokens=1)).run("And?").content == "again"


def double(n: int) -> int:
    return 2 * n


class Kernel:
    """Takes what a display publishes as a kernel does: as JSON in UTF-8."""

    def __init__(self) -> None:
        self.display_pub = self
        self.shown: list[str] = []

    def publish(self, data: dict[str, str], *args: Any, **options: Any) -> None:
        json.dumps(data, ensure_ascii=False).encode()
        self.shown.append(data["text/plain"])


@pytest.mark.parametrize(
    ("halves", "expected"),
    [(("\ud83d", "\ude00"), "a\N{GRINNING FACE}b"), (("\ud83d", "x"), "a\ufffdxb"), (("\ude00", ""), "a\ufffdb")],
    ids=["a pair", "a first half", "a second half"],
)
def test_a_cell_with_half_characters_ends(
    halves: tuple[str, str], expected: str, store: Db | None, server: FakeServer
) -> None:
    call = {"index": 0, "id": f"c{halves[0]}", "function": {"name": f"double{halves[0]}", "arguments": '{"n": "'}}
    rest = [{"index": 0, "function": {"arguments": piece}} for piece in (*halves, '"}')]
    server.will_say(
        answer(*({"tool_calls": [each]} for each in (call, *rest))),
        answer(*({name: piece} for name in ("reasoning", "content") for piece in ("a", *halves, "b"))),
    )
    kernel = Kernel()
    shown = LiveAnswer(kernel, clock=iter(range(10**6)).__next__)
    events = Agent(OpenAIChat("m", base_url=server.base_url), tools=[double], db=store).run("Hi", stream=True)

    for event in events:
        shown.feed(event)

    run = event.run_output
    assert run is not None
    assert (run.status, run.content, run.reasoning_content) == (RunStatus.COMPLETED, expected, expected)
    assert kernel.shown[-1] == expected
    if store is not None:
        (stored,) = store.get_runs(run.session_id)
        assert (stored.content, repr(stored.tools)) == (run.content, repr(run.tools))
