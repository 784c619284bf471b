"""The widget below a paused cell in which a person decides; the run continues in the same output."""

from __future__ import annotations

import asyncio

from agno_nb.errors import InvalidInputError
from agno_nb.notebook.render import render_text
from agno_nb.run.runnable import Runnable
from agno_nb.run_view import view_of_run
from agno_nb.types import RunOutput
from agno_nb.widgets.base import StaticView, has_front_end
from agno_nb.widgets.conversation import answer_html, pending_items
from agno_nb.widgets.streaming import StreamingWidget, decides


def show_approval(runnable: Runnable, run: RunOutput, display_id: str) -> None:
    """Show the widget in the output of a paused run if there is a front end.

    The run is in the store, so ``%agent approve`` and chat widgets do the same, in this kernel or another.
    """
    if runnable.db is not None and has_front_end():
        Approvals(runnable, run).replace_display(display_id)


class Approvals(StreamingWidget):
    """The pending calls of a paused run. The widget closes and leaves the answer when the run has ended."""

    kind = "approvals"

    def __init__(self, runnable: Runnable, run: RunOutput) -> None:
        super().__init__(runnable)
        self._run = run
        self._metadata = {"agno_nb": {"run_id": run.run_id, "session_id": run.session_id}}
        self._look(run)

    def static_view(self) -> StaticView:
        return StaticView(answer_html(self._run), render_text(view_of_run(self._run)))

    async def refresh(self) -> None:
        """Notice that the run was continued by ``%agent approve``, by a chat widget or in another notebook."""
        if self._answering is None:
            await self._refreshed()

    def _look(self, run: RunOutput) -> None:
        self._run = run
        content = {
            "run_id": run.run_id,
            "html": answer_html(run, with_questions=False),
            "pending": pending_items(run),
        }
        with self.hold_sync():
            self.show(content)
            self._arriving = {}

    async def _stored(self) -> RunOutput | None:
        return await asyncio.to_thread(self._runnable.store.get_run, self._run.run_id, self._run.session_id)

    async def _refreshed(self) -> None:
        async with self._refresh_lock:
            run = await self._stored()
            if run is not None:
                await asyncio.to_thread(self._look, run)
        if run is None or not run.is_paused:
            self.close()

    @decides
    async def _decide(
        self, *, run_id: str, requirement_id: str, decision: str, note: str, values: dict[str, str]
    ) -> None:
        """Decide about one call, and continue the run after the last decision."""
        if self._answering is not None or run_id != self._run.run_id:
            raise InvalidInputError(f"run {run_id!r} has already been continued")
        # Some calls may have been decided elsewhere, so the stored run is used.
        events = await self._decide_call(await self._stored(), requirement_id, decision, note, values)
        if events is not None:
            await self._stream_run(events, at_first=answer_html(self._run, with_questions=False))
