"""What is behind a line of the timeline: what was asked and answered, what a model was sent, what a tool was given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from agno_nb.db.base import Db
from agno_nb.notebook.context_report import report_with_texts
from agno_nb.redact import displayable
from agno_nb.types import ContextPart, ContextReport, Message, RunOutput, ToolCall
from agno_nb.widgets.conversation import indented

TEXT_LIMIT = 20_000
"""Characters of one message, argument or result that the panel shows. The store has the rest."""
_SOURCES = {"assistant": "said", "tool": "tool result", "user": "prompt"}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of what a model was sent: where it is from, how long it is, and its text where it is at hand."""

    source: str
    detail: str
    size: str
    text: str


@dataclass(frozen=True, slots=True)
class Detail:
    """A title with a text; with parts the text is about them."""

    title: str
    text: str
    parts: tuple[Part, ...] = ()

    def content(self) -> dict[str, Any]:
        """Return what the browser shows of it."""
        parts = [
            {"source": part.source, "detail": _shown(part.detail), "size": part.size, "text": _shown(part.text)}
            for part in self.parts
        ]
        return {"title": self.title, "text": _shown(self.text), "parts": parts}


def details_of_run(run: RunOutput) -> list[Detail]:
    return _text_details(
        ("Asked", run.input), ("Answer", run.get_content_as_string()), ("Error", run.error), ("Run", run.run_id)
    )


def details_of_model_call(run: RunOutput, place: int, db: Db | None) -> list[Detail]:
    """Tell what a model was sent, and said.

    Parameters
    ----------
    place : int
        Of the model's message among those of the run.
    db : Db, optional
        The store, which has the texts of earlier turns.
    """
    message = run.messages[place]
    sent = _sent_by_report(run, place, db) if run.context_report is not None else _sent_by_messages(run, place)
    return [*sent, *_text_details(("Said", _written(message)), ("Thought", message.reasoning_content))]


def details_of_tool(call: ToolCall) -> list[Detail]:
    return _text_details(("Arguments", indented(call.arguments)), ("Result", call.result))


def _sent_by_report(run: RunOutput, place: int, db: Db | None) -> list[Detail]:
    assert run.context_report is not None
    receipt = run.context_report if db is None else report_with_texts(run, db)
    # The receipt is of the first request; the later ones add what the run itself has said and done since.
    receipt = replace(receipt, parts=[*receipt.parts, *map(_part, _since_the_prompt(run, place))])
    metrics = run.messages[place].metrics
    counted = f"; the provider counted {metrics.input_tokens:,}" if metrics and metrics.input_tokens else ""
    about = [f"About {receipt.tokens:,} tokens, estimated by length{counted}."]
    about += [f"Left out: {each.what} ({each.why})." for each in receipt.omitted]
    return [Detail("Was sent", "\n".join(about), tuple(_parts(receipt)))]


def _since_the_prompt(run: RunOutput, place: int) -> Iterator[Message]:
    own = (message for message in run.messages[:place] if not message.from_history)
    for message in own:
        if message.role == "user":
            break
    yield from own


def _part(message: Message) -> ContextPart:
    text = _answer_details(message)
    source = _SOURCES.get(message.role, message.role)
    return ContextPart(source=source, role=message.role, name=message.tool_name, chars=len(text), text=text)


def _parts(receipt: ContextReport) -> Iterator[Part]:
    for (source, detail, size), part in zip(receipt.rows(), receipt.parts, strict=True):
        yield Part(source, detail, size, part.text or "")


def _sent_by_messages(run: RunOutput, place: int) -> list[Detail]:
    return _text_details(("Was sent", "\n\n".join(map(_written, run.messages[:place]))))


def _written(message: Message) -> str:
    mark = ", from an earlier run" if message.from_history else ""
    return f"[{message.role}{mark}] {_answer_details(message)}"


def _answer_details(message: Message) -> str:
    calls = (f"{call.tool_name}({call.arguments})" for call in message.tool_calls)
    return "\n".join(filter(None, [message.content or "", *calls]))


def _text_details(*details: tuple[str, str | None]) -> list[Detail]:
    return [Detail(title, text) for title, text in details if text]


def _shown(text: str) -> str:
    kept = displayable(text[:TEXT_LIMIT])
    return kept if len(text) <= TEXT_LIMIT else f"{kept}\n\n… {len(text) - TEXT_LIMIT:,} more characters in the store"
