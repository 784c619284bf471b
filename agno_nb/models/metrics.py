"""agno's older path of :class:`Metrics`."""

from agno_nb.metrics import Metrics, RunMetrics

__all__ = ["Metrics", "RunMetrics"]
