"""The interpreter waits for background tasks at exit."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from agno_nb.db.duckdb import DuckDb
from tests.fakes.demo import DemoServer

SCRIPT = """
import asyncio, sys
from agno_nb import Agent, DemoModel, DuckDb, OpenAIChat, SessionSummaryManager
from agno_nb.models.base import Model

class Late(Model):
    "Asks another model when the script has surely ended."
    id, provider = "late", "test"
    def __init__(self, other):
        self.other = other
    async def stream(self, request):
        await asyncio.sleep(0.5)
        async for piece in self.other.stream(request):
            yield piece

def talk(model):
    manager = SessionSummaryManager(Late(model))
    Agent(DemoModel(), db=DuckDb("store.duckdb"), session_id="s", session_summary_manager=manager).run("I like owls.")
"""

ENDINGS = {
    "a script": "talk(MODEL)",
    "sys.exit": "talk(MODEL); sys.exit(0)",
    "a kernel": "async def main():\n    talk(MODEL)\nasyncio.run(main())",
    "a thread": "import threading\nthread = threading.Thread(target=talk, args=[MODEL])\nthread.start()\nthread.join()",
}


def run(python: str, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-c", SCRIPT + code], capture_output=True, text=True, timeout=120, check=False)


def summary_in(path: str) -> str:
    store = DuckDb(path)
    try:
        return str(store.get_summary("s"))
    finally:
        store.close()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_summary_in_flight_is_kept_at_exit(python: str, ending: str) -> None:
    done = run(python, ENDINGS[ending].replace("MODEL", "DemoModel()"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert summary_in("store.duckdb") == "The user likes owls."


def test_what_needs_several_threads_at_once_is_done_at_exit(python: str) -> None:
    code = """
class Busy(Late):
    async def stream(self, request):
        await asyncio.sleep(0.5)
        # Python 3.12.0 to 3.12.2 starts no threads any more.
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.02) for _ in range(40)))
        async for piece in self.other.stream(request):
            yield piece
import time
Late = Busy
talk(DemoModel())
"""
    done = run(python, code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert summary_in("store.duckdb") == "The user likes owls."


def test_a_summary_over_http_is_kept_at_exit(python: str) -> None:
    with DemoServer() as server:
        # By name, because an address is looked up in a thread.
        url = server.base_url.replace("127.0.0.1", "localhost")
        done = run(python, f"talk(OpenAIChat('demo', base_url={url!r}, api_key='none'))")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert summary_in("store.duckdb") == "The user likes owls."


def test_a_failure_that_nobody_waited_for_is_told_at_exit(python: str) -> None:
    done = run(python, "from agno_nb.testing import ScriptedModel\ntalk(ScriptedModel(['no JSON']))")
    assert (done.returncode, done.stdout) == (0, "")
    assert "UserWarning: could not update the session's summary" in done.stderr
    assert "Traceback" not in done.stderr
    assert summary_in("store.duckdb") == "None"


RUN_IN_A_THREAD = """
import threading
from agno_nb import Agent, DuckDb, FunctionModel

def in_a_thread(ask):
    begun, ending = threading.Event(), threading.Event()

    def answer(messages, tools):
        begun.set()
        assert ending.wait(60)
        return "too late?"

    agent = Agent(FunctionModel(answer), db=DuckDb("store.duckdb"), session_id="s")
    threading.Thread(target=ask, args=[agent]).start()
    assert begun.wait(60)
    # Of the handlers for the end of the main thread this is the first.
    threading._register_atexit(ending.set)

"""


@pytest.mark.parametrize(
    "ask", ["lambda agent: agent.run('x')", "lambda agent: list(agent.run('x', stream=True))"], ids=["run", "stream"]
)
def test_a_run_that_another_thread_waits_for_is_brought_to_its_end(python: str, ask: str) -> None:
    done = run(python, f"{RUN_IN_A_THREAD}in_a_thread({ask})")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert DuckDb("store.duckdb").runs_df()[["status", "content"]].values.tolist() == [["COMPLETED", "too late?"]]


HANG = """
class Never(Model):
    id, provider = "never", "test"
    async def stream(self, request):
        await asyncio.Event().wait()
        yield

import concurrent.futures
wait = concurrent.futures.wait
talk(Never())
def tell_and_wait(*futures, **options):
    # Within the code that an interrupt stops, not before it.
    concurrent.futures.wait = wait
    print("waiting", flush=True)
    return wait(*futures, **options)
concurrent.futures.wait = tell_and_wait
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one child")
def test_an_interrupt_ends_the_waiting(python: str, working_directory: Path) -> None:
    child = subprocess.Popen(
        [python, "-c", SCRIPT + HANG], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=working_directory
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    child.send_signal(signal.SIGINT)
    output, errors = child.communicate(timeout=60)
    assert (child.returncode, output) == (0, "")
    assert "UserWarning: interrupted; runs in the background, and summaries and memories of the last runs," in errors
    assert "Traceback" not in errors
    assert summary_in("store.duckdb") == "None"


FORK = """
import os
manager = SessionSummaryManager(Late(DemoModel()))
agent = Agent(DemoModel(), db=DuckDb("store.duckdb"), session_id="s", session_summary_manager=manager)
agent.run("I like owls.")
child = os.fork()
if child == 0:
    own = Agent(DemoModel(), db=DuckDb("child.duckdb"), session_id="s", session_summary_manager=manager)
    own.run("I like frogs.")
else:
    print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_a_forked_child_leaves_the_work_of_its_parent_and_waits_for_its_own(python: str) -> None:
    done = run(python, FORK)
    assert (done.returncode, done.stdout) == (0, "0\n")
    assert "Traceback" not in done.stderr
    assert "Task was destroyed" not in done.stderr
    assert summary_in("store.duckdb") == "The user likes owls."
    assert summary_in("child.duckdb") == "The user likes frogs."
