"""Rows that the pipeline writes and reads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, ModelError, RunError, SessionOwnershipError, StoreError
from agno_nb.event_loop import Job, run_blocking
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.types import Message, Metrics, RunOutput, RunStatus
from tests.run.kinds import Make, kind, talk


@pytest.fixture(params=["DuckDb", "InMemoryDb"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Db:
    return DuckDb(tmp_path / "store.duckdb") if request.param == "DuckDb" else InMemoryDb()


def said(messages: list[Message]) -> list[tuple[str, str | None]]:
    return [(message.role, message.content) for message in messages]


def test_the_model_that_the_server_reports_is_stored_next_to_the_requested_one(db: Db) -> None:
    def from_server(name: str | None) -> ModelResponse:
        return ModelResponse(content="yes", finish_reason="stop", model=name)

    agent = Agent(ScriptedModel([from_server("gemma.gguf"), from_server(None)], id="any"), db=db, session_id="s")
    runs = [agent.run("a"), agent.run("b")]
    assert [(run.model, run.served_model) for run in runs] == [("any", "gemma.gguf"), ("any", None)]
    frame = db.runs_df()[["model", "served_model"]]
    assert frame.astype(object).where(frame.notna(), None).values.tolist() == [["any", "gemma.gguf"], ["any", None]]
    assert [message.model for message in db.get_messages("s") if message.role == "assistant"] == ["gemma.gguf", "any"]


def echo(messages: list[Message], tools: Any) -> str:
    return f"you said {messages[-1].content}"


class WatchingModel(Model):
    """Looks into the store while the model is being called."""

    id = "watching"
    provider = "test"

    def __init__(self, look: Callable[[], None]) -> None:
        self.look = look

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        await asyncio.to_thread(self.look)
        yield ModelResponse(content="seen", metrics=Metrics(input_tokens=3, output_tokens=1))


@kind
def test_the_run_and_the_question_are_stored_before_the_model_is_called(make: Make, db: Db) -> None:
    seen: list[tuple[RunStatus, list[tuple[str, str | None]]]] = []

    def asked() -> RunOutput:
        (run,) = [run for run in db.get_runs("s") if run.run_index is not None]
        assert (run.input, run.messages[-1].role) == ("hello", "user" if not seen else "assistant")
        return talk(run)

    def look() -> None:
        seen.append((asked().status, said(asked().messages)))

    make(WatchingModel(look), db=db, instructions="Look.").run("hello", session_id="s")
    assert seen == [(RunStatus.RUNNING, [("user", "hello")])]
    run = asked()
    assert (run.status, run.content, run.metrics.input_tokens) == (RunStatus.COMPLETED, "seen", 3)
    assert (run.messages[0].content or "").startswith("Look.")
    assert said(run.messages)[1:] == [("user", "hello"), ("assistant", "seen")]


def test_each_tool_result_is_stored_as_soon_as_it_is_there(db: Db) -> None:
    seen: list[list[tuple[str, str | None]]] = []
    first_done = threading.Event()

    def first() -> str:
        return "one"

    def second() -> str:
        while not first_done.is_set():
            (run,) = db.get_runs("s")
            seen.append(said(run.messages))
            if ("tool", "one") in seen[-1]:
                first_done.set()
        return "two"

    model = ScriptedModel([[call("second"), call("first")], "done"])
    Agent(model, db=db, tools=[first, second]).run("go", session_id="s")
    assert seen[-1] == [("user", "go"), ("assistant", None), ("tool", "one")]
    (run,) = db.get_runs("s")
    assert said(run.messages)[2:] == [("tool", "two"), ("tool", "one"), ("assistant", "done")]
    assert [(t.tool_name, t.result) for t in run.tools] == [("second", "two"), ("first", "one")]


def test_history_is_the_last_completed_runs_with_their_tools(db: Db) -> None:
    def add(a: int, b: int) -> int:
        return a + b

    model = ScriptedModel(["a1", call("add", a=1, b=1), "a2", ModelError("down"), "a4", "a5"])
    agent = Agent(model, db=db, tools=[add], add_history_to_context=True, num_history_runs=2, instructions="Add.")
    agent.run("q1"), agent.run("q2")
    with pytest.raises(ModelError):
        agent.run("q3")
    agent.run("q4")
    assert said(model.requests[-1].messages) == [
        ("system", "Add."),
        ("user", "q1"),
        ("assistant", "a1"),
        ("user", "q2"),
        ("assistant", None),
        ("tool", "2"),
        ("assistant", "a2"),
        ("user", "q4"),
    ]
    last = agent.run("q5", num_history_runs=1)
    assert said(last.messages) == [
        ("system", "Add."),
        ("user", "q4"),
        ("assistant", "a4"),
        ("user", "q5"),
        ("assistant", "a5"),
    ]
    assert [m.from_history for m in last.messages] == [False, True, True, False, False]
    # Messages from history are not stored again.
    assert said(db.get_runs(last.session_id)[-1].messages) == [("system", "Add."), ("user", "q5"), ("assistant", "a5")]


def test_without_history_nothing_of_it_is_read(db: Db) -> None:
    model = FunctionModel(echo)
    agent = Agent(model, db=db)
    agent.run("q1"), agent.run("q2")
    assert said(model.requests[-1].messages) == [("user", "q2")]
    agent.run("q3", add_history_to_context=True)
    assert len(model.requests[-1].messages) == 5


def test_a_new_attempt_sees_only_the_turns_before_it(db: Db) -> None:
    model = FunctionModel(echo)
    agent = Agent(model, db=db, session_id="s", add_history_to_context=True)
    for text in ("q0", "q1", "q2"):
        agent.run(text)
    again = agent.run("q1 again", run_index=1)
    assert (again.run_index, again.attempt) == (1, 1)
    assert said(model.requests[-1].messages) == [("user", "q0"), ("assistant", "you said q0"), ("user", "q1 again")]
    frame = db.runs_df()
    assert frame[["input", "run_index", "attempt", "stale"]].values.tolist() == [
        ["q0", 0, 0, False],
        ["q1", 1, 0, False],
        ["q2", 2, 0, True],
        ["q1 again", 1, 1, False],
    ]
    assert frame["superseded_by"].isna().tolist() == [True, False, True, True]


@kind
def test_an_error_is_stored_with_what_was_said_and_raised_with_the_run(make: Make, db: Db) -> None:
    class Breaking(Model):
        id, provider = "breaking", "test"

        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
            yield Delta(content="half an ans")
            raise ModelError("cut off")

    with pytest.raises(ModelError, match="cut off") as caught:
        make(Breaking(), db=db).run("hello", session_id="s")
    (turn,) = [run for run in db.get_runs("s") if run.run_index is not None]
    run = talk(turn)
    for one in (turn, run):
        assert (one.status, one.error_type, one.error) == (RunStatus.ERROR, "ModelError", "cut off")
    assert run.content == "half an ans"
    assert said(run.messages)[-2:] == [("user", "hello"), ("assistant", "half an ans")]
    assert run.messages[-1].finish_reason == "interrupted"
    assert caught.value.run_output is not None
    assert caught.value.run_output.run_id == turn.run_id


@kind
def test_a_session_is_its_first_users(make: Make, db: Db) -> None:
    agent = make(FunctionModel(echo), db=db)
    agent.run("mine", session_id="s", user_id="ada")
    for other in ("bob", None):
        with pytest.raises(SessionOwnershipError, match="belongs to user 'ada'"):
            agent.run("let me in", session_id="s", user_id=other)
    assert {run.input for run in db.get_runs("s")} == {"mine"}
    agent.run("anybody's", session_id="t")
    agent.run("now mine", session_id="t", user_id="bob")
    with pytest.raises(SessionOwnershipError):
        agent.run("too late", session_id="t", user_id="ada")


@pytest.fixture
def stored_on(monkeypatch: pytest.MonkeyPatch) -> SimpleQueue[tuple[str, bool]]:
    """Writes of runs, and whether they are on the loop's thread."""
    seen: SimpleQueue[tuple[str, bool]] = SimpleQueue()

    def watch(name: str, method: Callable[..., Any]) -> None:
        def watched(self: Any, run: RunOutput, *args: Any, **kwargs: Any) -> Any:
            seen.put((f"{name} {run.session_id}", threading.current_thread().name == "agno_nb"))
            return method(self, run, *args, **kwargs)

        monkeypatch.setattr(InMemoryDb, name, watched)

    for name in ("open_run", "add_messages", "end_run"):
        watch(name, getattr(InMemoryDb, name))
    return seen


