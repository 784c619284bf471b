"""``%agent`` and ``%%agent``. They read the line, call, and show; everything else is done elsewhere."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.utils.process import arg_split  # type: ignore[attr-defined] # It is where IPython's own magics take it.

from agno_nb._keywords import nearest
from agno_nb.errors import InvalidInputError
from agno_nb.notebook import people
from agno_nb.notebook.commands import COMMANDS, command_named, show_status
from agno_nb.notebook.live import LiveAnswer
from agno_nb.notebook.state import Notebook
from agno_nb.notebook.variables import inject
from agno_nb.printing import display_for, follow
from agno_nb.types import RunOutput


@magics_class
class AgentMagics(Magics):
    """The magics of one notebook."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.notebook = Notebook(shell.user_ns, Path.cwd())

    @no_var_expand
    @magic_arguments("agent")
    @argument("command", nargs="*", help="a command and what it is about: " + ", ".join(COMMANDS))
    @argument("--model", help='answer by another model, as in "openai:gpt-5-mini", "ollama:llama3.2" or "demo"')
    @argument("--db", help="keep sessions in another DuckDB file")
    @argument("--user", help="talk as this user")
    @argument("--session", help="go on with this session, or begin it")
    @argument("--history", type=int, help="send so many of the latest runs with each new one; 0 for none")
    @argument("--summaries", action="store_true", help="keep a summary of the session, and send it with each run")
    @argument("--new", action="store_true", help="begin a new session")
    @line_magic("agent")  # type: ignore[arg-type] # IPython types its decorators for none.
    def agent_line(self, line: str) -> None:
        """Show the notebook's agent, or set what it does."""
        args = _parsed(self.agent_line, line, sign="%")
        settings = {
            name: value for name, value in vars(args).items() if name != "command" and value not in (None, False)
        }
        if args.command:
            command_named(args.command[0])(self.notebook, args.command[1:])
        self._set(settings)
        if not args.command and not settings:
            show_status(self.notebook)

    @no_var_expand
    @magic_arguments("agent")
    @argument("name", nargs="?", help="an agent of yours, by variable or name; else the notebook's")
    @argument("-s", "--session", help="run in this session")
    @argument("-u", "--user", help="run as this user")
    @argument("-m", "--model", help="answer this cell by another model")
    @argument("-o", "--output", metavar="VAR", help="keep the run in this variable; VAR.content is the answer")
    @argument("--ask", action="store_true", help="where the run waits for you, ask here and now, and go on")
    @argument("--no-history", action="store_true", help="do not send the earlier runs")
    @cell_magic("agent")  # type: ignore[arg-type]
    def agent_cell(self, line: str, cell: str) -> None:
        """Send the cell to the agent and stream its answer. {variables} are filled in; other braces stay."""
        args = _parsed(self.agent_cell, line, sign="%%")
        if args.output is not None and not args.output.isidentifier():
            raise InvalidInputError(f"-o needs the name of a variable, and {args.output!r} cannot be one")
        run = self._run(args, cell)
        if args.ask:
            run = people.ask(self.notebook, run)
        self.shell.user_ns["_agent"] = run
        if args.output is not None:
            self.shell.user_ns[args.output] = run

    def _set(self, settings: dict[str, Any]) -> None:
        actions: dict[str, Callable[[Any], None]] = {
            "db": self.notebook.use_store,
            "model": self.notebook.use_model,
            "history": self.notebook.use_history,
            "summaries": lambda _: self.notebook.use_summaries(),
            "user": self.notebook.use_user,
            "new": lambda _: self.notebook.start_new_session(),
            "session": self.notebook.use_session,
        }
        for name, act in actions.items():
            if name in settings:
                act(settings[name])

    def _run(self, args: Namespace, cell: str) -> RunOutput:
        runnable = self.notebook.runnable_named(args.name) if args.name else self.notebook.runnable
        if args.model:
            runnable = self.notebook.with_model(runnable, args.model)
        prompt = inject(cell.strip(), self.shell.user_ns)
        for sentence in prompt.warnings:
            print(sentence, file=sys.stderr)
        options = self.notebook.options(session_id=args.session, user_id=args.user)
        if args.no_history:
            options["add_history_to_context"] = False
        events = runnable.run(prompt.text, stream=True, stream_events=True, **options)
        shown = display_for(None, live=True)
        run = follow(events, shown)
        if run.is_paused and not args.ask and isinstance(shown, LiveAnswer):
            from agno_nb.widgets.approvals import wait_for_person

            wait_for_person(runnable, run, shown.display_id)
        return run


def _parsed(magic: Any, line: str, *, sign: str) -> Namespace:
    words = [
        word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'" else word for word in arg_split(line)
    ]
    try:
        parsed, unknown = magic.parser.parse_known_args(words)
    except UsageError as error:
        raise InvalidInputError(f"{sign}agent: {error}. `%agent help` lists what there is.") from None
    if unknown:
        options = [option for action in magic.parser._actions for option in action.option_strings]
        raise InvalidInputError(f"{sign}agent has no option {unknown[0]!r}: {nearest(unknown[0], options)}")
    return cast(Namespace, parsed)
