"""A run that is answered in a panel: it streams there, can be stopped, and is continued when a person has decided."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from agno_nb.errors import AgnoNbError, InvalidInputError
from agno_nb.notebook.live import LiveAnswer
from agno_nb.run.entrypoints import AsyncRunStream
from agno_nb.run.runnable import Runnable
from agno_nb.types import Requirement, RunOutput
from agno_nb.widgets.base import BaseWidget, refresh_all
from agno_nb.widgets.intents import id_value, intent, named, one_of, text

decides = intent(
    run_id=id_value,
    requirement_id=id_value,
    decision=one_of("approve", "reject"),
    note=text(2_000),
    values=named(text(20_000)),
)
"""Marks the method of a panel that takes what a person has decided on one call."""


class _Shell:
    """The part of a shell that :class:`LiveAnswer` writes to: each state of the answer goes to the panel."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.display_pub = self
        self._show = show

    def publish(self, data: Mapping[str, str], metadata: object, *, transient: object, update: bool) -> None:
        self._show(data["text/html"])


class StreamingWidget(BaseWidget):
    """A panel in which answers arrive, one at a time, and can be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self._answering: asyncio.Task[None] | None = None

    async def _refreshed(self) -> None:
        """Show what is stored by now, and nothing that arrives."""
        raise NotImplementedError

    async def _stream_run(self, events: AsyncRunStream, *, at_first: str = "", **place: object) -> None:
        """Show a run while it goes on, from what stands there `at_first`, and what is stored of it when it has ended.

        It raises what is not a run's: a run that failed says so where it is shown.
        """

        def show(html: str) -> None:
            self._arriving = {**place, "html": html}

        show(at_first)
        self._answering = asyncio.ensure_future(_drive(events, show))
        try:
            await asyncio.wait({self._answering})
            outcome = None if self._answering.cancelled() else self._answering.exception()
        finally:
            self._answering = None
            await self._refreshed()
            refresh_all()
        if outcome is not None and not (isinstance(outcome, AgnoNbError) and outcome.run_output is not None):
            raise outcome

    @intent()
    async def _stop(self) -> None:
        """Stop the answer that arrives. What was said so far is kept."""
        if self._answering is not None:
            self._answering.cancel()


async def _drive(events: AsyncRunStream, show: Callable[[str], None]) -> None:
    """Show a run while it goes on, as often as a browser can draw it. It raises what the run raises."""
    answer = LiveAnswer(_Shell(show))
    async with events:
        async for event in events:
            answer.feed(event)


def apply_decision(
    run: RunOutput | None, requirement_id: str, *, decision: str, note: str, values: Mapping[str, str]
) -> RunOutput:
    """Take in what a person has decided on one call of a paused run, and return the run.

    Raises
    ------
    InvalidInputError
        The run does not wait for it, or a value is missing.
    """
    if run is None:
        raise InvalidInputError("the run is not in the store any more")
    if not run.is_paused:
        raise InvalidInputError(f"run {run.run_id!r} does not wait any more: it is {run.status}")
    for requirement in run.requirements:
        if requirement.requirement_id == requirement_id:
            _apply_to_requirement(requirement, decision, note, values)
            return run
    raise InvalidInputError(f"run {run.run_id!r} does not wait for {requirement_id!r}: reload the page")


async def continue_or_save(runnable: Runnable, run: RunOutput) -> AsyncRunStream | None:
    """Continue a run of which everything is decided; else store what was decided so far, and return None."""
    if run.active_requirements:
        await asyncio.to_thread(runnable.store.save_approvals, run)
    # The last answer may have been stored by somebody else, who was waiting for this one.
    if run.active_requirements:
        return None
    return runnable.acontinue_run(
        run_id=run.run_id,
        session_id=run.session_id,
        user_id=run.user_id,
        requirements=run.requirements,
        stream=True,
        stream_events=True,
    )


def _apply_to_requirement(requirement: Requirement, decision: str, note: str, values: Mapping[str, str]) -> None:
    if decision == "reject":
        requirement.reject(note or None)
    elif requirement.kind == "confirmation":
        requirement.confirm(note or None)
    elif requirement.kind == "user_input":
        requirement.provide_user_input(values)
    elif "result" in values:
        requirement.set_external_execution_result(values["result"])
    else:
        raise InvalidInputError(f"no result was sent for {requirement}: reload the page")
