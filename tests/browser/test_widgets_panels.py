"""Approvals, the session browser and the timeline in JupyterLab, and all widgets with hostile sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import Lab, NotebookPage, Watched
from tests.notebook.hostile import EVIL, PAYLOADS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PAUSED = """
%load_ext agno_nb
import agno_nb, threading
from agno_nb import Agent, ScriptedModel, tool
from agno_nb.testing import call

@tool(requires_confirmation=True)
def delete(path: str) -> str:
    return f"{path} is gone"

@tool(requires_user_input=True, user_input_fields=["copies"])
def send_letter(to: str, copies: int) -> str:
    return f"{copies} letters"

script = [[call("delete", path="<b>a.txt</b>"), call("send_letter", to="Ada")], "Gone, and **sent**."]
careful = Agent(ScriptedModel(script * 3), name="careful", tools=[delete, send_letter])
"""
SETUP, ASK, WAIT, AGAIN, CHAT = range(5)


def test_a_paused_cell_goes_on_in_its_output_while_another_cell_runs(lab: Lab, watched: Watched) -> None:
    from playwright.sync_api import expect

    (lab.folder / "paused").mkdir()
    cells = [
        PAUSED,
        "%%agent careful -s care\nDelete it and write",
        "threading.Event().wait()",
        "%%agent careful -s care\nOnce more",
        "agno_nb.chat(careful, 'care')",
    ]
    notebook = NotebookPage.open(watched.page(), lab, lab.write_notebook("paused/paused.ipynb", cells))
    notebook.run(SETUP)
    notebook.run(ASK)
    panel = notebook.page.locator(".anb-approvals")
    expect(panel.locator(".anb-arguments").first).to_have_text('{\n  "path": "<b>a.txt</b>"\n}')
    notebook.start(WAIT)
    panel.get_by_role("button", name="Approve").press("Enter")
    expect(panel).to_contain_text("Approved; other calls are pending")
    copies = panel.get_by_label("copies")
    copies.fill("two")
    panel.get_by_role("button", name="Send").click()
    message = "invalid value 'two' for copies: 'two' is not of type 'integer'"
    expect(panel.get_by_role("alert").filter(has_text=message)).to_be_visible()
    copies.fill("2")
    panel.get_by_role("button", name="Send").click()
    expect(panel).to_have_count(0)
    expect(notebook.output_area(ASK)).to_contain_text("Gone, and sent.")
    assert notebook.is_running(WAIT)
    notebook.command("notebook:interrupt-kernel")
    notebook.await_end(WAIT)
    (output,) = notebook.save().cells[ASK].outputs
    assert set(output.data) == {"text/html", "text/plain"}
    assert output.data["text/plain"] == "Gone, and **sent**."
    assert set(output.metadata.agno_nb) == {"run_id", "session_id"}

    # The pause is in the store: a chat shows the cards too, and a new kernel continues the run.
    notebook.run(AGAIN)
    expect(panel).to_have_count(1)
    notebook.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(panel).to_contain_text("The kernel is gone; run the cell again")
    notebook.await_kernel()
    notebook.run(SETUP)
    notebook.run(CHAT)
    chat = notebook.page.locator(".anb-chat")
    rejections = chat.get_by_role("button", name="Reject")
    expect(rejections).to_have_count(2)
    rejections.first.click()
    expect(rejections).to_have_count(1)
    rejections.click()
    # The model of the new kernel begins its script again, so the run pauses once more.
    expect(rejections).to_have_count(2)
    expect(chat.locator(".anb-turn").last).to_contain_text("The user refused this call, and it was not carried out.")
    assert watched.fetched == []


MANY = """
%load_ext agno_nb
import agno_nb
from agno_nb import Agent, ScriptedModel
agent = Agent(ScriptedModel([f"answer {n}" for n in range(200)]), name="guide")
db = agno_nb.InMemoryDb()
agent.db = db
for number in range(120):
    run = agent.run(f"Talk number {number}", session_id=f"s{number}")
found = agno_nb.browse(db=db)
found
"""


def test_sessions_are_scrolled_found_marked_read_renamed_and_deleted(lab: Lab, watched: Watched) -> None:
    from playwright.sync_api import expect

    notes = "notes = db.annotations_df(); print(notes.label.tolist(), notes.comment.tolist())"
    cells = [MANY, "print(found.selected, len(found.selected_df()))", "agno_nb.trace(run)", notes]
    notebook = NotebookPage.open(watched.page(), lab, lab.write_notebook("browse.ipynb", cells))
    notebook.run(0)
    page, box = notebook.page, notebook.page.locator(".anb-browse")
    rows = box.locator(".anb-session")
    expect(rows.first).to_contain_text("Talk number 119")
    assert rows.count() < 30
    box.get_by_role("listbox").press("End")
    expect(rows.last).to_contain_text("Talk number 0")
    box.get_by_role("listbox").press("Space")
    notebook.run(1)
    expect(notebook.output_area(1)).to_contain_text("['s0'] 1")
    box.get_by_role("listbox").press("Space")

    box.get_by_label("Search").fill("answer 77")
    expect(rows).to_have_count(1)
    rows.first.click()
    expect(box.locator(".anb-talk")).to_contain_text("Talk number 77")
    note = box.get_by_label("Annotate this answer")
    note.fill("wrong: <b>it</b> is 7")
    note.press("Enter")
    expect(box.locator(".anb-annotation")).to_have_text("wrong<b>it</b> is 7")
    expect(note).to_be_focused()
    notebook.run(3)
    expect(notebook.output_area(3)).to_contain_text("['wrong'] ['<b>it</b> is 7']")
    box.get_by_label("Remove wrong").click()
    expect(box.locator(".anb-annotation")).to_have_count(0)
    box.get_by_label("Rename").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Seventy-seven")
    page.keyboard.press("Enter")
    expect(rows.first).to_contain_text("Seventy-seven")
    box.get_by_label("Delete").click()
    expect(box.get_by_role("alertdialog")).to_contain_text("Delete this session with all its messages?")
    box.get_by_role("button", name="Delete").click()
    expect(rows).to_have_count(0)
    expect(box.get_by_role("status")).to_have_text("0 sessions")

    notebook.run(2)
    trace = page.locator(".anb-trace")
    trace.get_by_role("option").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(trace.locator(".anb-detail")).to_contain_text("answer 119")


HOSTILE = """
%load_ext agno_nb
import agno_nb
from agno_nb import Agent, InMemoryDb, ScriptedModel, tool
from agno_nb.testing import call
from agno_nb.widgets.approvals import Approvals
from tests.notebook.hostile import PAYLOADS

