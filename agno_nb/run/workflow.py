"""agno's path of the runs and events of workflows, with a class for each event of a workflow's own run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agno_nb.types import (
    CustomEvent,
    RunOutput as WorkflowRunOutput,
    RunOutputEvent,
    SessionType,
    WorkflowRunEvent,
    event_classes,
)

_CLASSES = event_classes(SessionType.WORKFLOW, WorkflowRunEvent, base="BaseWorkflowRunOutputEvent", module=__name__)
globals().update(_CLASSES)
WorkflowRunOutputEvent: type[RunOutputEvent] = _CLASSES["BaseWorkflowRunOutputEvent"]
__all__ = ["CustomEvent", "WorkflowRunEvent", "WorkflowRunOutput", "WorkflowRunOutputEvent", *_CLASSES]

if TYPE_CHECKING:

    def __getattr__(name: str) -> type[RunOutputEvent]: ...
