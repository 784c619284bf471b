"""What a browser may ask of a panel: a verb of a table, with small checked values. Nothing else gets further.

A browser never sends SQL, code or HTML. What it sends is taken for hostile until each field was looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from agno_nb.errors import InvalidInputError

Check = Callable[[Any], Any]
"""Returns the value of a field as the handler gets it, or raises ValueError."""
Handler = TypeVar("Handler", bound=Callable[..., Coroutine[Any, Any, Any]])

PROMPT_LIMIT = 200_000
"""Characters of a message. A whole book is a file, not a message."""
ID_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Intent:
    """One row of a panel's table."""

    handler: str
    """Name of the panel's method."""
    fields: Mapping[str, Check]
    max_files: int = 0
    """How many files may come with it."""

    def validate(self, fields_sent: Any) -> dict[str, Any]:
        """Return the fields as the handler takes them.

        Raises
        ------
        InvalidInputError
            A field is missing, unknown or is not what it should be.
        """
        if not isinstance(fields_sent, dict) or set(fields_sent) != set(self.fields):
            names = sorted(map(str, fields_sent)) if isinstance(fields_sent, dict) else type(fields_sent).__name__
            raise InvalidInputError(f"the panel sent {names}, and {sorted(self.fields)} are needed: reload the page")
        values = {}
        for name, check in self.fields.items():
            try:
                values[name] = check(fields_sent[name])
            except ValueError as wrong:
                raise InvalidInputError(f"{name} is {fields_sent[name]!r:.80}; it must be {wrong}") from None
        return values


def intent(*, max_files: int = 0, **fields: Check) -> Callable[[Handler], Handler]:
    """Put a method of a panel into its table, under its own name without the leading underscore.

    A method that takes files gets them as `files`, a list of bytes.
    """

    def mark(handler: Handler) -> Handler:
        handler.__dict__["_intent"] = Intent(handler.__name__, fields, max_files)
        return handler

    return mark


def table_of(panel: type) -> dict[str, Intent]:
    """Return the table of a panel: its verbs and what they take."""
    members = {name: member for owner in reversed(panel.__mro__) for name, member in vars(owner).items()}
    return {
        name.removeprefix("_"): member.__dict__["_intent"]
        for name, member in members.items()
        if "_intent" in getattr(member, "__dict__", {})
    }


def text(limit: int = PROMPT_LIMIT) -> Check:
    """Take a text of at most `limit` characters."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > limit:
            raise ValueError(f"a text of at most {limit:,} characters")
        return value

    return check


def id_value(value: Any) -> str:
    """Take the id of something in the store."""
    if not isinstance(value, str) or not 0 < len(value) <= ID_LIMIT:
        raise ValueError(f"an id of at most {ID_LIMIT} characters")
    return value


def count(limit: int) -> Check:
    """Take a whole number from 0 to `limit`."""

    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
            raise ValueError(f"a whole number from 0 to {limit:,}")
        return value

    return check


def one_of(*choices: str) -> Check:
    """Take one of a few words."""

    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return str(value)

    return check


def optional(check: Check) -> Check:
    """Take None too."""
    return lambda value: None if value is None else check(value)


def several(check: Check, *, limit: int = 10_000) -> Check:
    """Take a list of at most `limit` values."""

    def check_all(values: Any) -> list[Any]:
        if not isinstance(values, list) or len(values) > limit:
            raise ValueError(f"a list of at most {limit:,} values")
        return [check(value) for value in values]

    return check_all


def named(check: Check, *, limit: int = 100) -> Check:
    """Take values by name."""

    def check_all(values: Any) -> dict[str, Any]:
        if not isinstance(values, dict) or len(values) > limit:
            raise ValueError(f"at most {limit} values by name")
        return {id_value(name): check(value) for name, value in values.items()}

    return check_all
