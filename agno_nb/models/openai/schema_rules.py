"""JSON schemas without the keywords that a server refuses, by its `SchemaRules`.

A rewritten schema allows more values than the original, against which answers and arguments are validated. Lost values
of an ``enum`` are named in the description. One thing is narrowed: a list of anything becomes a list of strings,
because Gemini requires the type of the items.
"""

from __future__ import annotations

import json
from typing import Any

from agno_nb.models.openai.profiles import SchemaRules
from agno_nb.models.openai.schema import definition
from agno_nb.types import JsonDict, as_list

_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords whose values are schemas by name."""
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE_SCHEMAS = (
    *("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"),
    *("unevaluatedProperties", "unevaluatedItems", "additionalItems"),
)

MAX_INLINED = 1_000
"""Number of references that are replaced. Definitions that refer to each other several times would grow without end."""


def rewrite_schema(schema: JsonDict, rules: SchemaRules | None) -> JsonDict:
    """Return `schema` in the form that a server accepts.

    ``const`` becomes ``enum``, ``oneOf`` becomes ``anyOf``, lists of types become ``anyOf`` or ``nullable``, and
    references are replaced by their definitions. In a recursive schema, a reference to a schema within itself becomes
    a value whose description names that schema, and so does any reference after the first `MAX_INLINED`. Other
    refused keywords are left out.

    Examples
    --------
    >>> rewrite_schema({"const": "a"}, SchemaRules(refused=frozenset({"const"})))
    {'enum': ['a']}
    >>> rewrite_schema({"type": ["string", "null"]}, SchemaRules(type_lists=False))
    {'anyOf': [{'type': 'string'}, {'type': 'null'}]}
    """
    return schema if rules is None else _Rewriter(schema, rules).rewrite(schema)


class _Rewriter:
    def __init__(self, root: JsonDict, rules: SchemaRules) -> None:
        self._root, self._rules = root, rules
        self._open: list[str] = []
        """References to the definitions around the current schema."""
        self._num_inlined = 0

    def rewrite(self, schema: Any) -> Any:
        if not isinstance(schema, dict):  # True or False.
            return schema if self._rules.keywords is None else {}
        reference = schema.get("$ref")
        if isinstance(reference, str) and not self._rules.accepts("$ref"):
            return self._inlined(schema, reference)
        accepts = self._rules.accepts
        schema = dict(schema)
        if "const" in schema and not accepts("const"):
            schema["enum"] = [schema.pop("const")]
        if "oneOf" in schema and not accepts("oneOf"):
            schema["anyOf"] = [*as_list(schema.get("anyOf")), *as_list(schema.pop("oneOf"))]
        if "allOf" in schema and not accepts("allOf"):
            schema = self._merged(schema)
            if "$ref" in schema:
                return self.rewrite(schema)
        types = schema.get("type")
        if isinstance(types, list) and not self._rules.type_lists:
            return self._of_types(schema, types)
        if "enum" in schema and self._rules.only_string_enums:
            schema = _with_string_enum(schema)
        if schema.get("type") == "array" and not schema.get("items") and self._rules.keywords is not None:
            schema["items"] = {"type": "string"}
        formats = self._rules.formats
        if formats is not None and schema.get("format") not in formats:
            schema.pop("format", None)
        return {key: self._value(key, value) for key, value in schema.items() if accepts(key)}

    def _value(self, key: str, value: Any) -> Any:
        if key in _SCHEMAS and isinstance(value, dict):
            return {name: self.rewrite(part) for name, part in value.items()}
        if key in _LISTS and isinstance(value, list):
            return [self.rewrite(part) for part in value]
        return self.rewrite(value) if key in _SINGLE_SCHEMAS else value

    def _inlined(self, schema: JsonDict, reference: str) -> Any:
        target = definition(self._root, reference)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        if target is None:
            return self.rewrite(beside)
        self._num_inlined += 1
        if reference in self._open or target is self._root or self._num_inlined > MAX_INLINED:
            name = reference.rpartition("/")[2].removeprefix("#") or str(self._root.get("title", "the whole"))
            beside = {**({"type": target["type"]} if "type" in target else {}), **beside}
            return self.rewrite(_described(beside, f"Of the same form as {name}, of which it is a part."))
        self._open.append(reference)
        inlined = self.rewrite({**target, **beside})
        self._open.pop()
        return inlined

    def _merged(self, schema: JsonDict) -> JsonDict:
        """Return a schema with the parts of its ``allOf`` merged into it."""
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        parts = [part for part in as_list(schema["allOf"]) if isinstance(part, dict)]
        if len(parts) == 1:
            return {**parts[0], **merged}
        for part in parts:
            target = definition(self._root, part.get("$ref")) if part.get("$ref") not in self._open else None
            for key, value in (target or part).items():
                if key == "properties":
                    merged[key] = {**value, **merged.get(key, {})}
                elif key == "required":
                    merged[key] = list(dict.fromkeys([*merged.get(key, []), *value]))
                elif key != "$ref":
                    merged.setdefault(key, value)
        return merged

    def _of_types(self, schema: JsonDict, types: list[Any]) -> Any:
        others = [each for each in types if each != "null"]
        if len(others) == 1 and self._rules.keywords is not None and self._rules.accepts("nullable"):
            nullable = {"nullable": True} if "null" in types else {}
            return self.rewrite({**schema, "type": others[0], **nullable})
        shared = {key: schema[key] for key in ("title", "description", "default") if key in schema}
        own = {key: value for key, value in schema.items() if key not in (*shared, "type")}
        branches = [{"type": each} if each == "null" else {"type": each, **own} for each in types]
        return self.rewrite({**shared, "anyOf": branches})


def _with_string_enum(schema: JsonDict) -> JsonDict:
    """Return a schema whose ``enum``, if it has one, has strings only; other values are listed in the description."""
    values = as_list(schema["enum"])
    texts = [value for value in values if isinstance(value, str)]
    if texts and all(isinstance(value, str | None) for value in values):
        nullable = {"nullable": True} if len(texts) < len(values) else {}
        return {**schema, "type": "string", "enum": texts, **nullable}
    schema = {key: value for key, value in schema.items() if key != "enum"}
    return _described(schema, f"One of {', '.join(json.dumps(value, ensure_ascii=False) for value in values)}.")


def _described(schema: JsonDict, sentence: str) -> JsonDict:
    return {**schema, "description": " ".join(filter(None, (schema.get("description"), sentence)))}
