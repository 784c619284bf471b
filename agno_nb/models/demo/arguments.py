"""Fill a tool's arguments with what the prompt says. What it does not say is left out, or asked for; never invented."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any

from agno_nb.models.demo import schema as schemas
from agno_nb.models.demo.tokenizer import (
    NUMBER,
    Literal,
    content_words,
    is_content,
    literals,
    mentioned,
    number,
    stem,
    stems,
    words,
)
from agno_nb.types import JsonDict, ToolSpec

MOST_CALLS = 8
"""How many calls one prompt may become ("for each species")."""

WHOLE_PROMPT = frozenset(
    "task query question message prompt text input request instruction note content memory".split()
)
"""Parameters that take a sentence, not a value out of one."""

COLUMN = frozenset("column columns field feature variable measure metric key".split())
EVERY = re.compile(r"\b(?:by|per|each|every|all|any|across|which|what|compare|both)\s+(?:of\s+)?(?:the\s+)?(\w+)", re.I)
SUPERLATIVE = (
    r"\b(?:heaviest|highest|largest|biggest|longest|greatest|tallest|oldest|most|lightest|lowest|smallest|shortest"
    r"|youngest|fewest|least)\b"
)
_ABOVE = (
    r"(?:above|over|more than|greater than|at least|larger than|heavier than|longer than|older than|from|since|after"
    r"|>=?)"
)
_BELOW = r"(?:below|under|less than|fewer than|at most|smaller than|lighter than|shorter than|up to|until|before|<=?)"
LOWER_NAMES = frozenset("min minimum lower above over from least since start after low".split())
UPPER_NAMES = frozenset("max maximum upper below under to most until end before high".split())
_ITEM = r"(?:\"[^\"\n]+\"|'[^'\n]+'|`[^`\n]+`|[A-Z][\w-]+|[a-z]+(?:_\w+)+)"
_LISTED = re.compile(rf"{_ITEM}(?:\s*(?:,|\||/)\s*{_ITEM})*\s*,?\s*(?:\bor\b|\band\b|\||/|,)\s*{_ITEM}")


@dataclass(slots=True, kw_only=True)
class Parameter:
    """One parameter of a tool."""

    name: str
    schema: JsonDict
    required: bool
    values: list[Any] = field(default_factory=list)
    """What it can be, where the schema or the documentation lists it."""
    is_closed: bool = False
    """Whether it can be nothing else."""

    @property
    def type(self) -> str:
        return schemas.type_of(self.schema) or "string"

    @property
    def stems(self) -> set[str]:
        return {stem(word) for word in words(self.name)}

    @property
    def is_column(self) -> bool:
        return not self.is_closed and (
            bool(COLUMN & set(words(self.name))) or "_" in str(self.schema.get("default", ""))
        )


@dataclass(slots=True, kw_only=True)
class Filling:
    """Arguments found in a prompt: one set a call."""

    calls: list[JsonDict]
    missing: list[Parameter]
    """Required ones that the prompt does not give."""


def parameters(tool: ToolSpec) -> list[Parameter]:
    """The parameters of a tool, with what its documentation says that they can be."""
    root = schemas.resolve(tool.parameters, schemas.as_dict(tool.parameters))
    properties = schemas.as_dict(root.get("properties"))
    required = schemas.as_list(root.get("required"))
    found = []
    for name, raw in properties.items():
        schema = schemas.branches(schemas.resolve(raw, tool.parameters), tool.parameters)[0]
        values = schemas.choices(schema)
        inner = schemas.resolve(schema.get("items"), tool.parameters) if schemas.type_of(schema) == "array" else {}
        values = values or schemas.choices(inner)
        is_closed = bool(values)
        if not values and schemas.type_of(inner or schema) in ("string", ""):
            values = _documented(str(schema.get("description") or _part_about(name, tool.description, properties)))
        found.append(Parameter(name=name, schema=schema, required=name in required, values=values, is_closed=is_closed))
    plain = [parameter for parameter in found if parameter.required and not parameter.values]
    if len(plain) == 1 and plain[0].type == "string" and not any(parameter.values for parameter in found):
        plain[0].values = _documented(tool.description)
    return found


def _part_about(name: str, description: str, properties: JsonDict) -> str:
    """What a docstring says of a parameter: from its name to the next one's, or to an empty line."""
    match = re.search(rf"\b{re.escape(name)}\b`?\s*(?:\([^)\n]*\))?\s*:(.*)", description, re.DOTALL)
    if match is None:
        return ""
    others = "|".join(re.escape(other) for other in properties if other != name) or r"(?!)"
    return re.split(rf"\n\s*\n|\b(?:{others})\b`?\s*(?:\([^)\n]*\))?\s*:", match[1], maxsplit=1)[0]


