"""What all panels have in common: how they reach the browser, what they leave in a saved notebook, how they are closed.

A panel is shown under a display id, as a bundle of three: the live view, HTML and text. The HTML and the text are its
*twin*: what a front end without widgets shows, and what takes the panel's place when it is closed. JupyterLab and
Notebook 7 save the twin of an open panel as well, and not the view (``js/src/saved.ts``): for a view without its kernel
they would say "model not found", and not look at the HTML beside it.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

import anywidget
import traitlets
from IPython.core.getipython import get_ipython

from agno_nb.errors import AgnoNbError, InvalidInputError
from agno_nb.event_loop import Job
from agno_nb.notebook.cell_info import read_cell_info
from agno_nb.notebook.markdown import sanitize_html
from agno_nb.redact import displayable, redact
from agno_nb.types import CellInfo
from agno_nb.widgets.intents import Intent, intent, table_of

STATIC = Path(__file__).parent / "static"
STATIC_VIEW_LIMIT = 150_000
"""Characters of HTML that a panel leaves in the notebook. A notebook has to be mailed and diffed."""
_VIEW = "application/vnd.jupyter.widget-view+json"

_open_widgets: WeakSet[BaseWidget] = WeakSet()
_front_end_seen = False


@dataclass(frozen=True, slots=True)
class StaticView:
    """What stays of a panel."""

    html: str
    text: str

    def bundle(self) -> dict[str, Any]:
        html = redact(sanitize_html(self.html))
        if len(html) > STATIC_VIEW_LIMIT:
            html = sanitize_html("<p>This panel is too large for the notebook; run the cell again to see it.</p>")
        return {"text/html": html, "text/plain": displayable(self.text)}


class BaseWidget(anywidget.AnyWidget):
    """A view of the store in the output of a cell.

    The traits are private: they are the panel's line to the browser. `_content` is what is to be seen, whole;
    `_arriving` is the answer that grows at the moment; `_saved` is the twin, with the model's id.
    """

    _esm = STATIC / "widgets.js"
    _css = STATIC / "widgets.css"

    _kind = traitlets.Unicode().tag(sync=True)
    _content = traitlets.Dict().tag(sync=True)
    _arriving = traitlets.Dict().tag(sync=True)
    _saved = traitlets.Dict().tag(sync=True)

    kind: ClassVar[str]
    """Which of the views of ``js/src/index.ts`` draws it."""
    intents: ClassVar[Mapping[str, Intent]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.intents = table_of(cls)

    def __init__(self) -> None:
        super().__init__(_kind=self.kind)
        self._displays: list[str] = []
        self._origin = CellInfo()
        self._closed = False
        self._metadata: Mapping[str, Any] = {}
        self._refresh_lock = asyncio.Lock()
        """Held from reading the store until that is shown, so that nothing is shown after what was read later."""
        # ipykernel 7.4 sends an answer to the thread that spoke last on this line, which may be busy with a cell. The
        # front end's own choice is a thread that is free, and every handler here only posts to the loop.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda data, default: default
        self.on_msg(self._receive)

    def open(self) -> None:
        """Open the line to the browser, where there is one: nbclient would store all that is sent, script included."""
        if has_front_end():
            super().open()

    @property
    def address(self) -> str:
        """The id by which a browser finds the panel; empty where there is no browser."""
        return "" if self.comm is None else str(self.comm.comm_id)

    def static_view(self) -> StaticView:
        """Return what stays of the panel as it is now."""
        raise NotImplementedError

    async def refresh(self) -> None:
        """Look again after a cell has run, which may have changed what the panel shows."""

    def close(self) -> None:
        """Leave HTML and text in the panel's place, and end it."""
        if self._closed:
            return
        self._closed = True
        _open_widgets.discard(self)
        # ipywidgets also closes what is collected when the interpreter ends, and nothing can be said then.
        if self._displays and not sys.is_finalizing():
            view = self.static_view().bundle()
            for display_id in self._displays:
                _publish(view, display_id, self._metadata, update=True)
        super().close()

    def replace_display(self, display_id: str) -> None:
        """Take the place of what is shown under a display id already."""
        self._publish(display_id, update=True)

    def _ipython_display_(self, **kwargs: Any) -> None:
        self._publish(uuid.uuid4().hex, update=False)

    def _publish(self, display_id: str, *, update: bool) -> None:
        shell = get_ipython()
        self._origin = read_cell_info(shell)
        for live_view in list(_open_widgets):
            # The cell was run again: what it showed before has gone from the page.
            if live_view._cell == self._cell != (None, None) and live_view._origin != self._origin:
                live_view.close()
        static = self._update_static_view()
        view = {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.address}} if has_front_end() else {}
        self._displays.append(display_id)
        _publish(view | static, display_id, self._metadata, update=update)
        _refresh_after_cells(shell)
        _open_widgets.add(self)

    @property
    def _cell(self) -> tuple[str | None, str | None]:
        return self._origin.notebook, self._origin.cell_id

    def show(self, content: Mapping[str, Any]) -> None:
        """Replace what is to be seen, here and in the twin."""
        self._content = dict(content)
        self._update_static_view()

    def _update_static_view(self) -> dict[str, Any]:
        view = self.static_view().bundle()
        self._saved = {"id": self.address, "html": view["text/html"], "text": view["text/plain"]}
        return view

    def _receive(self, widget: Any, message: Any, buffers: Sequence[Any]) -> None:
        """Check what the browser asks, on whatever thread the kernel has given us, and have it done on the loop."""
        request = message.get("id") if isinstance(message, dict) else None
        try:
            work = self._prepare(message, buffers)
        except InvalidInputError as refused:
            self.send({"re": request, "error": str(refused)})
        else:
            Job(self._perform(request, work))

    def _prepare(self, message: Any, buffers: Sequence[Any]) -> Callable[[], Coroutine[Any, Any, Any]]:
        verb = message.get("verb") if isinstance(message, dict) else None
        intent = self.intents.get(verb) if isinstance(verb, str) else None
        if intent is None:
            raise InvalidInputError(f"the panel asks for {verb!r:.80}, which is not one of its verbs: reload the page")
        fields = intent.validate(message.get("fields"))
        handler = getattr(self, intent.handler)
        if len(buffers) > intent.max_files:
            raise InvalidInputError(f"{len(buffers)} files came with {verb}, which takes at most {intent.max_files}")
        if intent.max_files:
            fields["files"] = [bytes(buffer) for buffer in buffers]
        return lambda: handler(**fields)

    async def _perform(self, request: Any, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            value = await work()
        except AgnoNbError as error:
            self._reply(request, error=displayable(str(error)), stored=error.run_output is not None)
        except Exception as error:
            # It is the panel's user who has to hear of it: nobody else is there.
            self._reply(request, error=displayable(f"{type(error).__name__}: {error}"), stored=False)
        else:
            self._reply(request, value=value)

    def _reply(self, request: Any, **content: Any) -> None:
        if not self._closed:
            self.send({"re": request, **content})

    @intent()
    async def _leave(self) -> None:
        """Close the panel, as its button asks."""
        self.close()


def has_front_end() -> bool:
    """Whether somebody is there who can show a widget.

    Front ends that show them name the cell that they run, or are Colab; nbclient, papermill and terminals do not. What
    a browser asks later is no cell's, so what was seen once is remembered.
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


def _refresh_after_cells(shell: Any) -> None:
    if shell is not None and refresh_all not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", refresh_all)


def refresh_all(result: object = None) -> None:
    """Have all open panels look at the store again: a cell has run, or a run has ended in one of them."""
    for panel in list(_open_widgets):
        Job(panel._perform(None, panel.refresh))
