"""A turn in ever longer histories, and many cells in one kernel: neither may become slower.

``python -m benchmarks.growth``; ``--runs 10 1000`` for other lengths, ``--cells 0`` without the kernel. Histories are
written in common transactions, the measured turns by an agent with the last three runs as history.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from jupyter_client.manager import start_new_kernel
from rich.console import Console
from rich.table import Table

from agno_nb import Agent, DuckDb, InMemoryDb, SqliteDb
from agno_nb.db.group_commit import StoreCall
from agno_nb.db.sql_store import SqlDb
from agno_nb.testing import FunctionModel
from agno_nb_store_contract.concurrency import ending, opening

STORES: dict[str, Callable[[Path], SqlDb]] = {
    "DuckDb": lambda folder: DuckDb(folder / "store.duckdb"),
    "SqliteDb": lambda folder: SqliteDb(folder / "store.db"),
    "InMemoryDb": lambda folder: InMemoryDb(),
}
MEASURED = 60
AT_ONCE = 50
TURNS_PER_SESSION = 100


def fill(db: SqlDb, start: int, end: int) -> None:
    """Store runs of a question and an answer, in sessions of 100 turns."""
    for first in range(start, end, AT_ONCE):
        # One turn of each of several sessions, because the turns of a session follow each other.
        block = first // (AT_ONCE * TURNS_PER_SESSION)
        opened = [
            opening(db, "How many?", session_id=f"before-{block}-{number % AT_ONCE}")
            for number in range(first, min(first + AT_ONCE, end))
        ]
        commit(db, [call for _, call in opened])
        commit(db, [ending(db, run, "Forty-two.") for run, _ in opened])


def commit(db: SqlDb, calls: list[StoreCall]) -> None:
    for outcome in db.commit_together(calls):
        if outcome.error is not None:
            raise outcome.error


def turns(db: SqlDb, session_id: str) -> float:
    """Return the median time of a turn, in milliseconds."""
    agent = Agent(FunctionModel(lambda messages, tools: "Forty-two."), db=db, add_history_to_context=True)
    times = []
    for _ in range(MEASURED):
        start = time.perf_counter()
        agent.run("How many?", session_id=session_id)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def growing(runs: list[int]) -> Table:
    """Measure turns after each number of runs, in a session of their own and in the same session again."""
    table = Table("runs before", *STORES, title=f"medians of {MEASURED} turns, ms")
    with tempfile.TemporaryDirectory(prefix="agno_nb-bench-") as folder:
        stores = {name: make(Path(folder)) for name, make in STORES.items()}
        before = 0
        for count in runs:
            times = []
            for db in stores.values():
                fill(db, before, count)
                times.append(f"{turns(db, f'after-{count}'):.1f}")
            before = count
            table.add_row(f"{count:,}", *times)
        for db in stores.values():
            db.close()
    return table


def cells(count: int) -> Table:
    """Measure cells in one kernel, and the memory that the kernel has."""
    table = Table("cells before", "median ms", "kernel, MB", title="%%agent cells in one kernel")
    with tempfile.TemporaryDirectory(prefix="agno_nb-bench-") as folder:
        manager, client = start_new_kernel(cwd=folder, env={**os.environ, "AGNO_NB_MODEL": "demo"})
        kernel = psutil.Process(manager.provisioner.pid)  # type: ignore[union-attr]
        client.execute_interactive("%load_ext agno_nb", output_hook=lambda message: None)
        times: list[float] = []
        for number in range(count):
            start = time.perf_counter()
            reply = client.execute_interactive("%%agent\nHello", output_hook=lambda message: None)
            assert reply["content"]["status"] == "ok"
            times.append(1e3 * (time.perf_counter() - start))
            if number in (199, count // 2 - 1, count - 1):
                memory = kernel.memory_info().rss / 1e6
                table.add_row(
                    f"{number - 99:,} to {number + 1:,}", f"{statistics.median(times[-100:]):.0f}", f"{memory:.0f}"
                )
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--runs", type=int, nargs="*", default=[10, 100, 1_000, 10_000, 100_000])
    parser.add_argument("--cells", type=int, default=2_000)
    given = parser.parse_args()
    Console().print(f"load {os.getloadavg()[0]:.1f}", growing(given.runs))
    if given.cells:
        Console().print(cells(given.cells))


if __name__ == "__main__":
    main()
