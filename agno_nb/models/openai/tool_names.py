"""Names and ids of tool calls that every provider accepts.

Small models call tools by names that don't exist: empty, with dots or spaces, 200 characters long. Such calls are
stored unchanged. Without repair, a provider would reject every later request with them in the history.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

from agno_nb.models.base import ModelRequest, ModelResponse
from agno_nb.types import LONGEST_TOOL_NAME, Message, ToolCall, valid_tool_name

# Gemini requires a letter or "_" at the start.
_VALID_NAME = re.compile(rf"[A-Za-z_][\w-]{{0,{LONGEST_TOOL_NAME - 1}}}", re.ASCII)
_LONGEST_ID = 40
"""Limit of call ids in OpenAI's Chat Completions."""


class ToolNames:
    """The tool names of a request: repaired if providers would reject them, and translated back in the answer."""

    def __init__(self, request: ModelRequest) -> None:
        self._request = request
        self._repaired: dict[str, str] = {}
        names_in_use = {tool.name for tool in request.tools if _VALID_NAME.fullmatch(tool.name)}
        for tool in request.tools:
            if tool.name not in names_in_use:
                self._repaired[tool.name] = _unused(_repaired(tool.name), names_in_use)
                names_in_use.add(self._repaired[tool.name])
        self._originals = {repaired: name for name, repaired in self._repaired.items()}

    def repaired_request(self) -> ModelRequest:
        """Return the request with valid names and ids. Its messages are not changed."""
        request = self._request
        messages = [self._message(message) for message in request.messages]
        tools = [replace(tool, name=self._sent(tool.name)) for tool in request.tools]
        return replace(request, messages=messages, tools=tools)

    def restore(self, response: ModelResponse) -> None:
        """Restore the original tool names in an answer."""
        for call in response.tool_calls:
            call.tool_name = self._originals.get(call.tool_name, call.tool_name)

    def _sent(self, name: str) -> str:
        return name if _VALID_NAME.fullmatch(name) else self._repaired.get(name) or _repaired(name)

    def _message(self, message: Message) -> Message:
        if message.tool_call_id and len(message.tool_call_id) > _LONGEST_ID:
            message = replace(message, tool_call_id=_short_id(message.tool_call_id))
        if all(_VALID_NAME.fullmatch(c.tool_name) and len(c.tool_call_id) <= _LONGEST_ID for c in message.tool_calls):
            return message
        return replace(message, tool_calls=[self._call(call) for call in message.tool_calls])

    def _call(self, call: ToolCall) -> ToolCall:
        return replace(call, tool_name=self._sent(call.tool_name), tool_call_id=_short_id(call.tool_call_id))


def _repaired(name: str) -> str:
    valid = valid_tool_name(name)
    return valid if _VALID_NAME.fullmatch(valid) else f"tool_{valid}"[:LONGEST_TOOL_NAME].rstrip("_")


def _unused(name: str, names_in_use: set[str]) -> str:
    candidate, number = name, 1
    while candidate in names_in_use:
        number += 1
        candidate = f"{name[: LONGEST_TOOL_NAME - 1 - len(str(number))]}_{number}"
    return candidate


def _short_id(call_id: str) -> str:
    """Return an id within the limit, which is the same for a call and its result."""
    if len(call_id) <= _LONGEST_ID:
        return call_id
    return f"call_{hashlib.sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
