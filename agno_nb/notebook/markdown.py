"""Markdown as safe HTML, and the one gate that all HTML of ours goes through.

What a model or a tool said is data. It goes through a Markdown parser that knows no raw HTML, and all that is shown
then through one allow-list (:func:`sanitize_html`), so a mistake elsewhere cannot become a live element either. Outputs
of a running kernel are trusted by JupyterLab, which executes script in ``text/html`` and in ``text/markdown`` alike;
the allow-list is the only gate there is. Whoever checks this has it in view here.

The look is inline styles and no classes: a saved notebook has to read well in places that have no style sheet of ours.
Colours are mid-tones and shades of transparency, because the same output is read on white and on black.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, MutableMapping, Sequence
from functools import cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from agno_nb.notebook.commonmark import SHOWN_ADDRESS, lossless_parser, text_token
from agno_nb.notebook.highlight import highlight
from agno_nb.redact import without_controls

MONOSPACE = "font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace)"
BOX = "border:1px solid rgba(128,128,128,.25);border-radius:6px;background-color:rgba(128,128,128,.08)"
_PRE = (
    f"margin:.5em 0 1em;padding:.6em .8em;{BOX};{MONOSPACE};font-size:.92em;line-height:1.45;"
    "white-space:pre;overflow-x:auto"
)
CODE = f"padding:.1em .4em;border-radius:4px;background-color:rgba(128,128,128,.14);{MONOSPACE}"
"""The style of code within a line."""

_STYLES = {
    "h1": "margin:1em 0 .4em;font-size:1.45em;font-weight:600;line-height:1.3",
    "h2": "margin:1em 0 .4em;font-size:1.25em;font-weight:600;line-height:1.3",
    "h3": "margin:1em 0 .3em;font-size:1.1em;font-weight:600;line-height:1.3",
    "h4": "margin:1em 0 .3em;font-size:1em;font-weight:600;line-height:1.3",
    "h5": "margin:1em 0 .3em;font-size:1em;font-weight:600;line-height:1.3",
    "h6": "margin:1em 0 .3em;font-size:1em;font-weight:600;line-height:1.3",
    "blockquote": "margin:.5em 0 1em;padding:0 0 0 1em;border-left:3px solid rgba(128,128,128,.4);opacity:.85",
    "table": "margin:.6em 0 1em;border-collapse:collapse",
    # JupyterLab aligns the cells of every table in an HTML output to the right.
    "th": "padding:.35em .8em;text-align:left;font-weight:600",
    "td": "padding:.35em .8em;text-align:left",
    "tr": "border-bottom:1px solid rgba(128,128,128,.25)",
}


def escape_html(text: str) -> str:
    """Write text as HTML that shows it as it is."""
    # In an element of its own it begins no formula: MathJax would set "$5 and $6" as one, and what is in "\(x\)".
    return re.sub(r"[$\\]", r"<span>\g<0></span>", html.escape(text))


def sanitize_html(fragment: str) -> str:
    """Remove everything from HTML that is not on the allow-list, control characters and overrides of direction too."""
    return _allowed().clean(without_controls(fragment))


_ALLOWED_TAGS = (
    {"a", "blockquote", "br", "code", "details", "div", "em", "hr", "li", "ol", "p", "pre", "s", "span", "strong"}
    | {"summary", "table", "tbody", "td", "th", "thead", "tr", "ul"}
    | {"h1", "h2", "h3", "h4", "h5", "h6"}
)
# None of these can hold an address, or lay anything over the rest of the page.
_ALLOWED_STYLES = (
    {"background-color", "border", "border-bottom", "border-collapse", "border-left", "border-radius", "color"}
    | {"cursor", "font-family", "font-size", "font-style", "font-weight", "line-height", "margin", "max-height"}
    | {"max-width", "opacity", "overflow-wrap", "overflow-x", "overflow-y", "padding", "padding-left", "text-align"}
    | {"vertical-align", "white-space"}
)


@cache
def _allowed() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=_ALLOWED_TAGS,
        attributes={"*": {"style"}, "a": {"href", "title"}, "ol": {"start"}, "details": {"open"}},
        filter_style_properties=_ALLOWED_STYLES,
        # A relative address would be one of the notebook server's own.
        url_schemes={scheme.partition(":")[0] for scheme in _LINKED},
        url_relative="deny",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer",
    )


@cache
def markdown_parser(highlight: bool) -> MarkdownIt:
    """Return a parser of CommonMark with tables and strikethrough, without raw HTML, and with images as links.

    The HTML that it makes is not safe to show until it is :func:`sanitize_html`, with all that it is part of.
    """
    parser = lossless_parser()
    parser.inline.ruler.before("escape", "math", _math_rule)
    parser.core.ruler.push("style", _style_rule)
    parser.add_render_rule("math", lambda self, tokens, i, options, env: html.escape(tokens[i].content))
    parser.add_render_rule("dollar", lambda self, tokens, i, options, env: "<span>$</span>")
    parser.add_render_rule("image", _image)
    parser.add_render_rule("code_inline", _inline_code)
    for kind in ("fence", "code_block"):
        parser.add_render_rule(kind, _render_code if highlight else _render_plain_code)
    return parser


def _style_rule(state: StateCore) -> None:
    for token in state.tokens:
        if token.nesting == 1 and token.tag in _STYLES:
            own = token.attrGet("style")
            token.attrSet("style", f"{_STYLES[token.tag]};{own}" if own else _STYLES[token.tag])
        if token.children:
            token.children[:] = _with_addresses(token.children)


_LINKED = ("http://", "https://", "mailto:")
"""How the addresses begin that become links."""


def _with_addresses(tokens: Sequence[Token]) -> Iterator[Token]:
    """Give the tokens of a paragraph; an address that the allow-list takes out of a link is text after it."""
    address = ""
    for token in tokens:
        yield token
        if token.type == "link_open":
            address = str(token.attrGet("href") or "")[:SHOWN_ADDRESS]
        elif token.type == "link_close" and address and not address.startswith(_LINKED):
            yield text_token(f" ({address})")


_DELIMITERS = {"$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_INLINE_MATH = re.compile(r"\$(?![\s$])(?:\\.|[^$\\])*(?<!\s)\$(?!\d)", re.DOTALL)
_ENVIRONMENT = re.compile(r"\\begin\{([a-zA-Z]+\*?)\}")


def _math_rule(state: StateInline, silent: bool) -> bool:
    """Keep a formula as it was written, for MathJax, and keep MathJax away from amounts of money.

    Markdown would take the backslashes of a formula for escapes and its underscores for emphasis.
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
    """Return where the next `closing` after `start` ends, or None."""
    # A closing delimiter that is missing after one place is missing after all later ones: without this, each of many
    # opening delimiters would be searched for to the end of the text.
    missing: dict[tuple[str, str, int], int] = state.env.setdefault("missing_delimiters", {})
    key = (state.src, closing, stop)
    if start >= missing.get(key, stop + 1):
        return None
    end = state.src.find(closing, start, stop)
    if end == -1:
        missing[key] = start
        return None
    return end + len(closing)


def _image(self: RendererHTML, tokens: Sequence[Token], i: int, options: Any, env: MutableMapping[str, Any]) -> str:
    # An image would be fetched as soon as it is shown, and its address can carry what the model has read.
    image = tokens[i]
    address, title = str(image.attrGet("src") or ""), str(image.attrGet("title") or "")
    is_linked = address.startswith(("http://", "https://")) and not image.meta.get("in_link")
    shown = "" if address.startswith(("http://", "https://", "data:")) else address[:SHOWN_ADDRESS]
    label = " ".join(filter(None, ("image:", image.content or address[:SHOWN_ADDRESS], title, image.content and shown)))
    return f'<a href="{html.escape(address)}">[{escape_html(label)}]</a>' if is_linked else f"[{escape_html(label)}]"


def _inline_code(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    return f'<code style="{CODE}">{html.escape(tokens[i].content)}</code>'


def _render_plain_code(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    return f'<pre style="{_PRE}">{html.escape(tokens[i].content)}</pre>\n'


def _render_code(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: Any, env: MutableMapping[str, Any]
) -> str:
    language = next(iter(tokens[i].info.split()), "")
    return f'<pre style="{_PRE}">{highlight(tokens[i].content, language=language)}</pre>\n'
