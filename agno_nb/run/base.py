"""agno's path of what all runs share."""

from agno_nb.run.context import RunContext
from agno_nb.types import RunOutputEvent as BaseRunOutputEvent, RunStatus

__all__ = ["BaseRunOutputEvent", "RunContext", "RunStatus"]
