"""Rendering takes linear time and drops no text."""

from __future__ import annotations

import io
import random
import re
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from agno_nb import printing
from agno_nb.errors import ModelError
from agno_nb.models.base import ModelResponse
from agno_nb.notebook import markdown
from agno_nb.notebook.html import sanitize_html
from agno_nb.notebook.markdown import (
    _LANGUAGES,
    HIGHLIGHT_LIMIT,
    HIGHLIGHT_LIMIT_PER_ANSWER,
    highlight_code,
    markdown_parser,
)
from agno_nb.notebook.render import render_answer
from agno_nb.notebook.variables import inject
from agno_nb.redact import redact
from agno_nb.run_view import RunView, Text
from agno_nb.session.summary import _parse_summary
from agno_nb.types.json_values import find_json
from tests.notebook.test_live import event
from tests.notebook.test_render import Elements

FRAGMENTS = [
    "a", " ", "\n", "\t", "*", "_", "*a_ ", "**a ", "a*", "~~", "~~a", "`", "``a", "[", "]", "[[", "[a](", "[a](<",
    "[a][", "[a](b)", "![", "![a](", "![a](http://b) ", "[![a](b)](c) ", "<", "<a", "<http:", "&", "&#", "&amp;",
    "\\", "\\(", "\\[", "$", "$$", "$a ", "a$ ", "\\begin{a}", "\\$", "|", "|a|\n|-|\n", "> ", ">", "> a\n",
    "> ~~~\n", "- ", "-\n", "- a\n", "1. ", "# ", "---\n", "a\n---\n", "=\n", "a\n\n", "    ", "```\n", "~~~\n",
    "[a]: b\n", "[a\n", "[a]: b 'c\n", "(", "((", "'", '"', "<div>\n", "<!--", "<?", "\r", "  \n", "\\\n", "[^1]",
    "![\n", "- > ", ">>>>a\n", "|:-", "a|b\n-|-\n", "{a", "{{a}", '{a["',
]  # fmt: skip


