"""Session summaries and user memories of an agent, updated after its runs."""

from __future__ import annotations

import asyncio
import warnings
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from agno_nb.db.base import Db, as_sync
from agno_nb.errors import InvalidInputError, SessionNotFoundError
from agno_nb.event_loop import run_awaiting, run_blocking
from agno_nb.memory.manager import MemoryManager
from agno_nb.memory.v2 import Memory
from agno_nb.memory.writer import MemoryWriter, load_memories
from agno_nb.models.base import Model
from agno_nb.redact import warn
from agno_nb.run.background_tasks import BackgroundTask, QueueKey, run_in_order, wait_for
from agno_nb.run.context import RunContext
from agno_nb.run.runnable import Runnable
from agno_nb.session.summary import SessionSummaryManager
from agno_nb.types import Metrics, RunOutput, SessionSummary, UserMemory, now


@dataclass(eq=False, repr=False, kw_only=True)
class SummariesAndMemories(Runnable, ABC):
    """A runnable with a model that can summarise its sessions and remember facts about its users.

    Both happen in the background after a run is completed. Anything that needs the result waits until it is ready.
    """

    enable_session_summaries: bool = False
    """Update the session's summary after every completed run. Setting a manager or a prompt enables it too."""
    session_summary_manager: SessionSummaryManager | None = None
    """Settings for summaries, such as the model."""
    session_summary_prompt: str | None = None
    """Instructions for the summary; a shorthand for a manager with this prompt."""
    add_session_summary_to_context: bool | None = None
    """Add the summary of turns outside the history to the system prompt; defaults to whether summaries are enabled."""
    update_memory_on_run: bool = False
    """Extract memories from the user's message after every completed run. Members and steps extract them from their
    task, when the whole turn is over."""
    enable_agentic_memory: bool = False
    """Let the model change the memories with the tool `update_user_memory`, instead of after the run."""
    add_memories_to_context: bool | None = None
    """Add the user's memories to the system prompt; defaults to whether memories are enabled or a manager is set."""
    memory_manager: MemoryManager | None = None
    """Settings for memories, such as the model."""
    memory: Memory | None = None
    """Deprecated: ``Memory()`` of `agno_nb.memory.v2` gives the agent an in-memory store if it has none."""

    _warned_no_user: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.memory is not None:
            from agno_nb.db.in_memory import InMemoryDb

            warnings.warn(
                "memory=Memory() is now db=InMemoryDb(), or any other store", DeprecationWarning, stacklevel=4
            )
            self.db = InMemoryDb() if self.db is None else self.db
        if self.session_summary_prompt is not None and self.session_summary_manager is not None:
            raise InvalidInputError(
                "session_summary_prompt and session_summary_manager are both set; pass the prompt to the manager"
            )
        own, db = self.current_db, as_sync(self.memory_manager.db) if self.memory_manager is not None else None
        if db is not None and (own is None or own.memory_store.identity != db.memory_store.identity):
            raise InvalidInputError(
                f"memory_manager stores memories in {db!r}, but the store of {self!r} is {own!r}; "
                "leave out db= of the manager, or use the same store for both"
            )

    @property
    @abstractmethod
    def resolved_model(self) -> Model:
        """The model in use. By default it also writes summaries and memories."""

    @property
    def _summaries_enabled(self) -> bool:
        settings = self.session_summary_manager or self.session_summary_prompt
        return self.enable_session_summaries or settings is not None

    @property
    def _memories_enabled(self) -> bool:
        return self.update_memory_on_run or self.enable_agentic_memory

    def background_tasks(self, context: RunContext) -> Iterable[BackgroundTask]:
        """Return the tasks that update the summary and the memories.

        If the answer came from the response cache, the summary after the cached run is copied, so that the next run has
        the same context too.
        """
        db, run = context.db, context.run
        if db is None:
            return
        is_cached = run.replay_of_run_id is not None
        if self._summaries_enabled and context.enclosing_turn is None:
            key = QueueKey.summary(db, run.session_id)
            if is_cached:
                copy = partial(asyncio.to_thread, _copy_summary, db, run)
                yield BackgroundTask(key, copy, "could not copy the summary of the cached run")
            else:
                update = partial(self._update_summary, db, run)
                yield BackgroundTask(key, update, "could not update the session's summary")
        writer = None if is_cached else self.memory_writer(context)
        if writer is not None and self.update_memory_on_run and not self.enable_agentic_memory:
            extract = partial(writer.extract, run.input)
            yield BackgroundTask(writer.queue_key, extract, "could not extract memories from the user's message")

    async def _update_summary(self, db: Db, run: RunOutput) -> None:
        manager = self.session_summary_manager or SessionSummaryManager(
            session_summary_prompt=self.session_summary_prompt
        )
        with suppress(SessionNotFoundError):  # It has been deleted.
            await manager.update(db, run.session_id, model=self.resolved_model, to_run_index=run.run_index)

    def memory_writer(self, context: RunContext) -> MemoryWriter | None:
        """Return the writer of the user's memories. Without a user or a store, warn once and return None."""
        if not self._memories_enabled:
            return None
        db, user_id = context.db, context.user_id
        if db is None or user_id is None:
            if not self._warned_no_user:
                self._warned_no_user = True
                missing = "user; pass user_id=... to the run or the agent" if db else "store; pass db=... to the agent"
                warn(f"{self!r} stores no memories because it has no {missing}")
            return None
        manager = self.memory_manager or MemoryManager()
        manager.attach(db)
        return MemoryWriter(
            manager,
            db,
            user_id,
            model=self.resolved_model,
            component_id=self.component_id,
            run=context.run,
        )

    def get_session_summary(
        self, session_id: str | None = None, *, user_id: str | None = None
    ) -> SessionSummary | None:
        """Return the latest summary of a session, after a pending update; None if there is none.

        Raises
        ------
        SessionNotFoundError
        SessionOwnershipError
            The session belongs to another user.
        """
        return run_blocking(self._wait_and_get_summary(session_id, user_id), method="get_session_summary()")

    def aget_session_summary(
        self, session_id: str | None = None, *, user_id: str | None = None
    ) -> Coroutine[Any, Any, SessionSummary | None]:
        """Async version of :meth:`get_session_summary`."""
        return run_awaiting(self._wait_and_get_summary(session_id, user_id))

    async def _wait_and_get_summary(self, session_id: str | None, user_id: str | None) -> SessionSummary | None:
        store, session_id = self.store, await asyncio.to_thread(self._checked_id, session_id, user_id)
        await wait_for(QueueKey.summary(store, session_id))
        await asyncio.to_thread(self._require_session, session_id, user_id)
        return await asyncio.to_thread(store.get_summary, session_id)

    def get_user_memories(self, user_id: str | None = None) -> list[UserMemory]:
        """Return the memories of a user, oldest first, after pending updates.

        Raises
        ------
        InvalidInputError
            Neither the call nor the agent has a `user_id`.
        """
        return run_blocking(self._wait_and_get_memories(user_id), method="get_user_memories()")

    def aget_user_memories(self, user_id: str | None = None) -> Coroutine[Any, Any, list[UserMemory]]:
        """Async version of :meth:`get_user_memories`."""
        return run_awaiting(self._wait_and_get_memories(user_id))

    async def _wait_and_get_memories(self, user_id: str | None) -> list[UserMemory]:
        owner = self._user(user_id)
        if owner is None:
            raise InvalidInputError("memories belong to a user; pass user_id=...")
        return await load_memories(self.store, owner)


def _copy_summary(db: Db, run: RunOutput) -> None:
    assert run.replay_of_run_id is not None
    stored = db.get_run(run.replay_of_run_id)
    summary = None if stored is None else db.get_summary_after(stored)
    if summary is None or run.run_index is None:
        return
    first = 0 if summary.from_run_index is None else summary.from_run_index
    free = Metrics(input_tokens=0, output_tokens=0, cost=0.0)
    with suppress(SessionNotFoundError):  # It has been deleted.
        db.add_summary(
            replace(
                summary,
                session_id=run.session_id,
                from_run_index=min(first, run.run_index),
                to_run_index=run.run_index,
                metrics=free,
                updated_at=max(now(), run.ended_at or run.created_at),
            )
        )


async def update_user_memory(task: str, agent: SummariesAndMemories, run_context: RunContext) -> str:
    """Remember, change or forget a fact about the user, for this and later conversations.

    Args:
        task: The fact to remember, change or forget, in a sentence.
    """
    writer = agent.memory_writer(run_context)
    assert writer is not None  # Otherwise the model does not have the tool.
    # The change is completed even if the run is cancelled.
    return await asyncio.shield(run_in_order(writer.queue_key, lambda: writer.apply(task)))
