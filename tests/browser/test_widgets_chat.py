"""The chat widget in JupyterLab: input, stopping, retrying, reloading, saving and reopening."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import Lab, NotebookPage, Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

pytestmark = pytest.mark.browser

SETUP = """
%load_ext agno_nb
import agno_nb, threading
from agno_nb import Agent, DemoModel
slow = Agent(DemoModel(word_delay_s=0.02), name="slow", add_history_to_context=True)
go_on = threading.Event()
"""
SETUP_CELL, CHAT, ASK, WAIT, RELEASE, LOOK, CLOSE = range(7)
CELLS = [
    SETUP,
    "talk = agno_nb.chat(slow, session_id='talk')\ntalk",
    "%%agent slow -s talk\nWhat is my name?",
    "go_on.wait()",
    "go_on.set()",
    "print(talk.session_id, talk.last_run.status, len(talk.messages_df()))",
    "talk.close()",
]


class Talk:
    """The chat panel on a page, as a person uses it."""

    def __init__(self, notebook: NotebookPage) -> None:
        self.page = notebook.page
        self.box: Locator = notebook.page.locator(".anb-chat")
        self.draft = self.box.get_by_label("Message")
        self.turns = self.box.locator(".anb-turn:not(.anb-arriving)")
        self.arriving = self.box.locator(".anb-arriving")

    def say(self, text: str) -> None:
        self.draft.fill(text)
        self.draft.press("Enter")

    def in_bar(self, label: str) -> Locator:
        return self.turns.last.get_by_label(label)


@pytest.fixture
def notebook(lab: Lab, browser: Browser, request: pytest.FixtureRequest) -> Iterator[NotebookPage]:
    watched = Watched.of(browser, lab.url)
    # In a folder of its own, and so with a store of its own.
    folder = re.sub(r"\W+", "-", request.node.name)
    (lab.folder / folder).mkdir()
    path = lab.write_notebook(f"{folder}/talk.ipynb", CELLS)
    notebook = NotebookPage.open(watched.page(), lab, path)
    notebook.run(SETUP_CELL)
    notebook.run(CHAT)
    yield notebook
    assert watched.fetched == []
    watched.context.close()


def test_a_conversation_streams_is_stopped_asked_again_and_seen_by_cells(notebook: NotebookPage) -> None:
    from playwright.sync_api import expect

    talk = Talk(notebook)
    talk.say("Hi, my name is Ada")
    expect(talk.turns).to_have_count(1)
    expect(talk.turns.first).to_contain_text("Ada")
    expect(talk.draft).to_have_value("")

    talk.say("Count to 100")
    expect(talk.arriving).to_contain_text("1, 2, 3")
    early = talk.arriving.inner_text()
    expect(talk.arriving).not_to_have_text(early, use_inner_text=True)
    talk.draft.press("Escape")
    expect(talk.turns).to_have_count(2)
    expect(talk.turns.last).to_contain_text("interrupted")

    talk.in_bar("Regenerate; this answer is kept").click()
    expect(talk.turns.last).to_contain_text("2 / 2")
    talk.in_bar("Earlier attempt").click()
    expect(talk.turns.last).to_contain_text("interrupted")
    expect(talk.turns.last).to_contain_text("1 / 2")

    talk.draft.press("ArrowUp")
    talk.draft.fill("What is my name?")
    talk.draft.press("Enter")
    expect(talk.turns.last).to_contain_text("3 / 3")
    expect(talk.turns).to_have_count(2)

    notebook.run(ASK)
    expect(notebook.output_area(ASK)).to_contain_text("Ada")
    expect(talk.turns).to_have_count(3)
    expect(talk.turns.last).to_contain_text("cell [3]")
    notebook.run(LOOK)
    expect(notebook.output_area(LOOK)).to_contain_text("talk COMPLETED 10")


def test_it_answers_while_a_cell_runs(notebook: NotebookPage) -> None:
    from playwright.sync_api import expect

    talk = Talk(notebook)
    notebook.start(WAIT)
    expect(notebook.page.locator(".jp-Cell").nth(WAIT)).to_contain_text("[*]")
    talk.say("Hi, my name is Ada")
    expect(talk.turns).to_have_count(1)
    expect(talk.turns.first).to_contain_text("tokens")
    assert notebook.is_running(WAIT)
    notebook.command("notebook:interrupt-kernel")
    notebook.await_end(WAIT)


def test_it_survives_a_reload_of_the_page_even_while_an_answer_arrives(notebook: NotebookPage, lab: Lab) -> None:
    from playwright.sync_api import expect

    talk = Talk(notebook)
    talk.say("Hi, my name is Ada")
    expect(talk.turns).to_have_count(1)
    notebook.save()
    talk.say("Count to 100")
    expect(talk.arriving).to_contain_text("1, 2, 3")
    again = NotebookPage.open(notebook.page, lab, notebook.path)
    talk = Talk(again)
    expect(talk.turns.first).to_contain_text("Ada")
    expect(talk.turns).to_have_count(2)
    talk.say("What is my name?")
    expect(talk.turns).to_have_count(3)


def test_saved_while_open_it_is_html_and_text_that_need_no_kernel(
    notebook: NotebookPage, lab: Lab, watched: Watched
) -> None:
    from playwright.sync_api import expect

    talk = Talk(notebook)
    talk.say("Hi, my name is Ada")
    expect(talk.turns).to_have_count(1)
    talk.draft.fill("a draft")
    saved = notebook.save()
    # The panel on the page is not touched by that.
    expect(talk.draft).to_have_value("a draft")
    (output,) = saved.cells[CHAT].outputs
    assert set(output.data) == {"text/html", "text/plain"}
    assert "> Hi, my name is Ada" in output.data["text/plain"]
    assert "widgets" not in saved.metadata
    assert notebook.path.stat().st_size < 40_000
    notebook.close_kernel()
    notebook.page.close()

    with_kernel = NotebookPage.open(watched.page(), lab, notebook.path)
    without = NotebookPage.open_without_kernel(watched.page(), lab, notebook.path)
    assert not without.has_kernel()
    for reopened in (with_kernel, without):
        expect(reopened.output_area(CHAT)).to_contain_text("I can recall it")
        for said in ("model not found", "Loading widget"):
            expect(reopened.page.get_by_text(said)).to_have_count(0)
        # Prompts are on the right, as in the live view.
        output = reopened.output_area(CHAT).bounding_box()
        prompt = reopened.output_area(CHAT).locator("td", has_text="Hi, my name is Ada").bounding_box()
        assert output is not None
        assert prompt is not None
        assert prompt["x"] > output["x"] + output["width"] / 3
        assert prompt["width"] < output["width"] / 2


def test_closed_it_leaves_the_conversation_in_the_same_output(notebook: NotebookPage) -> None:
    from playwright.sync_api import expect

    talk = Talk(notebook)
    talk.say("Hi, my name is Ada")
    expect(talk.turns).to_have_count(1)
    notebook.save()
    talk.box.get_by_label("Close and keep the conversation as text").click()
    expect(talk.box).to_have_count(0)
    expect(notebook.output_area(CHAT)).to_contain_text("I can recall it")
    saved = notebook.save()
    (output,) = saved.cells[CHAT].outputs
    assert set(output.data) == {"text/html", "text/plain"}
    assert "> Hi, my name is Ada" in output.data["text/plain"]
    assert "widgets" not in saved.metadata
    notebook.run(CHAT)
    expect(Talk(notebook).turns).to_have_count(1)


def test_a_restarted_kernel_goes_on_with_the_stored_session(notebook: NotebookPage) -> None:
    from playwright.sync_api import expect

    talk = Talk(notebook)
    talk.say("Hi, my name is Ada")
    expect(talk.turns).to_have_count(1)
    notebook.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(talk.box).to_contain_text("The kernel is gone; run the cell again")
    notebook.await_kernel()
    notebook.run(SETUP_CELL)
    notebook.run(CHAT)
    talk = Talk(notebook)
    expect(talk.turns).to_have_count(1)
    talk.say("What is my name?")
    expect(talk.turns.last).to_contain_text("Ada")


def test_sessions_are_begun_named_and_picked_by_the_keyboard(notebook: NotebookPage) -> None:
    from playwright.sync_api import expect

    talk, page = Talk(notebook), notebook.page
    talk.say("Hi, my name is Ada")
    expect(talk.turns).to_have_count(1)
    talk.box.get_by_label("Rename the session").press("Enter")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Getting to know Ada")
    page.keyboard.press("Enter")
    expect(talk.box.locator(".anb-title")).to_have_text("Getting to know Ada")
    talk.box.get_by_label("New session").press("Enter")
    expect(talk.turns).to_have_count(0)
    expect(talk.draft).to_be_focused()
    talk.box.locator(".anb-picker").press("Enter")
    expect(talk.box.get_by_role("option")).to_have_count(1)
    page.keyboard.type("know")
    expect(talk.box.get_by_role("option")).to_contain_text("Getting to know Ada")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(talk.turns).to_have_count(1)
    # None of these keys was a command of the notebook.
    assert page.evaluate("() => jupyterapp.shell.currentWidget.content.model.cells.length") == len(CELLS)


def test_nothing_is_cut_off_and_text_can_be_read_in_every_theme_and_width(notebook: NotebookPage) -> None:
    from playwright.sync_api import expect

    talk = Talk(notebook)
    talk.say("Hi, my name is Ada. " + "Averylongwordwithoutspaces" * 8)
    expect(talk.turns).to_have_count(1)
    notebook.command("application:toggle-left-area")
    for theme in ("JupyterLab Dark", "JupyterLab Dark High Contrast", "JupyterLab Light"):
        notebook.use_theme(theme)
        assert talk.box.evaluate(CONTRAST) > 4.5, theme
        # The narrow one is also what is left of the wide one at a zoom of 200 %.
        for width in (1200, 600):
            notebook.page.set_viewport_size({"width": width, "height": 800})
            assert talk.box.evaluate(CUT_OFF) == [], (theme, width)


CUT_OFF = """box => [...box.querySelectorAll('*')]
    .filter(each => each.getBoundingClientRect().right > box.getBoundingClientRect().right + 1)
    .filter(each => !each.closest('.anb-hidden')).map(each => each.outerHTML)"""
# Contrast of the answer's text as defined by WCAG 2.2.
CONTRAST = """box => {
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const answer = getComputedStyle(box.querySelector('.anb-answer p'));
    const [text, ground] = [light(answer.color), light(getComputedStyle(box).backgroundColor)];
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
}"""
