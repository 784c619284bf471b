"""The base of all widgets: messages to and from the browser, the view in a saved notebook, and closing.

A widget is displayed under a display id as a bundle of three: the live view, HTML and text. The HTML and the text
are its *static view*, which front ends without widgets show and which replaces the widget when it is closed.
JupyterLab and Notebook 7 save the static view of an open widget instead of its live view (``js/src/saved.ts``): for
a live view without a kernel they would show "model not found" and ignore the HTML next to it.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

import anywidget
import traitlets
from IPython.core.getipython import get_ipython

from agno_nb.db import default_db
from agno_nb.db.base import AsyncDb, Db, as_sync
from agno_nb.errors import AgnoNbError, InvalidInputError
from agno_nb.event_loop import Job
from agno_nb.notebook.cell_info import read_cell_info
from agno_nb.notebook.html import html_bundle
from agno_nb.notebook.notebook import Notebook
from agno_nb.redact import displayable
from agno_nb.types import CellInfo
from agno_nb.widgets.intents import Intent, intent, intents_of

STATIC = Path(__file__).parent / "static"
STATIC_VIEW_LIMIT = 150_000
"""Characters of HTML that a widget leaves in the notebook, so that the file can still be mailed and diffed."""
_VIEW = "application/vnd.jupyter.widget-view+json"

_open_widgets: WeakSet[BaseWidget] = WeakSet()
_front_end_seen = False


@dataclass(frozen=True, slots=True)
class StaticView:
    """The HTML and text of a widget without a kernel."""

    html: str
    text: str

    def bundle(self) -> dict[str, str]:
        bundle = html_bundle(self.html, self.text)
        if len(bundle["text/html"]) > STATIC_VIEW_LIMIT:
            too_large = "<p>This widget is too large to be saved in the notebook; run the cell again to see it.</p>"
            return html_bundle(too_large, self.text)
        return bundle


class BaseWidget(anywidget.AnyWidget):
    """A view of the store in the output of a cell.

    The traits are private; the browser reads them. `_content` is everything that is displayed, `_arriving` is the
    answer in progress, and `_saved` is the static view with the model id.
    """

    _esm = STATIC / "widgets.js"
    _css = STATIC / "widgets.css"

    _kind = traitlets.Unicode().tag(sync=True)
    _content = traitlets.Dict().tag(sync=True)
    _arriving = traitlets.Dict().tag(sync=True)
    _saved = traitlets.Dict().tag(sync=True)

    kind: ClassVar[str]
    """Name of the view in ``js/src/index.ts``."""
    intents: ClassVar[Mapping[str, Intent]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.intents = intents_of(cls)

    def __init__(self) -> None:
        super().__init__(_kind=self.kind)
        self._displays: list[str] = []
        self._origin = CellInfo()
        self._closed = False
        self._metadata: Mapping[str, Any] = {}
        self._refresh_lock = asyncio.Lock()
        """Held while the store is read and shown, so that older content never replaces newer content."""
        # ipykernel 7.4 sends a reply to the thread that last sent a message on this comm, which may be busy with a
        # cell. The front end's own choice is a free thread, and all handlers here only post to the event loop.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda data, default: default
        self.on_msg(self._receive)

    def open(self) -> None:
        """Open the comm if there is a browser. nbclient would store everything that is sent, including the script."""
        if has_front_end():
            super().open()

    @property
    def address(self) -> str:
        """The model id by which a browser finds the widget; empty without a browser."""
        return "" if self.comm is None else str(self.comm.comm_id)

    def static_view(self) -> StaticView:
        """Return the current static view."""
        raise NotImplementedError

    async def refresh(self) -> None:
        """Read the store again after a cell has run, which may have changed what the widget shows."""

    def _read(self) -> None:
        """Show what is stored, without an answer in progress."""

    async def _refreshed(self) -> None:
        async with self._refresh_lock:
            await asyncio.to_thread(self._read)

    def close(self) -> None:
        """Close the widget and leave its static view."""
        if self._closed:
            return
        self._closed = True
        _open_widgets.discard(self)
        # ipywidgets also closes what is collected when the interpreter exits, when nothing can be sent any longer.
        if self._displays and not sys.is_finalizing():
            view = self.static_view().bundle()
            for display_id in self._displays:
                _publish(view, display_id, self._metadata, update=True)
        super().close()

    def _ipython_display_(self, **kwargs: Any) -> None:
        self.publish(uuid.uuid4().hex, update=False)

    def publish(self, display_id: str, *, update: bool) -> None:
        """Display the widget under an id, or replace an existing display with it."""
        shell = get_ipython()
        self._origin = read_cell_info(shell)
        for widget in list(_open_widgets):
            # If the cell was run again, its earlier output is no longer on the page.
            if widget._cell == self._cell != (None, None) and widget._origin != self._origin:
                widget.close()
        static = self._update_static_view()
        view = {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.address}} if has_front_end() else {}
        self._displays.append(display_id)
        _publish(view | static, display_id, self._metadata, update=update)
        if shell is not None and refresh_all not in shell.events.callbacks["post_run_cell"]:
            shell.events.register("post_run_cell", refresh_all)
        _open_widgets.add(self)

    @property
    def _cell(self) -> tuple[str | None, str | None]:
        return self._origin.notebook, self._origin.cell_id

    def show(self, content: Mapping[str, Any]) -> None:
        """Replace what is displayed, in the browser and in the static view."""
        self._content = dict(content)
        self._update_static_view()

    def _update_static_view(self) -> dict[str, Any]:
        view = self.static_view().bundle()
        self._saved = {"id": self.address, "html": view["text/html"], "text": view["text/plain"]}
        return view

    def _receive(self, widget: Any, message: Any, buffers: Sequence[Any]) -> None:
        """Validate a message from the browser on the kernel's thread, and handle it on the event loop."""
        request = message.get("id") if isinstance(message, dict) else None
        try:
            work = self._prepare(message, buffers)
        except InvalidInputError as error:
            self.send({"re": request, "error": str(error)})
        else:
            Job(self._perform(request, work))

    def _prepare(self, message: Any, buffers: Sequence[Any]) -> Callable[[], Coroutine[Any, Any, Any]]:
        verb = message.get("verb") if isinstance(message, dict) else None
        intent = self.intents.get(verb) if isinstance(verb, str) else None
        if intent is None:
            raise InvalidInputError(f"unknown request {verb!r:.80} from the browser; reload the page")
        fields = intent.validate(message.get("fields"))
        if len(buffers) > intent.max_files:
            raise InvalidInputError(f"too many files: {verb} takes at most {intent.max_files}, got {len(buffers)}")
        if intent.max_files:
            fields["files"] = [bytes(buffer) for buffer in buffers]
        handler = getattr(self, intent.handler)
        return partial(handler if iscoroutinefunction(handler) else partial(asyncio.to_thread, handler), **fields)

    async def _perform(self, request: Any, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            reply = {"value": await work()}
        except AgnoNbError as error:
            reply = {"error": displayable(str(error)), "stored": error.run_output is not None}
        except Exception as error:
            # No cell is running that could show the error.
            reply = {"error": displayable(f"{type(error).__name__}: {error}"), "stored": False}
        if not self._closed:
            self.send({"re": request, **reply})

    @intent()
    async def _leave(self) -> None:
        """Close the widget."""
        self.close()


def current_notebook() -> Notebook | None:
    """Return the notebook, after loading its magics; None outside of IPython."""
    shell = get_ipython()
    if shell is None:
        return None
    from agno_nb.notebook import load_ipython_extension

    load_ipython_extension(shell)
    notebook: Notebook = shell.magics_manager.registry["AgentMagics"].notebook
    return notebook


def default_store(notebook: Notebook | None) -> Db:
    return default_db() if notebook is None else notebook.db


def store_of(db: Db | AsyncDb | None, notebook: Notebook | None) -> Db:
    """Return the store of a widget, by default the notebook's.

    Raises
    ------
    InvalidInputError
        `db` is something else, such as a collection, in which sessions cannot be opened.
    """
    if not isinstance(db, Db | AsyncDb | None):
        raise InvalidInputError(f"db is {db!r}; pass a store, such as DuckDb('talks.duckdb')")
    return as_sync(db) or default_store(notebook)


def has_front_end() -> bool:
    """Return whether a front end that shows widgets is connected.

    Such front ends send the id of the cell that they run, or are Colab; nbclient, papermill and terminals are not.
    Requests from a browser belong to no cell, so a front end that was seen once is remembered.
    """
    global _front_end_seen
    if "google.colab" in sys.modules or read_cell_info(get_ipython()).cell_id is not None:
        _front_end_seen = True
    return _front_end_seen


def _publish(bundle: Mapping[str, Any], display_id: str, metadata: Mapping[str, Any], *, update: bool) -> None:
    shell = get_ipython()
    if shell is None:
        if not update:
            print(bundle["text/plain"])
        return
    shell.display_pub.publish(dict(bundle), dict(metadata), transient={"display_id": display_id}, update=update)


def refresh_all(result: object = None) -> None:
    """Refresh all open widgets, after a cell or a run in one of them has ended."""
    for widget in list(_open_widgets):
        Job(widget._perform(None, widget.refresh))
