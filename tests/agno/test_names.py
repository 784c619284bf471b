"""agno's public names that concern sessions can be imported here, and its keywords and attributes exist.

`names.toml` lists them. Its tables `not_here` and `missing`, and `MISSING_NAMES`, have the exceptions, and nothing that
is here.
"""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import tomllib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from agno_nb._agno_parts import MISSING_KEYWORDS, MISSING_NAMES

AGNO = tomllib.loads(Path(__file__).with_name("names.toml").read_text(encoding="utf-8"))
NOT_HERE = [*MISSING_NAMES, *(pattern for patterns in AGNO["not_here"].values() for pattern in patterns.split())]


def rows(table: str) -> list[Any]:
    return [pytest.param(owner, names.split(), id=owner) for owner, names in AGNO[table].items()]


def is_here(owner: str, name: str) -> bool:
    """Whether neither the name, nor the name with its owner, nor the owner (a method) is listed as not here."""
    found = (name, f"{owner}.{name}", owner.rpartition(".")[2])
    return not any(fnmatchcase(each, pattern) for each in found for pattern in NOT_HERE)


def are_here(owner: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if is_here(owner, name)]


def can_be_imported(module: str, name: str) -> bool:
    try:
        return hasattr(import_module(f"agno_nb.{module}"), name)
    except ModuleNotFoundError:
        return False


@cache
def at(path: str) -> Any:
    """The class, function or method at agno's path, without the package."""
    owner, _, name = path.rpartition(".")
    try:
        return getattr(import_module(f"agno_nb.{owner}"), name)
    except ModuleNotFoundError:
        return getattr(at(owner), name)


def has_attribute(path: str, name: str) -> bool:
    try:
        cls = at(path)
    except AttributeError:
        return False
    annotations = {key for base in cls.__mro__ for key in getattr(base, "__annotations__", {})}
    return hasattr(cls, name) or name in annotations or (is_dataclass(cls) and name in {f.name for f in fields(cls)})


def accepts(path: str, name: str) -> bool:
    """Whether a call with `name` and another, unknown keyword is refused for the other one, or explains `name`."""
    try:
        call = at(path)
    except AttributeError:
        return False
    of_class = inspect.isfunction(call) and "." in call.__qualname__
    try:
        result = call(*[object()] * of_class, **{name: None, "zzz": None})
        if inspect.iscoroutine(result):
            asyncio.run(result)
    except TypeError as error:
        is_explained = name in MISSING_KEYWORDS and MISSING_KEYWORDS[name] in str(error)
        return is_explained or repr(name) not in str(error).split(":")[0]
    raise AssertionError(f"{path} accepts any keyword")


def assert_missing(table: str, owner: str, found: list[str]) -> None:
    listed = AGNO["missing"][table].get(owner, "").split()
    assert [f"agno_nb.{owner}: {name} is missing" for name in found if name not in listed] == []
    assert [f"agno_nb.{owner}: {name} is here; remove it from `missing`" for name in listed if name not in found] == []


@pytest.mark.parametrize(("module", "names"), rows("names"))
def test_names_can_be_imported_from_the_path_of_agno(module: str, names: list[str]) -> None:
    found = [name for name in are_here(module, names) if not can_be_imported(module, name)]
    assert_missing("names", module, found)


@pytest.mark.parametrize(("module", "names"), rows("names"))
def test_missing_names_say_what_there_is(module: str, names: list[str]) -> None:
    for name in set(names) & set(MISSING_NAMES):
        with pytest.raises(ImportError) as caught:
            exec(f"from agno_nb.{module} import {name}")
        # Without the first words if it is the error of a missing module.
        text = f"agno_nb has no {MISSING_NAMES[name]}"
        assert str(caught.value).removeprefix(f"cannot import name {name!r} from 'agno_nb.{module}': ") == text


@pytest.mark.parametrize(("path", "names"), rows("parameters"))
def test_keywords_of_agno_are_accepted(path: str, names: list[str]) -> None:
    found = [name for name in are_here(path, names) if not accepts(path, name)]
    assert_missing("parameters", path, found)


@pytest.mark.parametrize(("path", "names"), rows("attributes"))
def test_objects_have_the_attributes_of_agno(path: str, names: list[str]) -> None:
    found = [name for name in are_here(path, names) if not has_attribute(path, name)]
    assert_missing("attributes", path, found)


def test_every_name_that_is_not_here_is_a_name_of_agno_and_not_here() -> None:
    of_table = {
        table: [(owner, name) for owner, names in AGNO[table].items() for name in names.split()]
        for table in ("names", "parameters", "attributes")
    }
    known = {each for names in of_table.values() for owner, name in names for each in (name, f"{owner}.{name}")}
    known |= {path.rpartition(".")[2] for path in AGNO["parameters"]}
    assert [pattern for pattern in NOT_HERE if not any(fnmatchcase(name, pattern) for name in known)] == []
    listed = [f"{owner}.{name}" for owner, name in of_table["names"] if not is_here(owner, name)]
    assert [path for path in listed if can_be_imported(*path.rsplit(".", 1))] == []


def test_the_tables_of_the_documentation_are_those_of_the_package(python: str, repository: Path) -> None:
    code = "import make_agno_tables; print(make_agno_tables.document(), end='')"
    made = subprocess.run(
        [python, "-c", code], cwd=repository / "docs", capture_output=True, text=True, check=True
    ).stdout
    assert (repository / "docs" / "coming_from_agno.md").read_text(encoding="utf-8") == made, "run make docs"
