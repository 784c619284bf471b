"""Values as dicts that JSON can represent, and back. :class:`DictMethods` has the methods of the values."""

from __future__ import annotations

import base64
import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Self, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from agno_nb.types.basics import JsonDict, to_plain_text

T = TypeVar("T")

NOT_IN_DICTS: Mapping[str, bool] = {"is_in_dict": False}
"""Metadata of a field that is not in dicts."""


def to_dict(value: Any, *, leave_out: frozenset[str] = frozenset()) -> JsonDict:
    """Return the fields of a dataclass as a dict, without those that are None. Bytes are in base64."""
    names = [each.name for each in fields(value) if each.init and each.metadata.get("is_in_dict", True)]
    found = {name: getattr(value, name) for name in names if name not in leave_out}
    return {name: _plain(field) for name, field in found.items() if field is not None}


def from_dict(cls: type[T], data: Mapping[str, Any]) -> T:
    """Return the dataclass whose fields are in a dict of :func:`to_dict`. Other keys are ignored."""
    hints = _hints(cast(Any, cls))
    known = {name: _value(hints[name], value) for name, value in data.items() if name in hints}
    return cls(**known)


class DictMethods:
    """The methods of a dataclass that convert it to a dict or JSON, and back."""

    __slots__ = ()

    def to_dict(self) -> JsonDict:
        """Return the value as a dict that JSON can represent, without what is None."""
        return to_dict(self)

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return :meth:`to_dict` as a JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=indent)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the value of a dict of :meth:`to_dict`. Other keys are ignored."""
        return from_dict(cls, data)


def _plain(value: Any) -> Any:
    if isinstance(value, DictMethods):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return to_plain_text(value)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    from agno_nb import types as namespace

    # Modules import some of the classes for type checking only.
    hints = get_type_hints(cls, localns=vars(namespace))
    return {each.name: hints[each.name] for each in fields(cls) if each.init}


def _value(hint: Any, value: Any) -> Any:
    """Convert a part of a dict to the type that a field has."""
    kind, parts = get_origin(hint), get_args(hint)
    if value is None:
        return None
    if kind in (Union, types.UnionType):
        # An optional value, or one of several plain ones.
        wanted = [part for part in parts if part is not type(None)]
        return _value(wanted[0], value) if len(wanted) == 1 else value
    if kind in (list, tuple, Sequence) and isinstance(value, list):
        of_parts = [_value(parts[0], part) for part in value] if parts else value
        return tuple(of_parts) if kind is tuple else of_parts
    if kind is dict and isinstance(value, Mapping):
        return {key: _value(parts[1], part) for key, part in value.items()}
    if not isinstance(hint, type):
        return value
    if issubclass(hint, DictMethods) and isinstance(value, Mapping):
        return hint.from_dict(value)
    if is_dataclass(hint) and isinstance(value, Mapping):
        return from_dict(cast(type[Any], hint), value)
    if issubclass(hint, Enum):
        return hint(value)
    return base64.b64decode(value) if hint is bytes and isinstance(value, str) else value
