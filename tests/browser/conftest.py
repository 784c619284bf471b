"""JupyterLab and Chromium for the tests of this folder.

They are started once for the folder and not for the session: Playwright's sync API keeps an event loop in the main
thread, beside which no async test of another folder could run.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import Lab, Watched, running_chromium, running_lab
from tests.required import missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="package")
def _libraries() -> None:
    not_here = [name for name in ("jupyterlab", "notebook", "playwright") if importlib.util.find_spec(name) is None]
    if not_here:
        missing(f"not installed: {', '.join(not_here)} (the `browser` extra has them)")


@pytest.fixture(scope="package")
def browser(_libraries: None, chromium: str) -> Iterator[Browser]:
    with running_chromium(chromium) as browser:
        yield browser


@pytest.fixture(scope="package")
def lab(_libraries: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def watched(browser: Browser, lab: Lab) -> Iterator[Watched]:
    """A browser context of the test's own. Whatever leaves the server's origin is refused and written down."""
    watched = Watched.of(browser, lab.url)
    yield watched
    watched.context.close()
