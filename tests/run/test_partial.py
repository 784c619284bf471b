"""The text of a long answer is stored while it arrives, so that a killed kernel loses at most two seconds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import StoreError
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.run import recorder
from agno_nb.run.rewind import CONTINUE_PROMPT
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import Message, RunOutput, RunStatus, ToolCall
from tests.db.processes import kill, line_of, start
from tests.run.kinds import Make, kind, talk


class WatchedDb(InMemoryDb):
    """Tells when it has stored a partial answer."""

    def __init__(self) -> None:
        super().__init__()
        self.partials: list[str | None] = []
        self.saved = threading.Semaphore(0)
        self.fails = 0

    def save_partial(self, run: RunOutput, partial: Message, messages: Sequence[Message] = ()) -> None:
        self.partials.append(partial.content)
        if self.fails:
            self.fails -= 1
            raise StoreError("not now")
        super().save_partial(run, partial, messages)
        self.saved.release()


class Slow(Model):
    """Says the next words when the store has those before."""

    id, provider = "slow", "test"

    def __init__(
        self,
        db: WatchedDb,
        words: Sequence[str],
        *,
        calls: Sequence[ToolCall] = (),
        then: Callable[[], Any] | None = None,
    ) -> None:
        self.db, self.words, self.calls, self.then = db, words, calls, then
        self.num_requests = 0

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        self.num_requests += 1
        if self.num_requests > 1:
            yield ModelResponse(content="done")
            return
        for word in self.words:
            yield Delta(content=word, reasoning_content="hm ")
            assert await asyncio.to_thread(self.db.saved.acquire, timeout=30)
        if self.then is not None:
            self.then()
            await asyncio.sleep(0)
        yield ModelResponse(content="".join(self.words), tool_calls=list(self.calls))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "PARTIAL_SAVE_S", 0.0)


@kind
@pytest.mark.usefixtures("at_once")
def test_an_answer_is_stored_while_it_arrives_and_once_in_the_end(make: Make) -> None:
    db = WatchedDb()
    seen: list[Any] = []

    def look() -> None:
        (run,) = [run for run in db.get_runs("s") if run.kind != "workflow"]
        last = run.messages[-1]
        seen.append((run.status, run.content, last.content, last.reasoning_content, last.finish_reason))

    make(Slow(db, ["half ", "an ", "answer"], then=look), db=db, instructions="Slowly.").run("go", session_id="s")
    assert seen == [(RunStatus.RUNNING, "half an answer", "half an answer", "hm hm hm ", "interrupted")]
    assert db.partials == ["half ", "half an ", "half an answer"]
    turn = db.get_runs("s")[0]
    assert [(m.role, m.content, m.finish_reason) for m in talk(turn).messages[-2:]] == [
        ("user", "go", None), ("assistant", "half an answer", None),
    ]  # fmt: skip
    assert talk(turn).messages[0].role == "system"
    assert (turn.status, turn.content) == (RunStatus.COMPLETED, "half an answer")
    assert db.verify() == []


def test_an_answer_that_takes_less_is_stored_once() -> None:
    db = WatchedDb()
    Agent(ScriptedModel(["a few words, then some more"]), db=db).run("go")
    assert (db.partials, recorder.PARTIAL_SAVE_S) == ([], 2.0)


@pytest.mark.usefixtures("at_once")
def test_a_partial_answer_that_cannot_be_stored_is_stored_later() -> None:
    db = WatchedDb()
    db.fails = 2
    run = Agent(Slow(db, ["half ", "an answer"]), db=db, instructions="x").run("go", session_id="s")
    assert run.content == "half an answer"
    assert db.partials[-1] == "half an answer"
    assert [m.content for m in db.get_messages("s")] == ["x", "go", "half an answer"]


@pytest.mark.usefixtures("at_once")
def test_what_was_said_before_a_call_is_not_kept_if_calls_are_not() -> None:
    def look() -> str:
        """Look."""
        return "seen"

    db = WatchedDb()
    agent = Agent(Slow(db, ["Let me look."], calls=[call("look")]), tools=[look], db=db, store_tool_messages=False)
    agent.run("go", session_id="s")
    assert [(m.role, m.content) for m in db.get_messages("s")] == [("user", "go"), ("assistant", "done")]


@pytest.mark.usefixtures("at_once")
def test_an_interrupt_leaves_one_partial_answer() -> None:
    db = WatchedDb()
    agent = Agent(Slow(db, ["half "], then=lambda: asyncio.current_task().cancel()), db=db)  # type: ignore[union-attr]
    with pytest.raises(asyncio.CancelledError):
        agent.run("go", session_id="s")
    (run,) = db.get_runs("s")
    assert (run.status, run.content) == (RunStatus.CANCELLED, "half ")
    assert [(m.content, m.finish_reason) for m in run.messages] == [("go", None), ("half ", "interrupted")]


@pytest.mark.usefixtures("at_once")
def test_an_answer_that_is_corrected_is_stored_twice_and_no_more() -> None:
    db = WatchedDb()
    agent = Agent(Slow(db, ["not ", "JSON"]), db=db, output_schema={"type": "object"})
    with pytest.raises(Exception, match="is not a JSON object: "):
        agent.run("go", session_id="s")
    assert [m.content for m in db.get_messages("s") if m.role == "assistant"] == ["not JSON", "done"]
    assert db.verify() == []


PROGRAM = """
import asyncio, sys
from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.models.base import Delta, Model
from agno_nb.run import recorder

recorder.PARTIAL_SAVE_S = 0.01

class Telling(DuckDb):
    def save_partial(self, run, partial, messages=()):
        super().save_partial(run, partial, messages)
        self.close()
        print(partial.content, flush=True)

class Stalling(Model):
    id, provider = "stalling", "test"

    async def stream(self, request):
        yield Delta(content="one ")
        yield Delta(content="two ")
        await asyncio.Event().wait()

Agent(Stalling(), db=Telling(sys.argv[1]), session_id="s", instructions="Count.").run("count")
"""


def test_a_process_that_is_killed_leaves_what_had_arrived_and_another_goes_on_with_it(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    process = start(PROGRAM, path)
    while line_of(process) != "one two ":
        pass
    kill(process)
    db = DuckDb(path)
    (run,) = db.get_runs("s")
    assert (run.status, run.interrupted, run.content) == (RunStatus.RUNNING, True, "one two ")
    assert [(m.role, m.content, m.finish_reason) for m in run.messages] == [
        ("system", "Count.", None), ("user", "count", None), ("assistant", "one two ", "interrupted"),
    ]  # fmt: skip
    assert db.runs_df()[["interrupted", "content"]].values.tolist() == [[True, "one two "]]
    model = ScriptedModel(["three"])
    again = Agent(model, db=db, session_id="s", instructions="Count.").regenerate(from_partial=True)
    assert again.content == "one two three"
    assert [m.content for m in model.requests[0].messages] == ["Count.", "count", "one two ", CONTINUE_PROMPT]


def test_what_several_interrupts_left_is_the_beginning_of_the_answer() -> None:
    db = InMemoryDb()

    class CutOff(Model):
        id, provider = "cut-off", "test"
        num_requests = 0

        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
            self.num_requests += 1
            if self.num_requests == 3:
                yield ModelResponse(content="three")
                return
            yield Delta(content=["one ", "two "][self.num_requests - 1])
            raise OSError("cut off")

    agent = Agent(CutOff(), db=db, session_id="s")
    for go_on in (False, True):
        with pytest.raises(Exception, match="cut off"):
            agent.regenerate(from_partial=True) if go_on else agent.run("count")
    assert agent.regenerate(from_partial=True).content == "one two three"
