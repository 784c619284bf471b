"""Find the arguments of a tool call and the values of structured output in a prompt, by name, enum, format and type.

Without a value, a tool call omits the argument or asks for it; structured output gets one such as "demo title".
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from typing import Any

from agno_nb.models.demo.context import MAX_CHARS, Reply, listed
from agno_nb.models.demo.tokenizer import VERBS, Literal, is_content, literals, mentioned, stem, stems, words
from agno_nb.types import JsonDict, ToolSpec, as_dict, as_list

MAX_CALLS = 8
"""Calls that one prompt can lead to ("for each species")."""
MAX_DEPTH = 8
"""Levels of nesting after which optional parts are omitted, so that recursive schemas end."""
FORMATS = {
    "date": "2000-01-01", "date-time": "2000-01-01T00:00:00Z", "time": "00:00:00Z", "duration": "P1D",
    "email": "demo@example.com", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
    "uri": "https://example.com/", "uuid": "00000000-0000-4000-8000-000000000000",
}  # fmt: skip
_PATTERN_SAMPLES = ("a", "A", "0", "00", "000", "0000", "aaa", "AAA", "AA-000", "A1")
WHOLE_PROMPT = frozenset("content instruction message prompt query question request sql statement task text".split())
"""Names of parameters that take a sentence: the quoted one, else the whole prompt."""
_KINDS = {
    "date": ("date",), "email": ("email",), "to": ("email",), "uri": ("url",), "url": ("url",),
    "path": ("file", "quoted"), "file": ("file", "quoted"), "column": ("identifier",), "field": ("identifier",),
    "time": ("time",),
}  # fmt: skip
"""The kinds of literals for a format or a word of a parameter's name."""
_EACH = re.compile(r"\b(?:by|both|compare|each|every|per)\b|\w{3,}est\b|\bmost\b", re.IGNORECASE)
"""Asks for all values of a parameter: "for each species", "the heaviest"."""
_ITEM, _AND = r"(?:(?:an?|my|the)\s+)?[^\W\d]\w*", r"(?:,?\s+(?:and|or)\s+|,\s*)"
_OBJECT = re.compile(rf"(?i)\b(?:about|at|does|for|from|in|much \w+|named|of|on|\w+er,)\s+({_ITEM}(?:{_AND}{_ITEM})*)")
_JOIN = re.compile(r"[,;?!&/]|\b(?:and|or|plus|than|to|versus|vs|with)\b", re.IGNORECASE)
"""Between two values of one parameter. "Adelie on Biscoe" has values of two."""
COUNTS = frozenset("count days first k last length limit n num number rows size top".split())
_LIMIT = re.compile(r"(?i)\b(?:about|above|after|before|below|from|least|most|over|since|than|to|under|until)\s+$")
_STARTS, _ENDS = {"from", "origin", "source", "start"}, {"destination", "end", "target", "to"}
_FORMS = frozenset("column date email field time uri url".split())
SQL = re.compile(r"\b(?:select\b.+\bfrom\b|with\s+\w+\s+as\b).+", re.IGNORECASE | re.DOTALL)


