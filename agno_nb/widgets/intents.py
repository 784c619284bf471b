"""The requests that a browser may send to a widget: a table of verbs with small checked values.

A browser never sends SQL, code or HTML, and each field is treated as hostile until it has been checked.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from agno_nb.errors import InvalidInputError

Check = Callable[[Any], Any]
"""Returns the value of a field for the handler, or raises ValueError."""
Handler = TypeVar("Handler", bound=Callable[..., Coroutine[Any, Any, Any]])

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
        """Return the checked fields.

        Raises
        ------
        InvalidInputError
            A field is missing, unknown or invalid.
        """
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
    members = {name: member for owner in reversed(widget.__mro__) for name, member in vars(owner).items()}
    return {
        name.removeprefix("_"): member.__dict__["_intent"]
        for name, member in members.items()
        if "_intent" in getattr(member, "__dict__", {})
    }


def text(limit: int = PROMPT_LIMIT) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > limit:
            raise ValueError(f"a string of at most {limit:,} characters")
        return value

    return check


def id_value(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= ID_LIMIT:
        raise ValueError(f"an id of at most {ID_LIMIT} characters")
    return value


def count(limit: int) -> Check:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
            raise ValueError(f"a whole number from 0 to {limit:,}")
        return value

    return check


def one_of(*choices: str) -> Check:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return str(value)

    return check


def optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def several(check: Check, *, limit: int = 10_000) -> Check:
    def check_all(values: Any) -> list[Any]:
        if not isinstance(values, list) or len(values) > limit:
            raise ValueError(f"a list of at most {limit:,} values")
        return [check(value) for value in values]

    return check_all


def named(check: Check, *, limit: int = 100) -> Check:
    def check_all(values: Any) -> dict[str, Any]:
        if not isinstance(values, dict) or len(values) > limit:
            raise ValueError(f"at most {limit} values by name")
        return {id_value(name): check(value) for name, value in values.items()}

    return check_all
