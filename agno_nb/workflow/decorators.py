"""agno's path of the decorator for functions of steps."""

from agno_nb.workflow.human_review import pause

__all__ = ["pause"]
