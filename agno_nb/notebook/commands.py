"""The commands and options of ``%agent``: one table for its parser, for ``%agent help`` and for ``%agent?``."""

from __future__ import annotations

from argparse import SUPPRESS, Action, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from agno_nb._keywords import nearest
from agno_nb.agent.agent import Agent
from agno_nb.errors import InvalidInputError
from agno_nb.models.base import Model
from agno_nb.models.model_strings import model_string
from agno_nb.notebook import human_in_the_loop as people, session_commands as sessions
from agno_nb.notebook.cell_info import is_text, notebook_file
from agno_nb.notebook.displays import name_of, show_facts, show_note
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.render import usage_line
from agno_nb.notebook.settings import RERUNS
from agno_nb.notebook.tool_commands import use_tools
from agno_nb.redact import redact, without_userinfo
from agno_nb.run.runnable import Runnable
from agno_nb.team.team import Team
from agno_nb.types import CellInfo, counted

SHOW_SETTING = object()
"""The value of an option without a value: the setting is shown instead of set."""

_OFF = ("off", "none")
_SWITCHES = {"on": True, "off": False}
_SWITCHED = ("summaries", "cache")


class LineParser(MagicArgumentParser):
    """A parser that suggests the nearest command for an unknown one."""

    def __init__(self, prog: str | None = None, *, color: bool = False, **options: Any) -> None:
        # Python 3.14 passes `color` to the parsers of commands, which IPython's class does not know.
        super().__init__(prog, **options)  # type: ignore[no-untyped-call]

    def _check_value(self, action: Action, value: Any) -> None:
        if action.dest == "command" and value not in (action.choices or ()):
            prompt = "to send a prompt, write %%agent on the first line of a cell and the prompt below it"
            remedy = _suggestion(value, COMMANDS, prompt)
            raise InvalidInputError(f"%agent has no command {value!r}{remedy} `%agent help` lists the commands")
        super()._check_value(action, value)


def parse_words(parser: Any, words: Sequence[str], magic: str) -> Namespace:
    """Parse the words of a magic's line; raise InvalidInputError for an invalid value or an unknown option or word."""
    options = option_names(parser)
    for word in words:
        # Before parsing, which would take the value of an unknown option for a command.
        if word.startswith("--") and not any(option.startswith(word.partition("=")[0]) for option in options):
            raise _unknown_option(magic, word, options)
    args = Namespace()
    try:
        _, unknown = parser.parse_known_args(list(words), args)
    except UsageError as error:
        raise InvalidInputError(f"{magic}: {error}; `{magic}?` lists the options") from None
    if unknown and unknown[0].startswith("-"):
        raise _unknown_option(magic, unknown[0], options)
    if unknown and magic == "%%agent":
        raise InvalidInputError(
            f"the line of %%agent takes options and the name of an agent, got {' '.join(words)!r}; write the prompt on "
            "the lines below it"
        )
    if unknown:
        command = " ".join(filter(None, [magic, getattr(args, "command", None)]))
        raise InvalidInputError(f"`{command}` takes nothing more, got {' '.join(unknown)!r}")
    return args


def _unknown_option(magic: str, word: str, options: Mapping[str, Action]) -> InvalidInputError:
    return InvalidInputError(f"{magic} has no option {word!r}{_suggestion(word, options)} `{magic}?` lists the options")


def _suggestion(word: str, known: Mapping[str, Any], otherwise: str = "") -> str:
    """Return the part of an error that follows an unknown word."""
    close = nearest(word, known)
    if close.startswith("did"):
        return f": {close}"
    return f"; {otherwise};" if otherwise else ";"


def option_names(parser: Any) -> dict[str, Action]:
    """Return the options of a parser and of its commands by name."""
    options = {}
    for action in parser._actions:
        options.update(dict.fromkeys(action.option_strings, action))
        if action.dest == "command":
            for command in action.choices.values():
                options.update(option_names(command))
    return options


