"""JSON objects, times, ids that sort by time, session types, and helpers of the other values."""

from __future__ import annotations

import json
import operator
import os
import threading
import time
import uuid
from collections.abc import Iterable
from enum import StrEnum
from operator import attrgetter
from typing import Any, Generic, Self, TypeVar, overload

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError

JsonDict = dict[str, Any]
T = TypeVar("T")


@suggest_on_unknown_kwarg({})
class Alias(Generic[T]):
    """An attribute that reads and sets another one, by default under agno's name. `path` may have dots."""

    def __init__(self, path: str, doc: str = "") -> None:
        self._get = attrgetter(path)
        self._owner, _, self._name = path.rpartition(".")
        self.__doc__ = doc or f"agno's name for `{path}`."

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any]) -> T: ...

    def __get__(self, instance: object | None, owner: type[Any]) -> Self | T:
        return self if instance is None else self._get(instance)

    def __set__(self, instance: object, value: T) -> None:
        setattr(attrgetter(self._owner)(instance) if self._owner else instance, self._name, value)


class Flag(int):
    """A truth value that may be called too: agno has some flags as methods and others, of the same name, as attributes.

    Examples
    --------
    >>> Flag(True), Flag(False)()
    (True, False)
    """

    def __call__(self) -> bool:
        return bool(self)

    def __repr__(self) -> str:
        return repr(bool(self))


def whole_number(name: str, value: Any, *, least: int | None = None) -> int | None:
    """Return a setting that is an integer (also of NumPy) or None.

    Raises
    ------
    InvalidInputError
        It is something else, or less than `least`.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__") or (least is not None and value < least):
        from_least = "" if least is None else f" from {least}"
        raise InvalidInputError(f"{name} is {value!r}; pass a whole number{from_least}, or None for no limit")
    return operator.index(value)


def new_id() -> str:
    """Return a lower-case id of 36 characters that sorts by creation time (UUID version 7, RFC 9562 section 5.7)."""
    milliseconds = time.time_ns() // 1_000_000
    bits = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    bits = bits & ~(0xF << 76) | 7 << 76
    bits = bits & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=bits))


_LARGEST_STEP_BACK = 1_000_000
_last_time = 0
"""In microseconds, the unit of times in stores."""
_time_lock = threading.Lock()


def now() -> float:
    """Return the Unix time in seconds, at least a microsecond after the previous result.

    Times therefore increase even if the clock has a coarse resolution or is set back by less than a second. If it is
    set back further, its new time is used.
    """
    global _last_time
    with _time_lock:
        found = round(time.time() * 1_000_000)
        if 0 <= _last_time - found < _LARGEST_STEP_BACK:
            found = _last_time + 1
        _last_time = found
        return found / 1_000_000


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_time_lock.acquire, after_in_parent=_time_lock.release, after_in_child=_time_lock.release
    )


class SessionType(StrEnum):
    """The kind of a session, and of the agent, team or workflow that runs in it."""

    AGENT = "agent"
    TEAM = "team"
    WORKFLOW = "workflow"


def with_article(noun: str) -> str:
    """Return `noun` with the article that its first letter suggests.

    Examples
    --------
    >>> [with_article(kind) for kind in SessionType]
    ['an agent', 'a team', 'a workflow']
    """
    return f"{'an' if noun[:1].lower() in set('aeiou') else 'a'} {noun}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, which takes an "s" in the plural.

    Examples
    --------
    >>> counted(1, "turn"), counted(2_000, "turn")
    ('1 turn', '2,000 turns')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shorten(text: str, limit: int) -> str:
    """Return `text`, ending in "…" if it has more than `limit` characters.

    Examples
    --------
    >>> [shorten("penguins", 8), shorten("penguins", 5)]
    ['penguins', 'peng…']
    """
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def one_line(text: str, limit: int) -> str:
    """Return `text` on one line, shortened to `limit` characters."""
    return shorten(" ".join(text.split()), limit)


def with_type(value: object) -> str:
    """Return the beginning of the repr of `value` and its type, for an error message.

    Examples
    --------
    >>> with_type(3)
    '3 of type int'
    """
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{one_line(repr(value), 80)} of type {name}"


def brief(text: str | None) -> str:
    """Return `text` quoted, and shortened to 60 characters, for a repr."""
    return repr(text if text is None else shorten(text, 60))


def to_plain_text(value: Any) -> str:
    """Return ``str(value)``, or a placeholder if that raises."""
    try:
        return str.__str__(str(value))
    except Exception as error:
        return f"({type(value).__name__} that cannot be shown: {type(error).__name__})"


def as_dict(value: object) -> JsonDict:
    """Return `value` if it is a JSON object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return `value` if it is a list, otherwise an empty one."""
    return value if isinstance(value, list) else []


def json_object(text: str) -> JsonDict | None:
    """Return the JSON object written in `text`, or None if it is something else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_deeper(value: Any, levels: int) -> bool:
    """Whether a JSON value is nested more than `levels` deep. Deep values need no more stack than flat ones."""
    parts = [value]
    for _ in range(levels + 1):
        parts = [part for whole in parts for part in _parts(whole)]
        if not parts:
            return False
    return True


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()
