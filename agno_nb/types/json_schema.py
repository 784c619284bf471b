"""Import of the library jsonschema without a second of waiting."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_GRAMMAR = "rfc3987_syntax"
"""Checks the formats ``iri`` and ``iri-reference``. JupyterLab installs it."""


def import_jsonschema() -> Any:
    """Return the module ``jsonschema``.

    jsonschema imports the optional `rfc3987_syntax`, which takes up to two seconds to build a grammar, although
    validators check formats only if told to. It gets a stand-in, which builds the grammar when a format is checked.
    """
    if "jsonschema" in sys.modules or _GRAMMAR in sys.modules or (spec := find_spec(_GRAMMAR)) is None:
        return import_module("jsonschema")
    stand_in = ModuleType(_GRAMMAR)
    stand_in.__spec__ = spec
    stand_in.is_valid_syntax = _is_valid_syntax  # type: ignore[attr-defined]
    sys.modules[_GRAMMAR] = stand_in
    try:
        return import_module("jsonschema")
    finally:
        # Another thread may have its own there.
        if sys.modules.get(_GRAMMAR) is stand_in:
            del sys.modules[_GRAMMAR]


def _is_valid_syntax(term: str, value: str) -> Any:
    return import_module(_GRAMMAR).is_valid_syntax(term, value)
