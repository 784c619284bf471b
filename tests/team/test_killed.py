"""A team whose process was killed continues in another process."""

from __future__ import annotations

import subprocess
from pathlib import Path

PROGRAM = """
import os, sys, threading
from pathlib import Path
from agno_nb import Agent, DuckDb, FunctionModel, Team
from agno_nb.testing import call
from agno_nb.tools import tool

log, paused = Path("log.txt"), threading.Event()

class Store(DuckDb):
    def end_run(self, run, *args, **kwargs):
        super().end_run(run, *args, **kwargs)
        if run.component_name == "writer":
            paused.set()

def note(what):
    with log.open("a") as file:
        file.write(what + "\\n")

@tool(requires_confirmation=True)
def send(to: str) -> str:
    note("sent")
    return f"sent to {to}"

def look(item: str) -> str:
    note("looked")
    paused.wait(30)
    return f"{item}!"

def write(messages, tools):
    return messages[-1].content if messages[-1].role == "tool" else call("send", to="Bob")

def see(messages, tools):
    if messages[-1].role == "tool" and sys.argv[1] == "die":
        os.kill(os.getpid(), 9)
    return messages[-1].content if messages[-1].role == "tool" else call("look", item="owl")

def lead(messages, tools):
    replies = [
        [call("create_task", title=name, assignee=name) for name in ("writer", "looker")],
        call("execute_tasks_parallel", task_ids=["1", "2"]),
        call("mark_all_complete", summary="done"),
    ]
    num_answers = sum(message.role == "assistant" for message in messages)
    return replies[num_answers] if num_answers < 3 else "All is done."

members = [
    Agent(FunctionModel(write), name="writer", tools=[send]),
    Agent(FunctionModel(see), name="looker", tools=[look]),
]
team = Team(members, model=FunctionModel(lead), name="Crew", mode="tasks", db=Store("store.duckdb"))
if sys.argv[1] == "die":
    team.run("Go", session_id="s")
run = team.get_last_run_output("s")
print(run.status, run.interrupted)
run = team.continue_run(run_id=run.run_id, session_id="s")
(requirement,) = run.active_requirements
print(run.status, requirement.component_name)
requirement.confirm()
run = team.continue_run(run_id=run.run_id, session_id="s", requirements=[requirement])
print(run.status, [call.result for call in run.tools][2])
"""


def test_the_tasks_and_the_results_of_members_survive_a_kill(tmp_path: Path, python: str) -> None:
    def start(argument: str) -> subprocess.CompletedProcess[str]:
        command = [python, "-W", "error", "-c", PROGRAM, argument]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert start("die").returncode == -9
    assert (tmp_path / "log.txt").read_text() == "looked\n"
    gone_on = start("continue")
    assert (gone_on.stdout.splitlines(), gone_on.stderr) == (
        ["RUNNING True", "PAUSED writer", "COMPLETED Task 1: sent to Bob", "", "Task 2: owl!"],
        "",
    )
    # No call was executed twice.
    assert sorted((tmp_path / "log.txt").read_text().split()) == ["looked", "sent"]
