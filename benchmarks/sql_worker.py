"""A small query through the warm worker process, and in this process.

``python -m benchmarks.sql_worker``
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import pandas as pd
from rich.console import Console
from rich.table import Table

from agno_nb import InMemoryDb
from benchmarks.measure import interleaved

BAR_MS = 5.0
"""Most that the worker may add to the median of a small query."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sql_worker", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    console = Console()
    db = InMemoryDb()
    df = pd.DataFrame({"species": ["Adelie", "Gentoo"] * 500, "mass": range(1_000)})
    queries: dict[str, tuple[str, dict[str, pd.DataFrame]]] = {
        "a DataFrame of 1,000 rows": ("SELECT species, avg(mass) AS mass FROM df GROUP BY ALL", {"df": df}),
        "an empty store": ("SELECT count(*) AS n FROM runs", {}),
    }

    def ask(name: str, isolated: bool) -> Callable[[], object]:
        sql, frames = queries[name]
        return lambda: db.query(sql, isolated=isolated, **frames)

    # Without the start of the engines of this process.
    ask("an empty store", False)()
    start = time.perf_counter()
    ask("an empty store", True)()
    console.print(f"First isolated query, with the start of its worker: {time.perf_counter() - start:.2f} s")
    table = Table("", "in process, ms", "isolated, ms", f"difference, ms (bar: {BAR_MS:g})")
    for name in queries:
        samples = interleaved({"here": ask(name, False), "isolated": ask(name, True)}, rounds=rounds)
        here, isolated = (1e3 * samples[each].median_s for each in ("here", "isolated"))
        table.add_row(name, f"{here:.1f}", f"{isolated:.1f}", f"{isolated - here:+.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
