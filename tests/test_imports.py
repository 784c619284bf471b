"""Import rules that import-linter cannot express: modules loaded by an import, and the source of values.

Its contracts, which say what each package may import, are in pyproject.toml.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "agno_nb"


# Libraries that are imported inside functions only: each costs a user who does not need it a noticeable time.
LAZY = {"openai", "pandas", "pyarrow", "polars", "pydantic", "genai_prices", "matplotlib"}

# Extras for users, whose libraries the package may import. The other extras are for development.
EXTRAS = ("plot", "polars", "postgres")
# What only the contract of a store imports, which its author's pytest runs.
OF_TESTERS = {"pytest"}


@dataclass(frozen=True)
class Import:
    """One imported module, and where."""

    file: str
    """Relative to the package."""
    line: int
    module: str
    """Absolute and dotted. ``from agno_nb import types`` counts as ``agno_nb.types``."""
    in_function: bool
    for_types_only: bool

    @property
    def importer(self) -> str:
        return self.file.split("/")[0].removesuffix(".py")

    @property
    def library(self) -> str:
        return self.module.split(".")[0]

    @property
    def room(self) -> str | None:
        """The imported package of agno_nb; None for other modules."""
        parts = self.module.split(".")
        return None if parts[0] != "agno_nb" else parts[1] if len(parts) > 1 else "__init__"

    def __str__(self) -> str:
        return f"agno_nb/{self.file}:{self.line} imports {self.module}"


def imports_of(path: Path, root: Path) -> Iterator[Import]:
    file = path.relative_to(root).as_posix()
    package = ["agno_nb", *path.relative_to(root).parts[:-1]]

    def visit(node: ast.AST, in_function: bool, for_types_only: bool) -> Iterator[Import]:
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            modules = [f"agno_nb.{alias.name}" for alias in node.names] if source == "agno_nb" else [source]
        for module in modules:
            yield Import(file, node.lineno, module, in_function, for_types_only)  # type: ignore[attr-defined]
        in_function = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for child in node.body:
                yield from visit(child, in_function, True)
            for child in node.orelse:
                yield from visit(child, in_function, for_types_only)
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child, in_function, for_types_only)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), False, False)


def canonical_name(requirement: str) -> str:
    """Reduce "psycopg[binary,pool]>=3.2" to the name of the distribution, as PEP 503 compares it."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def all_imports() -> list[Import]:
    return [found for path in sorted(PACKAGE.rglob("*.py")) for found in imports_of(path, PACKAGE)]


def test_values_are_imported_from_the_front_of_their_room() -> None:
    wrong = [
        str(found) for found in all_imports() if found.importer != "types" and found.module.startswith("agno_nb.types.")
    ]
    assert wrong == []


def test_heavy_libraries_are_imported_inside_functions() -> None:
    wrong = [
        str(found)
        for found in all_imports()
        if found.library in LAZY and not found.in_function and not found.for_types_only
    ]
    assert wrong == []


def test_every_library_that_is_imported_is_a_declared_dependency(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {canonical_name(requirement) for requirement in project["dependencies"]}
    optional = {
        canonical_name(requirement) for extra in EXTRAS for requirement in project["optional-dependencies"][extra]
    }
    distributions = packages_distributions()
    libraries = {found.library for found in all_imports()} - {"agno_nb"} - sys.stdlib_module_names - OF_TESTERS
    undeclared = {
        library
        for library in libraries
        if not {canonical_name(name) for name in distributions.get(library, [library])} & (declared | optional)
    }
    assert undeclared == set()


def test_the_rule_sees_every_form_of_import(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    module = tmp_path / "run" / "sample.py"
    module.write_text(
        "import typing\n"
        "from agno_nb import agent\n"
        "from ..notebook import live\n"
        "from . import context\n"
        "if typing.TYPE_CHECKING:\n"
        "    import pandas as pd\n"
        "def later():\n"
        "    import agno_nb.widgets.chat\n"
    )
    seen = [
        (found.line, found.module, found.room, found.in_function, found.for_types_only)
        for found in imports_of(module, tmp_path)
    ]
    assert seen == [
        (1, "typing", None, False, False),
        (2, "agno_nb.agent", "agent", False, False),
        (3, "agno_nb.notebook", "notebook", False, False),
        (4, "agno_nb.run", "run", False, False),
        (6, "pandas", None, False, True),
        (8, "agno_nb.widgets.chat", "widgets", True, False),
    ]


@pytest.mark.parametrize(
    ("statement", "not_loaded"),
    [
        ("import agno_nb", ["openai", "pandas", "pyarrow", "duckdb", "anywidget", "IPython", "pydantic", "rich"]),
        ("import agno_nb.types, agno_nb.errors, agno_nb.models.base, agno_nb.db.base", ["openai", "pandas", "duckdb"]),
        ("from agno_nb import Agent", ["openai", "pandas", "pyarrow", "duckdb", "anywidget", "IPython", "pydantic"]),
        ("from agno_nb import OpenAIChat, OpenAIResponses, Gemini, DemoModel", ["openai", "pandas", "duckdb"]),
        ("from agno_nb import DuckDb, InMemoryDb, runs_df", ["openai", "pandas", "pyarrow", "IPython"]),
        ("from agno_nb import PostgresDb, AsyncPostgresDb", ["openai", "pandas", "psycopg", "adbc_driver_postgresql"]),
        ("from agno_nb import SqlTools, query; SqlTools()", ["psutil", "agno_nb.db.isolated"]),
        (
            "from IPython.core.interactiveshell import InteractiveShell\n"
            "InteractiveShell.instance().run_line_magic('load_ext', 'agno_nb')",
            ["psutil", "agno_nb.db.isolated"],
        ),
        ("from agno_nb.testing import ScriptedModel", ["openai", "pandas", "duckdb", "pytest"]),
    ],
)
def test_an_import_loads_no_more_than_it_needs(statement: str, not_loaded: list[str], python: str) -> None:
    code = f"{statement}\nimport sys\nprint(sorted(set({not_loaded!r}) & set(sys.modules)))"
    done = subprocess.run([python, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
