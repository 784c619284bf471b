"""MCP servers as tools, with a server of the SDK over stdio, streamable HTTP and SSE."""

from __future__ import annotations

import copy
import os
import pickle
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.errors import InvalidInputError, ToolServerError
from agno_nb.event_loop import run_blocking
from agno_nb.redact import redact
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools.mcp import MCPTools, ServerResult, SSEClientParams, StreamableHTTPClientParams
from agno_nb.types import Media, RunEvent, RunOutput, ToolCall

SERVERS = Path(__file__).parent / "mcp_servers"
FRIENDLY = [sys.executable, str(SERVERS / "friendly.py")]
ALL = [
    *("add", "greet", "point", "words", "photo", "pages", "fail", "erase", "environment", "process", "count", "wait"),
    *("was_cancelled", "order", "order_when_told", "tell", "order_two", "ask_model", "token"),
]


@pytest.fixture(scope="module")
def tools() -> Iterator[MCPTools]:
    made = MCPTools(FRIENDLY)
    yield made
    run_blocking(made.close())


def call_once(tools: Any, name: str, /, **arguments: Any) -> ToolCall:
    (made,) = Agent(ScriptedModel([call(name, **arguments), "ok"]), tools=[tools]).run("x").tools
    return made


def test_a_server_is_started_by_the_first_run() -> None:
    tools = MCPTools(FRIENDLY)
    assert repr(tools) == "MCPTools('friendly', not connected)"
    assert call_once(tools, "add", a=1, b=2).value == 3
    assert [each.name for each in tools.tools] == ALL
    run_blocking(tools.close())


def test_all_runs_share_one_process_until_it_is_closed(tools: MCPTools) -> None:
    first = call_once(tools, "process").value
    assert call_once(copy.deepcopy(tools), "process").value == first
    run_blocking(tools.close())
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert call_once(tools, "process").value != first


@pytest.mark.parametrize(
    ("name", "arguments", "value", "text"),
    [
        ("add", {"a": 1, "b": 2}, 3, "3"),
        ("greet", {"name": "Bo"}, "Hello, Bo!", "Hello, Bo!"),
        ("point", {}, {"x": 1, "y": 2}, '{"x": 1, "y": 2}'),
        ("words", {}, ["one", "two"], '["one", "two"]'),
    ],
)
def test_structured_content_is_the_value(
    tools: MCPTools, name: str, arguments: dict[str, Any], value: Any, text: str
) -> None:
    made = call_once(tools, name, **arguments)
    assert (made.value, made.result, made.tool_call_error) == (value, text, False)


def test_images_and_audio_are_media(tools: MCPTools) -> None:
    made = call_once(tools, "photo")
    image = Media(kind="image", content=b"GIF89a...", mime_type="image/gif")
    audio = Media(kind="audio", content=b"RIFF0000WAVE", mime_type="audio/wav")
    text = "a photo\n[Media(audio, 12 bytes, audio/wav), which is not shown. The user's program has it.]"
    assert made.value == ServerResult(text, [image], None, [image, audio])
    assert made.result == f"{text}\nThe result has 1 image."


def test_resources_are_text(tools: MCPTools) -> None:
    assert call_once(tools, "pages").result == (
        "two pages\n[resource file:///atlas.pdf: atlas, application/pdf]\n[resource file:///note.txt]\na note"
    )


def test_an_error_of_the_tool_is_the_result(tools: MCPTools) -> None:
    made = call_once(tools, "fail")
    assert (made.result, made.tool_call_error) == ("Error executing tool fail", True)


def test_arguments_are_checked_against_the_servers_schema(tools: MCPTools) -> None:
    made = call_once(tools, "add", a="x", b=1)
    assert made.result == "add does not take these arguments:\n- a: 'x' is not of type 'integer'"


def test_sampling_is_refused(tools: MCPTools) -> None:
    assert call_once(tools, "ask_model").result == "MCP server 'friendly': Sampling not supported"


