"""Completion in ``%agent``, ``%%agent`` and ``%%agent_sql``: an additional matcher for IPython's completer.

Within our magics it suppresses the other matchers; elsewhere it returns nothing.
"""

from __future__ import annotations

import re
from argparse import Action
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from IPython.core import completer
from IPython.core.interactiveshell import InteractiveShell

from agno_nb.db import queries
from agno_nb.db.arrow_tables import is_frame
from agno_nb.db.base import Db
from agno_nb.db.schema import views
from agno_nb.errors import AgnoNbError
from agno_nb.models.model_strings import EXAMPLES
from agno_nb.notebook.commands import COMMANDS, line_parser, option_names
from agno_nb.notebook.notebook import Notebook
from agno_nb.redact import without_controls

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult

NUM_SESSIONS = 20
_KEYWORDS = ("select", "from", "where", "group by", "order by", "limit", "join", "using", "with", "count(*)")
_IN_BRACES = re.compile(r"\{([^\W\d]\w*)?\Z")
_WORD = re.compile(r"[^\s]*\Z")
_SQL_WORD = re.compile(r"(?:([^\W\d]\w*)\.)?(\w*)\Z")


def register_completions(shell: InteractiveShell, notebook: Notebook) -> Callable[[], None]:
    """Add the matcher if IPython supports it, and return a function that removes it.

    IPython does from version 8.6; Colab has 7.34.
    """
    if not hasattr(completer, "context_matcher"):
        return lambda: None
    completions = _Completions(shell, notebook)

    @completer.context_matcher(identifier="agno_nb", priority=100)
    def match(context: CompletionContext) -> SimpleMatcherResult:
        return completions.match(context)

    shell.Completer.custom_matchers.append(match)

    def unregister() -> None:
        with suppress(ValueError):  # IPython may have a new completer.
            shell.Completer.custom_matchers.remove(match)

    return unregister


