"""The contract of a store: what every backend does, and what the pipeline may rely on.

All methods block. The pipeline calls them in worker threads, and what it writes on the thread of its loop too where the
store `is_uncontended`, so a store must be safe to use from several threads.
A method returns when its effect is durable, or raises; nothing is only logged.

``user_id=None`` means "whoever it belongs to" in every method, and ``""`` matches nobody.

It is a long file because a contract is read as a whole.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db.frame_reader import FrameReader
from agno_nb.types import (
    JsonDict,
    Message,
    Metrics,
    RunEvent,
    RunOutput,
    Session,
    SessionSummary,
    SessionType,
    StepOutput,
    UsageTotals,
    UserMemory,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CellTurn", "ContextQuery", "Db", "OpenedRun", "SessionType"]


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class ContextQuery:
    """What a run needs to know of its session. Only what is asked for here is read."""

    num_history_runs: int = 0
    """Messages of so many of the latest turns (completed, current attempt, not nested)."""
    num_history_messages: int | None = None
    """Instead of whole runs: so many of the latest messages."""
    summary: bool = False
    """The latest summary that covers nothing of the history asked for."""
    memories: bool = False
    """What is remembered of the run's user."""


NO_CONTEXT = ContextQuery()


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class OpenedRun:
    """What :meth:`Db.open_run` found."""

    session: Session
    history: list[Message] = field(default_factory=list)
    """Oldest first, without system messages, each with `from_history` set."""
    turns: list[tuple[int, str]] = field(default_factory=list)
    """`run_index` and `run_id` of the turns that `history` is of, oldest first."""
    num_superseded: int = 0
    """How many other attempts there were at those turns. They are not in `history`."""
    summary: SessionSummary | None = None
    memories: list[UserMemory] = field(default_factory=list)
    """Oldest first."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class CellTurn:
    """A turn that a cell of a notebook began."""

    run_index: int
    notebook: str | None
    """Path that the cell's notebook had then."""
    kernel_id: str | None
    """The kernel in which it began."""
    num_later_turns: int
    """How many turns of the session come after it."""


class Maintenance(FrameReader):
    """What every store can do with all that it holds."""

    @abstractmethod
    def purge_sessions(self, before: str | date, user_id: str | None = None) -> int:
        """Delete the sessions in which nothing happened since `before`; return how many.

        Parameters
        ----------
        before : str or datetime
            The latest change of a session is compared with it. A time without a zone is in UTC.
        """

    @abstractmethod
    def vacuum(self) -> None:
        """Give the space of what was deleted back, and leave nothing of it in the store's files."""

    @abstractmethod
    def backup(self, path: str | Path) -> None:
        """Copy the store as it is at this moment into a file that is not there yet.

        The copy is a store: of the same kind where this one is a file, else a DuckDB file.

        Raises
        ------
        InvalidInputError
            There is something at `path`.
        """

    @abstractmethod
    def snapshot(self, path: str | Path) -> None:
        """Copy the store as it is at this moment into a file for other programs to open.

        As :meth:`backup`, but a snapshot that is there already is replaced, in one step.

        Raises
        ------
        InvalidInputError
            What is at `path` is not a snapshot: another file, or a store that was worked with under that name.
        """

    @abstractmethod
    def verify(self) -> list[str]:
        """Check that the rows fit together; return a sentence for each kind of problem, none for a sound store."""

    @abstractmethod
    def export_session(self, session_id: str, path: str | Path, user_id: str | None = None) -> None:
        """Write a session with all its rows and media into a file, one JSON object to a line.

        Raises
        ------
        SessionNotFoundError
            There is none of that id and owner.
        """

    @abstractmethod
    def import_session(self, path: str | Path) -> Session:
        """Store the session that :meth:`export_session` wrote, with the ids that it had; return it.

        Raises
        ------
        InvalidInputError
            The file is not a session, or the store has one of that id already. Nothing was written.
        """

    @abstractmethod
    def export_parquet(self, folder: str | Path) -> None:
        """Write everything into a folder, one Parquet file for each table of schema.sql.

        Raises
        ------
        InvalidInputError
            There is something in the folder.
        """

    @abstractmethod
    def import_parquet(self, folder: str | Path) -> int:
        """Store everything that :meth:`export_parquet` wrote, with the ids that it had; return how many sessions.

        Raises
        ------
        InvalidInputError
            The folder holds something else, or the store has some of it already. Nothing was written.
        """


