"""A real JupyterLab in Chromium: start it, open and run a notebook, inspect the page."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

# The tests of this folder are collected, and then skipped, on machines without Playwright.
if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, Route

REPOSITORY = Path(__file__).resolve().parents[2]
START_S = 60
"""How long the server may take to answer. It takes two seconds on an idle machine."""
WAIT_MS = 60_000
"""How long the page may take to get where a test waits for it."""

CHROMIUM_OPTIONS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
]
SETTINGS: dict[str, dict[str, object]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    # The list of completions is shown when the kernel has answered, however busy the machine is.
    "completer-extension/manager": {"providerTimeout": 60_000},
    # Cells that are out of sight are there too, and all outputs of a cell that has many.
    "notebook-extension/tracker": {"windowingMode": "none", "maxNumberOutputs": 1000},
}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab. Notebooks live in `folder`."""

    url: str
    folder: Path

    def write_notebook(self, name: str, sources: Sequence[str]) -> Path:
        """Make a notebook of code cells in the server's folder."""
        path = self.folder / name
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, path)
        return path


@contextmanager
def running_chromium(executable: str) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, chromium_sandbox=False, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """Start JupyterLab without user settings, and stop it with its kernels."""
    root = folder / "notebooks"
    root.mkdir()
    for plugin, settings in SETTINGS.items():
        file = folder / f"settings/@jupyterlab/{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    environment = {
        **os.environ,
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "PYTHONPATH": str(REPOSITORY),
    }
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        "--PasswordIdentityProvider.hashed_password=",
        "--ServerApp.disable_check_xsrf=True",
        f"--ServerApp.root_dir={root}",
        "--ServerApp.terminals_enabled=False",
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    log = folder / "server.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, env=environment, cwd=root, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(server, f"{url}/api/status", log)
        yield Lab(url, root)
        for kernel in json.loads(_request(f"{url}/api/kernels")):
            _request(f"{url}/api/kernels/{kernel['id']}", method="DELETE")
    finally:
        server.terminate()
        server.wait()


def _wait_for(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            _request(address)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')}")


def _request(address: str, method: str = "GET") -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=10) as answer:
        content: bytes = answer.read()
    return content


@dataclass
class Watched:
    """A browser context that lets nothing out and writes down what tried to get out or to run."""

    context: BrowserContext
    origin: str
    executed: list[str] = field(default_factory=list)
    """What called ``window.pwned(what)``, in any frame."""
    dialogs: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    """Addresses beyond the server's own origin. They were refused."""

    @classmethod
    def of(cls, browser: Browser, origin: str) -> Watched:
        watched = cls(browser.new_context(viewport={"width": 1200, "height": 900}, device_scale_factor=2), origin)
        watched.context.set_default_timeout(WAIT_MS)
        watched.context.expose_binding("pwned", lambda source, what: watched.executed.append(str(what)))
        watched.context.route("**/*", watched._route)
        watched.context.on("page", watched._watch)
        return watched

    def page(self) -> Page:
        return self.context.new_page()

    def _watch(self, page: Page) -> None:
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def _route(self, route: Route, request: Request) -> None:
        if request.url.startswith((f"{self.origin}/", "data:", "blob:", "file:")):
            route.continue_()
        else:
            self.fetched.append(request.url)
            route.abort()


