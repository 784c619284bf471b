"""MCP servers that end, hang, or break the protocol: one clear error, and the next call starts them again."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest

from agno_nb.agent import Agent
from agno_nb.errors import ToolServerError
from agno_nb.event_loop import run_blocking
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools.mcp import MCPTools
from agno_nb.tools.mcp.results import MAX_TEXT
from agno_nb.types import RunEvent, ToolCall
from tests.tools.mcp_servers.misbehaving import HARD, HARD_TO_CHECK
from tests.tools.mcp_soak import soak

SERVER = str(Path(__file__).parent / "mcp_servers" / "misbehaving.py")


@pytest.fixture
def starts(tmp_path: Path) -> Path:
    return tmp_path / "starts"


def server(how: str, starts: Path, **settings: Any) -> MCPTools:
    return MCPTools([sys.executable, SERVER, how, str(starts)], name="odd", **settings)


def called(tools: MCPTools, *names: str) -> list[ToolCall]:
    replies = [*map(call, names), "ok"]
    return Agent(ScriptedModel(replies), tools=[tools]).run("x").tools


def first_line(made: ToolCall) -> str:
    return (made.result or "").partition("\n")[0]


AGAIN = "it is started again at the next call"


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("dies", f"MCP server 'odd' ended during the call: its process ended with exit code 3; {AGAIN}"),
        ("is killed", f"MCP server 'odd' ended during the call: its process was ended by SIGKILL; {AGAIN}"),
        ("dies with a child", f"MCP server 'odd' ended during the call: its process ended with exit code 3; {AGAIN}"),
        (
            "hangs",
            "go did not answer within 0.5 seconds, and the call was cancelled; MCP server 'odd' does not answer at "
            f"all, {AGAIN}",
        ),
        (
            "wrong schema",
            "MCP server 'odd' returned an invalid result: the structured content of go does not match its schema: "
            f"'many' is not of type 'integer'; {AGAIN}",
        ),
    ],
)
def test_a_broken_server_is_one_error_and_started_again(how: str, error: str, starts: Path) -> None:
    tools = server(how, starts, timeout_seconds=0.5 if how == "hangs" else 10)
    before, broken, after = called(tools, "starts", "go", "starts")
    assert (before.value, broken.tool_call_error, after.value) == ("1", True, "2")
    assert first_line(broken) == error
    run_blocking(tools.close())


def test_an_invalid_result_is_an_error_and_the_server_is_started_again(starts: Path) -> None:
    tools = server("invalid result", starts)
    broken, after = called(tools, "go", "starts")
    assert broken.tool_call_error
    assert first_line(broken).startswith("MCP server 'odd' returned an invalid result: ")
    assert after.value == "2"
    run_blocking(tools.close())


@pytest.mark.parametrize("code", ["-32000", "-32001", "-32603"])
def test_an_error_of_any_code_has_the_servers_message(code: str, starts: Path) -> None:
    # The SDK uses the first two for closed connections and time limits.
    tools = server(code, starts)
    refused, after = called(tools, "go", "starts")
    assert (refused.result, refused.tool_call_error) == ("MCP server 'odd': the quota is used up", True)
    assert after.value == "1"
    run_blocking(tools.close())


def test_a_call_without_an_answer_leaves_a_server_that_answers_others(starts: Path) -> None:
    tools = server("is silent", starts, timeout_seconds=0.3)
    late, after = called(tools, "go", "starts")
    assert late.result == (
        "go did not answer within 0.3 seconds, and the call was cancelled; MCP server 'odd' itself still answers"
    )
    assert after.value == "1"
    run_blocking(tools.close())


def test_the_error_has_the_end_of_the_log_without_keys(starts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hunter2hunter2-secret")
    tools = server("dies", starts)
    (broken,) = called(tools, "go")
    lines = (broken.result or "").splitlines()
    assert lines[1].startswith("The end of its log, ")
    assert lines[2:] == ["the disk is full; token [redacted]"]


def test_text_among_the_messages_is_ignored_and_logged(starts: Path) -> None:
    tools = server("garbage", starts)
    (made,) = called(tools, "go")
    assert made.value == "done"
    log = tools._server.settings.log  # type: ignore[union-attr]
    assert log.last_lines() == "(not a message of MCP, on stdout) Hello, I am a library that prints"
    path = log.path
    assert path is not None
    assert path.stat().st_mode & 0o077 == 0
    run_blocking(tools.close())


def test_a_huge_result_is_cut(starts: Path) -> None:
    tools = server("huge", starts)
    (made,) = called(tools, "go")
    assert made.result == "x" * MAX_TEXT + "… (cut: the first 100,000 of 3,000,000 characters)"
    run_blocking(tools.close())


def test_a_server_that_does_not_start_is_an_error_with_its_log(starts: Path) -> None:
    tools = server("starts badly", starts)
    with pytest.raises(ToolServerError) as caught:
        called(tools, "go")
    first, second, *rest = str(caught.value).splitlines()
    assert first == "MCP server 'odd' cannot be started: its process ended with exit code 1"
    assert second.startswith("The end of its log, ")
    assert rest == ["cannot find the configuration"]


def test_a_server_that_never_answers_is_not_waited_for(starts: Path) -> None:
    tools = server("starts never", starts, start_timeout_seconds=0.5)
    with pytest.raises(ToolServerError, match=r"it did not answer within 0\.5 seconds; raise start_timeout_seconds"):
        called(tools, "go")


def test_a_missing_program_is_an_error() -> None:
    with pytest.raises(ToolServerError, match="there is no program 'no-such-program'; install it, or pass its path"):
        called(MCPTools("no-such-program --now"), "go")


def test_a_child_of_a_server_that_has_ended_is_ended_too(starts: Path) -> None:
    # Only the child keeps the pipe open for writing, so that its end is the end of the pipe.
    pipe = starts.with_suffix(".child")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        tools = server("dies with a child", starts)
        called(tools, "go")
        run_blocking(tools.close())
        ended, _, _ = select.select([reader], [], [], 30)
        assert ended
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)


def test_a_server_that_ignores_the_end_of_its_input_is_killed(starts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_nb.tools.mcp.stdio.EXIT_S", 0.1)
    tools = server("ignores the end", starts)
    called(tools, "go")
    (process,) = [each for each in psutil.Process().children() if "ignores the end" in each.cmdline()]
    run_blocking(tools.close())
    assert not process.is_running()


def test_unusable_tools_are_left_out_with_a_warning(starts: Path) -> None:
    tools = server("bad tools", starts)
    with pytest.warns(UserWarning, match="is left out") as warnings:
        named = tools.get_functions()
    assert [*named] == ["good", "go_od"]
    assert len(named["go_od"].description) == 10_000
    assert [str(each.message) for each in warnings] == [
        "the tool '***' of MCP server 'odd' is left out: its name has no letters or digits",
        "the tool 'invalid' of MCP server 'odd' is left out: its schema is not valid: 'wat' is not valid under any of "
        "the given schemas",
        "the tool 'remote' of MCP server 'odd' is left out: its schema refers to another document",
        "the tool 'broken' of MCP server 'odd' is left out: its schema refers to '#/$defs/b', which it does not have",
        "the tool 'long' of MCP server 'odd' is left out: its schema has more than 100,000 characters",
        "the tool 'go od' of MCP server 'odd' is left out: another one has the name 'go_od' too",
    ]
    run_blocking(tools.close())


@pytest.mark.parametrize("how", [*HARD_TO_CHECK])
def test_schemas_that_take_for_ever_are_not_checked_to_the_end(how: str, starts: Path) -> None:
    tools = server(how, starts)
    arguments = {HARD: 1} if how == "pattern of names" else {"x": HARD}
    (made,) = Agent(ScriptedModel([call("go", **arguments), "ok"]), tools=[tools]).run("x").tools
    assert (made.value, made.tool_call_error) == (arguments, False)
    run_blocking(tools.close())


def test_the_message_of_progress_is_cut(starts: Path) -> None:
    tools = server("long progress", starts)
    events = Agent(ScriptedModel([call("go"), "ok"]), tools=[tools]).run("x", stream=True, stream_events=True)
    (progress,) = [event for event in events if event.event is RunEvent.tool_call_progress]
    assert progress.details is not None
    assert len(progress.details["message"]) == 2_000
    run_blocking(tools.close())


def test_a_tool_that_is_withdrawn_fails_no_run(starts: Path) -> None:
    tools = server("withdraws a tool", starts, confirm=["extra"])
    called(tools, "go")
    assert [each.name for each in tools.tools] == ["go", "extra"]
    (made,) = called(tools, "go")
    assert (made.value, [each.name for each in tools.tools]) == ("done", ["go", "starts"])
    run_blocking(tools.close())


def test_no_descriptor_is_leaked_by_restarts(starts: Path) -> None:
    tools = server("dies", starts)
    called(tools, "go")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    called(tools, "go", "go", "go")
    run_blocking(tools.close())
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert after <= before


def test_a_toolkit_that_is_gone_ends_its_server(starts: Path) -> None:
    tools = server("well-behaved", starts)
    assert [each.name for each in tools.tools] == ["go", "starts"]
    (connection,) = tools._server._connections.values()  # type: ignore[union-attr]
    (process,) = [each for each in psutil.Process().children() if "well-behaved" in each.cmdline()]
    del tools
    gc.collect()
    run_blocking(asyncio.wait_for(asyncio.wait({connection._task}), 10))
    assert not process.is_running()


def test_servers_end_with_the_process_that_started_them(starts: Path) -> None:
    program = f"""
        import os, psutil
        from agno_nb.tools.mcp import MCPTools
        tools = MCPTools([{sys.executable!r}, {SERVER!r}, "well-behaved", {str(starts)!r}])
        tools.tools
        print(psutil.Process().children()[0].pid)
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert not psutil.pid_exists(int(ended.stdout))


def test_servers_killed_at_random_points_lose_no_turn(tmp_path: Path, starts: Path) -> None:
    soak(tmp_path, turns=15, seed=1)