def _documented(text: str) -> list[str]:
    """The values of a list in prose: "Adelie, Chinstrap or Gentoo"."""
    match = _LISTED.search(text[:4000])
    return [item.strip("\"'`") for item in re.findall(_ITEM, match[0])] if match else []


def fill(tool: ToolSpec, text: str, identifiers: list[str] | None = None) -> Filling:
    """Find the arguments of `tool` in `text`.

    Parameters
    ----------
    tool : ToolSpec
        The tool to call.
    text : str
        What the user said.
    identifiers : list of str, optional
        Names in snake_case that the context knows, columns of a frame say.

    Returns
    -------
    Filling
        Several calls where the text names several values for one parameter, or asks for each of them.
    """
    wanted = parameters(tool)
    known = stems(f"{tool.name} {tool.description}")
    finder = _Finder(text, known, identifiers or [])
    found: dict[str, list[Any]] = {}
    for step in (finder.explicit, finder.of_values, finder.by_form, finder.numeric, finder.truth, finder.composite):
        for parameter in wanted:
            if parameter.name not in found and (values := step(parameter)):
                found[parameter.name] = values
    finder.texts(wanted, found)
    combined = itertools.islice(itertools.product(*found.values()), MOST_CALLS)
    missing = [parameter for parameter in wanted if parameter.required and parameter.name not in found]
    return Filling(calls=[dict(zip(found, values, strict=True)) for values in combined], missing=missing)


def without_defaults(tool: ToolSpec, arguments: JsonDict) -> JsonDict:
    """Leave out what the tool would take by itself."""
    defaults = {one.name: one.schema.get("default") for one in parameters(tool) if not one.required}
    return {name: value for name, value in arguments.items() if value is None or defaults.get(name) != value}


