"""Convert values to SQL parameters: JSON as text, without API keys, and limited to what every backend can store.

Unpaired surrogates, and NUL, which Postgres rejects, become U+FFFD.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from enum import StrEnum
from numbers import Integral, Real
from typing import Any

from agno_nb.errors import InvalidInputError
from agno_nb.redact import SHORTEST_SECRET, whole_characters
from agno_nb.types import is_deeper

Row = dict[str, Any]
Redact = Callable[[str], str]

JSON_COLUMNS = frozenset(
    "context details dtypes extra metadata provider_data requirements session_state shape state_changes topics".split()
)
_PROVIDER_COLUMNS = {"extra", "provider_data"}
_OF_USERS = {"details", "dtypes", "metadata", "session_state", "topics"}
"""JSON columns with values of users. Their keys are checked."""
_MAX_DEPTH = 200
"""Levels of nesting. Python copies and compares values recursively, up to about 1,000 calls deep."""
_SEALED = re.compile(r"[\w+/=-]{256,}")
"""Encrypted or signed text of a provider. It may look like an API key by chance, and must be sent back unchanged."""

_FIRST_YEAR = 1900


def to_sql(value: Any) -> Any:
    """Return a parameter as every backend can store it. Surrogate pairs become their character."""
    if not isinstance(value, str) or (type(value) is str and value.isascii() and "\0" not in value):
        return value
    return str(whole_characters(value).replace("\0", "\ufffd"))


def micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def check_choice(name: str, value: str | None, choices: Collection[str]) -> None:
    """Raise an InvalidInputError if an argument is neither None nor one of `choices`."""
    if value is not None and not (isinstance(value, str) and value in choices):
        raise InvalidInputError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")


def encode_row(row: Row, redact: Redact) -> Row:
    """Return a row as it is stored.

    IDs are keys of rows and stay as they are. `redact` removes API keys from all other text, and from each value of
    JSON separately: cutting a key out of JSON text could remove a quote with it.
    """
    stored = {}
    for name, value in row.items():
        if value is None:
            pass
        elif name in JSON_COLUMNS:
            value = _to_redacted_json(value, name, redact)
        elif isinstance(value, str):
            is_member = type(value) is not str and isinstance(value, StrEnum)
            if type(value) is not str:
                # Its text: str() of a member of (str, Enum) is its name.
                value = str.__str__(value)
            if not is_member and len(value) >= SHORTEST_SECRET and name != "role" and not name.endswith("_id"):
                value = _redact_text(value, redact)
            if not value.isascii() or "\0" in value:
                value = to_sql(value)
        stored[name] = value
    return stored


def _redact_text(value: str, redact: Redact) -> str:
    cleaned = redact(value)
    # JSON has many ways to write a key with special characters, and each of them has a backslash.
    if cleaned == value and "\\" not in value:
        return value
    try:
        parsed = json.loads(value)
        redacted = _redact_values(parsed, redact)
    except (ValueError, RecursionError):
        return cleaned
    return cleaned if redacted == parsed and cleaned == value else json.dumps(redacted, ensure_ascii=False)


def check_json_object(value: Any, name: str) -> None:
    """Raise an InvalidInputError if an argument is not a dict that can be stored as JSON."""
    if not isinstance(value, dict):
        raise InvalidInputError(f"{name} is {value!r}; pass a dict")
    to_json(value, name)


def check_ids(required: str | None = None, /, **ids: Any) -> None:
    """Raise an InvalidInputError if an ID is not a string, like a number from a DataFrame, or is empty.

    The ID named `required` cannot be None either, which would match every row.
    """
    for name, value in ids.items():
        if value is None and name == required:
            raise InvalidInputError(f"{name} is None; pass an ID")
        if value is not None and not isinstance(value, str):
            own = getattr(value, name, None)  # Of a run, a session or a row.
            remedy = f"its {name}, {own!r}" if isinstance(own, str) else f"{name}=str(...), or None"
            raise InvalidInputError(f"{name} is {value!r}, and ids are text: give {remedy}")
        if value == "":
            raise InvalidInputError(f"{name} is empty; pass a non-empty string, or None")


def to_json(value: Any, name: str, *, is_of_user: bool = True) -> str:
    """Return `value` as JSON text. `name` is its name in errors.

    Raise an InvalidInputError that names the part if the value cannot be represented as JSON, is nested too deeply, or
    is a user's and has keys that are not strings.
    """
    problem: str | None = None
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        # Counting brackets is fast, and gives an upper bound of the depth because it includes those in strings.
        if text.count("[") + text.count("{") > _MAX_DEPTH and is_deeper(value, _MAX_DEPTH):
            problem = _depth_problem(name)
        elif is_of_user:
            problem = _find_key_problem(value, name)
    except RecursionError:
        problem = _depth_problem(name)
    except BaseException as error:  # A subclass of dict or list may raise anything.
        if is_interrupt(error):
            raise
        problem = _find_culprit(value, name, error)
    if problem is not None:
        raise InvalidInputError(f"{problem}. Use only strings, numbers, lists and dicts there.") from None
    return text


def is_readable(text: str, *, of: Any) -> bool:
    """Whether `text`, the JSON of a value, would be read as the same value.

    It would not if the value is nested too deeply, or has keys that are not strings, which JSON turns into strings.
    """
    try:
        return not is_deeper(json.loads(text), _MAX_DEPTH) and _find_key_problem(of, "") is None
    except BaseException as error:  # The value may raise anything.
        if is_interrupt(error):
            raise
        return False


def is_interrupt(error: BaseException) -> bool:
    """Whether `error` is Ctrl-C, which only the main thread gets, and not raised by a user's value."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def _depth_problem(name: str) -> str:
    return f"{name} is nested more than {_MAX_DEPTH} levels deep"


