"""Context reports: the parts of a request with sources and sizes, and omitted parts with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.redact import displayable
from agno_nb.types.basics import counted

if TYPE_CHECKING:
    import pandas as pd

    from agno_nb.types.messages import Message

CHARS_PER_TOKEN = 4
"""A rule of thumb for English. The provider's count is in the run's metrics."""

SYSTEM_SOURCES = ("instructions", "memories", "summary", "dependencies", "session state")
"""Sources of the system message, which joins their texts with empty lines."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class ContextPart:
    """A part of a model request."""

    source: str
    """instructions, memories, summary, dependencies, session state, examples, history, messages, prompt, variable,
    media, tools or output schema."""
    role: str | None = None
    """Role of the message. None for tools, output schemas, and turns of the history, which have several messages."""
    name: str | None = None
    """For example the variable's expression, the names of the tools, or the turns of the summary."""
    run_index: int | None = None
    """For history: the turn."""
    run_id: str | None = None
    """For history: the run."""
    chars: int
    """Characters of text. Those of variables are not part of the prompt's."""
    text: str | None = field(default=None, compare=False, repr=False)
    """The text, if known. Stores keep it only in the message."""

    @property
    def tokens(self) -> int | None:
        """Estimated number of tokens, from the length. None for images, audio and files."""
        return None if self.source == "media" else -(-self.chars // CHARS_PER_TOKEN)


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class OmittedPart:
    """A part of the session that was not sent to the model."""

    what: str
    why: str


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, repr=False)
class ContextReport:
    """The parts of a run's first request, in order.

    Later requests of the run add its tool calls and their results.

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
        """Estimated number of tokens, from the length, without images, audio and files."""
        return sum(part.tokens or 0 for part in self.parts)

    def sends(self, *sources: str) -> bool:
        """Return whether a part has one of these sources."""
        return any(part.source in sources for part in self.parts)

    def df(self) -> pd.DataFrame:
        """Return a DataFrame with one row per part."""
        import pandas as pd

        columns = ("source", "role", "name", "run_index", "run_id", "chars", "tokens", "text")
        frame = pd.DataFrame([[getattr(part, name) for name in columns] for part in self.parts], columns=columns)
        return frame.astype(dict.fromkeys(("run_index", "chars", "tokens"), "Int64"))

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the source, detail and size of each part as text."""
        return [
            (
                part.source,
                f"turn {part.run_index}" if part.run_index is not None else part.name or "",
                "" if part.tokens is None else f"~{counted(part.tokens, 'token')}",
            )
            for part in self.parts
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON, without the texts."""
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
        """Create a report from stored JSON, with the texts found in the run's own messages."""
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
