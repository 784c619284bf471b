"""The state of a notebook: its agent, store, user and session."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Mapping, Sequence
from inspect import getattr_static, isclass
from pathlib import Path
from typing import Any

from agno_nb._keywords import nearest
from agno_nb.agent.agent import Agent
from agno_nb.db import queries, set_default_db
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.errors import InvalidInputError
from agno_nb.models.base import Model
from agno_nb.models.resolve import resolve_model
from agno_nb.notebook.cell_info import notebook_file
from agno_nb.notebook.cells import CellRuns, known_paths
from agno_nb.notebook.displays import name_of
from agno_nb.notebook.settings import AgnoNb
from agno_nb.run.options import RunOptions
from agno_nb.run.runnable import Runnable
from agno_nb.tools import Tool, resolve_tools
from agno_nb.tools.toolkit import prepare_tools
from agno_nb.types import Budget, RunOutput, SessionType

_KEPT_BY_IPYTHON = re.compile(r"_+|_\d+")
"""Names of earlier outputs. An agent there also has a name given by the user, or has been replaced."""


def as_runnable(value: object) -> Runnable | None:
    """Return an agent, team or workflow of this package or of agno as a runnable; None for other objects."""
    if isinstance(value, Runnable):
        return value
    if "agno" not in sys.modules:
        return None
    from agno_nb.integrations.agno_agents import runnable_of

    return runnable_of(value)


class VariableTool:
    """A variable of the notebook as a tool. Each run gets the latest function, so rerunning its cell is enough.

    If the variable is deleted or no longer has a function, for example because a loop uses its name, the tool keeps the
    last one. Copies of an agent share the variable.
    """

    def __init__(self, variable: str, value: Any, namespace: Mapping[str, Any]) -> None:
        self._variable, self._latest, self._namespace = variable, value, namespace

    @property
    def latest(self) -> Any:
        value = self._namespace.get(self._variable)
        if _can_be_tool(value) or hasattr(value, "tools") or hasattr(value, "functions"):
            self._latest = value
        return self._latest

    @property
    def tools(self) -> list[Any]:
        """The tools of a toolkit with one member; see :func:`agno_nb.tools.toolkit.resolve_tools`."""
        return [self.latest]

    async def prepare_tools(self) -> None:
        await prepare_tools([self.latest])

    @property
    def name(self) -> str:
        return name_of(self.latest)

    def __deepcopy__(self, memo: Any) -> VariableTool:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Not with all variables of the notebook.
        return VariableTool, (self._variable, self.latest, {})


def _can_be_tool(value: Any) -> bool:
    from agno_nb.integrations import is_foreign_tool

    is_toolkit = getattr_static(type(value), "tools", None) is not None and not isinstance(value, Runnable)
    return callable(value) or isinstance(value, Tool) or is_toolkit or is_foreign_tool(value)


class Notebook:
    """A notebook's settings, and the agent created from them.

    `namespace` has the user's variables, `folder` is the folder of the store, and `path` is the notebook's file if the
    front end reports it already; otherwise :meth:`locate` sets it. Later changes of the settings take effect
    immediately.
    """

    def __init__(self, namespace: dict[str, Any], folder: Path, settings: AgnoNb, path: str | None = None) -> None:
        self.namespace = namespace
        self.folder = folder
        self.path = path
        self.settings = settings
        self.cell_runs = CellRuns()
        self.user_id: str | None = settings.user
        self.session_id: str | None = None
        self.latest: tuple[Runnable, RunOutput] | None = None
        """The latest run, whichever runnable made it. None if there is none since a session, user, store or runnable
        was chosen."""
        self.has_choice = False
        """Whether one of them was chosen since the latest run."""
        self.db: Db = DuckDb(folder / settings.db)
        self.instructions_from: str | None = None
        """The source of the instructions of the notebook's agent."""
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
                "db": self.use_store,
                "user": self.use_user,
                "model": self.use_model,
                "history": lambda runs: self._configure(
                    "--history", add_history_to_context=runs > 0, num_history_runs=runs
                ),
                "summaries": lambda enabled: self._configure("--summaries", enable_session_summaries=enabled),
                "budget": lambda usd: self._configure("--budget", budget=None if usd is None else Budget(usd)),
                "instructions": lambda _: self._read_instructions(),
                "instructions_file": lambda _: self._read_instructions(),
            }
        )

    def locate(self, path: str | None) -> bool:
        """Remember the notebook's file, once the front end reports it, and read the instructions in its metadata.

        Return whether it was unknown before, because the extension was not loaded in a cell.
        """
        is_new, is_other = self.path is None, path not in (None, self.path)
        if is_other:
            self.path = path
            self._read_instructions()
        return is_new and is_other

    def set(self, name: str, value: Any) -> None:
        """Set an option of ``%agent``: a setting, or the session. An invalid value changes nothing."""
        if name == "session":
            self.use_session(value)
        else:
            self.settings.change(name, value)

    @property
    def model(self) -> Model | str | None:
        """The model of the notebook's agent, and of all agents made in cells that name none."""
        return self.agent.model

    def use_model(self, name: str | None) -> None:
        """Use another model by default, or for the current agent if it names a model itself.

        `name` is a model string, or a variable that holds a model.
        """
        current = self.runnable
        agent = current if isinstance(current, Agent) and current.model is not None else self.agent
        agent.model = self.model_named(name)

    def model_named(self, name: str | None) -> Model:
        """Return the model object in a variable of the notebook, or the model that :func:`resolve_model` knows."""
        if name is None or name not in self.namespace or name == "demo":
            try:
                return resolve_model(name)
            except InvalidInputError as error:
                if name is None or not name.isidentifier():
                    raise
                raise InvalidInputError(f"{error}; or name a variable that has a model object") from None
        value = self.namespace[name]
        if not isinstance(value, Model):
            kind = f"the class {name}" if isclass(value) else f"a value of type {type(value).__name__}"
            raise InvalidInputError(
                f"the variable {name!r} has {kind}, not a model; assign a model object to a variable, for example "
                "local = OpenAIChat('NAME', base_url='http://localhost:8080/v1')"
            )
        return value

    def model_variables(self) -> list[str]:
        """Return the variables that have a model object."""
        return [
            key
            for key, value in self.namespace.items()
            if isinstance(value, Model) and not _KEPT_BY_IPYTHON.fullmatch(key)
        ]

    def note_run(self, runnable: Runnable, run: RunOutput) -> None:
        """Remember the latest run of a cell, a widget or a method."""
        self.latest, self.has_choice = (runnable, run), False

    def _note_choice(self) -> None:
        self.latest, self.has_choice = None, True

    def use_store(self, path: str) -> None:
        """Use another DuckDB file. It is opened first, so an invalid path changes nothing."""
        db = DuckDb(self.folder / path)
        db.create()
        self._note_choice()
        self.db = self.agent.db = db
        set_default_db(db)

    def use_user(self, user_id: str | None) -> None:
        """Switch to another user and to a session of that user."""
        self.user_id = user_id or None
        self.session_id = None
        self._note_choice()

    def use_session(self, session_id: str) -> None:
        """Resume a session, or start one with this id. A session of another user changes nothing."""
        self.db.check_owner(self.current_user_id, session_id=session_id)
        self.session_id = session_id
        self._note_choice()

    def start_new_session(self) -> None:
        """Start a new session with the next run."""
        self.session_id = None
        self.runnable.start_new_session(self.current_user_id)
        self._note_choice()

    def use_runnable(self, name: str) -> None:
        """Answer with one of the user's agents."""
        self.runnable = self.runnable_named(name)
        self.session_id = None
        self._note_choice()

    def use_tools(self, names: list[str]) -> None:
        """Add functions of the notebook to the agent's tools, or replace tools of the same name."""
        self.add_tools([VariableTool(name, self._function(name), self.namespace) for name in names])

    def add_tools(self, added: Sequence[Any]) -> None:
        """Add tools or toolkits to the agent; they replace its tools of the same name."""
        agent = self.own_agent("`%agent tools`")
        replaced = {name_of(tool) for tool in added}
        tools: list[Any] = [*(tool for tool in agent.listed_tools if name_of(tool) not in replaced), *added]
        # Reject an invalid tool now, because it would make every later cell fail.
        resolve_tools(tools, tool_cache=[])
        agent.tools = tools

    def runnable_named(self, name: str) -> Runnable:
        """Return one of the user's agents by variable, or by its own name.

        From then on it uses the notebook's defaults, even if it was not made in a cell.
        """
        user_agents = self.user_agents()
        if name in (self.agent.name, self.agent.component_id) and name not in user_agents:
            return self.agent
        found = user_agents[name] if name in user_agents else self._by_own_name(name, user_agents)
        found.use_notebook_defaults()
        return found

    def user_agents(self) -> dict[str, Runnable]:
        """Return the user's agents, teams and workflows by variable, including objects of agno."""
        found: dict[str, Runnable] = {}
        for key, value in self.namespace.items():
            runnable = None if _KEPT_BY_IPYTHON.fullmatch(key) else as_runnable(value)
            if runnable is None:
                continue
            if runnable is not value:
                # Only the notebook's store can record runs of agno's objects, because they cannot use our stores.
                runnable.use_notebook_defaults()
            found[key] = runnable
        return found

    def runnables(self) -> list[Runnable]:
        """Return the current runnable, the notebook's agent, and the user's agents."""
        return [self.runnable, self.agent, *self.user_agents().values()]

    def runnable_of(self, kind: SessionType, component_id: str | None) -> Runnable | None:
        """Return the runnable of a stored session or run, or None if this notebook does not have it."""
        return next((one for one in self.runnables() if (one.kind, one.component_id) == (kind, component_id)), None)

    def functions(self) -> list[str]:
        """Return the names of callables and tools, without classes and IPython's own names."""
        functions = [key for key, value in self.namespace.items() if _can_be_tool(value) and not isclass(value)]
        return [key for key in functions if key[0] != "_" and key not in ("exit", "quit", "get_ipython", "open")]

    @property
    def current_user_id(self) -> str | None:
        """The user of cells, commands and widgets; None for no restriction."""
        return self.user_id or self.runnable.current_user_id

    def stores(self) -> list[Db]:
        """Return the stores of the notebook and of the user's agents."""
        stores = [self.db, *(runnable.current_db for runnable in self.runnables())]
        return list({store.identity: store for store in stores if store is not None}.values())

    def last_session_id(self) -> str | None:
        """Return the last session of this notebook before the current one, or None."""
        if self.path is None:
            return None
        names = known_paths(self.db, self.path)
        last = queries.last_turn(self.db, names, self.current_user_id, other_than=self.current_session_id())
        return None if last is None else last.session_id

    def last_stored_run(self) -> RunOutput | None:
        """Return the latest turn of this notebook in any of its stores, for example of an earlier kernel."""
        if self.path is None:
            return None
        found = [
            (last, db)
            for db in self.stores()
            if (last := queries.last_turn(db, known_paths(db, self.path), self.current_user_id)) is not None
        ]
        if not found:
            return None
        last, db = max(found, key=lambda each: each[0].created_at)
        return db.get_run(last.run_id, last.session_id)

    def options(self, *, session_id: str | None, user_id: str | None) -> RunOptions:
        """Return the options of a run. Arguments take precedence over the notebook's session and user."""
        user = user_id or self.user_id
        session = session_id or (self.session_id if user == self.user_id else None)
        return RunOptions(session_id=session, user_id=user)

    def current_session_id(self) -> str:
        """Return the session of the next run."""
        return self.session_of(self.runnable, self.options(session_id=None, user_id=None))

    @staticmethod
    def session_of(runnable: Runnable, options: RunOptions) -> str:
        """Return the session of a run with these options."""
        user = options.get("user_id") or runnable.current_user_id
        return options.get("session_id") or runnable.session_id or runnable.automatic_session_id(user)

    def copy_with_model(self, runnable: Runnable, name: str) -> Runnable:
        """Return a copy of the agent with another model."""
        if not isinstance(runnable, Agent):
            reason = "has no model of its own" if runnable.model_name is None else "is not an agent of agno_nb"
            raise InvalidInputError(f"cannot use model {name!r}: {runnable!r} {reason}")
        other = copy.copy(runnable)
        other.model = self.model_named(name)
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
                    f"cannot read instructions_file {self.settings.instructions_file!r}: {error}"
                ) from None
        metadata = notebook_file(self.path).get("metadata", {}) if self.path else {}
        own = metadata.get("agno_nb") if isinstance(metadata, dict) else None
        instructions = own.get("instructions") if isinstance(own, dict) else None
        if not isinstance(instructions, str):
            return None
        self.instructions_from = "the notebook's metadata"
        return instructions

    def _read_instructions(self) -> None:
        self.agent.instructions = self._instructions()

    def _configure(self, setting: str, **attributes: Any) -> None:
        agent = self.own_agent(setting)
        for name, value in attributes.items():
            setattr(agent, name, value)

    def own_agent(self, setting: str) -> Agent:
        """Return the agent in use, or raise an InvalidInputError if it is a workflow, or not of this package."""
        if not isinstance(self.runnable, Agent):
            raise InvalidInputError(
                f"{setting} requires an agent, and this notebook uses {self.runnable!r}; switch with `%agent use NAME`"
            )
        return self.runnable

    def _by_own_name(self, name: str, user_agents: dict[str, Runnable]) -> Runnable:
        matches = {key: value for key, value in user_agents.items() if name in (value.name, value.component_id)}
        if len({id(value) for value in matches.values()}) > 1:
            raise InvalidInputError(
                f"more than one agent is named {name!r}; use one of the variables {' and '.join(sorted(matches))}"
            )
        if not matches:
            known = {*user_agents, *(value.name for value in user_agents.values() if value.name), "notebook"}
            raise InvalidInputError(f"no agent is named {name!r} in this notebook: {nearest(name, known)}")
        return next(iter(matches.values()))

    def _function(self, name: str) -> Any:
        if name not in self.namespace:
            known = self.functions()
            remedy = nearest(name, known) if known else "define it in a cell first"
            raise InvalidInputError(f"no function is named {name!r} in this notebook: {remedy}")
        return self.namespace[name]
