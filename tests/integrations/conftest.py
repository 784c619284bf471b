"""agno's objects with models at a loopback server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from agno.agent import Agent as AgnoAgent
from agno.models.openai import OpenAIChat
from agno.team import Team as AgnoTeam
from agno.tools import tool
from agno.workflow import Workflow as AgnoWorkflow

from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.integrations.agno_agents import runnable_of
from agno_nb.run.runnable import Runnable
from tests.fakes.http import FakeServer

Make = Callable[..., Any]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(requires_confirmation=True)
def delete(path: str) -> str:
    """Delete a file."""
    return f"{path} is deleted"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def agent(server: FakeServer) -> Make:
    """Make an agent of agno."""

    def make(name: str = "clerk", **settings: Any) -> AgnoAgent:
        model = OpenAIChat("gpt-5-mini", base_url=server.base_url, api_key="sk-test", max_retries=0)
        return AgnoAgent(name=name, model=model, telemetry=False, **settings)

    return make


@pytest.fixture
def team(server: FakeServer) -> Make:
    def make(*members: Any, **settings: Any) -> AgnoTeam:
        model = OpenAIChat("gpt-5-mini", base_url=server.base_url, api_key="sk-test", max_retries=0)
        return AgnoTeam(name="office", members=[*members], model=model, telemetry=False, **settings)

    return make


@pytest.fixture
def workflow() -> Make:
    def make(*steps: Any, **settings: Any) -> AgnoWorkflow:
        return AgnoWorkflow(name="letter", steps=[*steps], telemetry=False, **settings)

    return make


@pytest.fixture
def db() -> Db:
    return DuckDb("agno_nb.duckdb")


def recorded(agno: Any, db: Db) -> Runnable:
    """Return the runnable of an agno object, with a store."""
    runnable = runnable_of(agno)
    assert runnable is not None
    runnable.db = db
    return runnable
