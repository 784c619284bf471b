"""JSON schemas of servers: which ones can be used, and checks of values that end soon.

A server that is not trusted can send a schema whose check takes for ever: regular expressions, which Python cannot
interrupt, and references that multiply. So patterns are left to the server, and a check ends after a number of steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import Any

from agno_nb.redact import displayable
from agno_nb.types import JsonDict, import_jsonschema, shorten

MAX_SCHEMA = 100_000
"""Length limit of a schema as JSON, which is part of each request."""
_MAX_STEPS = 200_000
"""Limit of a check: the keywords that are evaluated, and the parts of their values and of the checked objects."""
_UNCHECKED = ("pattern", "patternProperties", "unevaluatedItems", "unevaluatedProperties", "uniqueItems")
"""Keywords that take regular expressions, or more steps than can be counted."""
_steps_left: ContextVar[list[int]] = ContextVar("agno_nb_mcp_steps_left")


class _CheckTooLong(Exception):
    """A check has taken too many steps."""


def schema_problem(schema: JsonDict) -> str | None:
    """Return why a schema cannot be used: it is not valid, has references that lead nowhere, or is too long."""
    try:
        if len(json.dumps(schema)) > MAX_SCHEMA:
            return f"its schema has more than {MAX_SCHEMA:,} characters"
        import_jsonschema().validators.validator_for(schema).check_schema(schema)
        if schema.get("type", "object") != "object" or not isinstance(schema.get("properties", {}), dict):
            return "its schema does not describe an object"
        return _reference_problem(schema)
    except RecursionError:
        return "its schema is nested too deeply"
    except Exception as error:
        return f"its schema is not valid: {shorten(displayable(str(error)).partition(chr(10))[0], 200)}"


def _reference_problem(schema: JsonDict) -> str | None:
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012, specification_with

    references = _references(schema)
    if any(not each.startswith("#") for each in references):
        return "its schema refers to another document"
    specification = specification_with(str(schema.get("$schema", "")), default=DRAFT202012)
    resource = specification.create_resource(schema)
    address = resource.id() or ""
    resolver = Registry().with_resource(address, resource).resolver(address)
    for each in references:
        try:
            resolver.lookup(each)
        except Unresolvable:
            return f"its schema refers to {displayable(shorten(each, 100))!r}, which it does not have"
    return None


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [found for each in schema for found in _references(each)]
    if not isinstance(schema, dict):
        return []
    own = [value for key, value in schema.items() if key in ("$ref", "$dynamicRef") and isinstance(value, str)]
    return own + [found for each in schema.values() for found in _references(each)]


def problems(schema: JsonDict, value: Any) -> list[Any]:
    """Return the errors of a value as those of jsonschema. They may be incomplete, as described above."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = _limited(import_jsonschema().validators.validator_for(schema))
    # Within a schema, "$schema" would choose another validator.
    errors = kind(_without_dialects(schema), registry=Registry()).iter_errors(value)
    token = _steps_left.set([_MAX_STEPS])
    found: list[Any] = []
    try:
        found.extend(errors)  # Which keeps those before an exception.
    except (_CheckTooLong, Unresolvable, RecursionError):
        pass  # The server checks its arguments too.
    finally:
        _steps_left.reset(token)
    return found


def _without_dialects(schema: Any) -> Any:
    if isinstance(schema, dict):
        parts = {key: _without_dialects(value) for key, value in schema.items()}
        return {key: value for key, value in parts.items() if key != "$schema" or not isinstance(value, str)}
    return [_without_dialects(each) for each in schema] if isinstance(schema, list) else schema


@cache
def _limited(validator: Any) -> Any:
    """Return a class of validators that counts its steps."""
    keywords = {name: _counted(check) for name, check in validator.VALIDATORS.items()}
    unchecked = dict.fromkeys(_UNCHECKED, lambda *_: ())
    return import_jsonschema().validators.extend(
        validator, {**keywords, "additionalProperties": _additional(keywords), **unchecked}
    )


def _counted(check: Callable[..., Any]) -> Callable[..., Any]:
    def counted(validator: Any, wanted: Any, value: Any, schema: Any) -> Any:
        steps_left = _steps_left.get()
        sized = [each for each in (wanted, value) if isinstance(each, dict | list)]
        steps_left[0] -= 1 + sum(map(len, sized))
        if steps_left[0] < 0:
            raise _CheckTooLong
        return check(validator, wanted, value, schema)

    return counted


def _additional(keywords: dict[str, Any]) -> Callable[..., Any]:
    def additional(validator: Any, wanted: Any, value: Any, schema: Any) -> Any:
        # Which properties are additional depends on the patterns.
        has_patterns = "patternProperties" in schema
        return () if has_patterns else keywords["additionalProperties"](validator, wanted, value, schema)

    return additional
