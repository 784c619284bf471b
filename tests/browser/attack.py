"""Interacts with every element of a page with hostile outputs, and records the effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.browser.lab import Watched
from tests.notebook.hostile import EVIL, PAYLOADS

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Open what is folded, and touch everything as a reader would; links are looked at and not followed.
PROVOKE = """() => {
    const outputs = [...document.querySelectorAll('.jp-OutputArea-output')];
    const elements = outputs.flatMap(output => [...output.querySelectorAll('*')]);
    for (const element of elements) {
        if (element.tagName === 'DETAILS') element.open = true;
        for (const kind of ['mouseover', 'mouseenter', 'focus', 'pointerdown', 'animationstart', 'toggle']) {
            element.dispatchEvent(new Event(kind, {bubbles: false}));
        }
        if (!element.closest('a')) element.dispatchEvent(new MouseEvent('click', {bubbles: true}));
    }
    return {
        outputs: outputs.length,
        links: elements.filter(e => e.hasAttribute('href')).map(e => e.getAttribute('href').split(':')[0]),
        linkers: elements.filter(e => e.hasAttribute('data-commandlinker-command')).length,
        live: elements.filter(e => e.matches(
            'script, iframe, object, embed, form, input, img, video, audio, style, link, meta, base, template'
        )).map(e => e.outerHTML),
    };
}"""


@dataclass(frozen=True)
class Attack:
    """The effects of interacting with every element of a page with hostile outputs."""

    outputs: int
    links: set[str]
    linkers: int
    live: list[str]
    executed: list[str]
    dialogs: list[str]
    fetched: list[str]

    @classmethod
    def on(cls, page: Page, watched: Watched) -> Attack:
        found = page.evaluate(PROVOKE)
        # After two frames, everything that was started has run.
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return cls(
            outputs=found["outputs"],
            links=set(found["links"]),
            linkers=found["linkers"],
            live=found["live"],
            executed=watched.executed,
            dialogs=watched.dialogs,
            fetched=[address for address in watched.fetched if address.startswith(EVIL)],
        )


def nothing_from(outputs: int) -> Attack:
    """Return what has to come of so many outputs: links to the web, and no more."""
    return Attack(outputs=outputs, links={"http", "https"}, linkers=0, live=[], executed=[], dialogs=[], fetched=[])


def await_formulas(page: Page) -> None:
    """Wait until MathJax has set what it takes for formulas in the answers, each output for itself."""
    from playwright.sync_api import expect

    formulas = sum(payload.startswith(("$", "\\begin")) for payload in PAYLOADS)
    set_by_mathjax = page.locator(".jp-OutputArea-output", has=page.locator("mjx-container"))
    expect(set_by_mathjax).to_have_count(formulas)
