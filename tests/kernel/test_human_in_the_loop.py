"""Human-in-the-loop in a real kernel: paused cells, answers, retries, and continuing after an interrupt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agno_nb.db.duckdb import DuckDb
from agno_nb.types import INTERRUPTED_RESULT
from tests.fakes.strict import StrictServer, calls, says
from tests.kernel.conftest import WAIT_S, Kernel

pytestmark = pytest.mark.kernel

TOOLS = """
from agno_nb import tool

@tool(requires_confirmation=True)
def delete_file(path: str) -> str:
    "Delete a file."
    print("deleting", path)
    return f"{path} is deleted"

@tool(requires_user_input=True, user_input_fields=["recipient", "copies"])
def send_letter(subject: str, recipient: str, copies: int) -> str:
    "Send a letter."
    return f"{copies} x {subject} to {recipient}"
"""


def stored(kernel: Kernel) -> list[dict[str, Any]]:
    frame = DuckDb(kernel.folder / "agno_nb.duckdb").runs_df()
    records: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso"))
    return records


def test_a_cell_waits_and_the_answer_continues_in_another_cell(kernel: Kernel) -> None:
    kernel.run(TOOLS)
    kernel.run("%agent tools delete_file")
    asked = kernel.run('%%agent\nPlease delete the file "notes.txt".')
    assert 'notebook asks to call delete_file({"path": "notes.txt"})' in asked.shown
    assert "(waiting for you)" in asked.shown
    (run,) = stored(kernel)
    assert run["status"] == "PAUSED"
    (requirement,) = json.loads(run["requirements"])
    short = requirement["requirement_id"][-6:]
    assert f"%agent approve {short}" in asked.shown

    assert short in kernel.run("%agent pending").shown
    approved = kernel.run(f"%agent approve {short}")
    assert "notes.txt is deleted" in approved.shown
    assert "deleting notes.txt" in approved.printed
    assert [run["status"] for run in stored(kernel)] == ["COMPLETED"]
    assert "no pending approvals" in kernel.run("%agent pending").shown
    failed = kernel.run("%agent approve", expect="error")
    assert failed.content["evalue"] == "no pending approvals in this store"


def test_what_waits_survives_the_kernel(start_kernel: Callable[[], Kernel]) -> None:
    first = start_kernel()
    first.run("%load_ext agno_nb")
    first.run(TOOLS)
    first.run("%agent tools delete_file")
    first.run('%%agent\nPlease delete the file "notes.txt".')
    first.kill()

    second = start_kernel()
    second.run("%load_ext agno_nb")
    assert 'delete_file({"path": "notes.txt"})' in second.run("%agent pending").shown
    gone = second.run("%agent approve", expect="error")
    assert "waits for tool 'delete_file'" in gone.content["evalue"]
    second.run(TOOLS)
    second.run("%agent tools delete_file")
    refused = second.run("%agent reject I still need it")
    assert "I still need it" in refused.shown
    assert "deleting" not in refused.printed
    assert [run["status"] for run in stored(second)] == ["COMPLETED"]


def test_values_are_given_by_name(kernel: Kernel) -> None:
    kernel.run(TOOLS)
    kernel.run("%agent tools send_letter")
    asked = kernel.run('%%agent\nSend a letter with the subject "Hello".')
    assert "recipient (string)" in asked.shown
    wrong = kernel.run("%agent answer copies=many", expect="error")
    assert "invalid value 'many' for copies" in wrong.content["evalue"]
    partly = kernel.run('%agent answer recipient="Bob Smith"')
    assert "copies (integer)" in partly.shown
    assert "2 x Hello to Bob Smith" in kernel.run("%agent answer copies=2").shown


@pytest.mark.versions
def test_where_nobody_can_be_asked_the_run_stays_paused(kernel: Kernel) -> None:
    kernel.run(TOOLS)
    kernel.run("%agent tools delete_file")
    asked = kernel.run('%%agent --ask\nPlease delete the file "notes.txt".')
    assert "This front end cannot prompt for input" in asked.printed
    assert [run["status"] for run in stored(kernel)] == ["PAUSED"]


@pytest.mark.versions
def test_who_can_be_asked_is_asked_until_the_run_ends(kernel: Kernel) -> None:
    kernel.run(TOOLS)
    kernel.run("%agent tools delete_file send_letter")
    questions: list[str] = []
    answers = iter(["y"])

    def typed(message: dict[str, Any]) -> None:
        questions.append(message["content"]["prompt"])
        kernel.client.input(next(answers))

    said: list[dict[str, Any]] = []
    kernel.client.execute_interactive(
        '%%agent --ask\nPlease delete the file "notes.txt".',
        allow_stdin=True,
        stdin_hook=typed,
        output_hook=said.append,
        timeout=WAIT_S,
    )
    assert questions == ["Approve? [y, or the reason why not] "]
    assert [run["status"] for run in stored(kernel)] == ["COMPLETED"]
    assert any("notes.txt is deleted" in str(message["content"]) for message in said)


def test_a_cell_goes_on_with_the_model_that_it_began_with(kernel: Kernel) -> None:
    with StrictServer() as server:
        kernel.run(TOOLS)
        kernel.run(f"""
