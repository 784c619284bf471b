"""From values to the parameters of a statement: JSON as text, no keys in it, and only what every backend can hold.

Surrogates that do not make a pair, and NUL, which Postgres refuses, become U+FFFD.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from enum import StrEnum
from numbers import Integral, Real
from typing import Any, TypeVar

from agno_nb.errors import InvalidInputError
from agno_nb.redact import whole_characters
from agno_nb.types import is_deeper

Row = dict[str, Any]
Redact = Callable[[str], str]
Choice = TypeVar("Choice", bound=StrEnum)

JSON_COLUMNS = frozenset(
    "context details dtypes extra metadata provider_data requirements session_state shape state_changes topics".split()
)
_PROVIDER_COLUMNS = {"extra", "provider_data"}
_OF_USERS = {"details", "dtypes", "metadata", "session_state", "topics"}
"""JSON columns of values that are not ours. Their keys are checked."""
_MAX_DEPTH = 200
"""Levels of nesting. Python copies and compares values recursively, up to about 1,000 calls deep."""
_SEALED = re.compile(r"[\w+/=-]{256,}")
"""What a provider gives us encrypted or signed. It may look like a key by chance, and has to come back whole."""

_FIRST_YEAR = 1900


def to_sql(value: Any) -> Any:
    """Return a parameter as every backend can hold it. Surrogates that make a pair become their character."""
    if not isinstance(value, str) or (type(value) is str and value.isascii() and "\0" not in value):
        return value
    return str(whole_characters(value).replace("\0", "\ufffd"))


def micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def timestamp_micros(seconds: float, name: str) -> int:
    """Return unix seconds that a user gave, as they are stored. `name` is what an error calls them.

    Raises
    ------
    InvalidInputError
        They are no number.
    """
    if not isinstance(seconds, int | float):
        raise InvalidInputError(f"{name} is {seconds!r}; give unix seconds, as a datetime's .timestamp() returns them")
    return micros(seconds)


def validate_choice(kind: type[Choice], value: str, name: str) -> Choice:
    """Return the member of `kind` whose value is `value`.

    Raises
    ------
    InvalidInputError
        There is none. `name` is what the message calls the argument.
    """
    try:
        return kind(value)
    except ValueError:
        raise InvalidInputError(f"{name} is {value!r}; it must be one of {', '.join(kind)}") from None


def encode_row(row: Row, redact: Redact) -> Row:
    """Return a row as it is stored.

    Ids are names, by which rows are found, and stay as they are. From all other text `redact` takes the keys; from
    JSON value by value, because a key that is cut out of JSON text may take a quote along.

    Raises
    ------
    InvalidInputError
        A value cannot be written as JSON.
    """
    # Most values of a row are null.
    return {name: None if value is None else to_sql(_encode_value(name, value, redact)) for name, value in row.items()}


def _encode_value(name: str, value: Any, redact: Redact) -> Any:
    if name in JSON_COLUMNS:
        return _to_json(value, name, redact)
    # The members of our enums are not text of anybody.
    if type(value) is not str or name == "role" or name.endswith("_id"):
        return value
    cleaned = redact(value)
    # JSON has many ways to write a key that is no plain word, and each of them has a backslash.
    if cleaned == value and "\\" not in value:
        return value
    try:
        parsed = json.loads(value)
        redacted = _redact_keys(parsed, redact)
    except (ValueError, RecursionError):
        return cleaned
    return cleaned if redacted == parsed and cleaned == value else json.dumps(redacted, ensure_ascii=False)


def check_json_object(value: Any, name: str) -> None:
    """Check that a value is a dict that can be stored as JSON.

    Raises
    ------
    InvalidInputError
        It is not. `name` is what the message calls it.
    """
    if not isinstance(value, dict):
        raise InvalidInputError(f"{name} is {value!r}; pass a dict")
    to_json(value, name)


def check_ids(**ids: Any) -> None:
    """Check that ids are text: a number from a DataFrame would not be found again as what the store has of it.

    Raises
    ------
    InvalidInputError
        One is not, or is empty.
    """
    for name, value in ids.items():
        if value is not None and not isinstance(value, str):
            own = getattr(value, name, None)  # Of a run, a session or a row.
            remedy = f"its {name}, {own!r}" if isinstance(own, str) else f"{name}=str(...), or None"
            raise InvalidInputError(f"{name} is {value!r}, and ids are text: give {remedy}")
        if value == "":
            raise InvalidInputError(f"{name} is empty; pass a non-empty string, or None")


def to_json(value: Any, name: str, *, is_of_user: bool = True) -> str:
    """Return `value` as JSON text.

    Raises
    ------
    InvalidInputError
        JSON cannot hold it, or it is nested too deeply. The message names the part by `name`. In a value of a user,
        keys that are not text are refused too.
    """
    problem: str | None = None
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        # Brackets are counted first, because that is fast. Those in texts count too: it is only an upper bound.
        if text.count("[") + text.count("{") > _MAX_DEPTH and is_deeper(value, _MAX_DEPTH):
            problem = _depth_problem(name)
        elif is_of_user:
            problem = _find_key_problem(value, name)
    except RecursionError:
        problem = _depth_problem(name)
    except BaseException as error:  # Also whatever a class that derives from dict or list raises.
        if is_interrupt(error):
            raise
        problem = _find_culprit(value, name, error)
    if problem is not None:
        raise InvalidInputError(f"{problem}. Keep only text, numbers, lists and dicts there.") from None
    return text


def is_readable(text: str, *, of: Any) -> bool:
    """Whether `text`, which was written of a value, is JSON that is read again as that value.

    It is not if the value is nested too deeply, or has keys that are not text, which would come back as text.
    """
    try:
        return not is_deeper(json.loads(text), _MAX_DEPTH) and _find_key_problem(of, "") is None
    except BaseException as error:  # Also whatever the value raises.
        if is_interrupt(error):
            raise
        return False


def is_interrupt(error: BaseException) -> bool:
    """Whether `error` is Ctrl-C, which only the main thread gets, and was not raised by a user's value."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def _depth_problem(name: str) -> str:
    return f"{name} is nested more than {_MAX_DEPTH} levels deep"


