"""What the demo model sees of a request, and what it decides. Values only; the wire makes the one and speaks the other.

A request is read as turns: what the user said, the tools that were called for it, and the answer. Everything the demo
model says comes from here: there is no memory behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from agno_nb.models.demo.tables import without_frames
from agno_nb.types import JsonDict, ToolSpec

LABEL = "(I am the demo model: rules, not a language model. `%agent --model openai:gpt-5-mini` switches.)"
"""Said once a session, after the first answer."""

NO_KNOWLEDGE = "I have no knowledge of my own"
NO_SENSES = "I cannot see, hear or open what you sent"
NO_ANSWERS = (NO_KNOWLEDGE, NO_SENSES)
"""What answers begin with that are none."""

ANY_OBJECT: JsonDict = {"type": "object", "additionalProperties": True}
"""The output schema of a request for JSON that does not say more."""


_PUT_IN = re.compile(r"<(team_history|member_interactions|workflow_history|previous_steps)>.*?</\1>", re.DOTALL)


@dataclass(slots=True, kw_only=True)
class Call:
    """A tool call: one that was made, or one to make."""

    name: str
    arguments: JsonDict = field(default_factory=dict)
    result: str | None = None
    """What the tool said. None for a call that has no answer yet."""

    def same_as(self, other: Call) -> bool:
        return self.name == other.name and self.arguments == other.arguments


@dataclass(slots=True, kw_only=True)
class Turn:
    """What the user said and what was done about it."""

    prompt: str
    attachments: list[str] = field(default_factory=list)
    """Images, sounds and files that came with the prompt, each in words."""
    calls: list[Call] = field(default_factory=list)
    answer: str = ""
    """The text of the assistant, without :data:`LABEL`."""


@dataclass(kw_only=True)
class Context:
    """One request. The last turn is the one to go on with."""

    system: str = ""
    turns: list[Turn]
    tools: list[ToolSpec] = field(default_factory=list)
    tool_choice: str = "auto"
    """"auto", "none" or "required"."""
    parallel_tool_calls: bool = True
    output_schema: JsonDict | None = None
    """JSON schema that the answer must follow."""

    @property
    def turn(self) -> Turn:
        return self.turns[-1]

    @property
    def prompt(self) -> str:
        return self.turns[-1].prompt

    @property
    def earlier(self) -> list[Turn]:
        return self.turns[:-1]

    @cached_property
    def question(self) -> str:
        """The prompt without what a notebook, a team or a workflow put into it."""
        return _PUT_IN.sub("", without_frames(self.prompt)).strip()

    @cached_property
    def shown_of_others(self) -> list[str]:
        """What users said in the history that a team or a workflow put into the prompt, oldest first."""
        lines = [line for match in _PUT_IN.finditer(self.prompt) for line in match[0].splitlines()]
        return [line.partition(": ")[2] for line in lines if line.startswith(("user: ", "input: "))]

    @cached_property
    def plain(self) -> str:
        """The question in lower case with single spaces and straight apostrophes, without its last full stop."""
        text = " ".join(self.question[:20_000].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())
        return text.rstrip("?!. ")

    @cached_property
    def blocks(self) -> dict[str, str]:
        """What stands between tags in the system message, by the name of the tag."""
        found = {}
        for opening in re.finditer(r"<([a-z_]+)\b[^<>]*>", self.system):
            end = self.system.find(f"</{opening[1]}>", opening.end())
            if end >= 0:
                found[opening[1]] = self.system[opening.end() : end].strip()
        return found

    def block(self, word: str) -> str:
        """The text of the first tag whose name contains `word`; "" where there is none."""
        return next((text for tag, text in self.blocks.items() if word in tag), "")

    @property
    def may_call(self) -> bool:
        return bool(self.tools) and self.tool_choice != "none"

    @property
    def must_call(self) -> bool:
        # One call satisfies the request; it must not be made again and again.
        return bool(self.tools) and self.tool_choice == "required" and not self.turn.calls

    def tool(self, *words: str) -> ToolSpec | None:
        """The first tool whose name contains every one of `words`."""
        return next((tool for tool in self.tools if all(word in tool.name.lower() for word in words)), None)


@dataclass(slots=True, kw_only=True)
class Reply:
    """What the demo model decided: a text, or calls."""

    text: str = ""
    calls: list[Call] = field(default_factory=list)
    for_program: bool = False
    """Whether a program reads it, not a person: a summary, a title, a report of stored memories. Never labelled."""


def quoted(text: str, limit: int = 200) -> str:
    """Put `text` between quotation marks, on one line and at most `limit` characters long."""
    line = " ".join(without_frames(text).split())
    return f'"{line if len(line) <= limit else line[: limit - 1].rstrip() + "…"}"'


def listed(items: list[str], word: str = "and") -> str:
    """Write `items` as people do.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return f" {word} ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
