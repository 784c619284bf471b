"""The setting `tool_choice`: whether the model must or may call tools, in the first request of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_nb._keywords import nearest
from agno_nb.errors import InvalidInputError
from agno_nb.models.base import ModelRequest

MODES = ("auto", "none", "required")


def normalized(setting: Any) -> str:
    """Return a mode or the name of a tool, from a string or the dict of an OpenAI request.

    Raises
    ------
    InvalidInputError

    Examples
    --------
    >>> normalized({"type": "function", "function": {"name": "get_weather"}})
    'get_weather'
    """
    name = setting
    if isinstance(setting, Mapping) and setting.get("type", "function") == "function":
        function = setting.get("function", setting)
        name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise InvalidInputError(
            f"tool_choice is {setting!r}; pass 'auto', 'none', 'required', the name of a tool, or "
            "{'type': 'function', 'function': {'name': ...}}"
        )
    return name


def choose(request: ModelRequest, setting: Any) -> None:
    """Set the `tool_choice` of a request.

    A call is required from the first answer of a run only, so that the run can end. "none" applies to all of them.

    Raises
    ------
    InvalidInputError
        There is no such tool, or none at all.
    """
    choice, names = normalized(setting), [tool.name for tool in request.tools]
    if choice == "auto" or (choice == "none" and not names):
        return
    if not names:
        raise InvalidInputError(f"tool_choice is {choice!r}, and there are no tools; pass tools=[...]")
    if choice not in (*MODES, *names):
        raise InvalidInputError(f"tool_choice is {choice!r}, which is not among the tools: {nearest(choice, names)}")
    is_answered = any(message.role == "assistant" and not message.from_history for message in request.messages)
    if choice == "none" or not is_answered:
        request.tool_choice = choice
