"""Time of a recorded turn of an agno agent over agno's own, which stores nothing.

``python -m benchmarks.agno_agents``; both stream from the same server, and the turns are interleaved.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.model_server import running_model_server

WARM_UP = 20


def agno_agent(url: str) -> Any:
    from agno.agent import Agent
    from agno.models.openai import OpenAIChat

    return Agent(name="clerk", model=OpenAIChat("benchmark", base_url=url, api_key="not-needed"), telemetry=False)


def own(url: str) -> Callable[[], None]:
    agent, runner = agno_agent(url), asyncio.Runner()

    async def turn() -> None:
        async for _ in agent.arun("How many?", stream=True, stream_events=True, session_id="s"):
            pass

    atexit.register(runner.close)
    return lambda: runner.run(turn())


def recorded(url: str, db: Any) -> Callable[[], None]:
    from agno_nb.integrations.agno_agents import runnable_of

    runnable = runnable_of(agno_agent(url))
    assert runnable is not None
    runnable.db = db

    def turn() -> None:
        for _ in runnable.run("How many?", stream=True, stream_events=True, session_id="s"):
            pass

    return turn


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agno_agents", description=__doc__)
    parser.add_argument("--turns", type=int, default=200)
    turns = parser.parse_args().turns
    from agno_nb import DuckDb, InMemoryDb

    with tempfile.TemporaryDirectory() as folder, running_model_server(latency_ms=5) as url:
        contenders = {
            "agno": own(url),
            "agno_nb, no store": recorded(url, False),
            "agno_nb InMemoryDb": recorded(url, InMemoryDb()),
            "agno_nb DuckDb": recorded(url, DuckDb(Path(folder, "store.duckdb"))),
        }
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(WARM_UP + turns):
            for name, turn in contenders.items():
                start = time.perf_counter()
                turn()
                times[name].append(time.perf_counter() - start)
    for name, measured in times.items():
        pairs = zip(measured[WARM_UP:], times["agno"][WARM_UP:], strict=True)
        extra = 1e3 * statistics.median(mine - agno for mine, agno in pairs)
        print(f"{name:20} {1e3 * statistics.median(measured[WARM_UP:]):6.2f} ms  {extra:+6.2f} ms")


if __name__ == "__main__":
    main()