@cache
def line_parser() -> LineParser:
    """Return the parser of ``%agent``."""
    settings = LineParser(argument_default=SUPPRESS)
    for name, options in _SETTINGS.items():
        settings.add_argument(*name.split(), nargs="?", **{"const": SHOW_SETTING, **options})
    settings.add_argument("--new", action="store_true", help="start a new session")
    parser = LineParser(
        "agent",
        parents=[settings],
        argument_default=SUPPRESS,
        description="Run a command, or change the settings of the notebook's agent. "
        "An option without a value shows the setting.",
    )
    # Accepted before the command too, as the settings are.
    parser.add_argument("--yes", action="store_true", help=SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=LineParser)
    for name, command in COMMANDS.items():
        words = commands.add_parser(
            name, help=command.help.replace("%", "%%"), parents=[settings], argument_default=SUPPRESS
        )
        for argument, options in command.arguments.items():
            words.add_argument(argument, **options)
    return parser


def run_parsed(notebook: Notebook, args: Namespace) -> None:
    """Run the command of a parsed line, if there is one."""
    if args.command is not None:
        command = COMMANDS[args.command]
        names = [argument.lstrip("-") for argument in command.arguments]
        command.function(notebook, **{name: getattr(args, name, False) for name in names})


def change_settings(notebook: Notebook, args: Namespace) -> None:
    """Set the options of a parsed line that have a value, and show those without one."""
    values = {name: vars(args)[name] for name in (name.split()[0][2:] for name in _SETTINGS) if name in args}
    changed = {name: value for name, value in values.items() if value is not SHOW_SETTING}
    for name, value in changed.items():
        notebook.set(name, _SWITCHES[value] if name in _SWITCHED else value)
    if "new" in args:
        start_session(notebook)
    if changed:
        show_note(" · ".join(f"{name}: {_setting(notebook, name)}" for name in changed))
    if shown := [name for name in values if name not in changed]:
        show_facts({name: _setting(notebook, name) for name in shown})


def show_status(notebook: Notebook, origin: CellInfo) -> None:
    """Show the agent, the session, the user, the store, the front end, and the usage of the session."""
    runnable = notebook.runnable
    session_id = notebook.current_session_id()
    session = sessions.session_of_id(notebook, session_id)
    facts = {"agent": runnable.name or runnable.component_id}
    if isinstance(runnable, Agent):
        facts["model"] = _model(notebook)
        facts["tools"] = ", ".join(map(name_of, runnable.listed_tools)) or "none; `%agent tools NAME` adds a function"
        if isinstance(runnable, Team):
            facts["members"] = ", ".join(member.component_id for member in runnable.parts)
        facts["history"] = _history(notebook)
        if runnable is notebook.agent and notebook.instructions_from:
            facts["instructions"] = f"from {notebook.instructions_from}"
    elif runnable.model_name is not None:
        facts["model"] = runnable.model_name
    name = session and session.session_name
    facts["session"] = f"{name} ({session_id})" if name else session_id
    facts["user"] = _user(notebook)
    facts["store"] = _store(notebook)
    facts |= {f"agent {name}": _described(notebook, agent) for name, agent in notebook.user_agents().items()}
    facts["notebook"] = _front_end(origin)
    facts["usage"] = ("" if session is None else usage_line(session.metrics)) or "no messages yet"
    facts["more"] = "`%agent help`"
    show_facts(facts)


def _setting(notebook: Notebook, name: str) -> str:
    """Return the value of a setting as text."""
    shown: dict[str, Callable[[Notebook], str]] = {
        "model": _model,
        "db": _store,
        "user": _user,
        "session": _session,
        "history": _history,
    }
    value = shown[name](notebook) if name in shown else getattr(notebook.settings, name)
    return {True: "on", False: "off", None: "none"}[value] if isinstance(value, bool | None) else str(value)


def _model(notebook: Notebook) -> str:
    runnable = notebook.runnable
    model = (runnable if isinstance(runnable, Agent) else notebook.agent).resolved_model
    if model.provider == "demo":
        return "demo: rule-based, not a language model; `%agent --model openai:gpt-5-mini` switches"
    return model_string(model)


