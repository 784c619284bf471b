"""Other processes that use the store of a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Run code in another process, in the repository."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def told_by(code: str, *arguments: object) -> str:
    """Run code in another process; return its output."""
    process = start(code, *arguments)
    told, complaints = process.communicate(timeout=120)
    assert (process.returncode, complaints) == (0, "")
    return told


def line_of(process: subprocess.Popen[str]) -> str:
    """Wait for the next line that a process prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.endswith("\n"), process.communicate()[1]
    return line.rstrip("\n")


def kill(process: subprocess.Popen[str]) -> list[str]:
    """Kill a process like ``kill -9``; return its unread output."""
    process.kill()
    assert process.stdout is not None
    rest = process.stdout.read().split("\n")
    process.communicate()
    # The last one was not printed to its end.
    return rest[:-1]
