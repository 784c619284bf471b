"""The requests that a browser may send to a widget: a table of verbs with small checked values.

A browser never sends SQL, code or HTML, and each field is treated as hostile until it has been checked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from agno_nb.errors import InvalidInputError

Check = Callable[[Any], Any]
"""Returns the value of a field for the handler, or raises ValueError."""
Handler = TypeVar("Handler", bound=Callable[..., Any])
"""A method of a widget: a coroutine function on the event loop, or a function that reads the store on a thread."""

PROMPT_LIMIT = 200_000
"""Characters of a message. Longer texts should be attached as files."""
ID_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Intent:
    """One request that a widget accepts."""

    handler: str
    """Name of the widget's method."""
    fields: Mapping[str, Check]
    max_files: int = 0

    def validate(self, fields_sent: Any) -> dict[str, Any]:
        """Return the checked fields; raise InvalidInputError if one is missing, unknown or invalid."""
        if not isinstance(fields_sent, dict) or set(fields_sent) != set(self.fields):
            names = sorted(map(str, fields_sent)) if isinstance(fields_sent, dict) else type(fields_sent).__name__
            raise InvalidInputError(f"the browser sent {names}, expected {sorted(self.fields)}; reload the page")
        values = {}
        for name, check in self.fields.items():
            try:
                values[name] = check(fields_sent[name])
            except ValueError as expected:
                raise InvalidInputError(f"{name} is {fields_sent[name]!r:.80}; it must be {expected}") from None
        return values


def intent(*, max_files: int = 0, **fields: Check) -> Callable[[Handler], Handler]:
    """Make a widget's method a request handler, under its name without the leading underscore.

    Files are passed as `files`, a list of bytes.
    """

    def mark(handler: Handler) -> Handler:
        handler.__dict__["_intent"] = Intent(handler.__name__, fields, max_files)
        return handler

    return mark


def intents_of(widget: type) -> dict[str, Intent]:
    """Return the requests that a widget class accepts, by verb."""
    handlers = inspect.getmembers_static(widget, lambda member: isinstance(getattr(member, "_intent", None), Intent))
    return {name.removeprefix("_"): handler._intent for name, handler in handlers}


def _checked(is_valid: Callable[[Any], bool], expected: str) -> Check:
    def check(value: Any) -> Any:
        if not is_valid(value):
            raise ValueError(expected)
        return value

    return check


def text(limit: int = PROMPT_LIMIT) -> Check:
    expected = f"a string of at most {limit:,} characters"
    return _checked(lambda value: isinstance(value, str) and len(value) <= limit, expected)


id_value = _checked(
    lambda value: isinstance(value, str) and 0 < len(value) <= ID_LIMIT, f"an id of at most {ID_LIMIT} characters"
)


def count(limit: int) -> Check:
    # True is an int, but not a number.
    return _checked(lambda value: type(value) is int and 0 <= value <= limit, f"a whole number from 0 to {limit:,}")


def one_of(*choices: str) -> Check:
    return _checked(lambda value: value in choices, f"one of {', '.join(choices)}")


def optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def several(check: Check, *, limit: int = 10_000) -> Check:
    is_short_list = _checked(
        lambda values: isinstance(values, list) and len(values) <= limit, f"a list of at most {limit:,} values"
    )
    return lambda values: [check(value) for value in is_short_list(values)]


def named(check: Check, *, limit: int = 100) -> Check:
    is_small_dict = _checked(
        lambda values: isinstance(values, dict) and len(values) <= limit, f"at most {limit} values by name"
    )
    return lambda values: {id_value(name): check(value) for name, value in is_small_dict(values).items()}
