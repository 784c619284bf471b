"""The demo model's notice: once a session, outside of the answer, and true for the agent at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_nb import Agent, InMemoryDb, Step, Team, Workflow
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.settings import AgnoNb
from agno_nb.run import defaults
from agno_nb.run.runnable import Runnable
from agno_nb.testing import ScriptedModel
from agno_nb.types import RunEvent

NOTICE = "I am the demo model: rule-based, not a language model. "
SWITCH = f"{NOTICE}`%agent --model openai:gpt-5-mini` switches to one."


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    for name in ("AGNO_NB_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    notebook = Notebook({"__name__": "__main__"}, tmp_path, AgnoNb())
    monkeypatch.setattr(defaults, "of_notebook", lambda: notebook)
    return notebook


def in_cell(agent: Runnable) -> Runnable:
    agent.use_notebook_defaults()
    return agent


def notices(agent: Runnable, prompt: str = "Hello", **options: object) -> list[str | None]:
    events = list(agent.run(prompt, stream=True, stream_events=True, **options))
    assert "I am the demo model: rule-based" not in str(events[-1].content)
    return [event.content for event in events if event.event is RunEvent.model_notice]


def test_the_notice_appears_once_a_session_even_without_history() -> None:
    agent = Agent("demo", name="clerk", db=InMemoryDb())
    first = f"{NOTICE}To use one, change the `model` of agent 'clerk'."
    assert [notices(agent) for _ in range(3)] == [[first], [], []]
    agent.start_new_session()
    assert [notices(agent) for _ in range(2)] == [[first], []]


def test_the_notice_appears_again_if_the_first_turn_is_run_again() -> None:
    agent = Agent("demo", db=InMemoryDb(), session_id="s")
    assert len(notices(agent)) == 1
    assert len(notices(agent, run_index=0)) == 1
    assert notices(agent) == []


def test_the_notice_appears_once_for_an_agent_that_stores_nothing() -> None:
    agent = Agent("demo", db=False)
    assert [len(notices(agent)) for _ in range(3)] == [1, 0, 0]


@pytest.mark.parametrize("model", ["demo", None])
def test_an_agent_that_names_its_model_is_not_changed_by_the_command(notebook: Notebook, model: str | None) -> None:
    assert notices(in_cell(Agent(model, name="clerk"))) == [
        SWITCH if model is None else f"{NOTICE}To use one, change the `model` of agent 'clerk'."
    ]


def test_the_command_changes_the_agent_of_the_notebook_even_if_it_was_used_before(notebook: Notebook) -> None:
    notebook.use_model("demo")
    assert notices(notebook.agent) == [SWITCH]
    notebook.use_model("demo")
    assert notices(notebook.agent) == []


def test_outside_of_a_notebook_no_command_is_named() -> None:
    assert notices(Agent("demo")) == [f"{NOTICE}To use one, change the `model` of this agent."]


def test_a_turn_with_several_demo_models_has_one_notice(notebook: Notebook) -> None:
    members = [in_cell(Agent(name=name, role=f"Knows {name}")) for name in ("tea", "cake")]
    team = in_cell(Team(members, name="desk"))
    assert notices(team, "What is tea and what is cake?") == [SWITCH]
    workflow = in_cell(Workflow([Step("one", agent=members[0]), Step("two", agent=members[1])], name="wf"))
    assert [notices(workflow) for _ in range(2)] == [[SWITCH], []]


def test_a_language_model_has_no_notice() -> None:
    assert notices(Agent(ScriptedModel(["Hi."]), db=InMemoryDb())) == []
