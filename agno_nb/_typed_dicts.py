"""TypedDicts that pydantic accepts on all versions of Python."""

from __future__ import annotations

import sys
import types
import typing
from functools import reduce
from operator import or_
from typing import Any, Literal, NotRequired, Required, get_args, get_origin, is_typeddict

from typing_extensions import TypedDict


def with_known_typed_dicts(hint: Any) -> Any:
    """Replace each ``typing.TypedDict`` in `hint`: on Python 3.11 pydantic requires the ``typing_extensions`` version.

    https://docs.pydantic.dev/dev/errors/usage_errors/#typed-dict-version
    """
    return hint if sys.version_info >= (3, 12) else _convert_hint(hint, {})


def _convert_hint(hint: Any, converted: dict[Any, Any]) -> Any:
    if is_typeddict(hint) and type(hint).__module__ == "typing":
        return converted.get(hint) or _convert_typed_dict(hint, converted)
    origin, parts = get_origin(hint), get_args(hint)
    if not parts or origin is Literal:
        return hint
    new_parts = tuple(_convert_hint(part, converted) for part in parts[: 1 if origin is typing.Annotated else None])
    if all(new is old for new, old in zip(new_parts, parts, strict=False)):
        return hint
    if origin is typing.Annotated:
        described: Any = typing.Annotated  # Type checkers know only literal metadata.
        return described[(*new_parts, *parts[1:])]
    if origin in (typing.Union, types.UnionType):
        return reduce(or_, new_parts)
    return hint.copy_with(new_parts) if hasattr(hint, "copy_with") else origin[new_parts]


def _convert_typed_dict(original: Any, converted: dict[Any, Any]) -> Any:
    make: Any = TypedDict  # Type checkers know only literal ones.
    converted[original] = typed = make(original.__name__, {})
    keys = {}
    for name, hint in typing.get_type_hints(original, include_extras=True).items():
        marked = get_origin(hint) in (Required, NotRequired)
        # If annotations are strings, the class lists keys marked as NotRequired as required ones.
        is_required = get_origin(hint) is Required or (not marked and name in original.__required_keys__)
        bare = _convert_hint(get_args(hint)[0] if marked else hint, converted)
        keys[name] = Required[bare] if is_required else NotRequired[bare]
    # Assigned last, because a key may have the type itself.
    typed.__annotations__ = keys
    typed.__doc__, typed.__module__ = original.__doc__, original.__module__
    if hasattr(original, "__pydantic_config__"):
        typed.__pydantic_config__ = original.__pydantic_config__
    return typed
