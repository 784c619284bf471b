"""agno's own agents in a notebook: commands, approvals and the chat widget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.db.json import JsonDb

from agno_nb import chat
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError
from agno_nb.integrations.agno_agents import runnable_of
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.settings import AgnoNb
from agno_nb.run import defaults
from agno_nb.types import RunStatus, SessionType
from tests.fakes.http import FakeServer
from tests.fakes.strict import calls, says
from tests.integrations.conftest import Make, delete, recorded
from tests.notebook.command_line import run_command
from tests.notebook.hostile import PAYLOADS
from tests.widgets.browser import Browser, live_in


@pytest.fixture
def notebook(agent: Make, team: Make, workflow: Make, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    clerk = agent(tools=[delete], db=JsonDb(db_path="agno"))
    notebook = Notebook({"clerk": clerk, "_": clerk, "group": team(clerk), "flow": workflow()}, Path.cwd(), AgnoNb())
    monkeypatch.setattr(defaults, "of_notebook", lambda: notebook)
    return notebook


def test_agnos_objects_are_agents_of_the_notebook(notebook: Notebook) -> None:
    assert {name: str(each) for name, each in notebook.user_agents().items()} == {
        "clerk": "AgnoAgent('clerk')",
        "group": "AgnoTeam('office')",
        "flow": "AgnoWorkflow('letter')",
    }
    assert notebook.runnable_of(SessionType.TEAM, "office") is notebook.user_agents()["group"]


def test_an_agent_is_named_by_variable_or_by_its_name(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    run_command(notebook, "use", ["clerk"])
    assert notebook.runnable is runnable_of(notebook.namespace["clerk"])
    assert "`%%agent` now answers with AgnoAgent clerk, model gpt-5-mini, the notebook's store" in (
        capsys.readouterr().out
    )
    assert notebook.runnable_named("office") is runnable_of(notebook.namespace["group"])
    with pytest.raises(InvalidInputError, match="cannot use model 'demo': AgnoAgent\\('clerk'\\) is not an agent of"):
        notebook.copy_with_model(notebook.runnable, "demo")
    with pytest.raises(InvalidInputError, match="requires an agent, and this notebook uses AgnoAgent"):
        run_command(notebook, "tools", ["print"])


@pytest.mark.parametrize(
    ("command", "result"),
    [("approve", "a.txt is deleted"), ("reject", "it is needed")],
    ids=["approved", "rejected"],
)
def test_a_command_decides_about_a_call(command: str, result: str, server: FakeServer, notebook: Notebook) -> None:
    server.will_say(calls(("delete", {"path": "a.txt"})), says("Done."))
    clerk = notebook.runnable_named("clerk")
    paused = clerk.run("Tidy up.", user_id="anna", session_id="tidy")
    notebook.use_user("anna")
    run_command(
        notebook, command, [paused.requirements[0].short_id, *(["it is needed"] if command == "reject" else [])]
    )
    run = notebook.db.get_run(paused.run_id)
    assert run is not None
    assert (run.status, run.content, run.user_id) == (RunStatus.COMPLETED, "Done. ", "anna")
    assert result in (run.tools[0].result or "")
    assert run.requirements[0].resolved_by == "anna"


def test_the_last_turn_is_run_again(server: FakeServer, notebook: Notebook) -> None:
    server.will_say(says("One."), says("Two."))
    first = notebook.runnable_named("clerk").run("Count.")
    run_command(notebook, "retry", [])
    runs = notebook.db.runs_df()
    assert runs[["run_index", "attempt", "content"]].values.tolist() == [[0, 0, "One. "], [0, 1, "Two. "]]
    assert runs["session_id"].unique().tolist() == [first.session_id]


def test_a_partial_answer_is_not_continued(server: FakeServer, notebook: Notebook) -> None:
    server.will_say(says("Once upon a", then="stall"))
    clerk = notebook.runnable_named("clerk")
    for event in clerk.run("Tell me a story.", stream=True, run_id="story"):
        if event.content == "a ":
            clerk.cancel_run("story")
    with pytest.raises(InvalidInputError, match="start it again with `%agent retry`"):
        run_command(notebook, "continue", [])
    assert len(notebook.db.runs_df()) == 1


def test_a_chat_answers_and_asks(server: FakeServer, agent: Make) -> None:
    clerk = agent(tools=[delete])
    recorded(clerk, InMemoryDb())
    server.will_say(says("Hello."), calls(("delete", {"path": "a.txt"})), says("Done."))
    talk = chat(clerk, session_id="talk")
    page = Browser(talk)
    page.ask("ask", question="hi", again=None, names={})
    assert talk.last_run is not None
    assert (talk.last_run.content, talk._content["model"]) == ("Hello. ", "gpt-5-mini")

    page.ask("ask", question="Tidy up.", again=None, names={})
    paused = talk.last_run
    assert paused is not None
    assert paused.is_paused
    answer: dict[str, Any] = {"run_id": paused.run_id, "requirement_id": paused.requirements[0].requirement_id}
    page.ask("decide", **answer, decision="approve", note="", values={})
    assert (talk.last_run.status, talk.last_run.tools[0].result) == (RunStatus.COMPLETED, "a.txt is deleted")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_text_is_shown_as_text(payload: str, server: FakeServer, agent: Make) -> None:
    clerk = agent(name=payload)
    recorded(clerk, InMemoryDb())
    server.will_say(says(payload))
    talk = chat(clerk, session_id="talk")
    Browser(talk).ask("ask", question=payload, again=None, names={})
    assert talk.last_run is not None
    assert talk.last_run.status is RunStatus.COMPLETED
    assert live_in(talk.static_view().html) == set()
