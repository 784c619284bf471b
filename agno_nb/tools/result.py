"""What a tool returned, as the text that the model is told."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from agno_nb.redact import whole_characters
from agno_nb.tools.describe import describe
from agno_nb.types import Media, to_plain_text

MAX_ROWS = 20
"""Rows of a DataFrame that the model is shown."""

MAX_CHARACTERS = 20_000
"""Of JSON and of what an object says of itself. Text is told whole: its author meant it for the model."""


def to_text(value: Any) -> str:
    """Write `value` for a model: text as it is, a DataFrame as its first rows, other things as JSON where they can be.

    Examples
    --------
    >>> to_text({"mean": 3.5, "species": ["Adelie"]})
    '{"mean": 3.5, "species": ["Adelie"]}'
    >>> to_text(None)
    'null'
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return whole_characters(value)
    described = describe(value, first_rows=MAX_ROWS)
    if described is None:
        described = _describe_binary(value)
    if described is None:
        try:
            described = json.dumps(value, ensure_ascii=False, default=_to_jsonable)
        except Exception:
            # A dict whose keys are no text, or a part of itself, or whatever a method of the value raises.
            described = to_plain_text(value)
    described = whole_characters(described)
    if len(described) > MAX_CHARACTERS:
        return f"{described[:MAX_CHARACTERS]}… (cut: the first {MAX_CHARACTERS:,} of {len(described):,} characters)"
    return described


def _describe_binary(value: Any) -> str | None:
    """Say what bytes, figures and pictures are, which a model cannot read as text; None for anything else."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value):,} bytes, which are not shown. The user's program has them."
    if isinstance(value, Media):
        return f"{value!r}, which is not shown. The user's program has it."
    if hasattr(value, "savefig") or hasattr(value, "_repr_png_") or hasattr(value, "to_plotly_json"):
        return f"{_repr_without_address(value)}, which is not shown. The user's program has it."
    return None


def _repr_without_address(value: Any) -> str:
    """Write an object without its address, which says nothing and changes from run to run."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", to_plain_text(value))


def _to_jsonable(value: Any) -> Any:
    """Give what JSON can hold in place of `value`, and whose parts are asked for in turn."""
    if hasattr(value, "model_dump"):  # A pydantic model.
        return value.model_dump(mode="json")
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not isinstance(value, Media):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if (described := describe(value, first_rows=MAX_ROWS)) is not None:
        # A short array among other values is told as the list that it is.
        return value.tolist() if hasattr(value, "ndim") and value.ndim == 1 and value.size <= MAX_ROWS else described
    if hasattr(value, "tolist"):  # A number of NumPy.
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    return _describe_binary(value) or _repr_without_address(value)
