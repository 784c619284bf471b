"""Words and literals in a text: stems to compare words by, and the values that somebody wrote into a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LONGEST = 20_000
"""Characters that are looked at. Nobody's question is longer; a pasted file may be."""

STOPWORDS = frozenset(
    """a about above after again ago all also am an and any are as ask asked at available be because been before below
    between both but by call can could did do does doing each either every everything few for from get give given go
    had has have he hello her hey hi him his how i if in into is it its just know let like list look make many may me
    might mine more most much must my need no not now of off ok okay on once one only or other our out over per please
    provide return run same say set she should show so some such tell than thank thanks that the their them then there
    these they thing think this those to too tool under until up us use used using value very want was we were what
    when where whether which while who whom whose why will with within without would yes you your""".split()
)
STARTERS = frozenset(
    """add analyse analyze answer average calculate call check classify compare compute convert count create describe
    display draw estimate explain extract fetch filter find generate greet group hello help hey hi list load look
    maybe mean now order perhaps pick plot predict print query rank remember repeat rerun return same save search
    select send sort start store suggest sum summarise summarize thanks today tomorrow total translate try update write
    yesterday""".split()
)
"""Words that begin a sentence without being a name."""

SYNONYMS = {
    "heavy": "mass", "weigh": "mass", "weight": "mass", "light": "mass", "average": "mean", "avg": "mean",
    "deep": "depth", "thick": "depth", "wide": "width", "long": "length", "longer": "length", "short": "length",
    "high": "height", "tall": "height", "number": "count", "beak": "bill",
    "temperature": "weather", "forecast": "weather", "gender": "sex", "compute": "calculate",
}  # fmt: skip
OPERATORS = {"+": ("add", "sum", "plus"), "-": ("subtract", "minus"), "*": ("multiply", "times"), "/": ("divide",)}
NUMBER_WORDS = {
    word: number
    for number, word in enumerate("two three four five six seven eight nine ten eleven twelve".split(), start=2)
}


