"""Code with colours that can be read on white and on black, as spans with inline styles."""

from __future__ import annotations

import html
from itertools import groupby

SIZE_LIMIT = 20_000
"""Characters above which a block of code keeps one colour: colouring takes longer than everything else in a card."""

# Each has a contrast of about 4 to 1 to white and to the dark themes' #111.
_COLOURS = {
    "Token.Comment": "color:#7d7d7d;font-style:italic",
    "Token.Keyword": "color:#a05fc8",
    "Token.Operator.Word": "color:#a05fc8",
    "Token.Name.Builtin": "color:#1c8a8f",
    "Token.Name.Class": "color:#3f7fd0",
    "Token.Name.Decorator": "color:#1c8a8f",
    "Token.Name.Function": "color:#3f7fd0",
    "Token.Name.Attribute": "color:#3f7fd0",
    "Token.Name.Tag": "color:#a05fc8",
    "Token.Literal.Number": "color:#b8702a",
    "Token.Literal.String": "color:#3f8a4d",
    "Token.Generic.Deleted": "color:#d0484f",
    "Token.Generic.Inserted": "color:#3f8a4d",
}


def coloured(code: str, *, language: str) -> str:
    """Escape `code` for HTML and colour it.

    Parameters
    ----------
    code : str
        The source text.
    language : str
        As the fence names it. Code in a language that Pygments does not know is escaped only.
    """
    from pygments import lex
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    if len(code) > SIZE_LIMIT:
        return html.escape(code)
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return html.escape(code)
    pieces = []
    # Neighbours of one colour share a span: Pygments gives a string in three tokens, and each span is 30 bytes.
    for style, tokens in groupby(lex(code, lexer), key=lambda token: _style_of(str(token[0]))):
        text = html.escape("".join(text for _, text in tokens))
        pieces.append(f'<span style="{style}">{text}</span>' if style else text)
    return "".join(pieces)


def _style_of(kind: str) -> str | None:
    while kind:
        if kind in _COLOURS:
            return _COLOURS[kind]
        kind = kind.rpartition(".")[0]
    return None
