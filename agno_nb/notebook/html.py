"""The HTML of cell outputs: elements with inline styles, and the allow-list that all of it passes through.

JupyterLab trusts the outputs of a running kernel and executes script in them, so :func:`sanitize_html` is the only
protection against text from models, tools and the store. Everything that is displayed goes through it as a whole, so
that a mistake elsewhere cannot become a live element.

Styles are inline because a saved notebook is also read where our style sheet does not exist. Colours are mid-tones and
transparent shades, because the same output is read on white and on black.
"""

from __future__ import annotations

import html
import re
from functools import cache

import nh3

from agno_nb.redact import displayable, redact, without_controls

LINK_SCHEMES = ("http://", "https://", "mailto:")
"""Prefixes of the addresses that become links."""

_LINE = "1px solid rgba(128,128,128,.25)"
_BOX = f"border:{_LINE};border-radius:6px;background-color:rgba(128,128,128,.08)"
_MONOSPACE = "font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace)"
_WRAPPED = "white-space:pre-wrap;overflow-wrap:anywhere"

STYLES = {
    # JupyterLab aligns the cells of all tables in HTML outputs to the right and gives every other row a background.
    "table": "margin:.3em 0;border-collapse:collapse",
    "row": "background-color:transparent",
    "lined": f"border-bottom:{_LINE}",
    "cell": "padding:.35em 1.2em .35em 0;vertical-align:top",
    "text": "text-align:left",
    "lines": f"text-align:left;{_WRAPPED}",
    "word": "text-align:left;white-space:nowrap",
    "number": "text-align:right;white-space:nowrap",
    "key": "padding:.15em 1.6em .15em 0;text-align:left;vertical-align:top;white-space:nowrap;opacity:.65",
    "value": "padding:.15em 0;text-align:left;vertical-align:top;overflow-wrap:anywhere",
    "note": "margin:.3em 0;font-size:.85em;opacity:.65",
    "label": "font-size:.85em;opacity:.65",
    "small": "font-size:.85em",
    "close": "margin:.1em 0",
    "alert": "color:#d0484f",
    "removed": "background-color:rgba(208,72,79,.25)",
    "added": "background-color:rgba(46,160,67,.28)",
    "warning": "color:#b8702a",
    "error": "margin:.4em 0",
    "footer": "margin:.7em 0 .2em;font-size:.8em;opacity:.65",
    "answer": "max-width:56em;line-height:1.55",
    "plain": "white-space:pre-wrap",
    "nowrap": "white-space:nowrap",
    "code": f"padding:.1em .4em;border-radius:4px;background-color:rgba(128,128,128,.14);{_MONOSPACE}",
    "block": f"margin:.5em 0 1em;padding:.6em .8em;{_BOX};{_MONOSPACE};font-size:.92em;line-height:1.45;"
    "white-space:pre;overflow-x:auto",
    "tool": f"margin:.2em 0 .5em;padding:.5em .7em;{_BOX};{_MONOSPACE};font-size:.95em;line-height:1.4;{_WRAPPED};"
    "max-height:24em;overflow-y:auto",
    "fold": "margin:.1em 0;font-size:.93em",
    "summary": "cursor:pointer;padding:.1em 0",
    "inside": "margin:.2em 0 .5em .4em;padding-left:.9em;border-left:2px solid rgba(128,128,128,.3)",
    "quiet": "opacity:.8",
    "question": f"margin:.4em 0 .2em;padding:.5em .7em;border:{_LINE};border-left:4px solid #b7860b;"
    f"border-radius:6px;background-color:rgba(128,128,128,.08);{_WRAPPED}",
    "commands": "margin:.2em 0 .8em;font-size:.9em",
    # A table is as wide as its text. JupyterLab removes `width` from the outputs of files that it does not trust.
    "prompt": "margin:1.1em 0 .4em auto;border-collapse:separate;font-size:1em",
    "bubble": "padding:.5em .9em;border-radius:14px 14px 4px;background-color:rgba(128,128,128,.12);"
    f"text-align:left;{_WRAPPED}",
    "right": "padding-left:18%",
    "conversation": "max-width:56em",
    "title": "margin:.4em 0;font-weight:600",
    "step": "padding:.15em 1.2em .15em 0;white-space:nowrap;text-align:left",
    "track": "padding:.15em 0",
    "bar": "border-radius:3px;font-size:.6em;line-height:1.3",
    "spacer": "line-height:0;opacity:0",
    "facts": "padding:.15em 0 .15em 1.2em;white-space:nowrap;text-align:left;font-size:.85em;opacity:.75",
}
"""Inline styles by name, used like the classes of a style sheet."""


