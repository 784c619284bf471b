"""Agents defined in a notebook."""

from __future__ import annotations

import pickle
import threading
from ast import literal_eval
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from agno_nb import Agent, Workflow
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError
from agno_nb.models.openai import OpenAIChat
from agno_nb.notebook.commands import change_settings, line_parser, parse_words
from agno_nb.notebook.displays import name_of
from agno_nb.notebook.magics import AgentMagics
from agno_nb.notebook.notebook import Notebook, VariableTool
from agno_nb.notebook.registration import register_completions
from agno_nb.notebook.settings import AgnoNb
from agno_nb.run import defaults
from agno_nb.testing import ScriptedModel
from agno_nb.types import SessionType
from tests.notebook.command_line import run_command


def test_an_agent_is_found_by_any_variable_of_the_user_and_not_by_what_ipython_keeps_of_cells() -> None:
    replaced, poet, spare = Agent("demo", name="poet"), Agent("demo", name="poet"), Agent("demo", name="spare")
    flow = Workflow([poet], name="flow")
    kept = {"_": replaced, "__": replaced, "___": flow, "_3": replaced, "_ih": ["", "replaced"]}
    notebook = Notebook({**kept, "poet": poet, "_spare": spare, "_3_flows": flow, "n": 3}, Path.cwd(), AgnoNb())

    assert notebook.user_agents() == {"poet": poet, "_spare": spare, "_3_flows": flow}
    assert notebook.runnables() == [notebook.agent, notebook.agent, poet, spare, flow]
    assert notebook.runnable_of(SessionType.AGENT, "poet") is poet
    assert notebook.runnable_of(SessionType.AGENT, "notebook") is notebook.agent
    assert notebook.runnable_of(SessionType.AGENT, "flow") is None
    assert (notebook.runnable_named("poet"), notebook.runnable_named("_spare")) == (poet, spare)
    with pytest.raises(InvalidInputError, match="no agent is named '_3' in this notebook: known: _3_flows, _spare, "):
        notebook.runnable_named("_3")
    with pytest.raises(InvalidInputError, match=r"known: _3_flows, _spare, flow, notebook, poet, spare$"):
        notebook.runnable_named("nobody")


def test_a_tool_given_by_name_is_the_latest_function_of_its_variable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    namespace: dict[str, Any] = {}

    def define(price: float) -> None:
        exec(f"def price(item: str) -> float:\n    'Price, now {price}.'\n    return {price}", namespace)

    def answer() -> Any:
        return notebook.runnable.run('price(item="tea")').tools[0].value

    define(2.5)
    notebook = Notebook(namespace, tmp_path, AgnoNb())
    notebook.use_model("demo")
    notebook.use_tools(["price"])
    assert answer() == 2.5
    define(3.0)
    assert answer() == 3.0
    run_command(notebook, "tools", [])
    assert "price  Price, now 3.0." in capsys.readouterr().out
    # It is one tool, however often it is given.
    notebook.use_tools(["price"])
    assert [name_of(tool) for tool in notebook.agent.tools or []] == ["price"]
    for gone in ("for price in [1, 2]: pass", "del price"):
        exec(gone, namespace)
        assert answer() == 3.0
    define(4.0)
    assert deepcopy(notebook.agent).run('price(item="tea")').tools[0].value == 4.0
    sorting = VariableTool("sort", sorted, {"sort": sorted, "lock": threading.Lock()})
    assert pickle.loads(pickle.dumps(sorting)).tools == [sorted]
    # A list of functions is what it is.
    agent = Agent("demo", db=InMemoryDb(), tools=[namespace["price"]])
    define(5.0)
    assert agent.run('price(item="tea")').tools[0].value == 4.0


def test_completions_are_removed_even_if_ipython_has_a_new_completer() -> None:
    shell = InteractiveShell()
    unregister = register_completions(shell, lambda: Notebook({}, Path.cwd(), AgnoNb()))
    assert len(shell.Completer.custom_matchers) == 1
    shell.init_completer()
    assert shell.Completer.custom_matchers == []
    unregister()
    register_completions(shell, lambda: Notebook({}, Path.cwd(), AgnoNb()))()
    assert shell.Completer.custom_matchers == []


def test_an_agent_that_is_named_keeps_its_store_or_uses_the_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    own = InMemoryDb()
    stored, bare = Agent("demo", name="stored", db=own), Agent("demo", name="bare")
    notebook = Notebook({"stored": stored, "bare": bare}, Path.cwd(), AgnoNb())
    monkeypatch.setattr(defaults, "of_notebook", lambda: notebook)
    assert notebook.runnable_named("stored").current_db is own
    assert (notebook.runnable_named("bare").current_db, bare.db) == (notebook.db, None)


def test_what_the_notebooks_agent_uses_is_said_in_the_notebooks_terms(capsys: pytest.CaptureFixture[str]) -> None:
    local = OpenAIChat("local-7b", base_url="http://127.0.0.1:9/v1")
    notebook = Notebook({"local": local, "poet": Agent("demo", name="poet")}, Path.cwd(), AgnoNb())

    def output() -> str:
        bundle: dict[str, str] = literal_eval(capsys.readouterr().out)
        return bundle["text/plain"]

    def setting(line: str) -> str:
        change_settings(notebook, parse_words(line_parser(), line.split(), "%agent"))
        return output()

    def command(name: str, *words: str) -> str:
        run_command(notebook, name, words)
        return output()

    assert setting("--model local") == "model: openai:local-7b@http://127.0.0.1:9/v1"
    assert setting("--history 0") == "history: off: earlier turns are not sent; `%agent --history 10` sends them"
    assert setting("--session plans") == "session: plans (new; it starts with the next run)"
    notebook.agent.model = ScriptedModel(["Hello."])
    notebook.agent.run("Hello", session_id="plans")
    assert setting("--session plans") == "session: plans"
    assert "• is the current one. `%agent resume ID` resumes another" in command("sessions")
    setting("--session other")
    assert "The current one, other, is not among these. `%agent resume ID`" in command("sessions")
    assert "answers with Agent poet, model demo, " in command("use", "poet")
    assert command("use", "notebook") == "`%%agent` now answers with the notebook's agent, model and store"
    assert "• notebook  the notebook's agent, model and store" in command("use")


def test_models_are_completed_by_names_that_the_option_takes() -> None:
    from IPython.core.completer import CompletionContext  # IPython 7 has none.

    shell = InteractiveShell()
    shell.register_magics(magics := AgentMagics(shell))
    notebook = magics.notebook
    shell.user_ns |= {"local": ScriptedModel(["Hello."]), "lab": ScriptedModel(["Hello."]), "lamp": 3}
    for provider in ("localhost:9", "lmstudio"):
        Agent(ScriptedModel(["Hello."], id="small", provider=provider), db=notebook.db).run("Hello")
    register_completions(shell, lambda: notebook)
    (matcher,) = shell.Completer.custom_matchers
    text = "%agent --model l"
    found = matcher(CompletionContext("l", text, len(text), 0, 100))
    assert [each.text for each in found["completions"]] == [
        "local",
        "lab",
        "lmstudio:qwen3-8b",
        "llamacpp:",
        "litellm:claude-sonnet-5-5",
        "lmstudio:small",
    ]
