"""Markdown of a model as HTML, without raw HTML and without images.

The HTML is safe to show only after :func:`agno_nb.notebook.html.sanitize_html`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from agno_nb.notebook.commonmark import SHOWN_ADDRESS, lossless_parser, text_token
from agno_nb.notebook.html import LINK_SCHEMES, element, escape_html
from agno_nb.redact import displayable
from agno_nb.types import one_line

HIGHLIGHT_LIMIT = 4_000
"""Characters of a block of code that are coloured. Several lexers of Pygments take quadratic time: 20,000 newlines as
Java take 13 s, and a model chooses both the code and its language."""

HIGHLIGHT_LIMIT_PER_ANSWER = 20_000

_TITLE_SOURCE_LIMIT = 400
"""Characters of a prompt that are parsed for its title."""

_HEADING = "font-weight:600;line-height:1.3"
_STYLES = {
    "h1": f"margin:1em 0 .4em;font-size:1.45em;{_HEADING}",
    "h2": f"margin:1em 0 .4em;font-size:1.25em;{_HEADING}",
    "h3": f"margin:1em 0 .3em;font-size:1.1em;{_HEADING}",
    **dict.fromkeys(("h4", "h5", "h6"), f"margin:1em 0 .3em;font-size:1em;{_HEADING}"),
    "blockquote": "margin:.5em 0 1em;padding:0 0 0 1em;border-left:3px solid rgba(128,128,128,.4);opacity:.85",
    "table": "margin:.6em 0 1em;border-collapse:collapse",
    "th": "padding:.35em .8em;text-align:left;font-weight:600",
    "td": "padding:.35em .8em;text-align:left",
    "tr": "border-bottom:1px solid rgba(128,128,128,.25)",
}

# Each has a contrast of about 4 to 1 against white and against the dark themes' #111.
_COLORS = {
    "Comment": "color:#7d7d7d;font-style:italic",
    "Keyword": "color:#a05fc8",
    "Name.Tag": "color:#a05fc8",
    "Generic.Subheading": "color:#a05fc8",
    "Name.Builtin": "color:#1c8a8f",
    "Name.Decorator": "color:#1c8a8f",
    "Name.Function": "color:#3d7dce",
    "Name.Class": "color:#3d7dce",
    "Name.Attribute": "color:#3d7dce",
    "Number": "color:#b8702a",
    "String": "color:#3f8a4d",
    "Generic.Inserted": "color:#3f8a4d",
    "Generic.Deleted": "color:#d0484f",
}
"""Styles by Pygments token type; a type without a style inherits one from its parent type."""

_LANGUAGES = {
    name: lexer
    for lexer, names in {
        "python": "python py python3 py3 ipython cython",
        "pycon": "pycon",
        "sql": "sql duckdb postgres postgresql sqlite mysql plsql",
        "bash": "bash sh shell zsh dockerfile make makefile",
        "console": "console shell-session",
        "javascript": "javascript js jsx mjs",
        "typescript": "typescript ts tsx",
        # The lexers of these languages are the slowest of all, and the keywords are nearly the same.
        "hlsl": "c h cpp c++ cxx objective-c",
        "d": "java csharp cs c#",
        **{name: name for name in "php kotlin scala swift dart r elixir toml html xml css scss less diff".split()},
        "go": "go golang",
        "rust": "rust rs",
        "julia": "julia jl",
        "ruby": "ruby rb",
        "perl": "perl pl",
        "json": "json jsonc json5",
        "yaml": "yaml yml",
        "ini": "ini cfg conf properties",
    }.items()
    for name in names.split()
} | {"kt": "kotlin", "svg": "xml", "xhtml": "html", "vue": "html", "patch": "diff"}


@cache
def markdown_parser(highlight: bool) -> MarkdownIt:
    """Return a parser of CommonMark with tables and strikethrough, without raw HTML, and with images as links."""
    parser = lossless_parser()
    parser.renderer = _HighlightingRenderer() if highlight else _Renderer()
    parser.inline.ruler.before("escape", "math", _math_rule)
    parser.core.ruler.push("style", _style_rule)
    return parser


def plain_title(prompt: str, limit: int) -> str:
    r"""Return a prompt on one line of `limit` characters, without the marks of its Markdown.

    Underscores stay, because prompts contain names such as ``__init__``.

    Examples
    --------
    >>> plain_title("# Trip\n\n1. **Plan** the `trip`", 40)
    'Trip 1. Plan the trip'
    """
    tokens = markdown_parser(highlight=False).parse(prompt[:_TITLE_SOURCE_LIMIT])
    return one_line(displayable(" ".join(map(_plain_text, tokens))), limit) or one_line(displayable(prompt), limit)


def _plain_text(token: Token) -> str:
    """Return the text of a token. A number is the only mark of a block that says something."""
    if token.type == "list_item_open":
        return f"{token.info}{token.markup}" if token.info else ""
    if token.children:
        return "".join(map(_plain_text, token.children))
    if token.type in ("softbreak", "hardbreak", "dollar"):
        return "$" if token.type == "dollar" else " "
    return token.content or (token.markup if token.markup.startswith("_") else "")


def highlight_code(code: str, *, language: str) -> str:
    """Escape code for HTML and colour its first part, unless the language, as named in a fence, is unknown."""
    if language.lower() not in _LANGUAGES:
        return html.escape(code)
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]

    lexer = get_lexer_by_name(_LANGUAGES[language.lower()], startinline=True)
    tokens = [(_color(kind), text) for _, kind, text in lexer.get_tokens_unprocessed(code[:HIGHLIGHT_LIMIT])]
    if "".join(text for _, text in tokens) != code[:HIGHLIGHT_LIMIT]:
        return html.escape(code)  # Some lexers normalize line ends.
    pieces = []
    # Neighbours of one colour share a span.
    for color, same in groupby(tokens, key=lambda token: token[0]):
        text = html.escape("".join(text for _, text in same))
        pieces.append(element("span", text, css=color) if color else text)
    return "".join(pieces) + html.escape(code[HIGHLIGHT_LIMIT:])


def _color(token_type: Any) -> str:
    while token_type is not None:
        if style := _COLORS.get(str(token_type).removeprefix("Token.").removeprefix("Literal.")):
            return style
        token_type = token_type.parent
    return ""


def _style_rule(state: StateCore) -> None:
    for token in state.tokens:
        if token.nesting == 1 and token.tag in _STYLES:
            own = token.attrGet("style")
            token.attrSet("style", f"{_STYLES[token.tag]};{own}" if own else _STYLES[token.tag])
        if token.children:
            token.children[:] = _with_addresses(token.children)


def _with_addresses(tokens: Sequence[Token]) -> Iterator[Token]:
    """Add the address of each link that the allow-list removes as text after the link."""
    address = ""
    for token in tokens:
        yield token
        if token.type == "link_open":
            address = str(token.attrGet("href") or "")[:SHOWN_ADDRESS]
        elif token.type == "link_close" and address and not address.startswith(LINK_SCHEMES):
            yield text_token(f" ({address})")


_DELIMITERS = {"$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_INLINE_MATH = re.compile(r"\$(?![\s$])(?:\\.|[^$\\])*(?<!\s)\$(?!\d)", re.DOTALL)
_ENVIRONMENT = re.compile(r"\\begin\{([a-zA-Z]+\*?)\}")


def _math_rule(state: StateInline, silent: bool) -> bool:
    """Keep a formula as written for MathJax, and keep MathJax away from amounts of money.

    Markdown would read the backslashes of a formula as escapes and its underscores as emphasis.
    """
    if state.src[state.pos] not in "$\\":
        return False
    end = _math_end(state, state.pos, state.posMax)
    if end is None and state.src[state.pos] != "$":
        return False
    if not silent:
        token = state.push("dollar" if end is None else "math", "", 0)
        token.content = state.src[state.pos : end]
    state.pos = state.pos + 1 if end is None else end
    return True


def _math_end(state: StateInline, start: int, stop: int) -> int | None:
    source = state.src
    opening = source[start : start + 2]
    closing = _DELIMITERS.get(opening)
    if closing is None and (environment := _ENVIRONMENT.match(source, start, stop)):
        opening, closing = environment[0], f"\\end{{{environment[1]}}}"
    if closing is not None:
        return _closed_at(state, closing, start + len(opening), stop)
    inline = _INLINE_MATH.match(source, start, stop)
    return inline.end() if inline else None


def _closed_at(state: StateInline, closing: str, start: int, stop: int) -> int | None:
    """Return the end of the next `closing` delimiter after `start`, or None."""
    # A delimiter that is missing after one place is missing after all later ones. Without this, each of many opening
    # delimiters would be searched for to the end of the text.
    missing: dict[tuple[str, str, int], int] = state.env.setdefault("missing_delimiters", {})
    key = (state.src, closing, stop)
    if start >= missing.get(key, stop + 1):
        return None
    end = state.src.find(closing, start, stop)
    if end == -1:
        missing[key] = start
        return None
    return end + len(closing)


class _Renderer(RendererHTML):
    def math(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return html.escape(tokens[idx].content)

    def dollar(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "<span>$</span>"

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        # A browser would fetch an image as soon as it is shown, and its address could carry text that the model has
        # read.
        image = tokens[idx]
        address, title = str(image.attrGet("src") or ""), str(image.attrGet("title") or "")
        is_on_web = address.startswith(("http://", "https://"))
        shown = "" if is_on_web or address.startswith("data:") else address[:SHOWN_ADDRESS]
        text = image.content or address[:SHOWN_ADDRESS]
        label = escape_html(" ".join(filter(None, ("image:", text, title, image.content and shown))))
        is_linked = is_on_web and not image.meta.get("in_link")
        return f'<a href="{html.escape(address)}">[{label}]</a>' if is_linked else f"[{label}]"

    def code_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return element("code", html.escape(tokens[idx].content), style="code")

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return element("pre", html.escape(tokens[idx].content), style="block") + "\n"

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return self.fence(tokens, idx, options, env)


class _HighlightingRenderer(_Renderer):
    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        block = tokens[idx]
        env["highlighted"] = env.get("highlighted", 0) + min(len(block.content), HIGHLIGHT_LIMIT)
        if env["highlighted"] > HIGHLIGHT_LIMIT_PER_ANSWER:
            return super().fence(tokens, idx, options, env)
        language = next(iter(block.info.split()), "")
        return element("pre", highlight_code(block.content, language=language), style="block") + "\n"
