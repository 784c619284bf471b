"""Words and values in a text: stems to compare words by, and the literals that a prompt contains."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agno_nb.models.demo.context import MAX_CHARS

STOPWORDS = frozenset(
    """a about above after again all also am an and any are as ask at be because been before below but by call can could
    did do does each every few find for from get give had has have he hello hey hi him his how i if in into is it its
    just know let like list look make many may me more most much must my need no not now of off ok on one only or
    other our out over per please pls provide return run same say set she should show so some such tell than thank
    thanks that the their them then there these they thing think this those to today tomorrow too tool under until up
    us use using value very want was we were what when where which while who whom whose why will with without would
    yes you your""".split()
)
VERBS = frozenset(
    """add analyze answer average book calculate cancel change check compare compute convert correlate count create
    delete describe display draw drop estimate explain extract filter find forget generate grade greet help insert
    load mean move open order pick plan plot predict print query rank recommend remember remove rename repeat reserve
    review save search select send set sort start stop store suggest summarize translate update write""".split()
)
"""Verbs that begin a sentence with a capital letter and are not names."""
SYNONYMS = {
    "heavy": "mass", "weigh": "mass", "weight": "mass", "average": "mean", "deep": "depth", "long": "length",
    "tall": "height", "temperature": "weather", "love": "like", "enjoy": "like", "prefer": "like", "cheap": "price",
    "cheaper": "price", "cheapest": "price", "cost": "price", "expensive": "price", "sum": "add",
}  # fmt: skip

NUMBER = r"-?(?:\d{1,3}(?:,\d{3}){1,12}(?!\d)|\d{1,40})(?:\.\d{1,40})?"
"""Python refuses to convert numbers of thousands of digits."""
_LITERAL = re.compile(
    rf"""
      "(?P<quoted>[^"\n]{{1,400}})" | “(?P<quoted2>[^”\n]{{1,400}})” | (?<!\w)'(?P<quoted3>[^'\n]{{1,400}})'(?!\w)
    | (?P<url>https?://[^\s<>"]+[^\s<>".,;:!?)])
    | (?P<email>[\w.+-]{{1,64}}@[\w-]{{1,64}}(?:\.[\w-]{{1,64}})+)
    | (?P<date>\b\d{{4}}-\d\d-\d\d\b)
    | (?P<time>\b\d{{1,2}}(?::\d\d){{1,2}}\b(?:[ ]?[ap]m\b)?|\b\d{{1,2}}[ ]?[ap]m\b)
    | (?P<number>(?<![\w.]){NUMBER})(?!\w{{0,40}}_)
    | (?P<file>(?<!\w)[\w/-]{{1,200}}\.[A-Za-z]{{2,7}}\b)
    | (?P<identifier>\b[A-Za-z][A-Za-z0-9]*_\w+)
    | (?P<name>\b[^\W\d_a-z][\w-]*(?:[ ](?!(?:AND|NOT|OR)\b)[^\W\d_a-z][\w-]*){{0,4}})
    """,
    re.VERBOSE,
)


_OBJECT = re.compile(r"\s+(?:all|an?|any|her|his|it|me|my|our|some|that|the|their|these|this|those|us)\b")
"""After a verb: "Water the plants"."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written in a text."""

    kind: str
    """"quoted", "url", "email", "date", "time", "number", "file", "identifier" or "name"."""
    value: Any
    start: int
    end: int


def words(text: str) -> list[str]:
    """The words of a text, or of a name in snake_case or camelCase."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text[:MAX_CHARS])
    return re.findall(r"[^\W_]+(?:'[a-z]+)?", parted.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))


def stem(word: str) -> str:
    """Reduce a word to the stem of its forms and synonyms, in British and American spelling."""
    word = re.sub(r"(?<=\w\w)our", "or", word.lower().removesuffix("'s")).replace("zzes", "z")
    if len(word) > 4 and word.endswith(("ie", "ies")):
        word = word.removesuffix("s")[:-2] + "y"
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = re.sub(r"([bdgmnprt])\1$", r"\1", word.removesuffix(ending))
            break
    word = SYNONYMS.get(word, word)
    return word.removesuffix("e") if len(word) > 3 else word


def is_content(word: str) -> bool:
    return word.lower().removesuffix("'s") not in STOPWORDS and "'" not in word.removesuffix("'s")


def stems(text: str) -> set[str]:
    """The stems of a text's content words. "How many" counts as "count", "how much is" as "price"."""
    text = re.sub(r"\bhow many\b", "count", text[:MAX_CHARS], flags=re.IGNORECASE)
    text = re.sub(r"\bhow much (?:is|are|does|do)\b(?!\s*[\d(-])", "price", text, flags=re.IGNORECASE)
    return {stem(word) for word in words(text) if is_content(word)}


def literals(text: str, vocabulary: Iterable[str] = ()) -> list[Literal]:
    """Find the values in `text`, in order. Words with stems in `vocabulary` are no names at the start of a sentence."""
    text = text[:MAX_CHARS].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    common = set(vocabulary)
    found = []
    for match in _LITERAL.finditer(text):
        kind = (match.lastgroup or "").rstrip("23")
        value: Any = match[match.lastgroup or 0]
        if kind == "number":
            plain = value.replace(",", "")
            value = int(plain) if re.fullmatch(r"-?\d+", plain) else float(plain)
        elif kind == "name" and not (value := _name(text, match.start(), value, common)):
            continue
        start = match.end() - len(value) if kind == "name" else match.start()
        found.append(Literal(kind, value, start, match.end()))
    return found


def _name(text: str, start: int, raw: str, common: set[str]) -> str:
    """The part of a run of capitalized words that can be a name."""
    begins_sentence = re.search(r"(?:^|[.!?:\n])[\s>*\"'(-]*$", text[max(0, start - 12) : start]) is not None
    parts = raw.split(" ")
    while parts:
        word = parts[0].lower()
        is_verb = word in VERBS or stem(word) in common
        is_verb = begins_sentence and (is_verb or (parts == [raw] and bool(_OBJECT.match(text, start + len(raw)))))
        if word not in STOPWORDS and not is_verb:
            break
        parts = parts[1:]
    return " ".join(parts)


def mentioned(values: Iterable[Any], text: str) -> list[Any]:
    """Those of `values` that `text` names, in its order; else the one that has most words of it, unless many do."""
    present = stems(text)
    written: dict[int, Any] = {}
    shared: list[tuple[int, Any]] = []
    for value in values:
        spoken = str(value)
        match = re.search(rf"(?<!\w){re.escape(spoken)}(?:e?s|'s)?(?!\w)", text[:MAX_CHARS], re.IGNORECASE)
        if match and spoken:
            written.setdefault(match.start(), value)
        shared.append((len({stem(word) for word in words(spoken) if is_content(word)} & present), value))
    if written:
        return [written[start] for start in sorted(written)]
    most = max((count for count, _ in shared), default=0)
    best = [value for count, value in shared if count == most > 0]
    return best if len(best) == 1 else []
