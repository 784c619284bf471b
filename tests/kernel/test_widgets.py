"""Widgets in a real kernel: the display with and without a front end, and the saved output."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kernel.conftest import Kernel, Reply

pytestmark = pytest.mark.kernel

VIEW = "application/vnd.jupyter.widget-view+json"
TWIN = {"text/html", "text/plain"}

SETUP = """
import agno_nb
from agno_nb import Agent, ScriptedModel, tool
from agno_nb.testing import call

@tool(requires_confirmation=True)
def delete(path: str) -> str:
    "Delete a file."
    return f"{path} is gone"

guide = Agent(ScriptedModel(["One **answer**.", "Another."]), name="guide")
careful = Agent(ScriptedModel([call("delete", path="a.txt"), "It is done."]), name="careful", tools=[delete])
"""


@pytest.fixture
def kernel(new_kernel: Kernel) -> Kernel:
    """A process remembers that it has seen a front end, and which panels are open."""
    return new_kernel


def bundles(reply: Reply) -> list[tuple[str, dict[str, Any]]]:
    return [
        (output["content"]["transient"]["display_id"], output["content"]["data"])
        for output in reply.outputs
        if output["msg_type"] in ("display_data", "update_display_data")
    ]


def test_a_panel_is_a_view_with_html_and_text_and_leaves_these_when_it_is_closed(kernel: Kernel) -> None:
    kernel.run(SETUP)
    kernel.run("%%agent guide -s talk\nHello")
    ((display_id, shown),) = bundles(kernel.run("talk = agno_nb.chat(guide, 'talk'); talk", cell_id="c1"))
    assert set(shown) == {VIEW, *TWIN}
    assert "<strong>answer</strong>" in shown["text/html"]
    ((closed_id, left),) = bundles(kernel.run("talk.close(); talk.close()"))
    assert (closed_id, set(left)) == (display_id, TWIN)
    assert "One **answer**." in left["text/plain"]


@pytest.mark.versions
def test_a_cell_that_is_run_again_closes_the_panel_that_it_showed(kernel: Kernel) -> None:
    kernel.run(SETUP)
    kernel.run("panels = []")
    for _ in range(2):
        kernel.run("panels.append(agno_nb.browse()); panels[-1]", cell_id="c1")
    kernel.run("panels.append(agno_nb.browse()); panels[-1]", cell_id="c2")
    assert kernel.run("print([panel._closed for panel in panels])").printed.strip() == "[True, False, False]"


@pytest.mark.parametrize("code", ["agno_nb.chat(guide, 'talk')", "agno_nb.browse()", "agno_nb.trace(_agent)"])
def test_without_a_front_end_there_is_html_and_text_and_no_view(code: str, kernel: Kernel) -> None:
    kernel.run(SETUP)
    kernel.run("%%agent guide -s talk\nHello")
    ((_, shown),) = bundles(kernel.run(code))
    assert set(shown) == TWIN
    assert "Hello" in shown["text/plain"]


def test_a_run_that_is_the_value_of_a_cell_shows_its_answer_and_its_timeline(kernel: Kernel) -> None:
    kernel.run(SETUP)
    kernel.run("%%agent guide -s talk\nHello")
    (shown,) = kernel.run("_agent").displays().values()
    html = shown["content"]["data"]["text/html"]
    assert "<strong>answer</strong>" in html
    assert "Timeline" in html
    assert shown["content"]["data"]["text/plain"].startswith("RunOutput(COMPLETED")


@pytest.mark.versions
def test_a_paused_cell_ends_with_the_panel_in_its_own_output_and_a_command_ends_it(kernel: Kernel) -> None:
    kernel.run(SETUP)
    paused = kernel.run("%%agent careful -s care\nDelete it", cell_id="c1")
    shown = bundles(paused)
    assert len({display_id for display_id, _ in shown}) == 1
    assert set(shown[-1][1]) == {VIEW, *TWIN}
    assert "%agent approve" in shown[-1][1]["text/plain"]
    assert all(VIEW not in data for _, data in shown[:-1])
    answered = kernel.run("%agent approve")
    assert "It is done." in answered.shown


TWICE = """
twice = Agent(ScriptedModel([call("delete", path="a"), call("delete", path="b"), "Both are gone."]), name="twice",
              tools=[delete])
"""


def test_a_run_that_pauses_again_gets_a_panel_in_the_output_of_the_command_that_continued_it(kernel: Kernel) -> None:
    kernel.run(SETUP + TWICE)
    kernel.run("%%agent twice -s care\nDelete both", cell_id="c1")
    again = bundles(kernel.run("%agent approve", cell_id="c2"))
    own = again[0][0]
    *before, last = [data for display_id, data in again if display_id == own]
    assert all(set(data) == TWIN for data in before)
    assert set(last) == {VIEW, *TWIN}
    ended = kernel.run("%agent approve", cell_id="c3")
    assert "Both are gone." in ended.shown
    assert all(VIEW not in data for _, data in bundles(ended))


def test_a_paused_cell_without_a_front_end_says_how_to_answer(kernel: Kernel) -> None:
    kernel.run(SETUP)
    paused = kernel.run("%%agent careful -s care\nDelete it")
    assert all(VIEW not in data for _, data in bundles(paused))
    assert "%agent approve" in paused.shown
