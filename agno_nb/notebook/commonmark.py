"""A Markdown parser that loses no text: each visible word of the source is in the tokens, in linear time.

CommonMark and its parser drop text in places where an author would notice and correct it: blocks that are nested too
deep, cells of a table row that has more of them than the header, link definitions that no link uses (a list of sources
``[1]: https://...``), the words of a fence after its language, links without a text. A model does not look at its
answer, so here such text is shown.
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
"""Levels of nested blocks: a quote is one, a list two. Deeper ones are shown as text with their marks."""

ADDRESS_LIMIT = 10_000
"""Characters of addresses and titles of links in a text, besides ten times its own length. More are left out: a link
definition that is used very often would make the output very much longer than the text."""

FREE_CELLS = 1_000
"""Cells of tables in a text, besides one for each of its characters; further rows are shown as text. Rows may have
fewer cells than the header, so that a short text could make a very large table."""

SHOWN_ADDRESS = 200
"""Characters of an address that are shown as text."""

STEPS_PER_CHARACTER, FREE_STEPS = 10, 1_000
"""How many tokens the parser may look ahead over in a paragraph, all in all."""

LINES_AHEAD_PER_LINE, FREE_LINES_AHEAD = 40, 1_000
"""How many lines the parser may look ahead over in a text, all in all. After that, quotes are shown as text."""

_LANGUAGE = re.compile(r"\s*[\w+#.-]+\s*")
"""Of a fence. It is not shown; anything else that is written there is."""

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
    """The brackets of a paragraph are ambiguous beyond what they are worth."""


class _BoundedInline(ParserInline):
    """Parses the text of a paragraph; one that takes too long, or too much stack, stays as it was written.

    For each bracket the parser looks for the one that closes it, as far as the end of the paragraph.
    """

    def parse(self, src: str, md: MarkdownIt, env: EnvType, tokens: list[Token]) -> list[Token]:
        if "steps" in env:
            # The label of an image, in the middle of a paragraph.
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
    """Return the rule of a block that holds other blocks, for texts that are nested very deep or look ahead very far.

    A quote reads all lines that may continue its last paragraph, also those that turn out not to, and a text can have
    such a quote in each other line.
    """

    def bounded(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
        left = state.env.setdefault("lines_ahead", FREE_LINES_AHEAD + LINES_AHEAD_PER_LINE * len(state.bMarks))
        if silent:
            state.env["lines_ahead"] -= 1
        if left < 0 and rule is blockquote:
            return False
        # A line that is indented less than the deepest block belongs to one further out, and still ends a paragraph.
        is_outside = silent and state.sCount[start_line] < state.blkIndent
        if state.level + 2 >= state.md.options.maxNesting and not is_outside:
            return False
        return rule(state, start_line, end_line, silent)

    return bounded


def _table_rule(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """Parse a table whose rows keep the cells that the header has no column for, in the last one."""
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
    state.tokens[:] = _with_hiddentext_token(state, used)
    room = ADDRESS_LIMIT + 10 * len(state.src)
    for token in state.tokens:
        if token.children:
            room = _finish_links(token.children, room)


def _with_hiddentext_token(state: StateCore, used: set[str]) -> Iterator[Token]:
    """Give the blocks, with text of its own for what would not be seen of a fence or a definition."""
    lines = state.src.split("\n")
    for token in state.tokens:
        if token.type == "definition":
            label = token.meta["id"]
            if label in used:
                # The next definition of this label is not that of any link.
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
    """Give links without a text their address as text, mark images in links, and drop addresses beyond `room`."""
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
