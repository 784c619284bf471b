"""A check of OpenAI's rules for `strict: true`, for which a server would return HTTP 400.

https://platform.openai.com/docs/guides/structured-outputs#supported-schemas. With ``azure=True`` Azure's, which has
lower limits and no constraints: https://learn.microsoft.com/azure/ai-services/openai/how-to/structured-outputs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

JsonDict = dict[str, Any]

_EVERYWHERE = {"type", "title", "description", "enum", "const"}
_BY_TYPE = {
    "string": {"pattern", "format"},
    "number": {"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "integer": {"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
    "boolean": set(),
    "null": set(),
    "array": {"items", "minItems", "maxItems"},
    "object": {"properties", "required", "additionalProperties"},
}
_STRUCTURE = {"items", "properties", "required", "additionalProperties"}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}


def strict_problems(schema: JsonDict, *, azure: bool = False) -> list[str]:
    """Say everything that is wrong with a schema that is sent as strict."""
    return list(_Check(schema, azure=azure).problems())


class _Check:
    def __init__(self, root: JsonDict, *, azure: bool) -> None:
        self.root, self.azure = root, azure
        self.properties = self.enum_values = self.characters = 0

    def problems(self) -> Iterator[str]:
        if self.root.get("type") != "object" or "anyOf" in self.root or "$ref" in self.root:
            yield "the root is not an object"
            return
        definitions = {name: part for key in ("$defs", "definitions") for name, part in self.root.get(key, {}).items()}
        for name, part in definitions.items():
            self.characters += len(name)
            yield from self.schema(part, f"$defs.{name}")
        bare = {key: value for key, value in self.root.items() if key not in ("$defs", "definitions")}
        yield from self.schema(bare, "root")
        if self.properties > (100 if self.azure else 5_000):
            yield f"{self.properties} properties"
        if self.enum_values > 1_000:
            yield f"{self.enum_values} values of enums"
        if self.characters > 120_000:
            yield f"{self.characters} characters of names and values"
        if (levels := self.levels(self.root, frozenset())) > (5 if self.azure else 10):
            yield f"{levels} levels"

    def schema(self, schema: Any, at: str) -> Iterator[str]:
        if not isinstance(schema, dict):
            yield f"{at} is {schema!r}"
        elif "$ref" in schema:
            if len(schema) > 1:
                yield f"{at}: $ref has neighbours {sorted(schema)}"
            if self.target(schema["$ref"]) is None:
                yield f"{at}: {schema['$ref']} is not defined"
        elif "anyOf" in schema:
            yield from self.union(schema, at)
        elif "type" not in schema:
            yield f"{at}: schema must have a 'type' key"
        else:
            yield from self.typed(schema, at)

    def union(self, schema: JsonDict, at: str) -> Iterator[str]:
        if extra := schema.keys() - {"anyOf", "title", "description"}:
            yield f"{at}: {sorted(extra)} beside anyOf"
        if not schema["anyOf"]:
            yield f"{at}: anyOf is empty"
        firsts: dict[str, list[Any]] = {}
        for place, branch in enumerate(schema["anyOf"]):
            yield from self.schema(branch, f"{at}.anyOf.{place}")
            target = (self.target(branch["$ref"]) if "$ref" in branch else branch) or {}
            for name, part in list(target.get("properties", {}).items())[:1]:
                firsts.setdefault(name, []).append(part)
        for name, parts in firsts.items():
            told = [part.get("const") for part in parts if "const" in part]
            if len(parts) > 1 and (len(told) < len(parts) or len(set(map(repr, told))) < len(told)):
                yield f"{at}: objects of anyOf share the first key {name!r}"

    def typed(self, schema: JsonDict, at: str) -> Iterator[str]:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not types or any(each not in _BY_TYPE for each in types):
            yield f"{at}: type {schema['type']!r}"
            return
        known = _EVERYWHERE.union(*(_BY_TYPE[each] for each in types))
        if self.azure:
            known &= _EVERYWHERE | _STRUCTURE
        if extra := schema.keys() - known:
            yield f"{at}: {sorted(extra)} not permitted"
        if "format" in schema and schema["format"] not in _FORMATS:
            yield f"{at}: {schema['format']!r} is not a valid format"
        if "pattern" in schema and re.search(r"\(\?[=!<]", schema["pattern"]):
            yield f"{at}: look-around in {schema['pattern']!r}"
        yield from self.values(schema, at)
        if "array" in types:
            yield from self.schema(schema.get("items"), f"{at}.items")
        if "object" in types:
            yield from self.object(schema, at)

    def values(self, schema: JsonDict, at: str) -> Iterator[str]:
        values = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if values is None:
            return
        if not values or any(isinstance(value, list | dict) for value in values):
            yield f"{at}: enum {values!r}"
        characters = sum(len(value) for value in values if isinstance(value, str))
        self.enum_values += len(values)
        self.characters += characters
        if len(values) > 250 and characters > 15_000:
            yield f"{at}: an enum of {characters} characters"

    def object(self, schema: JsonDict, at: str) -> Iterator[str]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            yield f"{at}: no properties"
            return
        if schema.get("additionalProperties") is not False:
            yield f"{at}: 'additionalProperties' is required to be supplied and to be false"
        if sorted(schema.get("required", [])) != sorted(properties):
            yield f"{at}: 'required' must include every key in properties"
        self.properties += len(properties)
        for name, part in properties.items():
            self.characters += len(name)
            yield from self.schema(part, f"{at}.{name}")

    def target(self, reference: str) -> JsonDict | None:
        if reference == "#":
            return self.root
        _, _, rest = reference.partition("#/")
        where, _, name = rest.partition("/")
        found = self.root.get(where, {}).get(name) if where in ("$defs", "definitions") else None
        return found if isinstance(found, dict) else None

    def levels(self, schema: Any, above: frozenset[str]) -> int:
        if not isinstance(schema, dict):
            return 0
        if (reference := schema.get("$ref")) is not None:
            return 0 if reference in above else self.levels(self.target(reference), above | {reference})
        parts = [*schema.get("properties", {}).values(), *schema.get("anyOf", []), schema.get("items")]
        deepest = max((self.levels(part, above) for part in parts), default=0)
        return deepest + (bool({"properties", "items"} & schema.keys()))
