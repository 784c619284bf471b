"""Cell information that JupyterLab sends to the kernel, and the display of an answer during and after streaming."""

from __future__ import annotations

import hashlib
import json

import nbformat
import pytest

from tests.browser.lab import Lab, NotebookPage, Watched

pytestmark = pytest.mark.browser

ORIGIN = """
import dataclasses, json
from agno_nb.notebook.cell_info import read_cell_info
print(json.dumps(dataclasses.asdict(read_cell_info(get_ipython()))))
"""

# The answer stops in the middle until the test has seen it and says so.
GROWING = """
from agno_nb.notebook.live import LiveAnswer
from agno_nb.types import Metrics, RunEvent, RunOutput, RunOutputEvent, RunStatus, ToolCall

def event(kind=RunEvent.run_content, **fields):
    return RunOutputEvent(event=kind, run_id="r1", session_id="s1", **fields)

call = ToolCall(tool_call_id="1", tool_name="weather", arguments='{"city": "Rome"}')
answer = LiveAnswer(get_ipython())
answer.feed(event(RunEvent.run_started))
for word in ["Let ", "me ", "**look**."]:
    answer.feed(event(content=word))
answer.feed(event(RunEvent.tool_call_started, tool=call))
input("seen?")
call.result, call.duration_s = "12 °C, and it costs $5 to $6", 0.25
answer.feed(event(RunEvent.tool_call_completed, tool=call))
answer.feed(event(content="It is $12^\\\\circ$, for $5 or $6."))
content = "It is $12^\\\\circ$, for $5 or $6."
metrics = Metrics(duration_s=1.5, input_tokens=312, output_tokens=58, cost=0.0004)
run = RunOutput(run_id="r1", session_id="s1", status=RunStatus.COMPLETED, content=content, tools=[call], model="m")
run.metrics = metrics
answer.feed(event(RunEvent.run_completed, run_output=run))
"""


def test_notebook_cell_and_kernel_are_known_and_a_rename_is_followed(lab: Lab, watched: Watched) -> None:
    notebook = NotebookPage.open(watched.page(), lab, lab.write_notebook("origin.ipynb", ["1", ORIGIN]))
    notebook.run_all()
    notebook.page.evaluate("() => jupyterapp.shell.currentWidget.context.rename('renamed.ipynb')")
    notebook.run_all()
    kernel_id = notebook.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.id")
    cell = nbformat.read(lab.folder / "renamed.ipynb", as_version=4).cells[1]
    told = json.loads("".join(output["text"] for output in notebook.outputs(1)))
    assert told == {
        "notebook": str(lab.folder / "renamed.ipynb"),
        "cell_id": cell.id,
        "execution_count": 4,
        "cell_hash": hashlib.sha256(cell.source.rstrip("\n").encode()).hexdigest()[:16],
        "kernel_id": kernel_id,
    }


def test_an_answer_grows_in_one_output_and_stays_in_the_file(lab: Lab, watched: Watched) -> None:
    from playwright.sync_api import expect

    notebook = NotebookPage.open(watched.page(), lab, lab.write_notebook("growing.ipynb", [GROWING]))
    # Not awaited: the cell waits for the answer that is typed below.
    notebook.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
    output = notebook.output_area(0)
    expect(output).to_contain_text("Let me look.")
    expect(output.locator("strong")).to_have_text("look")
    expect(output.locator("summary")).to_contain_text('weather(city="Rome")')
    expect(output.locator("summary")).to_contain_text("…")

    notebook.page.locator(".jp-Stdin-input").fill("yes")
    notebook.page.locator(".jp-Stdin-input").press("Enter")
    expect(output).to_contain_text("m · 1.5 s · 312 → 58 tokens · $0.0004")
    expect(output).to_contain_text("for $5 or $6.")
    expect(output.locator("mjx-container")).to_have_count(1)
    expect(output.locator("summary")).to_contain_text("250 ms")

    saved = [output for output in notebook.save().cells[0].outputs if output.output_type == "display_data"]
    assert [(set(output.data), output.metadata) for output in saved] == [
        ({"text/html", "text/plain"}, {"agno_nb": {"run_id": "r1", "session_id": "s1"}})
    ]
    assert saved[0].data["text/plain"] == "Let me **look**.\n\nIt is $12^\\circ$, for $5 or $6."
    assert watched.fetched == []
