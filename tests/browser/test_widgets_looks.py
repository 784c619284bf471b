"""The look of all widgets with system colors and at 200 % zoom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import Lab, NotebookPage, Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

CELL = """
%load_ext agno_nb
import agno_nb
from agno_nb import Agent, InMemoryDb, ScriptedModel, tool
from agno_nb.testing import call
from agno_nb.widgets.approvals import Approvals

@tool(requires_user_input=True, user_input_fields=["copies"])
def send_letter(to: str, copies: int) -> str:
    return f"{copies} letters"

db = InMemoryDb()
replies = ["An answer that is long enough to be broken into lines. " * 4, call("send_letter", to="Ada")]
guide = Agent(ScriptedModel(replies), name="guide", db=db, tools=[send_letter])
run = guide.run("What is in the news? " * 6, session_id="talk")
waiting = guide.run("Write to Ada", session_id="letter")
for panel in (agno_nb.chat(guide, "letter"), agno_nb.browse(db=db), agno_nb.trace(run), Approvals(guide, waiting)):
    display(panel)
"""
KINDS = ("chat", "browse", "trace", "approvals")


@pytest.fixture(scope="module")
def page(lab: Lab, browser: Browser) -> Iterator[Page]:
    """A page with a panel of each kind, in which something is selected."""
    watched = Watched.of(browser, lab.url)
    notebook = NotebookPage.open(watched.page(), lab, lab.write_notebook("looks.ipynb", [CELL]))
    notebook.run(0)
    assert notebook.error(0) is None
    notebook.command("application:toggle-left-area")
    page = notebook.page
    page.locator(".anb-session .anb-mark").first.click()
    page.locator(".anb-session", has_text="news").click()
    page.locator(".anb-talk .anb-answer").first.wait_for()
    page.locator(".anb-step").nth(1).click()
    page.locator("summary.anb-part-line").first.click()
    yield page
    watched.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_where_the_system_chooses_the_colours_every_control_and_what_is_selected_can_be_seen(
    page: Page, scheme: str
) -> None:
    page.emulate_media(forced_colors="active", color_scheme=scheme)  # type: ignore[arg-type] # Of two literals.
    for kind in KINDS:
        box = page.locator(f".anb-{kind}")
        assert box.evaluate(HARD_TO_SEE) == [], kind
        assert kind in ("chat", "approvals") or box.evaluate(SELECTED) == [True], kind
    page.emulate_media(forced_colors="none", color_scheme="light")


def test_at_twice_the_size_nothing_is_cut_off(page: Page) -> None:
    # A zoom of 200 % leaves half of the window's pixels to the page.
    page.set_viewport_size({"width": 600, "height": 450})
    for kind in KINDS:
        assert page.locator(f".anb-{kind}").evaluate(CUT_OFF) == [], kind
    page.set_viewport_size({"width": 1200, "height": 900})


# Controls whose outline or icon has too little contrast (WCAG 2.2: 3 to 1).
HARD_TO_SEE = """box => {
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (one, two) => {
        const [a, b] = [light(one), light(two)];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
    const isClear = colour => colour === 'transparent' || /rgba\\(.*, 0\\)/.test(colour);
    const ground = getComputedStyle(box).backgroundColor;
    return [...box.querySelectorAll('.anb-button, .anb-input, .anb-mark, .anb-draft')]
        .filter(each => each.checkVisibility() && !each.disabled).filter(each => {
            const style = getComputedStyle(each);
            const behind = isClear(style.backgroundColor) ? ground : style.backgroundColor;
            const isEdged = each.matches('.anb-draft') || contrast(style.borderTopColor, ground) >= 3;
            return !isEdged || contrast(style.color, behind) < 3;
        }).map(each => each.outerHTML);
}"""
# Whether selected items look different.
SELECTED = """box => [...box.querySelectorAll('.anb-shown, .anb-step[aria-selected="true"]')]
    .map(each => getComputedStyle(each).outlineStyle === 'solid')"""
# Content beyond the widget, or cut without an ellipsis.
CUT_OFF = """box => [...box.querySelectorAll('*')].filter(each => {
    if (each.closest('.anb-hidden') || !each.checkVisibility()) return false;
    const style = getComputedStyle(each);
    const isBeyond = each.getBoundingClientRect().right > box.getBoundingClientRect().right + 1;
    const isHidden = style.overflowX === 'hidden' && style.textOverflow !== 'ellipsis'
        && each.scrollWidth > each.clientWidth + 1;
    return (isBeyond && !each.closest('pre')) || isHidden;
}).map(each => each.outerHTML.slice(0, 300))"""
