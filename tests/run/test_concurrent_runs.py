"""Runs at the same time: their writes are committed together, and each is acknowledged after its commit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.duckdb.engine import Engine
from agno_nb.db.group_commit import Outcome, StoreCall
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import InvalidInputError, SessionOwnershipError, StoreError
from agno_nb.run import recorder
from agno_nb.run.context import RunContext
from agno_nb.testing import FunctionModel, call
from agno_nb.tools import tool
from agno_nb.types import RunOutput, RunStatus
from agno_nb_store_contract.concurrency import ending, opening
from tests.db.processes import kill, line_of, start
from tests.run.failing import FailingDb

STORES: dict[str, Callable[[Path], SqlDb]] = {
    "duckdb": lambda folder: DuckDb(folder / "store.duckdb"),
    "sqlite": lambda folder: SqliteDb(folder / "store.db"),
    "in memory": lambda folder: InMemoryDb(),
}


@pytest.fixture(params=STORES)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlDb]:
    store = STORES[request.param](tmp_path)
    yield store
    store.close()


def echo() -> FunctionModel:
    return FunctionModel(lambda messages, tools: f"echo {messages[-1].content}")


def together(*runs: Awaitable[RunOutput]) -> list[RunOutput | BaseException]:
    """Wait for runs at the same time."""

    async def gathered() -> list[RunOutput | BaseException]:
        return await asyncio.gather(*runs, return_exceptions=True)

    return asyncio.run(gathered())


class Groups:
    """Records the sizes of the groups that a store commits."""

    def __init__(self, db: SqlDb, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        commit_together = db.commit_together

        def recorded(calls: Sequence[StoreCall]) -> list[Outcome]:
            self.sizes.append(len(calls))
            return commit_together(calls)

        monkeypatch.setattr(db, "commit_together", recorded)


def test_thirty_runs_in_as_many_sessions_are_stored_in_a_few_commits(
    db: SqlDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = Groups(db, monkeypatch)
    agent = Agent(echo(), db=db)
    runs = together(*(agent.arun(f"question {n}", session_id=f"s{n}") for n in range(30)))
    assert [run.content for run in runs if isinstance(run, RunOutput)] == [f"echo question {n}" for n in range(30)]
    # Each run is opened and ended. Whichever is alone for a moment need not wait for a thread.
    assert 50 <= sum(groups.sizes) <= 60
    assert len(groups.sizes) < 30
    for n, run in enumerate(runs):
        assert isinstance(run, RunOutput)
        (stored,) = db.get_runs(f"s{n}")
        assert (stored.run_id, stored.run_index, stored.status) == (run.run_id, 0, RunStatus.COMPLETED)
        assert [(each.role, each.content) for each in stored.messages] == [
            ("user", f"question {n}"),
            ("assistant", f"echo question {n}"),
        ]
    assert db.verify() == []


def test_conversations_at_the_same_time_see_their_own_history(db: SqlDb) -> None:
    agent = Agent(
        FunctionModel(lambda messages, tools: " ".join(str(each.content) for each in messages if each.role == "user")),
        db=db,
        add_history_to_context=True,
    )

    async def conversation(name: str) -> list[str]:
        return [str((await agent.arun(f"{name}{turn}", session_id=name)).content) for turn in range(4)]

    async def all_of_them() -> list[list[str]]:
        return await asyncio.gather(*(conversation(name) for name in "abcdefgh"))

    assert asyncio.run(all_of_them()) == [
        [" ".join(f"{name}{n}" for n in range(turn + 1)) for turn in range(4)] for name in "abcdefgh"
    ]


def test_turns_of_one_session_keep_their_order(db: SqlDb) -> None:
    agent = Agent(echo(), db=db, session_id="s")
    runs = together(*(agent.arun(str(n)) for n in range(10)))
    assert [run.run_index for run in runs if isinstance(run, RunOutput)] == list(range(10))
    assert [run.input for run in db.get_runs("s")] == [str(n) for n in range(10)]


def test_runs_that_are_refused_or_cannot_be_stored_fail_alone(db: SqlDb) -> None:
    Agent(echo(), db=db).run("mine", session_id="private", user_id="alice")

    def spoil(run_context: RunContext) -> str:
        """Spoil the state."""
        run_context.session_state["x"] = {1, 2}
        return "spoiled"

    spoiling = Agent(
        FunctionModel(lambda messages, tools: "done" if messages[-1].role == "tool" else call("spoil")),
        db=db,
        tools=[spoil],
    )
    agent = Agent(echo(), db=db)
    outcomes = together(
        agent.arun("one", session_id="s1"),
        agent.arun("let me in", session_id="private", user_id="bob"),
        spoiling.arun("two", session_id="s2"),
        agent.arun("three", session_id="s3"),
    )
    assert [type(each) for each in outcomes] == [RunOutput, SessionOwnershipError, InvalidInputError, RunOutput]
    statuses = {name: [run.status for run in db.get_runs(name)] for name in ("s1", "s2", "s3", "private")}
    assert statuses == {
        "s1": [RunStatus.COMPLETED],
        "s2": [RunStatus.ERROR],
        "s3": [RunStatus.COMPLETED],
        "private": [RunStatus.COMPLETED],
    }


def test_a_failed_common_commit_fails_each_call_with_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = DuckDb(tmp_path / "t.duckdb")
    runs, opening_calls = zip(*(opening(db, f"q{n}") for n in range(5)), strict=True)
    assert [outcome.error for outcome in db.commit_together(opening_calls)] == [None] * 5
    calls = [ending(db, run, "answer") for run in runs]
    execute = Engine.execute

    def fail(self: Engine, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if sql == "COMMIT":
            raise duckdb.IOException("No space left on device")
        return execute(self, sql, parameters)

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "execute", fail)
        errors = [outcome.error for outcome in db.commit_together(calls)]
    assert {type(error) for error in errors} == {StoreError}
    # Each run adds its own attributes to its error.
    assert len({id(error) for error in errors}) == 5
    assert all("No space left on device" in str(error) for error in errors)
    # Whether it was committed is unknown, so nothing was tried again.
    assert [db.get_runs(run.session_id)[0].status for run in runs] == [RunStatus.RUNNING] * 5
    assert [outcome.error for outcome in db.commit_together(calls)] == [None] * 5
    assert [db.get_runs(run.session_id)[0].status for run in runs] == [RunStatus.COMPLETED] * 5
    assert db.verify() == []


@pytest.mark.parametrize("after_commit", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("fails_at", range(12))
def test_whichever_write_of_several_runs_fails_nothing_is_lost(
    fails_at: int, after_commit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_FIRST_RETRY_S", 3600.0)
    db = FailingDb(fails_at, after_commit=after_commit)
    agent = Agent(echo(), db=db)
    outcomes = together(*(agent.arun(f"q{n}", session_id=f"s{n}") for n in range(6)))
    db.works_again()
    agent.run("later", session_id="later")
    for n, outcome in enumerate(outcomes):
        stored = db.get_runs(f"s{n}")
        if isinstance(outcome, RunOutput):
            assert [(run.run_id, run.status) for run in stored] == [(outcome.run_id, RunStatus.COMPLETED)]
        else:
            assert isinstance(outcome, StoreError)
            assert RunStatus.RUNNING not in [run.status for run in stored]
    assert db.verify() == []


def test_a_cancelled_run_does_not_cancel_those_it_is_committed_with(db: SqlDb) -> None:
    agent = Agent(echo(), db=db)

    async def main() -> list[RunOutput | BaseException]:
        tasks = [asyncio.ensure_future(agent.arun(f"q{n}", session_id=f"s{n}")) for n in range(10)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(main())
    assert isinstance(outcomes[3], asyncio.CancelledError)
    for n, outcome in enumerate(outcomes):
        statuses = [run.status for run in db.get_runs(f"s{n}")]
        if n != 3:
            assert isinstance(outcome, RunOutput)
            assert statuses == [RunStatus.COMPLETED]
        else:
            assert RunStatus.RUNNING not in statuses


def test_threads_that_block_share_commits_too(db: SqlDb, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = Groups(db, monkeypatch)
    agent = Agent(echo(), db=db)
    contents: dict[int, object] = {}
    ready = threading.Barrier(16)

    def work(number: int) -> None:
        ready.wait()
        contents[number] = agent.run(f"q{number}", session_id=f"s{number}").content

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents == {n: f"echo q{n}" for n in range(16)}
    assert len(groups.sizes) < sum(groups.sizes)
    assert [len(db.get_runs(f"s{n}")) for n in range(16)] == [1] * 16


def test_tools_of_concurrent_runs_pause_and_continue(db: SqlDb) -> None:
    @tool(requires_confirmation=True)
    def send(text: str) -> str:
        """Send."""
        return f"sent {text}"

    agent = Agent(
        FunctionModel(
            lambda messages, tools: (
                str(messages[-1].content) if messages[-1].role == "tool" else call("send", text=messages[-1].content)
            )
        ),
        db=db,
        tools=[send],
    )
    paused = together(*(agent.arun(f"m{n}", session_id=f"s{n}") for n in range(8)))
    for run in paused:
        assert isinstance(run, RunOutput)
        assert run.status is RunStatus.PAUSED
        run.requirements[0].confirm()
    finished = together(*(agent.acontinue_run(run) for run in paused if isinstance(run, RunOutput)))
    assert [run.content for run in finished if isinstance(run, RunOutput)] == [f"sent m{n}" for n in range(8)]


WRITER = """
import asyncio, sys
from agno_nb import Agent, DuckDb, SqliteDb
from agno_nb.testing import FunctionModel

db = (DuckDb if sys.argv[1] == "duckdb" else SqliteDb)(sys.argv[2])
agent = Agent(FunctionModel(lambda messages, tools: "answer"), db=db)

async def talk(name):
    for turn in range(10_000):
        run = await agent.arun(f"{name}.{turn}", session_id=name)
        print(run.run_id, run.session_id, flush=True)

async def main():
    await asyncio.gather(*(talk(f"s{n}") for n in range(20)))

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_acknowledged_runs_survive_a_kill(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "store"
    process = start(WRITER, kind, file)
    lines = [line_of(process) for _ in range(100)]
    acknowledged = [line.split() for line in [*lines, *kill(process)]]
    db = (DuckDb if kind == "duckdb" else SqliteDb)(file)
    for run_id, session_id in acknowledged:
        run = db.get_run(run_id)
        assert run is not None
        assert (run.session_id, run.status, run.content) == (session_id, RunStatus.COMPLETED, "answer")
    assert db.verify() == []
    db.close()