def test_a_run_for_itself_stores_on_its_loop_what_is_at_hand(stored_on: SimpleQueue[tuple[str, bool]]) -> None:
    Agent(FunctionModel(echo), db=InMemoryDb(), session_id="s").run("x")
    for what in ("open_run", "end_run"):
        assert stored_on.get(timeout=30) == (f"{what} s", True)


def test_runs_at_the_same_time_do_not_hold_each_other_up(stored_on: SimpleQueue[tuple[str, bool]]) -> None:
    db, asked, goes_on = InMemoryDb(), threading.Event(), threading.Event()

    def wait() -> None:
        asked.set()
        goes_on.wait(30)

    first = threading.Thread(target=Agent(WatchingModel(wait), db=db, session_id="first").run, args=["x"])
    first.start()
    asked.wait(30)
    Agent(FunctionModel(echo), db=db, session_id="second").run("y")
    goes_on.set()
    first.join()
    for expected in (
        ("open_run first", True), ("open_run second", False), ("end_run second", False), ("end_run first", True),
    ):  # fmt: skip
        assert stored_on.get(timeout=30) == expected


def test_runs_one_after_the_other_leave_the_loop_to_others_in_between() -> None:
    agent, is_enough = Agent(FunctionModel(echo), db=InMemoryDb()), threading.Event()

    async def talk_on() -> None:
        while not is_enough.is_set():
            await agent.arun("x")

    talking = Job(talk_on())
    assert run_blocking(asyncio.sleep(0, "here")) == "here"
    is_enough.set()
    talking.wait()


