"""The forms of an answer: ``%%agent -f md|text|json|code``."""

from __future__ import annotations

import copy
from typing import Any

from agno_nb.agent.agent import Agent
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.commonmark import lossless_parser
from agno_nb.notebook.tables import show_note
from agno_nb.run.options import RunOptions
from agno_nb.run.runnable import Runnable
from agno_nb.types import JsonDict, RunOutput

FORMATS = ("md", "text", "json", "code")

ANY_OBJECT: JsonDict = {"type": "object"}
"""Any JSON object will do: the cell says in words which."""

_OURS = ("", "python", "py", "python3", "ipython")


def with_format(runnable: Runnable, form: str) -> tuple[Runnable, RunOptions]:
    """Return who answers in that form, and what the run is told.

    Raises
    ------
    InvalidInputError
        Only an agent can be told how to write.
    """
    if form == "json":
        return runnable, RunOptions(output_schema=ANY_OBJECT)
    if form != "text":
        return runnable, RunOptions()
    if not isinstance(runnable, Agent):
        raise InvalidInputError(f"-f text is for an agent, and {runnable!r} is not one")
    plain = copy.copy(runnable)
    plain.markdown = False
    return plain, RunOptions()


def insert_code(run: RunOutput, shell: Any) -> None:
    """Put the Python code of an answer into the next cell."""
    code = extract_code(run.get_content_as_string())
    if not code:
        show_note("there is no Python code in the answer, so the next cell stays as it is")
        return
    shell.set_next_input(code, replace=False)


def extract_code(markdown: str) -> str:
    """Return the fenced Python code of a text, one block after the other."""
    fences = (token for token in lossless_parser().parse(markdown) if token.type == "fence")
    blocks = [token.content.strip("\n") for token in fences if "".join(token.info.split()[:1]).lower() in _OURS]
    return "\n\n".join(block for block in blocks if block.strip())
