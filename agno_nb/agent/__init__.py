"""Agents: a model with instructions and tools, that answers in sessions."""

from __future__ import annotations

from agno_nb.agent.agent import Agent, RunOutput, RunResponse

__all__ = ["Agent", "RunOutput", "RunResponse"]