@tool(requires_confirmation=True)
def echo(text: str) -> str:
    return text

db = InMemoryDb()
replies = [reply for p in PAYLOADS for reply in ([call("echo", text=p), call(p, text=p)], p)]
evil = Agent(ScriptedModel(replies, id=PAYLOADS[0]), name=PAYLOADS[1], db=db, tools=[echo])
for payload in PAYLOADS:
    run = evil.run(payload, session_id="talk")
    for requirement in run.active_requirements:
        requirement.confirm()
    run = evil.continue_run(run)
for number, payload in enumerate(PAYLOADS):
    talker = Agent(ScriptedModel([payload]), name=payload, db=db, user_id=payload)
    talker.run(payload, session_id=payload)
    db.rename_session(payload, session_name=payload)
asks = [call("echo", text=payload) for payload in PAYLOADS]
waits = Agent(ScriptedModel([asks]), name=PAYLOADS[1], db=db, tools=[echo])
waiting = waits.run("\\n".join(PAYLOADS), session_id="waits")
panels = [agno_nb.chat(evil, "talk"), agno_nb.chat(waits, "waits"), agno_nb.browse(db=db), agno_nb.trace(run)]
panels.append(Approvals(waits, waiting))
for panel in panels:
    display(panel)
"""
UNFOLD = """() => {
    for (const element of document.querySelectorAll('.jp-OutputArea-output *')) {
        if (element.tagName === 'DETAILS') element.open = true;
        for (const kind of ['mouseover', 'mouseenter', 'focus', 'pointerdown', 'animationstart', 'toggle']) {
            element.dispatchEvent(new Event(kind, {bubbles: false}));
        }
    }
}"""
LIVE = """() => [...document.querySelectorAll('.jp-OutputArea-output *')].filter(each => each.matches(
    'script, iframe, object, embed, form, input, img, video, audio, link, meta, base, template'
) || each.hasAttribute('data-commandlinker-command') || [...each.attributes].some(one => one.name.startsWith('on'))
  || each.hasAttribute('href') && !/^(https?|mailto):/.test(each.getAttribute('href'))).map(each => each.outerHTML)"""


def harm(page: Page, watched: Watched) -> tuple[list[str], list[str], list[str], list[str]]:
    page.evaluate(UNFOLD)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    fetched = [address for address in watched.fetched if address.startswith(EVIL)]
    return page.evaluate(LIVE), watched.executed, watched.dialogs, fetched


def test_nothing_of_a_hostile_session_comes_alive_in_any_panel_or_in_what_it_leaves(lab: Lab, watched: Watched) -> None:
    from playwright.sync_api import expect

    none: tuple[list[str], ...] = ([], [], [], [])
    cells = [HOSTILE, "for panel in panels: panel.close()"]
    notebook = NotebookPage.open(watched.page(), lab, lab.write_notebook("hostile_panels.ipynb", cells))
    notebook.run(0)
    assert notebook.error(0) is None
    page = notebook.page
    chats = page.locator(".anb-chat")
    chats.first.locator(".anb-earlier").click()
    expect(chats.first.locator(".anb-turn")).to_have_count(len(PAYLOADS))
    expect(chats.nth(1).locator(".anb-pending")).to_have_count(len(PAYLOADS))
    expect(chats.nth(1).locator(".anb-arguments").nth(1)).to_contain_text("onerror")
    expect(page.locator(".anb-approvals .anb-pending")).to_have_count(len(PAYLOADS))
    chats.first.locator(".anb-picker").click()
    for row in range(6):
        page.locator(".anb-session").nth(row).click()
        expect(page.locator(".anb-talk .anb-answer").first).to_be_visible()
        assert harm(page, watched) == none
    for step in page.locator(".anb-step").all():
        step.click()
        expect(page.locator(".anb-detail .anb-muted").first).to_be_visible()
    assert harm(page, watched) == none

    notebook.run(1)
    expect(page.locator(".anb")).to_have_count(0)
    assert harm(page, watched) == none
    outputs = notebook.save().cells[0].outputs
    assert [set(output.data) for output in outputs] == [{"text/html", "text/plain"}] * 5
    notebook.page.close()
    reopened = NotebookPage.open(watched.page(), lab, notebook.path)
    assert harm(reopened.page, watched) == none
