"""Runs whose end could not be stored.

They are kept here and stored before the next write of any run to the same store, by a retry in the background, or when
the interpreter exits, so that the RUNNING row does not outlive the turn.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from agno_nb.db.base import Db
from agno_nb.db.process_id import runs_in_progress
from agno_nb.errors import SessionNotFoundError, StoreError, StoreLocked, describe, is_store_failure, message_of
from agno_nb.event_loop import Job, before_thread_pools_end, uncancellable
from agno_nb.types import JsonDict, Message, Metrics, RunOutput, RunStatus, StepOutput

_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 60.0


@dataclass(kw_only=True, eq=False)
class RunEnd:
    """The end or pause of a run, with everything that is not stored yet. All methods block."""

    db: Db
    run: RunOutput
    messages: Sequence[Message] = ()
    steps: Sequence[tuple[StepOutput, int]] = ()
    """Step results of a workflow, each with its index."""
    events: Sequence[Callable[[], object]] = ()
    session_state: JsonDict | None = None
    base_state: JsonDict | None = None
    is_uncertain: bool = False
    """Whether an earlier save failed. The store may still have committed it."""
    error: StoreError | None = field(init=False, default=None)
    """Error of the last attempt to store it."""

    def store(self) -> None:
        if self.is_uncertain:
            self._drop_stored(self.db.get_run(self.run.run_id, self.run.session_id))
        while self.steps:
            self.db.add_step(self.run, *self.steps[0])
            self.steps = self.steps[1:]
        while self.events:
            self.events[0]()
            self.events = self.events[1:]
        self.db.end_run(self.run, self.messages, session_state=self.session_state, base_state=self.base_state)

    def _drop_stored(self, stored: RunOutput | None) -> None:
        if stored is None:
            return
        known = {message.message_id for message in stored.messages}
        self.messages = [message for message in self.messages if message.message_id not in known]
        done = {_key(step) for step in stored.step_results}
        self.steps = [(step, index) for step, index in self.steps if _key(step) not in done]

    def store_parts(self, error: BaseException) -> None:
        """Store the run as failed with `error`, with every part that the store accepts.

        Raises
        ------
        StoreError
            Even the row of the run could not be stored.
        """
        bare = self._store_bare(error)
        run = replace(self.run, status=bare.status, error_type=bare.error_type, error=bare.error, state_changes=[])
        for step, index in self.steps:
            with suppress(Exception):
                self.db.add_step(run, step, index)
        for message in self.messages:
            with suppress(Exception):
                self.db.add_messages(run, [message])
        for fuller in (run, replace(bare, content=run.content), bare):
            with suppress(Exception):
                self.db.end_run(fuller)
                return

    def _store_bare(self, error: BaseException) -> RunOutput:
        run = self.run
        failure = (run.error_type, run.error) if run.error_type else (type(error).__name__, message_of(error))
        bare = replace(
            run,
            status=RunStatus.ERROR,
            error_type=failure[0],
            error=failure[1],
            content=None,
            reasoning_content=None,
            requirements=[],
            state_changes=[],
            context_report=None,
            metrics=Metrics(duration_s=run.metrics.duration_s),
        )
        self.db.end_run(bare)
        return bare

    def store_late(self) -> None:
        """Store the missing parts after a failed attempt.

        Raises
        ------
        StoreError
            The store still fails.
        """
        stored = self.db.get_run(self.run.run_id, self.run.session_id)
        if stored is None or stored.status is not RunStatus.RUNNING:
            return  # Never opened, deleted, or stored although the store reported a failure.
        self.is_uncertain = True
        try:
            self.store()
        except SessionNotFoundError:
            raise
        except Exception as error:
            if is_store_failure(error):
                raise
            self.store_parts(error)


def _key(step: StepOutput) -> tuple[object, ...]:
    return step.path, step.status, round(step.created_at, 3)


_unstored: dict[str, list[RunEnd]] = {}
"""Ends by store identity, oldest first. Changed on the background loop only."""
_storing = asyncio.Lock()
_retrying: set[asyncio.Task[None]] = set()
_waits_at_exit: list[bool] = []


def keep(end: RunEnd, error: StoreError) -> None:
    """Keep the end of a run that could not be stored because of `error`, and retry later."""
    end.error = error
    runs_in_progress.discard(end.run.run_id)
    _unstored.setdefault(end.db.identity, []).append(end)
    if not _waits_at_exit:
        _waits_at_exit.append(True)
        before_thread_pools_end(_finish)
    _retry_later(end.db.identity, _FIRST_RETRY_S)


async def store_unstored(db: Db | None, *, needed: RunOutput | None = None) -> None:
    """Try to store the ends of earlier runs that `db` failed to store.

    Raises
    ------
    StoreError
        The end of `needed` could still not be stored.
    """
    if not _unstored or db is None or db.identity not in _unstored:
        return
    await uncancellable(_store_all(db.identity))
    for end in _unstored.get(db.identity, ()):
        if needed is not None and end.error is not None and needed.run_id == end.run.run_id:
            end.error.run_output = needed
            raise end.error


async def _store_all(identity: str) -> None:
    async with _storing:
        for end in list(_unstored.get(identity, ())):
            try:
                await asyncio.to_thread(end.store_late)
            except StoreLocked as error:
                end.error = error
                return
            except StoreError as error:
                # There may be space for a smaller one.
                end.error = error
                continue
            except Exception as error:
                # Retrying would not help.
                if not isinstance(error, SessionNotFoundError):
                    warnings.warn(
                        f"the end of run {end.run.run_id!r} could not be stored: {describe(error)}", stacklevel=1
                    )
            _unstored[identity].remove(end)
        if not _unstored.get(identity):
            _unstored.pop(identity, None)


def _retry_later(identity: str, wait_s: float) -> None:
    async def retry() -> None:
        await _store_all(identity)
        if identity in _unstored:
            _retry_later(identity, min(wait_s * 2, _LAST_RETRY_S))

    def start() -> None:
        if identity in _unstored:
            task = asyncio.ensure_future(retry())
            _retrying.add(task)
            task.add_done_callback(_retrying.discard)

    asyncio.get_running_loop().call_later(wait_s, start)


def _finish() -> None:
    """Retry once when the interpreter exits."""
    for identity in list(_unstored):
        with suppress(KeyboardInterrupt):
            Job(_store_all(identity)).wait()
    for end in [end for ends in _unstored.values() for end in ends]:
        warnings.warn(f"the end of run {end.run.run_id!r} could not be stored: {end.error}", stacklevel=1)


def _after_fork_in_child() -> None:
    """Leave the unstored ends to the parent process."""
    global _storing
    _unstored.clear()
    _storing = asyncio.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
