"""What a paused run asks, as a cell shows it. What the model wrote is text, and all of it is there to be read."""

from __future__ import annotations

import html
from collections.abc import Sequence

from agno_nb.redact import without_controls
from agno_nb.types import Requirement

_BOX = (
    "margin:.4em 0 .2em;padding:.5em .7em;border:1px solid rgba(128,128,128,.25);border-left:4px solid #b7860b;"
    "border-radius:6px;background-color:rgba(128,128,128,.08);white-space:pre-wrap;overflow-wrap:anywhere"
)


def questions_text(requirements: Sequence[Requirement]) -> str:
    """Write what is asked, and how to answer."""
    return without_controls("\n\n".join(f"{one.question}\n{_commands(one)}" for one in requirements))


def questions_html(requirements: Sequence[Requirement]) -> str:
    """Write what is asked, and how to answer.

    The arguments are shown whole: what is not seen cannot be allowed.
    """
    return "".join(
        f'<pre style="{_BOX}">{html.escape(without_controls(one.question))}</pre>'
        f'<div style="margin:.2em 0 .8em;font-size:.9em"><code>{html.escape(_commands(one))}</code></div>'
        for one in requirements
    )


def _commands(requirement: Requirement) -> str:
    short_id = requirement.short_id
    refusing = f"%agent reject {short_id} [why]"
    if requirement.kind == "confirmation":
        return f"%agent approve {short_id}   or   {refusing}"
    return f"{answer_command(requirement)}   or   {refusing}"


def answer_command(requirement: Requirement) -> str:
    """Return the command that answers a requirement with values or a result, with placeholders."""
    if requirement.kind == "external_execution":
        return f"%agent answer {requirement.short_id} RESULT"
    fields = " ".join(f"{each.name}=…" for each in requirement.user_input_fields if not each.is_given)
    return f"%agent answer {requirement.short_id} {fields}"