def _described(notebook: Notebook, runnable: Runnable) -> str:
    """Describe a runnable: its type, name, model, store and user, each its own or the notebook's."""
    if runnable is notebook.agent:
        return "the notebook's agent, model and store"
    has_defaults = runnable.notebook_defaults is not None
    facts = [f"{type(runnable).__name__} {runnable.name or runnable.component_id}"]
    if isinstance(runnable, Agent):
        own = model_string(runnable.model) if isinstance(runnable.model, Model) else runnable.model
        default = "the notebook's model" if has_defaults else "the first configured model"
        facts.append(f"model {redact(without_userinfo(own))}" if own else default)
    elif runnable.model_name is not None:
        facts.append(f"model {runnable.model_name}")
    if runnable.db is None:
        facts.append("the notebook's store" if has_defaults else "no store, because it was not made in a cell")
    else:
        facts.append(f"store {store.identity}" if (store := runnable.current_db) is not None else "no store")
    if runnable.user_id is not None:
        facts.append(f"user {runnable.user_id}")
    return ", ".join(facts)


def _history(notebook: Notebook) -> str:
    agent = notebook.runnable
    if isinstance(agent, Agent) and agent.add_history_to_context:
        return f"the last {counted(agent.num_history_runs or 0, 'run')}"
    remedy = "`%agent --history 10`" if agent is notebook.agent else "Agent(add_history_to_context=True)"
    return f"off: earlier turns are not sent; {remedy} sends them"


def _session(notebook: Notebook) -> str:
    session_id = notebook.current_session_id()
    is_stored = sessions.session_of_id(notebook, session_id) is not None
    return session_id if is_stored else f"{session_id} (new; it starts with the next run)"


def _user(notebook: Notebook) -> str:
    return notebook.current_user_id or "none; `%agent --user NAME` sets one"


def _store(notebook: Notebook) -> str:
    """Return the path of the store, relative to the working directory if it is below that."""
    store = notebook.db.identity
    path = Path(store)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else store


def _front_end(origin: CellInfo) -> str:
    if origin.cell_id is None:
        return "this front end does not report cell ids, so rerunning a cell adds a new turn"
    if origin.notebook is None:
        return "rerunning a cell replaces its turn; this front end does not report the notebook's name"
    until = ", until you reopen it" if is_text(origin.notebook) and not notebook_file(origin.notebook) else ""
    return f"{Path(origin.notebook).name}; rerunning a cell replaces its turn{until}"


def start_session(notebook: Notebook) -> None:
    """Start a new session with the next run."""
    notebook.start_new_session()
    show_note("the next run starts a new session")


def use_agent(notebook: Notebook, words: list[str]) -> None:
    """Answer with another agent, team or workflow, or list them."""
    if len(words) > 1:
        raise InvalidInputError(f"`%agent use` takes one variable or agent name, got {' '.join(words)!r}")
    if words:
        notebook.use_runnable(words[0])
        show_note(f"`%%agent` now answers with {_described(notebook, notebook.runnable)}")
        return
    agents = {"notebook": notebook.agent, **notebook.user_agents()}
    show_facts(
        {
            f"{'• ' if agent is notebook.runnable else ''}{name}": _described(notebook, agent)
            for name, agent in agents.items()
        }
    )


def show_help(notebook: Notebook) -> None:
    """Show all commands."""
    facts = {
        "`%%agent`": "send the cell to the agent and stream its answer; `%%agent?` lists the options",
        "`%%agent_sql`": "run one read-only query over the store and your DataFrames; `-o VAR` assigns the result",
        "`%agent`": "show the model, the session, the user, the store, and the usage so far",
    }
    for name, command in COMMANDS.items():
        facts[f"`%agent {' '.join(filter(None, [name, command.usage]))}`"] = command.help
    settings = ", ".join(f"`{name.split()[0]}`" for name in _SETTINGS)
    facts["`%agent --OPTION [VALUE]`"] = (
        f"set an option, or show it: {settings}; `%agent?` describes them, `%config AgnoNb` sets them too"
    )
    show_facts(facts)


def _user_or_none(text: str) -> str | None:
    return None if text.lower() in _OFF else text


def _dollars(text: str) -> float | None:
    try:
        return None if text.lower() in _OFF else float(text)
    except ValueError:
        raise ArgumentTypeError(f"invalid amount {text!r}; pass US dollars such as 0.50, or off") from None


