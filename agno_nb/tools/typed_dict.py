"""``typing.TypedDict`` as a type that pydantic takes: on Python 3.11 it wants that of ``typing_extensions``."""

from __future__ import annotations

import sys
import types
import typing
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, NotRequired, Required, get_args, get_origin, get_type_hints, is_typeddict

import typing_extensions


def with_known_typed_dicts(hint: Any) -> Any:
    """Return `hint` with every ``typing.TypedDict`` in it replaced by an equal one that pydantic knows.

    Raises
    ------
    NameError
        A key's type is not defined.
    """
    # https://docs.pydantic.dev/dev/errors/usage_errors/#typed-dict-version
    return hint if sys.version_info >= (3, 12) else _replaced(hint, {})


def _replaced(hint: Any, made: dict[Any, Any]) -> Any:
    if is_typeddict(hint) and type(hint).__module__ == "typing":
        return made.get(hint) or _made(hint, made)
    origin, parts = get_origin(hint), get_args(hint)
    if not parts or origin is Literal:
        return hint
    replaced = tuple(_replaced(part, made) for part in parts[: 1 if origin is Annotated else None])
    if all(new is old for new, old in zip(replaced, parts, strict=False)):
        return hint
    if origin is Annotated:
        described: Any = Annotated  # Type checkers know only literal metadata.
        return described[(*replaced, *parts[1:])]
    if origin in (typing.Union, types.UnionType):
        return reduce(or_, replaced)
    return hint.copy_with(replaced) if hasattr(hint, "copy_with") else origin[replaced]


def _made(original: Any, made: dict[Any, Any]) -> Any:
    make: Any = typing_extensions.TypedDict  # Type checkers know only literal ones.
    made[original] = typed = make(original.__name__, {})
    keys, required = {}, set()
    for name, hint in get_type_hints(original, include_extras=True).items():
        marked = get_origin(hint) in (Required, NotRequired)
        # Where annotations are text, the class itself takes a key that is marked so for a required one.
        if get_origin(hint) is Required or (not marked and name in original.__required_keys__):
            required.add(name)
        keys[name] = _replaced(get_args(hint)[0] if marked else hint, made)
    # Only now, because a key may be of the same type.
    typed.__annotations__ = keys
    typed.__required_keys__, typed.__optional_keys__ = frozenset(required), frozenset(keys.keys() - required)
    typed.__doc__, typed.__module__ = original.__doc__, original.__module__
    if hasattr(original, "__pydantic_config__"):
        typed.__pydantic_config__ = original.__pydantic_config__
    return typed
