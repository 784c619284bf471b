"""What one notebook has set: its agent, its store, who is talking and in which session."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from agno_nb._keywords import nearest
from agno_nb.agent import Agent
from agno_nb.db import set_default_db
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.errors import InvalidInputError
from agno_nb.models.resolve import resolve_model
from agno_nb.run.pipeline import RunOptions
from agno_nb.run.runnable import Runnable

STORE_NAME = "agno_nb.duckdb"
HISTORY_RUNS = 10
"""How many of the latest runs a notebook's own agent is sent. A conversation in cells is read as one."""


class Notebook:
    """The settings of one notebook, and the agent made from them.

    Parameters
    ----------
    namespace : dict
        The user's variables.
    folder : Path
        Where the store is kept unless another is named: the kernel's working directory.
    """

    def __init__(self, namespace: dict[str, Any], folder: Path) -> None:
        self.namespace = namespace
        self.user_id: str | None = None
        self.session_id: str | None = None
        self.db: Db = DuckDb(folder / STORE_NAME)
        self.agent = Agent(
            name="notebook", db=self.db, markdown=True, add_history_to_context=True, num_history_runs=HISTORY_RUNS
        )
        self.runnable: Runnable = self.agent
        set_default_db(self.db)

    def use_store(self, path: str) -> None:
        """Keep sessions in another file from now on. It is tried first, so that a bad path changes nothing."""
        db = DuckDb(path)
        db.create()
        for runnable in (self.agent, self.runnable):
            if runnable.db is self.db:
                runnable.db = db
        self.db = db
        set_default_db(db)

    def use_model(self, name: str) -> None:
        """Answer by another model from now on."""
        agent = self._own_agent("--model")
        agent.model = resolve_model(name)

    def use_history(self, runs: int) -> None:
        """Send so many of the latest runs with each new one; 0 sends none."""
        if runs < 0:
            raise InvalidInputError(f"--history takes a number of runs, 0 or more, not {runs}")
        agent = self._own_agent("--history")
        agent.add_history_to_context, agent.num_history_runs = runs > 0, runs

    def use_summaries(self) -> None:
        """Keep a summary of the session, and send it with each run."""
        self._own_agent("--summaries").enable_session_summaries = True

    def use_user(self, user_id: str) -> None:
        """Talk as somebody else from now on, in a session of theirs."""
        self.user_id = user_id or None
        self.session_id = None

    def use_session(self, session_id: str) -> None:
        """Go on with a session, or begin it under this id."""
        self.session_id = session_id

    def start_new_session(self) -> None:
        """Begin a new session with the next run."""
        self.session_id = None
        self.runnable.start_new_session(self.user_id or self.runnable.user_id)

    def use_runnable(self, name: str) -> None:
        """Answer by an agent of the user's from now on. One without a store gets the notebook's."""
        self.runnable = self.runnable_named(name)
        self.session_id = None

    def use_tools(self, names: list[str]) -> None:
        """Let the agent call functions of the notebook, by name; a name again takes its new definition."""
        agent = self._own_agent("tools")
        functions = [self._function(name) for name in names]
        replaced = {tool_name(function) for function in functions}
        agent.tools = [tool for tool in agent.tools or [] if tool_name(tool) not in replaced] + functions

    def runnable_named(self, name: str) -> Runnable:
        """Find an agent of the user's: by the variable that holds it, else by its own name.

        Raises
        ------
        InvalidInputError
            There is none, or there are two of that name.
        """
        held = {key: value for key, value in self.namespace.items() if isinstance(value, Runnable) and key[0] != "_"}
        if name in (self.agent.name, self.agent.component_id) and name not in held:
            return self.agent
        found = held[name] if name in held else self._by_own_name(name, held)
        if found.db is None:
            found.db = self.db
        return found

    def options(self, *, session_id: str | None, user_id: str | None) -> RunOptions:
        """Return what a run has to be told, with what the cell says over what the notebook has set."""
        user = user_id or self.user_id
        session = session_id or (self.session_id if user == self.user_id else None)
        return RunOptions(session_id=session, user_id=user)

    def current_session_id(self) -> str:
        """Return the session that the next run goes on with, or begins."""
        user = self.user_id or self.runnable.user_id
        return self.session_id or self.runnable.session_id or self.runnable.automatic_session_id(user)

    def with_model(self, runnable: Runnable, name: str) -> Runnable:
        """Return the agent as it would be with another model, for one run."""
        if not isinstance(runnable, Agent):
            raise InvalidInputError(f"{runnable!r} has no model of its own to be replaced by {name!r}")
        other = copy.copy(runnable)
        other.model = resolve_model(name)
        return other

    def _own_agent(self, setting: str) -> Agent:
        if not isinstance(self.runnable, Agent):
            raise InvalidInputError(f"{setting} is for an agent, and this notebook uses {self.runnable!r}")
        return self.runnable

    def _by_own_name(self, name: str, held: dict[str, Runnable]) -> Runnable:
        named = {key: value for key, value in held.items() if name in (value.name, value.component_id)}
        if len({id(value) for value in named.values()}) > 1:
            raise InvalidInputError(
                f"two agents are called {name!r}: the variables {' and '.join(sorted(named))}. Use a variable's name."
            )
        if not named:
            known = [*held, *(value.name for value in held.values() if value.name), "notebook"]
            raise InvalidInputError(f"no agent is called {name!r} in this notebook: {nearest(name, known)}")
        return next(iter(named.values()))

    def _function(self, name: str) -> Any:
        if name not in self.namespace:
            callables = [key for key, value in self.namespace.items() if callable(value) and key[0] != "_"]
            raise InvalidInputError(f"no function is called {name!r} in this notebook: {nearest(name, callables)}")
        return self.namespace[name]


def tool_name(tool: Any) -> str:
    """Return what a tool, or the function that becomes one, is called."""
    return str(getattr(tool, "name", None) or getattr(tool, "__name__", tool))
