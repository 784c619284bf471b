"""Turns keep their order if the clock stands still or is set back, and with arbitrary ids."""

from __future__ import annotations

import itertools
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agno_nb import collect
from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.session.summary import SessionSummaryManager
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, UserMemory

START = 1_700_000_000.0
N = 6


def standing() -> Iterator[float]:
    return itertools.repeat(START)


def set_back_each_time() -> Iterator[float]:
    return (START - 10.0 * n for n in itertools.count())


def set_back_by_an_hour_now_and_then() -> Iterator[float]:
    return (START + n / 10 - 3600.0 * (n // 25) for n in itertools.count())


CLOCKS = [standing, set_back_each_time, set_back_by_an_hour_now_and_then]


@pytest.fixture(params=CLOCKS, autouse=True)
def _clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    times = request.param()
    monkeypatch.setattr(time, "time", lambda: next(times))
    # Ids are made in many modules, which have the function by name.
    for name, module in list(sys.modules.items()):
        if name.startswith("agno_nb") and getattr(module, "new_id", None) is not None:
            monkeypatch.setattr(module, "new_id", lambda: str(uuid.uuid4()))


@pytest.fixture(params=["duckdb", "sqlite", "in_memory"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Db]:
    makers: dict[str, Callable[[], Db]] = {
        "duckdb": lambda: DuckDb(tmp_path / "store.db"),
        "sqlite": lambda: SqliteDb(tmp_path / "store.db"),
        "in_memory": InMemoryDb,
    }
    store = makers[request.param]()
    yield store
    store.close()


def echo(messages: list[Message], tools: Any) -> str:
    return f"re {messages[-1].content}"


def agent(db: Db, **settings: Any) -> Agent:
    return Agent(FunctionModel(echo), db=db, session_id="s", user_id="ann", **settings)


def said(n: int = N) -> list[str]:
    return [text for k in range(n) for text in (str(k), f"re {k}")]


def test_turns_are_in_order_wherever_they_are_shown(db: Db) -> None:
    asked: list[list[str]] = []

    def model(messages: list[Message], tools: Any) -> str:
        asked.append([str(message.content) for message in messages])
        return echo(messages, tools)

    talker = Agent(FunctionModel(model), db=db, session_id="s", add_history_to_context=True, num_history_runs=2)
    runs = [talker.run(str(n)) for n in range(N)]
    assert [run.run_index for run in runs] == list(range(N))
    assert asked[-1] == [*said()[-6:-2], str(N - 1)]
    assert [message.content for message in talker.get_chat_history("s")] == said()
    assert [message.content for message in talker.get_session_messages("s", limit=3)] == said()[-3:]
    assert [run.input for run in db.get_runs("s")] == [str(n) for n in range(N)]
    assert [run.input for run in db.get_runs("s", limit=2)] == ["4", "5"]
    assert db.runs_df()["input"].tolist() == [str(n) for n in range(N)]
    assert db.runs_df(limit=2)["input"].tolist() == ["4", "5"]
    assert db.messages_df()["content"].tolist() == said()
    assert db.messages_df(session_id="s", limit=3)["content"].tolist() == said()[-3:]
    kinds = ["RunStarted", "ModelRequestCompleted", "RunCompleted"] * N
    assert db.events_df()["event"].tolist() == kinds
    assert db.events_df()["run_id"].tolist() == [run.run_id for run in runs for _ in range(3)]
    assert not db.runs_df()["stale"].any()
    last = talker.get_last_run_output()
    assert last is not None
    assert last.input == "5"
    if not isinstance(db, InMemoryDb):
        assert collect(db.db_file).messages_df()["content"].tolist() == said()  # type: ignore[attr-defined]


def test_a_turn_that_is_tried_again_makes_later_ones_stale(db: Db) -> None:
    talker = agent(db, enable_session_summaries=False)
    runs = [talker.run(str(n)) for n in range(3)]
    assert talker.regenerate().input == "2"
    again = talker.regenerate(runs[1].run_id)
    assert (again.run_index, again.attempt) == (1, 1)
    found = db.runs_df().sort_values(["run_index", "attempt"])
    assert found[["run_index", "attempt", "stale"]].values.tolist() == [
        [0, 0, False], [1, 0, False], [1, 1, False], [2, 0, True], [2, 1, True],
    ]  # fmt: skip
    assert found["superseded_by"].isna().tolist() == [True, False, True, False, True]
    # The latest turn is the last one, and not the one that was tried again last.
    last = talker.get_last_run_output()
    assert last is not None
    assert (last.run_index, last.attempt) == (2, 1)
    assert (talker.regenerate().run_index, talker.run("next").run_index) == (2, 3)
    found = db.runs_df().sort_values(["run_index", "attempt"])
    assert found[found["superseded_by"].isna()]["stale"].tolist() == [False, False, False, False]
    assert [message.content for message in talker.get_chat_history()] == [*said(3), "next", "re next"]
    assert db.verify() == []


def test_state_is_what_the_turns_made_of_it(db: Db) -> None:
    @tool
    def count(session_state: dict[str, Any]) -> str:
        """Count on."""
        session_state["n"] = session_state.get("n", 0) + 1
        return "ok"

    def model(messages: list[Message], tools: Any) -> Any:
        return "Done." if messages[-1].role == "tool" else call("count")

    counter = Agent(FunctionModel(model), db=db, session_id="s", tools=[count])
    runs = [counter.run("count") for _ in range(3)]
    assert counter.get_session_state() == {"n": 3}
    assert counter.regenerate(runs[2].run_id).session_state == {"n": 3}
    assert counter.regenerate(runs[1].run_id).session_state == {"n": 2}
    fork = counter.fork_session(to_run_index=0)
    assert fork.session_state == {"n": 1}
    assert [run.input for run in fork.runs] == ["count"]
    # The later turn is stale, and its changes are reverted.
    assert counter.regenerate(runs[2].run_id).session_state == {"n": 3}
    calls = db.tool_calls_df()
    indexes = dict(zip(db.runs_df()["run_id"], db.runs_df()["run_index"], strict=True))
    own = calls[calls["session_id"] == "s"]
    assert [indexes[run_id] for run_id in own["run_id"]] == [0, 1, 2, 2, 1, 2]


def test_calls_of_one_run_are_in_order(db: Db) -> None:
    def f(n: int) -> str:
        """Return the argument."""
        return str(n)

    steps = iter([(0, 1), (2,), (3, 4), ()])
    model = FunctionModel(lambda messages, tools: [call("f", n=n) for n in next(steps)] or "Done.")
    Agent(model, db=db, session_id="s", tools=[f]).run("go")
    assert db.tool_calls_df()["arguments"].str.extract(r"(\d)")[0].tolist() == [str(n) for n in range(5)]
    assert db.messages_df(role="tool")["content"].tolist() == [str(n) for n in range(5)]
    events = db.events_df()["event"].tolist()
    assert (events[0], events[-1]) == ("RunStarted", "RunCompleted")
    assert [event for event in events if event == "ModelRequestCompleted"] == ["ModelRequestCompleted"] * 4


def test_summaries_hold_until_a_turn_that_they_cover_is_tried_again(db: Db) -> None:
    numbers = itertools.count()
    writer = FunctionModel(lambda messages, tools: f'{{"summary": "summary {next(numbers)}", "topics": []}}')
    talker = agent(db, session_summary_manager=SessionSummaryManager(writer))
    runs = []
    for n in range(3):
        runs.append(talker.run(str(n)))
        assert str(talker.get_session_summary()) == f"summary {n}"
    assert db.summaries_df()["summary"].tolist() == [f"summary {n}" for n in range(3)]
    talker.regenerate(runs[1].run_id)
    summary = talker.get_session_summary()
    assert summary is not None
    assert (str(summary), summary.to_run_index) == ("summary 3", 1)


def test_memories_are_in_the_order_in_which_they_were_learned(db: Db) -> None:
    for n in range(5):
        db.upsert_user_memory(UserMemory(memory=str(n), user_id="ann"))
    assert [memory.memory for memory in db.get_user_memories("ann")] == list("01234")
    assert db.memories_df()["memory"].tolist() == list("01234")


def test_runs_of_members_are_in_the_order_of_their_turns(db: Db) -> None:
    histories: list[list[str]] = []

    def answer(messages: list[Message], tools: Any) -> str:
        histories.append([str(message.content) for message in messages if message.role in ("user", "assistant")])
        return echo(messages, tools)

    member = Agent(FunctionModel(answer), name="Ben", add_history_to_context=True, num_history_runs=2)
    script = [
        step for n in range(4) for step in (call("delegate_task_to_member", member_id="ben", task=str(n)), f"Turn {n}.")
    ]
    team = Team([member], model=ScriptedModel(script), db=db, session_id="s", add_team_history_to_members=False)
    for n in range(4):
        team.run(f"turn {n}")
    nested = db.runs_df()
    assert nested[nested["run_index"].isna()]["input"].str[-1].tolist() == list("0123")
    found = db.get_runs("s")
    assert [[each.input[-1] for each in run.nested_runs] for run in found if run.run_index is not None] == [
        ["0"], ["1"], ["2"], ["3"],
    ]  # fmt: skip
    assert [text[-1] for text in histories[-1] if not text.startswith("re")] == ["1", "2", "3"]
