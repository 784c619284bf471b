"""What a model was sent, as a receipt: each part with its source and size, and what was left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.redact import displayable

if TYPE_CHECKING:
    import pandas as pd

    from agno_nb.types.messages import Message

CHARS_PER_TOKEN = 4
"""A rule of thumb for English. What the provider counted is in the run's metrics."""

SYSTEM_SOURCES = ("instructions", "memories", "summary", "session state")
"""Sources that make up the system message, which is all of them with an empty line in between."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class ContextPart:
    """A part of what a model was sent."""

    source: str
    """instructions, memories, summary, session state, examples, history, prompt, variable, media, tools or output
    schema."""
    role: str | None = None
    """Of the message that it is in. None of what is not a message, and of a turn of the history, which is several."""
    name: str | None = None
    """Which one: the variable's expression, the names of the tools, the version of the summary."""
    run_index: int | None = None
    """Of history: the turn."""
    run_id: str | None = None
    """Of history: the run."""
    chars: int
    """Characters of text. Those of the variables are not counted in the prompt's again."""
    text: str | None = field(default=None, compare=False, repr=False)
    """The text, where it is at hand: a store keeps it once, with the message that it is of."""

    @property
    def tokens(self) -> int | None:
        """About how many tokens that is, by length. None of images, sounds and files."""
        return None if self.source == "media" else -(-self.chars // CHARS_PER_TOKEN)


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class OmittedPart:
    """Something of the session that the model was not sent."""

    what: str
    why: str


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, repr=False)
class ContextReport:
    """What a run sent in its first request, in the order of the request.

    Its later requests add the run's own tool calls and their results.

    Examples
    --------
    >>> from agno_nb import Agent, InMemoryDb, ScriptedModel
    >>> model = ScriptedModel(["It is four.", "It is nine."])
    >>> agent = Agent(model, db=InMemoryDb(), instructions="Be brief.", add_history_to_context=True)
    >>> run = agent.run("What is two times two?")
    >>> agent.run("And three times three?").context()
    instructions           ~3 tokens
    history       turn 0  ~13 tokens
    prompt                 ~6 tokens
    """

    parts: list[ContextPart] = field(default_factory=list)
    omitted: list[OmittedPart] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """About how many tokens that is, by length, without images, sounds and files."""
        return sum(part.tokens or 0 for part in self.parts)

    def df(self) -> pd.DataFrame:
        """Return the parts as a DataFrame, one row each."""
        import pandas as pd

        columns = ("source", "role", "name", "run_index", "run_id", "chars", "tokens", "text")
        frame = pd.DataFrame([[getattr(part, name) for name in columns] for part in self.parts], columns=columns)
        return frame.astype(dict.fromkeys(("run_index", "chars", "tokens"), "Int64"))

    def rows(self) -> list[tuple[str, str, str]]:
        """Return source, detail and size of each part, as they are shown."""
        return [
            (
                part.source,
                f"turn {part.run_index}" if part.run_index is not None else part.name or "",
                "" if part.tokens is None else f"~{part.tokens:,} tokens",
            )
            for part in self.parts
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return what is stored: everything but the text."""
        return {
            "parts": [
                {
                    name: value
                    for name in ("source", "role", "name", "run_index", "run_id", "chars")
                    if (value := getattr(part, name)) is not None
                }
                for part in self.parts
            ],
            "left_out": [{"what": each.what, "why": each.why} for each in self.omitted],
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any], messages: Sequence[Message] = ()) -> ContextReport:
        """Make a receipt of what was stored, with the texts that the run's own messages have."""
        contents = {message.role: message.content or "" for message in reversed(messages) if not message.from_history}
        system, position = contents.get("system", ""), 0
        parts = []
        for fields in stored["parts"]:
            text = None
            if fields["source"] in SYSTEM_SOURCES:
                text, position = system[position : position + fields["chars"]], position + fields["chars"] + len("\n\n")
            elif fields["source"] == "prompt":
                text = contents.get("user")
            parts.append(ContextPart(**fields, text=text))
        return cls(parts=parts, omitted=[OmittedPart(**each) for each in stored["left_out"]])

    def __repr__(self) -> str:
        rows = self.rows()
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in rows]
        return displayable("\n".join(lines + [f"left out: {each.what} ({each.why})" for each in self.omitted]))
