"""Code with colours that can be read on white and on black, as spans with inline styles.

A lexer of our own rather than Pygments': several of its lexers take quadratic time (20,000 newlines as Java took 13 s),
and a model chooses both the code and its language. Here each pattern starts with a character that it consumes and
cannot fail after a long scan, so that the time is linear in the code.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

SIZE_LIMIT = 20_000
"""Characters above which a block of code keeps one colour: the spans make it several times longer."""

# Each has a contrast of about 4 to 1 to white and to the dark themes' #111.
_COLORS = {
    "comment": "color:#7d7d7d;font-style:italic",
    "keyword": "color:#a05fc8",
    "builtin": "color:#1c8a8f",
    "name": "color:#3d7dce",
    "number": "color:#b8702a",
    "string": "color:#3f8a4d",
    "deleted": "color:#d0484f",
    "inserted": "color:#3f8a4d",
}


@dataclass(frozen=True)
class _Syntax:
    """Patterns and words of a language. No pattern may fail after it has read more than a few characters."""

    comment: str = r"\#[^\n]*"
    string: str = r"'[^'\\\n]*(?:\\.[^'\\\n]*)*'?" + "|" + r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"?'
    word: str = r"@?[^\W\d]\w*"
    key: str = r"(?!)"
    """What follows a word, or a string, that is a key."""
    line: str = r"(?!)"
    """A line of which the first character decides the colour."""
    keywords: frozenset[str] = field(default_factory=frozenset)
    builtins: frozenset[str] = field(default_factory=frozenset)
    ignore_case: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(
            rf"(?P<line>{self.line})|(?P<comment>{self.comment})|(?P<string>{self.string})(?P<string_key>{self.key})?"
            rf"|(?P<number>\d[\w.]*)|(?P<word>{self.word})(?P<key>{self.key})?",
            re.DOTALL | re.MULTILINE,
        )

    def kind_of(self, match: re.Match[str], before: str) -> str | None:
        """Return the kind of token; `before` is the word before it."""
        kind = match.lastgroup
        if kind == "line":
            return {"+": "inserted", "-": "deleted"}.get(match[0][0], "keyword")
        if kind in ("key", "string_key"):
            return "name"
        if kind != "word":
            return kind
        word = match["word"].lower() if self.ignore_case else match["word"]
        if before in _DEFINING and word not in self.keywords:
            return "name"
        if word.startswith("<") or word in self.keywords:
            return "keyword"
        return "builtin" if word in self.builtins or word.startswith("@") else None


def highlight(code: str, *, language: str) -> str:
    """Escape `code` for HTML and colour it.

    Parameters
    ----------
    code : str
        The source text.
    language : str
        As the fence names it. Code in a language that is not in the table below is escaped only.
    """
    syntax = _LANGUAGES.get(language.lower())
    if syntax is None or len(code) > SIZE_LIMIT:
        return html.escape(code)
    pieces = []
    # Neighbours of one colour share a span, because each span is 30 bytes.
    for kind, tokens in groupby(_tokens(code, syntax), key=lambda token: token[0]):
        text = html.escape("".join(text for _, text in tokens))
        pieces.append(f'<span style="{_COLORS[kind]}">{text}</span>' if kind else text)
    return "".join(pieces)


def _tokens(code: str, syntax: _Syntax) -> Iterator[tuple[str | None, str]]:
    done, before = 0, ""
    for match in syntax.pattern.finditer(code):
        if match.start() > done:
            yield None, code[done : match.start()]
        yield syntax.kind_of(match, before), match[0]
        done, before = match.end(), match["word"] or ""
    yield None, code[done:]


_DEFINING = {"def", "class", "fn", "func", "fun", "function", "struct", "enum", "trait", "interface"}
_BLOCK_COMMENT = r"/\*.*?(?:\*/|\Z)"
_DOUBLE_QUOTED = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"?'


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PYTHON = _Syntax(
    string=r'[rbfutRBFUT]{0,2}(?:"""(?:[^"\\]|\\.|"(?!""))*(?:""")?'
    + r"|'''(?:[^'\\]|\\.|'(?!''))*(?:''')?"
    + rf"|{_DOUBLE_QUOTED}|'[^'\\\n]*(?:\\.[^'\\\n]*)*'?)",
    keywords=_words(
        "False None True and as assert async await break case class continue def del elif else except finally for from "
        "global if import in is lambda match nonlocal not or pass raise return try while with yield"
    ),
    builtins=_words(
        "abs all any bool bytes dict enumerate filter float frozenset getattr hasattr int isinstance iter len list map "
        "max min next object open print range repr reversed round self set sorted str sum super tuple type zip"
    ),
)
_SQL = _Syntax(
    comment=rf"--[^\n]*|{_BLOCK_COMMENT}",
    string=r"'[^']*'?",
    ignore_case=True,
    keywords=_words(
        "all alter and any as asc between by case cast create cross delete desc describe distinct drop else end except "
        "exists explain false first from full group having if in inner insert intersect into is join last lateral left "
        "like ilike limit not null nulls offset on or order outer over partition pivot primary key qualify recursive "
        "returning right rows select set summarize table then true union unpivot update using values view when where "
        "window with"
    ),
    builtins=_words("avg coalesce count max min round row_number sum"),
)
_SHELL = _Syntax(
    comment=r"(?<!\S)\#[^\n]*",
    keywords=_words("case do done elif else esac export fi for function if in local return set then unset while"),
    builtins=_words("awk cat cd cp curl echo find git grep ls mkdir mv npm pip printf python rm sed source sudo test"),
)
_JAVASCRIPT = _Syntax(
    comment=rf"//[^\n]*|{_BLOCK_COMMENT}",
    string=_Syntax.string + r"|`[^`\\]*(?:\\.[^`\\]*)*`?",
    keywords=_words(
        "abstract as async await break case catch class const continue debugger declare default delete do echo else "
        "enum export extends false finally for from function if implements import in instanceof interface let new null "
        "of private protected public readonly return static super switch this throw true try type typeof undefined var "
        "void while with yield"
    ),
    builtins=_words("Array Boolean Date JSON Map Math Number Object Promise Set String any boolean console number"),
)
_C = _Syntax(
    comment=rf"//[^\n]*|{_BLOCK_COMMENT}",
    # Not more than a character: Rust's lifetimes begin with a quote and do not end.
    string=rf"{_DOUBLE_QUOTED}|'(?:\\[^\n]{{1,8}}?|[^'\\\n])'",
    keywords=_words(
        "abstract as async await auto bool boolean break byte case catch chan char class const continue crate data "
        "default defer delete do double else enum extends extern false final finally float fn for foreach func fun go "
        "goto if impl implements import in instanceof int interface internal let long loop map match mod mut namespace "
        "new nil null nullptr object operator override package private protected pub public range readonly ref return "
        "sealed select self short signed sizeof static string struct super switch template this throw throws trait "
        "true try type typedef typename union unsafe unsigned use using val var virtual void volatile when where while "
        "yield"
    ),
    builtins=_words("Box HashMap List Map None Ok Err Option Result Self Some String System Vec println std"),
)
_HASH = _Syntax(
    keywords=_words(
        "FALSE NA NULL TRUE begin break case class const def do done else elseif elsif end ensure false for function "
        "if in include library local macro module mutable my next nil nothing quote redo repeat require rescue return "
        "self struct sub super then true undef unless until use using when while yield"
    ),
    builtins=_words("c cat data.frame list paste print println puts sum"),
)
_DATA = _Syntax(
    comment=r"(?<!\S)[\#;][^\n]*|//[^\n]*",
    word=r"[^\W\d][\w.-]*",
    key=r"\s{0,9}[:=]",
    keywords=_words("true false null True False yes no on off"),
)
_MARKUP = _Syntax(
    comment=r"<!--.*?(?:-->|\Z)",
    # The text between the elements has apostrophes.
    string=r"""(?<==)"[^"]*"?|(?<==)'[^']*'?""",
    word=r"</?[^\W\d][\w:.-]*|[^\W\d][\w:.-]*",
    key="=",
)
_CSS = _Syntax(comment=_BLOCK_COMMENT, word=r"[@.\#]?[^\W\d][\w-]*", key=r":")
_DIFF = _Syntax(comment=r"(?!)", string=r"(?!)", word=r"(?!)", line=r"^(?:\+|-|@@)[^\n]*")


def _named(*languages: tuple[_Syntax, str]) -> Iterable[tuple[str, _Syntax]]:
    return ((name, syntax) for syntax, names in languages for name in names.split())


_LANGUAGES: dict[str, _Syntax] = dict(
    _named(
        (_PYTHON, "python py python3 py3 ipython pycon cython"),
        (_SQL, "sql duckdb postgres postgresql sqlite mysql plsql"),
        (_SHELL, "bash sh shell zsh console shell-session dockerfile"),
        (_JAVASCRIPT, "javascript js jsx mjs typescript ts tsx php"),
        (_C, "c h cpp c++ cxx csharp cs c# go golang java kotlin kt rust rs scala swift dart objective-c"),
        (_HASH, "r julia jl ruby rb perl pl elixir make makefile"),
        (_DATA, "json jsonc json5 yaml yml toml ini cfg conf properties"),
        (_MARKUP, "html xml svg xhtml vue"),
        (_CSS, "css scss less"),
        (_DIFF, "diff patch"),
    )
)
