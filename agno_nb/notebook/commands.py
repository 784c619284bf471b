"""What ``%agent`` can be told: one function for each command. Its docstring is its help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agno_nb._keywords import nearest
from agno_nb.agent.agent import Agent
from agno_nb.errors import InvalidInputError
from agno_nb.notebook import human_in_the_loop
from agno_nb.notebook.notebook import Notebook, tool_name
from agno_nb.notebook.render import AnswerView, footer_text
from agno_nb.notebook.session_commands import SESSION_COMMANDS, Command, session_of_id
from agno_nb.notebook.tables import show_facts
from agno_nb.team.team import Team
from agno_nb.types import CellInfo, Metrics, RunStatus


def show_status(notebook: Notebook, origin: CellInfo) -> None:
    """Show the model, the session, the user, the store, what the front end tells, and what it has cost so far."""
    runnable = notebook.runnable
    session_id = notebook.current_session_id()
    session = session_of_id(notebook, session_id)
    facts = {"agent": runnable.name or runnable.component_id}
    if isinstance(runnable, Agent):
        facts["model"] = _model(notebook)
        facts["tools"] = _tool_names(runnable) or "none; `%agent tools NAME` adds a function"
        if isinstance(runnable, Team):
            facts["members"] = ", ".join(member.component_id for member in runnable.members)
        facts["history"] = _history(notebook)
        if runnable is notebook.agent and notebook.instructions_from:
            facts["instructions"] = f"from {notebook.instructions_from}"
    name = session and session.session_name
    facts["session"] = f"{name} ({session_id})" if name else session_id
    facts["user"] = _user(notebook)
    facts["store"] = _store(notebook)
    facts["notebook"] = _front_end(origin)
    metrics = Metrics() if session is None else session.metrics
    facts["so far"] = footer_text(AnswerView(status=RunStatus.COMPLETED, metrics=metrics)) or "nothing was said yet"
    facts["more"] = "`%agent help`"
    show_facts(facts)


def show_settings(notebook: Notebook, names: list[str]) -> None:
    """Show the settings that are asked for."""
    shown: dict[str, Any] = {
        "model": _model,
        "db": _store,
        "user": _user,
        "session": Notebook.current_session_id,
        "history": _history,
    }
    show_facts({name: _value(shown[name](notebook) if name in shown else getattr(notebook.settings, name))
                for name in names})  # fmt: skip


def _value(value: Any) -> str:
    return {True: "on", False: "off", None: "none"}[value] if isinstance(value, bool | None) else str(value)


def _model(notebook: Notebook) -> str:
    if not isinstance(notebook.runnable, Agent):
        return f"{notebook.runnable!r} has no model of its own"
    model = notebook.runnable.resolved_model
    if model.provider == "demo":
        return "demo: rules, no language model; `%agent --model openai:gpt-5-mini` switches"
    return f"{model.provider}:{model.id}"


def _history(notebook: Notebook) -> str:
    agent = notebook.runnable
    is_sent = isinstance(agent, Agent) and agent.add_history_to_context
    return f"the last {agent.num_history_runs} runs" if isinstance(agent, Agent) and is_sent else "off"


def _user(notebook: Notebook) -> str:
    return notebook.current_user_id or "none; `%agent --user NAME` sets one"


def _store(notebook: Notebook) -> str:
    """Name a file in the working directory, which is the notebook's, without the way to it."""
    store = notebook.db.identity
    path = Path(store)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else store


def _front_end(origin: CellInfo) -> str:
    if origin.cell_id is None:
        return "this front end tells of no cell: each run of a cell is a new turn"
    if origin.notebook is None:
        return "bound by cell; this front end does not tell the notebook's name"
    return f"{Path(origin.notebook).name}, bound by cell"


def _use(notebook: Notebook, words: list[str]) -> None:
    """``use [NAME]``: answer by your agent, team or workflow, by its variable or name; ``use notebook`` goes back."""
    if len(words) > 1:
        raise InvalidInputError("`%agent use` takes one name: the variable that holds your agent, or the agent's name")
    if words:
        notebook.use_runnable(words[0])
        return
    current = notebook.runnable
    show_facts(
        {
            f"{'• ' if agent is current else ''}{name}": f"{type(agent).__name__} {agent.name or agent.component_id}"
            for name, agent in {"notebook": notebook.agent, **notebook.user_agents()}.items()
        }
    )


def _tools(notebook: Notebook, words: list[str]) -> None:
    """``tools [NAME …]``: let the agent call these functions of the notebook; without a name, show those it has."""
    if words:
        notebook.use_tools(words)
        return
    tools = notebook.runnable.tools or [] if isinstance(notebook.runnable, Agent) else []
    show_facts(
        {tool_name(tool): _first_line(tool) for tool in tools} or {"tools": "none; `%agent tools NAME` adds one"}
    )


def _tool_names(agent: Agent) -> str:
    return ", ".join(map(tool_name, agent.tools or []))


def _first_line(tool: Any) -> str:
    text = getattr(tool, "description", None) or getattr(tool, "__doc__", None) or "no docstring"
    return str(text).strip().partition("\n")[0]


def _help(notebook: Notebook, words: list[str]) -> None:
    """``help``: show this list."""
    facts = {
        "`%%agent`": "send the cell to the agent and stream its answer; `%%agent?` lists the options",
        "`%%agent_sql`": "one query over the store and your DataFrames, read-only; `-o VAR` keeps the result",
        "`%agent`": "show the model, the session, the user, the store, and what it has cost so far",
    }
    for name, command in COMMANDS.items():
        text = " ".join((command.__doc__ or "").split()).rstrip(".").replace("``", "`")
        usage, _, meaning = text.partition(": ")
        facts[f"`%agent {usage.strip('`') or name}`"] = meaning
    facts["`%agent --OPTION [VALUE]`"] = (
        "set what is named, or show it: `--model`, `--db`, `--user`, `--session`, `--history`, `--summaries`, "
        "`--budget`, `--rerun`, `--cache`; `%agent?` says what each takes, `%config AgnoNb` sets them too"
    )
    show_facts(facts)


COMMANDS: dict[str, Command] = {
    **SESSION_COMMANDS,
    **human_in_the_loop.COMMANDS,
    "use": _use,
    "tools": _tools,
    "help": _help,
}


def run_command(notebook: Notebook, name: str, words: list[str]) -> None:
    """Do what a command says.

    Raises
    ------
    InvalidInputError
        There is none of that name, or it takes no `words`.
    """
    if name not in COMMANDS:
        raise InvalidInputError(f"%agent has no command {name!r}: {nearest(name, list(COMMANDS))}")
    command = COMMANDS[name]
    if words and f"``{name}``" in (command.__doc__ or ""):
        raise InvalidInputError(
            f"`%agent {name}` takes nothing more, and got {' '.join(words)!r}; `%agent help` says what others take"
        )
    command(notebook, words)
