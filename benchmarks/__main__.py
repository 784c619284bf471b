"""Run the benchmarks, print a table, write benchmarks/results.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from benchmarks import frames
from benchmarks.contenders import Agno, AgnoNb, Contender
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
    with tempfile.TemporaryDirectory(prefix="agno_nb-bench-") as directory, ExitStack() as stack:
        ours, theirs, counterparts = contenders(console, stack, Path(directory))
        results["construction"] = measure_construction(console, ours[0], theirs[0])
        results["construction of a team"] = measure_construction(console, ours[0], theirs[0], of="Team")
        results["turns"] = measure_turns(console, ours, theirs, counterparts, marks=QUICK_MARKS if quick else MARKS)
        big_frames = frames.show(console, Path(directory), runs=10_000 if quick else 100_000)
        results["big_frames"] = {name: sample.to_dict() for name, sample in big_frames.items()}
    kernels = show_kernels(console, processes=4, think_s=0.5, turns=10 if quick else 40)
    results["kernels"] = kernels.to_dict()
    show_bars(console, results, counterparts, messages=(10_000 if quick else 100_000) * frames.MESSAGES_OF_A_RUN)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    console.print(f"Written to {RESULTS}")


def contenders(
    console: Console, stack: ExitStack, folder: Path
) -> tuple[list[Contender], list[Contender], dict[str, str]]:
    """Return our contenders, agno's, and for each of ours the name of the one to compare it with."""
    from agno.db.sqlite import SqliteDb as AgnoSqliteDb

    from agno_nb import DuckDb, InMemoryDb, SqliteDb

    ours: list[Contender] = [
        AgnoNb(DuckDb(folder / "agno_nb.duckdb")),
        AgnoNb(SqliteDb(folder / "agno_nb.db")),
        AgnoNb(InMemoryDb()),
    ]
    theirs: list[Contender] = [Agno(AgnoSqliteDb(db_file=str(folder / "agno.db")))]
    counterparts = {each.name: theirs[0].name for each in ours}
    try:
        from agno.db.postgres import PostgresDb as AgnoPostgresDb

        from agno_nb.db.postgres import PostgresDb
        from tests.postgres_server import NoServerError, running_postgres

        url = stack.enter_context(running_postgres()).url()
    except (ImportError, NoServerError) as error:
        console.print(f"Turns on Postgres are left out: {error}", style="bold")
    else:
        ours.append(AgnoNb(PostgresDb(url)))
        theirs.append(Agno(AgnoPostgresDb(db_url=url)))
        counterparts[ours[-1].name] = theirs[-1].name
    return ours, theirs, counterparts


def machine() -> dict[str, str]:
    return {
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        **{name: version(name) for name in ("agno_nb", "agno", "duckdb", "pandas")},
    }


def measure_imports(console: Console, *, rounds: int) -> dict[str, Any]:
    """(c) Import time in a new interpreter."""
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
    """(b) Time to create an agent with a model, a store, instructions and a tool, and a team of two such agents."""
    makers = {c.name: c.construct if of == "Agent" else c.construct_team for c in (ours, theirs)}
    samples = interleaved(makers, rounds=SAMPLES, repeat=200)
    table = Table("", "µs")
    for name, sample in samples.items():
        table.add_row(name, f"{sample.median_s * 1e6:.1f}")
    table.add_row("agno / agno_nb", ratio(samples[theirs.name], samples[ours.name]))
    show(console, f"{of} construction", table)
    return {name: sample.to_dict() for name, sample in samples.items()}


def measure_turns(
    console: Console,
    ours: Sequence[Contender],
    theirs: Sequence[Contender],
    counterparts: Mapping[str, str],
    *,
    marks: tuple[int, ...],
) -> dict[str, Any]:
    """(a) Time of a turn in a growing session, with three runs of history and a model that answers immediately."""
    everybody = [*ours, *theirs]
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
    base, last = 100, marks[-1]
    table = Table("", *(f"N = {mark:,}" for mark in marks), f"{last:,} / {base:,}")
    for name in (c.name for c in everybody):
        table.add_row(
            name, *(both(samples[name]) for samples in found.values()), ratio(found[last][name], found[base][name])
        )
    table.add_section()
    for name, other in counterparts.items():
        table.add_row(f"{name} / {other}", *(ratio(samples[name], samples[other]) for samples in found.values()), "")
    show(console, f"A turn at run N of one session, median (p95) of {SAMPLES}, in ms", table)
    return {str(mark): {name: s.to_dict() for name, s in samples.items()} for mark, samples in found.items()}


def show_bars(console: Console, results: dict[str, Any], counterparts: Mapping[str, str], *, messages: int) -> None:
    """(g) The targets for the figures above, and whether this run meets them."""
    bars: list[tuple[str, float, float, str]] = []
    # Of other stores nothing is asked.
    most_at = {" DuckDb": {10: 2.0, 500: 1.0, 1_000: 1.0, 5_000: 1.0}, " SqliteDb": dict.fromkeys(MARKS, 1.0)}
    for name, other in counterparts.items():
        for mark, most in next((of for end, of in most_at.items() if name.endswith(end)), {}).items():
            if (samples := results["turns"].get(str(mark))) is not None:
                found = samples[name]["median_s"] / samples[other]["median_s"]
                bars.append((f"a turn at run {mark:,}: {name} / {other}", found, most, "x"))
    seconds = {name: sample["median_s"] for name, sample in results["big_frames"].items()}
    of = f"of {messages:,} messages"
    bars.append((f"{frames.OURS} {of} / {frames.FLOOR}", seconds[frames.OURS] / seconds[frames.FLOOR], 1.2, "x"))
    asked = "" if messages >= 1_000_000 else ", asked of 1,000,000"
    bars += [
        (f"{name} {of} / {frames.THEIRS}{asked}", seconds[name] / seconds[frames.THEIRS], 1 / 50, "x")
        for name in (frames.OURS, frames.OURS_IN_SQLITE, frames.OURS_IN_SQLITE_AGAIN)
    ]
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
