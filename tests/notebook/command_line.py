"""Run commands of ``%agent`` without a kernel."""

from __future__ import annotations

from collections.abc import Sequence

from agno_nb.notebook.commands import line_parser, parse_words, run_parsed
from agno_nb.notebook.notebook import Notebook


def run_command(notebook: Notebook, name: str, words: Sequence[str]) -> None:
    """Run a command with its words, as the magic does with those of a line."""
    run_parsed(notebook, parse_words(line_parser(), [name, *words], "%agent"))
