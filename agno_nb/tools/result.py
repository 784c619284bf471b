"""Values as text for a model: results of tools, and DataFrames, Series and arrays in prompts."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from enum import Enum
from itertools import islice
from typing import Any, get_origin

from agno_nb.db.arrow_tables import is_a
from agno_nb.redact import whole_characters
from agno_nb.types import Media, to_plain_text

MAX_ROWS = 20
"""Number of DataFrame rows in the result of a tool."""
MAX_CHARACTERS = 20_000
"""Length limit of JSON and reprs. Strings are not shortened: the tool's author wrote them for the model."""
COLUMN_LIMIT = 100
"""Number of DataFrame columns that are shown."""
NOT_SHOWN = "which is not shown. The user's program has it."
ATTACHED = "whose image is attached."
_FIRST_VALUES = 20
_VALUE_LIMIT = 200


def to_text(value: Any) -> str:
    """Return `value` as text for a model: strings unchanged, the first rows of a DataFrame, other values as JSON.

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
    described = describe(value, first_rows=MAX_ROWS) or _describe_binary(value)
    if described is None:
        try:
            described = json.dumps(value, ensure_ascii=False, default=_to_jsonable)
        except Exception:
            # Keys that are not strings, circular references, or any error of a user's class.
            with _plain_numbers():
                described = to_plain_text(value)
    described = whole_characters(described)
    if len(described) > MAX_CHARACTERS:
        return f"{described[:MAX_CHARACTERS]}… (cut: the first {MAX_CHARACTERS:,} of {len(described):,} characters)"
    return described


def _plain_numbers() -> AbstractContextManager[Any]:
    """Write NumPy's numbers within other values as ``3.5``, and not as ``np.float64(3.5)``."""
    numpy = sys.modules.get("numpy")
    return nullcontext() if numpy is None else numpy.printoptions(legacy="1.21")


_DESCRIPTION = re.compile(
    r"(DataFrame|Series|array of shape).*, .*|.* user's program has (it|them)\.|.* (is|are) (attached|not shown)\.|"
    r"(.*\n)?The result has [\d,]+ [a-z ]+\.|.*… \(cut: the first .*\)|\".*\"",
    re.DOTALL,
)
"""Texts of :func:`to_text` that do not have the whole value. One in quotes was not text, for example a date."""


def from_text(text: str, annotation: Any = Any) -> Any:
    """Return the value for which :func:`to_text` returned `text`, as far as the text has it.

    Parameters
    ----------
    text : str
    annotation : type, optional
        The type of the value. Without it, JSON becomes lists, dicts, numbers and so on, and any other text stays text.

    Raises
    ------
    ValueError
        The text does not have the whole value, for example the first rows of a DataFrame.

    Examples
    --------
    >>> from_text('{"mean": 3.5}'), from_text('["Adelie"]', set[str])
    ({'mean': 3.5}, {'Adelie'})
    """
    import pydantic

    readers: list[Callable[[str], Any]] = []
    if annotation is not Any:
        # Types without a schema, such as DataFrame, have no reader.
        with suppress(pydantic.errors.PydanticUserError):
            adapter = pydantic.TypeAdapter(annotation)
            readers += [adapter.validate_json, adapter.validate_python]
    kind = get_origin(annotation) or annotation
    # The function may have returned another plain value than its annotation says, but not in place of a class.
    if not isinstance(kind, type) or kind.__module__ in ("builtins", "collections.abc", "typing"):
        readers += [json.loads, str]
    for read in readers:
        with suppress(ValueError, RecursionError):
            value = read(text)
            if to_text(value) == text and not (read is str and _DESCRIPTION.fullmatch(text)):
                return value
    raise ValueError("the text does not have the whole value")


def _describe_binary(value: Any) -> str | None:
    """Describe bytes, figures and images, which a model cannot read as text; return None for other values."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value):,} bytes, which are not shown. The user's program has them."
    if isinstance(value, Media):
        return f"{value!r}, {NOT_SHOWN}"
    if hasattr(value, "savefig") or hasattr(value, "_repr_png_") or hasattr(value, "to_plotly_json"):
        return f"{repr_without_address(value)}, {NOT_SHOWN}"
    return None


def repr_without_address(value: Any) -> str:
    """Return ``str(value)`` without the memory address, which differs from run to run."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", to_plain_text(value))


