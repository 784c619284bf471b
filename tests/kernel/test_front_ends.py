"""Execution requests of each front end, and a terminal that sends none."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from agno_nb.db.duckdb import DuckDb
from tests.kernel.conftest import WAIT_S, Kernel, Reply

pytestmark = [pytest.mark.kernel, pytest.mark.versions]


def turns(folder: Path, *columns: str) -> list[list[Any]]:
    frame = DuckDb(folder / "agno_nb.duckdb").runs_df()
    return frame[["run_index", "attempt", "input", *columns]].sort_values(["run_index", "attempt"]).values.tolist()


def open_in_vs_code(kernel: Kernel, path: str) -> None:
    """Say what VS Code tells a kernel that it has started for a notebook."""
    kernel.client.execute(
        f"__vsc_ipynb_file__ = {path!r}\n%config Completer.use_jedi = False", silent=True, store_history=False
    )


def in_vs_code(kernel: Kernel, path: Path, number: int, code: str) -> Reply:
    """Run the cell that VS Code has given this number when the notebook was opened, or the cell was made."""
    # The metadata of the cell is sent along.
    metadata = {"cellId": f"vscode-notebook-cell:{path}#W{number}sZmlsZQ%3D%3D", "tags": ["talk"]}
    return kernel.run(code, metadata=metadata)


def in_colab(kernel: Kernel, cell_id: str, code: str) -> Reply:
    return kernel.run(code, metadata={"colab": {"cell_id": cell_id}})


def test_vs_code_tells_notebook_and_cell(kernel: Kernel, tmp_path: Path) -> None:
    path = tmp_path / "talk.ipynb"
    open_in_vs_code(kernel, str(path))
    assert "talk.ipynb; rerunning a cell replaces its turn" in in_vs_code(kernel, path, 0, "%agent").shown
    in_vs_code(kernel, path, 1, "%%agent\nMy name is Ada.")
    in_vs_code(kernel, path, 2, "%%agent\nWhat is my name?")
    again = in_vs_code(kernel, path, 1, "%%agent\nMy name is Bob.")
    assert "turn 1 followed an earlier attempt at turn 0 and is stale until run again" in again.shown
    cells = [f"vscode-notebook-cell:{path}#W{number}sZmlsZQ%3D%3D" for number in (1, 1, 2)]
    assert turns(tmp_path, "notebook", "cell_id") == [
        [0, 0, "My name is Ada.", str(path), cells[0]],
        [0, 1, "My name is Bob.", str(path), cells[1]],
        [1, 0, "What is my name?", str(path), cells[2]],
    ]
    assert "W1sZmlsZ" in kernel.run("%agent runs").shown


def test_vs_code_numbers_cells_anew_and_none_takes_the_turn_of_another(
    start_kernel: Callable[[], Kernel], tmp_path: Path
) -> None:
    path = tmp_path / "talk.ipynb"
    sources = ["%%agent -s talk\nhello", "%%agent -s talk\nbye"]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in sources]), path)
    first, second = start_kernel(), start_kernel()
    for kernel in (first, second):
        open_in_vs_code(kernel, str(path))
        kernel.run("%load_ext agno_nb")
    in_vs_code(first, path, 5, sources[1])
    # The cell that is the fifth now was another before the notebook was closed.
    in_vs_code(second, path, 5, sources[0])
    in_vs_code(second, path, 5, sources[0])
    assert turns(tmp_path) == [[0, 0, "bye"], [1, 0, "hello"], [1, 1, "hello"]]
    # Its ids are not in the file. The cells are known by their source.
    states = "from agno_nb import cells_df\nprint(cells_df()[['cell_state', 'cell_index']].values.tolist())"
    assert in_vs_code(second, path, 6, states).printed.strip() in (
        "[['linked', 1], ['moved', 0]]",
        "[['moved', 1], ['linked', 0]]",
    )


def test_a_notebook_of_vs_code_that_has_no_file_yet_has_no_name(kernel: Kernel) -> None:
    open_in_vs_code(kernel, "Untitled-1.ipynb")
    shown = in_vs_code(kernel, Path("Untitled-1.ipynb"), 0, "%agent").shown
    assert "rerunning a cell replaces its turn; this front end does not report the notebook's name" in shown


def test_colab_tells_the_cell(kernel: Kernel, tmp_path: Path) -> None:
    assert "rerunning a cell replaces its turn; this front end" in in_colab(kernel, "rS4d7tBmgZSR", "%agent").shown
    in_colab(kernel, "rS4d7tBmgZSR", "%%agent\nMy name is Ada.")
    in_colab(kernel, "Yx2pWq0aLk3m", "%%agent\nhello")
    in_colab(kernel, "rS4d7tBmgZSR", "%%agent\nMy name is Bob.")
    assert [row[:3] for row in turns(tmp_path)] == [
        [0, 0, "My name is Ada."],
        [0, 1, "My name is Bob."],
        [1, 0, "hello"],
    ]
    # Downloaded notebooks have the cell ids in the metadata.
    cell = {"cell_type": "code", "metadata": {"id": "rS4d7tBmgZSR"}, "source": ["%%agent\n", "My name is Bob."]}
    cell |= {"execution_count": None, "outputs": []}
    saved = nbformat.from_dict({"nbformat": 4, "nbformat_minor": 0, "metadata": {}, "cells": [cell]})
    (tmp_path / "talk.ipynb").write_text(nbformat.writes(saved))
    states = "from agno_nb import cells_df\nprint(cells_df('talk.ipynb')[['cell_id', 'cell_state']].values.tolist())"
    assert kernel.run(states).printed.strip() == "[['rS4d7tBmgZSR', 'linked']]"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("ipython_config.py", "c.InteractiveShellApp.extensions = ['agno_nb']"),
        ("startup/00.py", "get_ipython().run_line_magic('load_ext', 'agno_nb')"),
    ],
)
def test_an_extension_that_is_loaded_before_the_first_cell_finds_its_notebook(
    start_kernel: Callable[[], Kernel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, text: str
) -> None:
    profile = tmp_path / "ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / file).write_text(text)
    path = tmp_path / "talk.ipynb"
    saved = nbformat.v4.new_notebook(metadata={"agno_nb": {"instructions": "Answer in German."}})
    nbformat.write(saved, path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    first, second, third = start_kernel(), start_kernel(), start_kernel()
    assert first.run("%%agent\nMy name is Ada.", cell_id="a").shown.startswith("Noted: your name is Ada")
    shown = first.run("%agent", cell_id="b").shown
    assert "talk.ipynb; rerunning a cell replaces its turn" in shown
    assert "from the notebook's metadata" in shown
    assert second.run("1 + 1", cell_id="c").shown == "2"
    assert second.run("%agent resume", cell_id="d").shown.endswith(": 1 turn so far")
    assert "Ada" in second.run("%%agent\nWhat is my name?", cell_id="e").shown
    note = "new session; `%agent resume` resumes this notebook's last one"
    assert third.run("%%agent\nhello", cell_id="f").shown.startswith(note)
    assert note not in third.run("%%agent\nhello", cell_id="g").shown


def test_a_text_notebook_of_jupytext_has_a_name_and_the_cells_of_its_pair(
    start_kernel: Callable[[], Kernel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text, pair = tmp_path / "talk.py", tmp_path / "talk.ipynb"
    text.write_text("# %% language='agent'\n# hello\n")
    monkeypatch.setenv("JPY_SESSION_NAME", str(text))
    first, second = start_kernel(), start_kernel()
    first.run("%load_ext agno_nb", cell_id="a")
    first.run("%%agent\nhello", cell_id="b")
    assert "talk.py; rerunning a cell replaces its turn, until you reopen it" in first.run("%agent", cell_id="c").shown
    states = "from agno_nb import cells_df\nprint(cells_df()[['cell_state', 'notebook']].values.tolist())"
    refused = first.run(states, cell_id="d", expect="error").content["evalue"]
    assert refused.endswith("talk.py' is not a readable notebook; pair it with an .ipynb file in Jupytext")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%agent\nhello", id="b")]), pair)
    assert first.run(states, cell_id="d").printed.strip() == f"[['linked', '{text}']]"
    assert "talk.py; rerunning a cell replaces its turn\n" in first.run("%agent", cell_id="c").shown
    # The other file of the pair is the same notebook.
    second.run(f"import os; os.environ['JPY_SESSION_NAME'] = {str(pair)!r}; __session__ = {str(pair)!r}")
    loaded = second.run("%load_ext agno_nb", cell_id="a")
    assert loaded.shown == "new session; `%agent resume` resumes this notebook's last one"
    second.run("%agent resume", cell_id="c")
    second.run("%%agent\nhello again", cell_id="b")
    assert turns(tmp_path, "notebook") == [[0, 0, "hello", str(text)], [0, 1, "hello again", str(pair)]]


def test_ipython_in_a_terminal_answers_as_text(python: str, tmp_path: Path) -> None:
    # Two empty lines end a cell magic.
    cell = ["%%agent -o answer", "My name is Ada.", "", ""]
    lines = ["%load_ext agno_nb", "%agent", *cell, "print(answer.status)", "exit"]
    ours, theirs = pty.openpty()
    command = [python, "-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit", "--colors=NoColor"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "dumb"}
    ) as terminal:
        os.close(theirs)
        os.write(ours, "".join(f"{line}\n" for line in lines).encode())
        limit = threading.Timer(WAIT_S, terminal.kill)
        limit.start()
        said = read_all(ours)
        limit.cancel()
        assert terminal.wait(WAIT_S) == 0
    assert "this front end does not report cell ids, so rerunning a cell adds a new turn" in said
    assert "Ada" in said.split("My name is Ada.")[-1]
    assert "COMPLETED" in said
    assert "<div" not in said
    assert turns(tmp_path) == [[0, 0, "My name is Ada."]]


def read_all(terminal: int) -> str:
    """Read what a program writes to its terminal, until it ends."""
    said = b""
    try:
        while piece := os.read(terminal, 4096):
            said += piece
    except OSError:  # So Linux says that the other side has ended.
        pass
    finally:
        os.close(terminal)
    return said.decode()


def test_agents_in_threads_of_a_cell_are_bound_to_it(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run("from concurrent.futures import ThreadPoolExecutor\nfrom agno_nb import Agent, DuckDb")
    kernel.run("one = Agent('demo', db=DuckDb('agno_nb.duckdb'))")
    reply = kernel.run(
        "with ThreadPoolExecutor(3) as pool:\n"
        "    runs = list(pool.map(lambda n: one.run(f'hello {n}', session_id=str(n)), range(3)))\n"
        "print([run.status.value for run in runs])",
        cell_id="c1",
    )
    assert reply.printed.strip() == "['COMPLETED', 'COMPLETED', 'COMPLETED']"
    assert sorted(turns(tmp_path, "cell_id")) == [[0, 0, f"hello {n}", "c1"] for n in range(3)]


def test_an_agent_cell_stands_within_other_cell_magics(kernel: Kernel, tmp_path: Path) -> None:
    assert kernel.run("%%capture held\n%%agent\nhello one", cell_id="a").outputs == []
    timed = kernel.run("%%time\n%%agent\nhello two", cell_id="b")
    assert "Wall time" in timed.printed
    assert "hello two" in timed.shown
    shown = kernel.run("held.outputs[0]").displays()
    assert "hello one" in next(iter(shown.values()))["content"]["data"]["text/plain"]
    assert turns(tmp_path, "cell_id") == [[0, 0, "hello one", "a"], [1, 0, "hello two", "b"]]
