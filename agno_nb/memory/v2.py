"""The first agno's way to ask for a memory, so that programs written for it go on working."""

from __future__ import annotations

from agno_nb._keywords import suggest_on_unknown_kwarg

__all__ = ["Memory"]


@suggest_on_unknown_kwarg({})
class Memory:
    """Of ``Agent(memory=Memory())``, which is now ``Agent(db=InMemoryDb())``: keep sessions while the process lives."""

    def __init__(self) -> None:
        pass
