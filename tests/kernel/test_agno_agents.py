"""agno's own agents in the cells of a real kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agno_nb.db.duckdb import DuckDb
from tests.fakes.http import FakeServer
from tests.fakes.strict import calls, says
from tests.kernel.conftest import Kernel, Reply

pytestmark = pytest.mark.kernel

AGENT = """
from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.tools import tool

@tool(requires_confirmation=True)
def delete(path: str) -> str:
    "Delete a file."
    return f"{{path}} is deleted"

model = OpenAIChat("gpt-5-mini", base_url={url!r}, api_key="sk-test")
clerk = Agent(name="clerk", model=model, tools=[delete], telemetry=False)
"""


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def notebook(kernel: Kernel, server: FakeServer) -> Kernel:
    kernel.run(AGENT.format(url=server.base_url))
    return kernel


def runs(kernel: Kernel) -> list[dict[str, Any]]:
    columns = ["session_id", "user_id", "run_index", "attempt", "status", "content"]
    frame = DuckDb(kernel.folder / "agno_nb.duckdb").runs_df()[columns]
    return [{str(name): value for name, value in row.items()} for row in frame.astype(object).to_dict("records")]


def html(reply: Reply) -> str:
    return "".join(output["content"]["data"].get("text/html", "") for output in reply.displays().values())


def test_a_cell_is_answered_by_agno_and_recorded(notebook: Kernel, server: FakeServer) -> None:
    server.will_say(says("**Hello** Anna.", tokens=12), says("Hello again."))
    notebook.run("%agent use clerk")
    reply = notebook.run("%%agent -s talk -u anna -o answer\nI am Anna.")
    assert "**Hello** Anna." in reply.shown
    assert "<strong>Hello</strong> Anna." in html(reply)
    assert "gpt-5-mini" in html(reply)
    assert "0 → 12 tokens" in html(reply)
    notebook.run("%%agent clerk -s talk -u anna\nAnd again.")
    assert [(each["session_id"], each["user_id"], each["run_index"], each["content"]) for each in runs(notebook)] == [
        ("talk", "anna", 0, "**Hello** Anna. "),
        ("talk", "anna", 1, "Hello again. "),
    ]
    assert notebook.run("print(answer.content)").printed.strip() == "**Hello** Anna."
    sql = "%%agent_sql\nSELECT count(*) AS n FROM messages WHERE role = 'assistant'"
    assert "2" in notebook.run(sql).shown


def test_a_cell_that_is_run_again_is_another_attempt(notebook: Kernel, server: FakeServer) -> None:
    server.will_say(says("One."), says("Two."))
    for _ in range(2):
        notebook.run("%%agent clerk\nCount.", cell_id="c1")
    assert [(each["run_index"], each["attempt"], each["content"]) for each in runs(notebook)] == [
        (0, 0, "One. "),
        (0, 1, "Two. "),
    ]


def test_a_call_is_approved_in_another_cell(notebook: Kernel, server: FakeServer) -> None:
    server.will_say(calls(("delete", {"path": "a.txt"})), says("Done."))
    asked = notebook.run("%%agent clerk\nTidy up.")
    assert 'clerk asks to call delete({"path": "a.txt"})' in asked.shown
    approved = notebook.run("%agent approve")
    assert approved.shown == "Done. "
    assert "a.txt is deleted" in html(approved)
    assert [each["status"] for each in runs(notebook)] == ["COMPLETED"]


@pytest.mark.versions
def test_an_interrupt_cancels_the_run(notebook: Kernel, server: FakeServer) -> None:
    server.will_say(says("Once upon a", then="stall"))
    sent: list[Any] = []

    def interrupt(output: dict[str, Any]) -> None:
        if "upon" in str(output["content"]) and not sent:
            sent.append(output)
            notebook.interrupt()

    reply = notebook.run("%%agent clerk\nTell me a story.", on_output=interrupt, expect="error")
    assert reply.content["ename"] == "RunInterrupted"
    assert "`%agent retry` starts it again" in reply.shown
    (run,) = runs(notebook)
    assert (run["status"], run["content"].split()[:2]) == ("CANCELLED", ["Once", "upon"])
    server.will_say(says("Hello."))
    assert "Hello." in notebook.run("%%agent clerk\nhi").shown


def test_neither_agno_nor_its_adapter_is_loaded_before_it_is_used(new_kernel: Kernel) -> None:
    new_kernel.run("%%agent\nhi")
    new_kernel.run("%agent use")
    loaded = new_kernel.run(
        "import sys; print([name for name in sys.modules if 'integrations' in name or name == 'agno'])"
    )
    assert loaded.printed.strip() == "[]"


def test_a_run_of_a_killed_kernel_is_interrupted_and_its_session_goes_on(
    server: FakeServer, start_kernel: Callable[[], Kernel]
) -> None:
    first = start_kernel()
    first.run("%load_ext agno_nb")
    first.run(AGENT.format(url=server.base_url))
    server.will_say(says("Once upon a", then="stall"))
    killed: list[bool] = []

    def kill(output: dict[str, Any]) -> None:
        if "upon" in str(output["content"]) and not killed:
            killed.append(True)
            first.kill()
            raise _Killed

    with pytest.raises(_Killed):
        first.run("%%agent clerk -s talk\nTell me a story.", cell_id="c1", on_output=kill)
    second = start_kernel()
    second.run("%load_ext agno_nb")
    second.run(AGENT.format(url=server.base_url))
    server.will_say(says("Hello again."))
    assert "Hello again." in second.run("%%agent clerk -s talk\nTell me a story.", cell_id="c2").shown
    cut_off, whole = runs(second)
    assert (cut_off["run_index"], whole["run_index"], whole["status"]) == (0, 1, "COMPLETED")
    assert [*DuckDb(second.folder / "agno_nb.duckdb").runs_df()["interrupted"]] == [True, False]


class _Killed(Exception):
    """The kernel was killed, and does not answer any more."""
