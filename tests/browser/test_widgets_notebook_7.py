"""The widgets in Notebook 7: input, streaming, stopping, approval, saving, reloading."""

from __future__ import annotations

import pytest

from tests.browser.lab import Lab, NotebookPage, Watched

pytestmark = pytest.mark.browser

SETUP_CELL, CHAT, PAUSED = range(3)
CELLS = [
    """
%load_ext agno_nb
import agno_nb
from agno_nb import Agent, DemoModel, ScriptedModel, tool
from agno_nb.testing import call

@tool(requires_confirmation=True)
def delete(path: str) -> str:
    return f"{path} is gone"

slow = Agent(DemoModel(word_delay_s=0.02), name="slow")
asks = [call("delete", path="a.txt"), call("delete", path="b.txt"), "Both are gone."]
careful = Agent(ScriptedModel(asks), name="careful", tools=[delete])
""",
    "agno_nb.chat(slow, session_id='talk')",
    "%%agent careful -s care\nDelete both",
]


def test_chat_and_approvals_work_in_notebook_7_as_in_jupyterlab(lab: Lab, watched: Watched) -> None:
    from playwright.sync_api import expect

    (lab.folder / "seven").mkdir()
    notebook = NotebookPage.open_in_notebook_7(watched.page(), lab, lab.write_notebook("seven/seven.ipynb", CELLS))
    page = notebook.page
    for cell in (SETUP_CELL, CHAT):
        notebook.run(cell)
    chat = page.locator(".anb-chat")
    draft, turns = chat.get_by_label("Message"), chat.locator(".anb-turn:not(.anb-arriving)")
    draft.click()
    page.keyboard.type("Count to 100")
    page.keyboard.press("Enter")
    expect(chat.locator(".anb-arriving")).to_contain_text("1, 2, 3")
    page.keyboard.press("Escape")
    expect(turns).to_have_count(1)
    expect(turns.last).to_contain_text("interrupted")

    # A run that pauses again is asked about again, in the same output.
    notebook.run(PAUSED)
    panel = page.locator(".anb-approvals")
    for path in ("a.txt", "b.txt"):
        expect(panel.locator(".anb-arguments")).to_have_text(f'{{\n  "path": "{path}"\n}}')
        panel.get_by_role("button", name="Approve").click()
    expect(panel).to_have_count(0)
    expect(notebook.output_area(PAUSED)).to_contain_text("Both are gone.")

    saved = notebook.save()
    for cell in (CHAT, PAUSED):
        assert [set(output.data) for output in saved.cells[cell].outputs] == [{"text/html", "text/plain"}]
    assert "widgets" not in saved.metadata
    NotebookPage.open_in_notebook_7(page, lab, notebook.path)
    draft.fill("Hi, my name is Ada")
    draft.press("Enter")
    expect(turns).to_have_count(2)
    expect(turns.last).to_contain_text("Ada")
    assert watched.fetched == []
