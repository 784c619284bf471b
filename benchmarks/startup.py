"""CPU time of ``%load_ext agno_nb`` and of the first cells, against ``import duckdb``, in interleaved fresh processes.

``python -m benchmarks.startup``. What a kernel imports itself is imported before. The store is a new file.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

START = """
import contextlib, io, json, time
import ipykernel.kernelapp
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
times = {}

@contextlib.contextmanager
def timed(name):
    cpu, wall = time.process_time(), time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        yield
    times[name] = [1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall)]

def cell(name, code):
    with timed(name):
        shell.run_cell(code).raise_error()
"""
END = "\nprint(json.dumps(times))"
# Not in a cell: at its end, a thread begins to import.
LOAD = (
    'with timed("%load_ext agno_nb"):\n    shell.run_line_magic("load_ext", "agno_nb")\n'
    'shell.events.trigger("post_run_cell", None)\n'
)
STRUCTURED = """
from pydantic import BaseModel
from agno_nb import Agent

class City(BaseModel):
    name: str

time.sleep(5)
for form, schema in (("dict", {"type": "object", "properties": {"name": {"type": "string"}}}), ("pydantic", City)):
    agent = Agent("demo", output_schema=schema)
    for which in ("first", "later"):
        with timed(f"{which} structured answer, {form}"):
            agent.run("name: Rome")
"""
SCRIPTS = {
    "duckdb": 'with timed("import duckdb"):\n    import duckdb\n',
    "at once": f'{LOAD}cell("first %%agent, at once", "%%agent\\nHello")\ncell("second %%agent", "%%agent\\nHello")\n',
    "after 1 s": f'{LOAD}time.sleep(1)\ncell("first %%agent, 1 s later", "%%agent\\nHello")\n',
    "structured": f"{LOAD}{STRUCTURED}",
}


def measure(rounds: int) -> dict[str, tuple[float, float]]:
    """Return the medians of CPU time and time, in milliseconds."""
    environment = {**os.environ, "AGNO_NB_MODEL": "demo", "PYTHONPATH": os.getcwd()}
    times: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for script in SCRIPTS.values():
            with tempfile.TemporaryDirectory(prefix="agno_nb-bench-") as folder:
                done = subprocess.run(
                    [sys.executable, "-c", f"{START}{script}{END}"],
                    cwd=folder,
                    env=environment,
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
            for name, (cpu, wall) in json.loads(done.stdout.splitlines()[-1]).items():
                times.setdefault(name, []).append((cpu, wall))
    return {
        name: (statistics.median(cpu for cpu, _ in each), statistics.median(wall for _, wall in each))
        for name, each in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    # A user's kernel has the bytecode, also where PYTHONDONTWRITEBYTECODE keeps it from being written.
    compileall.compile_dir(Path(__file__).parents[1] / "agno_nb", quiet=1)
    medians = measure(rounds)
    base, _ = medians["import duckdb"]
    table = Table("medians", "CPU ms", "ms", "CPU / import duckdb")
    for name, (cpu, wall) in medians.items():
        table.add_row(name, f"{cpu:.0f}", f"{wall:.0f}", f"{cpu / base:.2f}")
    Console().print(f"{rounds} rounds, load {os.getloadavg()[0]:.1f}", table, sep="\n")


if __name__ == "__main__":
    main()