from agno_nb import Agent
from agno_nb.models.openai import OpenAIChat
model = OpenAIChat("strict", base_url="{server.base_url}", api_key="none")
worker = Agent(model, name="worker", tools=[delete_file])
""")
        said: list[dict[str, Any]] = []
        kernel.client.execute_interactive(
            '%%agent worker --ask -m demo\nPlease delete the file "notes.txt".',
            allow_stdin=True,
            stdin_hook=lambda message: kernel.client.input("y"),
            output_hook=said.append,
            timeout=WAIT_S,
        )
        assert server.requests == []
        assert [(run["status"], run["model_provider"]) for run in stored(kernel)] == [("COMPLETED", "demo")]
        assert any("notes.txt is deleted" in str(message["content"]) for message in said)


def test_the_last_turn_again(kernel: Kernel) -> None:
    kernel.run("%%agent\nMy name is Ada.")
    kernel.run("%agent retry")
    assert [(run["run_index"], run["attempt"], run["input"]) for run in stored(kernel)] == [
        (0, 0, "My name is Ada."),
        (0, 1, "My name is Ada."),
    ]


MAKERS = {
    "a cell of another agent": ("helper = Agent('demo', name='helper')", "%%agent helper\nI am Ada."),
    "agent.run()": ("helper = Agent('demo', name='helper')", "helper.run('I am Ada.');"),
    "an agent without a variable": ("", "Agent('demo', name='helper').run('I am Ada.');"),
    "a team": ("crew = Team([Agent('demo', name='one')], model='demo', name='crew')", "crew.run('I am Ada.');"),
    "a workflow": ("flow = Workflow(steps=[Agent('demo', name='one')], name='flow')", "%%agent flow\nI am Ada."),
}


@pytest.mark.parametrize(("definition", "run"), MAKERS.values(), ids=MAKERS)
def test_retry_runs_the_last_turn_of_the_notebook_again(kernel: Kernel, definition: str, run: str) -> None:
    kernel.run(f"from agno_nb import Agent, Team, Workflow\n{definition}")
    kernel.run("%%agent\nHello.")
    kernel.run(run)
    kernel.run("%agent retry")
    turns = [run for run in stored(kernel) if run["run_index"] is not None]
    first, second, third = sorted(turns, key=lambda run: run["created_at"])
    assert [(each["input"], each["run_index"], each["attempt"]) for each in (first, second, third)] == [
        ("Hello.", 0, 0),
        ("I am Ada.", 0, 0),
        ("I am Ada.", 0, 1),
    ]
    assert (third["session_id"], third["component_id"]) == (second["session_id"], second["component_id"])
    assert second["component_id"] != first["component_id"]


def test_retry_uses_an_agent_that_was_defined_again(kernel: Kernel) -> None:
    kernel.run("from agno_nb import Agent\nfrom agno_nb.testing import FunctionModel")
    define = "helper = Agent(FunctionModel(lambda messages, tools: {!r}), name='helper')"
    kernel.run(define.format("Wrong."))
    kernel.run("%%agent helper\nGo.")
    kernel.run(define.format("Right."))
    assert "Right." in kernel.run("%agent retry").shown


@pytest.mark.parametrize(
    ("choice", "shown"),
    [("%agent new", "no turn yet"), ("%agent use notebook", "Hello."), ("%agent --session other", "Other.")],
)
def test_a_choice_after_the_last_run_decides_what_retry_runs_again(kernel: Kernel, choice: str, shown: str) -> None:
    kernel.run("from agno_nb import Agent\nfrom agno_nb.testing import FunctionModel")
    kernel.run("echo = FunctionModel(lambda messages, tools: messages[-1].content)")
    kernel.run("helper = Agent(echo, name='helper')")
    kernel.run("%agent --model echo")
    kernel.run("%%agent --session other\nOther.")
    kernel.run("%%agent\nHello.")
    kernel.run("%%agent helper\nHelp.")
    kernel.run(choice)
    reply = kernel.run("%agent retry", expect="error" if "new" in choice else "ok")
    assert shown in (reply.shown or str(reply.content))


def test_after_a_restart_continue_finds_the_answer_that_was_cut_off(
    start_kernel: Callable[[], Kernel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "own.ipynb"))
    define = "from agno_nb import Agent, DemoModel\nslow = Agent(DemoModel(word_delay_s=0.05), name='slow')"
    first = start_kernel()
    first.run("%load_ext agno_nb", cell_id="load")
    first.run(define, cell_id="define")
    interrupted: list[bool] = []

    def interrupt(output: dict[str, Any]) -> None:
        said = output["content"].get("data", {}).get("text/plain", "").replace("(running …)", "").split()
        if len(said) >= 3 and not interrupted:
            interrupted.append(True)
            first.interrupt()

    first.run("%%agent slow\nTell me what you can do.", cell_id="ask", on_output=interrupt, expect="error")
    first.kill()
    second = start_kernel()
    second.run("%load_ext agno_nb", cell_id="load")
    refused = second.run("%agent continue", cell_id="continue", expect="error")
    assert "this notebook has no agent 'slow'; define it again" in refused.content["evalue"]
    second.run(define, cell_id="define")
    second.run("%agent continue", cell_id="continue")
    cut_off, whole = stored(second)
    assert (cut_off["status"], whole["status"], whole["session_id"]) == (
        "CANCELLED",
        "COMPLETED",
        cut_off["session_id"],
    )
    assert whole["content"].startswith(cut_off["content"])


def test_an_interrupted_answer_goes_on(kernel: Kernel) -> None:
    kernel.run("from agno_nb import Agent, DemoModel")
    kernel.run("slow = Agent(DemoModel(word_delay_s=0.05), name='slow', add_history_to_context=True)")
    kernel.run("%agent use slow")

    interrupted: list[bool] = []

    def interrupt(output: dict[str, Any]) -> None:
        said = output["content"].get("data", {}).get("text/plain", "").replace("(running …)", "").split()
        if len(said) >= 3 and not interrupted:
            interrupted.append(True)
            kernel.interrupt()

    kernel.run("%%agent\nTell me what you can do.", on_output=interrupt, expect="error")
    (cut_off,) = stored(kernel)
    assert cut_off["status"] == "CANCELLED"
    kernel.run("%agent continue")
    _, whole = stored(kernel)
    assert (whole["status"], whole["attempt"]) == ("COMPLETED", 1)
    assert whole["content"].startswith(cut_off["content"])
    assert len(whole["content"]) > len(cut_off["content"])


def test_after_an_interrupt_in_a_tool_a_strict_server_takes_what_follows(kernel: Kernel) -> None:
    with StrictServer() as server:
        kernel.run(f"""
