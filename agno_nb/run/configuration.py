"""The settings of an agent, team or workflow as a dict that can be saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

from agno_nb.redact import is_secret_name, redact
from agno_nb.types import JsonDict, as_dict


class Configuration:
    """Methods that write and read the settings as data."""

    def to_dict(self: Any) -> JsonDict:
        """Return the settings that differ from their defaults as JSON, without secrets.

        Functions, tools, members, steps, stores, managers and schemas are objects of the program and left out. Pass
        them to :meth:`from_dict`.
        """
        config: JsonDict = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if not each.init or value is None or value == each.default:
                continue
            if (described := self._described(value)) is not None:
                config[each.name] = described
            elif _is_json(value) and each.name != "dependencies":
                config[each.name] = _without_secrets(value)
        return config

    @staticmethod
    def _described(value: Any) -> JsonDict | None:
        """Return an object among the settings as data, or None to leave it out."""
        return None

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], **settings: Any) -> Self:
        """Create an object from a dict of :meth:`to_dict`, with the settings that it leaves out.

        Raises
        ------
        UnknownArgumentError
            A name is not a setting.
        """
        return cls(**{**config, **settings})

    def set_id(self: Any) -> None:
        """Set `id` to the ID that is derived from the name, if it is not set."""
        self.id = self.component_id


def _without_secrets(value: Any) -> Any:
    """Return a copy of a JSON value in which text has no keys, and dicts have no entries with names of secrets."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: _without_secrets(part) for name, part in value.items() if not is_secret_name(name)}
    return [_without_secrets(part) for part in value] if isinstance(value, list | tuple) else value


def _is_json(value: Any) -> bool:
    """Whether a value has no other parts than those of JSON."""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_json(part) for name, part in as_dict(value).items())
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str) or type(value) in (int, float, bool)
