"""What a tool returned, as the text that the model is told."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

MAX_ROWS = 20


def to_text(value: Any) -> str:
    """Write `value` for a model: text as it is, a DataFrame as its first rows, other things as JSON where they can be.

    Examples
    --------
    >>> to_text({"mean": 3.5, "species": ["Adelie"]})
    '{"mean": 3.5, "species": ["Adelie"]}'
    >>> to_text(None)
    'null'
    """
    if isinstance(value, str):
        return value
    if hasattr(value, "model_dump_json"):
        return str(value.model_dump_json())
    if hasattr(value, "to_csv"):  # A pandas DataFrame or Series.
        rows = len(value)
        shown = value.head(MAX_ROWS).to_csv()
        return f"{shown}({rows} rows, the first {MAX_ROWS} are shown)" if rows > MAX_ROWS else shown.rstrip("\n")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # A numpy scalar or array.
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return str(value)