def stem(word: str) -> str:
    """Cut a word to what its forms share, in British and American spelling.

    >>> [stem(word) for word in ("penguins", "penguin", "describing", "describes", "heaviest", "favourite")]
    ['penguin', 'penguin', 'describ', 'describ', 'mass', 'favorit']
    """
    word = _singular(word.lower().removesuffix("'s"))
    word = re.sub(r"(?<=\w\w)our", "or", word)
    for ending, instead in (("iest", "y"), ("ier", "y"), ("ator", "ate"), ("ing", ""), ("ed", ""), ("est", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending) + instead
            word = re.sub(r"([bdgmnprt])\1$", r"\1", word)
            break
    word = SYNONYMS.get(word, word)
    return word.removesuffix("e") if len(word) > 3 else word


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("sses"):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def words(text: str) -> list[str]:
    """The words of a text or of a name in snake_case or camelCase, as they are written."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text[:LONGEST])
    return re.findall(r"[^\W_]+(?:'[a-z]+)?", parted.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))


def content_words(text: str) -> list[str]:
    """The words of a text that say what it is about, in order and each once."""
    kept = {stem(word): word for word in reversed(words(text)) if is_content(word)}
    return list(reversed(kept.values()))


def is_content(word: str) -> bool:
    return word.lower().removesuffix("'s") not in STOPWORDS and "'" not in word.removesuffix("'s")


def stems(text: str) -> set[str]:
    """The stems of a text's content words. "How many" counts as the word "count"."""
    found = {stem(word) for word in words(text) if is_content(word)}
    if re.search(r"\bhow many\b", text[:LONGEST], re.IGNORECASE):
        found.add(stem("count"))
    for sign in re.findall(r"\d\s*([-+*/])\s*\d", text[:LONGEST]):
        found.update(stem(word) for word in OPERATORS[sign])
    return found


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is written in a text."""

    kind: str
    """quoted, url, email, datetime, date, number, file, identifier or name."""
    value: Any
    start: int
    end: int


NUMBER = r"-?(?:\d{1,3}(?:,\d{3}){1,12}(?!\d)|\d{1,40})(?:\.\d{1,40})?"
"""What :func:`number` reads. Python refuses to read numbers of thousands of digits."""

_LITERAL = re.compile(
    r"""
      "(?P<quoted>[^"\n]{1,400})" | “(?P<quoted2>[^”\n]{1,400})” | `(?P<quoted3>[^`\n]{1,400})`
    | (?<!\w)'(?P<quoted4>[^'\n]{1,400})'(?!\w)
    | (?P<url>https?://[^\s<>"]+[^\s<>".,;:!?)])
    | (?P<email>[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+)
    | (?P<datetime>\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)
    | (?P<date>\b\d{4}-\d\d-\d\d\b)
    | (?P<number>(?<![\w.]){NUMBER}(?:[eE][+-]?\d{1,2})?)(?!\w{0,40}_)
    | (?P<file>(?<!\w)[\w/-]{1,200}\.[A-Za-z]{2,7}\b)
    | (?P<identifier>\b[A-Za-z][A-Za-z0-9]*_\w+)
    | (?P<name>\b[^\W\d_a-z][\w-]*(?:'[a-z]+)?(?:[ ][^\W\d_a-z][\w-]*(?:'[a-z]+)?){0,4})
    | \b(?P<number_word>two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b
    """.replace("{NUMBER}", NUMBER),
    re.VERBOSE,
)


def literals(text: str, not_names: Iterable[str] = ()) -> list[Literal]:
    """Find the values in `text`, in order.

    `not_names` are stems of words that are no names although a sentence may begin with them.

    >>> [literal.value for literal in literals('How heavy are Gentoo penguins above 4,000 g since 2008-01-01?')]
    ['Gentoo', 4000, '2008-01-01']
    """
    text = text[:LONGEST].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    vocabulary = set(not_names)
    found = []
    for match in _LITERAL.finditer(text):
        kind = (match.lastgroup or "").rstrip("234")
        raw = match[match.lastgroup or 0]
        value: Any = raw
        if kind == "number_word":
            kind, value = "number", NUMBER_WORDS[raw]
        elif kind == "number":
            value = number(raw)
        elif kind == "name" and (value := _name(text, match.start(), raw, vocabulary)) is None:
            continue
        if kind == "name":
            found.append(
                Literal(kind, value, match.start() + raw.find(value), match.start() + raw.find(value) + len(value))
            )
        else:
            found.append(Literal(kind, value, match.start(), match.end()))
    return found


def number(text: str) -> int | float:
    """Read digits as they are written: ``4,000`` is 4000."""
    plain = text.replace(",", "")
    return int(plain) if re.fullmatch(r"-?\d+", plain) else float(plain)


def _name(text: str, start: int, raw: str, vocabulary: set[str]) -> str | None:
    """The part of a run of capitalised words that can be a name, without a possessive ending."""
    parts = raw.split(" ")
    begins_sentence = re.search(r"(?:^|[.!?:\n])[\s>*\"'(-]*$", text[max(0, start - 12) : start]) is not None
    while parts:
        word = parts[0].lower()
        is_common = word.removesuffix("'s") in STOPWORDS or "'" in word.removesuffix("'s")
        if not is_common and not (begins_sentence and (word in STARTERS or stem(word) in vocabulary)):
            break
        parts = parts[1:]
    name = " ".join(parts).removesuffix("'s")
    return name if len(name) > 1 or (name and not begins_sentence) else None


def mentioned(values: Iterable[Any], text: str) -> list[Any]:
    """Those of `values` that `text` names, in the order of the text.

    A value is named when it stands there; else when all its words do (``bill_length_mm`` by "length of the bill");
    else when it has more words there than any other value.

    >>> mentioned(["bill_length_mm", "flipper_length_mm", "body_mass_g"], "How long are the flippers?")
    ['flipper_length_mm']
    """
    text = text[:LONGEST]
    written: dict[int, Any] = {}
    by_words: dict[int, tuple[int, bool, Any]] = {}
    present = stems(text)
    for position, value in enumerate(values):
        spoken = str(value)
        match = re.search(rf"(?<!\w){re.escape(spoken)}(?:e?s|'s)?(?!\w)", text, re.IGNORECASE) if spoken else None
        if match is not None and not isinstance(value, bool):
            written.setdefault(match.start(), value)
        parts = {stem(word) for word in words(spoken) if len(word) > 2 and is_content(word)}
        if parts & present:
            by_words[position] = len(parts & present), parts <= present, value
    if written:
        return [written[start] for start in sorted(written)]
    if complete := [value for _, whole, value in by_words.values() if whole]:
        return complete
    best = max((count for count, _, _ in by_words.values()), default=0)
    ahead = [value for count, _, value in by_words.values() if count == best]
    return ahead if len(ahead) == 1 else []
