"""Many runs at once in one process, against the bare SDK, agno_nb without a store, and agno.

``python -m benchmarks.concurrency``; ``--only TEXT`` measures the contenders whose names contain it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.model_server import ANSWER, running_model_server
from benchmarks.overhead import KEY, streamed_by_sdk

RUNS, AT_ONCE = 1_000, 50
SESSIONS, TURNS, HISTORY_RUNS = 50, 10, 5

Ask = Callable[[str], Awaitable[str]]
"""Ask in a session; return the answer."""


@dataclass(frozen=True)
class Contender:
    """A way to ask a model."""

    name: str
    start: Callable[[str, str], Ask]
    """Return the function that asks, for the base URL of the server and a new folder."""


def bare_sdk(url: str, folder: str) -> Ask:
    stream = streamed_by_sdk(url)

    async def ask(session_id: str) -> str:
        return "".join([piece async for piece in stream()])

    return ask


def agno_nb(make_store: Callable[[str], Any]) -> Callable[[str, str], Ask]:
    def start(url: str, folder: str) -> Ask:
        from agno_nb import Agent
        from agno_nb.models.openai import OpenAIChat

        store = make_store(folder)
        settings = {"add_history_to_context": True, "num_history_runs": HISTORY_RUNS} if store is not None else {}
        agent = Agent(model=OpenAIChat("benchmark", base_url=url, api_key=KEY), db=store, **settings)

        async def ask(session_id: str) -> str:
            return str((await agent.arun("How many?", session_id=session_id)).content)

        return ask

    return start


def agno(make_store: Callable[[str], Any]) -> Callable[[str, str], Ask]:
    def start(url: str, folder: str) -> Ask:
        from agno.agent import Agent
        from agno.models.openai import OpenAIChat

        store = make_store(folder)
        settings = {"add_history_to_context": True, "num_history_runs": HISTORY_RUNS} if store is not None else {}
        model = OpenAIChat(id="benchmark", base_url=url, api_key=KEY)
        agent = Agent(model=model, db=store, telemetry=False, **settings)

        async def ask(session_id: str) -> str:
            pieces = [
                event.content
                async for event in agent.arun("How many?", session_id=session_id, stream=True)
                if event.event == "RunContent"
            ]
            return "".join(pieces)

        return ask

    return start


def contenders() -> list[Contender]:
    from agno_nb import DuckDb, InMemoryDb, SqliteDb

    found = [
        Contender("bare AsyncOpenAI, streamed", bare_sdk),
        Contender("agno_nb, no store", agno_nb(lambda folder: None)),
        Contender("agno_nb InMemoryDb", agno_nb(lambda folder: InMemoryDb())),
        Contender("agno_nb SqliteDb", agno_nb(lambda folder: SqliteDb(Path(folder, "store.db")))),
        Contender("agno_nb DuckDb", agno_nb(lambda folder: DuckDb(Path(folder, "store.duckdb")))),
    ]
    try:
        from agno.db.in_memory import InMemoryDb as AgnoInMemoryDb
        from agno.db.sqlite import SqliteDb as AgnoSqliteDb
    except ImportError:
        return found
    name = f"agno {version('agno')}"
    return [
        *found,
        Contender(f"{name} InMemoryDb", agno(lambda folder: AgnoInMemoryDb())),
        Contender(f"{name} SqliteDb", agno(lambda folder: AgnoSqliteDb(db_file=str(Path(folder, "agno.db"))))),
    ]


async def many_sessions(ask: Ask) -> None:
    """Ask once in each of many new sessions, some at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with slots:
            assert (await ask(f"single-{number}")).strip() == ANSWER

    await asyncio.gather(*(one(number) for number in range(RUNS)))


async def long_sessions(ask: Ask) -> None:
    """Hold several conversations in parallel."""

    async def conversation(number: int) -> None:
        for _ in range(TURNS):
            assert (await ask(f"long-{number}")).strip() == ANSWER

    await asyncio.gather(*(conversation(number) for number in range(SESSIONS)))


def timed(contender: Contender, work: Callable[[Ask], Awaitable[None]], url: str) -> tuple[float, float]:
    """Return the seconds and the CPU seconds of `work`, after a first question."""

    async def main() -> tuple[float, float]:
        with tempfile.TemporaryDirectory(prefix="agno_nb-bench-") as folder:
            ask = contender.start(url, folder)
            await ask("first")
            start, cpu = time.perf_counter(), time.process_time()
            await work(ask)
            return time.perf_counter() - start, time.process_time() - cpu

    return asyncio.run(main())


def main() -> None:
    os.environ["AGNO_TELEMETRY"] = "false"
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    parser = argparse.ArgumentParser(prog="python -m benchmarks.concurrency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    measured = [each for each in contenders() if given.only in each.name]
    kinds = {
        f"{RUNS:,} runs, {AT_ONCE} at once": many_sessions,
        f"{SESSIONS} sessions, {TURNS} turns each": long_sessions,
    }
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with running_model_server(latency_ms=100) as url:
        for _ in range(given.rounds):
            for kind, work in kinds.items():
                for each in measured:
                    times.setdefault((kind, each.name), []).append(timed(each, work, url))
    for kind in kinds:
        table = Table(kind, "s", "CPU s", f"of {measured[0].name}")
        first = statistics.median(wall for wall, _ in times[kind, measured[0].name])
        for each in measured:
            wall, cpu = (statistics.median(column) for column in zip(*times[kind, each.name], strict=True))
            table.add_row(each.name, f"{wall:.2f}", f"{cpu:.2f}", f"{wall / first:.2f}")
        Console().print(table)


if __name__ == "__main__":
    main()
