"""Hostile answers in a live JupyterLab, in a saved notebook and in its HTML: nothing runs and nothing is fetched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from tests.browser.attack import Attack, await_formulas, nothing_from
from tests.browser.lab import Lab, NotebookPage, Watched
from tests.notebook.hostile import EVIL, PAYLOADS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

# Every payload is said by the model, thought by it, passed to a tool, returned by one, and is a member's name.
ANSWER = """
from agno_nb.notebook.live import LiveAnswer
from agno_nb.types import RunEvent, RunOutput, RunOutputEvent, RunStatus, ToolCall
from tests.notebook.hostile import PAYLOADS

for number, payload in enumerate(PAYLOADS):
    ids = {"run_id": f"r{number}", "session_id": "s"}
    nested = {"run_id": f"n{number}", "session_id": "s", "parent_run_id": f"r{number}", "component_name": payload}
    call = ToolCall(tool_call_id="1", tool_name=payload, arguments=payload, result=payload)
    answer = LiveAnswer(get_ipython())
    answer.feed(RunOutputEvent(event=RunEvent.run_content, reasoning_content=payload, **ids))
    answer.feed(RunOutputEvent(event=RunEvent.tool_call_started, tool=call, **ids))
    answer.feed(RunOutputEvent(event=RunEvent.run_content, content=payload, **nested))
    answer.feed(RunOutputEvent(event=RunEvent.run_content, content=payload, **ids))
    run = RunOutput(status=RunStatus.COMPLETED, content=payload, tools=[call], model=payload, **ids)
    answer.feed(RunOutputEvent(event=RunEvent.run_completed, run_output=run, **ids))
"""

# The same payloads as outputs that are not ours.
UNSAFE = """
from IPython.display import display
from tests.notebook.hostile import PAYLOADS
for payload in PAYLOADS:
    display({"text/html": payload, "text/plain": ""}, raw=True)
    display({"text/markdown": payload, "text/plain": ""}, raw=True)
"""

NOTHING = nothing_from(len(PAYLOADS))


@pytest.fixture(scope="module")
def attacked(lab: Lab, browser: Browser) -> Iterator[tuple[Path, Attack, list[str]]]:
    """A notebook with hostile answers, live and saved, with their effects and network requests."""
    watched = Watched.of(browser, lab.url)
    notebook = NotebookPage.open(watched.page(), lab, lab.write_notebook("hostile.ipynb", [ANSWER]))
    notebook.run_all()
    await_formulas(notebook.page)
    attack = Attack.on(notebook.page, watched)
    notebook.save()
    yield notebook.path, attack, watched.fetched
    watched.context.close()


def test_live(attacked: tuple[Path, Attack, list[str]]) -> None:
    _, attack, fetched = attacked
    assert attack == NOTHING
    assert fetched == []


def test_the_file_holds_html_and_text_and_no_markdown(attacked: tuple[Path, Attack, list[str]]) -> None:
    outputs = nbformat.read(attacked[0], as_version=4).cells[0].outputs
    assert [set(output.data) for output in outputs] == [{"text/html", "text/plain"}] * len(PAYLOADS)
    assert [output.metadata for output in outputs] == [
        {"agno_nb": {"run_id": f"r{number}", "session_id": "s"}} for number in range(len(PAYLOADS))
    ]


@pytest.mark.parametrize("trusted", [True, False])
def test_reopened(trusted: bool, attacked: tuple[Path, Attack, list[str]], lab: Lab, watched: Watched) -> None:
    path = attacked[0]
    if not trusted:
        # A notebook that this server has not signed, as one that came by mail.
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[0].metadata["came_by"] = "mail"
        path = lab.folder / "untrusted.ipynb"
        nbformat.write(notebook, path)
    page = NotebookPage.open(watched.page(), lab, path).page
    await_formulas(page)
    assert page.evaluate("() => jupyterapp.shell.currentWidget.content.model.cells.get(0).trusted") is trusted
    assert Attack.on(page, watched) == NOTHING


def test_as_html_of_nbconvert(attacked: tuple[Path, Attack, list[str]], watched: Watched, tmp_path: Path) -> None:
    convert = [sys.executable, "-m", "nbconvert", "--to", "html", "--no-input", "--output-dir", str(tmp_path)]
    subprocess.run([*convert, str(attacked[0])], check=True, capture_output=True)
    page = watched.page()
    page.goto((tmp_path / "hostile.html").as_uri())
    assert Attack.on(page, watched) == NOTHING


def test_the_same_payloads_do_run_where_they_are_not_rendered_by_us(lab: Lab, watched: Watched) -> None:
    # Else the tests above would pass because they see nothing.
    notebook = NotebookPage.open(watched.page(), lab, lab.write_notebook("unsafe.ipynb", [UNSAFE]))
    notebook.run_all()
    # JupyterLab renders Markdown after the cell has ended.
    notebook.page.wait_for_selector('img[src*="markdown.png"]', state="attached")
    attack = Attack.on(notebook.page, watched)
    assert {"script", "onerror", "srcdoc", "ontoggle"} <= set(attack.executed)
    assert {f"{EVIL}/markdown.png?secret", f"{EVIL}/html.png", f"{EVIL}/css.png"} <= set(attack.fetched)
    assert attack.linkers > 0
