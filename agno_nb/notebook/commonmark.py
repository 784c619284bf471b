"""A Markdown parser that keeps all text: each visible word of the source is in the tokens, in linear time.

CommonMark parsers drop text in places where an author would notice and correct it: deeply nested blocks, surplus
cells of a table row, unused link definitions (a list of sources ``[1]: https://...``), the words after the language
of a fence, links without a text. A model does not review its rendered answer, so this parser keeps such text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from markdown_it import MarkdownIt
from markdown_it.common.utils import mdTrim
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_block import StateBlock, blockquote, list_block, table
from markdown_it.rules_block.table import escapedSplit, getLine
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType

MAX_NESTING = 40
"""Levels of nested blocks: a quote is one, a list two. Deeper blocks are shown as text with their marks."""

ADDRESS_LIMIT = 10_000
"""Characters of link addresses and titles per text, in addition to ten times its length. Further addresses are dropped,
because a link definition that is used often could make the output much longer than the text."""

FREE_CELLS = 1_000
"""Table cells per text, in addition to one per character; further rows are shown as text. Rows may have fewer cells
than the header, so a short text could create a very large table."""

SHOWN_ADDRESS = 200
"""Characters of an address that are shown as text."""

STEPS_PER_CHARACTER, FREE_STEPS = 10, 1_000
"""Total number of tokens per paragraph over which the parser may look ahead."""

LINES_AHEAD_PER_LINE, FREE_LINES_AHEAD = 40, 1_000
"""Total number of lines per text over which the parser may look ahead. After that, quotes are shown as text."""

_LANGUAGE = re.compile(r"\s*[\w+#.-]+\s*")
"""The language of a fence, which is not shown; anything else in its first line is."""

BlockRule = Callable[[StateBlock, int, int, bool], bool]


def lossless_parser(*, max_nesting: int = MAX_NESTING) -> MarkdownIt:
    """Return a parser of CommonMark with tables and strikethrough, and without raw HTML."""
    options = {"html": False, "maxNesting": max_nesting, "inline_definitions": True, "store_labels": True}
    parser = MarkdownIt()
    parser.inline = _BoundedInline()
    parser.configure("commonmark", options).enable(["table", "strikethrough"])
    paragraph_like = ["paragraph", "reference", "blockquote"]
    parser.block.ruler.at("blockquote", _bounded(blockquote), {"alt": [*paragraph_like, "list"]})
    parser.block.ruler.at("list", _bounded(list_block), {"alt": paragraph_like})
    parser.block.ruler.at("table", _table_rule, {"alt": ["paragraph", "reference"]})
    parser.core.ruler.push("lossless", _lossless_rule)
    return parser


class _TooManySteps(Exception):
    """The brackets of a paragraph take too long to parse."""


class _BoundedInline(ParserInline):
    """Parses the text of a paragraph; one that takes too long, or too much stack, stays as written.

    For each bracket the parser searches for the closing one up to the end of the paragraph.
    """

    def parse(self, src: str, md: MarkdownIt, env: EnvType, tokens: list[Token]) -> list[Token]:
        if "steps" in env:
            # The label of an image within a paragraph.
            return super().parse(src, md, env, tokens)
        env["steps"] = FREE_STEPS + STEPS_PER_CHARACTER * len(src)
        try:
            return super().parse(src, md, env, tokens)
        except (_TooManySteps, RecursionError):
            tokens[:] = [text_token(src)]
            return tokens
        finally:
            del env["steps"]

    def skipToken(self, state: StateInline) -> None:
        state.env["steps"] -= 1
        if state.env["steps"] < 0:
            raise _TooManySteps
        super().skipToken(state)


def _bounded(rule: BlockRule) -> BlockRule:
    """Limit the nesting and the lookahead of a rule for blocks that contain other blocks.

    A quote reads all lines that may continue its last paragraph, and a text can have such a quote in every other line.
    """

    def bounded(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
        left = state.env.setdefault("lines_ahead", FREE_LINES_AHEAD + LINES_AHEAD_PER_LINE * len(state.bMarks))
        if silent:
            state.env["lines_ahead"] -= 1
        if left < 0 and rule is blockquote:
            return False
        # A line that is indented less than the deepest block belongs to an outer block and still ends a paragraph.
        is_outside = silent and state.sCount[start_line] < state.blkIndent
        if state.level + 2 >= state.md.options.maxNesting and not is_outside:
            return False
        return rule(state, start_line, end_line, silent)

    return bounded


def _table_rule(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """Parse a table, and keep surplus cells of a row in its last cell."""
    if silent:
        return table(state, start_line, end_line, silent)
    left = state.env.setdefault("cells", FREE_CELLS + len(state.src))
    most_rows = left // (getLine(state, start_line).count("|") + 1)
    first = len(state.tokens)
    if not table(state, start_line, min(end_line, start_line + 2 + most_rows), silent):
        return False
    columns = sum(token.type == "th_open" for token in state.tokens[first:])
    for place, token in enumerate(state.tokens[first:], first):
        if token.type == "tr_open" and token.map and token.map[0] > start_line:
            state.env["cells"] -= columns
            if surplus := _cells(getLine(state, token.map[0]))[columns:]:
                # A cell is three tokens.
                last = state.tokens[place + 3 * columns - 1]
                last.content = " | ".join([last.content, *map(mdTrim, surplus)])
    return True


def _cells(line: str) -> list[str]:
    cells = escapedSplit(mdTrim(line))
    return cells[not cells[0] : len(cells) - (len(cells) > 1 and not cells[-1])]


def _lossless_rule(state: StateCore) -> None:
    inline = [child for token in state.tokens for child in token.children or ()]
    used = {token.meta["label"] for token in inline if "label" in token.meta}
    state.tokens[:] = _with_hidden_text(state, used)
    room = ADDRESS_LIMIT + 10 * len(state.src)
    for token in state.tokens:
        if token.children:
            room = _finish_links(token.children, room)


def _with_hidden_text(state: StateCore, used: set[str]) -> Iterator[Token]:
    """Yield the blocks, and paragraphs for the text of fences and definitions that would be hidden."""
    lines = state.src.split("\n")
    for token in state.tokens:
        if token.type == "definition":
            label = token.meta["id"]
            if label in used:
                # Links use the first definition of a label only.
                used.discard(label)
            elif token.map:
                source = "\n".join(lines[slice(*token.map)])
                yield from _paragraph(source[source.index("[") :], token)
            continue
        if token.type == "fence" and token.info.strip() and not (token.content and _LANGUAGE.fullmatch(token.info)):
            yield from _paragraph(token.info.strip(), token)
        yield token


def _paragraph(text: str, of: Token) -> Iterable[Token]:
    inline = Token("inline", "", 0, content=text, level=of.level + 1, map=of.map, children=[text_token(text)])
    opening = Token("paragraph_open", "p", 1, level=of.level, map=of.map, block=True)
    return opening, inline, Token("paragraph_close", "p", -1, level=of.level, block=True)


def _finish_links(tokens: list[Token], room: int) -> int:
    """Use the address as the text of links without one, mark images in links, and drop addresses beyond `room`."""
    opening: Token | None = None
    finished: list[Token] = []
    for token in tokens:
        if token.type in ("link_open", "image"):
            room -= sum(len(str(value)) for value in token.attrs.values())
            if room < 0:
                token.attrs = {}
        if token.type == "image":
            token.meta["in_link"] = opening is not None
        if token.type == "link_close" and opening is not None and finished[-1] is opening:
            finished.append(text_token(str(opening.attrGet("href") or "")[:SHOWN_ADDRESS]))
        opening = token if token.type == "link_open" else None if token.type == "link_close" else opening
        finished.append(token)
    tokens[:] = finished
    return room


def text_token(content: str) -> Token:
    return Token("text", "", 0, content=content)
