"""agno's path of :func:`approval`."""

from agno_nb.approval import approval

__all__ = ["approval"]
