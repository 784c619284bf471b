"""A fake browser: it sends messages to a widget and receives answers and traits."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from agno_nb.widgets.base import BaseWidget

WAIT_S = 30

_TAGS = set(
    "a blockquote br code details div em hr li ol p pre s span strong summary table tbody td th thead tr ul "
    "h1 h2 h3 h4 h5 h6".split()
)
_ATTRIBUTES = {"style", "href", "title", "start", "rel", "target"}
_ADDRESSES = ("http:", "https:", "mailto:")


def live_in(html: str) -> set[str]:
    """Return elements, attributes and addresses in HTML that are not allowed."""
    found: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            found.update({tag} - _TAGS, set(given) - _ATTRIBUTES)
            if "url(" in (given.get("style") or ""):
                found.add("url")
            if "href" in given and not (given["href"] or "").startswith(_ADDRESSES):
                found.add(str(given["href"]))

    Reader().feed(html)
    return found


@dataclass
class Browser:
    """One page that shows a panel."""

    panel: BaseWidget
    answers: queue.SimpleQueue[dict[str, Any]] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self.panel.send = lambda content, buffers=None: self.answers.put(content)  # type: ignore[method-assign]

    def send(self, message: Any, files: Sequence[bytes] = ()) -> None:
        """Send a message as it is, good or bad."""
        self.panel._receive(self.panel, message, [memoryview(content) for content in files])

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer."""
        return self.answers.get(timeout=WAIT_S)

    def ask(self, verb: str, *, files: Sequence[bytes] = (), **fields: Any) -> Any:
        """Send an intent, and return the result."""
        self.send({"id": "1", "verb": verb, "fields": fields}, files)
        answer = self.answer()
        assert "error" not in answer, answer
        return answer["value"]

    def refusal(self, verb: str, *, files: Sequence[bytes] = (), **fields: Any) -> str:
        """Ask for something that is refused, and return the sentence."""
        self.send({"id": "1", "verb": verb, "fields": fields}, files)
        return str(self.answer()["error"])

    def say(self, question: str, **fields: Any) -> Any:
        """Say something in a chat panel, and wait until it is answered."""
        return self.ask("ask", **{"question": question, "again": None, "names": {}, **fields})

    @property
    def content(self) -> dict[str, Any]:
        return self.panel._content

    @property
    def turns(self) -> list[dict[str, Any]]:
        turns: list[dict[str, Any]] = self.panel._content["turns"]
        return turns
