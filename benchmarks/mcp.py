"""A call of a tool of an MCP server over stdio, with the bare SDK and with agno_nb.

``python -m benchmarks.mcp``; both connections are open, the calls are interleaved, and the first ones are not counted.
Each round has new servers, because the system may place one of them worse for its whole life.
The bar is 1.2 times the bare SDK, measured around the function of the tool.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agno_nb.event_loop import run_blocking

BAR = 1.2
WARM_UP = 50
SERVER = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("benchmark")

@server.tool()
def add(a: int, b: int) -> int:
    return a + b

server.run()
"""


async def measure(server: Path, calls: int) -> dict[str, list[float]]:
    """Return the seconds of each call by contender."""
    from mcp import Client, StdioServerParameters

    from agno_nb.tools.mcp import MCPTools

    tools = MCPTools([sys.executable, str(server)])
    await tools.connect()
    function = tools.functions["add"].function
    params = StdioServerParameters(command=sys.executable, args=[str(server)])
    async with Client(params, mode="legacy", cache=None) as client:
        contenders: dict[str, Callable[[], Awaitable[object]]] = {
            "mcp": lambda: client.call_tool("add", {"a": 1, "b": 2}),
            "agno_nb": lambda: function(a=1, b=2),
        }
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(-WARM_UP, calls):
            for name, call in contenders.items():
                start = time.perf_counter()
                await call()
                if number >= 0:
                    times[name].append(time.perf_counter() - start)
    await tools.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp", description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agno_nb-bench-") as folder:
        server = Path(folder, "server.py")
        server.write_text(SERVER, encoding="utf-8")
        rounds = [
            {name: statistics.median(each) for name, each in measured.items()}
            for measured in (
                run_blocking(measure(server, arguments.calls), method="main()") for _ in range(arguments.rounds)
            )
        ]
    table = Table("medians of the rounds", "ms", "ratio")
    for name in rounds[0]:
        duration_s = statistics.median(each[name] for each in rounds)
        ratio = statistics.median(each[name] / each["mcp"] for each in rounds)
        table.add_row(name, f"{duration_s * 1e3:.3f}", f"{ratio:.3f}")
    head = f"{arguments.rounds} rounds of {arguments.calls} calls, load {os.getloadavg()[0]:.1f}, bar {BAR}"
    Console().print(head, table, sep="\n")


if __name__ == "__main__":
    main()
