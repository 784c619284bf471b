"""Every public name of `agno_nb` exists, is documented, and is visible to type checkers."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import agno_nb


@pytest.mark.parametrize("name", agno_nb.__all__)
def test_a_public_name_resolves_and_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(agno_nb, name))


def test_all_names_are_listed_once_and_sorted() -> None:
    assert list(agno_nb.__all__) == sorted(set(agno_nb.__all__), key=agno_nb.__all__.index)
    assert list(agno_nb._HOMES) == sorted(agno_nb._HOMES)
    assert set(agno_nb.__all__) <= set(dir(agno_nb))


def test_type_checkers_are_told_the_same_names() -> None:
    tree = ast.parse(Path(agno_nb.__file__).read_text(encoding="utf-8"))
    told = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    assert told == agno_nb._HOMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'agno_nb' has no attribute 'Agnet'"):
        _ = agno_nb.Agnet
