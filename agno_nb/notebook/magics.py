"""``%agent``, ``%%agent`` and ``%%agent_sql``: they parse the line, call other modules, and show the result."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.utils.process import arg_split  # type: ignore[attr-defined] # IPython's own magics import it from here.

from agno_nb.db.frame_reader import run_query
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.agent_cell import FORMATS, run_cell
from agno_nb.notebook.cell_info import read_cell_info
from agno_nb.notebook.commands import change_settings, line_parser, parse_words, run_parsed, show_status
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.session_commands import show_previous_session
from agno_nb.notebook.settings import RERUNS, AgnoNb


@magics_class
class AgentMagics(Magics):
    """The magics of one notebook."""

    shell: InteractiveShell
    undo: Sequence[Callable[[], None]] = ()
    """Called when the extension is unloaded."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        path = read_cell_info(shell).notebook
        self.notebook = Notebook(shell.user_ns, Path.cwd(), AgnoNb(parent=shell), path)

    @no_var_expand
    @line_magic("agent")  # type: ignore[arg-type] # IPython types its decorators for functions of a module.
    def agent_line(self, line: str) -> None:
        self.notebook.locate(read_cell_info(self.shell).notebook)
        args = _parse(line_parser(), line, "%agent")
        run_parsed(self.notebook, args)
        change_settings(self.notebook, args)
        if vars(args) == {"command": None}:
            show_status(self.notebook, read_cell_info(self.shell))

    agent_line.__doc__ = line_parser().format_help()  # type: ignore[assignment]

    @no_var_expand
    @magic_arguments("%agent")
    @argument("name", nargs="?", help="one of your agents, by variable or name; defaults to the notebook's agent")
    @argument("-s", "--session", help="run in this session")
    @argument("-u", "--user", help="run as this user")
    @argument("-m", "--model", help="use another model for this cell: a string, or a variable with a model")
    @argument("-o", "--output", metavar="VAR", help="assign the run to this variable; VAR.content is the answer")
    @argument(
        "-f", "--format", choices=FORMATS, default="md",
        help="md: Markdown; text: plain text; json: content is an object; code: insert the code as the next cell",
    )  # fmt: skip
    @argument("--rerun", choices=RERUNS, help="effect of rerunning this cell")
    @argument("--ask", action="store_true", help="if the run pauses, answer at the keyboard and continue it")
    @argument("--fresh", action="store_true", help="call the model even if there is a cached answer")
    @argument("--no-history", action="store_true", help="do not send earlier runs")
    @cell_magic("agent")  # type: ignore[arg-type]
    def agent_cell(self, line: str, cell: str) -> None:
        """Send the cell to the agent and stream its answer. {variables} are replaced by their values."""
        args = _parse(self.agent_cell.parser, line, "%%agent")
        _check_variable(args.output)
        if self.notebook.locate(read_cell_info(self.shell).notebook):
            show_previous_session(self.notebook)
        run_cell(self.notebook, self.shell, args, cell.strip())

    @no_var_expand
    @magic_arguments("%agent_sql")
    @argument("-o", "--output", metavar="VAR", help="assign the result to this variable instead of showing it")
    @argument("sql", nargs="*", help="the query, unless it is in the cell")
    @line_cell_magic("agent_sql")  # type: ignore[arg-type]
    def agent_sql(self, line: str, cell: str | None = None) -> Any:
        """Run one read-only query over the store and over the notebook's DataFrames that it names.

        For a query of one line, use %agent_sql QUERY.
        """
        # The line magic has no options: quotes and dashes belong to the query.
        sql, output = line, None
        if cell is not None:
            args = _parse(self.agent_sql.parser, line, "%%agent_sql")
            sql, output = f"{' '.join(args.sql)}\n{cell}", args.output
        if not sql.strip():
            raise InvalidInputError("no query; write one after %agent_sql, or in a cell below %%agent_sql")
        _check_variable(output)
        result, notes = run_query(self.notebook.db, sql, {}, self.shell.user_ns)
        for note in notes:
            print(note, file=sys.stderr)
        frame = result.df()
        if output is None:
            return frame
        self.shell.user_ns[output] = frame
        return None


def pass_to_magics(lines: list[str]) -> list[str]:
    """Transform the cells that IPython itself answers, with hints at the wrong magic, so that the magics answer.

    IPython rejects ``%%agent`` without a body, and takes a line that ends in ``?`` for a question about its last word.
    """
    line = lines[0] if len(lines) == 1 else ""
    if re.match(r"%%agent(_sql)?(\s|\Z)", line):
        return [line, "\n"]
    if found := re.fullmatch(r"%agent\s+(\S+\s.*\?)\s*", line):
        return [f"get_ipython().run_line_magic('agent', {found[1]!r})\n"]
    return lines


# A terminal would not wait for the body of a cell.
pass_to_magics.has_side_effects = True  # type: ignore[attr-defined]


def _check_variable(name: str | None) -> None:
    if name is not None and not name.isidentifier():
        raise InvalidInputError(f"invalid variable name {name!r} after -o; pass a Python identifier")


def _parse(parser: Any, line: str, magic: str) -> Namespace:
    words = [
        word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'" else word for word in arg_split(line)
    ]
    return parse_words(parser, words, magic)
