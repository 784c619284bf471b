"""Completion in the magics in JupyterLab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import Lab, NotebookPage, Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

SETUP = """
%load_ext agno_nb
%agent --db completion.duckdb
import pandas as pd
from types import SimpleNamespace
from agno_nb import Agent
stock = pd.DataFrame({"quantity": [1]})
place = SimpleNamespace(country="Italy")
guide = Agent("demo", name="guide")
get_ipython().run_cell_magic("agent", "-s night-trains", "I love trains.")
"""
TYPED = 1


@pytest.fixture(scope="module")
def notebook(lab: Lab, browser: Browser) -> Iterator[NotebookPage]:
    """A notebook with a session, an agent, a DataFrame and an empty cell to type into."""
    watched = Watched.of(browser, lab.url)
    notebook = NotebookPage.open(watched.page(), lab, lab.write_notebook("completion.ipynb", [SETUP, ""]))
    notebook.run(0)
    assert notebook.error(0) is None
    yield notebook
    notebook.close_kernel()
    watched.context.close()


@pytest.mark.parametrize(
    ("code", "offered"),
    [
        ("%agent --mo|", {"--model": "option"}),
        ("%agent --model ol|", {"ollama:llama3.2": "model"}),
        ("%agent --rerun b|", {"branch": "rerun"}),
        ("%agent re|", dict.fromkeys(("reject", "rename", "resume", "retry"), "command")),
        ("%agent resume ni|", {"night-trains": "session"}),
        ("%agent use gu|", {"guide": "agent"}),
        ("%%agent gu|\nhello", {"guide": "agent"}),
        ("%%agent -s ni|\nhello", {"night-trains": "session"}),
        ("%%agent -f j|\nhello", {"json": "format"}),
        ("%%agent\nHow much is {sto|", {"stock": "instance"}),
        ("%%agent\nWhere is {place.cou|", {"country": "instance"}),
        (
            "%%agent_sql\nselect * from s|",
            {**dict.fromkeys(("sessions", "steps", "stock", "summaries"), "table"), "select": "keyword"},
        ),
        ("%%agent_sql\nselect qu| from stock", {"quantity": "column"}),
        ("%%agent_sql\nselect r.run_i| from runs as r", {"run_id": "column", "run_index": "column"}),
        ("%agent_sql select quan| from stock", {"quantity": "column"}),
    ],
)
def test_tab_offers_what_there_is_and_says_what_it_is(
    notebook: NotebookPage, code: str, offered: dict[str, str]
) -> None:
    assert notebook.complete(TYPED, code) == offered
    notebook.page.keyboard.press("Escape")


def test_enter_takes_what_is_offered(notebook: NotebookPage) -> None:
    notebook.complete(TYPED, "%%agent -s ni|\nhello")
    notebook.page.keyboard.press("Enter")
    assert notebook.source(TYPED) == "%%agent -s night-trains\nhello"
