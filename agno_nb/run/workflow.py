"""agno's path of the runs and events of workflows."""

from agno_nb.types import RunEvent as WorkflowRunEvent
from agno_nb.types import RunOutput as WorkflowRunOutput
from agno_nb.types import RunOutputEvent as WorkflowRunOutputEvent

__all__ = ["WorkflowRunEvent", "WorkflowRunOutput", "WorkflowRunOutputEvent"]
