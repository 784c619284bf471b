"""``Memory`` of agno 1, for programs written for it."""

from __future__ import annotations

from agno_nb._keywords import suggest_on_unknown_kwarg

__all__ = ["Memory"]


@suggest_on_unknown_kwarg({})
class Memory:
    """Deprecated: use ``Agent(db=InMemoryDb())`` instead of ``Agent(memory=Memory())``."""

    def __init__(self) -> None:
        pass
