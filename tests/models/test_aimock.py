"""Tests against aimock, an independent server for tests of clients (the npm package @copilotkit/aimock)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from agno_nb import Agent, InMemoryDb
from agno_nb.errors import ModelRateLimitError
from agno_nb.models.resolve import resolve_model
from agno_nb.tools import tool
from agno_nb.types import RunStatus
from tests.required import missing

pytestmark = pytest.mark.node
COMMAND = Path(__file__).parents[2] / "js" / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
OLDEST_NODE = (20, 15)
FIXTURES = [
    {
        "match": {"userMessage": "2 + 3", "hasToolResult": False},
        "response": {"toolCalls": [{"name": "add", "arguments": {"a": 2, "b": 3}}]},
    },
    {"match": {"userMessage": "2 + 3", "hasToolResult": True}, "response": {"content": "It is 5."}},
    {
        "match": {"userMessage": "Delete", "hasToolResult": False},
        "response": {"toolCalls": [{"name": "delete", "arguments": {"path": "a.txt"}}]},
    },
    {"match": {"userMessage": "Delete", "hasToolResult": True}, "response": {"content": "I keep it."}},
    {"match": {"userMessage": "Hello"}, "response": {"content": "Hello! How can I help you today?"}},
    {"match": {"userMessage": "Where"}, "response": {"content": '{"name": "Paris", "country": "France"}'}},
    {
        "match": {"userMessage": "busy"},
        "response": {"error": {"message": "Slow down.", "type": "rate_limit_error"}, "status": 429},
    },
]


class City(BaseModel):
    name: str
    country: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(requires_confirmation=True)
def delete(path: str) -> str:
    """Delete a file."""
    raise AssertionError(path)


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node = shutil.which("node")
    if node is None or not COMMAND.exists():
        missing("aimock is not installed; run `make js`")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_NODE:
        pytest.skip(f"aimock needs node 20.15 or newer, and this is {version.strip()}")
    fixtures = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}))
    command = [node, str(COMMAND), "--port", "0", "--strict", "--fixtures", str(fixtures)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        try:
            lines = iter(server.stdout.readline, "")
            yield next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        finally:
            server.terminate()


def agent_at(base_url: str, **settings: object) -> Agent:
    model = resolve_model(f"openai:gpt-4o@{base_url}")
    return Agent(model, db=InMemoryDb(), session_id="s", add_history_to_context=True, retries=0, **settings)  # type: ignore[arg-type]


def test_chat_and_streaming(base_url: str) -> None:
    agent = agent_at(base_url)
    assert agent.run("Hello").content == "Hello! How can I help you today?"
    pieces = [event.content for event in agent.run("Hello", stream=True) if event.event == "RunContent"]
    assert "".join(map(str, pieces)) == "Hello! How can I help you today?"
    assert len(pieces) > 1
    assert agent.store.runs_df()[["model", "served_model"]].values.tolist() == [["gpt-4o", "gpt-4o"]] * 2


def test_a_tool_call_and_the_history_with_it(base_url: str) -> None:
    agent = agent_at(base_url, tools=[add])
    run = agent.run("What is 2 + 3?")
    assert ([(call.tool_name, call.result) for call in run.tools], run.content) == ([("add", "5")], "It is 5.")
    assert agent.run("Hello").content == "Hello! How can I help you today?"


def test_a_rejection_and_the_turn_after_it(base_url: str) -> None:
    agent = agent_at(base_url, tools=[delete])
    run = agent.run("Delete the file.")
    assert run.status is RunStatus.PAUSED
    run.requirements[0].reject("keep it")
    assert agent.continue_run(run).content == "I keep it."
    assert agent.run("Hello").content == "Hello! How can I help you today?"


def test_an_output_schema(base_url: str) -> None:
    assert agent_at(base_url, output_schema=City).run("Where?").content == City(name="Paris", country="France")


def test_an_error(base_url: str) -> None:
    with pytest.raises(ModelRateLimitError, match="Slow down"):
        agent_at(base_url).run("Are you busy?")