def test_a_server_gets_the_default_environment_and_env_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-servers-123456")
    tools = MCPTools(FRIENDLY, env={"UNIT": "cm"})
    environment = call_once(tools, "environment").value
    assert environment["UNIT"] == "cm"
    assert {*environment} - {"UNIT", "LC_CTYPE"} <= {"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"}
    run_blocking(tools.close())


def test_progress_is_an_event_of_the_call(tools: MCPTools) -> None:
    events = list(Agent(ScriptedModel([call("count"), "ok"]), tools=[tools]).run("x", stream=True, stream_events=True))
    first = next(event for event in events if event.event is RunEvent.tool_call_progress)
    assert first.tool is not None
    assert (first.tool.tool_name, first.content) == ("count", "1 of 3: reading")
    assert first.details == {"progress": 1, "total": 3, "message": "reading"}


def test_cancelling_a_run_cancels_the_call_and_not_the_server(tools: MCPTools) -> None:
    pid = call_once(tools, "process").value
    stream = Agent(ScriptedModel([call("wait", name="mine")]), tools=[tools]).run("x", stream=True, stream_events=True)
    for event in stream:
        if event.event is RunEvent.tool_call_progress:
            stream.close()
            break
    # The server handles the notification before later requests.
    assert call_once(tools, "was_cancelled").value == ["mine"]
    assert call_once(tools, "process").value == pid


def test_a_server_is_in_a_session_of_its_own(tools: MCPTools) -> None:
    # So that an interrupt from the terminal does not reach it.
    assert os.getsid(call_once(tools, "process").value) != os.getsid(0)


def test_destructive_tools_need_approval(tools: MCPTools) -> None:
    run = Agent(ScriptedModel([call("erase", path="a"), "ok"]), tools=[tools]).run("x")
    assert [(each.kind, each.tool.tool_name) for each in run.active_requirements] == [("confirmation", "erase")]
    run.active_requirements[0].confirm()
    assert Agent(ScriptedModel(["ok"]), tools=[tools]).continue_run(run).tools[0].result == "erased a"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["erase"]),
        ({"confirm": False}, []),
        ({"confirm": True}, ["add", "erase"]),
        ({"confirm": ["add"]}, ["add"]),
        ({"requires_confirmation_tools": ["add"]}, ["add", "erase"]),
    ],
    ids=["default", "none", "all", "list", "agno's list"],
)
def test_confirm_chooses_the_tools_that_need_approval(settings: dict[str, Any], expected: list[str]) -> None:
    tools = MCPTools(FRIENDLY, include_tools=["add", "erase"], **settings)
    assert [each.name for each in tools.tools if each.requires_confirmation] == expected
    run_blocking(tools.close())


def continued(run: RunOutput, tools: MCPTools, values: dict[str, Any]) -> RunOutput:
    run.active_requirements[0].provide_user_input(values)
    return Agent(ScriptedModel(["ok"]), tools=[tools]).continue_run(run)


def test_a_question_of_the_server_pauses_the_run(tools: MCPTools) -> None:
    run = Agent(ScriptedModel([call("order", item="hat")]), tools=[tools]).run("x")
    (requirement,) = run.active_requirements
    assert requirement.kind == "user_input"
    assert [(each.name, each.description, each.field_type) for each in requirement.user_input_fields] == [
        ("size", "Which size of hat?", "integer"),
        ("note", "", "string"),
    ]
    assert continued(run, tools, {"size": 4}).tools[0].result == "hat of size 4, note none"


def test_a_second_question_pauses_the_run_again(tools: MCPTools) -> None:
    run = Agent(ScriptedModel([call("order_two")]), tools=[tools]).run("x")
    run = continued(run, tools, {"size": 4})
    assert [each.name for each in run.active_requirements[0].user_input_fields] == ["size", "note", "size_2", "note_2"]
    assert continued(run, tools, {"size_2": 5}).tools[0].result == "sizes [4, 5]"


