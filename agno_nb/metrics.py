"""agno's path and name of :class:`Metrics`."""

from agno_nb.types import Metrics

RunMetrics = Metrics

__all__ = ["Metrics", "RunMetrics"]