def repeated(fragment: str, size: int) -> str:
    return (fragment * (size // len(fragment) + 1))[:size]


def nested(opening: str, closing: str, size: int) -> str:
    times = size // len(opening + closing)
    return f"{opening * times}x{closing * times}"


def indented(mark: str, size: int) -> str:
    lines: list[str] = []
    while sum(map(len, lines)) < size:
        lines.append(f"{'   ' * len(lines)}{mark} a\n")
    return "".join(lines)


def wide_table(size: int) -> str:
    return f"{repeated('a|', size // 4)}\n{repeated('-|', size // 4)}\n{repeated('a' + chr(10), size // 2)}"


PAIRS = [("[", "]"), ("[", "](a)"), ("![", "](a)"), ("*", "*"), ("*_", "_*"), ("`", "`"), ("(", ")")]

SHAPES: dict[str, Callable[[int], str]] = {
    **{f"nested {pair}": lambda size, pair=pair: nested(*pair, size) for pair in PAIRS},
    **{f"indented {mark}": lambda size, mark=mark: indented(mark, size) for mark in ("-", "1.", ">")},
    "quote before lines": lambda size: repeated("> ", size // 2) + repeated("a\n", size // 2),
    "list before lines": lambda size: repeated("- ", size // 2) + repeated("a\n", size // 2),
    "a definition used often": lambda size: f"[a]: {'x' * (size // 2)}\n\n{repeated('[a]', size // 2)}",
    "a table with missing cells": wide_table,
    "backticks": lambda size: " ".join("`" * count for count in range(int((2 * size) ** 0.5))),
}


def composed(seed: int) -> Callable[[int], str]:
    """Return texts of a few fragments, again and again, within some block."""
    chance = random.Random(seed)
    fragment = "".join(chance.choice(FRAGMENTS) for _ in range(chance.randint(2, 4)))
    before = chance.choice(["", "", "[a]: b\n\n", "> ", "- ", "> " * 30, "- " * 30, "| a |\n|---|\n"])
    return lambda size: before + repeated(fragment, size)


TEXTS: dict[str, Callable[[int], str]] = {
    **{repr(fragment): lambda size, fragment=fragment: repeated(fragment, size) for fragment in FRAGMENTS},
    **SHAPES,
    **{f"composed {seed}": composed(seed) for seed in range(40)},
}


def calls_of(work: Callable[[], str]) -> tuple[int, str]:
    """Count the functions, of Python and of C, that are called. Also return the result."""
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(counted)
    try:
        result = work()
    finally:
        sys.setprofile(None)
    return count, result


def draw(text: str) -> str:
    """Return Markdown as rendered in a terminal."""
    console = Console(file=io.StringIO(), width=80)
    console.print(printing._markdown(text, 80))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_four_times_the_text_takes_four_times_the_work(text: Callable[[int], str]) -> None:
    short, long = text(1_000), text(4_000)
    render = markdown_parser(True).render
    (calls, rendered), (more, rendered_long) = calls_of(lambda: render(short)), calls_of(lambda: render(long))
    # Some limits are reached only by the longer text, so a little more than four times.
    assert more < 5.2 * max(calls, 10_000)
    html, longer = len(sanitize_html(rendered)), len(sanitize_html(rendered_long))
    assert longer < 5.2 * max(html, 20_000)


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_a_terminal_takes_four_times_the_work_too(text: Callable[[int], str]) -> None:
    short, long = text(1_000), text(4_000)
    (calls, _), (more, _) = calls_of(lambda: draw(short)), calls_of(lambda: draw(long))
    assert more < 7 * max(calls, 10_000)


@pytest.mark.parametrize("language", ["python", "sql", "js", "c", "bash", "json", "html", "css", "diff", "r"])
def test_colouring_takes_linear_work_and_keeps_the_code(language: str) -> None:
    highlight_code("x", language=language)  # The first time loads the lexer.
    for fragment in (
        "'",
        '"',
        '"""',
        "f'",
        "\\",
        "/*",
        "<",
        "<a ",
        "a:",
        "0.",
        "$",
        "`",
        "#",
        "--",
        "\n",
        "@a",
        "<!--",
        "a=",
        "+\n",
    ):
        short, long = repeated(fragment, 1_000), repeated(fragment, 4_000)
        (calls, _), (more, coloured) = (
            calls_of(lambda code=code: highlight_code(code, language=language))  # type: ignore[misc]
            for code in (short, long)
        )
        assert more < 5 * max(calls, 1_000)
        assert Elements(f"<pre>{coloured}</pre>").text == long
    assert highlight_code("\n" * HIGHLIGHT_LIMIT + "<b", language=language).endswith("&lt;b")


# The pattern of each of these once took quadratic or cubic time, on which this test would not end.
@pytest.mark.parametrize(
    "fragment", ["sk-", "sk-a-", "Bearer ", "AIza-", " ", "\t \n", "- ", "x ", "{a", "{a[1]", "{{a", '{a["', "\\a{"]
)
def test_patterns_take_linear_time(fragment: str) -> None:
    text = fragment * 60_000
    redact(text)
    inject(text, {})
    view = RunView(parts=[Text(f"{' ' * 60_000}{fragment}")])
    assert "running" in render_answer(view)


# Over the whole text several lexers would take minutes.
@pytest.mark.parametrize("language", sorted(set(_LANGUAGES.values())))
def test_a_lexer_reads_no_more_than_the_limit(language: str) -> None:
    for fragment in ("\n", "\t \n", "x ", "a\n", "'a\\", "//", "?", "0.", "<!--", "%"):
        text = repeated(fragment, 60_000)
        assert Elements(f"<pre>{highlight_code(text, language=language)}</pre>").text == text


def test_the_code_of_an_answer_is_coloured_up_to_a_limit() -> None:
    block = f"```python\n{'import this; ' * (HIGHLIGHT_LIMIT // 13)}\n```\n"
    times = 3 * HIGHLIGHT_LIMIT_PER_ANSWER // HIGHLIGHT_LIMIT
    card = Elements(sanitize_html(markdown_parser(True).render(block * times)))
    assert len(card.of("pre")) == times
    coloured = markdown_parser(True).render(block).count("<span")
    assert coloured > 100
    assert len(card.of("span")) <= coloured * (HIGHLIGHT_LIMIT_PER_ANSWER // HIGHLIGHT_LIMIT + 1)


def test_json_of_a_model_is_found_in_linear_time() -> None:
    for fragment in ("\n", " \n", "{", "`"):
        text = f"```json{fragment * 200_000}"
        assert [*find_json(text)] == []
        with pytest.raises(ModelError, match="could not parse a summary"):
            _parse_summary(ModelResponse(content=text), None)
    assert [found.text for found in find_json(" ```json \n{}\n ``` ")] == ["{}"]


def test_a_delimiter_that_is_missing_is_searched_for_once() -> None:
    searches: list[int] = []

    class Source(str):
        def find(self, *args: Any) -> int:
            searches.append(args[1])
            return super().find(*args)

    source = Source("\\(" * 100 + "\\)" + "\\(" * 100)
    state: Any = SimpleNamespace(src=source, env={})
    ends = [
        markdown._math_end(state, place, len(source)) for place in range(0, len(source), 2) if source[place + 1] == "("
    ]
    assert ends == [202] * 100 + [None] * 100
    assert len(searches) == 101


# {} is a word. Addresses are in attributes, and so are titles.
WORDY = [
    "{}", "{} ", "{}\n", "\n", "\n\n", "    ", "> ", "- ", "1. ", "# ", "---", "\n---\n", "\n===\n", "*", "**", "_",
    "~~", "`", "``", "```\n", "~~~ {} {}\n", "[{}]", "[{}]:", "[{}]: {}\n", "({})", "(<{} {}>)", "[{}]({})",
    "[{}](http://{})", "![{}]({})", "![]({})", "[]({})", "[{}][{}]", "![{}][{}]", "[a]: {} '{}'\n", "[a]", "<{}>",
    "<http://{}>", "<!-- {} -->", "<b>{}</b>", "<?{}?>", "&{};", "\\", "\\({}\\)", "${}$", "$",
    "|{}|{}|\n|-|-|\n|{}|{}|{}|\n", "| {} ", "|-|", "\t", "'{}'", "![{}]({} '{}')", "\r\n", "\x0b",
    "> > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > > ",
    "- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - ",
    "1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. 1. ",
    "> - > - > - > - > - > - > - > - > - > - > - > - > - > - > - > - > - > - > - > - ",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "************************************************************************************************************************",
]  # fmt: skip


def words_and_text(seed: int) -> tuple[list[str], str]:
    chance = random.Random(seed)
    shape = "".join(chance.choice(WORDY) for _ in range(chance.randint(1, 12)))
    words = [f"w{number}q" for number in range(shape.count("{}"))]
    for word in words:
        shape = shape.replace("{}", word, 1)
    return words, shape


@pytest.mark.parametrize("start", range(0, 4_000, 500))
def test_no_word_of_an_answer_vanishes(start: int) -> None:
    for seed in range(start, start + 500):
        words, text = words_and_text(seed)
        card = Elements(sanitize_html(markdown_parser(True).render(text)))
        shown = card.text + " ".join(str(value) for _, attributes in card.elements for value in attributes.values())
        assert [word for word in words if word not in shown] == [], text


@pytest.mark.parametrize("mark", ["-", "1.", "*", ">"])
def test_blocks_of_any_depth_are_shown(mark: str) -> None:
    lines = [f"{'   ' * depth if mark != '>' else '> ' * depth}{mark} word{depth}." for depth in range(60)]
    text = "\n".join(lines) + "\n\nthe end"
    for shown in (Elements(sanitize_html(markdown_parser(True).render(text))).text, re.sub(r"[▌\n ]+", "", draw(text))):
        assert [depth for depth in range(60) if f"word{depth}." not in shown] == []
    card = Elements(sanitize_html(markdown_parser(True).render(f"{text}\n\n- {'- ' * 60}deep\n- next")))
    assert len(card.of("ul" if mark in "-*" else "blockquote" if mark == ">" else "ol")) >= 19
    assert "next" in card.text


def test_what_markdown_would_drop_is_shown() -> None:
    def shown(text: str) -> str:
        return Elements(sanitize_html(markdown_parser(True).render(text))).text.strip()

    assert shown("See [1].\n\n[1]: https://a.example 'One'\n[2]: https://b.example") == "See 1.\n[2]: https://b.example"
    assert shown("|a|b|\n|-|-|\n|1|2|3|4|").split() == ["a", "b", "1", "2", "|", "3", "|", "4"]
    assert shown("```Look at this") == "Look at this"
    assert shown("```python title=a.py\nx\n```").split() == ["python", "title=a.py", "x"]
    assert shown("```python\nx\n```") == "x"
    assert shown("[](https://a.example/x)") == "https://a.example/x"
    assert shown("see [it](docs/a.md)") == "see it (docs/a.md)"
    assert shown("![chart](out/a.png 'by month')") == "[image: chart by month out/a.png]"


def test_a_terminal_shows_the_end_of_a_long_answer_while_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = printing._TerminalAnswer(None, live=False, markdown=True)
    for number in range(5_000):
        shown.feed(event(content=f"{number} "))
    assert len(shown._text()) == printing.LIVE_TEXT + 1
    assert shown._text().endswith("4998 4999 ")
    shown._is_finished = True
    assert shown._text().split() == list(map(str, range(5_000)))


def test_a_terminal_shows_raw_html_and_code_of_any_language() -> None:
    assert "<b>bold</b>" in draw("a <b>bold</b>\n\n<div>\nx\n</div>")
    assert "<div>" in draw("<div>\nx\n</div>")
    assert "x = {" in draw("```java\nx = {\n```")
