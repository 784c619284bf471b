"""Environment of all tests: no network except loopback, no user settings, and a temporary working directory."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres_server import NoServerError, Postgres, running_postgres
from tests.required import missing

_databases = itertools.count()
FOREIGN_SETTINGS = (
    *("AGNO_NB_", "ANTHROPIC_", "AZURE_OPENAI_", "DEEPSEEK_", "GEMINI_", "GOOGLE_", "GROQ_", "LITELLM_", "MISTRAL_"),
    *("OLLAMA_", "OPENAI_", "OPENROUTER_", "PG", "TOGETHER_", "XAI_"),
)


def clean_environment(environ: os._Environ[str] | dict[str, str]) -> None:
    """Take keys, endpoints and our own settings away, and keep loopback away from a proxy."""
    for name in list(environ):
        if name.upper().startswith(FOREIGN_SETTINGS):
            del environ[name]
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in environ.get(name, "").split(",") if host]
        environ[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost", "::1"]))


# On import, not in a fixture: modules read the environment while they are collected, and child processes inherit it.
clean_environment(os.environ)
# Child processes find the store contract as the tests do, by `pythonpath` in pyproject.toml.
_TESTS = Path(__file__).resolve().parent
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(_TESTS.parent / "contract"), os.environ.get("PYTHONPATH")])
)
# How long an example takes depends on how busy the machine is.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
# A shell ignores interrupts in background jobs, and child processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def jupyter_without_a_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Isolate kernels and servers from the user's profile, start-up files and settings."""
    home = tmp_path_factory.mktemp("jupyter")
    os.environ.update(
        IPYTHONDIR=str(home / "ipython"),
        JUPYTER_CONFIG_DIR=str(home / "config"),
        JUPYTER_DATA_DIR=str(home / "data"),
        JUPYTER_RUNTIME_DIR=str(home / "runtime"),
        JUPYTER_PLATFORM_DIRS="1",
        # The kernelspec "python3" is then that of the test environment.
        JUPYTER_PREFER_ENV_PATH="1",
        # Else the debugger of every kernel complains on stderr of Python's frozen modules.
        PYDEVD_DISABLE_FILE_VALIDATION="1",
    )


@pytest.fixture(autouse=True)
def isolated_environment() -> Iterator[None]:
    """Undo whatever a test did to the environment of the process."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory, where `agno_nb.duckdb` of one test is not seen by the next."""
    directory = tmp_path / "cwd"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def require_program() -> Callable[..., str]:
    """Find one of the programs named, as in ``require_program("chromium", "google-chrome")``."""

    def require(*names: str) -> str:
        for name in names:
            if path := shutil.which(name):
                return path
        missing(f"none of these programs is on PATH: {', '.join(names)}")

    return require


@pytest.fixture(scope="session")
def chromium(require_program: Callable[..., str]) -> str:
    """Path of a Chromium."""
    return require_program("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A Postgres server of the tests' own."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(running_postgres())
        except NoServerError as error:
            missing(str(error))
        yield server


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """URL of a database of the test's own, in which nothing is."""
    name = f"test_{next(_databases)}"
    with postgres_server.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    with postgres_server.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter for child processes: the one that runs the tests."""
    return sys.executable