def _find_key_problem(value: Any, name: str) -> str | None:
    """Describe the first key that is not a string in a value that JSON can represent; return None if there is none."""
    is_dict = isinstance(value, dict)
    for key, part in value.items() if is_dict else enumerate(value) if isinstance(value, list | tuple) else ():
        if is_dict and not isinstance(key, str):
            return _key_problem(key, name)
        if isinstance(part, dict | list | tuple):
            problem = _find_key_problem(part, f"{name}[{key!r}]")
            if problem is not None:
                return problem
    return None


def _key_problem(key: Any, name: str) -> str:
    return f"{name} has the key {key!r} of type {type(key).__name__}, but JSON keys are strings, such as {str(key)!r}"


def _find_culprit(value: Any, name: str, error: BaseException) -> str:
    try:
        return _find_unserializable(value, name)
    except BaseException as failure:  # Its repr may raise, for example.
        if is_interrupt(failure):
            raise
        return f"{name} cannot be written as JSON ({type(error).__name__})"


def _to_redacted_json(value: Any, name: str, redact: Redact) -> Any:
    text = to_json(value, name, is_of_user=name in _OF_USERS)

    def redact_unsealed(text: str) -> str:
        return text if _SEALED.fullmatch(text) else redact(text)

    # Hardly any value holds a key. Without a backslash, JSON text contains every string of the value literally.
    if "\\" in text or redact(text) != text:
        cleaned = _redact_values(value, redact_unsealed if name in _PROVIDER_COLUMNS else redact)
        if cleaned != value:
            text = json.dumps(cleaned, ensure_ascii=False)
    return text if text.isascii() and "\0" not in text else to_sql(text)


def _redact_values(value: Any, redact: Redact) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {_redact_values(key, redact): _redact_values(part, redact) for key, part in value.items()}
    return [_redact_values(part, redact) for part in value] if isinstance(value, list | tuple) else value


def _find_unserializable(value: Any, name: str, above: tuple[int, ...] = ()) -> str:
    """Describe the part of `value` that JSON cannot represent. `above` has the ids of the values that contain it."""
    if id(value) in above:
        return f"{name} is of type {type(value).__name__} and contains itself"
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                return _key_problem(key, name)
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    for key, part in parts:
        try:
            json.dumps(part, allow_nan=False)
        except (TypeError, ValueError):
            return _find_unserializable(part, f"{name}[{key!r}]", (*above, id(value)))
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name} is {value!r}, which JSON cannot represent"
    return f"{name} is of type {type(value).__name__} and cannot be written as JSON{_conversion(value)}"


def _conversion(value: Any) -> str:
    """Return how to convert a scalar or array of numpy or pandas, as a clause."""
    if isinstance(value, Integral):
        return "; use int(...)"
    if isinstance(value, Real):
        return "; use float(...)"
    return "; use .tolist()" if hasattr(value, "tolist") else ""


def from_json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def parse_time_us(moment: Any, name: str) -> int:
    """Return a time passed by a user as microseconds. Without a time zone, it is in UTC.

    Raise an InvalidInputError for anything but a datetime (of Python, pandas or numpy), a date or a string with one.
    """
    import pandas as pd

    # pandas would read a number as nanoseconds.
    is_time = isinstance(moment, str | date) or getattr(getattr(moment, "dtype", None), "kind", "") == "M"
    time = pd.to_datetime(moment, utc=True, errors="coerce") if is_time else None
    # pandas reads "1h" as an hour of the year 1.
    if not isinstance(time, pd.Timestamp) or time.year < _FIRST_YEAR:
        raise InvalidInputError(f"{name} is {moment!r}; pass a datetime or a string such as '2026-01-31 12:00'")
    return int((time - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(microseconds=1))
