"""Time of five members, steps or tool calls that run at the same time and take one second each.

``python -m benchmarks.parallel``; the calls are interleaved, after one that is not counted.
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

from agno_nb import Agent, DuckDb, InMemoryDb, Parallel, SqliteDb, Team, Workflow
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.run.runnable import Runnable
from agno_nb.testing import ScriptedModel, call

DURATION_S = 1.0
NUMBERS = range(5)


class SlowModel(Model):
    id, provider = "slow", "benchmark"

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        await asyncio.sleep(DURATION_S)
        yield ModelResponse(content="Done.")


def wait(number: int) -> str:
    """Wait."""
    time.sleep(DURATION_S)
    return "Done."


def agents() -> list[Any]:
    return [Agent(SlowModel(), name=f"m{number}") for number in NUMBERS]


def team(store: Any) -> Runnable:
    tasks = [call("delegate_task_to_member", member_id=f"m{number}", task="Work.") for number in NUMBERS]
    return Team(agents(), model=ScriptedModel([tasks, "Done."]), db=store)


def parallel(store: Any) -> Runnable:
    return Workflow([Parallel(*agents())], db=store)


def tools(store: Any) -> Runnable:
    model = ScriptedModel([[call("wait", number=number) for number in NUMBERS], "Done."])
    return Agent(model, tools=[wait], db=store)


KINDS: dict[str, Callable[[Any], Runnable]] = {"members": team, "Parallel steps": parallel, "sync tools": tools}


def measure(folder: Path, rounds: int) -> dict[tuple[str, str], float]:
    """Return the median of each kind and store, in multiples of the time that one takes."""
    stores: dict[str, Any] = {
        "no store": False,
        "InMemoryDb": InMemoryDb(),
        "SqliteDb": SqliteDb(folder / "store.db"),
        "DuckDb": DuckDb(folder / "store.duckdb"),
    }
    times: dict[tuple[str, str], list[float]] = {}
    for turn in range(-1, rounds):
        for store_name, store in stores.items():
            for kind, make in KINDS.items():
                runnable = make(store)
                start = time.perf_counter()
                runnable.run("Go")
                if turn >= 0:
                    times.setdefault((kind, store_name), []).append(time.perf_counter() - start)
    return {key: statistics.median(each) / DURATION_S for key, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parallel", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="agno_nb-bench-", ignore_cleanup_errors=True) as folder:
        medians = measure(Path(folder), rounds)
    stores = list(dict.fromkeys(store for _, store in medians))
    table = Table("five at once, medians", *stores)
    for kind in KINDS:
        table.add_row(kind, *(f"{medians[kind, store]:.3f}" for store in stores))
    Console().print(f"{rounds} rounds of 1 s, load {os.getloadavg()[0]:.1f}", table, sep="\n")


if __name__ == "__main__":
    main()
