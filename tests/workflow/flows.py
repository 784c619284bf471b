"""Workflows for tests."""

from __future__ import annotations

from typing import Any

from agno_nb.agent import Agent
from agno_nb.testing import FunctionModel, Reply
from agno_nb.types import Message, RunOutput
from agno_nb.workflow import StepInput


def echo(messages: list[Message], tools: Any) -> Reply:
    return f"<{messages[-1].content}>"


def agent(name: str) -> Agent:
    return Agent(FunctionModel(echo), name=name)


def upper(step_input: StepInput) -> str:
    return step_input.message.upper()


def results(run: RunOutput) -> list[tuple[str, Any]]:
    return [(step.path, step.content) for step in run.step_results]
