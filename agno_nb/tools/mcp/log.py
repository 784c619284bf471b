"""The log file of an MCP server."""

from __future__ import annotations

import os
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from agno_nb.redact import displayable
from agno_nb.types import shorten, valid_tool_name

_MAX_BYTES = 10 * 2**20
"""A longer log is emptied when the server is started again."""
_TAIL_BYTES = 10_000
_NUM_LINES = 5
_LINE_LIMIT = 300


class ServerLog:
    """A temporary file with the stderr of a server, which is deleted with the object and at the end of the process."""

    def __init__(self, name: str) -> None:
        self._name = valid_tool_name(name) or "server"
        self.path: Path | None = None

    def open(self) -> BinaryIO:
        """Open the file to append to it, and create it if necessary. Only its owner can read it."""
        if self.path is None or not self.path.exists():
            number, path = tempfile.mkstemp(prefix=f"agno_nb-{self._name}-", suffix=".log")
            os.close(number)
            self.path = Path(path)
            weakref.finalize(self, _delete, self.path, os.getpid())
        is_long = self.path.stat().st_size > _MAX_BYTES
        return self.path.open("wb" if is_long else "ab", buffering=0)

    def add(self, line: str) -> None:
        """Append a line. A log that cannot be written does not fail anything else."""
        with suppress(OSError), self.open() as file:
            file.write(f"{line}\n".encode(errors="replace"))

    def last_lines(self) -> str:
        """Return the last lines without keys, for an error; "" if there are none."""
        if self.path is None:
            return ""
        try:
            with self.path.open("rb") as file:
                file.seek(max(self.path.stat().st_size - _TAIL_BYTES, 0))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        lines = [line for line in text.splitlines() if line.strip()][-_NUM_LINES:]
        return "\n".join(shorten(displayable(line), _LINE_LIMIT) for line in lines)


def _delete(path: Path, pid: int) -> None:
    if pid == os.getpid():  # Not in a forked child.
        with suppress(OSError):
            path.unlink()