def _find_key_problem(value: Any, name: str) -> str | None:
    """Describe a key that is not text in a value that JSON can hold; None if there is none."""
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
    return f"{name} has the key {key!r} of type {type(key).__name__}, and keys in JSON are text, such as {str(key)!r}"


def _find_culprit(value: Any, name: str, error: BaseException) -> str:
    try:
        return _find_unserializable(value, name)
    except BaseException as failure:  # Its repr raises, say.
        if is_interrupt(failure):
            raise
        return f"{name} cannot be written as JSON ({type(error).__name__})"


def _to_json(value: Any, name: str, redact: Redact) -> str:
    text = to_json(value, name, is_of_user=name in _OF_USERS)

    # Nearly no value holds a key. In JSON text without a backslash every text of the value stands as it is.
    if "\\" not in text and redact(text) == text:
        return text

    def but_sealed(text: str) -> str:
        return text if _SEALED.fullmatch(text) else redact(text)

    cleaned = _redact_keys(value, but_sealed if name in _PROVIDER_COLUMNS else redact)
    return text if cleaned == value else json.dumps(cleaned, ensure_ascii=False)


def _redact_keys(value: Any, redact: Redact) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {_redact_keys(key, redact): _redact_keys(part, redact) for key, part in value.items()}
    return [_redact_keys(part, redact) for part in value] if isinstance(value, list | tuple) else value


def _find_unserializable(value: Any, name: str, above: tuple[int, ...] = ()) -> str:
    """Say which part of `value` JSON cannot hold. `above` are the ids of what it is a part of."""
    if id(value) in above:
        return f"{name} is the {type(value).__name__} that it is a part of"
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
        return f"{name} is {value!r}, which JSON cannot hold"
    return f"{name} is of type {type(value).__name__} and cannot be written as JSON{_conversion(value)}"


def _conversion(value: Any) -> str:
    """Return how to convert a scalar or an array of numpy or pandas, as a clause."""
    if isinstance(value, Integral):
        return "; use int(...)"
    if isinstance(value, Real):
        return "; use float(...)"
    return "; use .tolist()" if hasattr(value, "tolist") else ""


def from_json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def parse_time_us(moment: Any, name: str) -> int:
    """Return a time that a user gave, as it is stored. `name` is what an error calls it.

    Raises
    ------
    InvalidInputError
        It is neither a datetime (of Python, pandas or numpy), a date nor text of one. One without a zone is in UTC.
    """
    import pandas as pd

    # A number would be taken for nanoseconds, which nobody means.
    is_time = isinstance(moment, str | date) or getattr(getattr(moment, "dtype", None), "kind", "") == "M"
    time = pd.to_datetime(moment, utc=True, errors="coerce") if is_time else None
    # A text as "1h" is read as an hour of the year 1.
    if not isinstance(time, pd.Timestamp) or time.year < _FIRST_YEAR:
        raise InvalidInputError(f"{name} is {moment!r}; give a datetime, or a text as '2026-01-31 12:00'")
    return int((time - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(microseconds=1))
