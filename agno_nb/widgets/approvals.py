"""Runs that stream into a widget, can be stopped there, and continue after a person has decided.

:class:`Approvals` is the widget below a paused cell; :class:`agno_nb.widgets.chat.Chat` is the other one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from agno_nb.errors import AgnoNbError, InvalidInputError
from agno_nb.notebook.live import LiveAnswer
from agno_nb.notebook.render import render_text
from agno_nb.run import defaults
from agno_nb.run.entrypoints import AsyncRunStream
from agno_nb.run.runnable import Runnable
from agno_nb.run_view import view_of_run
from agno_nb.types import Requirement, RunOutput
from agno_nb.widgets.base import BaseWidget, StaticView, has_front_end, refresh_all
from agno_nb.widgets.conversation import answer_html, pending_items
from agno_nb.widgets.intents import id_value, intent, named, one_of, text


class _Shell:
    """The part of a shell that :class:`LiveAnswer` writes to. It passes each version of the answer to the widget."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.display_pub = self
        self._show = show

    def publish(self, data: Mapping[str, str], metadata: object, *, transient: object, update: bool) -> None:
        self._show(data["text/html"])


class StreamingWidget(BaseWidget):
    """A widget in which answers stream, one at a time, and can be stopped."""

    def __init__(self, runnable: Runnable) -> None:
        super().__init__()
        self._runnable = runnable
        self._answering: asyncio.Task[None] | None = None

    def _show_instead_of_answer(self, content: Mapping[str, Any]) -> None:
        """Show content without the answer in progress, in one message to the browser."""
        with self.hold_sync():
            self.show(content)
            self._arriving = {}

    def _stored_run(self, run_id: str) -> RunOutput:
        """Read a run that the widget shows: some of its calls may have been decided elsewhere."""
        raise NotImplementedError

    async def _show_continued(self, run: RunOutput, events: AsyncRunStream) -> None:
        """Show a run that continues after the last decision."""
        raise NotImplementedError

    def _get_run(self, run_id: str, session_id: str) -> RunOutput:
        run = self._runnable.store.get_run(run_id, session_id)
        if run is None:
            raise InvalidInputError(f"run {run_id!r} is no longer in the store")
        return run

    @intent(
        run_id=id_value,
        requirement_id=id_value,
        decision=one_of("approve", "reject"),
        note=text(2_000),
        values=named(text(20_000)),
    )
    async def _decide(
        self, *, run_id: str, requirement_id: str, decision: str, note: str, values: Mapping[str, str]
    ) -> None:
        """Decide about a pending call of a paused run, and continue the run after the last decision."""
        run = await asyncio.to_thread(self._stored_run, run_id)
        if not run.is_paused:
            raise InvalidInputError(f"run {run.run_id!r} is no longer waiting for a decision: it is {run.status}")
        requirement = next((each for each in run.requirements if each.requirement_id == requirement_id), None)
        if requirement is None:
            raise InvalidInputError(f"run {run.run_id!r} has no requirement {requirement_id!r}; reload the page")
        _apply_decision(requirement, decision, note, values)
        if run.active_requirements:
            await asyncio.to_thread(self._runnable.store.save_approvals, run)
        # Saving also reads answers that others have stored, and one of them may have been the last.
        if run.active_requirements:
            await self._refreshed()
            refresh_all()
            return
        events = self._runnable.acontinue_run(
            run_id=run.run_id,
            session_id=run.session_id,
            user_id=run.user_id,
            requirements=run.requirements,
            stream=True,
            stream_events=True,
        )
        await self._show_continued(run, events)

    async def _stream_run(self, events: AsyncRunStream, *, at_first: str = "", **place: object) -> None:
        """Show a run in progress, starting from the HTML `at_first`, and the stored run when it has ended.

        A failed run shows its error itself; any other exception is raised.
        """

        def show(html: str) -> None:
            self._arriving = {**place, "html": html}

        async def read_events() -> None:
            answer = LiveAnswer(_Shell(show))
            async with events:
                async for event in events:
                    answer.feed(event)

        show(at_first)
        self._answering = asyncio.ensure_future(read_events())
        try:
            await asyncio.wait({self._answering})
            error = None if self._answering.cancelled() else self._answering.exception()
        finally:
            self._answering = None
            await self._refreshed()
            refresh_all()
        if error is not None and not (isinstance(error, AgnoNbError) and error.run_output is not None):
            raise error

    @intent()
    async def _stop(self) -> None:
        """Stop the answer in progress. Its partial output is kept."""
        if self._answering is not None:
            self._answering.cancel()


def _apply_decision(requirement: Requirement, decision: str, note: str, values: Mapping[str, str]) -> None:
    if decision == "reject":
        requirement.reject(note or None)
    elif requirement.kind == "confirmation":
        requirement.confirm(note or None)
    elif requirement.kind == "user_input":
        requirement.provide_user_input(values)
    elif "result" in values:
        requirement.set_external_execution_result(values["result"])
    else:
        raise InvalidInputError(f"no result was sent for {requirement}; reload the page")
    of_notebook = defaults.of_notebook
    requirement.resolved_by = None if of_notebook is None else of_notebook().current_user_id


def show_approval(runnable: Runnable, run: RunOutput, display_id: str) -> None:
    """Show the widget in the output of a paused run if there is a front end.

    The run is in the store, so ``%agent approve`` and chat widgets do the same, in this kernel or another.
    """
    if runnable.current_db is not None and has_front_end():
        Approvals(runnable, run).publish(display_id, update=True)


class Approvals(StreamingWidget):
    """The pending calls of a paused run. The widget closes and leaves the answer when the run has ended."""

    kind = "approvals"

    def __init__(self, runnable: Runnable, run: RunOutput) -> None:
        super().__init__(runnable)
        self._run = run
        self._metadata = {"agno_nb": {"run_id": run.run_id, "session_id": run.session_id}}
        self._show_run(run)

    def static_view(self) -> StaticView:
        return StaticView(answer_html(self._run), render_text(view_of_run(self._run)))

    async def refresh(self) -> None:
        """Notice that the run was continued by ``%agent approve``, by a chat widget or in another notebook."""
        if self._answering is None:
            await self._refreshed()

    def _show_run(self, run: RunOutput) -> None:
        self._run = run
        html = answer_html(run, with_questions=False)
        self._show_instead_of_answer({"run_id": run.run_id, "html": html, "pending": pending_items(run)})

    async def _refreshed(self) -> None:
        async with self._refresh_lock:
            run = await asyncio.to_thread(self._runnable.store.get_run, self._run.run_id, self._run.session_id)
            if run is not None:
                await asyncio.to_thread(self._show_run, run)
        if run is None or not run.is_paused:
            self.close()

    def _stored_run(self, run_id: str) -> RunOutput:
        if self._answering is not None or run_id != self._run.run_id:
            raise InvalidInputError(f"run {run_id!r} has already been continued")
        return self._get_run(run_id, self._run.session_id)

    async def _show_continued(self, run: RunOutput, events: AsyncRunStream) -> None:
        await self._stream_run(events, at_first=answer_html(self._run, with_questions=False))
