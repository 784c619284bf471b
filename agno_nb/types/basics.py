"""What the other values are made of: JSON objects, times, ids that sort by time, the kinds of session."""

from __future__ import annotations

import operator
import os
import threading
import time
import uuid
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from agno_nb.errors import InvalidInputError

JsonDict = dict[str, Any]


def whole_number(name: str, value: Any, *, least: int | None = None) -> int | None:
    """Return a setting that is a whole number, one of NumPy too, or None.

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
    """Make a text id that sorts by time of creation (UUID version 7, RFC 9562 section 5.7).

    Returns
    -------
    str
        36 characters, lower case.
    """
    milliseconds = time.time_ns() // 1_000_000
    bits = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    bits = bits & ~(0xF << 76) | 7 << 76
    bits = bits & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=bits))


_LARGEST_STEP_BACK = 1_000_000
_last_time = 0
"""In microseconds, which is how stores keep times."""
_time_lock = threading.Lock()


def now() -> float:
    """Return the time in unix seconds, a microsecond or more after that of the call before.

    A clock that stands still for some milliseconds, or is set back by less than a second, thus gives times in the order
    in which they were asked for. A clock that is set back further is followed: a wrong time should not last.
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
    """The three kinds of session, and so of whatever runs in one."""

    AGENT = "agent"
    TEAM = "team"
    WORKFLOW = "workflow"


def with_article(noun: str) -> str:
    """Return `noun` with "a" or "an" in front, by its first letter.

    Examples
    --------
    >>> [with_article(kind) for kind in SessionType]
    ['an agent', 'a team', 'a workflow']
    """
    return f"{'an' if noun[:1].lower() in set('aeiou') else 'a'} {noun}"


def brief(text: str | None) -> str:
    """Return `text` as the reprs of values show it: quoted, and cut where it is long."""
    return repr(text if text is None or len(text) <= 60 else text[:59] + "…")


def to_plain_text(value: Any) -> str:
    """Return ``str(value)``, or a placeholder if that raises."""
    try:
        return str.__str__(str(value))
    except Exception as error:
        return f"({type(value).__name__} that cannot be shown: {type(error).__name__})"


def is_deeper(value: Any, levels: int) -> bool:
    """Whether a JSON value is nested more than `levels` deep. It takes no more of the stack than a flat value."""
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
