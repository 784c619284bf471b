"""agno's path of the runs and events of agents."""

from agno_nb.run.inputs import RunInput
from agno_nb.types import RunEvent, RunOutput, RunOutputEvent

__all__ = ["RunEvent", "RunInput", "RunOutput", "RunOutputEvent"]
