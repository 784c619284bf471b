"""The store contract, which every backend implements.

All methods block. Runs call them in worker threads, and write on the thread of the event loop if the store
`is_uncontended`, so a store must be thread-safe. A method returns once its effect is durable, or raises.

In every method, ``user_id=None`` matches all owners, and ``""`` matches none.

This file is long because a contract is read as a whole.
"""

from __future__ import annotations

import asyncio
import uuid
from abc import abstractmethod
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar

from agno_nb._agno_parts import missing_attribute
from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db.frame_reader import FrameReader
from agno_nb.db.group_commit import Outcome, StoreCall
from agno_nb.db.statements import page_of
from agno_nb.types import (
    Annotation,
    JsonDict,
    Message,
    Metrics,
    ModelMetrics,
    RunEvent,
    RunOutput,
    RunStatus,
    Session,
    SessionSummary,
    SessionType,
    StepOutput,
    UsageTotals,
    UserMemory,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AsyncDb", "CellTurn", "ContextQuery", "Db", "OpenedRun", "SessionType", "as_sync"]

P = ParamSpec("P")
T = TypeVar("T")


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class ContextQuery:
    """The parts of a session that a run needs. Nothing else is read."""

    num_history_runs: int = 0
    """Number of recent turns whose messages are read (completed, current attempt, not nested)."""
    num_history_messages: int | None = None
    """Number of recent messages to read, instead of whole turns."""
    before_run_index: int | None = None
    """The turn that the history and the summary end before, if it is not the run's: the source of a fork."""
    summary: bool = False
    """Whether to read the latest summary of the turns before those messages."""
    memories: bool = False
    """Whether to read the memories of the run's user."""


NO_CONTEXT = ContextQuery()


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class OpenedRun:
    """Context of a run that was opened, returned by :meth:`Db.open_run`."""

    session: Session
    history: list[Message] = field(default_factory=list)
    """Oldest first, without system messages, each with `from_history` set."""
    turns: list[tuple[int, str]] = field(default_factory=list)
    """`run_index` and `run_id` of the turns in `history`, oldest first."""
    num_superseded: int = 0
    """Number of superseded attempts at those turns, which are not in `history`."""
    summary: SessionSummary | None = None
    memories: list[UserMemory] = field(default_factory=list)
    """Oldest first."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class CellTurn:
    """A turn that was started by a notebook cell."""

    run_index: int
    notebook: str | None
    """Path of the notebook at that time."""
    kernel_id: str | None
    """ID of the kernel that ran the cell."""
    later_turns: tuple[int, ...]
    """`run_index` of the later turns in the session."""


class Db(FrameReader):
    """A store of sessions, runs, messages and tool calls."""

    _id: str | None = None

    @property
    @abstractmethod
    def identity(self) -> str:
        """Name of the store, the same for all objects of one store, without secrets."""

    @property
    def id(self) -> str:
        """Identity of the store for programs written for agno: its `id=`, or one derived from `identity`."""
        return self._id or str(uuid.uuid5(uuid.NAMESPACE_URL, self.identity))

    @property
    def memory_store(self) -> Db:
        """The store that has the user memories: this one, unless tables with other names were chosen."""
        return self

    def __copy__(self) -> Self:
        # Copies of agents share the store of the original.
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @property
    def is_uncontended(self) -> bool:
        """Whether a short write would probably not have to wait for another user of the store."""
        return False

    @property
    def groups_commits(self) -> bool:
        """Whether calls that wait at the same time should be made by :meth:`commit_together`."""
        return False

    def commit_together(self, calls: Sequence[StoreCall]) -> list[Outcome]:
        """Make calls of methods that store runs, in one transaction if possible; return what each returned or raised.

        The effects of all calls are durable when this returns. A call that fails leaves the others alone. The default
        is to make one after the other.
        """
        return [call.outcome() for call in calls]

    @abstractmethod
    def create(self) -> None:
        """Create the store if it doesn't exist; raise an error if it cannot be read and written."""

    # Runs in progress.

    @abstractmethod
    def open_run(
        self,
        run: RunOutput,
        messages: Sequence[Message],
        *,
        session: Session,
        nested: bool = False,
        partial_of: str | None = None,
        query: ContextQuery = NO_CONTEXT,
        is_new_session: bool = False,
    ) -> OpenedRun:
        """Start a run: check the session's owner, store the run and its first messages, and read its context.

        All of this is one transaction. If the session does not exist, it is created from `session`; if it has no owner,
        ``run.user_id`` becomes its owner. ``run.run_index`` and ``run.attempt`` are set to the next free turn. If
        ``run.run_index`` is already set, the run is the next attempt at that turn, and its history ends before that
        turn. A `nested` run is not a turn.

        For a new attempt, the changes that runs of that turn and of later ones made to the session state are reverted,
        apart from values that have been changed since. `partial_of` is the ID of the attempt whose messages the run
        continues: its changes are kept, and added to ``run.state_changes``.

        With `is_new_session`, the ID of the session has just been generated, so it need not be looked up.

        Raises
        ------
        SessionOwnershipError
            The session belongs to another user. Nothing was written or read.
        SessionBusyError
            Another process is executing a turn of the session. Nothing was written.
        """

    @abstractmethod
    def reopen_run(self, run: RunOutput, *, query: ContextQuery = NO_CONTEXT) -> OpenedRun:
        """Continue a paused run: set it RUNNING, store the answers to its requirements, and read its context.

        All of this is one transaction, and only one of several callers succeeds. The history is as it was at the start
        of the run, without turns that were completed later and without newer attempts.

        Raises
        ------
        RunNotContinuableError
            The run is no longer paused, has been paused again for other requirements, or has a newer attempt.
        SessionBusyError
            As in :meth:`open_run`.
        """

    @abstractmethod
    def save_approvals(self, run: RunOutput) -> None:
        """Store the answers to requirements of a run that stays paused until all of them are answered.

        Stored answers that `run` doesn't have are kept, and added to `run`.

        Raises
        ------
        RunNotContinuableError
            The run is no longer paused.
        InvalidInputError
            An attribute of a requirement is not a valid answer.
        """

    @abstractmethod
    def add_messages(self, run: RunOutput, messages: Sequence[Message]) -> None:
        """Store messages of a run in progress, with their tool calls.

        The index of a message is its position in ``run.messages``, without those from history. The result of a tool
        call has the index that belongs to the call, even if earlier results are missing. Index 0 is reserved for the
        system message, because :meth:`open_run` is called before it is known whether there is one.
        """

    def save_partial(self, run: RunOutput, partial: Message, messages: Sequence[Message] = ()) -> None:
        """Store the first part of an answer that is still streaming, so that it survives the process.

        The next write of the run replaces it: a longer `partial` with the same `message_id`, :meth:`add_messages` or
        :meth:`end_run`. The default implementation does nothing, so a killed process loses an incomplete answer.

        Parameters
        ----------
        partial : Message
            The answer so far. It follows the messages of ``run.messages``.
        messages : sequence of Message, optional
            New messages before it, stored as by :meth:`add_messages`.
        """

    @abstractmethod
    def end_run(
        self,
        run: RunOutput,
        messages: Sequence[Message] = (),
        *,
        session_state: JsonDict | None = None,
        base_state: JsonDict | None = None,
    ) -> None:
        """Store the end of a run, or a pause: status, content, metrics, the last `messages`, and the session state.

        Parameters
        ----------
        session_state : dict, optional
            The state at the end of the run. With None, the stored state is kept.
        base_state : dict, optional
            The state at the start of the run. Only differences from it are stored, so that changes by runs of other
            processes are kept.
        """

    @abstractmethod
    def add_step(
        self,
        run: RunOutput,
        step: StepOutput,
        step_index: int,
        *,
        session_state: JsonDict | None = None,
        base_state: JsonDict | None = None,
        state_changes: Sequence[JsonDict] | None = None,
    ) -> None:
        """Store the result of a workflow step, and the session state after it.

        This is one transaction, so that the state of a continued run matches its completed steps. The state is
        stored as by :meth:`end_run`.

        Parameters
        ----------
        state_changes : sequence of dict, optional
            All changes that the turn has made to the state so far, if this step made any.
        """

    @abstractmethod
    def add_event(
        self,
        run: RunOutput,
        event: RunEvent,
        content: str,
        *,
        details: JsonDict | None = None,
        model: str | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Store an event of a run, which may have ended.

        Parameters
        ----------
        content : str
            Description of the event as a sentence.
        details : dict, optional
            The same as values.
        model : str, optional
            Name of the model that failed, or that did the work.
        metrics : Metrics, optional
            Usage of the work. It is not included in the usage of the run.

        Raises
        ------
        SessionNotFoundError
            The session was deleted.
        """

    @abstractmethod
    def get_usage(
        self,
        *,
        session_id: str | None = None,
        notebook: str | None = None,
        this_process: bool = False,
        since: float | None = None,
        exclude_run_ids: Sequence[str] = (),
    ) -> UsageTotals:
        """Return the usage of the runs that match all arguments, with their summaries and memories.

        A run in progress is counted once it ends. Copies in a fork are not counted again.

        Parameters
        ----------
        notebook : str, optional
            Only runs that were started in this notebook.
        this_process : bool, optional
            Only runs of this process.
        since : float, optional
            Only runs that started at this time or later, in unix seconds.
        exclude_run_ids : sequence of str, optional
            Runs to leave out.
        """

    @abstractmethod
    def read_user_rows(self, names: Collection[str], user_id: str | None) -> Mapping[str, pa.Table]:
        """Read the rows of a user from tables of schema.sql; with None, the rows without an owner.

        Contents of media are not read: ``raw_media`` is empty.
        """

    # Sessions, runs and messages as objects.

    @abstractmethod
    def check_owner(self, user_id: str | None, *, session_id: str | None = None, run_id: str | None = None) -> None:
        """Raise an error if a session does not belong to `user_id`.

        Code that acts for a named user calls this before it reads or writes. None may use every session, and ``""``
        none. Every named user may use a session without an owner. If the session does not exist, there is no error
        here; the method that needs it raises one.

        Parameters
        ----------
        session_id, run_id : str, optional
            The session; or, without a `session_id`, a run of the session.

        Raises
        ------
        SessionOwnershipError
        """

    @abstractmethod
    def get_session(
        self,
        session_id: str,
        session_type: SessionType | str | None = None,
        user_id: str | None = None,
        *,
        runs_limit: int | None = None,
    ) -> Session | None:
        """Return a session, or None if there is none with this ID, type and owner.

        Parameters
        ----------
        runs_limit : int, optional
            Maximum number of turns in the session's `runs`, latest first. Default: all runs.
        """

    @abstractmethod
    def get_sessions(
        self,
        session_type: SessionType | str | None = None,
        user_id: str | None = None,
        component_id: str | None = None,
        session_name: str | None = None,
        start_timestamp: int | None = None,
        end_timestamp: int | None = None,
        limit: int | None = None,
        page: int | None = None,
        sort_by: str | None = None,
        sort_order: Literal["asc", "desc"] | None = None,
        *,
        include_runs: bool = True,
    ) -> list[Session]:
        """Return the sessions that match all arguments.

        Parameters
        ----------
        session_name : str, optional
            Part of the name. Case is ignored.
        start_timestamp, end_timestamp : int, optional
            Inclusive bounds of `created_at` in unix seconds.
        limit, page : int, optional
            Number of sessions per page, and page number, starting at 1.
        sort_by : {"updated_at", "created_at", "session_name", "session_id", "user_id"}, optional
            Default "updated_at".
        sort_order : {"desc", "asc"}, optional
            Default "desc".
        include_runs : bool
            Whether the sessions read their `runs` when they are accessed. Otherwise these are empty.

        Raises
        ------
        InvalidInputError
            The column or order does not exist, or a page was passed without a limit.
        """

    @abstractmethod
    def upsert_session(self, session: Session) -> Session:
        """Store the owner, name, state and metadata of a session, which is created if it doesn't exist; return it.

        Its runs are not stored. If the stored session has no owner yet, `session` may name one.

        Raises
        ------
        SessionOwnershipError
            The stored session belongs to another user. Nothing was stored.
        InvalidInputError
            The state is not a dict, or has a value or key that JSON cannot represent. Nothing was changed.
        """

    def upsert_sessions(self, sessions: Iterable[Session]) -> list[Session]:
        """Store several sessions, each as by :meth:`upsert_session`."""
        return [self.upsert_session(session) for session in sessions]

    @abstractmethod
    def rename_session(
        self,
        session_id: str,
        session_type: SessionType | str | None = None,
        session_name: str | None = None,
        user_id: str | None = None,
    ) -> Session | None:
        """Set or, with None, remove the name of a session; return the session, or None if it does not exist."""

    @abstractmethod
    def delete_session(self, session_id: str, user_id: str | None = None) -> bool:
        """Delete a session and all its rows; return whether it existed."""

    @abstractmethod
    def delete_sessions(self, session_ids: Iterable[str], user_id: str | None = None) -> None:
        """Delete sessions. Sessions of other users are skipped."""

    @abstractmethod
    def update_session_state(
        self,
        session_id: str,
        session_state: JsonDict,
        user_id: str | None = None,
        *,
        base_state: JsonDict | None = None,
    ) -> Session | None:
        """Replace the state of a session; return the session, or None if it does not exist.

        Parameters
        ----------
        base_state : dict, optional
            The state that `session_state` was derived from. Only the differences are stored, so that changes by a run
            are kept.

        Raises
        ------
        InvalidInputError
            The state is not a dict, or has a value or key that JSON cannot represent. Nothing was changed.
        """

    @abstractmethod
    def fork_session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        to_run_index: int | None = None,
        at_run: str | None = None,
    ) -> Session | None:
        """Copy the current attempts of a session into a new session; return that, or None if there is none to copy.

        Runs, messages and requirements get new IDs. The name and the valid summaries are copied, and the new session
        refers to the old one and to the last copied run. Changes of later turns to the session state are left out.

        Parameters
        ----------
        to_run_index : int, optional
            Last turn to copy. Default: the latest.
        at_run : str, optional
            Instead, an attempt at the last turn to copy.

        Raises
        ------
        RunNotFoundError
            The session has no such turn or attempt.
        """

    @abstractmethod
    def get_runs(
        self,
        session_id: str | None = None,
        *,
        from_run_index: int | None = None,
        to_run_index: int | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
        workflow_id: str | None = None,
        status: RunStatus | str | None = None,
        limit: int | None = None,
        page: int | None = None,
        sort_by: str | None = None,
        sort_order: Literal["asc", "desc"] | None = None,
    ) -> list[RunOutput]:
        """Return the runs that match all arguments, oldest first, with their own messages and tool calls.

        Parameters
        ----------
        session_id : str, optional
            Default: runs of all sessions.
        from_run_index, to_run_index : int, optional
            First and last turn. With either of them, nested runs are left out.
        user_id : str, optional
            User of the runs.
        agent_id, team_id, workflow_id : str, optional
            The agent, team or workflow that ran.
        status : RunStatus, optional
            Status of the runs.
        limit, page : int, optional
            Number of runs per page, and page number, starting at 1. Pages are counted from the newest run, unless a
            `sort_order` is set.
        sort_by : {"created_at", "ended_at"}, optional
            Return the runs in the order of this time, by default "desc".
        sort_order : {"asc", "desc"}, optional
            Return the runs in this order of `sort_by`, by default of their start.

        Raises
        ------
        InvalidInputError
            The status, column or order does not exist, or a page was passed without a limit.
        """

    @abstractmethod
    def get_run(self, run_id: str, session_id: str | None = None) -> RunOutput | None:
        """Return one run with its own messages and tool calls, or None."""

    @abstractmethod
    def delete_run(self, run_id: str, user_id: str | None = None) -> bool:
        """Delete a run with its nested runs of the session and all their rows; return whether it existed.

        The session stays, and so does what the run changed in its state. Other turns keep their `run_index`. If an
        attempt at a turn is deleted, the latest of the other attempts is the current one. Summaries that were written
        after the run and cover its turn are deleted; the next run of the session writes a new one.

        Parameters
        ----------
        user_id : str, optional
            Delete the run only if its session has this owner.

        Raises
        ------
        SessionBusyError
            The run, one nested in it or the turn that it is part of is still running, or it is part of a turn that is
            paused. Nothing was deleted.
        """

    @abstractmethod
    def delete_runs(self, run_ids: Iterable[str], user_id: str | None = None) -> None:
        """Delete several runs, each as by :meth:`delete_run`, or none. Runs in sessions of other users are skipped."""

    @abstractmethod
    def get_child_runs(self, run_id: str) -> list[RunOutput]:
        """Return the runs started by tools, members or steps of a run, in any session, oldest first.

        The run itself may be in another store.
        """

    @abstractmethod
    def find_cached_run(self, context_hash: str) -> RunOutput | None:
        """Return the latest completed run with this context hash that called a model, or None."""

    @abstractmethod
    def get_cell_turns(self, session_id: str, cell_id: str) -> list[CellTurn]:
        """Return the turns of a session that were started in a cell, oldest first."""

    @abstractmethod
    def get_messages(self, session_id: str, *, last_n_runs: int | None = None) -> list[Message]:
        """Return the messages of the current attempt of every turn of a session, oldest first.

        Parameters
        ----------
        last_n_runs : int, optional
            Number of recent turns. Default: all.
        """

    @abstractmethod
    def get_session_metrics(self, session_id: str) -> Metrics:
        """Return tokens and cost of all runs of a session, and the sum of their durations."""

    @abstractmethod
    def get_background_details(self, session_id: str, run: RunOutput | None = None) -> dict[str, list[ModelMetrics]]:
        """Return the usage of summaries and memories by model, for `details` of metrics.

        Parameters
        ----------
        run : RunOutput, optional
            Only of the summary and the memories that were written after this run of the session. Default: of all.
        """

    # Annotations.

    @abstractmethod
    def add_annotations(self, annotations: Iterable[Annotation], user_id: str | None = None) -> list[Annotation]:
        """Store annotations of runs, all or none of them, and return them with their sessions.

        Parameters
        ----------
        user_id : str, optional
            Only runs in sessions of this owner.

        Raises
        ------
        InvalidInputError
            There is no such run, or an annotation is empty or has an invalid value. Nothing was stored.
        """

    @abstractmethod
    def get_annotations(self, run_id: str) -> list[Annotation]:
        """Return the annotations of a run, oldest first."""

    @abstractmethod
    def delete_annotations(self, annotation_ids: Iterable[str], user_id: str | None = None) -> int:
        """Delete annotations of runs in sessions of an owner, by default of all; return their number."""

    # Summaries and memories.

    @abstractmethod
    def add_summary(
        self, summary: SessionSummary, *, run_ids: Collection[str] = (), previous: SessionSummary | None = None
    ) -> SessionSummary:
        """Store a new version of the summary of ``summary.session_id``; return it with its version.

        Parameters
        ----------
        run_ids : collection of str, optional
            The runs that it was written from.
        previous : SessionSummary, optional
            The version that it continues.

        Raises
        ------
        SessionNotFoundError
            There is no such session, or it has no turn `to_run_index`, or one of `run_ids` or `previous` was deleted
            while the summary was written. Nothing was stored.
        """

    @abstractmethod
    def get_summary(self, session_id: str, *, before_run_index: int | None = None) -> SessionSummary | None:
        """Return the latest valid version of a session's summary, or None.

        A version is valid unless one of its turns was rerun after it was written.

        Parameters
        ----------
        before_run_index : int, optional
            Only versions that end before this turn.
        """

    @abstractmethod
    def get_summary_after(self, run: RunOutput) -> SessionSummary | None:
        """Return the summary that was written after a turn was completed, even if it is no longer valid, or None."""

    @abstractmethod
    def upsert_user_memory(self, memory: UserMemory) -> UserMemory:
        """Store a memory, or replace the one with its ID.

        Raises
        ------
        InvalidInputError
            The memory has no user, or its ID belongs to a memory of another user.
        """

    @abstractmethod
    def get_user_memories(
        self,
        user_id: str | None = None,
        component_id: str | None = None,
        topics: Sequence[str] | None = None,
        search_content: str | None = None,
        limit: int | None = None,
        page: int | None = None,
        *,
        agent_id: str | None = None,
        team_id: str | None = None,
        sort_by: str | None = None,
        sort_order: Literal["asc", "desc"] | None = None,
    ) -> list[UserMemory]:
        """Return the memories that match all arguments, oldest first.

        Parameters
        ----------
        component_id, agent_id, team_id : str, optional
            The agent, team or workflow that extracted them.
        topics : sequence of str, optional
            Only memories with all of these topics.
        search_content : str, optional
            Part of the text. Case is ignored.
        sort_by : {"created_at", "updated_at", "memory", "memory_id"}, optional
            Default "created_at".
        sort_order : {"asc", "desc"}, optional
            By default "desc" if `sort_by` is set.

        Raises
        ------
        InvalidInputError
            The column or order does not exist, or a page was passed without a limit.
        """

    def upsert_memories(self, memories: Iterable[UserMemory]) -> list[UserMemory]:
        """Store several memories, each as by :meth:`upsert_user_memory`."""
        return [self.upsert_user_memory(memory) for memory in memories]

    def get_user_memory(self, memory_id: str, user_id: str | None = None) -> UserMemory | None:
        """Return a memory by its ID, or None."""
        return next((each for each in self.get_user_memories(user_id) if each.memory_id == memory_id), None)

    def get_all_memory_topics(self, user_id: str | None = None) -> list[str]:
        """Return the topics of the memories of a user, or with None, of all users, in alphabetical order."""
        return sorted({topic for memory in self.get_user_memories(user_id) for topic in memory.topics})

    def get_user_memory_stats(
        self, limit: int | None = None, page: int | None = None, user_id: str | None = None
    ) -> tuple[list[JsonDict], int]:
        """Return `user_id`, `total_memories` and `last_memory_updated_at` of each user, and the number of users.

        The user whose memories changed last comes first.

        Parameters
        ----------
        limit, page : int, optional
            Number of users per page, and page number, starting at 1.
        user_id : str, optional
            Only this user.
        """
        start, stop = page_of(limit, page)
        of_users: dict[str | None, list[UserMemory]] = {}
        for memory in self.get_user_memories(user_id):
            of_users.setdefault(memory.user_id, []).append(memory)
        stats: list[JsonDict] = [
            {
                "user_id": user,
                "total_memories": len(memories),
                "last_memory_updated_at": max(memory.updated_at for memory in memories),
            }
            for user, memories in of_users.items()
        ]
        stats.sort(key=lambda each: each["last_memory_updated_at"], reverse=True)
        return stats[start:stop], len(stats)

    @abstractmethod
    def update_user_memory(self, memory: UserMemory, *, expected_updated_at: float) -> UserMemory | None:
        """Store a changed memory and return it, or None if it has been deleted or changed since it was read.

        Parameters
        ----------
        expected_updated_at : float
            `updated_at` of the memory as it was read.
        """

    @abstractmethod
    def delete_user_memory(
        self, memory_id: str, user_id: str | None = None, *, expected_updated_at: float | None = None
    ) -> bool:
        """Delete a memory; return whether it existed.

        Parameters
        ----------
        expected_updated_at : float, optional
            Delete the memory only if it still has this `updated_at`.
        """

    def delete_user_memories(self, memory_ids: Iterable[str], user_id: str | None = None) -> None:
        """Delete several memories. Memories of other users are skipped."""
        for memory_id in memory_ids:
            self.delete_user_memory(memory_id, user_id)

    @abstractmethod
    def clear_memories(self, user_id: str | None = None) -> None:
        """Delete all memories of a user, or with None, of all users."""

    # Maintenance of a whole store.

    @abstractmethod
    def purge_sessions(self, before: str | date, user_id: str | None = None) -> int:
        """Delete the sessions that have not changed since `before`; return their number.

        Parameters
        ----------
        before : str or datetime
            A time without a time zone is in UTC.
        """

    @abstractmethod
    def vacuum(self) -> None:
        """Remove deleted data from the store's files and return their space to the system."""

    @abstractmethod
    def backup(self, path: str | Path) -> None:
        """Copy the current state of the store into a new file.

        The copy is a store itself. It is of the same kind if this store is a file, otherwise a DuckDB file.

        Raises
        ------
        InvalidInputError
            `path` already exists.
        """

    @abstractmethod
    def snapshot(self, path: str | Path) -> None:
        """Copy the current state of the store into a file for other programs to open.

        Like :meth:`backup`, but an existing snapshot is replaced, in one step.

        Raises
        ------
        InvalidInputError
            The file at `path` is not a snapshot: it is another file, or a store that has been used at that path.
        """

    @abstractmethod
    def verify(self) -> list[str]:
        """Check the store for inconsistent rows; return one description for each kind of problem."""

    @abstractmethod
    def export_session(self, session_id: str, path: str | Path, user_id: str | None = None) -> None:
        """Write a session with all its rows and media into a file, one JSON object per line.

        Raises
        ------
        SessionNotFoundError
            There is no session with this ID and owner.
        """

    @abstractmethod
    def import_session(self, path: str | Path) -> Session:
        """Store a session written by :meth:`export_session`, with its original IDs; return it.

        Raises
        ------
        InvalidInputError
            The file is not an exported session, or the store already has a session with that ID. Nothing was written.
        """

    @abstractmethod
    def export_parquet(self, folder: str | Path) -> None:
        """Write the whole store into a folder, one Parquet file for each table of schema.sql.

        Raises
        ------
        InvalidInputError
            The folder is not empty.
        """

    @abstractmethod
    def import_parquet(self, folder: str | Path) -> int:
        """Store the tables written by :meth:`export_parquet`, with their original IDs; return the number of sessions.

        Raises
        ------
        InvalidInputError
            The folder is not an exported store, or this store already has some of its rows. Nothing was written.
        """

    def close(self) -> None:
        """Close connections and files. Using the store again reopens them."""

    if not TYPE_CHECKING:  # Type checkers would accept any attribute.

        def __getattr__(self, name: str) -> Any:
            raise missing_attribute(self, name)


def _awaited(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[AsyncDb, P], Coroutine[Any, Any, T]]:
    name = method.__name__

    async def call(self: AsyncDb, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(getattr(self.sync, name), *args, **kwargs)

    call.__name__ = name
    call.__doc__ = f"Async version of :meth:`agno_nb.db.base.Db.{name}`."
    return call


@suggest_on_unknown_kwarg({})
class AsyncDb:
    """A store for async code.

    Attributes
    ----------
    sync : Db
        The store itself. Agents accept either, and both can be used at the same time.
    """

    def __init__(self, sync: Db) -> None:
        self.sync = sync

    @property
    def id(self) -> str:
        """Identity of the store."""
        return self.sync.id

    check_owner = _awaited(Db.check_owner)
    get_session = _awaited(Db.get_session)
    get_sessions = _awaited(Db.get_sessions)
    upsert_session = _awaited(Db.upsert_session)
    upsert_sessions = _awaited(Db.upsert_sessions)
    rename_session = _awaited(Db.rename_session)
    update_session_state = _awaited(Db.update_session_state)
    fork_session = _awaited(Db.fork_session)
    delete_session = _awaited(Db.delete_session)
    delete_sessions = _awaited(Db.delete_sessions)
    get_runs = _awaited(Db.get_runs)
    get_run = _awaited(Db.get_run)
    delete_run = _awaited(Db.delete_run)
    delete_runs = _awaited(Db.delete_runs)
    get_child_runs = _awaited(Db.get_child_runs)
    save_approvals = _awaited(Db.save_approvals)
    save_partial = _awaited(Db.save_partial)
    get_messages = _awaited(Db.get_messages)
    get_session_metrics = _awaited(Db.get_session_metrics)
    get_background_details = _awaited(Db.get_background_details)
    get_usage = _awaited(Db.get_usage)
    add_annotations = _awaited(Db.add_annotations)
    get_annotations = _awaited(Db.get_annotations)
    delete_annotations = _awaited(Db.delete_annotations)
    get_summary = _awaited(Db.get_summary)
    get_summary_after = _awaited(Db.get_summary_after)
    get_user_memories = _awaited(Db.get_user_memories)
    get_user_memory = _awaited(Db.get_user_memory)
    get_all_memory_topics = _awaited(Db.get_all_memory_topics)
    get_user_memory_stats = _awaited(Db.get_user_memory_stats)
    upsert_user_memory = _awaited(Db.upsert_user_memory)
    upsert_memories = _awaited(Db.upsert_memories)
    delete_user_memories = _awaited(Db.delete_user_memories)
    update_user_memory = _awaited(Db.update_user_memory)
    delete_user_memory = _awaited(Db.delete_user_memory)
    clear_memories = _awaited(Db.clear_memories)
    query = _awaited(Db.query)
    sessions_df = _awaited(Db.sessions_df)
    runs_df = _awaited(Db.runs_df)
    run_tree_df = _awaited(Db.run_tree_df)
    messages_df = _awaited(Db.messages_df)
    tool_calls_df = _awaited(Db.tool_calls_df)
    variables_df = _awaited(Db.variables_df)
    steps_df = _awaited(Db.steps_df)
    summaries_df = _awaited(Db.summaries_df)
    annotations_df = _awaited(Db.annotations_df)
    memories_df = _awaited(Db.memories_df)
    events_df = _awaited(Db.events_df)
    purge_sessions = _awaited(Db.purge_sessions)
    vacuum = _awaited(Db.vacuum)
    backup = _awaited(Db.backup)
    snapshot = _awaited(Db.snapshot)
    verify = _awaited(Db.verify)
    export_session = _awaited(Db.export_session)
    import_session = _awaited(Db.import_session)
    export_parquet = _awaited(Db.export_parquet)
    import_parquet = _awaited(Db.import_parquet)
    close = _awaited(Db.close)

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"


def as_sync(db: Db | AsyncDb | None) -> Db | None:
    """Return the blocking store, which runs use."""
    return db.sync if isinstance(db, AsyncDb) else db


# agno's names.
BaseDb = Db
AsyncBaseDb = AsyncDb
