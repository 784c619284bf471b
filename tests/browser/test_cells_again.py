"""Rerun cells in JupyterLab: attempts, stale turns, a restart, a rename, a cached answer."""

from __future__ import annotations

import pytest

from agno_nb.db.duckdb import DuckDb
from tests.browser.attack import Attack, nothing_from
from tests.browser.lab import Lab, NotebookPage, Watched
from tests.notebook.hostile import PAYLOADS

pytestmark = pytest.mark.browser

LOAD, FIRST, SECOND, RESUME = range(4)
CELLS = [
    "%load_ext agno_nb\n%agent --db {}.duckdb",
    "name = globals().get('name', 'Ada')\nget_ipython().run_cell_magic('agent', '', 'My name is {name}.')",
    "%%agent\nWhat is my name?",
    "%agent resume",
]

# Every payload is a prompt, an answer, a variable's value, a session's name, and the name of an agent and of its tool.
HOSTILE = """
%load_ext agno_nb
%agent --db hostile_looks.duckdb
from IPython.display import display
from agno_nb import Agent, ScriptedModel
from agno_nb.testing import call
from tests.notebook.hostile import PAYLOADS

def agent(line, cell=None):
    shell = get_ipython()
    shell.run_line_magic("agent", line) if cell is None else shell.run_cell_magic("agent", line, cell)

for payload in PAYLOADS:
    model = ScriptedModel([[call(payload, text=payload)], payload] * 2, id=payload)
    evil = Agent(model, name=payload, instructions=payload, add_history_to_context=True)
    agent("use evil")
    agent("", "{payload}")
    agent("-f text", "{payload}")
    evil.store.rename_session(_agent.session_id, session_name=payload)
    for command in ("history", "runs", "context", "context 0", "rename", "use", "tools", "fork 0"):
        agent(command)
    display(_agent, _agent.context(), evil, evil.get_session(_agent.session_id))
"""


def written(name: str) -> list[str]:
    return [CELLS[LOAD].replace("{}", name), *CELLS[1:]]


def shown(notebook: NotebookPage, cell: int) -> str:
    return "\n".join(output["data"]["text/plain"] for output in notebook.outputs(cell))


def test_a_cell_that_is_run_again_replaces_its_turn_and_flags_what_came_after(lab: Lab, watched: Watched) -> None:
    path = lab.write_notebook("again.ipynb", [*written("again"), "name = 'Bob'"])
    notebook = NotebookPage.open(watched.page(), lab, path)
    for cell in (LOAD, FIRST, SECOND):
        notebook.run(cell)
    assert "Ada" in shown(notebook, SECOND)
    notebook.run(4)
    notebook.run(FIRST)
    assert "turn 1 followed an earlier attempt at turn 0" in shown(notebook, FIRST)
    assert "attempt 2" in notebook.output_area(FIRST).inner_text()
    notebook.run(SECOND)
    assert "Bob" in shown(notebook, SECOND)
    assert "followed an earlier attempt" not in shown(notebook, FIRST)
    saved = notebook.save()
    runs = DuckDb(lab.folder / "again.duckdb").runs_df()
    assert runs[["run_index", "attempt", "cell_id"]].values.tolist() == [
        [0, 0, saved.cells[FIRST].id],
        [1, 0, saved.cells[SECOND].id],
        [0, 1, saved.cells[FIRST].id],
        [1, 1, saved.cells[SECOND].id],
    ]
    assert set(runs["notebook"]) == {str(path)}
    assert runs["kernel_id"].notna().all()
    notebook.close_kernel()


def test_run_all_leaves_nothing_stale_in_the_file(lab: Lab, watched: Watched) -> None:
    path = lab.write_notebook("run_all.ipynb", written("run_all")[:RESUME])
    notebook = NotebookPage.open(watched.page(), lab, path)
    for _ in range(2):
        notebook.run_all()
    assert "stale" not in "\n".join(shown(notebook, cell) for cell in (FIRST, SECOND))
    runs = DuckDb(lab.folder / "run_all.duckdb").runs_df()
    # The extension is loaded once, so the session continues.
    assert runs["session_id"].nunique() == 1
    assert runs[runs["superseded_by"].isna()][["run_index", "attempt", "stale"]].values.tolist() == [
        [0, 1, False],
        [1, 1, False],
    ]
    notebook.close_kernel()


