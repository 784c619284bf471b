"""JSON in text with other text around it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from agno_nb.types.json_values import find_json

FOUND: dict[str, list[Any]] = {
    "": [],
    "no JSON": [],
    '{"a": 1}': [{"a": 1}],
    'Here: {"a": {"b": [1]}}. Done {it is}.': [{"a": {"b": [1]}}],
    '```json\n{"a": "}{\\"]"}\n``` and ```\n[1, 2]\n```': [{"a": '}{"]'}, [1, 2]],
    '{"a": 1}{"a": 2}': [{"a": 1}, {"a": 2}],
    '{"a": {"b": 1}, c: {"d": 2}} {"e": 3}': [{"e": 3}],
    '{"a": {"b": 1}, "c": ': [],
    '[see {"a": 1}]': [{"a": 1}],
    '{"a": "two\nlines"}': [{"a": "two\nlines"}],
    '{"a": 1,}': [],
    "{}": [{}],
    "[" * 5_000 + "]" * 5_000: [],
}


@pytest.mark.parametrize("text", FOUND, ids=lambda text: repr(text)[:40])
def test_what_is_found(text: str) -> None:
    found = list(find_json(text))

    assert [each.value for each in found] == FOUND[text]
    assert [json.loads(each.text) for each in found] == FOUND[text]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=3), st.text("ab \n.,:'`)>"), st.text("ab \n.,:'`)>{["))
def test_any_object_between_any_words(value: Any, before: str, after: str) -> None:
    for indent in (None, 1):
        assert [each.value for each in find_json(f"{before}{json.dumps(value, indent=indent)}{after}")] == [value]


# A piece of each text, and how often it is repeated.
HOSTILE = [
    ("<", 10_000_000), ("{", 3_000_000), ("[", 3_000_000), ('{"a":', 600_000), ('{"a"', 600_000), ('{"a": "', 400_000),
    ('{"a"}', 400_000), ("[1,", 600_000), ('["\\', 600_000), ("{" + " " * 99, 30_000), ('{"a": "\n', 300_000),
]  # fmt: skip


@pytest.mark.parametrize(("piece", "times"), HOSTILE, ids=[repr(piece)[:20] for piece, _ in HOSTILE])
def test_hostile_text(piece: str, times: int) -> None:
    assert [*find_json(piece * times)] == []
