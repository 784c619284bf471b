"""``%agent context``: what a model was sent, to be read."""

from __future__ import annotations

from dataclasses import replace

from agno_nb.db.base import Db
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.tables import ColumnKind, one_line, table_bundle
from agno_nb.types import ContextPart, ContextReport, RunOutput, Variable

PREVIEW_CHARACTERS = 160

_COLUMNS: dict[str, ColumnKind] = {"source": "word", "": "word", "tokens": "number", "text": "text"}


def report_with_texts(run: RunOutput, db: Db) -> ContextReport:
    """Return the receipt of a run with the texts of the history, which a store keeps with the runs that said them.

    The text of a variable says what it was: what was put in for it is in the prompt's.

    Raises
    ------
    InvalidInputError
        The run has none: it asked no model itself, or its process ended before it did.
    """
    if run.context_report is None:
        raise InvalidInputError(f"run {run.run_id!r} has sent nothing to a model itself: look at the runs nested in it")
    return replace(run.context_report, parts=[_with_text(part, db, run) for part in run.context_report.parts])


def _with_text(part: ContextPart, db: Db, run: RunOutput) -> ContextPart:
    if part.text is not None:
        return part
    if part.source == "variable":
        return replace(part, text=next((_about(each) for each in run.variables if each.name == part.name), None))
    if part.run_id is None:
        return part
    earlier = db.get_run(part.run_id, run.session_id)
    if earlier is None:
        return part
    return replace(part, text=f"user: {earlier.input}\nassistant: {earlier.get_content_as_string()}")


def _about(variable: Variable) -> str:
    """Say what a variable was. What it put into the prompt is in the prompt's text."""
    shape = "" if variable.shape is None else f", {' x '.join(f'{size:,}' for size in variable.shape) or 'a scalar'}"
    return f"{variable.type}{shape}{', cut' if variable.cut else ''}"


def report_bundle(report: ContextReport, *, counted: int | None = None) -> dict[str, str]:
    """Make a table of the parts with their sizes and beginnings, and below it what was left out.

    Parameters
    ----------
    counted : int, optional
        How many tokens the provider has counted.
    """
    rows = [
        (source, detail, size.removesuffix(" tokens"), one_line(part.text or "", PREVIEW_CHARACTERS))
        for (source, detail, size), part in zip(report.rows(), report.parts, strict=True)
    ]
    by_provider = f"; the provider counted {counted:,}" if counted else ""
    sentences = [f"About {report.tokens:,} tokens, estimated by length{by_provider}."]
    sentences += [f"Left out: {each.what} ({each.why})." for each in report.omitted]
    return table_bundle(_COLUMNS, rows, note=" ".join(sentences))


def counted_tokens(run: RunOutput) -> int | None:
    """Return how many tokens the provider says that the run's first request had."""
    answers = (message for message in run.messages if message.role == "assistant" and not message.from_history)
    first = next(answers, None)
    return first.metrics.input_tokens if first is not None and first.metrics is not None else None
