"""Time of one streamed turn over the bare SDK's call to the same server, and of its first token.

``python -m benchmarks.overhead``; the calls are interleaved.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.model_server import running_model_server

HISTORY_RUNS = 3
KEY = "not-needed"

Stream = Callable[[], AsyncIterator[str]]


def streamed_by_sdk(url: str) -> Stream:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key=KEY)

    async def stream() -> AsyncIterator[str]:
        message: Any = {"role": "user", "content": "How many?"}
        chunks = await client.chat.completions.create(
            model="benchmark", messages=[message], stream=True, stream_options={"include_usage": True}
        )
        async for chunk in chunks:
            if chunk.choices and (content := chunk.choices[0].delta.content):
                yield content

    return stream


def agno_nb(url: str, store: Any) -> Stream:
    from agno_nb import Agent
    from agno_nb.models.openai import OpenAIChat

    settings = {"add_history_to_context": True, "num_history_runs": HISTORY_RUNS} if store is not None else {}
    model = OpenAIChat("benchmark", base_url=url, api_key=KEY)
    agent = Agent(model=model, db=store, session_id="benchmark", **settings)

    async def stream() -> AsyncIterator[str]:
        async for event in agent.arun("How many?", stream=True):
            if event.event == "RunContent" and event.content:
                yield str(event.content)

    return stream


async def measured(stream: Stream) -> tuple[float, float]:
    """Return the seconds to the first token and to the end."""
    start = time.perf_counter()
    first = 0.0
    async for _ in stream():
        first = first or time.perf_counter() - start
    return first, time.perf_counter() - start


async def measure(url: str, folder: Path, turns: int, pause_s: float) -> dict[str, list[tuple[float, float]]]:
    """Return, for each store, how many seconds later than the SDK's its first tokens and ends were."""
    from agno_nb import DuckDb, InMemoryDb, SqliteDb

    bare = streamed_by_sdk(url)
    streams = {
        "agno_nb, no store": agno_nb(url, None),
        "agno_nb InMemoryDb": agno_nb(url, InMemoryDb()),
        "agno_nb SqliteDb": agno_nb(url, SqliteDb(folder / "store.db")),
        "agno_nb DuckDb": agno_nb(url, DuckDb(folder / "store.duckdb")),
    }
    later: dict[str, list[tuple[float, float]]] = {name: [] for name in streams}
    # One store after the other, because a DuckDB file that is not used for a moment is detached.
    for name, stream in streams.items():
        for turn in range(-5, turns):
            theirs, ours = await measured(bare), await measured(stream)
            if turn >= 0:
                later[name].append((ours[0] - theirs[0], ours[1] - theirs[1]))
            await asyncio.sleep(pause_s)
    return later


def main() -> None:
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--pause-s", type=float, default=0.0, help="after each pair of calls, as of a person who reads")
    given = parser.parse_args()
    with (
        running_model_server(latency_ms=100) as url,
        tempfile.TemporaryDirectory(prefix="agno_nb-bench-", ignore_cleanup_errors=True) as folder,
    ):
        times = asyncio.run(measure(url, Path(folder), given.turns, given.pause_s))
    table = Table("later than the SDK, medians", "first token ms", "end of the turn ms")
    for name, each in times.items():
        first, turn = (statistics.median(column) * 1e3 for column in zip(*each, strict=True))
        table.add_row(name, f"{first:+.1f}", f"{turn:+.1f}")
    Console().print(f"{given.turns} turns, load {os.getloadavg()[0]:.1f}", table, sep="\n")


if __name__ == "__main__":
    main()
