"""Store a run while it is in progress, and keep what could not be stored.

A :class:`RunRecorder` has the messages, steps, events and partial answer that are not stored yet. If the end of its run
cannot be stored, the recorder is kept here. It is stored before the next write of any run to the same store, by a retry
in the background, or when the interpreter exits, so that the RUNNING row does not outlive the turn. Both are in one
file, because a kept recorder stores itself, and each write stores the kept recorders first.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec, TypeVar

from agno_nb.db.base import Db
from agno_nb.db.group_commit import StoreCall
from agno_nb.db.process_id import runs_in_progress
from agno_nb.db.session_state import changes, copy_state
from agno_nb.errors import SessionNotFoundError, StoreError, StoreLocked, describe, is_store_failure, message_of
from agno_nb.event_loop import Job, before_thread_pools_end, loop_is_idle, uncancellable
from agno_nb.redact import warn
from agno_nb.run.write_queue import commit_with_others
from agno_nb.types import JsonDict, Message, Metrics, RunEvent, RunOutput, RunStatus, StepOutput, new_id

P = ParamSpec("P")
T = TypeVar("T")

PARTIAL_SAVE_S = 2.0
"""Seconds of an arriving answer that may be lost if the process is killed."""
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 60.0


@dataclass(kw_only=True, eq=False)
class RunRecorder:
    """Everything of a run that is not stored yet. If a save fails, the next write of the run includes its data."""

    run: RunOutput
    db: Db | None
    persisted_form: Callable[[Message], Message | None]
    """Returns the stored form of a message, or None to store nothing."""
    stores_messages: bool = True
    """Whether messages and content are stored. The run's row, with tokens and times, always is."""
    stores_media: bool = True
    """Whether media are stored with their messages."""
    initial_state: JsonDict = field(default_factory=dict)
    """Session state at the start of the run; of a continued run, at its first start."""
    base_state: JsonDict = field(default_factory=dict)
    """Session state as the store had it when it was last read or written."""
    final_state: JsonDict | None = None
    """Session state to store with the end of the run; None to leave the stored state as it is."""
    state_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Of a turn: held while a step's state is stored, so that concurrent steps store theirs in order."""
    partial: PartialAnswer | None = None
    """The answer that is arriving. It is kept if the run is interrupted."""
    unsaved: list[Message] = field(default_factory=list)
    unsaved_steps: list[tuple[StepOutput, int]] = field(default_factory=list)
    """Step results that could not be stored when their steps ended, each with its index."""
    unsaved_events: list[Callable[[], object]] = field(default_factory=list)
    """Calls that store events, which failed when the events happened."""
    has_failed_save: bool = False
    """Whether the store failed to save something. It may still have committed it."""
    end_error: StoreError | None = None
    """Error of the last attempt to store the end of the run."""
    latest_at: float = 0.0
    """Time of the run's latest message."""

    def add_message(self, message: Message) -> None:
        """Append a message to the run. The next :meth:`save` stores it."""
        self.run.messages.append(message)
        self.mark_unsaved(message)

    def mark_unsaved(self, message: Message) -> None:
        """Let the next :meth:`save` store a message that is already in its place in the run."""
        message.run_id = self.run.run_id
        self.unsaved.append(message)
        if message.from_history:
            return
        # Later messages have later times, even if the clock was set back in between.
        before = max(self.latest_at, self.run.created_at)
        if message.created_at < before:
            message.created_at = before + 1e-6
        for call in message.tool_calls:
            if call.created_at < before:
                call.created_at = before + 1e-6
            before = call.created_at
        self.latest_at = max(before, message.created_at)

    def keep_partial(self) -> None:
        """Add the answer of an interrupted request to the run, as far as it has arrived."""
        partial, self.partial = self.partial, None
        if partial is None or not partial.has_text:
            return
        message = partial.to_message()
        self.add_message(message)
        self.run.content, self.run.reasoning_content = message.content, message.reasoning_content

    def to_persisted(self, messages: Iterable[Message]) -> list[Message]:
        """Return the stored form of messages."""
        if not self.stores_messages:
            return []
        forms = [form for message in messages if (form := self.persisted_form(message)) is not None]
        if self.stores_media:
            return forms
        return [replace(form, media=[]) if form.media else form for form in forms]

    async def save(self, arriving: Message | None = None) -> None:
        """Store the new messages, and an answer that is still arriving."""
        new, self.unsaved = self.unsaved, []
        messages = self.to_persisted(new)
        partial = self.to_persisted([arriving]) if arriving is not None else []
        if self.db is None or not (messages or partial):
            return
        try:
            if partial:
                await self.write(self.db.save_partial, self.run, partial[0], messages)
            else:
                await self.write(self.db.add_messages, self.run, messages)
        except BaseException:
            self.unsaved[:0], self.has_failed_save = new, True
            raise

    async def save_event(self, event: RunEvent, content: str, **values: Any) -> None:
        """Store an event. `values` are the keyword arguments of ``Db.add_event()``."""
        if self.db is None:
            return
        try:
            await self.write(self.db.add_event, self.run, event, content, **values)
        except StoreError:
            self.unsaved_events.append(functools.partial(self.db.add_event, self.run, event, content, **values))
            raise

    async def save_step(self, output: StepOutput, state: JsonDict, turn: RunRecorder) -> None:
        """Add the result of a step to the run, and store it with the session state that it left.

        `turn` records the turn that the run is part of; the changes of the state are stored with the turn.
        """
        index = len(self.run.step_results)
        self.run.step_results.append(output)
        if self.db is None:
            return
        try:
            await store_unstored(self.db)
            await uncancellable(self._store_step(output, index, state, turn))
        except StoreError as error:
            # The step is done. The end of the run stores it.
            error.run_output = self.run
            self.unsaved_steps.append((output, index))
            self.has_failed_save = True
            raise
        except BaseException:
            self.run.step_results.remove(output)
            raise

    async def _store_step(self, output: StepOutput, index: int, session_state: JsonDict, turn: RunRecorder) -> None:
        assert self.db is not None
        async with turn.state_lock:
            state, earlier_changes = copy_state(session_state), turn.run.state_changes
            turn.record_state_changes(state)
            try:
                await self.write(
                    self.db.add_step,
                    *(self.run, output, index),
                    session_state=state,
                    base_state=turn.base_state,
                    state_changes=None if turn.run.state_changes == earlier_changes else turn.run.state_changes,
                )
            except BaseException:
                turn.run.state_changes = earlier_changes
                raise
            # Later writes compare with the state that is stored now.
            turn.base_state = state

    def record_state_changes(self, state: JsonDict) -> None:
        """Set the run's state changes: the differences between its initial state and `state`."""
        self.run.state_changes = changes(self.initial_state, state)

    @property
    def _persisted_run(self) -> RunOutput:
        return self.run if self.stores_messages else replace(self.run, content=None, reasoning_content=None)

    async def store_end(self) -> None:
        """Store the end or pause of the run with everything that is not stored yet."""
        if self.has_failed_save or self.unsaved_steps or self.unsaved_events:
            await self.in_store(self._store_everything)
            return
        assert self.db is not None
        messages = self.to_persisted(self.unsaved)
        state = {"session_state": self.final_state, "base_state": self.base_state}
        await self.write(self.db.end_run, self._persisted_run, messages, **state)
        self.unsaved = []

    def _store_everything(self) -> None:
        """Store the end of the run, after what could not be stored before. Blocks."""
        assert self.db is not None
        if self.has_failed_save:
            self._drop_stored(self.db.get_run(self.run.run_id, self.run.session_id))
        while self.unsaved_steps:
            self.db.add_step(self.run, *self.unsaved_steps[0])
            del self.unsaved_steps[0]
        while self.unsaved_events:
            self.unsaved_events[0]()
            del self.unsaved_events[0]
        messages = self.to_persisted(self.unsaved)
        self.db.end_run(self._persisted_run, messages, session_state=self.final_state, base_state=self.base_state)
        self.unsaved = []

    def _drop_stored(self, stored: RunOutput | None) -> None:
        if stored is None:
            return
        known = {message.message_id for message in stored.messages}
        self.unsaved = [message for message in self.unsaved if message.message_id not in known]
        done = {_key(step) for step in stored.step_results}
        self.unsaved_steps = [(step, index) for step, index in self.unsaved_steps if _key(step) not in done]

    def store_accepted_parts(self) -> None:
        """Store the end of the run. If the store does not accept a value, store the run as failed, without it. Blocks.

        Raises
        ------
        SessionNotFoundError
        StoreError
            The store failed, or did not even accept the row of the run.
        """
        try:
            self._store_everything()
        except SessionNotFoundError:
            raise
        except Exception as error:
            if is_store_failure(error):
                raise
            self._store_parts(error)

    def _store_parts(self, error: BaseException) -> None:
        assert self.db is not None
        own = self._persisted_run
        run = replace(own, status=RunStatus.ERROR, state_changes=[])
        if run.error_type is None:
            run.error_type, run.error = type(error).__name__, message_of(error)
        bare = replace(
            run,
            content=None,
            reasoning_content=None,
            requirements=[],
            context_report=None,
            metrics=Metrics(duration_s=run.metrics.duration_s),
        )
        self.db.end_run(bare)
        for step, index in self.unsaved_steps:
            with suppress(Exception):
                self.db.add_step(run, step, index)
        for message in self.to_persisted(self.unsaved):
            with suppress(Exception):
                self.db.add_messages(run, [message])
        for fuller in (run, replace(bare, content=run.content), bare):
            with suppress(Exception):
                self.db.end_run(fuller)
                return

    def store_late(self) -> None:
        """Store the end of the run after a failed attempt, unless the store has no open row of the run. Blocks."""
        assert self.db is not None
        stored = self.db.get_run(self.run.run_id, self.run.session_id)
        # Without an open row, the run was never opened, deleted, or stored although the store reported a failure.
        if stored is not None and stored.status is RunStatus.RUNNING:
            self.has_failed_save = True
            self.store_accepted_parts()

    async def write(self, method: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the run's store that writes, and finish it even if the run is cancelled.

        A switch to another thread takes up to a tenth of a short turn. If the store is not in use and no other task
        needs the event loop, the call is made on the loop. Otherwise, calls of several runs are committed together.
        """
        await store_unstored(self.db)
        db = self.db
        if db is not None and db.is_uncontended and loop_is_idle():
            return method(*args, **kwargs)
        if db is not None and db.groups_commits:
            return await uncancellable(commit_with_others(db, StoreCall(method, args, kwargs)))
        return await uncancellable(asyncio.to_thread(method, *args, **kwargs))

    async def in_store(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do several calls of the run's store as one piece of work, and finish it even if the run is cancelled."""
        await store_unstored(self.db)
        if self.db is not None and self.db.is_uncontended and loop_is_idle():
            return work(*args, **kwargs)
        return await uncancellable(asyncio.to_thread(work, *args, **kwargs))


class PartialAnswer:
    """An answer that is arriving, stored at most every `PARTIAL_SAVE_S`. For a faster answer that costs one timer.

    A failed save is not reported: the text is stored again later, at the latest when the run ends.
    """

    def __init__(self, recorder: RunRecorder, model: str) -> None:
        self._recorder = recorder
        self._message = Message(role="assistant", content="", model=model)
        self.message_id = self._message.message_id
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._partial_id = new_id()  # Differs from the answer's ID; the answer's row replaces this one.
        self._timer: asyncio.TimerHandle | None = None
        self._saving: asyncio.Task[None] | None = None
        self._is_over = False

    @property
    def has_text(self) -> bool:
        return bool(self._content or self._reasoning)

    @property
    def content(self) -> str:
        return "".join(self._content)

    @property
    def reasoning_content(self) -> str:
        return "".join(self._reasoning)

    def add(self, content: str, reasoning_content: str, *, discards_content: bool = False) -> None:
        """Append text, to be stored soon. `discards_content` drops the earlier content."""
        if discards_content:
            self._content.clear()
        if content:
            self._content.append(content)
        if reasoning_content:
            self._reasoning.append(reasoning_content)
        self._save_later()

    def to_message(self) -> Message:
        """Return the text so far as an interrupted message."""
        return replace(
            self._message,
            content=self.content,
            reasoning_content=self.reasoning_content or None,
            finish_reason="interrupted",
        )

    def _save_later(self) -> None:
        if self._timer is None and not self._is_over and self._recorder.db is not None:
            self._timer = asyncio.get_running_loop().call_later(PARTIAL_SAVE_S, self._start)

    def _start(self) -> None:
        self._timer = None
        if self._saving is None or self._saving.done():
            self._saving = asyncio.ensure_future(self._save())
        else:
            self._save_later()

    async def _save(self) -> None:
        with suppress(Exception):
            await self._recorder.save(replace(self.to_message(), message_id=self._partial_id))
            return
        self._save_later()

    async def __aenter__(self) -> PartialAnswer:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._saving is not None and not self._saving.done():
            # Stored after the complete answer, the partial one would be a second message.
            await uncancellable(asyncio.wait({self._saving}))


def _key(step: StepOutput) -> tuple[object, ...]:
    return step.path, step.status, round(step.created_at, 3)


_unstored: dict[str, list[RunRecorder]] = {}
"""Recorders whose end could not be stored, by store identity, oldest first. Changed on the background loop only."""
_storing = asyncio.Lock()
_retrying: set[asyncio.Task[None]] = set()


def keep(recorder: RunRecorder, error: StoreError) -> None:
    """Keep a recorder whose end could not be stored because of `error`, and retry later."""
    assert recorder.db is not None
    recorder.end_error = error
    runs_in_progress.discard(recorder.run.run_id)
    _unstored.setdefault(recorder.db.identity, []).append(recorder)
    _wait_at_exit()
    _retry_later(recorder.db.identity, _FIRST_RETRY_S)


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
    for recorder in _unstored.get(db.identity, ()):
        if needed is not None and recorder.end_error is not None and needed.run_id == recorder.run.run_id:
            recorder.end_error.run_output = needed
            raise recorder.end_error


async def _store_all(identity: str) -> None:
    async with _storing:
        for recorder in list(_unstored.get(identity, ())):
            try:
                await asyncio.to_thread(recorder.store_late)
            except StoreError as error:
                recorder.end_error = error
                if isinstance(error, StoreLocked):
                    return
                continue  # There may be space for a smaller one.
            except Exception as error:
                # Retrying would not help.
                if not isinstance(error, SessionNotFoundError):
                    _warn_unstored(recorder, describe(error))
            _unstored[identity].remove(recorder)
        if not _unstored.get(identity):
            _unstored.pop(identity, None)


def _warn_unstored(recorder: RunRecorder, reason: object) -> None:
    warn(f"the end of run {recorder.run.run_id!r} could not be stored: {reason}")


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


@functools.cache
def _wait_at_exit() -> None:
    before_thread_pools_end(_finish)


def _finish() -> None:
    """Retry once when the interpreter exits."""
    for identity in list(_unstored):
        with suppress(KeyboardInterrupt):
            Job(_store_all(identity)).wait()
    for recorder in [recorder for recorders in _unstored.values() for recorder in recorders]:
        _warn_unstored(recorder, recorder.end_error)


def _after_fork_in_child() -> None:
    """Leave the unstored ends to the parent process."""
    global _storing
    _unstored.clear()
    _storing = asyncio.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
