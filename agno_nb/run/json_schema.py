"""Checks that a dict is a JSON schema, before a model is asked for an answer that follows it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from agno_nb._keywords import nearest
from agno_nb.errors import InvalidInputError
from agno_nb.types import JsonDict

_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_PYTHON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array"}
_PYTHON_TYPES |= {"tuple": "array", "dict": "object", "None": "null", "text": "string"}
_SUBSCHEMA = {
    "items",
    "additionalItems",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contains",
}
_SUBSCHEMA |= {"propertyNames", "not", "if", "then", "else"}
_SUBSCHEMA_LIST = {"anyOf", "allOf", "oneOf", "prefixItems"}
_SUBSCHEMAS_BY_NAME = {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}
_COUNTS = {f"{bound}{what}" for bound in ("min", "max") for what in ("Length", "Items", "Properties", "Contains")}
_NUMBERS = {"minimum", "maximum", "multipleOf"}
_TEXTS = {"title", "description", "$schema", "$id", "$anchor", "$dynamicAnchor", "$comment", "format"}
_VALUES = {"default", "examples", "const", "deprecated", "readOnly", "writeOnly", "uniqueItems"}
_OTHERS = {"type", "enum", "required", "pattern", "$ref", "$dynamicRef", "exclusiveMinimum", "exclusiveMaximum"}
_OTHERS |= {"dependentRequired", "dependencies", "contentEncoding", "contentMediaType", "contentSchema", "nullable"}
_KEYWORDS = frozenset().union(
    _SUBSCHEMA, _SUBSCHEMA_LIST, _SUBSCHEMAS_BY_NAME, _COUNTS, _NUMBERS, _TEXTS, _VALUES, _OTHERS
)


def check_json_schema(schema: JsonDict, name: str) -> None:
    """Check what would fail only when the answer is validated, or would be ignored.

    The meta-schema says the same and more, but importing `jsonschema` takes about a second, which would delay the
    request. `OutputSchema` imports it while the model answers.

    Raises
    ------
    InvalidInputError
        It is not a JSON schema. The message names the place, beginning with `name`.
    """
    if schema and _KEYWORDS.isdisjoint(schema):
        raise InvalidInputError(
            f"{name} is {_shown(schema)}, which has no keyword of JSON Schema; describe an object with these keys as "
            "{'type': 'object', 'properties': {...}}"
        )
    try:
        _check(schema, name, schema)
    except RecursionError:
        raise InvalidInputError(f"{name} is nested too deeply; use references to $defs") from None


def _check(schema: Any, place: str, root: JsonDict) -> None:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise _problem(place, schema, "pass a JSON schema: a dict, True or False")
    if isinstance(schema.get("$id"), str):
        root = schema
    for keyword, value in schema.items():
        here = f"{place}[{keyword!r}]"
        if keyword in _SUBSCHEMA and not isinstance(value, list):
            _check(value, here, root)
        elif keyword in _SUBSCHEMA_LIST or (keyword == "items" and isinstance(value, list)):
            if not isinstance(value, list) or not value:
                raise _problem(here, value, "pass a list of JSON schemas")
            for index, part in enumerate(value):
                _check(part, f"{here}[{index}]", root)
        elif keyword in _SUBSCHEMAS_BY_NAME:
            if not isinstance(value, dict):
                raise _problem(here, value, "pass a dict of JSON schemas by name")
            for key, part in value.items():
                _check(part, f"{here}[{key!r}]", root)
        elif keyword == "$ref":
            _check_reference(value, here, root)
        elif keyword == "type":
            _check_type(value, here)
        else:
            _check_value(keyword, value, here)


def _check_type(value: Any, place: str) -> None:
    for each in value if isinstance(value, list) and value else [value]:
        if not isinstance(each, str):
            raise _problem(place, value, f"pass one of {', '.join(_TYPES)}, or a list of them")
        if each not in _TYPES:
            known = _PYTHON_TYPES.get(each)
            hint = f'did you mean "{known}"?' if known else nearest(each, _TYPES)
            raise InvalidInputError(f"{place} is {value!r}, and there is no JSON type {each!r}; {hint}")


def _check_reference(value: Any, place: str, root: JsonDict) -> None:
    if not isinstance(value, str):
        raise _problem(place, value, "pass a reference such as '#/$defs/Name'")
    if not value.startswith("#"):
        if "$id" not in root:
            raise _problem(place, value, "only references within the schema are followed, such as '#/$defs/Name'")
        return
    target: Any = root
    for part in value.split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and key.isdigit() and int(key) < len(target):
            target = target[int(key)]
        elif isinstance(target, dict) and key in target:
            target = target[key]
        else:
            known = [str(each) for each in target] if isinstance(target, dict) else []
            hint = nearest(key, known) if known else "add it"
            raise InvalidInputError(f"{place} is {value!r}, but the schema has no {key!r} there; {hint}")


_Check = tuple[Callable[[Any], bool], str]


def _check_value(keyword: str, value: Any, place: str) -> None:
    if keyword == "pattern" and isinstance(value, str):
        try:
            re.compile(value)
        except re.error as error:
            raise _problem(place, value, f"pass a regular expression that Python's re module reads ({error})") from None
    is_valid, remedy = _CHECKS.get(keyword, _ANYTHING)
    if not is_valid(value):
        raise _problem(place, value, remedy)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_ANYTHING: _Check = (lambda value: True, "")
_CHECKS: dict[str, _Check] = {
    **dict.fromkeys(_NUMBERS, (_is_number, "pass a number")),
    **dict.fromkeys(_COUNTS, (lambda value: _is_number(value) and value >= 0, "pass a number from 0")),
    **dict.fromkeys({*_TEXTS, "pattern"}, (lambda value: isinstance(value, str), "pass a text")),
    "enum": (lambda value: isinstance(value, list), "pass a list of values"),
    "required": (_is_list_of_texts, "pass the list of required properties, next to 'properties'"),
}


def _problem(place: str, value: Any, remedy: str) -> InvalidInputError:
    return InvalidInputError(f"{place} is {_shown(value)}; {remedy}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
