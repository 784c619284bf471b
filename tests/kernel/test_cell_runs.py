"""Rerun cells in a real kernel that receives cell ids in the form of JupyterLab."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from agno_nb.db.duckdb import DuckDb
from tests.kernel.conftest import WAIT_S, Kernel, Reply

pytestmark = pytest.mark.kernel

STALE = "followed an earlier attempt at turn 0 and"


def turns(kernel: Kernel, *columns: str) -> list[list[Any]]:
    """Return turn, attempt, input and further columns of each stored run."""
    frame = DuckDb(kernel.folder / "agno_nb.duckdb").runs_df()
    return frame[["run_index", "attempt", "input", *columns]].sort_values(["run_index", "attempt"]).values.tolist()


def ask(kernel: Kernel, text: str, cell_id: str | None, line: str = "", expect: str = "ok") -> Reply:
    return kernel.run(f"%%agent {line}\n{text}", cell_id=cell_id, expect=expect)


@pytest.mark.versions
def test_a_cell_that_is_run_again_replaces_its_turn_and_what_came_after_is_stale(kernel: Kernel) -> None:
    ask(kernel, "My name is Ada.", "a")
    ask(kernel, "What is my name?", "b")
    again = ask(kernel, "My name is Bob.", "a")
    assert "Ada" not in again.shown
    assert f"turn 1 {STALE} is stale until run again" in again.shown
    assert turns(kernel, "stale") == [
        [0, 0, "My name is Ada.", False],
        [0, 1, "My name is Bob.", False],
        [1, 0, "What is my name?", True],
    ]
    fresh = ask(kernel, "What is my name?", "b")
    assert "Bob" in fresh.shown
    assert turns(kernel, "stale")[-1] == [1, 1, "What is my name?", False]
    # The line below the first cell is taken back.
    note = next(display for display in again.displays().values() if STALE in display["content"]["data"]["text/plain"])
    display_id = note["content"]["transient"]["display_id"]
    assert fresh.displays()[display_id]["content"]["data"] == {"text/plain": "", "text/html": ""}


def test_run_all_replaces_every_turn_and_leaves_nothing_stale(kernel: Kernel) -> None:
    for _ in range(3):
        for cell_id in "abc":
            ask(kernel, f"Say {cell_id}", cell_id)
    assert [(turn, attempt) for turn, attempt, _ in turns(kernel)] == [(t, a) for t in range(3) for a in range(3)]
    assert [row for row in turns(kernel, "stale", "superseded_by") if row[1] == 2 and row[3]] == []


def test_a_failed_attempt_takes_the_turn_too_and_the_session_goes_on(kernel: Kernel) -> None:
    ask(kernel, "My name is Ada.", "a")
    ask(kernel, "hello", "b")
    kernel.run("from agno_nb import Agent, OpenAIChat")
    kernel.run("away = Agent(OpenAIChat('m', base_url='http://127.0.0.1:9/v1'), name='away', retries=0)")
    session_id = DuckDb(kernel.folder / "agno_nb.duckdb").runs_df()["session_id"][0]
    failed = kernel.run(f"%%agent away -s {session_id}\nhello", cell_id="a", expect="error")
    assert STALE in failed.shown
    assert kernel.run("_agent.status.value").content["status"] == "ok"
    ask(kernel, "My name is Cleo.", "a")
    assert turns(kernel, "status")[:3] == [
        [0, 0, "My name is Ada.", "COMPLETED"],
        [0, 1, "hello", "ERROR"],
        [0, 2, "My name is Cleo.", "COMPLETED"],
    ]


@pytest.mark.versions
def test_a_loop_in_a_cell_has_a_turn_for_each_round(kernel: Kernel) -> None:
    loop = "for n in range({}): get_ipython().run_cell_magic('agent', '', f'Round {{n}}')"
    ask(kernel, "first", "a")
    for rounds in (2, 3):
        kernel.run(loop.format(rounds), cell_id="b")
    assert turns(kernel) == [
        [0, 0, "first"],
        [1, 0, "Round 0"],
        [1, 1, "Round 0"],
        [2, 0, "Round 1"],
        [2, 1, "Round 1"],
        [3, 0, "Round 2"],
    ]


def test_a_copied_cell_is_a_turn_of_its_own_and_a_moved_one_keeps_its_turn(kernel: Kernel) -> None:
    for cell_id in ("a", "copy of a", "a"):
        ask(kernel, "hello", cell_id)
    assert [(turn, attempt) for turn, attempt, _ in turns(kernel)] == [(0, 0), (0, 1), (1, 0)]


def test_append_makes_a_new_turn(kernel: Kernel) -> None:
    ask(kernel, "hello", "a")
    ask(kernel, "hello", "a", "--rerun append")
    kernel.run("%agent --rerun append")
    ask(kernel, "hello", "a")
    assert [(turn, attempt) for turn, attempt, _ in turns(kernel)] == [(0, 0), (1, 0), (2, 0)]


def test_a_branch_leaves_the_session_as_it_is_and_the_next_cells_follow_it(kernel: Kernel) -> None:
    ask(kernel, "My name is Ada.", "a")
    ask(kernel, "My favourite city is Rome.", "b")
    branched = ask(kernel, "My favourite city is Oslo.", "b", "--rerun branch")
    assert "now in a branch" in branched.shown
    assert "Oslo" in ask(kernel, "What is my favourite city?", "c").shown
    assert "Ada" in ask(kernel, "What is my name?", "d").shown
    db = DuckDb(kernel.folder / "agno_nb.duckdb")
    first, second = db.sessions_df()["session_id"]
    assert db.runs_df(session_id=first)["input"].tolist() == ["My name is Ada.", "My favourite city is Rome."]
    assert db.runs_df(session_id=second)["run_index"].tolist() == [0, 1, 2, 3]
    kernel.run(f"%agent resume {first}")
    assert "Rome" in ask(kernel, "What is my favourite city?", "c").shown


def test_a_front_end_that_tells_of_no_cell_gets_a_new_turn_each_time(kernel: Kernel) -> None:
    assert "rerunning a cell adds a new turn" in kernel.run("%agent").shown
    for _ in range(2):
        ask(kernel, "hello", None)
    assert [(turn, attempt) for turn, attempt, _ in turns(kernel)] == [(0, 0), (1, 0)]


def test_after_a_restart_the_last_session_of_the_notebook_can_be_resumed(
    start_kernel: Callable[[], Kernel], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = tmp_path / "talk.ipynb"
    cells = [nbformat.v4.new_code_cell("%%agent\nMy name is Ada.", id="a")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"agno_nb": {"instructions": "Be kind."}}), notebook)
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    first = start_kernel()
    assert first.run("%load_ext agno_nb", cell_id="load").shown == ""
    assert "instructions  from the notebook's metadata" in first.run("%agent", cell_id="s").shown
    ask(first, "My name is Ada.", "a")
    first.kill()
    second = start_kernel()
    loaded = second.run("%load_ext agno_nb", cell_id="load").shown
    assert loaded == "new session; `%agent resume` resumes this notebook's last one"
    assert second.run("%load_ext agno_nb", cell_id="load").shown == ""
    assert "1 turn so far" in second.run("%agent resume").shown
    assert "Ada" in ask(second, "What is my name?", "b").shown
    notebook.rename(tmp_path / "renamed.ipynb")
    assert "renamed.ipynb; rerunning a cell replaces its turn" in second.run("%agent", cell_id="a").shown
    ask(second, "My name is Bob.", "a")
    assert turns(second, "cell_id")[1] == [0, 1, "My name is Bob.", "a"]
    states = "print(__import__('agno_nb').cells_df('renamed.ipynb')[['cell_id', 'cell_state']].values.tolist())"
    assert second.run(states).printed.strip() == "[['b', 'deleted'], ['a', 'edited']]"
    third = start_kernel()
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "renamed.ipynb"))
    fourth = start_kernel()
    for kernel in (third, fourth):
        assert "resumes this notebook's last one" in kernel.run("%load_ext agno_nb", cell_id="a").shown


@pytest.mark.versions
def test_a_notebook_that_fails_in_the_middle_stops_there(tmp_path: Any) -> None:
    sources = ["%load_ext agno_nb", "%%agent\nhello", "%%agent nobody\nhello", "%%agent\nnever asked"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = NotebookClient(
        notebook, timeout=WAIT_S, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    with pytest.raises(Exception, match="no agent is named 'nobody'"):
        client.execute()
    assert [bool(cell.outputs) for cell in notebook.cells] == [False, True, True, False]
    assert DuckDb(tmp_path / "agno_nb.duckdb").runs_df()["input"].tolist() == ["hello"]


def test_a_tool_that_counts_counts_once_when_its_cell_is_run_again(
    start_kernel: Callable[[], Kernel], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "counting.ipynb"))
    counter = """
