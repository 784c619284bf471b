"""JSON schemas: what a value may be, and the smallest valid value made of what the text says.

Every literal of the text is used once, in order. Where nothing fits, the value says that it is made up ("demo title"),
or is null, empty or the smallest allowed where the schema permits.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

from agno_nb.models.demo.tokenizer import Literal, content_words, literals, mentioned, stem, words
from agno_nb.types import JsonDict

DEEPEST = 8
"""Levels of nesting after which optional parts are left out, so that recursive schemas end."""

FORMATS = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "demo@example.com",
    "idn-email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uri-reference": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def resolve(schema: Any, root: JsonDict, depth: int = 0) -> JsonDict:
    """Follow references and merge ``allOf``, until what stands there says itself what a value may be."""
    found = as_dict(schema)
    for _ in range(DEEPEST):
        reference = found.get("$ref")
        if not isinstance(reference, str):
            break
        target: Any = root
        for part in reference.removeprefix("#").strip("/").split("/") if reference != "#" else []:
            target = as_dict(target).get(part.replace("~1", "/").replace("~0", "~"))
        found = {**as_dict(target), **{key: value for key, value in found.items() if key != "$ref"}}
    parts = as_list(found.get("allOf"))
    merged = {key: value for key, value in found.items() if key not in ("$ref", "allOf")}
    for part in parts if depth < DEEPEST else []:
        one = resolve(part, root, depth + 1)
        both = {**as_dict(merged.get("properties")), **as_dict(one.get("properties"))}
        required = [*as_list(merged.get("required")), *as_list(one.get("required"))]
        merged = {**merged, **one} | ({"properties": both} if both else {})
        merged |= {"required": required} if required else {}
    return merged


def as_dict(value: Any) -> JsonDict:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def branches(schema: JsonDict, root: JsonDict) -> list[JsonDict]:
    """The alternatives of a schema, null last; the schema itself where it has none."""
    options = as_list(schema.get("anyOf")) or as_list(schema.get("oneOf"))
    if options:
        beside = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        found = [{**beside, **resolve(option, root)} for option in options]
    elif isinstance(schema.get("type"), list):
        found = [{**schema, "type": kind} for kind in schema["type"]]
    else:
        return [schema]
    return sorted(found, key=lambda option: option.get("type") == "null") or [schema]


def type_of(schema: JsonDict) -> str:
    """The JSON type that a schema asks for; "" where any will do."""
    if isinstance(kind := schema.get("type"), str):
        return kind
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else ""


def choices(schema: JsonDict) -> list[Any]:
    """The values that a schema lists, if it lists them."""
    return [schema["const"]] if "const" in schema else as_list(schema.get("enum"))


def instance(schema: JsonDict, text: str, known: JsonDict | None = None) -> Any:
    """Make the smallest value that `schema` allows, out of `text` and of values `known` by their names.

    Examples
    --------
    >>> properties = {"name": {"type": "string"}, "age": {"type": "integer"}, "email": {"type": ["string", "null"]}}
    >>> instance({"type": "object", "properties": properties, "required": list(properties)}, "Ada is 36")
    {'name': 'Ada', 'age': 36, 'email': None}
    """
    return _Maker(schema, text, known or {}).value(schema, "", 0)


class _Maker:
    def __init__(self, root: JsonDict, text: str, known: JsonDict) -> None:
        self.root = root
        self.text = text
        self.known = known
        self.left = literals(text)
        self.subject = " ".join(content_words(text)[:6])
        self.serial = itertools.count(2)

    def take(self, *kinds: str) -> Any:
        """The next literal of one of these kinds that was not used yet; None if there is none."""
        found = next((literal for literal in self.left if literal.kind in kinds), None)
        if found is not None:
            self.left.remove(found)
        return found.value if found else None

    def value(self, schema: Any, name: str, depth: int) -> Any:
        schema = resolve(schema, self.root)
        options = branches(schema, self.root)
        if name in self.known and any(fits(self.known[name], option) for option in options):
            return self.known[name]
        if len(options) > 1:
            if options[-1].get("type") == "null" and (depth > DEEPEST or not self.is_told(options[0], name)):
                return None
            # Deep down, the branch with the least inside ends a recursion.
            return self.value(min(options, key=_weight) if depth > DEEPEST else options[0], name, depth + 1)
        if options[0] is not schema and depth <= 3 * DEEPEST:
            return self.value(options[0], name, depth + 1)
        if allowed := choices(schema):
            return next(iter(mentioned(allowed, self.text)), allowed[0])
        match type_of(schema):
            case "object":
                return self.object(schema, depth)
            case "array":
                return self.array(schema, name, depth)
            case "integer" | "number" as kind:
                return self.number(schema, name, whole=kind == "integer")
            case "boolean":
                return bool({stem(word) for word in words(name)} & {stem(word) for word in words(self.text)})
            case "null":
                return None
            case _:
                return self.string(schema, name)

    def is_told(self, schema: JsonDict, name: str) -> bool:
        """Whether the text still has something to fill a value with that could as well be left out."""
        if values := choices(schema):
            return bool(mentioned(values, self.text))
        if type_of(schema) == "object":
            return bool({stem(word) for word in words(name)} & {stem(word) for word in words(self.text)})
        if type_of(schema) == "array":
            return self.is_told(branches(resolve(schema.get("items"), self.root), self.root)[0], name)
        kinds = {"integer": {"number"}, "number": {"number"}, "string": {"quoted", "name"}}.get(type_of(schema))
        if form := schema.get("format"):
            kinds = {"date": {"date"}, "date-time": {"datetime"}, "email": {"email"}, "uri": {"url"}}.get(str(form))
        elif "email" in name:
            kinds = {"email"}
        return kinds is None or any(literal.kind in kinds for literal in self.left)

    def object(self, schema: JsonDict, depth: int) -> JsonDict:
        properties = as_dict(schema.get("properties"))
        required = [name for name in as_list(schema.get("required")) if isinstance(name, str)]
        wanted = required if depth > DEEPEST else [*properties, *required]
        made = {}
        for name in dict.fromkeys(wanted):
            part = properties.get(name, as_dict(schema.get("additionalProperties")))
            if name in required or name in self.known or self.is_worth_saying(part, name):
                made[name] = self.value(part, name, depth + 1)
        spare = (f"key{number}" for number in itertools.count(1))
        while len(made) < bounded(schema.get("minProperties")):
            name = next(spare)
            made[name] = self.value(as_dict(schema.get("additionalProperties")), name, depth + 1)
        return made

    def is_worth_saying(self, schema: Any, name: str) -> bool:
        """Whether the text has a value for a property that may be left out."""
        schema = branches(resolve(schema, self.root), self.root)[0]
        return type_of(schema) in ("string", "integer", "number") and self.is_told(schema, name)

    def array(self, schema: JsonDict, name: str, depth: int) -> list[Any]:
        least, most = bounded(schema.get("minItems")), bounded(schema.get("maxItems"), math.inf)
        made = [self.value(part, name, depth + 1) for part in as_list(schema.get("prefixItems"))]
        items = schema.get("items", {})
        if items is False or as_list(items):
            return made or [self.value(part, name, depth + 1) for part in as_list(items)]
        inner = branches(resolve(items, self.root), self.root)[0]
        told = [value for value in self.told_items(inner) if fits(value, inner)]
        wanted = max(least, 1 if type_of(inner) == "object" and depth <= DEEPEST - 4 else 0)
        while told and len(made) < most:
            made.append(told.pop(0))
        while len(made) < min(wanted, most):
            made.append(self.value(items, name, depth + 1))
        return self.distinct(made, inner) if schema.get("uniqueItems") is True else made

    def told_items(self, schema: JsonDict) -> list[Any]:
        if values := choices(schema):
            return mentioned(values, self.text)
        kinds = {"string": ("quoted", "name"), "integer": ("number",), "number": ("number",)}.get(type_of(schema), ())
        found = []
        while kinds and "format" not in schema and (value := self.take(*kinds)) is not None:
            found.append(value)
        return list(dict.fromkeys(found))

    def distinct(self, items: list[Any], schema: JsonDict) -> list[Any]:
        kept: list[Any] = []
        allowed = choices(schema)
        for item in items:
            if item in kept:
                if isinstance(item, str) and not allowed:
                    item = f"{item} {next(self.serial)}"
                elif isinstance(item, int | float) and not isinstance(item, bool) and not allowed:
                    item = max(other for other in kept if isinstance(other, int | float)) + 1
                else:
                    item = next((other for other in allowed if other not in kept), item)
            kept.append(item)
        return kept

    def number(self, schema: JsonDict, name: str, *, whole: bool) -> int | float:
        kind = "integer" if whole else "number"
        for literal in [*self.beside(name), *self.left]:
            if literal.kind == "number" and fits(literal.value, {**schema, "type": kind}):
                self.left.remove(literal)
                return int(literal.value) if whole else literal.value
        return _smallest_number(schema, whole=whole)

    def beside(self, name: str) -> list[Literal]:
        """Numbers that stand right after a word of the property's name."""
        named = {stem(word) for word in words(name)}
        return [
            literal
            for literal in self.left
            if literal.kind == "number" and named & {stem(word) for word in words(self.text[: literal.start])[-2:]}
        ]

    def string(self, schema: JsonDict, name: str) -> str:
        form = schema.get("format")
        if isinstance(form, str) and form in FORMATS:
            kinds = {"date": "date", "date-time": "datetime", "email": "email", "uri": "url"}
            return str(self.take(kinds.get(form, "")) or FORMATS[form])
        made_up = f"demo {' '.join(words(name))}".strip()
        told = self.take("email") if "email" in name.lower() else self.take("quoted", "name", "identifier", "file")
        if told is None and not re.search(r"(?:name|id)$", name):
            # A text without names still says what it is about, once.
            told, self.subject = self.subject, ""
        for candidate in (told, made_up, *_SAMPLES):
            if candidate and fits(candidate, {**schema, "type": "string"}):
                return str(candidate)
        least, most = bounded(schema.get("minLength")), bounded(schema.get("maxLength"), math.inf)
        text = str(told or made_up).ljust(int(min(least, LONGEST_TEXT)), ".")
        return text[: int(most)] if most < len(text) else text


