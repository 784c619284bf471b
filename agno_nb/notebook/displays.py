"""How our objects show themselves in a notebook: formatters of IPython, so that the objects know of no HTML."""

from __future__ import annotations

from typing import Any

from IPython.core.formatters import BaseFormatter
from IPython.core.interactiveshell import InteractiveShell

from agno_nb.notebook.context_report import report_bundle
from agno_nb.notebook.render import AnswerView, footer_text
from agno_nb.notebook.tables import facts_bundle, table_bundle
from agno_nb.redact import displayable
from agno_nb.run.runnable import Runnable
from agno_nb.types import ContextReport, RunOutput, RunStatus, Session

NUM_TURNS = 20


def register_displays(shell: InteractiveShell) -> None:
    """Let IPython show runs, sessions, agents and receipts as HTML."""
    formatter = _formatter(shell, "text/html")
    for cls, function in _FORMATTERS.items():
        formatter.for_type(cls, function)
    _formatter(shell, "text/plain").for_type_by_name(*_DATAFRAME, _print_frame)


def unregister_displays(shell: InteractiveShell) -> None:
    """Take the formatters away again."""
    formatter = _formatter(shell, "text/html")
    for cls in _FORMATTERS:
        formatter.pop(cls, None)
    _formatter(shell, "text/plain").pop(".".join(_DATAFRAME), None)


def _formatter(shell: InteractiveShell, mime_type: str) -> BaseFormatter:
    assert shell.display_formatter is not None  # A shell has one from its beginning.
    formatter: BaseFormatter = shell.display_formatter.formatters[mime_type]
    return formatter


def _print_frame(frame: Any, printer: Any, cycle: bool) -> None:
    """Print a DataFrame as IPython does, but for control characters: pandas prints those of a cell as they are."""
    for number, line in enumerate(displayable(repr(frame)).splitlines()):
        if number:
            printer.break_()
        printer.text(line)


def _run_html(run: RunOutput) -> str:
    from agno_nb.widgets.trace import run_html

    return run_html(run)


def _session_html(session: Session) -> str:
    turns = {run.run_index: run for run in session.runs if run.run_index is not None}
    shown = [run for _, run in sorted(turns.items())][-NUM_TURNS:]
    rows = [(str(run.run_index), _line(run.input), _line(run.get_content_as_string())) for run in shown]
    cost = footer_text(AnswerView(status=RunStatus.COMPLETED, metrics=session.metrics))
    note = " · ".join(filter(None, (session.session_name, session.session_id, session.user_id, cost)))
    columns: dict[str, Any] = {"turn": "number", "asked": "text", "answer": "text"}
    return table_bundle(columns, rows, note=note)["text/html"]


def _runnable_html(runnable: Runnable) -> str:
    facts = {type(runnable).__name__.lower(): runnable.name or runnable.component_id}
    for name in ("model", "description", "instructions", "user_id", "session_id"):
        if (value := getattr(runnable, name, None)) is not None:
            facts[name] = _line(value if isinstance(value, str) else repr(value))
    for name in ("tools", "members", "steps"):
        several = getattr(runnable, name, None)
        if isinstance(several, list | tuple) and several:
            facts[name] = ", ".join(str(getattr(one, "name", None) or getattr(one, "__name__", one)) for one in several)
    facts["store"] = "none" if runnable.db is None else repr(runnable.db)
    return facts_bundle(facts)["text/html"]


def _report_html(receipt: ContextReport) -> str:
    return report_bundle(receipt)["text/html"]


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:199]}…"


_DATAFRAME = ("pandas", "DataFrame")
_FORMATTERS: dict[type, Any] = {
    RunOutput: _run_html,
    Session: _session_html,
    Runnable: _runnable_html,
    ContextReport: _report_html,
}
