"""An agent run by a tool, with its own store or session, pauses, and a new process continues."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_nb.agent import Agent
from agno_nb.db.sqlite import SqliteDb
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import RunStatus

sent: list[str] = []


@tool(requires_confirmation=True)
def send(text: str) -> str:
    """Send it."""
    sent.append(text)
    return "sent"


def outer(folder: Path, inner_store: str, inner: list[object], said: list[object]) -> Agent:
    """The definitions of a new process, which shares only the stores."""
    checker = Agent(ScriptedModel(inner[:1]), name="checker", db=SqliteDb(folder / inner_store))
    mailer = Agent(ScriptedModel(inner[1:]), name="mailer", db=SqliteDb(folder / inner_store), tools=[send])

    def mail(text: str) -> str:
        """Check and mail a text."""
        checked = checker.run(f"check {text}", session_id="checks")
        return f"{checked.content} {mailer.run(text, session_id='mails').content}"

    model = ScriptedModel(said)
    return Agent(model, name="outer", db=SqliteDb(folder / "outer.db"), session_id="s", tools=[mail])


@pytest.mark.parametrize("inner_store", ["inner.db", "outer.db"], ids=["a store of its own", "a session of its own"])
def test_a_fresh_process_goes_on_with_the_agent_of_a_tool(tmp_path: Path, inner_store: str) -> None:
    sent.clear()
    first = outer(tmp_path, inner_store, ["Fine.", call("send", text="hi")], [call("mail", text="hi")])
    paused = first.run("mail it")
    assert paused.status is RunStatus.PAUSED
    # The checker has nothing to say: it is not asked again.
    fresh = outer(tmp_path, inner_store, [], ["Mailed."])
    mailer_said = ScriptedModel(["It is out."])
    fresh.tools[0].__closure__[1].cell_contents.model = mailer_said  # type: ignore[index, union-attr]
    stored = fresh.get_run_output(paused.run_id)
    assert stored is not None
    stored.requirements[0].confirm()
    done = fresh.continue_run(run_id=paused.run_id, session_id="s", requirements=stored.requirements)
    assert (done.status, done.content, done.tools[0].result) == (RunStatus.COMPLETED, "Mailed.", "Fine. It is out.")
    assert sent == ["hi"]
    inner = SqliteDb(tmp_path / inner_store)
    assert [(run.component_id, run.status) for run in inner.get_runs("checks") + inner.get_runs("mails")] == [
        ("checker", RunStatus.COMPLETED),
        ("mailer", RunStatus.COMPLETED),
    ]
