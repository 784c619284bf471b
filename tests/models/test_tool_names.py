"""Names and ids of tool calls that providers reject are repaired in requests, and stored unchanged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings, strategies as st

from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.models.base import ModelRequest, ModelResponse
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.models.openai.wire import ToolNames
from agno_nb.types import Message, ToolCall, ToolSpec
from tests.fakes.strict import StrictServer, calls, says
from tests.models.asking import ask

KINDS = pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses])
REFUSED = ["", " ", "\n", "fs.read", "a b", "x" * 200, "größe", "天気", "!?", "2fast", "_", "-x", "a\x1b[31m"]
CLOSED = {"type": "object", "properties": {}, "additionalProperties": False}


@pytest.fixture
def server() -> Iterator[StrictServer]:
    with StrictServer() as fake:
        yield fake


def spec(name: str) -> ToolSpec:
    return ToolSpec(name=name, description="", parameters=CLOSED)


@KINDS
@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_a_session_goes_on_after_a_call_by_such_a_name(
    kind: type[OpenAIModel], name: str, server: StrictServer
) -> None:
    db = DuckDb("talks.duckdb")
    agent = Agent(kind("m", base_url=server.base_url), db=db, session_id="s", tools=[ping], add_history_to_context=True)
    server.will_say(calls((name, {})), calls(("ping", {}), first_id=2), says("Done."), says("Again."))

    run = agent.run("go")
    agent.run("and now?")

    assert server.refused == []
    assert len(server.requests) == 4
    stored = db.get_run(run.run_id, "s")
    assert stored is not None
    assert [call.tool_name for call in stored.tools] == [name, "ping"]
    assert [call.result for call in stored.tools][1] == "pong"
    assert run.content == "Done. "


def ping() -> str:
    """Ping."""
    return "pong"


@KINDS
def test_tools_by_such_names_are_offered_by_others_and_called_by_their_own(
    kind: type[OpenAIModel], server: StrictServer
) -> None:
    names = [*REFUSED, "fs_read", "fs-read", "x" * 199 + "y", "tool", "a_b"]
    request = ModelRequest(messages=[Message(role="user", content="x")], tools=[spec(name) for name in names])
    sent = [tool.name for tool in ToolNames(request).repaired_request().tools]
    assert len(set(sent)) == len(names)
    assert {"fs_read", "fs-read", "tool", "a_b"} <= set(sent)
    server.will_say(calls(*[(name, {}) for name in sent]))

    answer = ask(kind("m", base_url=server.base_url), request).whole

    assert server.refused == []
    assert [call.tool_name for call in answer.tool_calls] == names
    assert [tool.name for tool in request.tools] == names


@KINDS
def test_long_ids_are_shortened_alike_in_calls_and_results(kind: type[OpenAIModel], server: StrictServer) -> None:
    call_id = "functions.read:0-" + "x" * 60
    message = Message(role="assistant", tool_calls=[ToolCall(tool_call_id=call_id, tool_name="ping")])
    result = Message(role="tool", tool_call_id=call_id, content="pong")
    server.will_say(calls(("ping", {})), says("Done."))
    model = kind("m", base_url=server.base_url)

    ask(model, ModelRequest(messages=[Message(role="user", content="x"), message, result])).whole  # noqa: B018

    assert server.refused == []
    assert (message.tool_calls[0].tool_call_id, result.tool_call_id) == (call_id, call_id)


def test_an_id_of_ours_is_short_enough(server: StrictServer) -> None:
    server.will_say(calls(("ping", {})))
    frame = server._answers[0]
    frame.chunks = [chunk.replace(b'"call_1"', b'""') for chunk in frame.chunks]
    request = ModelRequest(messages=[Message(role="user", content="x")])
    answer = ask(OpenAIChat("m", base_url=server.base_url), request).whole
    assert len(answer.tool_calls[0].tool_call_id) <= 40


@settings(max_examples=100)
@given(st.lists(st.text(), unique=True, max_size=6), st.lists(st.text(), max_size=4))
def test_any_names_become_valid_ones_that_differ_and_come_back(offered: list[str], called: list[str]) -> None:
    history = [
        Message(role="assistant", tool_calls=[ToolCall(tool_call_id=name, tool_name=name) for name in called]),
        *[Message(role="tool", tool_call_id=name, content="") for name in called],
    ]
    names = ToolNames(ModelRequest(messages=history, tools=[spec(name) for name in offered]))
    request = names.repaired_request()
    sent = [tool.name for tool in request.tools]
    in_history = [call.tool_name for call in request.messages[0].tool_calls]
    for name in [*sent, *in_history]:
        assert name.isascii()
        assert 1 <= len(name) <= 64
        assert name.replace("_", "a").replace("-", "a").isalnum()
    assert len(set(sent)) == len(sent)
    ids = [call.tool_call_id for call in request.messages[0].tool_calls]
    assert ids == [message.tool_call_id for message in request.messages[1:]]
    response = ModelResponse(tool_calls=[ToolCall(tool_call_id="1", tool_name=name) for name in sent])
    names.restore(response)
    assert [call.tool_name for call in response.tool_calls] == offered
