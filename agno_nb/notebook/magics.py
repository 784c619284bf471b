"""``%agent``, ``%%agent`` and ``%%agent_sql``. They read the line, call, and show; the rest is done elsewhere."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any, cast

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    cell_magic,
    line_cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
)
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.utils.process import arg_split  # type: ignore[attr-defined] # It is where IPython's own magics take it.

from agno_nb._keywords import nearest
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.agent_cell import run_cell
from agno_nb.notebook.answers import FORMATS
from agno_nb.notebook.cell_info import read_cell_info
from agno_nb.notebook.commands import COMMANDS, run_command, show_settings, show_status
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.settings import RERUNS, AgnoNb
from agno_nb.notebook.sql import run_query

SHOW_SETTING = object()
"""The value of an option that was given none: it is asked for, and not set."""

NO_VALUE = object()
"""The value of an option that is set to none. None would say that the option was not given."""

_SWITCHES = {"on": True, "off": False}
_OFF = ("off", "none")


def _user(text: str) -> object:
    return NO_VALUE if text.lower() in _OFF else text


def _dollars(text: str) -> object:
    try:
        return NO_VALUE if text.lower() in _OFF else float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no amount: give US dollars, as 0.50, or off") from None


def _runs(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number of runs: give one, as 5, or 0 for none") from None


@magics_class
class AgentMagics(Magics):
    """The magics of one notebook."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        path = read_cell_info(shell).notebook
        self.notebook = Notebook(shell.user_ns, Path.cwd(), AgnoNb(parent=shell), path)

    @no_var_expand
    @magic_arguments("agent")
    @argument("command", nargs="*", help="a command and what it is about: " + ", ".join(COMMANDS))
    @argument(
        "--model", nargs="?", const=SHOW_SETTING,
        help='answer by another model, as in "openai:gpt-5-mini", "ollama:llama3.2" or "demo"',
    )  # fmt: skip
    @argument("--db", nargs="?", const=SHOW_SETTING, help="keep sessions in another DuckDB file")
    @argument("--user", type=_user, nargs="?", const=SHOW_SETTING, help="talk as this user; off for none")
    @argument("--session", nargs="?", const=SHOW_SETTING, help="go on with this session, or begin it")
    @argument(
        "--history", type=_runs, nargs="?", const=SHOW_SETTING,
        help="send so many of the latest runs with each new one; 0 for none",
    )  # fmt: skip
    @argument(
        "--summaries", choices=_SWITCHES, nargs="?", const="on",
        help="keep a summary of the session, and send it with each run",
    )  # fmt: skip
    @argument(
        "--budget", type=_dollars, nargs="?", const=SHOW_SETTING,
        help="US dollars that a session may cost; off for no limit",
    )  # fmt: skip
    @argument(
        "--rerun", choices=RERUNS, nargs="?", const=SHOW_SETTING,
        help="running a cell again replaces its turn, appends a new one, or branches off before it",
    )  # fmt: skip
    @argument(
        "--replay", choices=_SWITCHES, nargs="?", const=SHOW_SETTING,
        help="give the stored answer where the same was asked in the same context before",
    )  # fmt: skip
    @argument("--new", action="store_true", help="begin a new session")
    @argument("--yes", action="store_true", help="do not ask before something is deleted")
    @line_magic("agent")  # type: ignore[arg-type] # IPython types its decorators for none.
    def agent_line(self, line: str) -> None:
        """Show the notebook's agent, or set what it does. A setting without a value is shown."""
        args = vars(_parse_line(self.agent_line, line, sign="%"))
        words, is_confirmed, is_new = args.pop("command"), args.pop("yes"), args.pop("new")
        settings = {name: value for name, value in args.items() if value is not None}
        if words:
            run_command(self.notebook, words[0], [*words[1:], *(["--yes"] if is_confirmed else [])])
        for name, value in settings.items():
            if value is not SHOW_SETTING:
                value = _SWITCHES[value] if name in ("summaries", "replay") else value
                self.notebook.set(name, None if value is NO_VALUE else value)
        if is_new:
            self.notebook.start_new_session()
        if shown_settings := [name for name, value in settings.items() if value is SHOW_SETTING]:
            show_settings(self.notebook, shown_settings)
        if not words and not settings and not is_new:
            show_status(self.notebook, read_cell_info(self.shell))

    @no_var_expand
    @magic_arguments("agent")
    @argument("name", nargs="?", help="an agent of yours, by variable or name; else the notebook's")
    @argument("-s", "--session", help="run in this session")
    @argument("-u", "--user", help="run as this user")
    @argument("-m", "--model", help="answer this cell by another model")
    @argument("-o", "--output", metavar="VAR", help="keep the run in this variable; VAR.content is the answer")
    @argument(
        "-f", "--format", choices=FORMATS, default="md",
        help="md: Markdown; text: as it is; json: content is an object; code: its code goes into the next cell",
    )  # fmt: skip
    @argument("--rerun", choices=RERUNS, help="what running this cell again does")
    @argument("--ask", action="store_true", help="where the run waits for you, ask here and now, and go on")
    @argument("--fresh", action="store_true", help="ask the model even if there is an answer to replay")
    @argument("--no-history", action="store_true", help="do not send the earlier runs")
    @cell_magic("agent")  # type: ignore[arg-type]
    def agent_cell(self, line: str, cell: str) -> None:
        """Send the cell to the agent and stream its answer. {variables} are filled in; other braces stay."""
        args = _parse_line(self.agent_cell, line, sign="%%")
        _check_variable(args.output)
        # The front end tells which cell it is on this thread, and only now.
        run_cell(self.notebook, self.shell, args, cell.strip())

    @no_var_expand
    @magic_arguments("agent_sql")
    @argument("-o", "--output", metavar="VAR", help="keep the result in this variable, and do not show it")
    @argument("sql", nargs="*", help="the query, where it is not in the cell")
    @line_cell_magic("agent_sql")  # type: ignore[arg-type]
    def agent_sql(self, line: str, cell: str | None = None) -> Any:
        """Run one read-only query over the store and over the DataFrames of the notebook that it names."""
        # In a line the query is all of it: its quotes and its dashes are SQL's.
        args = _parse_line(self.agent_sql, line, sign="%%", name="agent_sql") if cell is not None else None
        sql = line if args is None else f"{' '.join(args.sql)}\n{cell}"
        if not sql.strip():
            raise InvalidInputError("there is no query: write one behind %agent_sql, or in a cell below %%agent_sql")
        output = args.output if args is not None else None
        _check_variable(output)
        frame, notes = run_query(sql, self.notebook.db, self.shell.user_ns)
        for sentence in notes:
            print(sentence, file=sys.stderr)
        if output is None:
            return frame
        self.shell.user_ns[output] = frame
        return None


def _check_variable(name: str | None) -> None:
    if name is not None and not name.isidentifier():
        raise InvalidInputError(f"-o needs the name of a variable, and {name!r} cannot be one")


def _parse_line(magic: Any, line: str, *, sign: str, name: str = "agent") -> Namespace:
    words = [
        word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'" else word for word in arg_split(line)
    ]
    try:
        parsed, unknown = magic.parser.parse_known_args(words)
    except UsageError as error:
        raise InvalidInputError(f"{sign}{name}: {error}. `%agent help` lists what there is.") from None
    if unknown:
        options = [option for action in magic.parser._actions for option in action.option_strings]
        raise InvalidInputError(f"{sign}{name} has no option {unknown[0]!r}: {nearest(unknown[0], options)}")
    return cast(Namespace, parsed)
