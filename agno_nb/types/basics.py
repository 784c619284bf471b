"""What the other values are made of: JSON objects, ids that sort by time, the kinds of session."""

from __future__ import annotations

import os
import time
import uuid
from enum import StrEnum
from typing import Any

JsonDict = dict[str, Any]


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
