"""``%agent`` and ``%%agent`` in JupyterLab: the page during a run, after it, and in the saved file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.attack import Attack, await_formulas, nothing_from
from tests.browser.lab import Lab, NotebookPage, Watched
from tests.notebook.hostile import PAYLOADS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

# Values that the demo model finds in the data and the session, whatever its wording.
CONVERSATION = ["5076", "3700.7", "195.8", "How heavy are Gentoo penguins?"]

SETUP = """
%load_ext agno_nb
from agno_nb import Agent, DemoModel, OpenAIChat
slow = Agent(DemoModel(word_delay_s=0.05), name="slow", add_history_to_context=True)
away = Agent(OpenAIChat("m", base_url="http://127.0.0.1:9/v1"), name="away", retries=0)
"""
COUNT, AFTER, FAILING = 1, 2, 3
CELLS = [
    SETUP,
    "%%agent slow\nCount to 100",
    "%%agent slow\nMy name is Ada.",
    "%%agent away\nhello",
]

# Each payload is used as prompt, answer, tool name, arguments and result, and as the name of agent, model, user and
# session.
HOSTILE = """
%load_ext agno_nb
from agno_nb import Agent, ScriptedModel, sessions_df
from agno_nb.notebook import magics
from agno_nb.testing import call
from tests.notebook.hostile import PAYLOADS

def echo(text: str) -> str:
    return text

def agent(line, cell=None):
    shell = get_ipython()
    shell.run_line_magic("agent", line) if cell is None else shell.run_cell_magic("agent", line, cell)

for number, payload in enumerate(PAYLOADS):
    model = ScriptedModel([[call("echo", text=payload), call(payload, text=payload)], payload], id=payload)
    evil = Agent(model, name=payload, user_id=payload, tools=[echo])
    agent("use evil")
    agent("", payload)
    evil.store.rename_session(_agent.session_id, session_name=payload)
    agent("")
    if number % 20 == 19 or payload is PAYLOADS[-1]:
        # The notebook's own agent names no user, so the list has the sessions of all users.
        agent("use notebook")
        agent("sessions")
"""


@pytest.fixture(scope="module")
def agents(lab: Lab, browser: Browser) -> Iterator[NotebookPage]:
    """A notebook with a slow agent and one whose server is away."""
    watched = Watched.of(browser, lab.url)
    notebook = NotebookPage.open(watched.page(), lab, lab.write_notebook("agents.ipynb", CELLS))
    notebook.run(0)
    yield notebook
    watched.context.close()


def test_the_quickstart_runs_and_reads_the_same_without_a_kernel_and_as_html(
    lab: Lab, watched: Watched, repository: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(repository / "notebooks", lab.folder / "quickstart")
    notebook = NotebookPage.open(watched.page(), lab, folder / "01_quickstart.ipynb")
    notebook.run_all()
    _expect_conversation(notebook.page)
    saved = notebook.save()
    cells = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert [cell.source for cell in cells if cell.execution_count is None] == []
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"display_data", "execute_result"}
    assert all("text/markdown" not in output.data for output in outputs)

    notebook.close_kernel()
    notebook.page.close()
    reopened = NotebookPage.open_without_kernel(watched.page(), lab, notebook.path)
    _expect_conversation(reopened.page)
    assert not reopened.has_kernel()

    convert = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", str(tmp_path), str(notebook.path)]
    subprocess.run(convert, check=True, capture_output=True)
    page = watched.page()
    page.goto((tmp_path / "01_quickstart.html").as_uri())
    _expect_conversation(page)


def _expect_conversation(page: Page) -> None:
    from playwright.sync_api import expect

    answers = page.locator(".jp-OutputArea-output", has_text=re.compile("demo model · .* tokens"))
    expect(answers).to_have_count(len(CONVERSATION))
    for answer, words in zip(answers.all(), CONVERSATION, strict=True):
        expect(answer).to_be_visible()
        expect(answer).to_contain_text(words)


def test_an_answer_grows_until_it_is_interrupted_and_the_next_cell_works(agents: NotebookPage) -> None:
    from playwright.sync_api import expect

    agents.start(COUNT)
    answer = agents.output_area(COUNT)
    expect(answer).to_contain_text("1, 2, 3")
    early = answer.inner_text()
    expect(answer).not_to_have_text(early, use_inner_text=True)
    assert agents.is_running(COUNT)
    told = answer.inner_text().removesuffix("running …").strip()
    assert told.startswith(early.removesuffix("running …").strip())

    agents.command("notebook:interrupt-kernel")
    agents.await_end(COUNT)
    assert agents.error(COUNT) == (
        "RunInterrupted",
        "RunInterrupted: the run was interrupted; its partial output is stored",
    )
    expect(answer).to_contain_text(told, use_inner_text=True)
    expect(answer).to_contain_text("demo model · interrupted · ")
    assert "99, 100" not in answer.inner_text()

    agents.run(AFTER)
    assert agents.error(AFTER) is None
    expect(agents.output_area(AFTER)).to_contain_text("Ada")


def test_a_failing_run_is_one_line_in_its_cell(agents: NotebookPage) -> None:
    from playwright.sync_api import expect

    agents.run(FAILING)
    line = "ModelConnectionError: localhost:9 cannot be reached"
    error = agents.error(FAILING)
    assert error is not None
    assert (error[0], error[1].startswith(line), error[1].count("\n")) == ("ModelConnectionError", True, 0)
    shown = agents.page.locator(".jp-Notebook .jp-Cell").nth(FAILING).locator(".jp-OutputArea-output")
    expect(shown).to_have_text([re.compile(r"^m · failed · \d+ ms$"), re.compile(f"^{line}")])


def test_nothing_of_a_hostile_run_and_its_session_comes_alive(lab: Lab, watched: Watched) -> None:
    nothing = nothing_from(outputs=3 * len(PAYLOADS) + 4)
    notebook = NotebookPage.open(watched.page(), lab, lab.write_notebook("hostile_run.ipynb", [HOSTILE]))
    notebook.run_all()
    assert notebook.error(0) is None
    await_formulas(notebook.page)
    assert Attack.on(notebook.page, watched) == nothing

    outputs = notebook.save().cells[0].outputs
    assert [set(output.data) for output in outputs] == [{"text/html", "text/plain"}] * nothing.outputs
    # In the note on the agent, in the answer, as the agent's name and user, and in the list of sessions.
    assert sum(PAYLOADS[0] in output.data["text/plain"] for output in outputs) == 4
    notebook.page.close()
    reopened = NotebookPage.open_without_kernel(watched.page(), lab, notebook.path)
    await_formulas(reopened.page)
    assert Attack.on(reopened.page, watched) == nothing
    assert watched.fetched == []
