"""agno's path of :class:`WorkflowSession`."""

from agno_nb.types import WorkflowSession

__all__ = ["WorkflowSession"]
