"""agno's path and names of model responses and tool calls."""

from agno_nb.models.base import ModelResponse
from agno_nb.types import ToolCall as ToolExecution, UserInputField

__all__ = ["ModelResponse", "ToolExecution", "UserInputField"]