class Db(Maintenance):
    """A store of sessions, runs, messages and tool calls."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """A name that is the same for all objects on the same store, and holds no secret."""

    def __copy__(self) -> Self:
        # An object for a store is a way to it. Copies of agents share the store of the original.
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @property
    def is_uncontended(self) -> bool:
        """Whether something short would be stored at once, as far as one can tell: without waiting for anybody."""
        return False

    @abstractmethod
    def create(self) -> None:
        """Make the store where there is none yet; raise where it cannot be read and written."""

    # What the pipeline needs.

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
    ) -> OpenedRun:
        """Begin a run: check who owns the session, store the run and its first messages, read its context.

        One transaction: either all of it happens or nothing. A session that does not exist is made from `session`; one
        that has no owner yet is claimed by ``run.user_id``. Sets ``run.run_index`` and ``run.attempt``: the next free
        turn, or, where ``run.run_index`` is set already, the next attempt at that turn (and the history is then what
        came before that turn). A `nested` run takes no turn.

        A new attempt finds the session's state as its turn found it: what the runs of that turn and of later ones
        changed is taken back, value by value, where it still is as they left it. With `partial_of`, the id of the
        attempt whose messages the run begins with, what that one changed stays, and is among ``run.state_changes``.

        Raises
        ------
        SessionOwnershipError
            The session belongs to somebody else. Nothing was written or read.
        SessionBusyError
            Another process does a turn of the session. Nothing was written.
        """

    @abstractmethod
    def reopen_run(self, run: RunOutput, *, query: ContextQuery = NO_CONTEXT) -> OpenedRun:
        """Go on with a paused run: set it RUNNING, store how its requirements were answered, read its context.

        One transaction, and of several that want to go on with a run only one does. The history is what it was when
        the run began: turns that were completed since, and newer attempts, are not in it.

        Raises
        ------
        RunNotContinuableError
            The run is not paused any more, is paused for something else by now, or has a newer attempt.
        SessionBusyError
            As in :meth:`open_run`.
        """

    @abstractmethod
    def save_approvals(self, run: RunOutput) -> None:
        """Store what the requirements of a paused run were answered so far, while it waits for the other answers.

        Answers that are in the store and not in `run` are kept, and added to `run`.

        Raises
        ------
        RunNotContinuableError
            The run is not paused any more.
        InvalidInputError
            An attribute was set to something that is not an answer to its requirement.
        """

    @abstractmethod
    def add_messages(self, run: RunOutput, messages: Sequence[Message]) -> None:
        """Store messages of a run that goes on, with the tool calls that they ask for.

        A message's place in its run is its place among the messages of ``run.messages`` that are not from history. The
        result of a tool call has the place of its call, even if results before it are missing.
        Place 0 is the system message's, whether there is one or not: :meth:`open_run` is called before that is known.
        """

    def save_partial(self, run: RunOutput, partial: Message, messages: Sequence[Message] = ()) -> None:
        """Store the beginning of an answer that is still arriving, so that it outlives the process.

        The next write of the run replaces it: a longer `partial` of the same `message_id`, :meth:`add_messages` or
        :meth:`end_run`. The default does nothing, and a killed process then loses the answer that was arriving.

        Parameters
        ----------
        partial : Message
            The answer so far. Its place is after the messages of ``run.messages``.
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
        """Store status, content, metrics and the last `messages` of a run, and the state of its session.

        Also the way to store a pause.

        Parameters
        ----------
        session_state : dict, optional
            The state as the run leaves it. None leaves the stored state as it is.
        base_state : dict, optional
            The state as the run found it. Only what differs from it is changed then, so that what runs of other
            processes have changed in the meantime stays.
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
        """Store what came of a step of a workflow's run, and the state of its session as the step left it.

        One transaction, so that a run that is continued goes on from a state that belongs to the steps it has done. The
        state is stored as :meth:`end_run` does it.

        Parameters
        ----------
        state_changes : sequence of dict, optional
            What the turn has changed of the state so far, where this step changed any of it.
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
        """Store what happened in a run, also one that has ended, beside what was said.

        Parameters
        ----------
        content : str
            What happened, as a sentence.
        details : dict, optional
            The same as values.
        model : str, optional
            Which model it is about.
        metrics : Metrics, optional
            What it took. It is not among what the run took.

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
        """Return what the runs that match every argument given have cost, with their summaries and memories.

        A run that goes on counts when it ends. Copies in a fork do not count again.

        Parameters
        ----------
        notebook : str, optional
            Runs that were asked for in this notebook.
        this_process : bool, optional
            Runs that this process did.
        since : float, optional
            Runs that began at this time or later, in unix seconds.
        exclude_run_ids : sequence of str, optional
            Runs that are counted elsewhere.
        """

    @abstractmethod
    def read_user_rows(self, names: Collection[str], user_id: str | None) -> Mapping[str, pa.Table]:
        """Read tables of schema.sql, only the rows that belong to a user; with None, those that belong to nobody.

        What is in media is not read: ``raw_media`` is empty.
        """

    # Sessions, runs and messages as objects.

    @abstractmethod
    def check_owner(self, user_id: str | None, *, session_id: str | None = None, run_id: str | None = None) -> None:
        """Raise an error if a session belongs to another user than `user_id`.

        Everything that acts for a named user calls it before it reads or writes. None passes for every session, and
        ``""`` for none. A session without an owner passes for every named user. One that does not exist passes too:
        the method that needs it reports that.

        Parameters
        ----------
        session_id, run_id : str, optional
            The session; or, without a `session_id`, the session of this run.

        Raises
        ------
        SessionOwnershipError
        """

    @abstractmethod
    def get_session(
        self, session_id: str, session_type: SessionType | str | None = None, user_id: str | None = None
    ) -> Session | None:
        """Return the session, or None when there is none of that id, type and owner."""

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
    ) -> list[Session]:
        """Return the sessions that match every argument given.

        Parameters
        ----------
        session_name : str, optional
            Part of the name, in any case.
        start_timestamp, end_timestamp : int, optional
            Bounds of `created_at` in unix seconds, both inclusive.
        limit, page : int, optional
            Page number `page` (from 1) of pages of `limit` sessions.
        sort_by : {"updated_at", "created_at", "session_name", "session_id", "user_id"}, optional
            "updated_at" where not given.
        sort_order : {"desc", "asc"}, optional

        Raises
        ------
        InvalidInputError
            For a column or order that does not exist, or a page without a limit.
        """

    @abstractmethod
    def rename_session(
        self,
        session_id: str,
        session_type: SessionType | str | None = None,
        session_name: str | None = None,
        user_id: str | None = None,
    ) -> Session | None:
        """Give the session a name (None takes it away); return it, or None when there is none to rename."""

    @abstractmethod
    def delete_session(self, session_id: str, user_id: str | None = None) -> bool:
        """Delete the session and all its rows; return whether there was one."""

    @abstractmethod
    def delete_sessions(self, session_ids: Iterable[str], user_id: str | None = None) -> None:
        """Delete the sessions, those of another user excepted."""

    @abstractmethod
    def update_session_state(
        self,
        session_id: str,
        session_state: JsonDict,
        user_id: str | None = None,
        *,
        began_with: JsonDict | None = None,
    ) -> Session | None:
        """Replace the state of a session; return the session, or None when there is none to change.

        Parameters
        ----------
        session_id : str
        session_state : dict
        user_id : str, optional
        began_with : dict, optional
            The state that `session_state` was made from. Only the differences are stored then, so that what a run has
            changed in the meantime stays.

        Raises
        ------
        InvalidInputError
            The state is not a dict, or holds a value or a key that JSON cannot hold. Nothing was changed.
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
        """Copy the current attempts of a session into a new one, up to and with turn `to_run_index` or run `at_run`.

        Runs, messages and requirements get new ids, the name and the summaries that still hold go along, and the new
        session names the old one and the last run that was copied. Its state is without what later turns changed.
        Return it, or None when there is none to fork.

        Raises
        ------
        RunNotFoundError
            The session has no turn `to_run_index`, or none of which `at_run` is an attempt.
        """

    @abstractmethod
    def get_runs(
        self,
        session_id: str,
        *,
        from_run_index: int | None = None,
        to_run_index: int | None = None,
        limit: int | None = None,
    ) -> list[RunOutput]:
        """Return the runs of a session, oldest first, with their own messages and tool calls.

        Parameters
        ----------
        from_run_index, to_run_index : int, optional
            Only turns from this one on, and up to and with that one; nested runs are left out then.
        limit : int, optional
            Only so many of the latest runs.
        """

    @abstractmethod
    def get_run(self, run_id: str, session_id: str | None = None) -> RunOutput | None:
        """Return one run with its own messages and tool calls, or None."""

    @abstractmethod
    def get_child_runs(self, run_id: str) -> list[RunOutput]:
        """Return the runs that the tools, members or steps of a run began, in whichever session, oldest first.

        The run itself may be in another store.
        """

    @abstractmethod
    def find_cached_run(self, context_hash: str) -> RunOutput | None:
        """Return the latest completed run of that context in which a model was asked, or None."""

    @abstractmethod
    def get_cell_turns(self, session_id: str, cell_id: str) -> list[CellTurn]:
        """Return the turns of a session that were begun in a cell, oldest first."""

    @abstractmethod
    def get_messages(self, session_id: str, *, last_n_runs: int | None = None) -> list[Message]:
        """Return the messages of the current attempt of every turn of a session, oldest first.

        Parameters
        ----------
        last_n_runs : int, optional
            Only of so many of the latest turns.
        """

    @abstractmethod
    def get_session_metrics(self, session_id: str) -> Metrics:
        """Return tokens and cost of all runs of a session, and the sum of their durations."""

    # Summaries and memories.

    @abstractmethod
    def add_summary(self, summary: SessionSummary) -> SessionSummary:
        """Store a new version of the summary of ``summary.session_id``; return it with its version."""

    @abstractmethod
    def get_summary(self, session_id: str, *, before_run_index: int | None = None) -> SessionSummary | None:
        """Return the latest version of a session's summary that still holds, or None.

        A version holds while none of the turns that it covers got a newer attempt after it was made.

        Parameters
        ----------
        before_run_index : int, optional
            Only versions that end before this turn.
        """

    @abstractmethod
    def get_summary_after(self, run: RunOutput) -> SessionSummary | None:
        """Return the summary that was made when a turn was completed, though it may hold no more, or None."""

    @abstractmethod
    def upsert_user_memory(self, memory: UserMemory) -> UserMemory:
        """Store a memory, in place of the one of that id where there is one.

        Raises
        ------
        InvalidInputError
            The memory is nobody's, or there is one of that id that is somebody else's.
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
    ) -> list[UserMemory]:
        """Return the memories that match every argument given, oldest first.

        Parameters
        ----------
        topics : sequence of str, optional
            Memories that have all of these.
        search_content : str, optional
            Part of the text, in any case.
        """

    @abstractmethod
    def update_user_memory(self, memory: UserMemory, *, expected_updated_at: float) -> UserMemory | None:
        """Store a changed memory if it has not been deleted or changed since it was read, and return it; else None.

        Parameters
        ----------
        memory : UserMemory
        expected_updated_at : float
            The `updated_at` that the memory had when it was read.
        """

    @abstractmethod
    def delete_user_memory(
        self, memory_id: str, user_id: str | None = None, *, expected_updated_at: float | None = None
    ) -> bool:
        """Delete a memory; return whether there was one.

        Parameters
        ----------
        memory_id : str
        user_id : str, optional
        expected_updated_at : float, optional
            Delete it only if it still has this `updated_at`.
        """

    @abstractmethod
    def clear_memories(self, user_id: str | None = None) -> None:
        """Delete all memories of a user, or with None, of everybody."""

    def close(self) -> None:
        """Let go of what the store holds open. Using it again opens it again."""


BaseDb = Db
"""agno's name."""


def __getattr__(name: str) -> Any:
    # agno's name of AsyncDb, which is defined over this module.
    if name == "AsyncBaseDb":
        from agno_nb.db.async_db import AsyncDb

        return AsyncDb
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
