"""What is left in the ``.ipynb``: how large it gets, what differs from run to run, and that all of it is output."""

from __future__ import annotations

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


def test_a_replayed_notebook_is_the_same_each_time_it_is_run(tmp_path: Path) -> None:
    tool = "def price(item: str) -> float:\n    'Price of an item.'\n    return 2.5\n"
    sources = [
        "%load_ext agno_nb\n%agent --replay on",
        f"{tool}\n%agent tools price",
        '%%agent\nprice(item="tea")',
        "%%agent\nWhat did I ask?",
    ]
    first, second, third = (executed(sources, tmp_path) for _ in range(3))
    shown = [[output.data for cell in notebook.cells for output in cell.outputs] for notebook in (first, second, third)]
    assert shown[1] == shown[2]
    assert all("replayed: no model was asked" in data["text/html"] for data in shown[1])
    assert [data["text/plain"] for data in shown[1]] == [
        f"{data['text/plain']}\n\n(replayed: no model was asked)" for data in shown[0]
    ]
    runs = DuckDb(tmp_path / "agno_nb.duckdb").runs_df()
    assert runs["session_id"].nunique() == 3
    assert runs["replay_of_run_id"].isna().tolist() == [True] * 2 + [False] * 4
