"""Time of a turn by part: the statements of the store, commits, and everything else.

``python -m benchmarks.turn --store sqlite --runs 100``; with ``--read``, each turn reads the session, like the
first one of a process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from agno_nb.db.driver import Driver
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.statements import Connection, Write
from benchmarks.contenders import AgnoNb

WARM_UP = 20
T = TypeVar("T")
T = TypeVar("T")
Seconds = defaultdict[str, list[float]]


def main() -> None:
    from agno_nb import DuckDb, InMemoryDb, SqliteDb

    stores: dict[str, Callable[[str], SqlDb]] = {
        "duckdb": lambda folder: DuckDb(Path(folder, "store")),
        "sqlite": lambda folder: SqliteDb(Path(folder, "store")),
        "in_memory": lambda folder: InMemoryDb(),
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turn", description=__doc__)
    parser.add_argument("--store", choices=stores, default="duckdb")
    parser.add_argument("--runs", type=int, default=150)
    parser.add_argument("--read", action="store_true", help="the session, in each turn")
    given = parser.parse_args()
    turns: list[float] = []
    parts: Seconds = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="agno_nb-bench-") as directory:
        contender = AgnoNb(stores[given.store](directory))
        for _ in range(WARM_UP):
            contender.turn()
        time_statements(contender.db._driver, parts)
        for _ in range(given.runs):
            if given.read:
                contender.db._cache.clear()
            start = time.perf_counter()
            contender.turn()
            turns.append(time.perf_counter() - start)
        contender.db.close()
    table = Table("", "times", "ms")
    for column in table.columns[1:]:
        column.justify = "right"
    of_the_store = 0.0
    for what, seconds in parts.items():
        of_the_store += statistics.median(seconds) * len(seconds) / given.runs
        table.add_row(what, f"{len(seconds) / given.runs:.2g}", f"{statistics.median(seconds) * 1e3:.3f}")
    whole = statistics.median(turns)
    table.add_row("all else", "", f"{(whole - of_the_store) * 1e3:.3f}")
    table.add_row("a turn", "", f"{whole * 1e3:.3f}")
    Console().print(f"{contender.name}, medians of {given.runs} turns, load {os.getloadavg()[0]:.1f}", table, sep="\n")


def time_statements(driver: Driver, parts: Seconds) -> None:
    """Make the transactions of a driver record the time of each part in `parts`."""
    lease = driver.transaction

    @contextmanager
    def timed(*, write: bool) -> Iterator[Connection]:
        start = time.perf_counter()
        with lease(write=write) as connection:
            parts["have the store"].append(time.perf_counter() - start)
            yield Timed(connection, parts)
            # What a DuckDB has not been told yet is told now, as one statement that is a transaction.
            last = [_brief(next(iter(write.statements()))[0]) for write in getattr(connection, "_pending", [])]
            start = time.perf_counter()
        parts[", ".join([*last, "commit"])].append(time.perf_counter() - start)

    setattr(driver, "transaction", timed)  # noqa: B010 - a method, as far as mypy is concerned


class Timed(Connection):
    """A transaction that records the time of its statements."""

    def __init__(self, connection: Connection, parts: Seconds) -> None:
        self._connection = connection
        self._parts = parts
        self.data_version, self.next_data_version = connection.data_version, connection.next_data_version

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        return self._timed(self._connection.execute, sql, parameters)

    def change(self, sql: str, parameters: Sequence[Any], /) -> int:
        return self._timed(self._connection.change, sql, parameters)

    def write(self, write: Write, /) -> None:
        if hasattr(self._connection, "_pending"):
            self._connection.write(write)
            return
        for sql, parameters in write.statements():
            self._timed(self._connection.change, sql, parameters)

    def flush(self) -> None:
        self._connection.flush()

    def _timed(self, do: Callable[[str, Sequence[Any]], T], sql: str, parameters: Sequence[Any]) -> T:
        start = time.perf_counter()
        found = do(sql, parameters)
        self._parts[_brief(sql)].append(time.perf_counter() - start)
        return found


def _brief(sql: str) -> str:
    """Return the verb and the table of a statement."""
    words = sql.split()
    return f"{words[0]} … {next(word for word in words if word.startswith('raw_'))}"


if __name__ == "__main__":
    main()