class _Finder:
    """What one prompt offers. Each literal is given away once."""

    def __init__(self, text: str, known: set[str], identifiers: list[str]) -> None:
        self.text = text
        self.known = known
        self.identifiers = identifiers
        self.left = literals(text, known)

    def explicit(self, parameter: Parameter) -> list[Any]:
        """Find ``species=Adelie``, "species Adelie", "limit: 5", "5 rows"."""
        spoken = r"[\s_-]*".join(re.escape(word) for word in words(parameter.name)) or re.escape(parameter.name)
        pattern = rf"(?<!\w){spoken}s?(?!\w)\s*(=|:|\bis\b|\bequals\b|\bof\b|\bto\b|)\s*(?=(\S))"
        for match in re.finditer(pattern, self.text[:20_000], re.IGNORECASE):
            literal = next((literal for literal in self.left if 0 <= literal.start - match.end() <= 1), None)
            if literal is not None and (values := self._as(parameter, literal)):
                self.left.remove(literal)
                return values
            bare = re.match(r"[\w.-]*\w", self.text[match.end() :])
            if bare and match[1] in ("=", ":", "is", "equals") and is_content(bare[0]) and parameter.type == "string":
                values = mentioned(parameter.values, bare[0]) if parameter.is_closed else [bare[0]]
                if values:
                    return values
        if parameter.type in ("integer", "number"):
            for literal in self.left:
                after = words(self.text[literal.end : literal.end + 40])[:1]
                is_named = (
                    literal.kind == "number" and after and len(after[0]) > 1 and stem(after[0]) in parameter.stems
                )
                if is_named and (values := self._as(parameter, literal)):
                    self.left.remove(literal)
                    return values
        return []

    def _as(self, parameter: Parameter, literal: Literal) -> list[Any]:
        """The literal as a value of the parameter; nothing where it cannot be one."""
        value = literal.value
        match parameter.type:
            case "integer" if isinstance(value, int):
                return [value]
            case "number" if isinstance(value, int | float):
                return [value]
            case "string" if parameter.is_closed:
                return mentioned(parameter.values, str(value))
            case "string" if literal.kind != "number":
                return mentioned(parameter.values, str(value)) or [value]
            case "string" if not parameter.is_column and not parameter.values:
                return [self.text[literal.start : literal.end]]
        return []

    def of_values(self, parameter: Parameter) -> list[Any]:
        """Find listed values by mention; all of them for "by species" and "which is heaviest"."""
        values = parameter.values or (self.identifiers if parameter.is_column else [])
        if not values or parameter.type in ("object", "boolean"):
            return []
        found = mentioned(values, self.text)
        if not found and parameter.is_closed:
            found = [
                value for value, spoken in _COMPARISONS if value in values and re.search(spoken, self.text.lower())
            ]
        asked = {stem(word) for word in EVERY.findall(self.text[:20_000])}
        is_for_all = asked & parameter.stems or re.search(SUPERLATIVE, self.text, re.IGNORECASE)
        if not found and parameter.required and parameter.values and is_for_all:
            found = parameter.values[:MOST_CALLS]
        self.drop(found)
        if parameter.type == "array":
            return [found] if found else []
        return found if parameter.required else found[:1]

    def drop(self, values: list[Any]) -> None:
        """Take literals away that are spoken for."""
        spoken = {stem(str(value)) for value in values}
        self.left = [literal for literal in self.left if stem(str(literal.value)) not in spoken]

    def take(self, *kinds: str) -> list[Any]:
        found = [literal for literal in self.left if literal.kind in kinds]
        self.left = [literal for literal in self.left if literal not in found]
        return list(dict.fromkeys(literal.value for literal in found))

    def by_form(self, parameter: Parameter) -> list[Any]:
        """Dates, addresses, files, SQL and expressions, which are known by how they look."""
        if parameter.type != "string" or parameter.is_closed:
            return []
        named = set(words(parameter.name.lower()))
        form = str(parameter.schema.get("format", ""))
        kinds: tuple[str, ...] = ()
        if form in ("date", "date-time") or named & {"date", "day", "since", "until", "deadline"}:
            kinds = ("datetime", "date") if form == "date-time" else ("date", "datetime")
        elif form == "email" or named & {"email", "mail", "to", "recipient"}:
            kinds = ("email",)
        elif form == "uri" or named & {"url", "link", "uri", "website"}:
            kinds = ("url",)
        elif named & {"path", "file", "filename"}:
            kinds = ("file", "quoted")
        for literal in self.left:
            if literal.kind in kinds:
                self.left.remove(literal)
                return [literal.value]
        if named & {"sql", "statement"} or "query" in named:
            code = re.search(r"```(?:sql)?\s*(.*?)```|\b((?:select|with)\b.*\bfrom\b.*)", self.text, re.I | re.DOTALL)
            return [(code[1] or code[2]).strip()] if code else []
        if named & {"expression", "formula"}:
            sums = re.search(r"[\d(][\d\s.+*/()%^-]*[\d)]", self.text[:20_000])
            return [sums[0]] if sums else []
        return []

    def numeric(self, parameter: Parameter) -> list[Any]:
        """Numbers after "above" for `min_…`, after "below" for `max_…`; else the next one for a required parameter."""
        if parameter.type not in ("integer", "number"):
            return []
        named = set(words(parameter.name.lower()))
        side = _ABOVE if named & LOWER_NAMES else _BELOW if named & UPPER_NAMES else ""
        both = re.search(rf"\bbetween\s+({NUMBER})\D{{0,12}}?\band\s+({NUMBER})", self.text, re.IGNORECASE)
        if side and both:
            value = number(both[1 if side is _ABOVE else 2])
            self.left = [literal for literal in self.left if literal.value != value]
            return [value] if schemas.fits(value, {"type": parameter.type}) else []
        for literal in self.left:
            before = self.text[max(0, literal.start - 30) : literal.start]
            compared = re.search(rf"(?:{_ABOVE}|{_BELOW})\s*$", before, re.IGNORECASE)
            fitting = re.search(rf"{side}\s*$", before, re.IGNORECASE) if side else None
            is_free = parameter.required or not compared
            if literal.kind == "number" and (fitting or (not side and is_free)) and self._as(parameter, literal):
                self.left.remove(literal)
                return [literal.value]
        return []

    def truth(self, parameter: Parameter) -> list[Any]:
        """True where the parameter is mentioned, false where it is with "no" or "without" before it."""
        if parameter.type != "boolean":
            return []
        named = parameter.stems - {stem(word) for word in ("is", "has", "include", "use", "with", "only")}
        spoken = words(self.text)
        for position, word in enumerate(spoken):
            if stem(word) in named:
                near = {other.lower() for other in spoken[max(0, position - 2) : position + 3]}
                return [not near & {"no", "not", "without", "don't", "false", "off", "never"}]
        return []

    def composite(self, parameter: Parameter) -> list[Any]:
        """Lists of what is there, objects written as JSON, and "set X to Y"."""
        if parameter.type == "array" and not parameter.is_closed:
            inner = schemas.type_of(schemas.as_dict(parameter.schema.get("items"))) or "string"
            kinds = {"string": ("quoted", "name", "identifier"), "integer": ("number",), "number": ("number",)}
            values = self.take(*kinds.get(inner, ()))
            return [values] if values else []
        if parameter.type == "object":
            written = re.search(r"\{.*\}", self.text[:20_000], re.DOTALL)
            if written and isinstance(value := _json_or_none(written[0]), dict):
                return [value]
            told = re.search(
                r"\b(?:set|change|update)\s+(?:the\s+|my\s+)?([\w ]{1,40}?)\s+(?:to|=)\s+(.+)", self.text, re.I
            )
            if told and not parameter.schema.get("properties"):
                value = next((item.value for item in literals(told[2])), told[2].strip(" .!"))
                return [{"_".join(words(told[1].lower())): value}]
        return []

    def texts(self, wanted: list[Parameter], found: dict[str, list[Any]]) -> None:
        """Give the names and quotations that are left to the text parameters that need one."""
        open_ones = [one for one in wanted if one.type == "string" and one.name not in found and not one.is_closed]
        needed = [one for one in open_ones if one.required]
        if not needed and not any(one.required and one.type == "string" for one in wanted):
            # "The weather in Tokyo" means Tokyo, also where the tool would take Paris by itself.
            needed = [one for one in open_ones[:1] if not one.is_column and not set(words(one.name)) & WHOLE_PROMPT]
        for one in needed:
            if direction := self._direction(one):
                found[one.name] = [direction]
        needed = [one for one in needed if one.name not in found]
        for one in [one for one in needed if set(words(one.name.lower())) & WHOLE_PROMPT]:
            found[one.name] = self.take("quoted")[:1] or [_request(self.text)]
        needed = [one for one in needed if one.name not in found]
        for one in list(needed):
            if one.is_column and (values := self.take("identifier")):
                found[one.name] = values
                needed.remove(one)
        values = self.take("quoted") or self.take("name")
        if len(needed) == 1 and values:
            found[needed[0].name] = values if needed[0].required else values[:1]
        else:
            found.update({one.name: [value] for one, value in zip(needed, values, strict=False)})
        if len(needed) == 1 and not values and needed[0].required and (value := self._object_of_sentence(needed[0])):
            found[needed[0].name] = [value]

    def _direction(self, parameter: Parameter) -> str | None:
        """Give "from Oslo to Rome" to the parameters whose names say so."""
        named = set(words(parameter.name.lower()))
        preposition = {
            "from": named & {"from", "origin", "source", "start", "departure"},
            "to": named & {"to", "destination", "target", "end", "arrival", "recipient"},
        }
        for word in (word for word, fitting in preposition.items() if fitting):
            for literal in self.left:
                before = self.text[: literal.start].rstrip("\"'` \u201c").lower()
                if literal.kind in ("name", "quoted") and re.search(rf"\b{word}$", before[-6:]):
                    self.left.remove(literal)
                    return str(literal.value)
        return None

    def _object_of_sentence(self, parameter: Parameter) -> str | None:
        """Find tokyo in "the weather in tokyo": words after a preposition that the tool does not speak of itself."""
        if parameter.is_column:
            return None
        ends = r"(?:[?!,;\n]|\.(?:\s|$)|$|\b(?:in|for|at|of|with|and|please|today|now|tomorrow)\b)"
        for match in re.finditer(
            rf"\b(?:in|for|of|about|at|named|called|with)\s+(?=(.+?)\s*{ends})", self.text[:2000], re.I
        ):
            said = re.sub(r"^(?:the|a|an|my)\s+", "", match[1].strip(), flags=re.IGNORECASE)
            told = stems(said)
            if told and len(said) <= 60 and is_content(words(said)[0]) and not told & (self.known | parameter.stems):
                return said
        return None


_COMPARISONS = (
    (">", "above|over|more|greater|heavier|longer"), ("<", "below|under|less|smaller|lighter|shorter"),
    ("gt", "above|over|more|greater"), ("lt", "below|under|less|smaller"), ("==", "equal|exactly"),
    ("desc", "highest|largest|heaviest|longest|most|top"), ("asc", "lowest|smallest|lightest|shortest|least"),
)  # fmt: skip


def _request(text: str) -> str:
    """The request without the words that only ask for it to be passed on."""
    asked = r"^\s*(?:please\s+)?(?:search|look|google|query)(?:\s+(?:up|for|the web|online|wikipedia))*\s+(?:for\s+)?"
    shorter = re.sub(asked, "", text, flags=re.IGNORECASE).strip()
    return shorter if content_words(shorter) else text.strip()


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
