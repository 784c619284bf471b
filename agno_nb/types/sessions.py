"""Sessions, their summaries, and memories of users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.types.basics import JsonDict, SessionType, new_id, now
from agno_nb.types.messages import Message
from agno_nb.types.metrics import Metrics
from agno_nb.types.runs import RunOutput, completed_turns


class SessionReader(Protocol):
    """A store from which a :class:`Session` loads its rows."""

    def get_messages(self, session_id: str, *, last_n_runs: int | None = None) -> list[Message]: ...

    def get_runs(self, session_id: str) -> list[RunOutput]: ...

    def get_session_metrics(self, session_id: str) -> Metrics: ...

    def get_summary(self, session_id: str) -> SessionSummary | None: ...

    def check_owner(self, user_id: str | None, *, session_id: str | None = None) -> None: ...


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class SessionSummary:
    """A condensed version of a session up to some run. Every version is kept."""

    summary: str
    topics: list[str] = field(default_factory=list)
    session_id: str | None = None
    version: int | None = None
    """Assigned by the store, from 0."""
    from_run_index: int | None = None
    """The first turn covered."""
    to_run_index: int | None = None
    """The last turn covered."""
    model: str | None = None
    """The model that wrote it."""
    model_provider: str | None = None
    metrics: Metrics = field(default_factory=Metrics)
    """Metrics of generating the summary. They are not part of the session's runs."""
    updated_at: float = field(default_factory=now)
    """Unix seconds."""

    def __str__(self) -> str:
        return self.summary


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class UserMemory:
    """A fact about a user, kept across sessions."""

    memory: str
    topics: list[str] = field(default_factory=list)
    user_id: str | None = None
    """The user. Required by stores."""
    memory_id: str = field(default_factory=new_id)
    input: str | None = None
    """The user's message from which the memory was extracted."""
    component_id: str | None = None
    """Id of the agent, team or workflow that extracted it."""
    created_at: float = field(default_factory=now)
    """Unix seconds."""
    updated_at: float = field(default_factory=now)
    """Unix seconds."""


@suggest_on_unknown_kwarg({})
@dataclass(kw_only=True, repr=False)
class Session:
    """A conversation thread.

    `runs`, `messages`, `metrics` and `summary` are read from the store when first accessed.
    """

    session_id: str
    user_id: str | None = None
    """The owner; None if all runs are anonymous."""
    session_type: SessionType = SessionType.AGENT
    session_name: str | None = None
    component_id: str | None = None
    """Id of the agent, team or workflow that created it."""
    session_state: JsonDict = field(default_factory=dict)
    metadata: JsonDict | None = None
    forked_from_session_id: str | None = None
    forked_from_run_id: str | None = None
    """The last copied run of that session."""
    created_at: int = 0
    """Unix seconds."""
    updated_at: int = 0
    """Time of the last run or change in Unix seconds."""
    store: SessionReader | None = field(default=None, compare=False)
    """The store from which rows are read."""
    restore_outputs: Callable[[list[RunOutput]], None] | None = field(default=None, compare=False)
    """Converts answers stored as JSON back to objects; set by the agent that returned the session."""
    read_for: str | None = field(default=None, compare=False)
    """The user for whom an agent returned the session; None if a store returned it. If another user owns the session
    when rows are read, :class:`~agno_nb.errors.SessionOwnershipError` is raised."""

    @cached_property
    def runs(self) -> list[RunOutput]:
        """All runs, oldest first, including superseded attempts and nested runs."""
        store = self._reader()
        runs = store.get_runs(self.session_id) if store else []
        if self.restore_outputs is not None:
            self.restore_outputs(runs)
        return runs

    @cached_property
    def messages(self) -> list[Message]:
        """All messages of the current attempt of every turn, oldest first."""
        store = self._reader()
        return store.get_messages(self.session_id) if store else []

    @cached_property
    def metrics(self) -> Metrics:
        """Tokens and cost of all runs, including superseded ones."""
        store = self._reader()
        return store.get_session_metrics(self.session_id) if store else Metrics()

    @cached_property
    def summary(self) -> SessionSummary | None:
        """The latest summary, or None."""
        store = self._reader()
        return store.get_summary(self.session_id) if store else None

    def _reader(self) -> SessionReader | None:
        if self.store is not None:
            self.store.check_owner(self.read_for, session_id=self.session_id)
        return self.store

    def __getstate__(self) -> dict[str, Any]:
        # A bound method of an object in this process.
        return {**self.__dict__, "restore_outputs": None}

    def __repr__(self) -> str:
        name = f", session_name={self.session_name!r}" if self.session_name else ""
        return f"{type(self).__name__}(session_id={self.session_id!r}, user_id={self.user_id!r}{name})"


class AgentSession(Session):
    """A session of an agent."""


class TeamSession(Session):
    """A session of a team."""


class WorkflowSession(Session):
    """A session of a workflow."""

    def get_workflow_history(self, num_runs: int | None = None) -> list[tuple[str, str]]:
        """Return the inputs and outputs of the completed turns, oldest first, or of the latest `num_runs`."""
        turns = completed_turns(self.runs)
        shown = turns if num_runs is None else turns[max(len(turns) - max(num_runs, 0), 0) :]
        return [(run.input, run.get_content_as_string()) for run in shown]


SESSION_CLASSES: dict[SessionType, type[Session]] = {
    SessionType.AGENT: AgentSession,
    SessionType.TEAM: TeamSession,
    SessionType.WORKFLOW: WorkflowSession,
}
