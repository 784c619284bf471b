"""How a run or a call ended reads the same in cells, lists, widgets, timelines and terminals."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from agno_nb import Agent, browse, chat, trace
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.notebook.markdown import plain_title
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.registration import register_displays
from agno_nb.notebook.settings import AgnoNb
from agno_nb.run_view import call_state
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import RunOutput, RunStatus, ToolCall
from agno_nb.utils.pprint import pprint_run_response
from agno_nb.widgets.conversation import answer_html
from tests.notebook.command_line import run_command
from tests.notebook.test_render import Elements
from tests.widgets.browser import Browser

KILLED = """
import os
from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.testing import ScriptedModel, call

def die() -> str:
    os.kill(os.getpid(), 9)

Agent(ScriptedModel([call("die")]), name="guide", tools=[die], db=DuckDb("store.duckdb")).run("go", session_id="s")
"""


@tool(requires_confirmation=True)
def delete(path: str) -> str:
    """Delete a file."""
    return f"{path} is deleted"


def notebook_of(db: Db) -> tuple[Notebook, Agent]:
    agent = Agent(ScriptedModel([call("delete", path="a"), "Done."] * 2), name="guide", tools=[delete], db=db)
    notebook = Notebook({"guide": agent}, Path.cwd(), AgnoNb())
    notebook.runnable = agent
    return notebook, agent


def test_a_killed_run_is_interrupted_everywhere(
    tmp_path: Path, python: str, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = [python, "-W", "error", "-c", KILLED]
    assert subprocess.run(killed, cwd=tmp_path, capture_output=True, check=False).returncode == -9
    db = DuckDb(tmp_path / "store.duckdb")
    (run,) = db.get_runs("s")
    assert (run.status, run.interrupted) == (RunStatus.RUNNING, True)
    assert (run.model, run.model_provider, run.served_model) == ("scripted", "test", None)
    assert repr(run).startswith("RunOutput(interrupted, run_id=")
    assert Elements(answer_html(run)).text == "die() interruptedscripted · interrupted"
    notebook, agent = notebook_of(db)
    notebook.db = db
    notebook.use_session("s")
    (turn,) = Browser(chat(agent, session_id="s")).turns
    assert (turn["html"].count("interrupted"), "running" in turn["html"]) == (2, False)
    (row,) = Browser(browse(db=db)).content["rows"]
    assert row["state"] == "interrupted"
    assert "go (interrupted)" in browse(db=db).static_view().text
    steps = [(step["name"], step["facts"]) for step in Browser(trace(run, db=db)).content["timelines"][0]["steps"]]
    assert [facts.partition(" · ")[0] for name, facts in steps if name != "scripted"] == ["interrupted"] * 2
    capsys.readouterr()
    for command in ("runs", "history", "sessions"):
        run_command(notebook, command, [])
        shown = capsys.readouterr().out
        assert ("interrupted" in shown, "running" in shown.lower()) == (True, False), command
    run_command(notebook, "resume", ["s"])
    assert "the last turn was interrupted; `%agent continue`" in capsys.readouterr().out
    pprint_run_response(run)
    assert "interrupted: the answer is incomplete" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "words", "state", "tone"),
    [
        ("approve", "", "approved by ada", ""),
        ("approve", "it is a copy", "approved by ada: it is a copy", ""),
        ("reject", "keep it", "rejected by ada: keep it", "rejected"),
    ],
)
def test_the_answer_says_who_decided_about_a_call_and_why(command: str, words: str, state: str, tone: str) -> None:
    db = InMemoryDb()
    notebook, agent = notebook_of(db)
    notebook.user_id = "ada"
    paused = agent.run("go", session_id="s", user_id="ada")
    run_command(notebook, command, words.split())
    run = db.get_run(paused.run_id)
    assert run is not None
    assert call_state(run.tools[0], run.status) == (state, tone)
    summary = Elements(answer_html(run)).text.split("Arguments")[0]
    assert summary.startswith(f'delete(path="a") {state}')
    assert "failed" not in summary
    (facts,) = (step.facts for step in trace(run, db=db)._timelines[0].steps if step.name == "delete")
    assert facts.startswith(state)


def test_the_widget_records_the_user_of_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook, agent = notebook_of(InMemoryDb())
    monkeypatch.setattr("agno_nb.run.defaults.of_notebook", lambda: notebook)
    notebook.user_id = "ada"
    page = Browser(chat(agent, session_id="s"))
    page.say("go")
    ((need,), run_id) = page.turns[0]["pending"], page.turns[0]["run_id"]
    page.ask("decide", run_id=run_id, requirement_id=need["id"], decision="reject", note="keep it", values={})
    assert "rejected by ada: keep it" in page.turns[0]["html"]
    assert "failed" not in page.turns[0]["html"]


def test_a_decision_of_an_unknown_user_is_shown_without_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    _, agent = notebook_of(InMemoryDb())
    run = agent.run("go", session_id="s")
    run.requirements[0].reject("keep it")
    agent.continue_run(run)
    assert call_state(run.tools[0], run.status) == ("rejected: keep it", "rejected")
    pprint_run_response(run)
    assert 'delete({"path": "a"}) · rejected: keep it' in capsys.readouterr().out


def test_a_call_beyond_the_limit_is_refused_and_not_failed() -> None:
    model = ScriptedModel([[call("look"), call("look")], "Done."])
    run = Agent(model, tools=[lambda_tool], tool_call_limit=1).run("go")
    assert [call_state(each, run.status) for each in run.tools] == [("", ""), ("refused", "rejected")]
    assert run.tools[1].result == "Refused: a run may make 1 tool call. Answer with what you have."


@tool(name="look")
def lambda_tool() -> str:
    """Look."""
    return "seen"


def test_a_call_that_failed_is_failed() -> None:
    failed = ToolCall(tool_call_id="1", tool_name="f", result="no such city", tool_call_error=True)
    assert call_state(failed, RunStatus.COMPLETED) == ("failed", "failed")


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("**Plan** the `trip`", "Plan the trip"),
        ("# Trip\n\n- Rome\n- Oslo\n\n> by train", "Trip Rome Oslo by train"),
        ("1. Rome\n2. Oslo", "1. Rome 2. Oslo"),
        ("What do *args and **kwargs do in __init__?", "What do *args and **kwargs do in __init__?"),
        ("It costs $5, **not** \\(x_1\\)", "It costs $5, not \\(x_1\\)"),
        ("Why?\n```python\nx = 1\n```", "Why? x = 1"),
        ("---", "---"),
        ("<b>5 * 3 * 2</b>", "<b>5 * 3 * 2</b>"),
    ],
)
def test_a_title_is_the_prompt_without_the_marks_of_its_markdown(prompt: str, title: str) -> None:
    assert plain_title(prompt, 60) == title


def test_pickers_lists_and_timelines_have_plain_titles_and_names_as_they_were_given() -> None:
    db = InMemoryDb()
    agent = Agent(ScriptedModel(["Yes."] * 2), db=db)
    run = agent.run("## **Plan**\nthe `trip`", session_id="s")
    page = Browser(chat(agent, session_id="s"))
    assert page.content["title"] == page.ask("sessions", search="")[0]["title"] == "Plan the trip"
    assert Browser(browse(db=db)).content["rows"][0]["title"] == "Plan the trip"
    assert Browser(trace(run, db=db)).content["timelines"][0]["title"] == "Plan the trip"
    db.rename_session("s", session_name="**Mine**")
    assert Browser(chat(agent, session_id="s")).content["title"] == "**Mine**"


def shown(shell: InteractiveShell, value: object) -> dict[str, str]:
    data, _ = shell.display_formatter.format(value)  # type: ignore[union-attr]
    return dict(data)


def test_ids_of_a_store_are_short_in_displayed_dataframes_and_only_there() -> None:
    import pandas as pd

    db = InMemoryDb()
    run: RunOutput = Agent(ScriptedModel(["Yes."]), db=db).run("Hi")
    frame = db.runs_df()[["run_id", "session_id", "input"]]
    own = pd.DataFrame({"run_id": [run.run_id]})
    shell = InteractiveShell()
    before = shown(shell, own)
    unregister = register_displays(shell)
    try:
        html = shown(shell, frame)["text/html"]
        assert f'<td title="{run.run_id}" style="white-space:nowrap">…{run.run_id[-6:]}</td>' in html
        assert f">{run.session_id}<" not in html
        assert run.run_id in shown(shell, frame[["run_id"]])["text/plain"]
        assert frame["run_id"].tolist() == [run.run_id]
        assert f">…{run.run_id[-6:]}</th>" in shown(shell, frame.set_index("run_id"))["text/html"]
        assert f">…{run.run_id[-6:]}<" in shown(shell, db.query("select run_id from runs"))["text/html"]
        assert shown(shell, own) == before
    finally:
        unregister()
    assert shown(shell, frame)["text/html"] == frame._repr_html_()  # type: ignore[operator]


def test_another_extensions_dataframes_stay_as_it_shows_them() -> None:
    import pandas as pd

    shell = InteractiveShell()
    assert shell.display_formatter is not None
    html = shell.display_formatter.formatters["text/html"]
    html.for_type(pd.DataFrame, lambda frame: "<p>mine</p>")
    unregister = register_displays(shell)
    try:
        assert shown(shell, pd.DataFrame({"a": [1]}))["text/html"] == "<p>mine</p>"
    finally:
        unregister()
    assert shown(shell, pd.DataFrame({"a": [1]}))["text/html"] == "<p>mine</p>"
