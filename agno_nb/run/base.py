"""agno's path of what all runs share."""

from agno_nb.run.context import RunContext
from agno_nb.types import RunStatus

__all__ = ["RunContext", "RunStatus"]