def test_a_store_that_somebody_uses_holds_up_nothing_but_its_run(stored_on: SimpleQueue[tuple[str, bool]]) -> None:
    db = InMemoryDb()
    run = threading.Thread(target=Agent(FunctionModel(echo), db=db, session_id="s").run, args=["x"])
    with db._driver.transaction(write=False):
        run.start()
        assert stored_on.get(timeout=30) == ("open_run s", False)
        assert Agent(FunctionModel(echo)).run("y").content == "you said y"
    run.join()
    assert said(db.get_messages("s")) == [("user", "x"), ("assistant", "you said x")]


@kind
def test_concurrent_runs_of_a_session_are_ordered_and_lose_nothing(make: Make, db: Db) -> None:
    def count(session_state: dict[str, Any]) -> int:
        session_state["n"] = session_state.get("n", 0) + 1
        return int(session_state["n"])

    def model(messages: list[Message], tools: Any) -> Any:
        return call("count") if messages[-1].role == "user" else f"n={messages[-1].content}"

    agent = make(FunctionModel(model), db=db, tools=[count], session_id="s")

    async def main() -> list[RunOutput]:
        return await asyncio.gather(*(agent.arun(f"q{i}") for i in range(5)))

    runs = asyncio.run(main())
    assert sorted(run.run_index for run in runs if run.run_index is not None) == [0, 1, 2, 3, 4]
    assert sorted(str(run.content) for run in runs) == ["n=1", "n=2", "n=3", "n=4", "n=5"]
    session = db.get_session("s")
    assert session is not None
    assert session.session_state == {"n": 5}


def test_an_agent_called_by_a_tool_is_a_nested_run_of_the_session(db: Db) -> None:
    inner = Agent(FunctionModel(echo), name="inner")

    def ask(question: str) -> str:
        return str(inner.run(question).content)

    async def aask(question: str) -> str:
        return str((await inner.arun(question)).content)

    model = ScriptedModel([[call("ask", question="a"), call("aask", question="b")], "done", "next"])
    outer = Agent(model, name="outer", db=db, tools=[ask, aask], add_history_to_context=True, session_id="s")
    outer.run("go", user_id="ada")
    outer.run("and now?", user_id="ada")
    first, *nested, second = sorted(db.get_runs("s"), key=lambda run: run.created_at)
    assert [(run.component_name, run.run_index, run.user_id) for run in (first, second)] == [
        ("outer", 0, "ada"),
        ("outer", 1, "ada"),
    ]
    assert {(run.component_name, run.run_index, run.parent_run_id, run.user_id) for run in nested} == {
        ("inner", None, first.run_id, "ada")
    }
    # The conversation belongs to the outer agent.
    assert [m.content for m in model.requests[-1].messages if m.role == "user"] == ["go", "and now?"]