LONGEST_TEXT = 100_000
_SAMPLES = ("a", "A", "1", "00", "000", "0000", "aa", "aaa", "AAA", "AA-000", "A1", "a@example.com", "2000-01-01")
"""Tried where a pattern refuses what the text says."""


def bounded(value: Any, default: float = 0) -> float:
    """Read a bound of a schema, and `default` where it is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else default


def fits(value: Any, schema: JsonDict) -> bool:
    """Say whether `schema`, which has no references on top, allows `value`."""
    if (allowed := choices(schema)) and value not in allowed:
        return False
    kind = type_of(schema)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "string" or (not kind and isinstance(value, str)):
        pattern = schema.get("pattern")
        return (
            isinstance(value, str)
            and bounded(schema.get("minLength")) <= len(value) <= bounded(schema.get("maxLength"), math.inf)
            and (not isinstance(pattern, str) or _matches(pattern, value))
        )
    if kind in ("integer", "number"):
        return (
            is_number and math.isfinite(value) and (kind == "number" or value == int(value)) and _within(value, schema)
        )
    if kind == "array":
        items = as_dict(schema.get("items"))
        return (
            isinstance(value, list)
            and bounded(schema.get("minItems")) <= len(value) <= bounded(schema.get("maxItems"), math.inf)
            and ("$ref" not in items and all(fits(item, items) for item in value))
        )
    # Objects are made part by part, so that each part is checked.
    return {"boolean": isinstance(value, bool), "null": value is None, "object": False}.get(kind, is_number)


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True


def _within(value: float, schema: JsonDict) -> bool:
    step = bounded(schema.get("multipleOf"))
    return (
        bounded(schema.get("minimum"), -math.inf) <= value <= bounded(schema.get("maximum"), math.inf)
        and bounded(schema.get("exclusiveMinimum"), -math.inf)
        < value
        < bounded(schema.get("exclusiveMaximum"), math.inf)
        and (step <= 0 or math.isclose(value / step, round(value / step), abs_tol=1e-9))
    )


def _smallest_number(schema: JsonDict, *, whole: bool) -> int | float:
    """0 if it is allowed, else the allowed number nearest to it that is easily found."""
    low, above = bounded(schema.get("minimum"), -math.inf), bounded(schema.get("exclusiveMinimum"), -math.inf)
    high, below = bounded(schema.get("maximum"), math.inf), bounded(schema.get("exclusiveMaximum"), math.inf)
    step = bounded(schema.get("multipleOf")) or (1 if whole else 0)
    middle = (max(low, above) + min(high, below)) / 2
    tried = [0, low, high, above + (step or 1), below - (step or 1), middle]
    if step > 0:
        tried += [step * math.ceil(bound / step) for bound in (low, middle) if math.isfinite(bound)]
    for candidate in tried:
        if math.isfinite(candidate) and _within(candidate, schema) and (not whole or candidate == int(candidate)):
            return int(candidate) if whole else candidate
    return 0


def _weight(schema: JsonDict) -> int:
    return {"null": 0, "string": 1, "": 1, "array": 2, "object": 3 + len(as_list(schema.get("required")))}.get(
        type_of(schema), 1
    )
