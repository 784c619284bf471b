"""Read JSON schemas, and make the smallest value that one allows. `jsonschema` decides what a schema allows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from agno_nb.models.demo.context import as_dict, as_list
from agno_nb.models.demo.tokenizer import words
from agno_nb.types import JsonDict

MAX_DEPTH = 8
"""Levels of nesting after which optional parts are omitted, so that recursive schemas end."""

FORMATS = {
    "date": "2000-01-01", "date-time": "2000-01-01T00:00:00Z", "time": "00:00:00Z", "duration": "P1D",
    "email": "demo@example.com", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
    "uri": "https://example.com/", "uuid": "00000000-0000-4000-8000-000000000000",
}  # fmt: skip
_PATTERN_SAMPLES = ("a", "A", "0", "00", "000", "0000", "aaa", "AAA", "AA-000", "A1")


class Schema:
    """A JSON schema, with the root that its references point into."""

    def __init__(self, schema: Any, root: JsonDict, depth: int = 0) -> None:
        self.root = root
        self.depth = depth
        self.keys = _resolve(schema, root)

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
    def type(self) -> str:
        """The JSON type; "" if any is allowed."""
        if isinstance(kind := self.keys.get("type"), str):
            return kind
        is_array = "items" in self.keys or "prefixItems" in self.keys
        return "object" if "properties" in self.keys else "array" if is_array else ""

    @property
    def choices(self) -> list[Any]:
        """The values of ``const`` or ``enum``; of the items' for an array."""
        if self.type == "array" and isinstance(self.keys.get("items"), dict):
            return Schema(self.keys["items"], self.root).choices
        return [self.keys["const"]] if "const" in self.keys else as_list(self.keys.get("enum"))

    @property
    def properties(self) -> JsonDict:
        return as_dict(self.keys.get("properties"))

    @property
    def required(self) -> list[str]:
        return [name for name in as_list(self.keys.get("required")) if isinstance(name, str)]

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
            return next((number for number in self._small_numbers() if self.allows(number)), 0)
        if self.type in ("boolean", "null"):
            return False if self.type == "boolean" else None
        form, made_up = FORMATS.get(str(self.keys.get("format"))), f"demo {' '.join(words(name))}".strip()
        for candidate in (form, made_up, *(_PATTERN_SAMPLES if "pattern" in self.keys else ())):
            if candidate and self.allows(candidate):
                return candidate
        text = made_up.ljust(int(min(self.bound("minLength", 0), 100_000)), ".")
        return text[: int(min(self.bound("maxLength", math.inf), len(text)))]

    def _small_numbers(self) -> Iterator[int | float]:
        """Numbers near 0, near the bounds and between them."""
        low = max(self.bound("minimum", -math.inf), self.bound("exclusiveMinimum", -math.inf))
        high = min(self.bound("maximum", math.inf), self.bound("exclusiveMaximum", math.inf))
        step = self.bound("multipleOf", 1) or 1
        first_multiple = step * math.ceil(low / step) if math.isfinite(low) else 0
        for candidate in (0, low, high, first_multiple, low + step, high - step, (low + high) / 2):
            if math.isfinite(candidate):
                yield int(candidate) if candidate == int(candidate) else candidate


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
