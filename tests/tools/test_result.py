"""Results of tools as text for the model."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from agno_nb.tools.result import MAX_CHARACTERS, to_text


class Point(BaseModel):
    x: float
    y: float = 0.0


@dataclass
class Box:
    corners: list[Point]


class Size(Enum):
    SMALL = "s"


class Level(StrEnum):
    LOW = "low"


Pair = namedtuple("Pair", "a b")


class Figure:
    def savefig(self, path: str) -> None:
        raise AssertionError("nobody asked for a file")

    def __str__(self) -> str:
        return "Figure(640x480)"


class Thing:
    pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        (3.5, "3.5"),
        (Point(x=1), '{"x": 1.0, "y": 0.0}'),
        ([Point(x=1)], '[{"x": 1.0, "y": 0.0}]'),
        (Box([Point(x=2)]), '{"corners": [{"x": 2.0, "y": 0.0}]}'),
        ({"é": {1, 2}}, '{"é": [1, 2]}'),
        ({"size": Size.SMALL}, '{"size": "s"}'),
        (Size.SMALL, "s"),
        (Level.LOW, "low"),
        (Pair(1, 2), "[1, 2]"),
        (Decimal("1.50"), '"1.50"'),
        (timedelta(hours=1), '"1:00:00"'),
        (np.float64(0.5), "0.5"),
        ({"mean": np.float32(0.5), "n": np.int64(2)}, '{"mean": 0.5, "n": 2}'),
        ({"values": np.array([1, 2])}, '{"values": [1, 2]}'),
        (np.array([1, 2]), "array of shape (2,), dtype int64:\n[1 2]"),
        (pd.Timestamp("2026-01-02"), '"2026-01-02T00:00:00"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        ({(1, 2): np.float64(3.0)}, "{(1, 2): 3.0}"),
        ({np.int64(7): [np.float32(0.5)]}, "{7: [0.5]}"),
        (b"\x00\x01", "2 bytes, which are not shown. The user's program has them."),
        (Figure(), "Figure(640x480), which is not shown. The user's program has it."),
        (Thing(), '"<tests.tools.test_result.Thing object>"'),
    ],
)
def test_any_value_becomes_text(value: Any, text: str) -> None:
    assert to_text(value) == text


def test_a_frame_is_its_size_its_types_and_its_first_rows() -> None:
    frame = pd.DataFrame({"a": range(1000), "b": ["x"] * 1000})
    rows = "\n".join(f"{n},x" for n in range(20))
    assert to_text(frame) == (
        f"DataFrame, 1,000 rows x 2 columns\nColumns: a (int64), b (str)\nFirst 20 rows as CSV:\na,b\n{rows}"
    )


def test_frames_of_every_library_and_series_are_told_in_the_same_way() -> None:
    columns = {"a": [1, 2], "b": ["x", "y,z"]}
    csv = 'First 2 rows as CSV:\na,b\n1,x\n2,"y,z"'
    head = "DataFrame, 2 rows x 2 columns\nColumns: a ("
    assert to_text(pd.DataFrame(columns)) == f"{head}int64), b (str)\n{csv}"
    assert to_text(pl.DataFrame(columns)) == f"{head}Int64), b (String)\n{csv}"
    assert to_text(pa.table(columns)) == f"{head}int64), b (string)\n{csv}"
    assert to_text(pd.Series([1.5, 2.5], index=["p", "q"], name="mass")) == (
        "Series 'mass', 2 values, dtype float64\nFirst 2 values with their index as CSV:\np,1.5\nq,2.5"
    )
    assert to_text(pd.DataFrame()) == "DataFrame, 0 rows x 0 columns\nColumns: none"
    assert to_text({"table": pd.DataFrame({"a": [1]})}) == (
        '{"table": "DataFrame, 1 rows x 1 columns\\nColumns: a (int64)\\nFirst 1 rows as CSV:\\na\\n1"}'
    )


def test_what_is_long_is_cut_and_says_so_but_text_is_whole() -> None:
    text = "x" * (MAX_CHARACTERS + 1)
    assert to_text(text) == text
    many = to_text(list(range(100_000)))
    assert many.startswith("[0, 1, 2")
    assert many.endswith("… (cut: the first 20,000 of 688,890 characters)")
    assert len(to_text(pd.DataFrame({"a": ["y" * 1000] * 20}))) < 20 * 250
    assert len(to_text(np.zeros((1000, 1000)))) < 1000


def test_a_value_that_is_a_part_of_itself_is_told_all_the_same() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert to_text(loop) == "[[...]]"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    )
)
def test_json_values_come_back_as_they_were(value: Any) -> None:
    import json

    if not isinstance(value, str):
        assert json.loads(to_text(value)) == value