from agno_nb import Agent, DuckDb

def count(session_state: dict) -> str:
    "Count on."
    session_state["n"] = session_state.get("n", 0) + 1
    return f"The counter stands at {session_state['n']}."

counter = Agent("demo", name="counter", db=DuckDb("agno_nb.duckdb"), session_id="counted", tools=[count])
"""
    first, second = start_kernel(), start_kernel()
    for kernel in (first, second):
        kernel.run("%load_ext agno_nb", cell_id="load")
        kernel.run(counter, cell_id="setup")

    def stands(kernel: Kernel, cell_id: str, line: str = "") -> tuple[str, str]:
        shown = ask(kernel, "count()", cell_id, f"counter {line}").shown
        stored = kernel.run("print(counter.get_session_state())", cell_id="look").printed.strip()
        return re.search(r"stands at \d", shown)[0], stored  # type: ignore[index]

    def n(value: int) -> tuple[str, str]:
        return f"stands at {value}", f"{{'n': {value}}}"

    assert [stands(first, cell_id) for cell_id in "abc"] == [n(1), n(2), n(3)]
    # Another kernel on the same notebook takes back what this one did.
    assert stands(second, "b") == n(2)
    assert stands(first, "c") == n(3)
    # Run All, and a cell that makes a turn of its own each time.
    assert [stands(first, cell_id) for cell_id in "abc"] == [n(1), n(2), n(3)]
    assert stands(first, "c", "--rerun append") == n(4)
    first.run("%agent use counter")
    retried = first.run("%agent retry", cell_id="retry").shown
    assert "stands at 4" in retried
    # A branch begins with the state before its cell's turn, and the session stays as it is.
    assert "stands at 2" in ask(first, "count()", "b", "counter --rerun branch").shown
    assert first.run("print(counter.get_session_state('counted'))").printed.strip() == "{'n': 4}"


def test_run_all_returns_cached_answers_in_a_session_with_summaries(start_kernel: Callable[[], Kernel]) -> None:
    cells = {
        "a": "My name is Ada.",
        "b": "My favourite city is Rome.",
        "c": "What is my name?",
        "d": "Where am I from?",
    }
    first, second = start_kernel(), start_kernel()
    for kernel in (first, second):
        kernel.run("%load_ext agno_nb", cell_id="load")
        kernel.run("%agent --summaries on --history 1 --cache on", cell_id="set")
    # Twice in one session, and once in another of the same store.
    for kernel, is_cached in ((first, False), (first, True), (second, True)):
        shown = [ask(kernel, text, cell_id).shown for cell_id, text in cells.items()]
        assert ["cached" in text for text in shown] == [is_cached] * 4
        kernel.run("%agent summary")
    db = DuckDb(first.folder / "agno_nb.duckdb")
    runs, summaries = db.runs_df(), db.summaries_df()
    assert runs["replay_of_run_id"].isna().tolist() == [True] * 4 + [False] * 8
    assert runs["context_hash"].tolist() == runs["context_hash"].tolist()[:4] * 3
    assert summaries["summary"].tolist() == summaries["summary"].tolist()[:4] * 3
