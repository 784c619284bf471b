"""A workflow whose process was killed continues in another process."""

from __future__ import annotations

import subprocess
from pathlib import Path

from agno_nb.db.duckdb import DuckDb

PROGRAM = """
import os, sys
from pathlib import Path
from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.testing import FunctionModel
from agno_nb.workflow import Loop, Parallel, StepInput, Workflow

log = Path("log.txt")

def note(what):
    with log.open("a") as file:
        file.write(what + "\\n")

def count(step_input: StepInput, session_state):
    note("count")
    session_state["count"] = session_state.get("count", 0) + 1
    return f"{step_input.message} {session_state['count']}"

def dies(step_input: StepInput):
    note("dies")
    if log.read_text().count("dies") == 2:
        os.kill(os.getpid(), 9)
    return step_input.message

def says(messages, tools):
    note("model")
    return "said " + messages[-1].content

workflow = Workflow(
    [
        Agent(FunctionModel(says), name="talker"),
        Loop([count, Workflow([count, dies], name="inner")], max_iterations=2, forward_iteration_output=True),
    ],
    name="Line", db=DuckDb("store.duckdb"),
)
if sys.argv[1] == "run":
    workflow.run("go", session_id="s")
else:
    print(workflow.continue_run(run_id=sys.argv[1], session_id="s").content)
"""


def test_after_a_kill_another_process_does_what_was_not_done(tmp_path: Path, python: str) -> None:
    def start(argument: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-W", "error", "-c", PROGRAM, argument], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert start("run").returncode == -9
    db = DuckDb(tmp_path / "store.duckdb")
    runs = db.runs_df()
    assert runs[["component_name", "status", "interrupted"]].values.tolist() == [
        ["Line", "RUNNING", True],
        ["talker", "COMPLETED", False],
        ["inner", "COMPLETED", False],
        ["inner", "RUNNING", True],
    ]
    assert db.steps_df(agent="Line")["path"].tolist() == [
        "talker", "loop[0]/count", "loop[0]/inner", "loop[0]", "loop[1]/count",
    ]  # fmt: skip

    gone_on = start(runs["run_id"][0])
    assert (gone_on.stdout, gone_on.stderr) == ("said go 1 2 3 4\n", "")
    # Each step was done once, but for the one in which the process died.
    assert (tmp_path / "log.txt").read_text().split() == [
        "model", "count", "count", "dies", "count", "count", "dies", "dies",
    ]  # fmt: skip
    assert set(db.runs_df()["status"]) == {"COMPLETED"}
    assert db.get_session("s").session_state == {"count": 4}  # type: ignore[union-attr]


def test_a_run_that_goes_on_in_a_living_process_is_not_taken_from_it(tmp_path: Path, python: str) -> None:
    program = """
import asyncio, threading
from agno_nb.db.duckdb import DuckDb
from agno_nb.errors import RunNotContinuableError
from agno_nb.workflow import Workflow

begun, go = threading.Event(), threading.Event()

def waits(step_input):
    begun.set()
    go.wait(30)
    return "done"

workflow = Workflow([waits], db=DuckDb("store.duckdb"))
with workflow.run("go", session_id="s", stream=True) as events:
    begun.wait(30)
    (run_id,) = workflow.store.runs_df()["run_id"]
    try:
        Workflow([waits], db=DuckDb("store.duckdb")).continue_run(run_id=run_id, session_id="s")
    except RunNotContinuableError as refused:
        print(refused)
    go.set()
    print([event.content for event in events])
"""
    done = subprocess.run(
        [python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    first, last = done.stdout.splitlines()
    assert "is still running in process" in first
    assert last == "['done', 'done']"
