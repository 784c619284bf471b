"""%agent and %%agent in a real kernel: displays, stored rows, failures and interrupts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from agno_nb.db.duckdb import DuckDb
from tests.fakes.http import Answer, FakeServer, json_answer, sse
from tests.kernel.conftest import Kernel, Reply

pytestmark = pytest.mark.kernel

SLOW_AGENT = """
from agno_nb import Agent, DemoModel
slow = Agent(DemoModel(word_delay_s=0.02), name="slow")
"""


def first_words(output: dict[str, Any]) -> bool:
    """Whether an output is a display with some of the answer in it."""
    return output["msg_type"] in ("display_data", "update_display_data") and bool(
        output["content"]["data"].get("text/plain", "").replace("(running …)", "").strip()
    )


def runs(kernel: Kernel) -> list[dict[str, Any]]:
    frame = DuckDb(kernel.folder / "agno_nb.duckdb").runs_df()
    records: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso"))
    return records


@pytest.mark.versions
def test_an_answer_streams_into_one_display_and_is_stored_with_its_cell(kernel: Kernel) -> None:
    reply = kernel.run("%%agent\nMy name is Ada.", cell_id="cell-1")
    (display,) = reply.displays().values()
    assert set(display["content"]["data"]) == {"text/html", "text/plain"}
    assert [o["msg_type"] for o in reply.outputs] == ["display_data"] + ["update_display_data"] * (
        len(reply.outputs) - 1
    )
    (run,) = runs(kernel)
    assert display["content"]["metadata"] == {"agno_nb": {"run_id": run["run_id"], "session_id": run["session_id"]}}
    assert (run["status"], run["input"], run["cell_id"], run["execution_count"]) == (
        "COMPLETED",
        "My name is Ada.",
        "cell-1",
        reply.content["execution_count"],
    )
    second = kernel.run("%%agent -o answer\nWhat is my name?")
    assert "Ada" in second.shown
    assert kernel.run("print(answer.content, _agent is answer)").printed.strip().endswith("True")
    assert len({run["session_id"] for run in runs(kernel)}) == 1


def test_status_is_silent_about_keys_and_names_model_store_and_session(kernel: Kernel) -> None:
    kernel.run("import os; os.environ['OPENAI_API_KEY'] = 'sk-very-secret-key-1234567890'")
    reply = kernel.run("%agent")
    assert "openai:gpt-5-mini" in reply.shown
    assert "agno_nb.duckdb" in reply.shown
    assert "very-secret" not in json.dumps(reply.outputs, default=str)


def test_a_request_that_is_tried_again_is_a_line_in_the_cell(kernel: Kernel) -> None:
    hello = Answer(chunks=sse([{"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}]))
    with FakeServer() as server:
        busy = {"error": {"message": "now <b>Busy</b>"}}
        server.will_say(json_answer(busy, status=429, headers={"retry-after-ms": "1"}), hello)
        kernel.run("import os; os.environ['NO_PROXY'] = '*'")
        kernel.run("from agno_nb import Agent, OpenAIChat")
        kernel.run(f"shaky = Agent(OpenAIChat('m', base_url={server.base_url!r}), name='shaky')")
        reply = kernel.run("%%agent shaky\nhello")
    assert "Hello" in reply.shown
    shown = json.dumps(reply.outputs, default=str)
    assert "Trying again in 0.001 s (retry 1 of 2)" in shown
    assert "&lt;b&gt;Busy" in shown
    assert "<b>Busy" not in shown


@pytest.mark.versions
def test_a_failing_run_fails_the_cell_in_one_line_and_the_next_cell_works(kernel: Kernel) -> None:
    kernel.run("%agent --model ollama:llama3.2")
    kernel.run("import os; os.environ['NO_PROXY'] = '*'")
    kernel.run("from agno_nb import OpenAIChat, Agent")
    kernel.run("away = Agent(OpenAIChat('m', base_url='http://127.0.0.1:9/v1'), name='away', retries=0)")
    reply = kernel.run("%%agent away\nhello", expect="error")
    assert reply.content["ename"] == "ModelConnectionError"
    assert len(reply.content["traceback"]) == 1
    assert "localhost:9" in reply.content["traceback"][0]
    kernel.run("%agent --model demo")
    kernel.run("%%agent\nhello")
    assert [(run["component_name"], run["status"]) for run in runs(kernel)] == [
        ("away", "ERROR"),
        ("notebook", "COMPLETED"),
    ]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%agent --model nonsense", "'nonsense' is not a model"),
        (
            "%agent --modell demo",
            "%agent has no option '--modell': did you mean \"--model\"? `%agent?` lists the options",
        ),
        ("%%agent --sesion x\nhello", "%%agent has no option '--sesion': did you mean \"--session\"? `%%agent?` lists"),
        ("%%agent_sql -x\nselect 1", "%%agent_sql has no option '-x'; `%%agent_sql?` lists the options"),
        ("%agent frobnicate", "%agent has no command 'frobnicate'; to send a prompt, write %%agent on the first line"),
        ("%agent hlep", "%agent has no command 'hlep': did you mean \"help\"? `%agent help` lists the commands"),
        (
            "%agent What's the mean?",
            'no command "What\'s"; to send a prompt, write %%agent on the first line of a cell',
        ),
        ("%%agent What's the mean?", 'got "What\'s the mean?"; write the prompt on the lines below it'),
        ("%%agent How heavy is it?\nSay it in kg.", "got 'How heavy is it?'; write the prompt on the lines below it"),
        ("%%agent", "the cell has no prompt; write it on the lines below %%agent"),
        ("%agent new plans", "`%agent new` takes nothing more, got 'plans'"),
        ("def any(**options) -> str: ...\n%agent tools any", "tool 'any' has a parameter **options"),
        ("import pandas; df = pandas.DataFrame({'a': [1]})\n%agent tools df", "not a 0 1 of type pandas.DataFrame"),
        ("%agent tools weather", "no function is named 'weather' in this notebook: define it in a cell first"),
        ("%agent --budget lots", "invalid amount 'lots'; pass US dollars such as 0.50, or off"),
        ("%agent --history many", "invalid number of runs 'many'; pass a number such as 5, or 0 for none"),
        ("%agent_sql", "no query; write one after %agent_sql"),
        ("import agno_nb; agno_nb.Agent(modle='demo')", "Agent() has no argument 'modle': did you mean \"model\"?"),
        ("%%agent nobody\nhello", "no agent is named 'nobody'"),
        ("%%agent -o 1x\nhello", "invalid variable name '1x' after -o"),
        ("%%agent\n   ", "the cell has no prompt"),
        ("%agent --db .", "is a folder"),
        ("open('file', 'w').close()\n%agent --db file/x.duckdb", "file"),
        ("open('notes.txt', 'w').write('hello ' * 99)\n%agent --db notes.txt", "notes.txt"),
        ("%agent --history -1", "not -1"),
    ],
)
def test_bad_input_is_one_clear_line_and_changes_nothing(kernel: Kernel, cell: str, told: str) -> None:
    before = kernel.run("%agent").shown
    reply = kernel.run(cell, expect="error")
    assert len(reply.content["traceback"]) == 1
    assert told in reply.content["traceback"][0]
    assert kernel.run("%agent").shown == before


@pytest.mark.parametrize(("code", "usage"), [("%%agent?", "%%agent [-s"), ("%%agent_sql?", "%%agent_sql [-o")])
def test_the_usage_of_a_magic_is_shown_as_it_is_typed(kernel: Kernel, code: str, usage: str) -> None:
    (page,) = kernel.run(code).content["payload"]
    assert f"  {usage}" in page["data"]["text/plain"]


def test_a_query_can_stand_in_the_line_of_its_cell(kernel: Kernel) -> None:
    assert kernel.run("%%agent_sql -o found select 1 as a").outputs == []
    assert kernel.run("print(found.values.tolist())").printed == "[[1]]\n"


@pytest.mark.parametrize("command", ["retry", "continue"])
def test_without_a_turn_there_is_nothing_but_the_error(kernel: Kernel, command: str) -> None:
    reply = kernel.run(f"%agent {command}", expect="error")
    assert [output["msg_type"] for output in reply.outputs] == ["error"]
    assert "there is no turn yet in session" in reply.content["evalue"]


def test_two_agents_of_one_name_are_told_apart_by_their_variables(kernel: Kernel) -> None:
    kernel.run("from agno_nb import Agent\none = Agent('demo', name='twin'); two = Agent('demo', name='twin')")
    reply = kernel.run("%%agent twin\nhello", expect="error")
    assert "more than one agent is named 'twin'; use one of the variables one and two" in reply.content["traceback"][0]
    kernel.run("%%agent two\nhello")


def test_variables_are_filled_in_and_other_braces_stay(kernel: Kernel) -> None:
    kernel.run("name = 'Ada'")
    reply = kernel.run('%%agent\nI am {name}, not {nobody}; json: {"a": {1: 2}}')
    assert runs(kernel)[0]["input"] == 'I am Ada, not {nobody}; json: {"a": {1: 2}}'
    assert "nobody" in reply.printed


@pytest.mark.versions
def test_an_interrupt_in_a_stream_keeps_the_partial_text_and_the_session_goes_on(kernel: Kernel) -> None:
    kernel.run(SLOW_AGENT)
    sent = []

    def interrupt(output: dict[str, Any]) -> None:
        if first_words(output) and not sent:
            sent.append(output)
            kernel.interrupt()

    reply = kernel.run("%%agent slow\nCount to 100", on_output=interrupt, expect="error")
    assert reply.content["ename"] == "RunInterrupted"
    assert len(reply.content["traceback"]) == 1
    assert "interrupted" in reply.shown
    (run,) = runs(kernel)
    assert run["status"] == "CANCELLED"
    assert run["content"]
    kernel.run("%%agent slow\nhello again")
    assert [run["status"] for run in runs(kernel)] == ["CANCELLED", "COMPLETED"]


@pytest.mark.versions
def test_an_interrupt_in_a_tool_leaves_a_valid_session(kernel: Kernel) -> None:
    kernel.run(
        "from agno_nb import Agent, ScriptedModel\n"
        "from agno_nb.testing import call\n"
        "import time\n"
        "def nap():\n    print('napping', flush=True)\n    time.sleep(30)\n"
        "sleepy = Agent(ScriptedModel([call('nap'), 'awake']), name='sleepy', tools=[nap], "
        "add_history_to_context=True)"
    )

    def interrupt(output: dict[str, Any]) -> None:
        if output["msg_type"] == "stream" and "napping" in output["content"]["text"]:
            kernel.interrupt()

    reply = kernel.run("%%agent sleepy\nsleep", on_output=interrupt, expect="error")
    assert reply.content["ename"] == "RunInterrupted"
    assert "awake" in kernel.run("%%agent sleepy\nand now?").shown
    assert [run["status"] for run in runs(kernel)] == ["CANCELLED", "COMPLETED"]


def test_an_interrupt_ends_an_isolated_query_and_keeps_its_worker(kernel: Kernel) -> None:
    kernel.run(
        "import psutil, threading, time\n"
        "from agno_nb import InMemoryDb\n"
        "db = InMemoryDb()\n"
        "def workers():\n    return sorted(each.pid for each in psutil.Process().children())\n"
        "print(db.query('SELECT 1 AS one', isolated=True).df().one[0])\n"
        "before = workers()"
    )

    def interrupt(output: dict[str, Any]) -> None:
        if output["msg_type"] == "stream" and "asking" in output["content"]["text"]:
            kernel.interrupt()

    endless = "SELECT sum(sqrt(a.range * b.range)) FROM range(100_000_000) AS a, range(100_000_000) AS b"
    query = f"print('asking', flush=True)\ndb.query({endless!r}, isolated=True)"
    reply = kernel.run(query, on_output=interrupt, expect="error")
    # The first, if the interrupt arrives before the query is sent to the worker.
    assert reply.content["ename"] in ("KeyboardInterrupt", "QueryInterrupted")
    again = kernel.run(
        "print(db.query('SELECT 2 AS two', isolated=True).df().two[0], len(before), workers() == before)"
    )
    assert again.printed.split() == ["2", "1", "True"]


def test_a_killed_kernel_leaves_the_question_and_the_next_one_goes_on(start_kernel: Callable[[], Kernel]) -> None:
    first = start_kernel()
    first.run("%load_ext agno_nb")
    first.run(SLOW_AGENT)

    def kill(output: dict[str, Any]) -> None:
        if first_words(output):
            raise KernelKilled

    with pytest.raises(KernelKilled):
        first.run("%%agent slow -s plans\nCount to 100", on_output=kill)
    first.kill()
    second = start_kernel()
    second.run("%load_ext agno_nb")
    second.run("%agent --session plans")
    second.run("%%agent\nhello")
    db = DuckDb(second.folder / "agno_nb.duckdb")
    frame = db.runs_df(session_id="plans")
    assert frame[["run_index", "status", "interrupted", "input"]].values.tolist() == [
        [0, "RUNNING", True, "Count to 100"],
        [1, "COMPLETED", False, "hello"],
    ]
    told = db.messages_df(session_id="plans")
    assert told[told["role"] == "user"]["content"].tolist() == ["Count to 100", "hello"]


class KernelKilled(Exception):
    """The test has seen enough."""


@pytest.mark.versions
def test_print_response_is_the_cells_output(kernel: Kernel) -> None:
    reply = kernel.run("from agno_nb import Agent\nAgent('demo').print_response('hello')")
    (display,) = reply.displays().values()
    assert set(display["content"]["data"]) == {"text/html", "text/plain"}
    assert reply.printed == ""


@pytest.mark.versions
def test_loading_twice_and_unloading(kernel: Kernel) -> None:
    kernel.run("%reload_ext agno_nb")
    kernel.run("%%agent\nhello")
    kernel.run("%unload_ext agno_nb")
    assert "not found" in kernel.run("%agent", expect="error").printed
    kernel.run("%load_ext agno_nb")
    kernel.run("%agent")


def test_the_frames_of_the_notebook_are_those_of_its_store(kernel: Kernel) -> None:
    kernel.run("%agent --db other.duckdb")
    kernel.run("%%agent\nhello")
    counted = "query('select count(*) as n from messages').df().n[0]"
    reply: Reply = kernel.run(f"from agno_nb import runs_df, query\nprint(len(runs_df()), {counted})")
    assert reply.printed.split()[0] == "1"
    assert (kernel.folder / "other.duckdb").exists()
