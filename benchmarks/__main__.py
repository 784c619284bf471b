"""Run the benchmarks, print a table, write benchmarks/results.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from benchmarks.contenders import Agno, AgnoNb, Contender
from benchmarks.frames import MESSAGES_OF_A_RUN, frames_of_a_big_store
from benchmarks.kernels import show as show_kernels
from benchmarks.measure import Sample, empty_process, in_fresh_processes, interleaved

RESULTS = Path(__file__).with_name("results.json")
MARKS = (10, 100, 500, 1_000, 5_000)
QUICK_MARKS = (10, 100, 500)
SAMPLES = 30

IMPORTS = {
    "import agno_nb": ("", "import agno_nb"),
    "from agno_nb import Agent": ("", "from agno_nb import Agent"),
    "%load_ext agno_nb": (
        "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()",
        "shell.run_line_magic('load_ext', 'agno_nb')",
    ),
    "import duckdb": ("", "import duckdb"),
    "import agno.agent": ("", "import agno.agent"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"sessions of {QUICK_MARKS[-1]} runs, not {MARKS[-1]}")
    quick = parser.parse_args().quick

    os.environ["AGNO_TELEMETRY"] = "false"
    console = Console()
    results: dict[str, Any] = {"machine": machine()}
    console.print(*(f"{name} {value}" for name, value in results["machine"].items()), sep=" · ", style="dim")

    results["imports"] = measure_imports(console, rounds=5 if quick else 15)
    with tempfile.TemporaryDirectory(prefix="agno_nb-bench-") as directory:
        from agno_nb import DuckDb, SqliteDb

        ours = [AgnoNb(DuckDb, Path(directory, "agno_nb.duckdb")), AgnoNb(SqliteDb, Path(directory, "agno_nb.db"))]
        theirs = Agno(Path(directory))
        results["construction"] = measure_construction(console, ours[0], theirs)
        results["construction of a team"] = measure_construction(console, ours[0], theirs, of="Team")
        results["turns"] = measure_turns(console, ours, theirs, marks=QUICK_MARKS if quick else MARKS)
        results["messages_frame"] = measure_frame(console, ours, theirs)
    results["big_frames"] = measure_big_frames(console, runs=10_000 if quick else 100_000)
    kernels = show_kernels(console, processes=4, think_s=0.5, turns=10 if quick else 40)
    results["kernels"] = kernels.to_dict()
    show_bars(console, results, duckdb=ours[0].name, sqlite=ours[1].name, agno=theirs.name)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    console.print(f"Written to {RESULTS}")


def machine() -> dict[str, str]:
    return {
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        **{name: version(name) for name in ("agno_nb", "agno", "duckdb", "pandas")},
    }


def measure_imports(console: Console, *, rounds: int) -> dict[str, Any]:
    """(c) What it costs a fresh interpreter."""
    bare = empty_process(rounds=rounds)
    samples = in_fresh_processes(IMPORTS, rounds=rounds)
    table = Table("statement", "ms", "of import duckdb", "of import agno.agent")
    table.add_row("(bare python, start to end)", ms(bare), "", "")
    for statement, sample in samples.items():
        table.add_row(
            statement,
            ms(sample),
            ratio(sample, samples["import duckdb"]),
            ratio(sample, samples["import agno.agent"]),
        )
    show(console, "In a fresh interpreter", table)
    return {"bare python": bare.to_dict()} | {name: sample.to_dict() for name, sample in samples.items()}


def measure_construction(
    console: Console, ours: Contender, theirs: Contender, *, of: Literal["Agent", "Team"] = "Agent"
) -> dict[str, Any]:
    """(b) An agent with a model, a store, instructions and a tool; a team with two such agents as members."""
    makers = {c.name: c.construct if of == "Agent" else c.construct_team for c in (ours, theirs)}
    samples = interleaved(makers, rounds=SAMPLES, repeat=200)
    table = Table("", "µs")
    for name, sample in samples.items():
        table.add_row(name, f"{sample.median_s * 1e6:.1f}")
    table.add_row("agno / agno_nb", ratio(samples[theirs.name], samples[ours.name]))
    show(console, f"{of} construction", table)
    return {name: sample.to_dict() for name, sample in samples.items()}


def measure_turns(
    console: Console, ours: Sequence[Contender], theirs: Contender, *, marks: tuple[int, ...]
) -> dict[str, Any]:
    """(a) A turn with a model that takes no time, in a session that grows, with three runs of history."""
    everybody = [*ours, theirs]
    found: dict[int, dict[str, Sample]] = {}
    runs = 0
    with console.status("") as status:
        for mark in marks:
            while runs < mark:
                for contender in everybody:
                    contender.turn()
                runs += 1
                status.update(f"{runs} of {marks[-1]} runs")
            found[mark] = interleaved({c.name: c.turn for c in everybody}, rounds=SAMPLES)
            runs += SAMPLES
    table = Table("N", *(c.name for c in everybody), *(f"agno / {c.name.split()[-1]}" for c in ours))
    for mark, samples in found.items():
        ratios = [ratio(samples[theirs.name], samples[c.name]) for c in ours]
        table.add_row(f"{mark:,}", *(both(samples[c.name]) for c in everybody), *ratios)
    base, last = 100, marks[-1]
    table.add_section()
    growth = [ratio(found[last][c.name], found[base][c.name]) for c in everybody]
    table.add_row(f"{last:,} / {base:,}", *growth, *[""] * len(ours))
    show(console, f"A turn at run N of one session, median (p95) of {SAMPLES}, in ms", table)
    return {str(mark): {name: s.to_dict() for name, s in samples.items()} for mark, samples in found.items()}


def measure_frame(console: Console, ours: Sequence[Contender], theirs: Contender) -> dict[str, Any]:
    """(d) Everything that was said, as a DataFrame."""
    everybody = [*ours, theirs]
    rows = {c.name: len(c.messages()) for c in everybody}
    samples = interleaved({c.name: c.messages for c in everybody}, rounds=7)
    table = Table("", "rows", "ms")
    for name, sample in samples.items():
        table.add_row(name, f"{rows[name]:,}", ms(sample))
    for contender in ours:
        table.add_row(f"agno / {contender.name}", "", ratio(samples[theirs.name], samples[contender.name]))
    show(console, "All messages as a DataFrame", table)
    return {name: {"rows": rows[name], **sample.to_dict()} for name, sample in samples.items()}


def measure_big_frames(console: Console, *, runs: int) -> dict[str, Any]:
    """(e) Frames of a store with ten messages to a run."""
    samples = frames_of_a_big_store(runs=runs, rounds=7)
    first = next(iter(samples.values()))
    table = Table("", "ms", "of the first")
    for name, sample in samples.items():
        table.add_row(name, ms(sample), ratio(sample, first))
    show(console, f"Frames of a store of {runs:,} runs and {runs * MESSAGES_OF_A_RUN:,} messages", table)
    return {name: sample.to_dict() for name, sample in samples.items()}


def show_bars(console: Console, results: dict[str, Any], *, duckdb: str, sqlite: str, agno: str) -> None:
    """(g) What is asked of the figures above, and whether they are so in this run."""
    turns, said, frames = results["turns"], results["messages_frame"], results["big_frames"]
    bars: list[tuple[str, float, float, str]] = []
    for name, most_at in ((duckdb, {10: 2.0, 500: 1.0, 1_000: 1.0, 5_000: 1.0}), (sqlite, dict.fromkeys(MARKS, 1.0))):
        for mark, most in most_at.items():
            if (samples := turns.get(str(mark))) is not None:
                found = samples[name]["median_s"] / samples[agno]["median_s"]
                bars.append((f"a turn at run {mark:,}: {name} / {agno}", found, most, "x"))
    own, arrow = frames["messages_df()"]["median_s"], frames["DuckDB -> Arrow -> pandas"]["median_s"]
    bars.append(("messages_df() / DuckDB -> Arrow -> pandas", own / arrow, 1.2, "x"))
    for name in (duckdb, sqlite):
        found = said[name]["median_s"] / said[agno]["median_s"]
        bars.append((f"all messages as a DataFrame: {name} / {agno}", found, 1 / 50, "x"))
    bars.append(("p95 of a turn's store time, 4 processes", results["kernels"]["p95_s"] * 1e3, 30.0, "ms"))
    table = Table("", "found", "at most", "")
    for what, found, most, unit in bars:
        table.add_row(what, f"{found:.3g} {unit}", f"{most:g} {unit}", "" if found <= most else "missed")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    show(console, f"What is asked of these figures, at a load of {load:.1f} on {os.cpu_count()} CPUs", table)


def ms(sample: Sample) -> str:
    return f"{sample.median_s * 1e3:.1f}"


def both(sample: Sample) -> str:
    return f"{ms(sample)} ({sample.p95_s * 1e3:.1f})"


def ratio(sample: Sample, to: Sample) -> str:
    return f"{sample.median_s / to.median_s:.2f} x"


def show(console: Console, title: str, table: Table) -> None:
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(title, table, sep="\n")


if __name__ == "__main__":
    main()
