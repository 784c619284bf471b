"""The answer in the output of a cell, updated while its events arrive.

One display is created and then replaced, never more often than the browser can draw it; the notebook file keeps the
last version. JupyterLab does not merge pending updates, so a view that is sent too often falls seconds behind.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from IPython.core.displaypub import CapturingDisplayPublisher

from agno_nb.notebook.render import render_answer, render_text
from agno_nb.redact import displayable, redact, warn
from agno_nb.run_view import RunFold, RunView
from agno_nb.types import RunOutput, RunOutputEvent

SHORTEST_INTERVAL_S = 0.1
INTERVAL_PER_KB_S = 0.004
"""Seconds between updates for each 1,000 characters of HTML. JupyterLab 4.6 draws about 250 kB a second."""

RENDERING_SHARE = 0.2
"""Fraction of the time that rendering may take while an answer streams.

Each update renders the whole answer, so an update per token would take quadratic time. The intervals grow with the
answer instead, which makes the number of updates logarithmic.
"""


class LiveAnswer:
    """Displays a run and its nested runs in an output of the shell while they are in progress.

    Feed it each event of the stream. The display ends with the event that ends the run, or with :meth:`finish`.
    `clock` returns monotonic seconds, and `timer` creates the timer that shows the last words before a pause. Without
    `markdown` the text of the answer is shown as it is.
    """

    def __init__(
        self,
        shell: Any,
        *,
        clock: Callable[[], float] = time.monotonic,
        timer: Callable[[float, Callable[[], None]], threading.Timer] = threading.Timer,
        markdown: bool = True,
    ) -> None:
        self.display_id = uuid.uuid4().hex
        self._shell, self._clock, self._timer = shell, clock, timer
        self._fold = RunFold(plain=not markdown)
        # The timer draws the view on a thread of its own, while the next event may be changing it.
        self._lock = threading.RLock()
        self._was_shown = False
        self._failure: Exception | None = None
        self._next_update_at = -math.inf
        self._pending_update: threading.Timer | None = None

    @property
    def view(self) -> RunView:
        return self._fold.view

    def feed(self, event: RunOutputEvent) -> None:
        """Show one event of the stream."""
        with self._lock:
            if self._fold.has_ended:
                return
            self._fold.feed(event)
            if self._fold.has_ended:
                self._show_end()
            else:
                self._update()

    def finish(self, outcome: RunOutput | BaseException | None) -> None:
        """End the display if no event has ended it; see :meth:`agno_nb.run_view.RunFold.finish`."""
        with self._lock:
            if self._fold.finish(outcome):
                self._show_end()

    def _update(self) -> None:
        # Under %%capture each update would become a separate output.
        if self._failure is not None or isinstance(self._shell.display_pub, CapturingDisplayPublisher):
            return
        now = self._clock()
        if now >= self._next_update_at:
            self._failure = self._show()
        elif self._pending_update is None:
            self._pending_update = self._timer(self._next_update_at - now, self._show_late)
            self._pending_update.daemon = True
            self._pending_update.start()

    def _show_late(self) -> None:
        with self._lock:
            # The timer may have fired just before it was cancelled.
            if self._pending_update is not None:
                self._failure = self._show()

    def _show_end(self) -> None:
        # The cell itself fails with the error, which is shown below the answer.
        self.view.error = None
        if failure := self._show():
            warn(
                f"the answer could not be displayed ({type(failure).__name__}: {failure}); "
                f"run {self.view.run_id} itself is not affected",
                RuntimeWarning,
            )

    def _show(self) -> Exception | None:
        """Show the view; return an error instead of raising it, because a failing display must not cancel the run."""
        if self._pending_update is not None:
            self._pending_update.cancel()
            self._pending_update = None
        started_at = self._clock()
        try:
            html = redact(render_answer(self.view))
            # As display(..., raw=True, display_id=...), but for the shell passed to us.
            self._shell.display_pub.publish(
                {"text/html": html, "text/plain": displayable(render_text(self.view))},
                {"agno_nb": {"run_id": self.view.run_id, "session_id": self.view.session_id}},
                transient={"display_id": self.display_id},
                update=self._was_shown,
            )
        except Exception as error:
            return error
        self._was_shown = True
        now = self._clock()
        pause = (now - started_at) * (1 / RENDERING_SHARE - 1)
        self._next_update_at = now + max(SHORTEST_INTERVAL_S, INTERVAL_PER_KB_S * len(html) / 1000, pause)
        return None