def _to_jsonable(value: Any) -> Any:
    """Return a value that JSON can hold in place of `value`, or that contains such values."""
    if hasattr(value, "model_dump"):  # A pydantic model.
        return value.model_dump(mode="json")
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not isinstance(value, Media):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if (described := describe(value, first_rows=MAX_ROWS)) is not None:
        # A short array within other values is written as a list.
        return value.tolist() if hasattr(value, "ndim") and value.ndim == 1 and value.size <= MAX_ROWS else described
    if hasattr(value, "tolist"):  # A number of NumPy.
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    return _describe_binary(value) or repr_without_address(value)


def describe(value: Any, *, first_rows: int) -> str | None:
    """Describe a DataFrame, Series or array: its size, types and first values. Return None for other values.

    Parameters
    ----------
    value : object
        A pandas or polars DataFrame or Series, an Arrow table, or a NumPy array.
    first_rows : int
        Number of DataFrame rows to show.
    """
    if is_a("pandas", "DataFrame", value):
        return _pandas_frame(value, first_rows)
    if is_a("polars", "DataFrame", value):
        columns = list(value.schema.items())
        return _frame(columns, len(value), value.head(first_rows).iter_rows())
    if is_a("pyarrow", "Table", value):
        columns = [(field.name, field.type) for field in value.schema]
        shown = value.slice(0, first_rows)
        return _frame(columns, len(value), zip(*(column.to_pylist() for column in shown.columns), strict=True))
    if is_a("pandas", "Series", value):
        indexed = not is_a("pandas", "RangeIndex", value.index)
        shown = value.iloc[:_FIRST_VALUES]
        return _series(value, list(shown.items()) if indexed else [[each] for each in shown], indexed=indexed)
    if is_a("polars", "Series", value):
        return _series(value, [[each] for each in value.head(_FIRST_VALUES)], indexed=False)
    if is_a("numpy", "ndarray", value) and value.ndim:
        text = sys.modules["numpy"].array2string(value, threshold=200)
        return f"array of shape {value.shape}, dtype {value.dtype}:\n{text}"
    return None


def _pandas_frame(frame: Any, first_rows: int) -> str:
    shown = frame.iloc[:first_rows, :COLUMN_LIMIT]
    indexed = not is_a("pandas", "RangeIndex", frame.index)
    return _frame(
        list(zip(frame.columns, frame.dtypes, strict=True)),
        len(frame),
        shown.itertuples(index=indexed, name=None),
        index=["index" if frame.index.name is None else frame.index.name] if indexed else [],
    )


def _frame(
    columns: Sequence[tuple[Any, Any]], length: int, rows: Iterable[Sequence[Any]], *, index: Sequence[Any] = ()
) -> str:
    names = [f"{name} ({dtype})" for name, dtype in columns[:COLUMN_LIMIT]]
    if hidden := len(columns) - len(names):
        names.append(f"… and {hidden:,} more")
    text = f"DataFrame, {length:,} rows x {len(columns):,} columns\nColumns: {', '.join(names) or 'none'}"
    width = len(index) + min(len(columns), COLUMN_LIMIT)
    shown = [list(islice(row, width)) for row in rows]
    if not shown or not columns:
        return text
    header = [*index, *(name for name, _ in columns[:COLUMN_LIMIT])]
    return f"{text}\nFirst {len(shown)} rows as CSV:\n{_csv([header, *shown])}"


def _series(series: Any, rows: Sequence[Sequence[Any]], *, indexed: bool) -> str:
    name = f" {series.name!r}" if series.name else ""
    text = f"Series{name}, {len(series):,} values, dtype {series.dtype}"
    if not rows:
        return text
    return f"{text}\nFirst {len(rows)} values{' with their index' if indexed else ''} as CSV:\n{_csv(rows)}"


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for row in rows:
        texts = [to_plain_text(value) for value in row]
        writer.writerow([text if len(text) <= _VALUE_LIMIT else f"{text[:_VALUE_LIMIT]}…" for text in texts])
    return file.getvalue().rstrip("\n")
