"""Reasoning in the text of an answer, between tags such as ``<think>`` and ``</think>``.

Servers separate it only if they were started with a reasoning parser that fits the model. Tags count only at the start
of an answer; later ones are text, for example in an answer about HTML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from agno_nb.models.base import Delta

_TAGS = {
    "<think>": "</think>",  # DeepSeek, Qwen, GLM, MiniMax and most others
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",  # Gemini
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",  # Magistral
    "◁think▷": "◁/think▷",  # Kimi-VL
    "<|open|>think<|sep|>": "<|close|>think<|sep|>",  # Kimi K3
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A
    "<|channel>thought": "<channel|>",  # Gemma 4
    "<unused94>thought": "<unused95>",  # MedGemma
    "<|channel|>analysis<|message|>": "<|end|><|start|>assistant<|channel|>final<|message|>",  # gpt-oss
}
_OPENING = re.compile(rf"\s*({'|'.join(map(re.escape, _TAGS))})")
_SPACE = re.compile(r"\s*")
_ORPHAN = "</think>"
"""The closing tag of models whose chat template ends with the opening tag, so that it is not part of the answer."""
_BEFORE_MENTION = tuple(" \"'`“«(")

_MAX_HELD = 1_000
"""Characters of whitespace at the start of an answer that are held back until it is known whether a tag follows."""


@dataclass(slots=True)
class ReasoningSplitter:
    """Splits the text of an answer, which arrives in pieces, into content and reasoning.

    The tags and the whitespace after them are dropped. Only a possible start of a tag is held back.
    """

    finds_orphans: bool
    """Whether a closing tag may come without an opening one. The reasoning has then been returned as content."""
    has_tags: bool = False
    _held: str = ""
    _closing: str = ""
    """The closing tag while reasoning arrives."""
    _is_start: bool = True
    """Whether there was no content yet."""
    _skips_space: bool = False
    _content: list[str] = field(default_factory=list)
    """The content so far, as long as an orphan may be found."""
    _found: tuple[list[str], list[str]] = ([], [])
    """Content and reasoning of the current piece."""
    _discards: bool = False

    def add(self, text: str, *, is_end: bool = False) -> Delta:
        """Add a piece of the answer, and return what is known to be content or reasoning."""
        self._found, self._discards = ([], []), False
        text, self._held = self._held + text, ""
        place: int | None = 0
        while place is not None:
            if self._skips_space:
                place = _SPACE.match(text, place).end()  # type: ignore[union-attr] # It matches nothing too.
                self._skips_space = place == len(text)
            if self._closing:
                place = self._add_reasoning(text, place, is_end)
            elif self._is_start:
                place = self._open(text, place, is_end)
            else:
                place = self._add_content(text, place, is_end)
        content, reasoning = map("".join, self._found)
        return Delta(content=content, reasoning_content=reasoning, discards_content=self._discards)

    # Each of these handles `text` from `place`, and returns where to continue, or None to wait for more.

    def _open(self, text: str, place: int, is_end: bool) -> int | None:
        if opening := _OPENING.match(text, place):
            self._closing, self.has_tags, self._skips_space = _TAGS[opening[1]], True, True
            self.finds_orphans = False
            return opening.end()
        start = text[place : place + _MAX_HELD + 1]
        if not is_end and len(start) <= _MAX_HELD and any(tag.startswith(start.lstrip()) for tag in _TAGS):
            self._held = start
            return None
        self._is_start = False
        return place

    def _add_reasoning(self, text: str, place: int, is_end: bool) -> int | None:
        end = text.find(self._closing, place)
        stop = end if end >= 0 else len(text) if is_end else _start_of(self._closing, text, place)
        self._found[1].append(text[place:stop])
        if end < 0:
            self._held = text[stop:]
            return None
        after = end + len(self._closing)
        self._closing, self._skips_space = "", True
        return after

    def _add_content(self, text: str, place: int, is_end: bool) -> int | None:
        if not self.finds_orphans:
            self._found[0].append(text[place:])
            return None
        end = text.find(_ORPHAN, place)
        if end >= 0:
            self.finds_orphans = False
            before = "".join(self._content) + text[place:end]
            self._content.clear()
            if not _ends_reasoning(before):
                return place
            self._found, self._discards = ([], [before]), True
            self.has_tags = self._is_start = self._skips_space = True
            return end + len(_ORPHAN)
        stop = len(text) if is_end else _start_of(_ORPHAN, text, place)
        self._content.append(text[place:stop])
        self._found[0].append(text[place:stop])
        self._held = text[stop:]
        return None


def _start_of(tag: str, text: str, place: int) -> int:
    """Return where the start of `tag` is at the end of `text`, or the length of `text`."""
    for size in range(min(len(tag) - 1, len(text) - place), 0, -1):
        if text.endswith(tag[:size]):
            return len(text) - size
    return len(text)


def _ends_reasoning(before: str) -> bool:
    """Whether a closing tag after the text `before` is a tag, and not a part of code or of a sentence about tags."""
    line = before[before.rfind("\n") + 1 :]
    is_code = before.count("```") % 2 or line.replace("```", "").count("`") % 2
    return not is_code and "<think>" not in before and not (line.strip() and line.endswith(_BEFORE_MENTION))
