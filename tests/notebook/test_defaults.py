"""Agents made in cells use the notebook's model, store and user for what they do not name."""

from __future__ import annotations

import pickle
from copy import copy, deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.settings import AgnoNb
from agno_nb.run import defaults
from agno_nb.testing import ScriptedModel

IMPORTS = """
from agno_nb import Agent, InMemoryDb, Step, Team, Workflow
from agno_nb.testing import ScriptedModel, call
"""


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    notebook = Notebook({"__name__": "__main__"}, tmp_path, AgnoNb())
    monkeypatch.setattr(defaults, "of_notebook", notebook)
    run_cell(notebook, IMPORTS)
    return notebook


def run_cell(notebook: Notebook, code: str) -> dict[str, Any]:
    exec(code, notebook.namespace)
    return notebook.namespace


def test_an_agent_made_in_a_cell_uses_what_the_notebook_has_at_each_run(notebook: Notebook) -> None:
    notebook.agent.model = ScriptedModel(["one"])
    agent = run_cell(notebook, "agent = Agent(name='helper')\nrun = agent.run('1')")["agent"]
    assert notebook.namespace["run"].content == "one"
    notebook.agent.model = ScriptedModel(["two"])
    notebook.use_user("ada")
    run_cell(notebook, "agent.run('2')")
    notebook.use_store("other.duckdb")
    notebook.agent.model = ScriptedModel(["three"])
    run_cell(notebook, "agent.run('3')")
    assert (agent.model, agent.db, agent.user_id) == (None, None, None)
    assert notebook.db.runs_df()[["content", "user_id"]].values.tolist() == [["three", "ada"]]
    notebook.use_store("agno_nb.duckdb")
    rows = notebook.db.runs_df()[["content", "component_name"]].values.tolist()
    assert rows == [["one", "helper"], ["two", "helper"]]
    assert notebook.db.runs_df(user_id="ada")["content"].tolist() == ["two"]


def test_what_an_agent_names_is_its_own(notebook: Notebook) -> None:
    notebook.use_user("ada")
    run_cell(notebook, "db = InMemoryDb()\nagent = Agent(ScriptedModel(['own']), db=db, user_id='bob')\nagent.run('1')")
    assert notebook.namespace["db"].runs_df()[["content", "user_id"]].values.tolist() == [["own", "bob"]]
    assert notebook.db.runs_df().empty


def test_false_stores_nothing(notebook: Notebook) -> None:
    team = "Team([Agent(ScriptedModel(['yes']), name='m')], model=ScriptedModel([CALL, 'done']), db=False)"
    calls = "CALL = call('delegate_task_to_member', member_id='m', task='go')\n"
    names = run_cell(
        notebook, f"{calls}team = {team}\nrun = team.run('1')\nAgent(ScriptedModel(['x']), db=False).run('2')"
    )
    assert names["run"].content == "done"
    assert [nested.content for nested in names["run"].nested_runs] == ["yes"]
    assert notebook.db.runs_df().empty
    with pytest.raises(InvalidInputError, match="has no store"):
        names["team"].get_session()
    with pytest.raises(InvalidInputError, match="db is True"):
        run_cell(notebook, "Agent(db=True)")


def test_members_and_steps_use_it_too(notebook: Notebook) -> None:
    notebook.agent.model = ScriptedModel(["step"])
    run_cell(notebook, "Workflow(name='flow', steps=[Step(name='s', agent=Agent(name='a'))]).run('1')")
    assert notebook.db.runs_df()[["kind", "content"]].values.tolist() == [["workflow", "step"], ["agent", "step"]]


def test_code_of_other_modules_behaves_as_without_a_notebook(notebook: Notebook) -> None:
    module = {"__name__": "helpers"}
    exec(f"{IMPORTS}\ndef make():\n    return Agent(ScriptedModel(['x', 'y']), name='made')", module)
    notebook.namespace["make"] = module["make"]
    agent = run_cell(notebook, "agent = make()\nrun = agent.run('1')")["agent"]
    assert notebook.namespace["run"].content == "x"
    assert notebook.db.runs_df().empty
    exec(
        "class Pipeline:\n    def __init__(self):\n        self.agent = make()\n        self.other = Agent()\n"
        "def wrapper(*args):\n    return Agent()",
        module,
    )
    notebook.namespace |= {"helpers": SimpleNamespace(**module), "np": np}
    made = run_cell(
        notebook, "pipeline = helpers.Pipeline()\nmade = pipeline.agent, pipeline.other, helpers.wrapper(np.zeros(2))"
    )
    assert [agent.current_db for agent in made["made"]] == [None, None, None]
    # Until a cell answers with it.
    notebook.use_runnable("agent")
    agent.run("2")
    assert notebook.db.runs_df()["content"].tolist() == ["y"]
    assert agent.db is None


def test_a_class_or_a_function_of_the_notebook_makes_agents_of_the_notebook(notebook: Notebook) -> None:
    run_cell(
        notebook,
        "class Helper(Agent):\n"
        "    def __init__(self, **settings):\n"
        "        super().__init__(ScriptedModel(['x']), **settings)\n"
        "def make():\n    return Helper(name='h')\n"
        "make().run('1')\n"
        "from dataclasses import replace\n"
        "replace(Agent(ScriptedModel(['y'])), name='i').run('2')",
    )
    assert notebook.db.runs_df()["component_name"].tolist() == ["h", "i"]


