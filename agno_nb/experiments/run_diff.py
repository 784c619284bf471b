"""Compare two runs part by part: their messages, tool calls and results, answers and usage."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db.base import AsyncDb, Db
from agno_nb.experiments.runs import find_run
from agno_nb.redact import displayable
from agno_nb.types import Message, RunOutput, counted, one_line

if TYPE_CHECKING:
    import pandas as pd

_FACTS = ("component_name", "model", "status", "error")
_USAGE = ("input_tokens", "output_tokens", "cost", "duration_s")

LINE_LIMIT = 200
"""Characters of each text in the repr."""

MAX_WORDS = 3_000
"""Words of a text up to which two texts are compared word by word, which takes time quadratic in their length."""

Side = str | None


@dataclass(frozen=True, slots=True)
class Part:
    """A part that one of the runs has, or both."""

    name: str
    """component_name, model, status or error; system, user, assistant, tool_call or tool_result; or a kind of usage."""
    tool_name: str | None
    a: Side
    b: Side

    @property
    def is_equal(self) -> bool:
        return self.a == self.b

    @property
    def is_message(self) -> bool:
        """Whether it is text, and not a fact or a number."""
        return self.name not in (*_FACTS, *_USAGE)

    @property
    def title(self) -> str:
        return " ".join(filter(None, (self.name.replace("_", " "), self.tool_name)))


@suggest_on_unknown_kwarg({})
def diff(a: RunOutput | str, b: RunOutput | str, *, db: Db | AsyncDb | None = None) -> RunDiff:
    """Compare two runs, aligned by their messages and tool calls.

    Parameters
    ----------
    a, b : RunOutput or str
        The runs, or their IDs.
    db : Db, optional
        The store of runs that are given by ID; defaults to the notebook's.

    Returns
    -------
    RunDiff
        Shown as a table in a notebook. ``.df()`` has a row for each part.

    Raises
    ------
    InvalidInputError
        The store has no such run.

    Examples
    --------
    >>> from agno_nb import Agent, ScriptedModel, diff
    >>> agent = Agent(ScriptedModel(["It is 4.", "It is four."]))
    >>> diff(agent.run("2 + 2?"), agent.run("2 + 2?"))
    RunDiff: 1 of 5 parts differs
    assistant
    - It is 4.
    + It is four.
    """
    return RunDiff(find_run(a, db), find_run(b, db))


class RunDiff:
    """Two runs side by side, created by :func:`diff`.

    Attributes
    ----------
    a, b : RunOutput
    """

    def __init__(self, a: RunOutput, b: RunOutput) -> None:
        self.a, self.b = a, b

    @cached_property
    def parts(self) -> list[Part]:
        """The parts of both runs, in order. Usage is left out if neither run has it."""
        facts = [Part(name, None, _fact(self.a, name), _fact(self.b, name)) for name in _FACTS]
        usage = [Part(name, None, _fact(self.a.metrics, name), _fact(self.b.metrics, name)) for name in _USAGE]
        aligned = _align(list(_messages(self.a)), list(_messages(self.b)))
        return [part for part in (*facts, *aligned, *usage) if not (part.a is None and part.b is None)]

    @property
    def changes(self) -> list[Part]:
        """The parts that differ, except durations, which always do."""
        return [part for part in self.parts if not part.is_equal and part.name != "duration_s"]

    @property
    def summary(self) -> str:
        """The number of parts that differ, in words."""
        compared = [part for part in self.parts if part.name != "duration_s"]
        verb = "differs" if len(self.changes) == 1 else "differ"
        return f"{len(self.changes)} of {counted(len(compared), 'part')} {verb}"

    def df(self) -> pd.DataFrame:
        """Return the parts as a DataFrame.

        Returns
        -------
        DataFrame
            A row for each part, with the columns `part`, `tool_name`, `a`, `b` (str, null if a run does not have the
            part) and `is_equal` (boolean).
        """
        import pandas as pd

        rows = [(part.name, part.tool_name, part.a, part.b, part.is_equal) for part in self.parts]
        frame = pd.DataFrame(rows, columns=["part", "tool_name", "a", "b", "is_equal"])
        return frame.astype({**dict.fromkeys(["part", "tool_name", "a", "b"], "str"), "is_equal": "boolean"})

    def _repr_html_(self) -> str:
        from agno_nb.notebook.run_diff import diff_html

        return diff_html(self)

    def __repr__(self) -> str:
        lines = [f"RunDiff: {self.summary}"]
        for part in self.changes:
            sides = {"-": part.a, "+": part.b}
            lines.append(part.title)
            lines += [f"{sign} {one_line(text, LINE_LIMIT)}" for sign, text in sides.items() if text is not None]
        return displayable("\n".join(lines))


def changed_words(a: str, b: str) -> list[tuple[str, str]]:
    """Return the pieces of two texts with what happened to each: "=", "-" (only in `a`) or "+" (only in `b`).

    Examples
    --------
    >>> changed_words("It is 4.", "It is four.")
    [('=', 'It is '), ('-', '4'), ('+', 'four'), ('=', '.')]
    """
    words_a, words_b = (re.findall(r"\w+|\s+|[^\w\s]", text) for text in (a, b))
    if a == b or max(len(words_a), len(words_b)) > MAX_WORDS:
        return [("=", a)] if a == b else [("-", a), ("+", b)]
    pieces = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, words_a, words_b, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(("=", "".join(words_a[i1:i2])))
        else:
            pieces += [("-", "".join(words_a[i1:i2])), ("+", "".join(words_b[j1:j2]))]
    return [(sign, text) for sign, text in pieces if text]


_Item = tuple[str, str | None, str]
"""Name of the part, name of the tool, and text."""


def _messages(run: RunOutput) -> Iterator[_Item]:
    """Yield the parts of the messages of a run, without the history. A workflow's only message is its input."""
    results: dict[str | None, Message] = {each.tool_call_id: each for each in run.messages if each.role == "tool"}
    last = None
    for message in run.messages:
        if message.from_history or message.role == "tool":
            continue
        if message.content:
            last = message.content
            yield message.role, None, message.content
        for call in message.tool_calls:
            yield "tool_call", call.tool_name, _readable(call.arguments)
            if (result := results.get(call.tool_call_id)) is not None:
                yield "tool_result", call.tool_name, result.content or ""
    answer = run.get_content_as_string() if run.content is not None else ""
    if answer and answer != last and not isinstance(run.content, dict):
        yield "answer", None, answer


def _readable(arguments: str) -> str:
    """Return JSON with sorted keys, so that their order makes no difference; other text unchanged."""
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False, sort_keys=True, indent=1)
    except (ValueError, RecursionError):
        return arguments


def _align(a: Sequence[_Item], b: Sequence[_Item]) -> Iterator[Part]:
    """Pair the parts of the same kind and tool in order; others are only in one of the runs."""
    keys_a, keys_b = ([item[:2] for item in items] for items in (a, b))
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, keys_a, keys_b, autojunk=False).get_opcodes():
        if kind == "equal":
            for one, other in zip(a[i1:i2], b[j1:j2], strict=True):
                yield Part(one[0], one[1], one[2], other[2])
        else:
            yield from (Part(name, tool_name, text, None) for name, tool_name, text in a[i1:i2])
            yield from (Part(name, tool_name, None, text) for name, tool_name, text in b[j1:j2])


def _fact(owner: Any, name: str) -> str | None:
    value = getattr(owner, name)
    return None if value is None else f"{value:g}" if isinstance(value, float) else str(value)