def _number_of_runs(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"invalid number of runs {text!r}; pass a number such as 5, or 0 for none") from None


def _index(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"invalid number {text!r}; pass a whole number, 0 or more")
    return int(text)


# fmt: off
_SETTINGS: dict[str, dict[str, Any]] = {
    "--model": {"help": 'model, for example "ollama:llama3.2@gpu-box" or "demo", or a variable with a model object'},
    "--db": {"help": "DuckDB file of the store"},
    "--user": {"type": _user_or_none, "help": "current user; off for none"},
    "--session": {"help": "session to resume, or to start with this id"},
    "--history": {"type": _number_of_runs, "help": "number of earlier runs to send; 0 for none"},
    "--summaries": {"choices": [*_SWITCHES], "const": "on", "help": "maintain a summary of the session and send it"},
    "--budget": {"type": _dollars, "help": "cost limit of a session in US dollars; off for no limit"},
    "--rerun": {"choices": RERUNS, "help": "effect of rerunning a cell: replace its turn, append one, or branch off"},
    "--cache --replay": {"choices": [*_SWITCHES], "help": "return the stored answer to a prompt that was sent before"},
}
"""Options that set or show a setting, with their arguments for argparse."""
# fmt: on


@dataclass(frozen=True)
class Command:
    """A command of ``%agent``. Its function receives the notebook and the parsed arguments by name."""

    function: Callable[..., None]
    help: str
    usage: str = ""
    arguments: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """The arguments with their options for argparse."""


_WORDS = {"words": {"nargs": "*", "default": [], "metavar": "WORD"}}
_COUNT = {"count": {"nargs": "?", "default": None, "metavar": "N", "type": _index}}
_TURN = {"turn": {"nargs": "?", "default": None, "metavar": "TURN", "type": _index}}
_RUN = {"turn_or_id": {"nargs": "?", "default": None, "metavar": "TURN"}}
_YES = {"--yes": {"action": "store_true", "help": "do not ask for confirmation"}}


# fmt: off
COMMANDS: dict[str, Command] = {
    "sessions": Command(sessions.list_sessions, "list the latest sessions of the store"),
    "new": Command(start_session, "start a session with the next run"),
    "resume": Command(sessions.resume, "resume a session by name or id; defaults to the last one", "[SESSION]", _WORDS),
    "rename": Command(sessions.rename, "set or show the session's name", "[NAME]", _WORDS),
    "delete": Command(sessions.delete, "delete a session with all its rows", "[SESSION] [--yes]", _WORDS | _YES),
    "history": Command(sessions.show_history, "show the messages of the latest turns, 10 by default", "[N]", _COUNT),
    "summary": Command(sessions.show_summary, "show the session's summary; `%agent --summaries` enables it"),
    "context": Command(sessions.show_context, "show the request of a turn, part by part", "[TURN or RUN]", _RUN),
    "fork": Command(sessions.fork, "copy the session up to a turn and continue in the copy", "[TURN]", _TURN),
    "runs": Command(sessions.list_runs, "list every attempt at every turn of the session"),
    "pending": Command(people.show_pending, "list everything that waits for an answer"),
    "approve": Command(people.approve, "approve a tool call and continue the run in this cell", "[ID] [NOTE]", _WORDS),
    "reject": Command(people.reject, "reject a tool call; the model receives the reason", "[ID] [REASON]", _WORDS),
    "answer": Command(people.answer, "fill in fields, or pass the result of an external tool call",
                      "[ID] NAME=VALUE … or RESULT", _WORDS),
    "retry": Command(people.retry, "run the notebook's last turn again as a new attempt"),
    "continue": Command(people.continue_last, "continue the notebook's last answer if it was interrupted"),
    "use": Command(use_agent, "answer with one of your agents; `use notebook` switches back", "[NAME]", _WORDS),
    "tools": Command(use_tools, "let the agent call your functions or MCP servers, or list its tools",
                     "[NAME …] or add COMMAND, URL or FILE.json", _WORDS),
    "help": Command(show_help, "show this list"),
}
# fmt: on
