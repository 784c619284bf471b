"""The first agno's way to ask for a memory, so that programs written for it go on working."""

from __future__ import annotations

__all__ = ["Memory"]


class Memory:
    """Of ``Agent(memory=Memory())``, which is now ``Agent(db=InMemoryDb())``: keep sessions while the process lives."""
