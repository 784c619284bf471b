"""Time per turn in the store, with several processes that use one store and pause between turns, as kernels do.

``python -m benchmarks.kernels --processes 4 --think-s 0.5 --turns 40``
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Sample


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--think-s", type=float, default=0.5, help="mean pause between turns; 0 for none")
    parser.add_argument("--turns", type=int, default=40, help="of each process")
    given = parser.parse_args()
    show(Console(), processes=given.processes, think_s=given.think_s, turns=given.turns)


def show(console: Console, *, processes: int, think_s: float, turns: int) -> Sample:
    """Run turns in several processes, print the time of each process in the store, and return all times."""
    with tempfile.TemporaryDirectory(prefix="agno_nb-bench-") as directory:
        path = Path(directory) / "store.duckdb"
        # Begun anew and not forked, as kernels are.
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            seconds = pool.starmap(talk, [(path, n, turns, think_s) for n in range(processes)], chunksize=1)
    table = Table("process", "median ms", "p95 ms", "longest ms")
    together = [second for times in seconds for second in times]
    for name, times in [*enumerate(seconds), ("all", together)]:
        sample = Sample.of(times)
        table.add_row(str(name), *(f"{s * 1e3:.1f}" for s in (sample.median_s, sample.p95_s, max(times))))
    console.print(f"Store time of a turn, {processes} processes, {think_s:g} s to think", table, sep="\n")
    return Sample.of(together)


def talk(path: Path, process: int, turns: int, think_s: float) -> list[float]:
    """Run turns; return the seconds of each in the store."""
    from agno_nb.db.base import ContextQuery
    from agno_nb.db.duckdb import DuckDb
    from agno_nb.types import Message, RunOutput, RunStatus, Session

    db = DuckDb(path, lock_timeout_s=60.0)
    thinking = random.Random(process)
    seconds = []
    for turn in range(turns):
        time.sleep(thinking.uniform(0.5, 1.5) * think_s)
        run = RunOutput(session_id=f"kernel {process}", input=f"question {turn}")
        user = Message(role="user", content=run.input, run_id=run.run_id)
        start = time.perf_counter()
        opened = db.open_run(
            run, [user], session=Session(session_id=run.session_id), query=ContextQuery(num_history_runs=3)
        )
        # A model takes longer than the store lingers, so that each turn has two leases.
        between = time.perf_counter()
        time.sleep(0.2 if think_s else 0.0)
        waited = time.perf_counter() - between
        answer = Message(role="assistant", content="answer " * 50, run_id=run.run_id)
        run.messages = [*opened.history, user, answer]
        run.status, run.content, run.ended_at = RunStatus.COMPLETED, answer.content, time.time()
        db.end_run(run, [answer])
        seconds.append(time.perf_counter() - start - waited)
    db.close()
    # The first turn also loads and makes what later ones find.
    return seconds[1:]


if __name__ == "__main__":
    main()
