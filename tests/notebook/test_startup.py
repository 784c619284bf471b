"""Imports of `%load_ext`, and the thread that imports the rest."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agno_nb.models.resolve import needs_sdk
from agno_nb.notebook import displays, preload, registration
from tests.test_imports import PACKAGE, imports_of

SHELL = """
import os, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
"""

WITHOUT_PRELOADING = f"""{SHELL}
from agno_nb.notebook import preload
preload.start_preloading = lambda shell, model: lambda: None
shell.run_line_magic("load_ext", "agno_nb")
"""

NOT_LOADED = [
    *("duckdb", "pandas", "pyarrow", "filelock", "jsonschema", "markdown_it", "nh3", "docstring_parser", "rich"),
    *("openai", "pydantic", "anywidget", "agno_nb.agent", "agno_nb.db.duckdb", "agno_nb.models", "agno_nb.tools"),
    *("agno_nb.notebook.commands", "agno_nb.notebook.displays", "agno_nb.notebook.notebook", "agno_nb.run.execute"),
]

LAZY_NOTEBOOK = f"""{WITHOUT_PRELOADING}
from agno_nb import default_db

magics, folder = shell.magics_manager.registry["AgentMagics"], os.getcwd()
print("notebook" in vars(magics))
os.chdir("..")
shell.run_line_magic("config", "AgnoNb.instructions_file = 'missing.md'")
print(magics.settings.instructions_file, default_db() is magics.notebook.db, str(default_db().db_file.parent) == folder)
"""


@pytest.fixture
def run(python: str, tmp_path: Path) -> Callable[..., tuple[str, str]]:
    def run(code: str, **environment: str) -> tuple[str, str]:
        assigned = "".join(f"os.environ[{name!r}] = {value!r}\n" for name, value in environment.items())
        code = f"import os\n{assigned}{code}"
        done = subprocess.run(
            [python, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.stdout.strip(), done.stderr.strip()

    return run


def test_loading_the_extension_imports_no_more_than_it_needs(run: Callable[..., tuple[str, str]]) -> None:
    assert run(f"{WITHOUT_PRELOADING}\nprint([name for name in {NOT_LOADED} if name in sys.modules])") == ("[]", "")


def test_the_notebook_is_made_when_it_is_used_with_the_folder_and_the_settings_of_then(
    run: Callable[..., tuple[str, str]],
) -> None:
    out, err = run(LAZY_NOTEBOOK)
    assert "cannot read instructions_file 'missing.md'" in err
    assert out.splitlines() == ["False", "None True True"]


def test_loading_the_extension_reports_settings_that_are_wrong(run: Callable[..., tuple[str, str]]) -> None:
    _, err = run(WITHOUT_PRELOADING, AGNO_NB_INSTRUCTIONS_FILE="missing.md")
    assert "InvalidInputError: cannot read instructions_file 'missing.md'" in err


def test_a_process_that_ends_while_modules_are_preloaded_ends_without_an_error(
    run: Callable[..., tuple[str, str]],
) -> None:
    assert run(f"{SHELL}\nshell.run_line_magic('load_ext', 'agno_nb')\nprint('loaded')") == ("loaded", "")


@pytest.mark.parametrize(
    ("model", "environment", "expected"),
    [
        (None, {}, False),
        ("demo", {"OPENAI_API_KEY": "sk-1"}, False),
        (None, {"AGNO_NB_MODEL": "demo", "OPENAI_API_KEY": "sk-1"}, False),
        (None, {"GEMINI_API_KEY": "k"}, True),
        ("ollama:llama3.2", {}, True),
    ],
    ids=["nothing configured", "demo", "demo by variable", "a key", "a server"],
)
def test_the_sdk_is_preloaded_at_once_if_the_model_needs_it(
    monkeypatch: pytest.MonkeyPatch, model: str | None, environment: dict[str, str], expected: bool
) -> None:
    for name in ("AGNO_NB_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert needs_sdk(model) is expected
    *first, last = islice(preload._modules(model), len(preload.FOR_A_CELL) + 1)
    assert (tuple(first), last == "openai") == (preload.FOR_A_CELL, expected)


class Events:
    """IPython's events of cells."""

    def __init__(self) -> None:
        self.callbacks: dict[str, Callable[..., None]] = {}

    def register(self, name: str, callback: Callable[..., None]) -> None:
        self.callbacks[name] = callback

    def unregister(self, name: str, callback: Callable[..., None]) -> None:
        assert self.callbacks.pop(name) is callback


def test_nothing_is_preloaded_while_a_cell_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that import a package and its module at the same time can wait for each other."""
    begun = {name: threading.Event() for name in ("a", "b")}
    release = threading.Event()
    imported: list[str] = []

    def load(name: str) -> None:
        imported.append(name)
        begun[name].set()
        assert release.wait(30)

    monkeypatch.setattr(preload, "import_module", load)
    monkeypatch.setattr(preload, "_modules", lambda model: iter(begun))
    shell: Any = SimpleNamespace(events=Events())
    undo = preload.start_preloading(shell, None)
    cell_begins, cell_ends = (shell.events.callbacks[name] for name in ("pre_run_cell", "post_run_cell"))
    cell_ends("the result of %load_ext")
    assert begun["a"].wait(30)
    cell = threading.Thread(target=cell_begins, args=("the next cell",))
    cell.start()
    release.set()
    cell.join(30)
    assert (cell.is_alive(), imported) == (False, ["a"])
    cell_ends("its result")
    assert begun["b"].wait(30)
    undo()
    assert shell.events.callbacks == {}


def test_a_package_is_preloaded_before_its_modules() -> None:
    """A thread that imports a module first holds its lock while it waits for the package, which may wait for it."""
    begun: set[str] = set()
    wrong: list[str] = []

    def visit(name: str, *, by: str) -> None:
        package = name.rpartition(".")[0]
        if package and package not in begun:
            if _imports(package):
                wrong.append(f"{by} imports {name} before {package}")
            visit(package, by=by)
        if name not in begun and _path(name) is not None:
            begun.add(name)
            for imported in _imports(name):
                visit(imported, by=name)

    visit("agno_nb.notebook", by="")
    for name in ("frames", "notebook.magics", "notebook.registration", "run.defaults"):
        visit(f"agno_nb.{name}", by="load_ext")
    wrong.clear()
    for name in preload.FOR_A_CELL:
        visit(name, by="preload")
    assert wrong == []
    assert "agno_nb.db.duckdb.shared_file" in begun


def _path(name: str) -> Path | None:
    place = PACKAGE.parent.joinpath(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _imports(name: str) -> list[str]:
    """Return the modules of the package that a module imports when it is imported."""
    path = _path(name)
    found = [] if path is None else list(imports_of(path, PACKAGE))
    at_once = [each.module for each in found if not each.in_function and not each.for_types_only]
    return [module for module in at_once if module.startswith("agno_nb.")]


def test_every_class_with_a_display_is_registered() -> None:
    names = [(cls.__module__, cls.__name__) for cls in displays.FORMATTERS]
    assert names == list(registration.SHOWN_CLASSES)