class Schema:
    """A JSON schema, with the root that its references point into."""

    def __init__(self, schema: Any, root: JsonDict, depth: int = 0) -> None:
        self.root = root
        self.depth = depth
        self.keys = _resolve(schema, root)
        kind = "array" if "items" in self.keys or "prefixItems" in self.keys else ""
        kind = self.keys.get("type", "object" if "properties" in self.keys else kind)
        self.type = kind if isinstance(kind, str) else ""
        self.properties = as_dict(self.keys.get("properties"))
        self.required = [name for name in as_list(self.keys.get("required")) if isinstance(name, str)]

    def inner(self, schema: Any) -> Schema:
        return Schema(schema, self.root, self.depth + 1)

    @property
    def branches(self) -> list[Schema]:
        """The alternatives, null last; the schema itself if it has none."""
        options = as_list(self.keys.get("anyOf")) or as_list(self.keys.get("oneOf"))
        shared = {key: value for key, value in self.keys.items() if key not in ("anyOf", "oneOf")}
        found = [self.inner({**shared, **_resolve(option, self.root)}) for option in options]
        found = found or [self.inner({**shared, "type": kind}) for kind in as_list(self.keys.get("type"))]
        return sorted(found, key=lambda branch: branch.type == "null") or [self]

    @property
    def choices(self) -> list[Any]:
        """The values of ``const`` or ``enum``; of the items' for an array."""
        if self.type == "array" and isinstance(self.keys.get("items"), dict):
            return Schema(self.keys["items"], self.root).choices
        return [self.keys["const"]] if "const" in self.keys else as_list(self.keys.get("enum"))

    def bound(self, key: str, default: float) -> float:
        """The number under `key`; `default` if there is none."""
        value = self.keys.get(key)
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else default

    def allows(self, value: Any) -> bool:
        from jsonschema import Draft202012Validator

        try:
            return bool(Draft202012Validator(self.root).evolve(schema=self.keys).is_valid(value))
        except Exception:
            # A malformed schema raises errors of many kinds, and allows anything.
            return True

    def smallest(self, name: str) -> Any:
        """A string, number, boolean or null that the schema allows. A string says that it is made up."""
        if self.choices:
            return self.choices[0]
        if self.type in ("integer", "number"):
            low = max(self.bound("minimum", -math.inf), self.bound("exclusiveMinimum", -math.inf))
            high = min(self.bound("maximum", math.inf), self.bound("exclusiveMaximum", math.inf))
            step = self.bound("multipleOf", 1) or 1
            first_multiple = step * math.ceil(low / step) if math.isfinite(low) else 0
            numbers = (0, low, high, first_multiple, low + step, high - step, (low + high) / 2)
            finite = (int(one) if one == int(one) else one for one in numbers if math.isfinite(one))
            return next(filter(self.allows, finite), 0)
        if self.type in ("boolean", "null"):
            return False if self.type == "boolean" else None
        made_up = f"demo {' '.join(words(name))}".strip()
        text = made_up.ljust(int(min(self.bound("minLength", 0), 100_000)), ".")
        text = text[: int(min(self.bound("maxLength", math.inf), len(text)))]
        candidates = (FORMATS.get(str(self.keys.get("format"))), text, *_PATTERN_SAMPLES)
        return next((candidate for candidate in candidates if candidate and self.allows(candidate)), text)


def _resolve(schema: Any, root: JsonDict, depth: int = 0) -> JsonDict:
    """Follow ``$ref`` and merge ``allOf``."""
    found = as_dict(schema)
    for _ in range(MAX_DEPTH):
        if not isinstance(reference := found.get("$ref"), str):
            break
        target: Any = root
        for part in filter(None, reference.removeprefix("#").split("/")):
            target = as_dict(target).get(part.replace("~1", "/").replace("~0", "~"))
        found = {**as_dict(target), **{key: value for key, value in found.items() if key != "$ref"}}
    merged = {key: value for key, value in found.items() if key not in ("$ref", "allOf")}
    for part in as_list(found.get("allOf")) if depth < MAX_DEPTH else []:
        other = _resolve(part, root, depth + 1)
        properties = {**as_dict(merged.get("properties")), **as_dict(other.get("properties"))}
        required = [*as_list(merged.get("required")), *as_list(other.get("required"))]
        merged = {**merged, **other} | ({"properties": properties, "required": required} if properties else {})
    return merged


class Parameter:
    """A parameter of a tool, or a property of structured output."""

    def __init__(self, name: str, schema: Schema, *, required: bool = True) -> None:
        self.name, self.schema, self.required = name, schema, required
        self.type = schema.type or "string"
        self.words = set(words(name.lower()))
        is_special = schema.choices or "format" in schema.keys or self.words & _FORMS
        self.takes_text = self.type == "string" and not is_special
        self.takes_sentence = self.takes_text and bool(self.words & WHOLE_PROMPT)


def parameters(tool: ToolSpec) -> list[Parameter]:
    schema = Schema(tool.parameters, tool.parameters)
    inner = {name: schema.inner(part).branches[0] for name, part in schema.properties.items()}
    return [Parameter(name, part, required=name in schema.required) for name, part in inner.items()]