def element(tag: str, *inside: str, style: str = "", css: str = "", attributes: str = "") -> str:
    """Return an element around HTML. Text has to be passed through :func:`escape_html` first.

    `style` has names in :data:`STYLES`, separated by spaces; `css` and `attributes` are more declarations and
    attributes.

    Examples
    --------
    >>> element("span", escape_html("a < b"), style="alert", css="opacity:.5")
    '<span style="color:#d0484f;opacity:.5">a &lt; b</span>'
    """
    declarations = ";".join([*(STYLES[name] for name in style.split()), *([css] if css else [])])
    opening = " ".join(filter(None, [tag, attributes, f'style="{declarations}"' if declarations else ""]))
    return f"<{opening}>{''.join(inside)}</{tag}>"


def fold(summary: str, inside: str, *, is_open: bool = False) -> str:
    """Return HTML whose content is hidden until it is clicked."""
    attributes = "open" if is_open else ""
    return element("details", element("summary", summary, style="summary"), inside, style="fold", attributes=attributes)


def escape_html(text: str) -> str:
    """Escape text for HTML, including the delimiters of formulas."""
    # MathJax would typeset "$5 and $6" and the content of "\(x\)". A delimiter in an element of its own starts no
    # formula.
    return re.sub(r"[$\\]", r"<span>\g<0></span>", html.escape(text))


def with_code(text: str) -> str:
    """Escape text for HTML, with its parts in `backticks` as code."""
    return re.sub(r"`([^`]+)`", lambda found: element("code", found[1], style="code nowrap"), escape_html(text))


def html_bundle(fragment: str, text: str) -> dict[str, str]:
    """Return a display bundle of HTML and text, without secrets and control characters."""
    return {"text/html": redact(sanitize_html(fragment)), "text/plain": displayable(text)}


def sanitize_html(fragment: str) -> str:
    """Remove everything from HTML that is not on the allow-list, including control characters."""
    return _cleaner().clean(without_controls(fragment))


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=_ALLOWED_TAGS,
        attributes={"*": {"style"}, "a": {"href", "title"}, "ol": {"start"}, "details": {"open"}},
        filter_style_properties=_ALLOWED_STYLES,
        # A relative address would lead to the notebook server.
        url_schemes={scheme.partition(":")[0] for scheme in LINK_SCHEMES},
        url_relative="deny",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer",
    )


_ALLOWED_TAGS = (
    {"a", "blockquote", "br", "code", "details", "div", "em", "hr", "li", "ol", "p", "pre", "s", "span", "strong"}
    | {"summary", "table", "tbody", "td", "th", "thead", "tr", "ul"}
    | {"h1", "h2", "h3", "h4", "h5", "h6"}
)
# None of these can contain an address or cover the rest of the page.
_ALLOWED_STYLES = (
    {"background-color", "border", "border-bottom", "border-collapse", "border-left", "border-radius", "color"}
    | {"cursor", "font-family", "font-size", "font-style", "font-weight", "line-height", "margin", "max-height"}
    | {"max-width", "opacity", "overflow-wrap", "overflow-x", "overflow-y", "padding", "padding-left", "text-align"}
    | {"vertical-align", "white-space"}
)
