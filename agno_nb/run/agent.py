"""agno's path of the runs and events of agents."""

from agno_nb.types import RunEvent, RunOutput, RunOutputEvent

__all__ = ["RunEvent", "RunOutput", "RunOutputEvent"]