import threading
from agno_nb import Agent
from agno_nb.models.openai import OpenAIChat

def stuck() -> str:
    print("begun")
    threading.Event().wait(60)
    return "never"

def quick() -> str:
    return "in time"

model = OpenAIChat("strict", base_url="{server.base_url}", api_key="none")
worker = Agent(model, name="worker", tools=[stuck, quick], add_history_to_context=True)
""")
        kernel.run("%agent use worker")
        server.will_say(calls(("quick", {}), ("stuck", {})))
        interrupted: list[bool] = []

        def interrupt(output: dict[str, Any]) -> None:
            if "begun" in output["content"].get("text", "") and not interrupted:
                interrupted.append(True)
                kernel.interrupt()

        stopped = kernel.run("%%agent\nGo.", on_output=interrupt, expect="error")
        assert stopped.content["ename"] == "RunInterrupted"
        server.will_say(says("Done."), says("Hello."))
        assert "Done." in kernel.run("%agent continue").shown
        assert "Hello." in kernel.run("%%agent\nHello?").shown
        assert server.refused == []
        assert [run["status"] for run in stored(kernel)] == ["CANCELLED", "COMPLETED", "COMPLETED"]
        sent = server.requests[-1].body["messages"]
        results = [message["content"] for message in sent if message["role"] == "tool"]
        assert results == ["in time", INTERRUPTED_RESULT]
