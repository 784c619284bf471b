"""Teams and workflows in a real kernel: the display of members and steps, also of a stopped run."""

from __future__ import annotations

import re
from typing import Any

import pytest

from agno_nb.db.duckdb import DuckDb
from tests.kernel.conftest import Kernel

pytestmark = pytest.mark.kernel

CREW = """
from agno_nb import Agent, DemoModel, Team, Workflow

def celsius(city: str) -> int:
    "The temperature in a city."
    return 12

weather = Agent(DemoModel(word_delay_s=0.05), name="weather", role="Knows the temperature in cities", tools=[celsius])
crew = Team([weather], model="demo", name="crew")
slow = Agent(DemoModel(word_delay_s=0.02), name="slow")

def shout(step_input):
    return step_input.message.upper()

line = Workflow([shout, slow], name="line")
"""


def summaries(html: str) -> list[str]:
    return [re.sub("<[^>]+>", "", text) for text in re.findall("<summary[^>]*>(.*?)</summary>", html)]


def test_a_team_is_used_by_name_and_its_member_is_folded_in_the_saved_output(kernel: Kernel) -> None:
    kernel.run(CREW)
    kernel.run("%agent use crew")
    status = kernel.run("%agent").shown
    assert "crew" in status
    assert "weather" in status
    reply = kernel.run("%%agent\nWhat is the temperature in Oslo?")
    (display,) = reply.displays().values()
    html = display["content"]["data"]["text/html"]
    folded = summaries(html)
    # The leader's call, with the same task and answer, is not shown as well.
    assert folded[0].startswith("weather: What is the temperature in Oslo? demo model")
    assert "delegate_task_to_member" not in html
    assert "<details open" not in html
    live = [output["content"]["data"]["text/html"] for output in reply.outputs[:-1] if "data" in output["content"]]
    assert any("<details open" in each for each in live)
    frame = DuckDb(kernel.folder / "agno_nb.duckdb").runs_df()
    assert frame[["kind", "component_name"]].values.tolist() == [["team", "crew"], ["agent", "weather"]]


def test_a_workflow_that_is_stopped_goes_on_in_the_next_cell(kernel: Kernel) -> None:
    kernel.run(CREW)
    stopped: list[bool] = []

    def interrupt(output: dict[str, Any]) -> None:
        html = output["content"].get("data", {}).get("text/html", "")
        if not stopped and re.search("<details open.*<p>", html, re.DOTALL):
            stopped.append(True)
            kernel.interrupt()

    reply = kernel.run("%%agent line\nWhat can you do?", on_output=interrupt, expect="error")
    assert reply.content["ename"] == "RunInterrupted"
    (display,) = reply.displays().values()
    assert "slow demo model · interrupted" in " ".join(summaries(display["content"]["data"]["text/html"]))
    printed = kernel.run(
        "run = line.get_last_run_output()\n"
        "print(run.status, [step.path for step in run.step_results])\n"
        "done = line.continue_run(run_id=run.run_id, session_id=run.session_id)\n"
        "print(done.status, [step.path for step in done.step_results])"
    ).printed
    assert printed.splitlines() == ["CANCELLED ['shout']", "COMPLETED ['shout', 'slow']"]