def fill(tool: ToolSpec, text: str) -> tuple[list[JsonDict], list[Parameter]]:
    """Find the arguments of calls of `tool` in `text`, one for each value, and the missing required parameters."""
    offered = parameters(tool)
    # "mean_of" looks like an identifier, but is not an argument.
    text = text.replace(tool.name, "") if "_" in tool.name else text
    found = _Finder(text, {stem(word) for word in words(f"{tool.name} {tool.description}")}).find(offered)
    combined = itertools.islice(itertools.product(*found.values()), MAX_CALLS)
    missing = [one for one in offered if one.required and one.name not in found]
    return [dict(zip(found, values, strict=True)) for values in combined], missing


class _Finder:
    """Matches the literals of one text with parameters. Each literal is used once."""

    def __init__(self, text: str, vocabulary: set[str]) -> None:
        self.text = text[:MAX_CHARS]
        self.vocabulary = vocabulary
        self.unused = literals(self.text, vocabulary)
        self.made_up: list[str] = []
        self.offered: list[Parameter] = []

    def find(self, offered: list[Parameter]) -> dict[str, list[Any]]:
        """Find the values of each parameter, the surest evidence first."""
        self.offered = offered
        found: dict[str, list[Any]] = {}
        steps: tuple[Callable[[Parameter], list[Any]], ...] = (
            self.by_name, self.by_preposition, self.from_enum, self.by_form, self.by_type, self.sentence,
        )  # fmt: skip
        for step in steps:
            for one in offered:
                if one.name not in found and (values := step(one)):
                    found[one.name] = values
        texts = [one for one in offered if one.takes_text and not one.takes_sentence]
        needed = [one for one in texts if one.required and one.name not in found]
        if not any(one.required for one in texts):
            # "The weather in Tokyo" means Tokyo even if the parameter has a default.
            needed = [one for one in texts if one.name not in found][:1]
        is_single = len(needed) == 1
        title = re.search(r"^([^:\n]+):\s+([^\n.,;?!]+)", self.text) if is_single else None
        values = self.take("quoted", joined=is_single)
        values = values or ([title[2].strip()] if title and stems(title[1]) & self.vocabulary else [])
        values = values or self.take("name", "identifier", "file", joined=is_single)
        if is_single and (values := values or self.object_of_sentence()):
            found[needed[0].name] = values if needed[0].required else values[:1]
        else:
            found.update({one.name: [value] for one, value in zip(needed, values, strict=False)})
        return {one.name: found[one.name] for one in offered if one.name in found}

    def take(self, *kinds: str, joined: bool = False) -> list[Any]:
        """All unused literals of some kinds; if `joined`, the first one and those joined to it ("Oslo and Rome")."""
        taken = [literal for literal in self.unused if literal.kind in kinds]
        pairs = enumerate(itertools.pairwise(taken), start=1)
        gaps = (at for at, (one, other) in pairs if not _JOIN.search(self.text[one.end : other.start]))
        taken = taken[: next(gaps, None)] if joined else taken
        self.unused = [literal for literal in self.unused if literal not in taken]
        return list(dict.fromkeys(literal.value for literal in taken))

    def take_first(self, parameter: Parameter, candidates: list[Literal]) -> list[Any]:
        """The first of some literals that the parameter allows."""
        for literal in candidates:
            value = literal.value
            if parameter.type == "string" and literal.kind == "number":
                value = self.text[literal.start : literal.end]
            if parameter.schema.choices and (same := mentioned(parameter.schema.choices, str(value))):
                value = same[0]
            if parameter.schema.allows(value):
                self.unused.remove(literal)
                return [value]
        return []

    def by_name(self, parameter: Parameter) -> list[Any]:
        """Find ``species="Adelie"``, "limit: 5", "the item 'tea'" and "5 rows"."""
        name = r"[\s_-]*".join(map(re.escape, words(parameter.name))) or re.escape(parameter.name)
        for match in re.finditer(rf"(?<!\w){name}s?(?!\w)\s*(=|:|\bis\b|\bof\b|)\s*", self.text, re.IGNORECASE):
            next_to_it = [literal for literal in self.unused if 0 <= literal.start - match.end() <= 1]
            if values := self.take_first(parameter, next_to_it):
                return values
            bare = re.match(r"\w[\w-]*", self.text[match.end() :])
            if bare and parameter.schema.choices and (same := mentioned(parameter.schema.choices, bare[0])):
                return same
            if bare and match[1] in ("=", ":") and parameter.takes_text:
                return [bare[0]]
        if parameter.type not in ("integer", "number"):
            return []
        named = {stem(word) for word in parameter.words}
        before = [one for one in self.unused if named & {stem(word) for word in words(self.text[: one.start])[-1:]}]
        after = [one for one in self.unused if named & {stem(word) for word in words(self.text[one.end :])[:1]}]
        return self.take_first(parameter, before + after)

    def by_preposition(self, parameter: Parameter) -> list[Any]:
        """Find the ends of "from Oslo to Rome"."""
        before = "from|of" if parameter.words & _STARTS else "into|to" if parameter.words & _ENDS else ""
        ends = [one for one in self.unused if re.search(rf"(?i)\b(?:{before})\s+$", self.text[: one.start])]
        return self.take_first(parameter, ends) if before and parameter.takes_text else []

    def from_enum(self, parameter: Parameter) -> list[Any]:
        """Find the values of an enum that are mentioned; all of them for "each"."""
        choices = parameter.schema.choices
        found = mentioned(choices, self.text)
        named = rf"(?i)\b(?:all|by|each|every|per) (?:the )?{re.escape(parameter.name)}"
        is_each = (parameter.required and _EACH.search(self.text)) or re.search(named, self.text)
        if not found and is_each:
            found = choices[:MAX_CALLS]
        twins = [one.name for one in self.offered if choices and one.schema.choices == choices]
        if len(twins) > 1:
            # "Correlate bill_depth_mm with body_mass_g" has one value for each of two parameters.
            found = found[twins.index(parameter.name) :][:1]
        used = {stem(str(value)) for value in found}
        self.unused = [literal for literal in self.unused if stem(str(literal.value)) not in used]
        if parameter.type == "array":
            return [found] if found else []
        pair = r"\w*(?:,| and| or| than| vs\.?) ".join(re.escape(str(value)) for value in found)
        joined = len(found) == 2 and re.search(f"(?i){pair}", self.text)
        return found if parameter.required or is_each or joined else found[:1]

    def by_form(self, parameter: Parameter) -> list[Any]:
        """Find dates, addresses, files and column names, by the parameter's format or name."""
        if parameter.type != "string" or parameter.schema.choices:
            return []
        by_name = (_KINDS[word] for word in words(parameter.name.lower()) if word in _KINDS)
        kinds = _KINDS.get(str(parameter.schema.keys.get("format"))) or next(by_name, ())
        return self.take_first(parameter, [literal for literal in self.unused if literal.kind in kinds])

    def by_type(self, parameter: Parameter) -> list[Any]:
        """Find required numbers in order, lists of literals, and booleans by their name."""
        match parameter.type:
            case "integer" | "number":
                numbers = [literal for literal in self.unused if literal.kind == "number"]
                return self.take_first(parameter, numbers if parameter.required else self.counts(parameter, numbers))
            case "boolean":
                spoken, named = [word.lower() for word in words(self.text)], {stem(word) for word in parameter.words}
                place = next((place for place, word in enumerate(spoken) if stem(word) in named), None)
                return [] if place is None else [not {"no", "not", "without"} & set(spoken[max(0, place - 2) : place])]
            case "array" if not parameter.schema.choices:
                kind = parameter.schema.inner(parameter.schema.keys.get("items")).branches[0].type
                kinds = {"string": ("quoted",), "integer": ("number",), "number": ("number",)}.get(kind, ())
                found = self.take(*kinds) or (self.take("name", "identifier") if kind == "string" else [])
                return [found] if found and parameter.schema.allows(found) else []
        return []

    def counts(self, parameter: Parameter, numbers: list[Literal]) -> list[Literal]:
        """The numbers that an optional parameter can mean: "the 3 heaviest" for a count, "in 2008" for a year."""
        is_year = "year" in parameter.words
        if not is_year and not parameter.words & COUNTS:
            return []
        return [
            it for it in numbers if is_year == (1500 <= it.value < 2200) and not _LIMIT.search(self.text[: it.start])
        ]

    def sentence(self, parameter: Parameter) -> list[Any]:
        if not parameter.required or not parameter.takes_sentence:
            return []
        if "sql" in self.vocabulary and parameter.words & {"query", "sql", "statement"}:
            return [match[0].rstrip('`" ')] if (match := SQL.search(self.text)) else []
        after_colon = re.search(r"^[^:\n]{3,60}:\s+(.+)", self.text, re.DOTALL)
        verb = next(iter(words(self.text.lower())), "")
        is_other = (
            verb in VERBS and stem(verb) not in self.vocabulary and parameter.words & {"content", "message", "text"}
        )
        texts = [after_colon[1]] if after_colon else [] if is_other else [self.text.strip()]
        return self.take("quoted")[:1] or texts

    def object_of_sentence(self) -> list[str]:
        """Find "tea" and "cake" in "price of tea and cake": words after a preposition that the description lacks."""
        for match in _OBJECT.finditer(self.text):
            items = [item.split()[-1] for item in re.split(_AND, match[1])]
            if found := [item for item in items if is_content(item) and stem(item) not in self.vocabulary]:
                return found
        return []


