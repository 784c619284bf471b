"""JSON schemas for answers: the strict form that servers can enforce, and the words for those that cannot."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from agno_nb.types import JsonDict

# https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
_ANNOTATIONS = {"title", "description"}
_KEYWORDS: dict[str, set[str]] = {
    "string": {"pattern", "format"},
    "number": {"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "integer": {"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "boolean": set(),
    "null": set(),
    "array": {"minItems", "maxItems"},
    "object": set(),
}
"""The types of strict mode, and what it knows of each beside `properties` and `items`."""
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
# Without them, the schema would allow what it is meant to refuse, or say nothing. Other keywords that strict mode does
# not know only narrow a value, and whoever reads the value checks that.
_NEVER_STRICT = {
    *("allOf", "oneOf", "not", "if", "then", "else", "patternProperties", "prefixItems", "propertyNames", "contains"),
    *("dependentSchemas", "dependentRequired", "dependencies", "unevaluatedProperties", "unevaluatedItems"),
    *("additionalItems", "$dynamicRef", "$recursiveRef"),
}
_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_DEFINITIONS = ("$defs", "definitions")
# Look-around and back-references. A class in brackets may hold "(?" as well, and is then refused for nothing.
_UNKNOWN_TO_STRICT_PATTERNS = re.compile(r"\(\?(?!:)|\\[1-9kAZzGpPbB]|[*+?}][+]")
_MOST_ENUM_VALUES = 1_000
_MOST_CHARACTERS = 120_000
_MOST_CHARACTERS_OF_A_LONG_ENUM, _LONG_ENUM = 15_000, 250


def strict_schema(schema: JsonDict, *, limited: bool = False) -> JsonDict | None:
    """Tighten `schema` into one that a server can enforce, or give None when that would change what it means.

    Every property becomes required and no other is allowed, so whatever follows the result follows `schema` too, but
    for keywords such as ``maxLength`` that strict mode does not know: those are dropped.

    Parameters
    ----------
    schema : dict
    limited : bool, optional
        Keep to Azure's strict mode, which knows no constraints, 100 properties and 5 levels.

    Examples
    --------
    >>> strict_schema({"type": "object", "properties": {"name": {"type": "string", "default": "Ada"}}})["required"]
    ['name']
    >>> strict_schema({"type": "object", "additionalProperties": {"type": "integer"}}) is None
    True
    >>> strict_schema({"type": "object", "properties": {"anything": {}}}) is None
    True
    """
    schema = with_root(schema)
    if schema.get("type") != "object" or "anyOf" in schema:
        return None
    try:
        return _Strict(schema, limited=limited).tightened()
    except (_NotStrict, RecursionError):
        return None


def strict_parameters(schema: JsonDict, *, limited: bool = False) -> JsonDict | None:
    """Tighten the parameters of a tool as :func:`strict_schema` does; null then stands for a default.

    Examples
    --------
    >>> strict_parameters({"type": "object", "properties": {"n": {"type": "integer", "default": 3}}})["properties"]["n"]
    {'anyOf': [{'type': 'integer'}, {'type': 'null'}], 'description': 'null stands for 3.'}
    """
    required, properties = schema.get("required", []), schema.get("properties", {})
    if not isinstance(required, list) or not isinstance(properties, dict):
        return None
    properties = {
        name: part if name in required or not isinstance(part, dict) else _or_null(part)
        for name, part in properties.items()
    }
    return strict_schema({**schema, "properties": properties}, limited=limited)


def with_root(schema: JsonDict) -> JsonDict:
    """Write out the reference that a recursive schema is: servers want an object at the top, strict or not.

    Examples
    --------
    >>> node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    >>> with_root({"$ref": "#/$defs/Node", "$defs": {"Node": node}}) == {**node, "$defs": {"Node": node}}
    True
    """
    target = _target(schema, schema.get("$ref"))
    if target is None or "$ref" in target:
        return schema
    return {**{key: value for key, value in schema.items() if key != "$ref"}, **target}


def _target(root: JsonDict, reference: object) -> JsonDict | None:
    """Return the definition that a reference names; None if it names nothing of the kind."""
    if reference == "#":
        return root
    parts = reference.split("/") if isinstance(reference, str) else []
    if len(parts) != 3 or parts[0] != "#" or parts[1] not in _DEFINITIONS:
        return None
    definitions = root.get(parts[1])
    target = definitions.get(parts[2].replace("~1", "/").replace("~0", "~")) if isinstance(definitions, dict) else None
    return target if isinstance(target, dict) else None


def _or_null(schema: JsonDict) -> JsonDict:
    inner = {key: value for key, value in schema.items() if key not in ("default", "description")}
    branches = inner["anyOf"] if len(inner) == 1 and isinstance(inner.get("anyOf"), list) else [inner]
    null = {"type": "null"}
    sentences = [schema["description"]] if isinstance(schema.get("description"), str) else []
    if schema.get("default") is not None:
        default = json.dumps(schema["default"], ensure_ascii=False)
        # Where null is a value of its own, it cannot stand for another.
        sentences.append(f"The default is {default}." if null in branches else f"null stands for {default}.")
    return {
        "anyOf": branches if null in branches else [*branches, null],
        **({"description": " ".join(sentences)} if sentences else {}),
    }


class _NotStrict(Exception):
    """The schema says something that strict mode cannot."""


class _Strict:
    """A schema on its way into strict mode, and what is counted of it."""

    def __init__(self, root: JsonDict, *, limited: bool) -> None:
        self._root, self._limited = root, limited
        self._most_properties, self._most_levels = (100, 5) if limited else (5_000, 10)
        self._properties = self._enum_values = self._characters = 0

    def tightened(self) -> JsonDict:
        tight = self._schema(self._root)
        for name in _DEFINITIONS:
            if name in self._root:
                definitions = self._root[name]
                if not isinstance(definitions, dict):
                    raise _NotStrict
                self._count(characters=sum(map(len, definitions)))
                tight[name] = {key: self._schema(part) for key, part in definitions.items()}
        if _levels(tight, tight, {}) > self._most_levels:
            raise _NotStrict
        _check_branches(tight, tight)
        return tight

    def _schema(self, schema: Any) -> JsonDict:
        if not isinstance(schema, dict) or _NEVER_STRICT & schema.keys():
            raise _NotStrict
        tight = self._tight(schema)
        return {key: tight[key] for key in (*schema, *tight) if key in tight}

    def _tight(self, schema: JsonDict) -> JsonDict:
        if "$ref" in schema:
            # Nothing may stand beside a reference; pydantic puts descriptions and defaults there.
            if _target(self._root, schema["$ref"]) is None:
                raise _NotStrict
            return {"$ref": schema["$ref"]}
        tight = {key: schema[key] for key in _ANNOTATIONS & schema.keys() if isinstance(schema[key], str)}
        if "anyOf" in schema:
            branches = schema["anyOf"]
            # What stands beside branches holds for each of them, which strict mode cannot say.
            beside = schema.keys() & {"type", "enum", "const", "properties", "items"}
            if beside or not isinstance(branches, list) or not branches:
                raise _NotStrict
            return tight | {"anyOf": [self._schema(part) for part in branches]}
        if "enum" in schema or "const" in schema:
            tight |= self._values(schema)
        types = tight.get("type", schema.get("type"))
        several: list[Any] = types if isinstance(types, list) else [types]
        if not several or not all(isinstance(each, str) and each in _KEYWORDS for each in several):
            raise _NotStrict
        tight["type"] = types
        if "object" in several:
            tight |= self._object(schema)
        if "array" in several:
            tight["items"] = self._schema(schema.get("items"))
        return tight | self._constraints(schema, several)

    def _object(self, schema: JsonDict) -> JsonDict:
        properties, required = schema.get("properties"), schema.get("required", [])
        if schema.get("additionalProperties") or not isinstance(properties, dict) or not isinstance(required, list):
            raise _NotStrict
        if any(name not in properties for name in required if not isinstance(name, list | dict)):
            raise _NotStrict
        self._count(properties=len(properties), characters=sum(map(len, properties)))
        tight = {name: self._schema(part) for name, part in properties.items()}
        return {"properties": tight, "required": list(properties), "additionalProperties": False}

    def _values(self, schema: JsonDict) -> JsonDict:
        """Return the values that are allowed, with their types: a schema without a type is refused."""
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        if not isinstance(values, list) or not values or not all(type(value) in _JSON_TYPES for value in values):
            raise _NotStrict
        characters = sum(len(value) for value in values if isinstance(value, str))
        if len(values) > _LONG_ENUM and characters > _MOST_CHARACTERS_OF_A_LONG_ENUM:
            raise _NotStrict
        self._count(enum_values=len(values), characters=characters)
        json_types = list(dict.fromkeys(_JSON_TYPES[type(value)] for value in values))
        types = schema.get("type", json_types[0] if len(json_types) == 1 else json_types)
        return {"type": types} | ({"enum": values} if "enum" in schema else {"const": schema["const"]})

    def _constraints(self, schema: JsonDict, types: Iterable[str]) -> JsonDict:
        if self._limited:
            return {}
        known = {key: schema[key] for kind in types for key in _KEYWORDS[kind] if key in schema}
        return {key: value for key, value in known.items() if _KNOWN_VALUES.get(key, _is_number)(value)}

    def _count(self, *, properties: int = 0, enum_values: int = 0, characters: int = 0) -> None:
        self._properties += properties
        self._enum_values += enum_values
        self._characters += characters
        if (
            self._properties > self._most_properties
            or self._enum_values > _MOST_ENUM_VALUES
            or self._characters > _MOST_CHARACTERS
        ):
            raise _NotStrict


def _levels(schema: JsonDict, root: JsonDict, known: dict[str, int]) -> int:
    """Count how many objects and lists stand within each other. A definition within itself adds none."""
    if (reference := schema.get("$ref")) is not None:
        if reference not in known:
            known[reference] = 0
            known[reference] = _levels(_target(root, reference) or {}, root, known)
        return known[reference]
    within = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    within += [schema["items"]] if "items" in schema else []
    deepest = max((_levels(part, root, known) for part in within), default=0)
    return deepest + ("properties" in schema or "items" in schema)


def _check_branches(schema: Any, root: JsonDict) -> None:
    """Refuse branches of anyOf that are objects with the same first key, unless its value tells them apart."""
    if isinstance(schema, list):
        for part in schema:
            _check_branches(part, root)
    if not isinstance(schema, dict):
        return
    seen: set[tuple[str, str | None]] = set()
    branches = schema["anyOf"] if isinstance(schema.get("anyOf"), list) else []
    for branch in branches:
        target = _target(root, branch["$ref"]) if "$ref" in branch else branch
        properties = (target or {}).get("properties")
        if not isinstance(properties, dict) or not properties:
            continue
        name, first = next(iter(properties.items()))
        constant = json.dumps(first["const"]) if "const" in first else None
        if (
            (name, constant) in seen
            or (name, None) in seen
            or (constant is None and any(key == name for key, _ in seen))
        ):
            raise _NotStrict
        seen.add((name, constant))
    for value in schema.values():
        _check_branches(value, root)


def _is_plain_pattern(pattern: object) -> bool:
    if not isinstance(pattern, str) or _UNKNOWN_TO_STRICT_PATTERNS.search(pattern):
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_KNOWN_VALUES: dict[str, Callable[[Any], bool]] = {
    "format": lambda value: isinstance(value, str) and value in _FORMATS,
    "pattern": _is_plain_pattern,
}


def schema_fields(name: str, schema: JsonDict, *, enforced: bool, limited: bool = False) -> JsonDict:
    """Describe `schema` as both APIs want it: strictly, if that is wanted and `schema` allows it."""
    strict = strict_schema(schema, limited=limited) if enforced else None
    return {"name": name, "schema": strict or with_root(schema), "strict": strict is not None}


def schema_in_words(schema: JsonDict) -> str:
    """Ask for an answer that follows `schema`, from a model whose server cannot enforce it."""
    return (
        "Answer with one JSON object and nothing around it. It must be valid against this JSON schema:\n"
        + json.dumps(schema, ensure_ascii=False)
    )
