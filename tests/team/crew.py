"""Teams for tests."""

from __future__ import annotations

from typing import Any

from agno_nb.testing import FunctionModel, Reply, call
from agno_nb.types import Message, ToolCall


def ask(member_id: str, task: str) -> ToolCall:
    return call("delegate_task_to_member", member_id=member_id, task=task)


def prompts(model: FunctionModel) -> list[list[str | None]]:
    """The messages of each request, without the system message."""
    return [[m.content for m in request.messages if m.role != "system"] for request in model.requests]


def echo(messages: list[Message], tools: Any) -> Reply:
    return f"did: {messages[-1].content}"
