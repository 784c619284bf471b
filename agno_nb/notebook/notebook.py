"""What one notebook has set: its agent, its store, who is talking and in which session."""

from __future__ import annotations

import copy
import re
from inspect import isclass
from pathlib import Path
from typing import Any

from agno_nb._keywords import nearest
from agno_nb.agent.agent import Agent
from agno_nb.db import queries, set_default_db
from agno_nb.db.base import Db
from agno_nb.db.duckdb.duckdb import DuckDb
from agno_nb.errors import InvalidInputError
from agno_nb.models.resolve import resolve_model
from agno_nb.notebook.cell_info import notebook_file
from agno_nb.notebook.cell_runs import CellRuns
from agno_nb.notebook.cells import known_paths
from agno_nb.notebook.settings import AgnoNb
from agno_nb.run.options import RunOptions
from agno_nb.run.runnable import Runnable
from agno_nb.tools.toolkit import resolve_tools
from agno_nb.types import Budget, SessionType

_KEPT_BY_IPYTHON = re.compile(r"_+|_\d+")
"""Names of what cells have shown. An agent there is the user's by another name, or has been replaced since."""


class Notebook:
    """One notebook: its settings, and the agent made from them.

    Parameters
    ----------
    namespace : dict
        The user's variables.
    folder : Path
        Where the store is kept unless another is named: the kernel's working directory.
    settings : AgnoNb
        What it begins with. Later changes of them take effect at once.
    path : str, optional
        The notebook's file, where the front end tells of it.
    """

    def __init__(self, namespace: dict[str, Any], folder: Path, settings: AgnoNb, path: str | None = None) -> None:
        self.namespace = namespace
        self.folder = folder
        self.path = path
        self.settings = settings
        self.cell_runs = CellRuns()
        self.user_id: str | None = settings.user
        self.session_id: str | None = None
        self.db: Db = DuckDb(folder / settings.db)
        self.instructions_from: str | None = None
        """Where the instructions of the notebook's agent come from."""
        self.agent = Agent(
            model=settings.model,
            name="notebook",
            db=self.db,
            markdown=True,
            instructions=self._instructions(),
            add_history_to_context=settings.history > 0,
            num_history_runs=settings.history,
            enable_session_summaries=settings.summaries,
            budget=None if settings.budget is None else Budget(settings.budget),
        )
        self.runnable: Runnable = self.agent
        set_default_db(self.db)
        settings.bind(
            {
                "model": self.use_model,
                "db": self.use_store,
                "user": self.use_user,
                "history": self.use_history,
                "summaries": self.use_summaries,
                "budget": self.use_budget,
                "instructions": lambda _: self.use_instructions(),
                "instructions_file": lambda _: self.use_instructions(),
            }
        )

    def set(self, name: str, value: Any) -> None:
        """Set what an option of ``%agent`` names: a setting, or the session.

        Raises
        ------
        InvalidInputError
            It cannot be set to this value, and stays as it was.
        """
        if name == "session":
            self.use_session(value)
        else:
            self.settings.change(name, value)

    def use_store(self, path: str) -> None:
        """Keep sessions in another file from now on. It is tried first, so that a bad path changes nothing."""
        db = DuckDb(self.folder / path)
        db.create()
        for runnable in (self.agent, self.runnable):
            if runnable.db is self.db:
                runnable.db = db
        self.db = db
        set_default_db(db)

    def use_model(self, name: str | None) -> None:
        """Answer by another model from now on."""
        agent = self._own_agent("--model")
        agent.model = resolve_model(name)

    def use_instructions(self) -> None:
        """Tell the notebook's agent what the settings, or the notebook's metadata, now say."""
        self.agent.instructions = self._instructions()

    def use_history(self, runs: int) -> None:
        """Send so many of the latest runs with each new one; 0 sends none."""
        agent = self._own_agent("--history")
        agent.add_history_to_context, agent.num_history_runs = runs > 0, runs

    def use_budget(self, usd: float | None) -> None:
        """Keep each session to so many US dollars, or to none."""
        self._own_agent("--budget").budget = None if usd is None else Budget(usd)

    def use_summaries(self, enabled: bool) -> None:
        """Keep a summary of the session, and send it with each run; or no longer."""
        self._own_agent("--summaries").enable_session_summaries = enabled

    def use_user(self, user_id: str | None) -> None:
        """Talk as somebody else from now on, in a session of theirs."""
        self.user_id = user_id or None
        self.session_id = None

    def use_session(self, session_id: str) -> None:
        """Go on with a session, or begin it under this id.

        Raises
        ------
        SessionOwnershipError
            The session belongs to another user than the notebook's. The notebook stays in its session.
        """
        self.db.check_owner(self.current_user_id, session_id=session_id)
        self.session_id = session_id

    def start_new_session(self) -> None:
        """Begin a new session with the next run."""
        self.session_id = None
        self.runnable.start_new_session(self.current_user_id)

    def use_runnable(self, name: str) -> None:
        """Answer by an agent of the user's from now on. One without a store gets the notebook's."""
        self.runnable = self.runnable_named(name)
        self.session_id = None

    def use_tools(self, names: list[str]) -> None:
        """Let the agent call functions of the notebook, by name; a name again takes its new definition."""
        agent = self._own_agent("tools")
        functions = [self._function(name) for name in names]
        replaced = {tool_name(function) for function in functions}
        tools = [tool for tool in agent.tools or [] if tool_name(tool) not in replaced] + functions
        # What cannot be a tool is refused now: every cell that follows would fail of it.
        resolve_tools(tools, tool_cache=[])
        agent.tools = tools

    def runnable_named(self, name: str) -> Runnable:
        """Find an agent of the user's: by the variable that holds it, else by its own name.

        Raises
        ------
        InvalidInputError
            There is none, or there are two of that name.
        """
        user_agents = self.user_agents()
        if name in (self.agent.name, self.agent.component_id) and name not in user_agents:
            return self.agent
        return bind_store(user_agents[name] if name in user_agents else self._by_own_name(name, user_agents), self.db)

    def user_agents(self) -> dict[str, Runnable]:
        """Return the agents, teams and workflows of the user, by the variables that hold them."""
        return {
            key: value
            for key, value in self.namespace.items()
            if isinstance(value, Runnable) and not _KEPT_BY_IPYTHON.fullmatch(key)
        }

    def runnables(self) -> list[Runnable]:
        """Return all that answer in this notebook: who does at present, its own agent, and those of the user."""
        return [self.runnable, self.agent, *self.user_agents().values()]

    def runnable_of(self, kind: SessionType, component_id: str | None) -> Runnable | None:
        """Find who began a session or a run, by what is stored of it; None where it is not in this notebook."""
        return next((one for one in self.runnables() if (one.kind, one.component_id) == (kind, component_id)), None)

    def functions(self) -> list[str]:
        """Return the names of what can be a tool: what is callable, but for classes and what IPython puts there."""
        return [
            key
            for key, value in self.namespace.items()
            if callable(value)
            and not isclass(value)
            and key[0] != "_"
            and key not in ("exit", "quit", "get_ipython", "open")
        ]

    @property
    def current_user_id(self) -> str | None:
        """The user that cells, commands and widgets act for; None for no restriction."""
        return self.user_id or self.runnable.user_id

    def last_session_id(self) -> str | None:
        """Return the session that this notebook last talked in, before the current one; None where it is not known."""
        if self.path is None:
            return None
        names = known_paths(self.db, self.path)
        return queries.last_session_id(self.db, names, self.current_user_id, other_than=self.current_session_id())

    def options(self, *, session_id: str | None, user_id: str | None) -> RunOptions:
        """Return what a run has to be told, with what the cell says over what the notebook has set."""
        user = user_id or self.user_id
        session = session_id or (self.session_id if user == self.user_id else None)
        return RunOptions(session_id=session, user_id=user)

    def current_session_id(self) -> str:
        """Return the session that the next run goes on with, or begins."""
        return self.session_of(self.runnable, self.options(session_id=None, user_id=None))

    @staticmethod
    def session_of(runnable: Runnable, options: RunOptions) -> str:
        """Return the session that a run with these options goes on with, or begins."""
        user = options.get("user_id") or runnable.user_id
        return options.get("session_id") or runnable.session_id or runnable.automatic_session_id(user)

    def copy_with_model(self, runnable: Runnable, name: str) -> Runnable:
        """Return the agent as it would be with another model, for one run."""
        if not isinstance(runnable, Agent):
            raise InvalidInputError(f"{runnable!r} has no model of its own to be replaced by {name!r}")
        other = copy.copy(runnable)
        other.model = resolve_model(name)
        return other

    def _instructions(self) -> str | None:
        self.instructions_from = None
        if self.settings.instructions:
            self.instructions_from = "the settings"
            return str(self.settings.instructions)
        if self.settings.instructions_file:
            self.instructions_from = self.settings.instructions_file
            try:
                return (self.folder / self.settings.instructions_file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidInputError(
                    f"instructions_file is {self.settings.instructions_file!r}, which cannot be read: {error}"
                ) from None
        metadata = notebook_file(self.path).get("metadata", {}) if self.path else {}
        ours = metadata.get("agno_nb") if isinstance(metadata, dict) else None
        instructions = ours.get("instructions") if isinstance(ours, dict) else None
        if not isinstance(instructions, str):
            return None
        self.instructions_from = "the notebook's metadata"
        return instructions

    def _own_agent(self, setting: str) -> Agent:
        if not isinstance(self.runnable, Agent):
            raise InvalidInputError(
                f"{setting} is for an agent, and this notebook uses {self.runnable!r}: `%agent use NAME` takes another"
            )
        return self.runnable

    def _by_own_name(self, name: str, user_agents: dict[str, Runnable]) -> Runnable:
        matches = {key: value for key, value in user_agents.items() if name in (value.name, value.component_id)}
        if len({id(value) for value in matches.values()}) > 1:
            raise InvalidInputError(
                f"two agents are called {name!r}: the variables {' and '.join(sorted(matches))}. Use a variable's name."
            )
        if not matches:
            known = [*user_agents, *(value.name for value in user_agents.values() if value.name), "notebook"]
            raise InvalidInputError(f"no agent is called {name!r} in this notebook: {nearest(name, known)}")
        return next(iter(matches.values()))

    def _function(self, name: str) -> Any:
        if name not in self.namespace:
            known = self.functions()
            remedy = nearest(name, known) if known else "define it in a cell first"
            raise InvalidInputError(f"no function is called {name!r} in this notebook: {remedy}")
        return self.namespace[name]


def bind_store(runnable: Runnable, db: Db) -> Runnable:
    """Give a store to an agent that has none."""
    if runnable.db is None:
        runnable.db = db
    return runnable


def tool_name(tool: Any) -> str:
    """Return what a tool, or the function that becomes one, is called."""
    return str(getattr(tool, "name", None) or getattr(tool, "__name__", tool))
