"""JSON schemas for answers: the strict form that servers can enforce, and the words for those that cannot."""

from __future__ import annotations

import json
from typing import Any

from agno_nb.types import JsonDict

# What OpenAI's strict mode refuses wherever it stands.
# https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
_NEVER_STRICT = {"oneOf", "not", "if", "patternProperties", "prefixItems", "dependentSchemas", "dependentRequired"}
_NAMED_SCHEMAS = ("properties", "$defs", "definitions")


def strict_schema(schema: JsonDict) -> JsonDict | None:
    """Tighten `schema` into one that a server can enforce, or give None when that would change what it means.

    Every property becomes required and no other is allowed, so whatever follows the result follows `schema` too.

    Examples
    --------
    >>> strict_schema({"type": "object", "properties": {"name": {"type": "string", "default": "Ada"}}})["required"]
    ['name']
    >>> strict_schema({"type": "object", "additionalProperties": {"type": "integer"}}) is None
    True
    """
    if schema.get("type") != "object" or "anyOf" in schema:
        return None
    try:
        tight: JsonDict = _tightened(schema)
        return tight
    except _NotStrict:
        return None


def strict_parameters(schema: JsonDict) -> JsonDict | None:
    """Tighten the parameters of a tool as :func:`strict_schema` does; null then stands for a default.

    Examples
    --------
    >>> strict_parameters({"type": "object", "properties": {"n": {"type": "integer", "default": 3}}})["properties"]["n"]
    {'anyOf': [{'type': 'integer'}, {'type': 'null'}], 'description': 'null stands for 3.'}
    """
    if schema.get("type") != "object":
        return None
    required = schema.get("required", [])
    properties = {
        name: part if name in required else _or_null(part) for name, part in schema.get("properties", {}).items()
    }
    return strict_schema({**schema, "properties": properties})


def _or_null(schema: JsonDict) -> JsonDict:
    inner = {key: value for key, value in schema.items() if key not in ("default", "description")}
    branches = inner.get("anyOf", [inner]) if len(inner) == 1 else [inner]
    null = {"type": "null"}
    said = [schema["description"]] if "description" in schema else []
    if schema.get("default") is not None:
        said.append(f"null stands for {json.dumps(schema['default'], ensure_ascii=False)}.")
    return {
        "anyOf": branches if null in branches else [*branches, null],
        **({"description": " ".join(said)} if said else {}),
    }


class _NotStrict(Exception):
    """The schema says something that strict mode cannot."""


def _tightened(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_tightened(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if _NEVER_STRICT & schema.keys():
        raise _NotStrict
    if "$ref" in schema:
        # Nothing may stand beside a reference; pydantic puts descriptions and defaults there.
        return {"$ref": schema["$ref"]}
    tight: JsonDict = {}
    for key, value in schema.items():
        if key in _NAMED_SCHEMAS:
            tight[key] = {name: _tightened(part) for name, part in value.items()}
        elif key in ("items", "anyOf", "allOf"):
            tight[key] = _tightened(value)
        elif key != "default":
            tight[key] = value
    if schema.get("type") == "object":
        if schema.get("additionalProperties") or "properties" not in schema:
            raise _NotStrict
        tight["additionalProperties"] = False
        tight["required"] = list(schema["properties"])
    return tight


def schema_fields(name: str, schema: JsonDict, *, enforced: bool) -> JsonDict:
    """Describe `schema` as both APIs want it: strictly, if that is wanted and `schema` allows it."""
    strict = strict_schema(schema) if enforced else None
    return {"name": name, "schema": strict or schema, "strict": strict is not None}


def schema_in_words(schema: JsonDict) -> str:
    """Ask for an answer that follows `schema`, from a model whose server cannot enforce it."""
    return (
        "Answer with one JSON object and nothing around it. It must be valid against this JSON schema:\n"
        + json.dumps(schema, ensure_ascii=False)
    )