def test_a_question_can_be_answered_in_another_process(tmp_path: Path) -> None:
    tools, db = MCPTools(FRIENDLY), DuckDb(tmp_path / "store.duckdb")
    first = Agent(ScriptedModel([call("order", item="hat")]), tools=[tools], db=db, id="a").run("x")
    run_blocking(tools.close())
    stored = DuckDb(tmp_path / "store.duckdb").get_run(first.run_id)
    assert stored is not None
    stored.active_requirements[0].provide_user_input({"size": 3, "note": "red"})
    later = MCPTools(FRIENDLY)
    run = Agent(ScriptedModel(["ok"]), tools=[later], db=db, id="a").continue_run(stored)
    assert run.tools[0].result == "hat of size 3, note red"
    run_blocking(later.close())


def test_a_rejected_question_does_not_repeat_the_call(tools: MCPTools) -> None:
    run = Agent(ScriptedModel([call("order", item="hat")]), tools=[tools]).run("x")
    run.active_requirements[0].reject("too small")
    result = Agent(ScriptedModel(["ok"]), tools=[tools]).continue_run(run).tools[0].result
    assert result == "The user refused this call, and it was not carried out. They say: too small"


def test_names_are_prefixed_included_and_excluded() -> None:
    tools = MCPTools(FRIENDLY, tool_name_prefix="my", include_tools=["add", "greet"], exclude_tools=["greet"])
    assert [each.name for each in tools.tools] == ["my_add"]
    assert call_once(tools, "my_add", a=1, b=1).value == 2
    run_blocking(tools.close())


def test_an_unknown_name_is_an_error() -> None:
    tools = MCPTools(FRIENDLY, include_tools=["ad"])
    with pytest.raises(InvalidInputError, match=r"MCP server 'friendly' has no tool 'ad' for include_tools: did you m"):
        _ = tools.tools
    run_blocking(tools.close())


def test_instructions_of_the_server_are_added_on_request() -> None:
    for adds in (False, True):
        tools = MCPTools(FRIENDLY, add_instructions=adds)
        model = ScriptedModel(["ok"])
        Agent(model, tools=[tools]).run("x")
        system = next((each.content or "" for each in model.requests[0].messages if each.role == "system"), "")
        assert ("Prefer `add`." in system) is adds
        run_blocking(tools.close())


def test_a_leader_is_told_the_tools_of_a_members_server() -> None:
    tools = MCPTools(FRIENDLY, include_tools=["add"])
    member = Agent(ScriptedModel([]), name="adder", tools=[tools])
    model = ScriptedModel(["ok"])
    Team([member], model=model, add_member_tools_to_context=True).run("x")
    assert "Tools: add" in (model.requests[0].messages[0].content or "")
    run_blocking(tools.close())


async def test_a_connection_can_be_opened_checked_and_closed_with_await() -> None:
    async with MCPTools(FRIENDLY) as tools:
        assert tools.initialized
        assert await tools.is_alive()
        listing = await tools.describe()
    assert not await tools.is_alive()
    assert [str(each.uri) for each in listing.resources] == ["notes://all"]
    assert [each.uri_template for each in listing.templates] == ["notes://{day}"]
    assert [each.name for each in listing.prompts] == ["summarize"]


async def test_a_session_of_the_user_is_used_on_its_event_loop() -> None:
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    params = StdioServerParameters(command=FRIENDLY[0], args=FRIENDLY[1:])
    with Path(os.devnull).open("w") as errlog:
        async with stdio_client(params, errlog) as streams, ClientSession(*streams) as session:
            tools = MCPTools(session=session)
            run = await Agent(ScriptedModel([call("add", a=1, b=2), "ok"]), tools=[tools]).arun("x")
    assert run.tools[0].value == 3


def test_a_session_needs_its_event_loop() -> None:
    with pytest.raises(InvalidInputError, match=r"MCPTools\(session=...\) needs the event loop of the session"):
        MCPTools(session=object())


