"""agno's path of the runs and events of workflows."""

from agno_nb.types import (
    RunEvent as WorkflowRunEvent,
    RunOutput as WorkflowRunOutput,
    RunOutputEvent as WorkflowRunOutputEvent,
)

__all__ = ["WorkflowRunEvent", "WorkflowRunOutput", "WorkflowRunOutputEvent"]
