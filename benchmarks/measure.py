"""Time interleaved calls in seconds, so that other load on the machine affects all of them."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Measured times of one call, in seconds."""

    median_s: float
    p95_s: float
    n: int

    @classmethod
    def of(cls, seconds: list[float]) -> Sample:
        ordered = sorted(seconds)
        return cls(median_s=statistics.median(ordered), p95_s=ordered[int(0.95 * (len(ordered) - 1))], n=len(ordered))

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def interleaved(calls: Mapping[str, Callable[[], object]], *, rounds: int, repeat: int = 1) -> dict[str, Sample]:
    """Time each call `rounds` times in turn; each time is the mean of `repeat` calls in a row."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds):
        order = list(calls) if turn % 2 else list(reversed(calls))
        for name in order:
            call = calls[name]
            start = time.perf_counter()
            for _ in range(repeat):
                call()
            seconds[name].append((time.perf_counter() - start) / repeat)
    return {name: Sample.of(seconds[name]) for name in calls}


# Written by hand and not with timeit, whose own imports would be taken out of what is measured.
STATEMENT_IN_FRESH_PROCESS = """
import time
{setup}
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""


def in_fresh_processes(statements: Mapping[str, tuple[str, str]], *, rounds: int) -> dict[str, Sample]:
    """Time each statement, given as (setup, statement), in `rounds` new interpreters in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(rounds):
        for name, (setup, statement) in statements.items():
            code = STATEMENT_IN_FRESH_PROCESS.format(setup=setup, statement=statement)
            done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
            seconds[name].append(float(done.stdout.splitlines()[-1]))
    return {name: Sample.of(seconds[name]) for name in statements}


def empty_process(*, rounds: int) -> Sample:
    """Time a Python process that does nothing."""
    command = [sys.executable, "-c", "pass"]
    return interleaved({"": lambda: subprocess.run(command, check=True)}, rounds=rounds)[""]
