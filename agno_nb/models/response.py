"""agno's path of what a model answers, and its names."""

from agno_nb.models.base import ModelResponse
from agno_nb.types import ToolCall as ToolExecution
from agno_nb.types import UserInputField

__all__ = ["ModelResponse", "ToolExecution", "UserInputField"]
