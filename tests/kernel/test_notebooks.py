"""The notebooks run from top to bottom in a real kernel, without a key."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.kernel.conftest import WAIT_S

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.kernel


def is_telling(source: str) -> bool:
    """Whether a cell asks an agent, or ends with a frame."""
    return source.startswith("%%agent") or "_df(" in source.splitlines()[-1]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_lesson_runs_and_shows_something_on_the_next_day_too(notebook: Path, tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    shutil.copytree(notebook.parent, folder)
    for _ in range(2):
        lesson = nbformat.read(folder / notebook.name, as_version=4)
        client = NotebookClient(
            lesson, timeout=WAIT_S, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )

        asyncio.run(client.async_execute())

        cells = [cell for cell in lesson.cells if cell.cell_type == "code"]
        assert [cell.id for cell in cells if is_telling(cell.source) and not cell.outputs] == []
        # Without a front end, widgets leave neither widget views nor scripts in the file.
        assert lesson.metadata.get("widgets") is None
        assert [output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr"] == []
