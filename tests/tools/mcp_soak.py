"""Soak test of MCP servers: turns whose server is killed at random points.

    python -m tests.tools.mcp_soak --turns 100 [--seed 1]

Each turn calls a tool of a server twice, and a thread kills the server's process at random times, or not at all. At the
end every turn must be stored with its calls, each call must have a result or an error, and no process or descriptor may
be left. The exit code is 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import psutil

from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.event_loop import run_blocking
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools.mcp import MCPTools

SERVER = str(Path(__file__).parent / "mcp_servers" / "misbehaving.py")
STARTS = ("MCP server 'victim' cannot be started: its process was ended by SIGKILL",)
"""The error of a call for which the server is just being started."""
LATEST_KILL_S = 0.02
"""A turn takes about as long."""


def descriptors() -> int:
    return psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0


def own_servers() -> list[psutil.Process]:
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if SERVER in each.cmdline():
                found.append(each)
    return found


def soak(folder: Path, *, turns: int, seed: int) -> int:
    """Run the turns, and return the number of calls that failed. Raise AssertionError if anything is wrong."""
    chance = random.Random(seed)
    db = DuckDb(folder / "store.duckdb")
    tools = MCPTools([sys.executable, SERVER, "well-behaved", str(folder / "starts")], name="victim")
    replies = [reply for _ in range(turns + 1) for reply in (call("go"), call("go"), "ok")]
    agent = Agent(ScriptedModel(replies), tools=[tools], db=db, session_id="s")
    assert agent.run("warm up").content == "ok"
    before = descriptors()
    for number in range(turns):
        timers = [threading.Timer(chance.random() * LATEST_KILL_S, kill) for _ in range(chance.randrange(3))]
        for each in timers:
            each.start()
        assert agent.run(f"turn {number}").content == "ok"
        for each in timers:
            each.join()
    run_blocking(tools.close())
    assert own_servers() == []
    assert descriptors() <= before
    runs, calls = db.runs_df(), db.tool_calls_df()
    assert list(runs["status"].unique()) == ["COMPLETED"]
    assert (len(runs), len(calls)) == (turns + 1, 2 * (turns + 1))
    assert bool(calls["result"].notna().all())
    failed = calls[calls["tool_call_error"]]
    others = [text for text in failed["result"] if not text.startswith(("MCP server 'victim' ended during", *STARTS))]
    assert others == [], others
    db.close()
    return len(failed)


def kill() -> None:
    for process in own_servers():
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.mcp_soak", description=__doc__)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agno_nb-soak-") as folder:
        failed = soak(Path(folder), turns=arguments.turns, seed=arguments.seed)
    print(f"{arguments.turns} turns, {failed} of {2 * arguments.turns} calls failed, nothing lost or left behind")


if __name__ == "__main__":
    main()
