"""Completion and displays, as `%load_ext` registers them: what they need is imported when they are first used."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from IPython.core import completer
from IPython.core.interactiveshell import InteractiveShell

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult

    from agno_nb.notebook.notebook import Notebook

SHOWN_CLASSES = (
    ("agno_nb.types.runs", "RunOutput"),
    ("agno_nb.types.sessions", "Session"),
    ("agno_nb.run.runnable", "Runnable"),
    ("agno_nb.types.context_report", "ContextReport"),
    ("agno_nb.db.frame_reader", "QueryResult"),
)
"""Module and name of the classes whose objects :func:`agno_nb.notebook.displays.object_html` shows."""

_DATAFRAME = ("pandas", "DataFrame")


def register_completions(shell: InteractiveShell, notebook: Callable[[], Notebook]) -> Callable[[], None]:
    """Add the matcher if IPython supports it, and return a function that removes it.

    IPython does from version 8.6; Colab has 7.34.
    """
    if not hasattr(completer, "context_matcher"):
        return lambda: None

    @completer.context_matcher(identifier="agno_nb", priority=100)
    def match(context: CompletionContext) -> SimpleMatcherResult:
        if "%agent" not in context.full_text:
            return {"completions": [], "suppress": False}
        from agno_nb.notebook.completion import complete

        return complete(shell, notebook(), context)

    shell.Completer.custom_matchers.append(match)

    def unregister() -> None:
        with suppress(ValueError):  # IPython may have a new completer.
            shell.Completer.custom_matchers.remove(match)

    return unregister


def register_displays(shell: InteractiveShell) -> Callable[[], None]:
    """Make IPython show runs, sessions, agents and context reports as HTML, and return a function that undoes it."""
    assert shell.display_formatter is not None
    html, plain = (shell.display_formatter.formatters[mime_type] for mime_type in ("text/html", "text/plain"))
    for names in SHOWN_CLASSES:
        html.for_type_by_name(*names, _object_html)
    plain.for_type_by_name(*_DATAFRAME, _print_frame)
    # Another extension may show DataFrames its own way.
    other: Callable[[Any], str | None] | None = html.for_type_by_name(
        *_DATAFRAME, lambda frame: _frame_html(frame, other)
    )

    def unregister() -> None:
        for names in SHOWN_CLASSES:
            html.pop(".".join(names), None)
        for formatter in (html, plain):
            formatter.pop(".".join(_DATAFRAME), None)
        if other is not None:
            html.for_type_by_name(*_DATAFRAME, other)

    return unregister


def _object_html(value: Any) -> str | None:
    from agno_nb.notebook.displays import object_html

    return object_html(value)


def _frame_html(frame: Any, other: Callable[[Any], str | None] | None) -> str | None:
    from agno_nb.notebook.displays import frame_html, short_ids

    return short_ids(frame, (other or frame_html)(frame))


def _print_frame(frame: Any, printer: Any, cycle: bool) -> None:
    from agno_nb.notebook.displays import print_frame

    print_frame(frame, printer)
