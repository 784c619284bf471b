"""The panel that ends a paused cell: a person decides there, and the answer goes on in the same output."""

from __future__ import annotations

import asyncio

from agno_nb.errors import InvalidInputError
from agno_nb.notebook.render import render_text
from agno_nb.run.runnable import Runnable
from agno_nb.types import RunOutput
from agno_nb.widgets.base import StaticView, has_front_end, refresh_all
from agno_nb.widgets.conversation import answer_html, answer_view, pending_items
from agno_nb.widgets.streaming import StreamingWidget, apply_decision, continue_or_save, decides


def show_approval(runnable: Runnable, run: RunOutput, display_id: str) -> None:
    """Put the panel into the output of a paused run, where somebody is there to see it.

    The run is in the store and the panel only looks at it: what the panel does, ``%agent approve`` does too, and a
    chat panel on the session does, in this kernel or in another one.
    """
    if runnable.db is not None and has_front_end():
        Approvals(runnable, run).replace_display(display_id)


class Approvals(StreamingWidget):
    """What a paused run waits for. It closes, and leaves the answer, when the run has gone on to its end."""

    kind = "approvals"

    def __init__(self, runnable: Runnable, run: RunOutput) -> None:
        super().__init__()
        self._runnable = runnable
        self._run = run
        self._metadata = {"agno_nb": {"run_id": run.run_id, "session_id": run.session_id}}
        self._look(run)

    def static_view(self) -> StaticView:
        return StaticView(answer_html(self._run), render_text(answer_view(self._run)))

    async def refresh(self) -> None:
        """Notice that the run was continued by ``%agent approve``, by a chat panel or in another notebook."""
        if self._answering is None:
            await self._refreshed()

    def _look(self, run: RunOutput) -> None:
        self._run = run
        with self.hold_sync():
            self.show({"run_id": run.run_id, "html": answer_html(run, asks=False), "pending": pending_items(self._run)})
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
        """Decide on one call, and continue the run when all is decided."""
        if self._answering is not None or run_id != self._run.run_id:
            raise InvalidInputError("the run goes on already")
        # Some of it may have been decided elsewhere meanwhile, and the store knows.
        run = apply_decision(await self._stored(), requirement_id, decision=decision, note=note, values=values)
        events = await continue_or_save(self._runnable, run)
        if events is None:
            await self._refreshed()
            refresh_all()
            return
        await self._stream_run(events, at_first=answer_html(self._run, asks=False))
