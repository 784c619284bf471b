"""Outputs in the ``.ipynb`` file: their size, and differences between runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from agno_nb.db.duckdb import DuckDb
from tests.kernel.conftest import WAIT_S

pytestmark = pytest.mark.kernel

BYTES_PER_ANSWER = 1_200
"""For an answer of some words, with all that is around it: ids, style and footer."""


def executed(sources: list[str], folder: Path) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = NotebookClient(
        notebook, timeout=WAIT_S, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return notebook


def size(notebook: nbformat.NotebookNode) -> int:
    return len(nbformat.writes(notebook).encode())


def without_outputs(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    cleared = nbformat.from_dict(notebook)
    for cell in cleared.cells:
        cell.outputs, cell.execution_count, cell.metadata = [], None, {}
    return cleared


def test_a_hundred_answered_cells_stay_small_and_clear_with_their_outputs(tmp_path: Path) -> None:
    notebook = executed(["%load_ext agno_nb", *(f"%%agent\nRemember number {n}." for n in range(100))], tmp_path)
    assert all(len(cell.outputs) == 1 for cell in notebook.cells[1:])
    assert "widgets" not in notebook.metadata
    cleared = without_outputs(notebook)
    assert size(notebook) - size(cleared) < 100 * BYTES_PER_ANSWER
    assert "agno_nb" not in cleared.metadata


def test_a_notebook_with_cached_answers_is_the_same_each_time_it_is_run(tmp_path: Path) -> None:
    tool = "def price(item: str) -> float:\n    'Price of an item.'\n    return 2.5\n"
    sources = [
        "%load_ext agno_nb\n%agent --cache on",
        f"{tool}\n%agent tools price",
        "from agno_nb import Agent, Workflow\n"
        "def shout(step_input):\n    return step_input.message.upper()\n"
        "line = Workflow([Agent('demo', name='first'), shout], name='line')",
        '%%agent\nprice(item="tea")',
        "%%agent\nWhat did I ask?",
        "%%agent line\nHello",
    ]
    first, second, third = (executed(sources, tmp_path) for _ in range(3))
    shown = [
        [output.data for cell in notebook.cells[3:] for output in cell.outputs] for notebook in (first, second, third)
    ]
    assert shown[1] == shown[2]
    assert all("cached: no model was called" in data["text/html"] for data in shown[1])
    assert [data["text/plain"] for data in shown[1]] == [
        f"{data['text/plain']}\n\n(cached: no model was called)" for data in shown[0]
    ]
    runs = DuckDb(tmp_path / "agno_nb.duckdb").runs_df()
    runs = runs[runs["component_name"] == "notebook"]
    assert runs["session_id"].nunique() == 3
    assert runs["replay_of_run_id"].isna().tolist() == [True] * 2 + [False] * 4


CARDS = {
    "answer": "%%agent\nHello",
    "table": "%%agent tabular\nGo",
    "paused": "%%agent\nkeep(item='tea')",
    "cached": "%%agent tabular\nGo",
    "team": "%%agent crew\nGo",
    "workflow": "%%agent line\nGo",
    "cached workflow": "%%agent line\nGo",
}
SETUP = """
from agno_nb import Agent, FunctionModel, ScriptedModel, Team, Workflow, tool
from agno_nb.testing import call

@tool(requires_confirmation=True)
def keep(item: str) -> str:
    "Keep an item."
    return "kept"

def count(step_input):
    return f"{len(step_input.message)} letters, <b>all</b>"

table = "| a | b |\\n|---|---|\\n| 1 | ![x](http://e.invalid/x.png) |\\n\\n```python\\n1 + 1\\n```"
tabular = Agent(FunctionModel(lambda messages, tools: table), name="tabular")
poet = Agent(ScriptedModel(["Leaves fall."]), name="poet")
ask = call("delegate_task_to_member", member_id="poet", task="Leaves")
crew = Team([poet], model=ScriptedModel([ask, "Here it is."]), name="crew")
line = Workflow([Agent(ScriptedModel(["Rain."]), name="first"), count], name="line")
"""


class Elements(HTMLParser):
    """Collects what a fragment is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.styles: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.styles += [value or "" for name, value in attrs if name == "style"]


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, nbformat.NotebookNode]:
    """The saved output of each kind of card."""
    sources = [f"%load_ext agno_nb\n%agent --cache on\n{SETUP}", "%agent tools keep", *CARDS.values()]
    notebook = executed(sources, tmp_path_factory.mktemp("cards"))
    assert "widgets" not in notebook.metadata
    outputs = [cell.outputs for cell in notebook.cells[2:]]
    assert [len(each) for each in outputs] == [1] * len(CARDS)
    return {kind: each[0] for kind, each in zip(CARDS, outputs, strict=True)}


@pytest.mark.parametrize("kind", CARDS)
def test_a_card_needs_nothing_of_the_front_end_that_shows_it(
    cards: dict[str, nbformat.NotebookNode], kind: str
) -> None:
    card = cards[kind]
    assert (card.output_type, set(card.data)) == ("display_data", {"text/html", "text/plain"})
    assert {name: sorted(ids) for name, ids in card.metadata.items()} == {"agno_nb": ["run_id", "session_id"]}
    elements = Elements(card.data["text/html"])
    assert elements.tags <= {
        "a", "b", "code", "details", "div", "em", "p", "pre", "span", "strong", "summary",
        "table", "tbody", "td", "th", "thead", "tr",
    }  # fmt: skip
    # No class, which would need a style sheet; no id, no handler, nothing that is fetched.
    assert elements.attributes <= {"style", "open", "href", "rel", "target", "title"}
    styles = ";".join(elements.styles)
    assert "url(" not in styles
    # A colour or a font of JupyterLab has something in its place elsewhere.
    assert re.findall(r"var\(--[\w-]+\)", styles) == []


def test_the_notice_of_the_demo_model_is_saved_next_to_the_answer(cards: dict[str, nbformat.NotebookNode]) -> None:
    assert "I am the demo model" in cards["answer"].data["text/html"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("answer", "Hello! I can answer from the messages that I am sent"),
        ("table", "| a | b |"),
        ("paused", "keep"),
        ("cached", "(cached: no model was called)"),
        ("team", "Here it is."),
        ("workflow", "5 letters, <b>all</b>"),
        ("cached workflow", "(cached: no model was called)"),
    ],
)
def test_a_card_says_the_same_as_plain_text(cards: dict[str, nbformat.NotebookNode], kind: str, said: str) -> None:
    assert said in cards[kind].data["text/plain"]
