"""agno's path of what all runs share."""

from agno_nb._agno_parts import explain_missing_names
from agno_nb.run.context import RunContext
from agno_nb.types import RunOutputEvent as BaseRunOutputEvent, RunStatus

__all__ = ["BaseRunOutputEvent", "RunContext", "RunStatus"]

explain_missing_names(__name__)
