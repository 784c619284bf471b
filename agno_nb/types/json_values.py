"""JSON values in text around which a model wrote something else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_START = re.compile(r'\{\s{0,100}["}]|\[\s{0,100}["{\[\]\w-]')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[{}\[\]]', re.DOTALL)
_STRICT, _LENIENT = json.JSONDecoder(), json.JSONDecoder(strict=False)


class JsonText(NamedTuple):
    """A JSON object or array in a text."""

    text: str
    """The JSON, without unescaped control characters."""
    value: Any
    end: int
    """Where it ends in the text around it."""


def find_json(text: str) -> Iterator[JsonText]:
    """Yield the JSON objects and arrays in a text, but not those within another one or within an invalid object.

    Takes linear time: after many attempts at text that only resembles JSON, the rest is not searched.

    Examples
    --------
    >>> [found.value for found in find_json('Not {this}, but {"a": {"b": "}"}} or [1].')]
    [{'a': {'b': '}'}}, [1]]
    """
    place, budget = 0, 50 * len(text) + 100_000
    while budget > 0 and (start := _START.search(text, place)) is not None:
        place = start.start()
        found, read = json_at(text, place)
        if found is None:
            # The parser's error counts lines from the start of the text.
            budget -= place + read
            place = _end_of_brackets(text, place) if text[place] == "{" else place + 1
        else:
            place = found.end
            yield found


def _end_of_brackets(text: str, place: int) -> int:
    """Return where the bracket at `place` is closed, or the length of the text."""
    depth = 0
    for token in _TOKEN.finditer(text, place):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if not depth:
            return token.end()
    return len(text)


def json_at(text: str, place: int) -> tuple[JsonText | None, int]:
    """Return the JSON value that starts at `place`, or None, and the number of characters that were read for it.

    Models often write line breaks in strings without escaping them.
    """
    try:
        value, end = _STRICT.raw_decode(text, place)
        return JsonText(text[place:end], value, end), end - place
    except RecursionError:
        return None, len(text)
    except ValueError as error:
        if not str(error).startswith("Invalid control character"):
            # An unterminated string was read to the end.
            is_string = str(error).startswith("Unterminated")
            return None, len(text) - place if is_string else getattr(error, "pos", len(text)) - place + 1
    try:
        value, end = _LENIENT.raw_decode(text, place)
    except (ValueError, RecursionError):
        return None, len(text) - place
    return JsonText(json.dumps(value, ensure_ascii=False), value, end), end - place