@pytest.mark.parametrize("duplicate", [copy, deepcopy, lambda agent: pickle.loads(pickle.dumps(agent))])
def test_a_copy_is_made_where_the_original_was(notebook: Notebook, duplicate: Any) -> None:
    notebook.agent.model = ScriptedModel(["x"])
    agent = duplicate(run_cell(notebook, "agent = Agent(name='h')")["agent"])
    assert agent.run("1").content == "x"
    assert len(notebook.db.runs_df()) == 1


def test_methods_read_the_store_that_runs_are_in(notebook: Notebook) -> None:
    notebook.use_user("ada")
    agent = run_cell(notebook, "agent = Agent(ScriptedModel(['x']), session_id='s')\nagent.run('1')")["agent"]
    session = agent.get_session("s")
    assert (session.user_id, [message.content for message in agent.get_chat_history()]) == ("ada", ["1", "x"])


def test_a_nested_run_is_found_again_in_the_store_of_the_run_around_it(notebook: Notebook) -> None:
    names = run_cell(
        notebook,
        "from agno_nb import tool\n"
        "@tool(requires_confirmation=True)\n"
        "def buy() -> str:\n    return 'bought'\n"
        "def ask() -> str:\n    return helper.run('1').content + buyer.run('2').content\n"
        "helper = Agent(ScriptedModel(['once', 'twice']), name='helper', session_id='own')\n"
        "buyer = Agent(ScriptedModel([call('buy'), 'done']), name='buyer', tools=[buy])\n"
        "db = InMemoryDb()\n"
        "agent = Agent(ScriptedModel([call('ask'), 'yes']), name='agent', tools=[ask], db=db)\n"
        "paused = db.get_run(agent.run('go').run_id)\n"
        "for requirement in paused.active_requirements:\n    requirement.confirm()\n"
        "run = agent.continue_run(run_id=paused.run_id, requirements=paused.requirements)",
    )
    assert names["run"].content == "yes"
    assert sorted(names["db"].runs_df()["content"]) == ["done", "once", "yes"]
    assert notebook.db.runs_df().empty


def test_memories_and_summaries_of_such_an_agent_are_in_the_store(notebook: Notebook) -> None:
    notebook.use_user("ada")
    run_cell(
        notebook,
        "agent = Agent('demo', session_id='s', update_memory_on_run=True, enable_session_summaries=True)\n"
        "agent.run('My name is Ada and I live in Paris.')\n"
        "memories = agent.get_user_memories()\nsummary = agent.get_session_summary()",
    )
    assert [memory.user_id for memory in notebook.namespace["memories"]] != []
    assert notebook.namespace["summary"] is not None
    # The runs of the model that extracts memories are not those of the user.
    assert notebook.db.runs_df()["component_id"].tolist() == ["agent"]


def test_the_model_option_reaches_agents_without_a_model_and_no_others(notebook: Notebook) -> None:
    names = run_cell(notebook, "plain = Agent(name='plain')\nown = Agent('demo', name='own')")
    notebook.set("model", "openai:gpt-5-mini")
    assert (names["plain"].resolved_model.id, names["own"].resolved_model.id) == ("gpt-5-mini", "demo")
    notebook.use_runnable("own")
    notebook.set("model", "openai:gpt-5-nano")
    assert (names["plain"].resolved_model.id, names["own"].resolved_model.id) == ("gpt-5-mini", "gpt-5-nano")
    notebook.use_runnable("plain")
    notebook.set("model", "openai:gpt-5")
    assert (names["plain"].model, names["plain"].resolved_model.id) == (None, "gpt-5")


def test_the_model_option_takes_a_variable_that_has_a_model(notebook: Notebook) -> None:
    names = run_cell(notebook, "plain = Agent()\nlocal = ScriptedModel(['one', 'two'])\ndemo = local\nnumber = 3")
    notebook.set("model", "local")
    run_cell(notebook, "run = plain.run('1')")
    assert (notebook.model, names["plain"].model, names["run"].content) == (names["local"], None, "one")
    assert notebook.copy_with_model(names["plain"], "local").model is names["local"]
    assert notebook.model_variables() == ["local", "demo"]
    for name, error in {
        "number": "the variable 'number' has a value of type int, not a model; assign a model object to a variable",
        "ScriptedModel": "the variable 'ScriptedModel' has the class ScriptedModel, not a model",
        "remote": "'remote' is not a model; .*; or name a variable that has a model object",
    }.items():
        with pytest.raises(InvalidInputError, match=error):
            notebook.set("model", name)
    assert notebook.model is names["local"]
    notebook.set("model", "demo")
    assert notebook.model is not names["demo"]


def test_the_notebooks_own_agent_is_not_its_own_default(notebook: Notebook) -> None:
    notebook.agent.use_notebook_defaults()
    assert (notebook.agent.model, notebook.agent.resolved_model.id) == (None, "demo")


def test_without_a_notebook_nothing_changes() -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(f"{IMPORTS}\nagent = Agent(ScriptedModel(['x']))\nrun = agent.run('1')", names)
    assert names["agent"].current_db is None
    assert names["run"].content == "x"
    assert isinstance(Agent(db=InMemoryDb()).current_db, InMemoryDb)
