"""Store a run while it is in progress: messages, steps, events and a partial answer that are not stored yet."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import ParamSpec, TypeVar

from agno_nb.db.base import Db
from agno_nb.db.session_state import changes, copy_state
from agno_nb.errors import StoreError
from agno_nb.event_loop import loop_is_idle, uncancellable
from agno_nb.run.unstored_runs import RunEnd, store_unstored
from agno_nb.types import JsonDict, Message, Metrics, RunEvent, RunOutput, StepOutput, new_id

P = ParamSpec("P")
T = TypeVar("T")

PARTIAL_SAVE_S = 2.0
"""Seconds of an arriving answer that may be lost if the process is killed."""


@dataclass(kw_only=True, eq=False)
class RunRecorder:
    """Everything of a run that is not stored yet. If a save fails, the next write of the run includes its data."""

    run: RunOutput
    db: Db | None
    persisted_form: Callable[[Message], Message | None]
    """Returns the stored form of a message, or None to store nothing."""
    stores_messages: bool = True
    """Whether messages and content are stored. The run's row, with tokens and times, always is."""
    initial_state: JsonDict = field(default_factory=dict)
    """Session state at the start of the run; of a continued run, at its first start."""
    base_state: JsonDict = field(default_factory=dict)
    """Session state as the store had it when it was last read or written."""
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
    latest_at: float = 0.0
    """Time of the run's latest message."""

    def add_message(self, message: Message) -> None:
        """Append a message to the run. The next :meth:`save` stores it."""
        self.run.messages.append(message)
        self.mark_unsaved(message)

    def mark_unsaved(self, message: Message) -> None:
        """Let the next :meth:`save` store a message that is already in its place in the run."""
        message.run_id = self.run.run_id
        if not message.from_history:
            self._keep_time_order(message)
        self.unsaved.append(message)

    def _keep_time_order(self, message: Message) -> None:
        """Give later messages later times, even if the clock was set back in between."""
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
        return [form for message in messages if (form := self.persisted_form(message)) is not None]

    async def save(self) -> None:
        """Store the new messages."""
        new, self.unsaved = self.unsaved, []
        messages = self.to_persisted(new)
        if self.db is not None and messages:
            try:
                await self.in_store(self.db.add_messages, self.run, messages)
            except BaseException:
                self.unsaved[:0], self.has_failed_save = new, True
                raise

    async def save_partial(self, answer: Message) -> None:
        """Store an answer that is still arriving, and the new messages before it."""
        persisted = self.to_persisted([answer])
        if self.db is None or not persisted:
            return
        new, self.unsaved = self.unsaved, []
        try:
            await self.in_store(self.db.save_partial, self.run, persisted[0], self.to_persisted(new))
        except BaseException:
            self.unsaved[:0], self.has_failed_save = new, True
            raise

    async def save_event(
        self, event: RunEvent, content: str, *, details: JsonDict, model: str, duration_s: float | None
    ) -> None:
        """Store an event with its usage."""
        if self.db is None:
            return
        metrics = Metrics(duration_s=duration_s)
        add = functools.partial(
            self.db.add_event, self.run, event, content, details=details, model=model, metrics=metrics
        )
        try:
            await self.in_store(add)
        except StoreError:
            self.unsaved_events.append(add)
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
            add = functools.partial(
                self.db.add_step,
                session_state=state,
                base_state=turn.base_state,
                state_changes=None if turn.run.state_changes == earlier_changes else turn.run.state_changes,
            )
            try:
                await asyncio.to_thread(add, self.run, output, index)
            except BaseException:
                turn.run.state_changes = earlier_changes
                raise
            # Later writes compare with the state that is stored now.
            turn.base_state = state

    def record_state_changes(self, state: JsonDict) -> None:
        """Set the run's state changes: the differences between its initial state and `state`."""
        self.run.state_changes = changes(self.initial_state, state)

    def pop_end(self, session_state: JsonDict | None) -> RunEnd:
        """Return the end of the run with everything that is not stored yet."""
        assert self.db is not None
        messages, self.unsaved = self.unsaved, []
        return RunEnd(
            db=self.db,
            run=self.run if self.stores_messages else replace(self.run, content=None, reasoning_content=None),
            messages=self.to_persisted(messages),
            steps=self.unsaved_steps,
            events=self.unsaved_events,
            session_state=session_state,
            base_state=self.base_state,
            is_uncertain=self.has_failed_save,
        )

    async def in_store(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do work in the run's store, and finish it even if the run is cancelled.

        A switch to another thread takes up to a tenth of a short turn. If the store is not in use and no other task
        needs the event loop, the work is done on the loop.
        """
        await store_unstored(self.db)
        if self.db is not None and self.db.is_uncontended and loop_is_idle():
            return work(*args, **kwargs)
        return await uncancellable(asyncio.to_thread(work, *args, **kwargs))


class PartialAnswer:
    """An answer that is arriving, stored at most every `PARTIAL_SAVE_S`. For a faster answer that costs one timer.

    A failed save is not reported: the text is stored again later, at the latest when the run ends.

    Parameters
    ----------
    recorder : RunRecorder
    model : str
        ID of the model.
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

    def add(self, content: str, reasoning_content: str) -> None:
        """Append text, to be stored soon."""
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
            await self._recorder.save_partial(replace(self.to_message(), message_id=self._partial_id))
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
