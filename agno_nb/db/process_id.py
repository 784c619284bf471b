"""The process that does a run: how it is named in the store, and whether it still lives."""

from __future__ import annotations

import os
import socket
import sys
from functools import lru_cache
from pathlib import Path


def current_process_id() -> str:
    """Name this process as ``host:pid:start``, where start tells it from a later process with the same pid."""
    return _process_id(os.getpid())


@lru_cache(maxsize=1)
def _process_id(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{_start_of(pid) or ''}"


runs_in_progress: set[str] = set()
"""Ids of the runs that stores of this process have opened and not been asked to end."""


def is_over(worker: str, run_id: str) -> bool:
    """Whether a RUNNING run can no longer continue: its process has ended, or this process has ended the run.

    The latter is the case if the end of the run could not be stored.
    """
    return is_dead(worker) or (worker == current_process_id() and run_id not in runs_in_progress)


def describe_process() -> str:
    """Name this process for people: its pid, and the notebook or script that it runs."""
    name = os.environ.get("JPY_SESSION_NAME", "")
    if not name.endswith(".ipynb"):
        name = sys.argv[0] if sys.argv else ""
    return f"process {os.getpid()} ({Path(name).name})" if name else f"process {os.getpid()}"


def is_dead(worker: str) -> bool:
    """Tell whether the process named by :func:`current_process_id` has surely ended.

    A process of another host is not known to be dead, and neither is any on Windows, where asking for a process with
    `os.kill` would kill it.
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
    """Tell whether the process named by :func:`current_process_id` surely goes on, and may be waited for.

    This process is not waited for, nor the one that started it, which may be waiting for this one. Where the system
    does not tell when a process started, no other is known to go on: it may be a later one with the same pid.
    """
    host, pid, start = worker.rsplit(":", 2)
    if host != socket.gethostname() or not start or int(pid) in (os.getpid(), os.getppid()):
        return False
    return _start_of(int(pid)) == start


def _start_of(pid: int) -> str | None:
    """Return when the process started, in ticks since boot; None where it has ended or the system does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in parentheses and may hold spaces and parentheses itself.
    state, *fields = stat.rpartition(")")[2].split()
    # A zombie has ended; only its parent has not looked yet.
    return None if state in "ZX" else fields[18]