def fill_schema(schema: JsonDict, text: str, known: JsonDict | None = None) -> Reply:
    """Answer with a value that `schema` allows, from `text` and from values `known` by property name."""
    finder = _Finder(text, set())
    value = _sample(Schema(schema, schema), "", finder, known or {})
    names = listed([f"`{name}`" for name in dict.fromkeys(finder.made_up)])
    placeholder = "values were picked by rules, not by a language model" + (f"; made up: {names}" if names else "")
    return Reply(text=json.dumps(value, ensure_ascii=False), placeholder=placeholder)


def _sample(schema: Schema, name: str, finder: _Finder, known: JsonDict) -> Any:
    branches = schema.branches
    if len(branches) > 1 or branches[0] is not schema:
        # Deep down, a simple alternative ends a recursion.
        simplest = min(branches, key=lambda one: (one.type == "object", one.type == "array", len(one.required)))
        return _sample(simplest if schema.depth > MAX_DEPTH else branches[0], name, finder, known)
    if schema.type == "object":
        return _sample_object(schema, finder, known)
    if schema.type == "array":
        return _sample_array(schema, name, finder, known)
    finder.made_up.append(name or "the value")
    return schema.smallest(name)


def _sample_object(schema: Schema, finder: _Finder, known: JsonDict) -> JsonDict:
    parts = {key: schema.inner(schema.properties.get(key)) for key in [*schema.properties, *schema.required]}
    nullable = {key for key, part in parts.items() if part.branches[-1].type == "null"}
    wanted = {
        key: Parameter(key, part.branches[0], required=key in schema.required and key not in nullable)
        for key, part in parts.items()
        if key in schema.required or schema.depth <= MAX_DEPTH
    }
    found = finder.find([parameter for key, parameter in wanted.items() if key not in known])
    made = {}
    for key, parameter in wanted.items():
        if key in known and parts[key].allows(known[key]):
            made[key] = known[key]
        elif key in found and parameter.schema.allows(found[key][0]):
            made[key] = found[key][0]
        elif key in schema.required:
            made[key] = None if key in nullable else _sample(parts[key], key, finder, known)
    return made


def _sample_array(schema: Schema, name: str, finder: _Finder, known: JsonDict) -> list[Any]:
    made = [_sample(schema.inner(part), name, finder, known) for part in as_list(schema.keys.get("prefixItems"))]
    item = schema.inner(schema.keys.get("items", {}))
    fewest = 1 if item.type == "object" and schema.depth <= MAX_DEPTH // 2 else 0
    while schema.keys.get("items") is not False and len(made) < max(schema.bound("minItems", 0), fewest):
        made.append(_sample(item, name, finder, known))
    return made
