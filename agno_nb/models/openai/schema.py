"""JSON schemas of answers and tool parameters in the strict form that servers enforce."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from agno_nb.types import JsonDict

# https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
_NUMBER_KEYWORDS = ("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_KEYWORDS: dict[str, tuple[str, ...]] = {
    "string": ("pattern", "format"),
    "number": _NUMBER_KEYWORDS,
    "integer": _NUMBER_KEYWORDS,
    "boolean": (),
    "null": (),
    "array": ("minItems", "maxItems"),
    "object": (),
}
"""The types of strict mode, with their keywords other than `properties` and `items`."""
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
# Without these keywords, the schema would have another meaning. Other keywords that strict mode doesn't support only
# narrow a value, which is validated later.
_NEVER_STRICT = {
    *("allOf", "oneOf", "not", "if", "then", "else", "patternProperties", "prefixItems", "propertyNames", "contains"),
    *("dependentSchemas", "dependentRequired", "dependencies", "unevaluatedProperties", "unevaluatedItems"),
    *("additionalItems", "$dynamicRef", "$recursiveRef"),
}
_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_DEFINITIONS = ("$defs", "definitions")
# Look-around and back-references. A character class with "(?" is rejected too, although it is valid.
_UNKNOWN_TO_STRICT_PATTERNS = re.compile(r"\(\?(?!:)|\\[1-9kAZzGpPbB]|[*+?}][+]")
_MAX_ENUM_VALUES, _MAX_CHARACTERS = 1_000, 120_000
_LONG_ENUM, _MAX_CHARACTERS_OF_LONG_ENUM = 250, 15_000


def strict_schema(schema: JsonDict, *, limited: bool = False) -> JsonDict | None:
    """Convert `schema` to strict mode, or return None if that would change its meaning.

    All properties become required, and no others are allowed. Keywords that strict mode doesn't support, for example
    ``maxLength``, are dropped. Otherwise every value that matches the result matches `schema`. `limited` stands for the
    limits of Azure: no constraints, 100 properties, 5 levels.

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
    """Convert the parameters of a tool like :func:`strict_schema`; null then stands for a default.

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
    """Resolve a reference at the top of a schema, where servers require an object.

    Examples
    --------
    >>> node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    >>> with_root({"$ref": "#/$defs/Node", "$defs": {"Node": node}}) == {**node, "$defs": {"Node": node}}
    True
    """
    target = definition(schema, schema.get("$ref"))
    if target is None or "$ref" in target:
        return schema
    return {**{key: value for key, value in schema.items() if key != "$ref"}, **target}


def definition(root: JsonDict, reference: object) -> JsonDict | None:
    """Return the schema in `root` that a reference stands for, or None."""
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
        # If null is already a value, it cannot stand for the default.
        sentences.append(f"The default is {default}." if null in branches else f"null stands for {default}.")
    return {
        "anyOf": branches if null in branches else [*branches, null],
        **({"description": " ".join(sentences)} if sentences else {}),
    }


class _NotStrict(Exception):
    """Strict mode cannot express the schema."""


class _Strict:
    """Converts a schema to strict mode, within the limits of properties, values and characters."""

    def __init__(self, root: JsonDict, *, limited: bool) -> None:
        self._root, self._limited = root, limited
        max_properties, self._max_levels = (100, 5) if limited else (5_000, 10)
        self._room = {"properties": max_properties, "enum_values": _MAX_ENUM_VALUES, "characters": _MAX_CHARACTERS}

    def tightened(self) -> JsonDict:
        tight = self._schema(self._root)
        for name in (name for name in _DEFINITIONS if name in self._root):
            definitions = self._root[name]
            if not isinstance(definitions, dict):
                raise _NotStrict
            self._count(characters=sum(map(len, definitions)))
            tight[name] = {key: self._schema(part) for key, part in definitions.items()}
        if _levels(tight, tight, {}) > self._max_levels:
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
            # References have no other keywords in strict mode; pydantic adds descriptions and defaults.
            if definition(self._root, schema["$ref"]) is None:
                raise _NotStrict
            return {"$ref": schema["$ref"]}
        tight = {key: schema[key] for key in ("title", "description") if isinstance(schema.get(key), str)}
        if "anyOf" in schema:
            branches = schema["anyOf"]
            # Strict mode has no keywords next to anyOf, where they would apply to each branch.
            siblings = schema.keys() & {"type", "enum", "const", "properties", "items"}
            if siblings or not isinstance(branches, list) or not branches:
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
        """Return the allowed values and their types, because strict mode requires a type."""
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        if not isinstance(values, list) or not values or not all(type(value) in _JSON_TYPES for value in values):
            raise _NotStrict
        characters = sum(len(value) for value in values if isinstance(value, str))
        if len(values) > _LONG_ENUM and characters > _MAX_CHARACTERS_OF_LONG_ENUM:
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

    def _count(self, **sizes: int) -> None:
        for name, size in sizes.items():
            self._room[name] -= size
            if self._room[name] < 0:
                raise _NotStrict


def _levels(schema: JsonDict, root: JsonDict, known: dict[str, int]) -> int:
    """Return the nesting depth of objects and lists. Recursive definitions count once."""
    if (reference := schema.get("$ref")) is not None:
        if reference not in known:
            known[reference] = 0
            known[reference] = _levels(definition(root, reference) or {}, root, known)
        return known[reference]
    within = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    within += [schema["items"]] if "items" in schema else []
    deepest = max((_levels(part, root, known) for part in within), default=0)
    return deepest + ("properties" in schema or "items" in schema)


def _check_branches(schema: Any, root: JsonDict) -> None:
    """Raise if branches of anyOf are objects with the same first key, unless its value distinguishes them."""
    if isinstance(schema, list):
        for part in schema:
            _check_branches(part, root)
    if not isinstance(schema, dict):
        return
    seen: dict[str, set[str | None]] = {}
    for branch in schema["anyOf"] if isinstance(schema.get("anyOf"), list) else []:
        target = definition(root, branch["$ref"]) if "$ref" in branch else branch
        properties = (target or {}).get("properties")
        if not isinstance(properties, dict) or not properties:
            continue
        name, first = next(iter(properties.items()))
        constant = json.dumps(first["const"]) if "const" in first else None
        constants = seen.setdefault(name, set())
        if constants and (constant is None or constants & {constant, None}):
            raise _NotStrict
        constants.add(constant)
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
    """Describe `schema` for either API, in strict mode if it is enabled and possible."""
    strict = strict_schema(schema, limited=limited) if enforced else None
    return {"name": name, "schema": strict or with_root(schema), "strict": strict is not None}
