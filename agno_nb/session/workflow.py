"""agno's path of :class:`WorkflowSession`."""

from agno_nb._agno_parts import explain_missing_names
from agno_nb.types import WorkflowSession

__all__ = ["WorkflowSession"]

explain_missing_names(__name__)