@contextmanager
def serving(transport: str, port: int) -> Iterator[None]:
    """Run a server in another process."""
    command = [*FRIENDLY, transport, str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:  # uvicorn's log.
        if "running on" in line:
            break
    try:
        yield
    finally:
        process.kill()  # It would wait for the end of open streams otherwise.
        process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="module", params=["streamable-http", "sse"])
def http_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Return the transport and URL of a server in another process."""
    port = free_port()
    with serving(request.param, port):
        yield request.param, f"http://127.0.0.1:{port}/{'sse' if request.param == 'sse' else 'mcp'}"


def test_a_session_that_a_restarted_server_does_not_know_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    port = free_port()
    tools = MCPTools(url=f"http://127.0.0.1:{port}/mcp")
    for _ in range(2):
        with serving("streamable-http", port):
            made = call_once(tools, "add", a=1, b=2)
            assert (made.result, made.tool_call_error) == ("3", False)
    run_blocking(tools.close())


def test_a_server_is_used_over_http(http_server: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    transport, url = http_server
    tools = MCPTools(url=url, transport=transport, headers={"X-Token": "abc"})  # type: ignore[arg-type]
    assert call_once(tools, "add", a=1, b=2).value == 3
    run_blocking(tools.close())
    assert call_once(tools, "greet", name="Bo").value == "Hello, Bo!"
    assert call_once(tools, "token").value == "abc"
    run_blocking(tools.close())


def test_headers_can_depend_on_the_run(http_server: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    transport, url = http_server
    params = (SSEClientParams if transport == "sse" else StreamableHTTPClientParams)(url=url)
    tools = MCPTools(
        server_params=params,
        header_provider=lambda run_context: {"X-Token": run_context.user_id if run_context else "nobody"},
    )
    for user in ("ann", "bo"):
        run = Agent(ScriptedModel([call("token"), "ok"]), tools=[tools]).run("x", user_id=user)
        assert run.tools[0].value == user
    run_blocking(tools.close())


def test_a_server_that_cannot_be_reached_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/mcp"
    with pytest.raises(ToolServerError, match=r"MCP server '127\.0\.0\.1' cannot be reached: "):
        call_once(MCPTools(url=url), "add")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "MCPTools needs one of command, url, server_params and session"),
        ({"command": "a", "url": "http://b"}, "MCPTools got command and url; pass one of them"),
        ({"command": ""}, "the command is empty; pass for example 'uvx mcp-server-time'"),
        ({"command": "a 'b"}, 'cannot read the command "a \'b": No closing quotation'),
        ({"command": "a", "headers": {"b": "c"}}, "headers are for servers with a url"),
        ({"url": "http://a", "env": {"b": "c"}}, "env is for servers with a command"),
        ({"url": "a"}, "url is 'a'; pass one with http:// or https://"),
        ({"command": "a", "transport": "sse"}, "transport 'sse' needs a url"),
        ({"command": "a", "transport": "udp"}, "transport is 'udp'; pass one of 'stdio', 'streamable-http', 'sse'"),
        ({"command": "a", "timeout_seconds": 0}, "timeout_seconds is 0; pass a number of seconds greater than 0"),
        ({"command": "a", "confirm": "b"}, "confirm is 'b'; pass a list of names"),
        ({"command": "a", "env": {"b": None}}, "env\\['b'\\] is None; pass a string, or leave it out"),
        ({"command": "a", "protocol_mode": "b"}, "protocol_mode is 'b'; pass 'legacy' or 'auto'"),
        ({"server_params": 1}, "server_params is of type int; pass mcp.StdioServerParameters"),
    ],
    ids=lambda value: " ".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else "",
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        MCPTools(**settings)


def test_a_missing_package_is_an_error_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_nb.tools.mcp.mcp.find_spec", lambda name: None)
    with pytest.raises(InvalidInputError, match=r"need the package mcp; run `pip install 'agno_nb\[mcp\]'`"):
        MCPTools("uvx mcp-server-time")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("uvx mcp-server-time", "mcp-server-time"),
        ("npx -y @modelcontextprotocol/server-everything", "server-everything"),
        ("python -m mcp_server_git", "mcp_server_git"),
        ("/usr/bin/python3.11 tools/weather.py", "weather"),
        ("uv run", "uv"),
    ],
)
def test_a_server_is_named_after_its_package_or_file(command: str, name: str) -> None:
    assert MCPTools(command).name == name


def test_keys_of_a_server_are_not_shown() -> None:
    tools = MCPTools(url="http://user:opensesame1@host/mcp?key=12345678", headers={"Authorization": "Bearer zyxw-9876"})
    assert tools.shown_address == "http://[redacted]@host/mcp"
    assert "zyxw-9876" not in redact(f"the server says zyxw-9876, {tools.address}")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("npx server --api-key KEY", "server"),
        ("npx --api-key KEY server", "server"),
        ("npx server --token=KEY", "server"),
        ("docker run -e SHOP_TOKEN=KEY image", "image"),
        ("npx mcp-remote https://host/mcp?x=1&api_key=KEY&y=2", "mcp-remote"),
        ("npx mcp-remote https://host/mcp --header 'Authorization: Bearer KEY'", "mcp-remote"),
        ("npx mcp-remote https://host/mcp --header X-Api-Key:KEY", "mcp-remote"),
    ],
)
def test_keys_in_a_command_are_not_shown(command: str, name: str) -> None:
    key = f"qwer-{zlib.crc32(command.encode())}"
    tools = MCPTools(command.replace("KEY", key))
    assert tools.name == name
    assert key not in tools.shown_address
    assert redact(f"bad key {key}") == "bad key [redacted]"


@pytest.mark.parametrize("argument", ["--author=Ada-Lovelace-1815", "https://host:8080/auth", "--port=80808080", "a=1"])
def test_other_arguments_are_shown(argument: str) -> None:
    assert argument in MCPTools(["npx", "server", argument]).shown_address


def test_keys_in_the_url_and_from_a_header_provider_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    tools = MCPTools(
        url=f"http://127.0.0.1:{free_port()}/mcp?api_key=asdf-4711-qwer",
        header_provider=lambda: {"Authorization": "Bearer dyna-0815-mite"},
    )
    with pytest.raises(ToolServerError):
        call_once(tools, "add")
    assert redact("asdf-4711-qwer, dyna-0815-mite") == "[redacted], [redacted]"


def test_a_toolkit_can_be_pickled_and_connects_again() -> None:
    tools = MCPTools(FRIENDLY, include_tools=["add"])
    assert call_once(tools, "add", a=1, b=2).value == 3
    other = pickle.loads(pickle.dumps(tools))
    assert call_once(other, "add", a=1, b=2).value == 3
    for each in (tools, other):
        run_blocking(each.close())


def test_the_tools_of_an_unconnected_server_are_not_listed_on_the_background_loop() -> None:
    tools = MCPTools(FRIENDLY)

    async def read() -> None:
        _ = tools.tools

    with pytest.raises(InvalidInputError, match="its tools are not known yet; `await connect\\(\\)` first"):
        run_blocking(read())
    with pytest.raises(InvalidInputError, match="use include_tools or exclude_tools"):
        tools.tools = []


def test_concurrent_calls_answer_their_own_requests(tools: MCPTools) -> None:
    calls = [call("add", a=number, b=1) for number in range(20)]
    run = Agent(ScriptedModel([calls, "ok"]), tools=[tools]).run("x")
    assert [each.value for each in run.tools] == [*range(1, 21)]


def test_a_question_during_concurrent_calls_is_cancelled(tools: MCPTools) -> None:
    # The protocol does not say which of the two calls it belongs to.
    agent = Agent(ScriptedModel([[call("order_when_told", item="hat"), call("tell")], "ok"]), tools=[tools])
    ordered, told = agent.run("x").tools
    assert (ordered.value, told.value) == ("no hat: cancel", "told")
