"""The process that executes a run: its ID in the store, and whether it is still alive."""

from __future__ import annotations

import os
import socket
import sys
from functools import lru_cache
from pathlib import Path


def current_process_id() -> str:
    """Return the ID of this process, ``host:pid:start``. The start distinguishes it from later processes of the pid."""
    return _process_id(os.getpid())


@lru_cache(maxsize=1)
def _process_id(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{_start_of(pid) or ''}"


runs_in_progress: set[str] = set()
"""IDs of the runs that this process has opened and not ended."""


def is_over(worker: str, run_id: str) -> bool:
    """Whether a RUNNING run can no longer continue: its process has ended, or this process has ended the run.

    The latter is the case if the end of the run could not be stored.
    """
    return is_dead(worker) or (worker == current_process_id() and run_id not in runs_in_progress)


def describe_process() -> str:
    """Return a readable name of this process: its pid, and its notebook or script."""
    name = os.environ.get("JPY_SESSION_NAME", "")
    if not name.endswith(".ipynb"):
        name = sys.argv[0] if sys.argv else ""
    return f"process {os.getpid()} ({Path(name).name})" if name else f"process {os.getpid()}"


def is_dead(worker: str) -> bool:
    """Whether the process with an ID of :func:`current_process_id` has certainly ended.

    This is unknown for processes of other hosts, and on Windows, where checking a process with `os.kill` would kill it.
    """
    host, pid, start = worker.rsplit(":", 2)
    if host != socket.gethostname() or sys.platform == "win32":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return bool(start) and _start_of(int(pid)) != start


def is_alive_elsewhere(worker: str) -> bool:
    """Whether the process with an ID of :func:`current_process_id` is certainly alive, and can be waited for.

    This process and its parent, which may be waiting for it, are not waited for. If the system doesn't report start
    times, this is unknown, because a later process may have the same pid.
    """
    host, pid, start = worker.rsplit(":", 2)
    if host != socket.gethostname() or not start or int(pid) in (os.getpid(), os.getppid()):
        return False
    return _start_of(int(pid)) == start


def _start_of(pid: int) -> str | None:
    """Return the start of a process in ticks since boot, or None if it has ended or the system doesn't report it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in parentheses, which may contain spaces and parentheses.
    state, *fields = stat.rpartition(")")[2].split()
    # A zombie has ended, but its parent has not waited for it.
    return None if state in "ZX" else fields[18]
