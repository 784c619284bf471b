"""What ``%agent`` can be told: one function for each command. Its docstring is its help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agno_nb._keywords import nearest
from agno_nb.agent import Agent
from agno_nb.errors import InvalidInputError
from agno_nb.notebook import people
from agno_nb.notebook.cards import ColumnKind, show_facts, show_table
from agno_nb.notebook.render import AnswerView, footer_text
from agno_nb.notebook.state import Notebook, tool_name
from agno_nb.team import Team
from agno_nb.types import Metrics, RunStatus

Command = Callable[[Notebook, list[str]], None]

NUM_SESSIONS = 20
TITLE_WIDTH = 60
"""Characters of a session's name, or of its first prompt, that are shown in a list."""

_SESSION_COLUMNS: dict[str, ColumnKind] = {
    "": "word",
    "session": "text",
    "agent": "word",
    "user": "word",
    "runs": "number",
    "tokens": "number",
    "last used": "word",
    "id": "text",
}
_SESSIONS_NOTE = "• is the current one. `%agent --session ID` goes on with another; `sessions_df()` has them all."


def show_status(notebook: Notebook) -> None:
    """Show the model, the session, the user, the store, and what it has cost so far."""
    runnable = notebook.runnable
    session_id = notebook.current_session_id()
    session = notebook.db.get_session(session_id)
    facts = {"agent": runnable.name or runnable.component_id}
    if isinstance(runnable, Agent):
        facts["model"] = _model(runnable)
        facts["tools"] = ", ".join(map(tool_name, runnable.tools or [])) or "none; `%agent tools NAME` adds a function"
        if isinstance(runnable, Team):
            facts["members"] = ", ".join(member.component_id for member in runnable.members)
        facts["history"] = f"the last {runnable.num_history_runs} runs" if runnable.add_history_to_context else "off"
    name = session and session.session_name
    facts["session"] = f"{name} ({session_id})" if name else session_id
    facts["user"] = notebook.user_id or runnable.user_id or "none; `%agent --user NAME` sets one"
    facts["store"] = _near(notebook.db.identity)
    metrics = Metrics() if session is None else session.metrics
    facts["so far"] = footer_text(AnswerView(status=RunStatus.COMPLETED, metrics=metrics)) or "nothing was said yet"
    facts["more"] = "`%agent help`"
    show_facts(facts)


def _model(agent: Agent) -> str:
    model = agent.resolved_model
    if model.provider == "demo":
        return "demo: rules, no language model; `%agent --model openai:gpt-5-mini` switches"
    return f"{model.provider}:{model.id}"


def _near(store: str) -> str:
    """Name a file in the working directory, which is the notebook's, without the way to it."""
    path = Path(store)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else store


def _new(notebook: Notebook, words: list[str]) -> None:
    """``new``: begin a new session with the next run."""
    notebook.start_new_session()


def _use(notebook: Notebook, words: list[str]) -> None:
    """``use NAME``: answer by your agent, team or workflow, by its variable or name; ``use notebook`` goes back."""
    if len(words) != 1:
        raise InvalidInputError("`%agent use` takes one name: the variable that holds your agent, or the agent's name")
    notebook.use_runnable(words[0])


def _tools(notebook: Notebook, words: list[str]) -> None:
    """``tools NAME …``: let the agent call these functions of the notebook; without a name, show those it has."""
    if words:
        notebook.use_tools(words)
    else:
        show_status(notebook)


def _sessions(notebook: Notebook, words: list[str]) -> None:
    """``sessions``: list the latest sessions of the store."""
    frame = notebook.db.sessions_df(limit=NUM_SESSIONS).sort_values("updated_at", ascending=False)
    if frame.empty:
        show_facts({"sessions": "none yet; the first `%%agent` cell begins one"})
        return
    current = notebook.current_session_id()
    rows = [
        (
            "•" if session["session_id"] == current else "",
            _title(session["session_name"] or session["first_input"] or ""),
            session["component_name"] or session["component_id"] or "",
            session["user_id"] or "",
            f"{session['num_runs']:,}",
            "" if session["total_tokens"] is None else f"{session['total_tokens']:,}",
            f"{session['updated_at'].to_pydatetime().astimezone():%Y-%m-%d %H:%M}",
            session["session_id"],
        )
        for session in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]
    show_table(_SESSION_COLUMNS, rows, note=_SESSIONS_NOTE)


def _title(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TITLE_WIDTH else f"{line[: TITLE_WIDTH - 1]}…"


def _help(notebook: Notebook, words: list[str]) -> None:
    """``help``: show this list."""
    facts = {
        "`%%agent`": "send the cell to the agent and stream its answer; `%%agent?` lists the options",
        "`%agent`": "show the model, the session, the user, the store, and what it has cost so far",
    }
    for name, command in COMMANDS.items():
        said = " ".join((command.__doc__ or "").split()).rstrip(".").replace("``", "`")
        usage, _, meaning = said.partition(": ")
        facts[f"`%agent {usage.strip('`') or name}`"] = meaning
    facts["`%agent --OPTION VALUE`"] = (
        "set what is named: `--model`, `--db`, `--user`, `--session`, `--history`; `%agent?` says what each takes"
    )
    show_facts(facts)


COMMANDS: dict[str, Command] = {
    "new": _new,
    "use": _use,
    "tools": _tools,
    "sessions": _sessions,
    **people.COMMANDS,
    "help": _help,
}


def command_named(name: str) -> Command:
    """Return the command.

    Raises
    ------
    InvalidInputError
        There is none of that name.
    """
    if name not in COMMANDS:
        raise InvalidInputError(f"%agent has no command {name!r}: {nearest(name, list(COMMANDS))}")
    return COMMANDS[name]
