"""agno's path of :class:`Metrics`, which is one class for messages, tool calls, runs and sessions."""

from agno_nb.types import Metrics, ModelMetrics, ModelType

BaseMetrics = MessageMetrics = ToolCallMetrics = RunMetrics = SessionMetrics = Metrics

__all__ = [
    "BaseMetrics", "MessageMetrics", "Metrics", "ModelMetrics", "ModelType", "RunMetrics", "SessionMetrics",
    "ToolCallMetrics",
]  # fmt: skip