def test_an_agent_with_a_session_of_its_own_keeps_it_when_it_is_called_by_a_tool(db: Db) -> None:
    inner = Agent(FunctionModel(echo), name="inner", session_id="notes", db=db, add_history_to_context=True)

    def ask(question: str) -> str:
        return str(inner.run(question).content)

    model = ScriptedModel([call("ask", question="a"), "done", call("ask", question="b"), "done"])
    outer = Agent(model, name="outer", db=db, tools=[ask], session_id="s")
    runs = [outer.run("go"), outer.run("go on")]
    notes = db.get_runs("notes")
    assert [(run.run_index, run.parent_run_id) for run in notes] == [(i, run.run_id) for i, run in enumerate(runs)]
    assert len(inner.resolved_model.requests[-1].messages) == 3  # type: ignore[attr-defined]


@kind
def test_a_state_that_cannot_be_stored_is_an_error_and_the_run_is_ended(make: Make, db: Db) -> None:
    def spoil(session_state: dict[str, Any]) -> str:
        session_state["lock"] = threading.Lock()
        return "spoiled"

    agent = make(ScriptedModel([call("spoil"), "done", "fine"]), db=db, tools=[spoil], session_id="s")
    with pytest.raises(InvalidInputError, match=r"session_state\['lock'\] is of type lock"):
        agent.run("go")
    assert [run.status for run in db.get_runs("s") if run.run_index is not None] == [RunStatus.ERROR]
    assert agent.run("and now?").content == "fine"


@kind
def test_a_save_that_fails_is_raised_with_the_answer(make: Make, db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(db, "end_run", fail)
    with pytest.raises(StoreError, match="the disk is full") as caught:
        make(FunctionModel(echo), db=db).run("hello")
    assert caught.value.run_output is not None
    assert talk(caught.value.run_output).content == "you said hello"


def test_a_run_inside_a_run_that_has_ended_is_refused() -> None:
    inner = Agent(FunctionModel(echo), name="inner")
    release, refused = threading.Event(), threading.Event()

    def late() -> None:
        release.wait(5)
        try:
            inner.run("too late")
        except RunError:
            refused.set()

    with Agent(ScriptedModel([call("late")]), tools=[late]).run("go", stream=True, stream_events=True) as events:
        for event in events:
            if event.tool is not None:
                break
    release.set()
    assert refused.wait(5)


def test_metrics_are_the_sum_of_the_model_calls_and_an_unknown_price_stays_unknown(db: Db) -> None:
    def add(a: int) -> int:
        return a

    asks = ModelResponse(tool_calls=[call("add", a=1)], metrics=Metrics(input_tokens=10, output_tokens=2, cost=0.5))
    answers = ModelResponse(content="1", metrics=Metrics(input_tokens=20, output_tokens=3, cost=0.25))
    unpriced = ModelResponse(content="2", metrics=Metrics(input_tokens=1, output_tokens=1))
    agent = Agent(ScriptedModel([asks, answers, unpriced]), db=db, tools=[add], session_id="s")
    metrics = agent.run("one").metrics
    assert (metrics.input_tokens, metrics.output_tokens, metrics.total_tokens, metrics.cost) == (30, 5, 35, 0.75)
    assert metrics.duration_s is not None
    session = db.get_session("s")
    assert session is not None
    assert session.metrics.cost == 0.75
    agent.run("two")
    totals = db.get_session_metrics("s")
    assert (totals.input_tokens, totals.output_tokens, totals.cost) == (31, 6, None)


def test_a_run_takes_the_time_from_its_start_to_its_end_and_a_session_starts_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1_700_000_000.0]

    class SlowDb(InMemoryDb):
        def open_run(self, *args: Any, **kwargs: Any) -> Any:
            clock[0] += 10.0
            return super().open_run(*args, **kwargs)

    monkeypatch.setattr(time, "time", lambda: clock[0])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    db = SlowDb()
    Agent(ScriptedModel(["x"]), db=db).run("1")
    run = db.runs_df().iloc[0]
    # No two stored times are the same, so each is a microsecond later.
    assert (run["ended_at"] - run["created_at"]).total_seconds() == pytest.approx(10.0, abs=0.001)
    assert run["duration_s"] == pytest.approx(10.0, abs=0.001)
    assert db.sessions_df()["created_at"][0] == run["created_at"]
    assert db.get_sessions(limit=1)[0].created_at == 1_700_000_000