class _Completions:
    def __init__(self, shell: InteractiveShell, notebook: Notebook) -> None:
        self._shell, self._notebook = shell, notebook

    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """Complete the text before the cursor if it belongs to one of our magics."""
        before = context.text_until_cursor
        first, *_ = context.full_text.split("\n", 1)
        in_body = first.startswith("%%") and context.cursor_line > 0
        magic = (first if in_body else before.lstrip()).split(" ", 1)[0]
        if in_body and magic == "%%agent":
            return self._in_prompt(before)
        if in_body and magic == "%%agent_sql":
            return self._in_sql(before, context.full_text)
        # IPython completes the names of magics.
        if magic in ("%agent", "%%agent") and before.lstrip() != magic:
            return self._in_line(before, magic)
        if magic == "%agent_sql" and before.lstrip() != magic:
            return self._in_sql(before, context.line_with_cursor)
        return {"completions": [], "suppress": False}

    def _in_prompt(self, before: str) -> SimpleMatcherResult:
        match = _IN_BRACES.search(before)
        if match is None:
            # Python names mean nothing in a prompt.
            return {"completions": [], "suppress": True}
        return _complete_from(match[1] or "", instance=self._namespace())

    def _in_line(self, before: str, magic: str) -> SimpleMatcherResult:
        word = _WORD.search(before)[0]  # type: ignore[index] # It also matches the empty word.
        words = before[: len(before) - len(word)].split()[1:]
        commands = [each for each in words if not each.startswith("-")]
        cell_magic = self._shell.magics_manager.magics["cell"]["agent"]
        options = option_names(cell_magic.parser if magic == "%%agent" else line_parser())
        last = words[-1] if words else ""
        if last in options and options[last].nargs != 0 and not word.startswith("-"):
            return _complete_from(word, **{options[last].dest: self._values(options[last])})
        if word.startswith("-"):
            return _complete_from(word, option=options)
        if magic == "%%agent":
            return _complete_from(word, agent=self._agents() if not commands else ())
        return self._after(commands[0], word) if commands else _complete_from(word, command=COMMANDS)

    def _values(self, option: Action) -> Iterable[str]:
        if option.choices is not None:
            return map(str, option.choices)
        match option.dest:
            case "model":
                # The provider of a server without a profile is its host, which is not a string's.
                stored = (name for name in self._stored(queries.model_names) if name.partition(":")[0] in EXAMPLES)
                return [*self._notebook.model_variables(), *EXAMPLES.values(), *stored]
            case "session":
                return self._sessions()
            case "user":
                return self._stored(queries.user_ids)
            case "db":
                return [path.name for path in sorted(self._notebook.folder.glob("*.duckdb"))]
        return []

    def _after(self, command: str, word: str) -> SimpleMatcherResult:
        match command:
            case "resume" | "delete":
                return _complete_from(word, session=self._sessions())
            case "use":
                return _complete_from(word, agent=self._agents())
            case "tools":
                return _complete_from(word, tool=self._notebook.functions())
        return _complete_from(word)

    def _agents(self) -> Iterable[str]:
        return [*self._notebook.user_agents(), "notebook"]

    def _sessions(self) -> Iterable[str]:
        user_id = self._notebook.current_user_id
        names = self._stored(lambda db: queries.session_names(db, user_id))
        ids = self._stored(lambda db: queries.latest_session_ids(db, user_id, limit=NUM_SESSIONS))
        return [*(name for name in names if " " not in name), *ids]

    def _stored(self, read: Callable[[Db], list[str]]) -> list[str]:
        try:
            return read(self._notebook.db)
        except AgnoNbError:
            return []  # The next run will report what is wrong with the store.

    def _in_sql(self, before: str, query: str) -> SimpleMatcherResult:
        qualifier, word = _SQL_WORD.search(before).groups()  # type: ignore[union-attr] # It also matches the empty string.
        tables = self._tables()
        if qualifier is not None:
            table = qualifier if qualifier in tables else _resolve_alias(qualifier, query, tables)
            return _complete_from(word, column=tables.get(table or "", ()))
        tables_named = [name for name in tables if re.search(rf"\b{re.escape(name)}\b", query)]
        columns = [column for name in tables_named for column in tables[name]]
        return _complete_from(word, table=tables, column=columns, keyword=_KEYWORDS)

    def _tables(self) -> dict[str, list[str]]:
        # `columns` of an Arrow table are its data, not its names.
        frames = {
            name: list(map(str, getattr(value, "column_names", None) or value.columns))
            for name, value in self._namespace().items()
            if is_frame(value)
        }
        return {**frames, **{name: list(view.columns) for name, view in views().items()}}

    def _namespace(self) -> Mapping[str, Any]:
        """Return the user's variables, without those that IPython defines."""
        hidden = self._shell.user_ns_hidden
        return {
            name: value
            for name, value in self._shell.user_ns.items()
            if name[0] != "_" and hidden.get(name, hidden) is not value
        }


def _resolve_alias(alias: str, query: str, tables: Mapping[str, Any]) -> str | None:
    candidates = re.findall(rf"\b(\w+)\s+(?:as\s+)?{re.escape(alias)}\b", query, re.IGNORECASE)
    return next((name for name in candidates if name in tables), None)


def _complete_from(fragment: str, **known: Iterable[str]) -> SimpleMatcherResult:
    """Return the names that start with a fragment. Their keyword is the kind that front ends display."""
    kinds: dict[str, str] = {}
    for kind, names in known.items():
        for name in names:
            # A name with control characters would be inserted as a different name.
            if name.lower().startswith(fragment.lower()) and without_controls(name) == name:
                kinds.setdefault(name, kind)
    return {
        "completions": [completer.SimpleCompletion(name, type=kind) for name, kind in kinds.items()],
        "matched_fragment": fragment,
        "suppress": True,
        "ordered": True,
    }