def test_a_cell_that_is_run_again_can_append_or_branch_and_is_compared_with_the_file(
    lab: Lab, watched: Watched
) -> None:
    compare = "from agno_nb import cells_df\ncells_df()[['cell_state', 'cell_index', 'run_index', 'input']]"
    path = lab.write_notebook("policies.ipynb", [*written("policies")[:RESUME], "%agent --rerun append", compare])
    notebook = NotebookPage.open(watched.page(), lab, path)
    for cell in (LOAD, FIRST, SECOND, 3, SECOND):
        notebook.run(cell)
    assert "Ada" in shown(notebook, SECOND)
    assert "attempt" not in notebook.output_area(SECOND).inner_text()

    # The branch starts before the cell's turn; later turns stay in the session.
    notebook.write(3, "%config AgnoNb.rerun = 'branch'\nname = 'Bob'")
    for cell in (3, FIRST, SECOND):
        notebook.run(cell)
    assert "now in a branch without the later turns" in shown(notebook, FIRST)
    assert "Bob" in shown(notebook, SECOND)
    runs = DuckDb(lab.folder / "policies.duckdb").runs_df()
    assert runs[["run_index", "attempt", "input"]].values.tolist() == [
        [0, 0, "My name is Ada."],
        [1, 0, "What is my name?"],
        [2, 0, "What is my name?"],
        [0, 0, "My name is Bob."],
        [1, 0, "What is my name?"],
    ]
    assert runs["session_id"].nunique() == 2

    notebook.write(SECOND, "%%agent\nWho am I?")
    notebook.page.evaluate(
        "cell => { jupyterapp.shell.currentWidget.content.activeCellIndex = cell;"
        " return jupyterapp.commands.execute('notebook:delete-cell'); }",
        FIRST,
    )
    notebook.save()
    notebook.run(3)
    rows = notebook.output_area(3).locator("tbody tr")
    states = rows.evaluate_all("rows => rows.map(row => [...row.cells].slice(1, 4).map(cell => cell.innerText))")
    assert states == [
        ["deleted", "<NA>", "0"],
        ["edited", "1", "1"],
        ["edited", "1", "2"],
        ["deleted", "<NA>", "0"],
        ["edited", "1", "1"],
    ]
    notebook.close_kernel()


def test_the_session_is_resumed_after_a_restart_and_follows_a_rename(lab: Lab, watched: Watched) -> None:
    sources = written("before")
    sources[LOAD] = "import os\nos.environ['AGNO_NB_DB'] = 'before.duckdb'\n%load_ext agno_nb"
    path = lab.write_notebook("before.ipynb", sources)
    notebook = NotebookPage.open(watched.page(), lab, path)
    for cell in (LOAD, FIRST):
        notebook.run(cell)
    assert notebook.outputs(LOAD) == []
    notebook.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    notebook.await_kernel()
    notebook.run(LOAD)
    assert shown(notebook, LOAD) == "new session; `%agent resume` resumes this notebook's last one"
    notebook.run(RESUME)
    assert "1 turn so far" in shown(notebook, RESUME)
    notebook.run(SECOND)
    assert "Ada" in shown(notebook, SECOND)
    notebook.save()
    notebook.page.evaluate("() => jupyterapp.serviceManager.contents.rename('before.ipynb', 'after.ipynb')")
    notebook.run(SECOND)
    runs = DuckDb(lab.folder / "before.duckdb").runs_df()
    assert runs[["run_index", "attempt"]].values.tolist() == [[0, 0], [1, 0], [1, 1]]
    assert [name.rsplit("/", 1)[1] for name in runs["notebook"]] == ["before.ipynb", "before.ipynb", "after.ipynb"]
    notebook.close_kernel()


def test_a_cached_answer_is_marked_on_the_page_and_in_the_file(lab: Lab, watched: Watched) -> None:
    sources = [f"{written('cache')[LOAD]} --cache on", *CELLS[1:3], "%agent new"]
    path = lab.write_notebook("cache.ipynb", sources)
    notebook = NotebookPage.open(watched.page(), lab, path)
    for _ in range(2):
        for cell in (LOAD, FIRST, SECOND, 3):
            notebook.run(cell)
    assert "cached: no model was called" in notebook.output_area(SECOND).inner_text()
    saved = notebook.save()
    assert saved.cells[SECOND].outputs[0].data["text/plain"].endswith("(cached: no model was called)")
    assert "Ada" in saved.cells[SECOND].outputs[0].data["text/plain"]
    notebook.close_kernel()


def test_nothing_hostile_comes_alive_in_what_the_commands_show(lab: Lab, watched: Watched) -> None:
    notebook = NotebookPage.open(watched.page(), lab, lab.write_notebook("hostile_looks.ipynb", [HOSTILE]))
    notebook.run(0)
    assert notebook.error(0) is None
    outputs = notebook.outputs(0)
    # The first is the note on the store.
    assert len(outputs) == 1 + len(PAYLOADS) * (3 + 8 + 4)
    assert all(set(output["data"]) == {"text/html", "text/plain"} for output in outputs)
    assert Attack.on(notebook.page, watched) == nothing_from(outputs=len(outputs))
    assert watched.fetched == []
    notebook.close_kernel()
