"""Notebook and cell of a run, as reported by each front end."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from agno_nb.notebook.cell_info import current_execution, is_same_notebook, read_cell_info
from agno_nb.types import CellInfo


def shell(
    *, cell_id: object = None, inputs: tuple[str, ...] = ("%%agent\nHello",), namespace: dict[str, Any] | None = None
) -> SimpleNamespace:
    """A shell while the last of `inputs` runs."""
    metadata = {} if cell_id is None else {"cellId": cell_id}
    history = SimpleNamespace(
        input_hist_raw=["", *inputs], input_hist_parsed=["", *[f"parsed {line}" for line in inputs]]
    )
    kernel = SimpleNamespace(get_parent=lambda: {"metadata": metadata})
    return SimpleNamespace(kernel=kernel, user_ns=namespace or {}, history_manager=history)


HASH = hashlib.sha256(b"%%agent\nHello").hexdigest()[:16]


def test_jupyterlab_tells_notebook_and_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ada/talk.ipynb")
    assert read_cell_info(shell(cell_id="c1", inputs=("1", "2", "%%agent\nHello"))) == CellInfo(
        notebook="/home/ada/talk.ipynb", cell_id="c1", execution_count=3, cell_hash=HASH
    )


def test_the_kernel_s_own_note_of_the_session_is_read_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ada/other.ipynb")
    known = shell(cell_id="c1", namespace={"__session__": "/home/ada/talk.ipynb"})
    assert read_cell_info(known).notebook == "/home/ada/talk.ipynb"


@pytest.mark.parametrize("name", ["talk.py", "talk.md", "talk.qmd", "talk.Rmd"])
def test_a_text_file_can_be_a_notebook(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", f"/home/ada/{name}")
    assert read_cell_info(shell(cell_id="c1")).notebook == f"/home/ada/{name}"
    assert is_same_notebook(f"/home/ada/{name}", "/home/ada/talk.ipynb")


def test_vs_code_tells_the_notebook_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    cell = "vscode-notebook-cell:/home/ada/talk.ipynb#W0sZmlsZQ=="
    known = shell(cell_id=cell, namespace={"__vsc_ipynb_file__": "/home/ada/talk.ipynb"})
    assert read_cell_info(known) == CellInfo(
        notebook="/home/ada/talk.ipynb", cell_id=cell, execution_count=1, cell_hash=HASH
    )


def test_a_notebook_of_another_system_keeps_its_name_and_one_without_a_file_has_none() -> None:
    cell = "vscode-notebook-cell:Untitled-1.ipynb#W0sdW50aXRsZWQ%3D"
    remote = shell(cell_id=cell, namespace={"__vsc_ipynb_file__": "C:\\talks\\talk.ipynb"})
    assert read_cell_info(remote).notebook == "C:\\talks\\talk.ipynb"
    assert read_cell_info(shell(cell_id=cell, namespace={"__vsc_ipynb_file__": "Untitled-1.ipynb"})).notebook is None


def test_colab_tells_the_cell_in_a_place_of_its_own() -> None:
    known = shell()
    known.kernel.get_parent = lambda: {"metadata": {"colab": {"cell_id": "rS4d7tBmgZSR"}}}
    assert read_cell_info(known) == CellInfo(cell_id="rS4d7tBmgZSR", execution_count=1, cell_hash=HASH)
    known.kernel.get_parent = lambda: {"metadata": {"colab": "odd"}}
    assert read_cell_info(known).cell_id is None


def test_a_notebook_run_from_a_notebook_does_not_take_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ada/outer.ipynb")
    assert read_cell_info(shell()) == CellInfo(execution_count=1, cell_hash=HASH)


def test_a_console_is_not_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ada/console-1-6f1c")
    assert read_cell_info(shell(cell_id="c1")).notebook is None


@pytest.mark.parametrize(
    "odd",
    [
        None,
        SimpleNamespace(),
        SimpleNamespace(kernel=None, user_ns={}, history_manager=None),
        SimpleNamespace(kernel=SimpleNamespace(), user_ns={"__session__": 1}),
        SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda: None), history_manager=SimpleNamespace()),
        SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda: {}), user_ns={"__vsc_ipynb_file__": None}),
        SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda: {"metadata": {"cellId": 7}})),
        SimpleNamespace(history_manager=SimpleNamespace(input_hist_raw=[""], input_hist_parsed=[""])),
    ],
)
def test_what_is_not_told_is_none(odd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ada/talk.ipynb")
    assert read_cell_info(odd) == CellInfo()


@pytest.mark.kernel
def test_under_nbclient_the_cell_is_known_by_its_count_and_source_only(tmp_path: Any) -> None:
    source = (
        "from agno_nb.notebook.cell_info import current_execution, read_cell_info\nprint(read_cell_info(get_ipython()))"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1"), nbformat.v4.new_code_cell(source)])
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    expected = CellInfo(execution_count=2, cell_hash=hashlib.sha256(source.encode()).hexdigest()[:16])
    assert notebook.cells[1].outputs[-1].text == f"{expected}\n"


def test_the_servers_id_of_the_kernel_is_in_the_name_of_its_connection_file() -> None:
    known = shell(cell_id="c1")
    known.kernel.parent = SimpleNamespace(connection_file="/run/kernel-5f1c-77.json")
    assert read_cell_info(known).kernel_id == "5f1c-77"
    known.kernel.parent = SimpleNamespace(connection_file="/tmp/tmpab12.json")
    assert read_cell_info(known).kernel_id is None


def write_notebook(path: Path, *cell_ids: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(id=id) for id in cell_ids]), path)
    return path


def test_a_notebook_that_was_renamed_is_found_by_its_cells(tmp_path: Path) -> None:
    known = shell(cell_id="c1", namespace={"__session__": str(tmp_path / "old.ipynb")})
    (tmp_path / "broken.ipynb").write_text("{")
    write_notebook(tmp_path / "other.ipynb", "c2")
    new = write_notebook(tmp_path / "new.ipynb", "c1")
    assert read_cell_info(known).notebook == str(new)
    # A cell that is not saved yet is in the same notebook.
    unsaved = shell(cell_id="c9", namespace={"__session__": str(tmp_path / "old.ipynb")})
    assert read_cell_info(unsaved).notebook == str(new)


def test_of_two_that_have_the_cell_none_is_taken(tmp_path: Path) -> None:
    old = str(tmp_path / "old.ipynb")
    for name in ("one.ipynb", "two.ipynb"):
        write_notebook(tmp_path / name, "c1")
    assert read_cell_info(shell(cell_id="c1", namespace={"__session__": old})).notebook == old


def test_all_that_one_execution_does_is_told_from_the_next() -> None:
    known = shell(cell_id="c1", inputs=("1", "2"))
    assert current_execution(known) == "In [2]"
    known.kernel.get_parent = lambda: {"header": {"msg_id": "m7"}, "metadata": {"cellId": "c1"}}
    assert current_execution(known) == "m7"
    assert current_execution(None) == "In [None]"