@dataclass(frozen=True)
class NotebookPage:
    """A notebook that is open in JupyterLab, with its kernel ready."""

    page: Page
    path: Path

    @classmethod
    def open(cls, page: Page, lab: Lab, path: Path) -> NotebookPage:
        page.goto(f"{lab.url}/lab/tree/{path.relative_to(lab.folder).as_posix()}?reset")
        page.wait_for_selector("#jupyterlab-splash", state="detached")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        notebook = cls(page, path)
        notebook.await_kernel()
        return notebook

    @classmethod
    def open_in_notebook_7(cls, page: Page, lab: Lab, path: Path) -> NotebookPage:
        """Open it in Notebook 7, which the same server has."""
        page.goto(f"{lab.url}/notebooks/{path.relative_to(lab.folder).as_posix()}")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        notebook = cls(page, path)
        notebook.await_kernel()
        return notebook

    @classmethod
    def open_without_kernel(cls, page: Page, lab: Lab, path: Path) -> NotebookPage:
        page.goto(f"{lab.url}/lab?reset")
        page.wait_for_function("() => globalThis.jupyterapp?.restored.then(() => true)")
        notebook = cls(page, path)
        notebook.command(
            "docmanager:open",
            path=path.relative_to(lab.folder).as_posix(),
            factory="Notebook",
            kernelPreference={"shouldStart": False, "canStart": False},
        )
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        return notebook

    def await_kernel(self) -> None:
        """Wait until the kernel is there and has nothing to do."""
        self.page.wait_for_function(
            "() => { const context = jupyterapp.shell.currentWidget?.sessionContext;"
            " return context?.isReady && context.session?.kernel?.status === 'idle'; }"
        )

    @property
    def cell_count(self) -> int:
        count: int = self.page.evaluate("() => jupyterapp.shell.currentWidget.content.model.cells.length")
        return count

    def has_kernel(self) -> bool:
        return bool(self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session !== null"))

    def close_kernel(self) -> None:
        self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")

    def command(self, name: str, **arguments: object) -> Any:
        """Execute one of JupyterLab's commands, as in ``command("docmanager:save")``."""
        return self.page.evaluate("([name, args]) => jupyterapp.commands.execute(name, args)", [name, arguments])

    def run_all(self) -> None:
        """Run every cell, and wait until the last has ended."""
        self.command("notebook:run-all-cells")

    def start(self, cell: int) -> None:
        """Run a cell and do not wait for its end."""
        self.page.evaluate(
            "cell => { jupyterapp.shell.currentWidget.content.activeCellIndex = cell;"
            " jupyterapp.commands.execute('notebook:run-cell'); }",
            cell,
        )

    def run(self, cell: int) -> None:
        """Run a cell and wait until it has ended."""
        self.page.evaluate(
            "cell => { jupyterapp.shell.currentWidget.content.activeCellIndex = cell;"
            " return jupyterapp.commands.execute('notebook:run-cell'); }",
            cell,
        )

    def is_running(self, cell: int) -> bool:
        state = self.page.evaluate(
            "cell => jupyterapp.shell.currentWidget.content.model.cells.get(cell).executionState", cell
        )
        return bool(state == "running")

    def await_end(self, cell: int) -> None:
        """Wait for the end of a cell that was started."""
        self.page.wait_for_function(
            "cell => { const model = jupyterapp.shell.currentWidget.content.model.cells.get(cell);"
            " return model.executionState === 'idle' && model.executionCount !== null; }",
            arg=cell,
        )

    def activate(self, cell: int) -> None:
        self.page.evaluate("cell => { jupyterapp.shell.currentWidget.content.activeCellIndex = cell; }", cell)

    def complete(self, cell: int, code: str) -> dict[str, str]:
        """Type Tab at the ``|`` of `code` in a cell; return the names that are offered, with the kind shown beside."""
        before, _, after = code.partition("|")
        self.write(cell, before + after)
        line = before.count("\n")
        self.page.evaluate(
            "([cell, position]) => { const notebook = jupyterapp.shell.currentWidget.content;"
            " notebook.activeCellIndex = cell; notebook.mode = 'edit';"
            " notebook.activeCell.editor.focus(); notebook.activeCell.editor.setCursorPosition(position); }",
            [cell, {"line": line, "column": len(before.rsplit("\n", 1)[-1])}],
        )
        self.page.keyboard.press("Tab")
        offered = self.page.locator(".jp-Completer:not(.lm-mod-hidden) .jp-Completer-item")
        offered.first.wait_for()
        return {
            each.locator(".jp-Completer-match").inner_text(): each.locator(".jp-Completer-typeExtended").inner_text()
            for each in offered.all()
        }

    def write(self, cell: int, source: str) -> None:
        """Replace the source of a cell."""
        self.page.evaluate(
            "([cell, source]) =>"
            " jupyterapp.shell.currentWidget.content.model.cells.get(cell).sharedModel.setSource(source)",
            [cell, source],
        )

    def source(self, cell: int) -> str:
        """Return the source of a cell."""
        source: str = self.page.evaluate(
            "cell => jupyterapp.shell.currentWidget.content.model.cells.get(cell).sharedModel.getSource()", cell
        )
        return source

    def save(self) -> nbformat.NotebookNode:
        """Save, and read what is in the file."""
        self.command("docmanager:save")
        return nbformat.read(self.path, as_version=4)

    def outputs(self, cell: int) -> list[dict[str, Any]]:
        """Return the outputs of a cell as JupyterLab's model has them."""
        found: list[dict[str, Any]] = self.page.evaluate(
            "cell => jupyterapp.shell.currentWidget.content.model.cells.get(cell).toJSON().outputs", cell
        )
        return found

    def error(self, cell: int) -> tuple[str, str] | None:
        """Return the name and the displayed text of a cell's error."""
        found = [output for output in self.outputs(cell) if output["output_type"] == "error"]
        return (found[0]["ename"], "\n".join(found[0]["traceback"])) if found else None

    def output_area(self, cell: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-OutputArea-output").first

    def use_theme(self, theme: str) -> None:
        """Switch to ``JupyterLab Dark``, or back to ``JupyterLab Light``, and wait until it is drawn."""
        self.command("apputils:change-theme", theme=theme)
        dark = "false" if "Dark" in theme else "true"
        self.page.wait_for_selector(f'body[data-jp-theme-light="{dark}"]', state="attached")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")
