"""A request as the rules see it: turns of a prompt, the tool calls made for it, and the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from agno_nb.models.base import ModelRequest
from agno_nb.types import JsonDict, Media, ToolSpec, one_line

MAX_CHARS = 20_000
"""Characters of a text that the rules read. No question is longer, but a pasted file may be."""

# The notebook replaces a DataFrame in a prompt by its shape, its columns and its first rows.
_DATAFRAME = re.compile(
    r"DataFrame, [\d,]+ rows x [\d,]+ columns\nColumns: [^\n]*(?:\nFirst (\d+) rows as CSV:\n)?", re.IGNORECASE
)
_CELL, _LAST_CELL = r'(?:"(?:[^"]|"")*"|[^,"]*)', r'(?:"(?:[^"]|"")*"|[\w.+-]*\w)?'
# Teams and workflows put earlier runs before the task.
_EARLIER_RUNS = re.compile(r"<(team_history|member_interactions|workflow_history|previous_steps)>.*?</\1>", re.DOTALL)


@dataclass(slots=True, kw_only=True)
class Call:
    """A tool call."""

    name: str
    arguments: JsonDict = field(default_factory=dict)
    result: str | None = None


@dataclass(slots=True, kw_only=True)
class Turn:
    """A prompt and the response to it."""

    prompt: str
    attachments: list[Media] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    answer: str = ""


@dataclass(slots=True, kw_only=True)
class Reply:
    """Text or tool calls."""

    text: str = ""
    calls: list[Call] = field(default_factory=list)
    placeholder: str | None = None
    """For structured output: which of its values are made up."""


@dataclass(kw_only=True)
class Context:
    """One request. The last turn is the one to respond to."""

    system: str = ""
    turns: list[Turn] = field(default_factory=list)
    tools: list[ToolSpec] = field(default_factory=list)
    output_schema: JsonDict | None = None

    @classmethod
    def of(cls, request: ModelRequest) -> Context:
        """Arrange the messages of a request as turns."""
        context = cls(
            system="\n\n".join(one.content or "" for one in request.messages if one.role == "system"),
            tools=request.tools if request.allow_tool_calls else [],
            output_schema=request.output_schema,
        )
        calls: dict[str | None, Call] = {}
        for message in request.messages:
            if message.role == "user" or not context.turns:
                if not context.turns or context.turn.answer or context.turn.calls:
                    context.turns.append(Turn(prompt=""))
                # Consecutive user messages, such as a context and a question, are one turn.
                if message.role == "user":
                    context.turn.prompt = f"{context.turn.prompt}\n{message.content or ''}".strip("\n")
                    context.turn.attachments += message.media
            if message.role == "assistant":
                context.turn.answer = f"{context.turn.answer}\n{message.content or ''}".strip()
                for item in message.tool_calls:
                    calls[item.tool_call_id] = Call(name=item.tool_name, arguments=item.tool_args)
                    context.turn.calls.append(calls[item.tool_call_id])
            elif message.role == "tool" and message.tool_call_id in calls:
                calls[message.tool_call_id].result = message.content or ""
        return context

    @property
    def turn(self) -> Turn:
        return self.turns[-1]

    @property
    def earlier(self) -> list[Turn]:
        return self.turns[:-1]

    @cached_property
    def question(self) -> str:
        """The prompt without DataFrames and without the history that a team or workflow adds to it."""
        return _EARLIER_RUNS.sub("", without_dataframes(self.turn.prompt)).strip()

    @cached_property
    def plain(self) -> str:
        """The question in lower case with single spaces, without punctuation at its end."""
        text = self.question[:MAX_CHARS].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        return " ".join(text.split()).rstrip("?!. ")

    @cached_property
    def prompts_before(self) -> list[str]:
        """Earlier prompts, including those in the history that a team or workflow adds, oldest first."""
        lines = [line for match in _EARLIER_RUNS.finditer(self.turn.prompt) for line in match[0].splitlines()]
        added = [line.partition(": ")[2] for line in lines if line.startswith(("user: ", "input: "))]
        return [*added, *(turn.prompt for turn in self.earlier)]

    def block(self, word: str) -> str:
        """The system message's text between the first tags whose name contains `word`; "" if there are none."""
        match = re.search(rf"<([a-z_]*{word}[a-z_]*)\b[^<>]*>(.*?)</\1>", self.system[:MAX_CHARS], re.DOTALL)
        return match[2].strip() if match else ""

    @property
    def can_call(self) -> bool:
        """Whether tools are offered and none has been called in this turn yet."""
        return bool(self.tools) and not self.turn.calls

    def count_words(self) -> int:
        texts = [self.system, *(f"{tool.name} {tool.description}" for tool in self.tools)]
        for turn in self.turns:
            texts += [turn.prompt, turn.answer, *(f"{call.arguments} {call.result or ''}" for call in turn.calls)]
        return sum(len(text.split()) for text in texts)

    def tool(self, *words: str) -> ToolSpec | None:
        """The first tool whose name contains all of `words`."""
        return next((tool for tool in self.tools if all(word in tool.name.lower() for word in words)), None)


def without_dataframes(text: str) -> str:
    """Replace each DataFrame that the notebook put into a prompt by "the DataFrame"."""
    while match := _DATAFRAME.search(text):
        lines = text[match.end() :].split("\n")
        rows = int(match[1]) + 1 if match[1] else 0
        # The sentence can go on after the last cell of the last row.
        last_row = lines[rows - 1] if 0 < rows <= len(lines) else ""
        rest = re.sub(rf"^(?:{_CELL},){{{lines[0].count(',')}}}{_LAST_CELL}", "", last_row)
        text = "\n".join([f"{text[: match.start()]}the DataFrame{rest}", *lines[rows:]])
    return text


def quoted(text: str, max_chars: int = 200) -> str:
    """Put `text` in quotation marks, on one line."""
    return '"' + one_line(without_dataframes(text).replace('"', "'"), max_chars) + '"'


def listed(items: list[str]) -> str:
    """Join `items` as in a sentence: "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
