"""Sessions, their summaries, and memories of users."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, Self

from agno_nb._agno_parts import OF_SESSIONS
from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.types.basics import Alias, JsonDict, SessionType, new_id, now
from agno_nb.types.dicts import from_dict, to_dict
from agno_nb.types.messages import Message, ToolCall
from agno_nb.types.metrics import Metrics
from agno_nb.types.runs import RunOutput, RunStatus, completed_turns, current_attempts


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

    def to_dict(self) -> JsonDict:
        """Return the summary as a dict that JSON can represent."""
        return to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SessionSummary:
        """Return the summary of a dict of :meth:`to_dict`."""
        return from_dict(cls, data)


@suggest_on_unknown_kwarg({"agent_id": "component_id", "team_id": "component_id"})
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

    agent_id = Alias[str | None]("component_id")
    team_id = Alias[str | None]("component_id")

    def to_dict(self) -> JsonDict:
        """Return the memory as a dict that JSON can represent."""
        return to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> UserMemory:
        """Return the memory of a dict of :meth:`to_dict`."""
        return from_dict(cls, data)


@suggest_on_unknown_kwarg({})
@dataclass
class SessionRows:
    """The runs and the summary of a session that was made from them, in place of a store."""

    runs: list[RunOutput]
    summary: SessionSummary | None = None

    def __post_init__(self) -> None:
        for run in self.runs:
            if run.run_index is None and run.parent_run_id is None:
                known = (each.run_index for each in self.runs if each.run_index is not None)
                run.run_index = max(known, default=-1) + 1

    def get_messages(self, session_id: str, *, last_n_runs: int | None = None) -> list[Message]:
        turns = current_attempts(self.runs)
        latest = turns if last_n_runs is None else turns[max(len(turns) - last_n_runs, 0) :]
        return [message for run in latest for message in run.messages]

    def get_runs(self, session_id: str) -> list[RunOutput]:
        return self.runs

    def get_session_metrics(self, session_id: str) -> Metrics:
        return Metrics.total(run.metrics for run in self.runs)

    def get_summary(self, session_id: str) -> SessionSummary | None:
        return self.summary

    def check_owner(self, user_id: str | None, *, session_id: str | None = None) -> None:
        """Accept any user."""


_CHANGEABLE: dict[str, Callable[[], Any]] = {"session_name": lambda: None, "session_state": dict}
"""The names of a session's data that can be set, each with a function that returns the value after its deletion."""


class SessionData(dict[str, Any]):
    """The data of a session as agno has them. Changes of the name and the state change the session too."""

    def __init__(self, session: Session) -> None:
        self._session = session
        found = {
            "session_name": session.session_name,
            "session_state": session.session_state,
            "forked_from_session_id": session.forked_from_session_id,
        }
        super().__init__({name: value for name, value in found.items() if value is not None})

    def __setitem__(self, name: str, value: Any) -> None:
        if name in _CHANGEABLE:
            setattr(self._session, name, value)
        elif name not in self or self[name] != value:
            raise _not_stored(name)
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        if name in self and name not in _CHANGEABLE:
            raise InvalidInputError(f"session_data[{name!r}] cannot be deleted; delete session_name or session_state")
        super().__delitem__(name)
        setattr(self._session, name, _CHANGEABLE[name]())

    # The methods of a dict would not call the two above.
    update, setdefault = MutableMapping.update, MutableMapping.setdefault
    popitem, clear = MutableMapping.popitem, MutableMapping.clear

    def pop(self, name: str, *default: Any) -> Any:
        value = self[name] if name in self or not default else default[0]
        if name in self:
            del self[name]
        return value

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def _not_stored(name: str) -> InvalidInputError:
    return InvalidInputError(
        f"session_data[{name!r}] is not stored; set session_name, session_state or the session's metadata"
    )


_IN_SESSION_DATA = ("session_name", "session_state", "forked_from_session_id")
_FROM_RUNS = ("session_metrics",)
"""Parts of agno's `session_data` that are sums over the runs."""


def _from_agno(cls: type[Session], values: Mapping[str, Any]) -> JsonDict:
    """Return the keywords of agno's sessions as those of a session. Keywords of our own win over `session_data`."""
    found = dict(values)
    session_data = found.pop("session_data", None) or {}
    for name in session_data:
        if name not in (*_IN_SESSION_DATA, *_FROM_RUNS):
            raise _not_stored(name)
    found = {name: session_data[name] for name in _IN_SESSION_DATA if session_data.get(name) is not None} | found
    ids = {kind: found.pop(f"{kind.value}_id", None) for kind in SessionType}
    for kind, component_id in ids.items():
        # The others are a team or workflow around the agent, which its runs have.
        if component_id is not None and (cls is Session or kind is cls.session_type):
            found |= {"component_id": component_id, "session_type": kind}
    runs, summary = found.pop("runs", None), found.pop("summary", None)
    if runs or summary:
        found["store"] = SessionRows([*(runs or ())], summary)
    return found


@suggest_on_unknown_kwarg({}, convert=_from_agno, agno=OF_SESSIONS)
@dataclass(kw_only=True, repr=False)
class Session:
    """A conversation thread.

    `runs`, `messages`, `metrics` and `summary` are read from the store when first accessed. The keywords of agno's
    session classes are accepted too: `agent_id`, `team_id`, `workflow_id`, `session_data`, `runs` and `summary`.
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
    runs_limit: int | None = field(default=None, compare=False)
    """Maximum number of turns in `runs`, latest first; None for all, and for nested runs and earlier attempts too."""
    read_for: str | None = field(default=None, compare=False)
    """The user for whom an agent returned the session; None if a store returned it. If another user owns the session
    when rows are read, :class:`~agno_nb.errors.SessionOwnershipError` is raised."""

    @cached_property
    def runs(self) -> list[RunOutput]:
        """All runs, oldest first, including superseded attempts and nested runs."""
        store = self._reader()
        runs = store.get_runs(self.session_id) if store else []
        if self.runs_limit is not None:
            turns = current_attempts(runs)
            runs = turns[max(len(turns) - self.runs_limit, 0) :]
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

    @property
    def session_data(self) -> SessionData:
        """Name, state and origin of the session as a dict. Changes of the name and the state change the session."""
        return SessionData(self)

    @session_data.setter
    def session_data(self, data: Mapping[str, Any] | None) -> None:
        known, given = self.session_data, data or {}
        for name in _CHANGEABLE.keys() & known.keys() - given.keys():
            del known[name]
        known.update(given)

    @property
    def agent_id(self) -> str | None:
        """ID of the agent that created the session, if it was an agent."""
        return self._id_of(SessionType.AGENT)

    @property
    def team_id(self) -> str | None:
        """ID of the team that created the session, if it was a team."""
        return self._id_of(SessionType.TEAM)

    @property
    def workflow_id(self) -> str | None:
        """ID of the workflow that created the session, if it was a workflow."""
        return self._id_of(SessionType.WORKFLOW)

    def _id_of(self, kind: SessionType) -> str | None:
        return self.component_id if self.session_type is kind else None

    def get_run(self, run_id: str) -> RunOutput | None:
        """Return a run of the session, or None."""
        return next((run for run in self.runs if run.run_id == run_id), None)

    def upsert_run(self, run: RunOutput) -> None:
        """Put a run into `runs`, in place of the one with its ID. It is not stored: runs are stored as they happen."""
        places = [place for place, each in enumerate(self.runs) if each.run_id == run.run_id]
        if places:
            self.runs[places[0]] = run
        else:
            self.runs.append(run)

    def get_messages(
        self,
        agent_id: str | None = None,
        team_id: str | None = None,
        member_ids: Collection[str] | None = None,
        last_n_runs: int | None = None,
        limit: int | None = None,
        skip_roles: Collection[str] | None = None,
        skip_statuses: Collection[RunStatus | str] | None = None,
        skip_history_messages: bool = True,
        skip_member_messages: bool = True,
    ) -> list[Message]:
        """Return messages of the current attempts at the turns, oldest first, with only the first system message.

        Parameters
        ----------
        agent_id, team_id : str, optional
            Only messages of turns of this agent or team.
        member_ids : collection of str, optional
            Only messages of runs of these members, which are nested runs.
        last_n_runs : int, optional
            Maximum number of runs, latest first.
        limit : int, optional
            Maximum number of messages, latest first. If it is 2 or more, the system message counts as one of them. Tool
            results whose calls are beyond the limit are left out.
        skip_roles : collection of str, optional
            Roles to leave out.
        skip_statuses : collection of str, optional
            Statuses of runs to leave out. Default: paused, cancelled and failed ones.
        skip_history_messages : bool
            Whether to leave out the copies of earlier messages that a run was sent, if they were stored.
        skip_member_messages : bool
            Whether to leave out the messages of nested runs, if no `member_ids` are given.
        """
        turns = current_attempts(self.runs)
        runs = turns if skip_member_messages and not member_ids else [run for turn in turns for run in _tree(turn)]
        ids = {*(member_ids or ()), *filter(None, (agent_id, team_id))}
        skipped = _UNFINISHED if skip_statuses is None else skip_statuses
        runs = [run for run in runs if run.status not in skipped and (not ids or run.component_id in ids)]
        if last_n_runs is not None:
            runs = runs[max(len(runs) - max(last_n_runs, 0), 0) :]
        messages = [message for run in runs for message in run.messages if message.role not in (skip_roles or ())]
        return latest_messages(
            [message for message in messages if not (skip_history_messages and message.from_history)], limit
        )

    def get_chat_history(self, last_n_runs: int | None = None) -> list[Message]:
        """Return the user and assistant messages of all turns, or of the latest ones, oldest first."""
        return self.get_messages(skip_roles=("system", "tool"), skip_statuses=(), last_n_runs=last_n_runs)

    def get_tool_calls(self, num_calls: int | None = None) -> list[ToolCall]:
        """Return the tool calls of all runs, or the latest ones, latest run first."""
        own = (each for run in reversed(self.runs) for each in run.messages if not each.from_history)
        calls = [call for message in own for call in message.tool_calls]
        return calls[:num_calls]

    def get_session_summary(self) -> SessionSummary | None:
        """Return the latest summary, or None."""
        return self.summary

    def to_dict(self, include_runs: bool = True) -> JsonDict:
        """Return the session as a dict that JSON can represent, with its summary and, by default, its runs."""
        found = to_dict(self, leave_out=frozenset({"store", "restore_outputs", "read_for", "runs_limit"}))
        ids = {f"{kind.value}_id": self._id_of(kind) for kind in SessionType}
        found |= {name: value for name, value in ids.items() if value is not None}
        found["session_data"] = {**self.session_data, "session_metrics": to_dict(self.metrics)}
        found["summary"] = self.summary.to_dict() if self.summary is not None else None
        if include_runs:
            found["runs"] = [run.to_dict() for run in self.runs]
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the session of a dict of :meth:`to_dict`, which doesn't belong to a store.

        The name and the state may be in `session_data` only, and the ID of the component may be called `agent_id`,
        `team_id` or `workflow_id`, as in a dict of agno.
        """
        summary, runs = data.get("summary"), data.get("runs") or ()
        session_data = data.get("session_data") or {}
        parts = {
            "session_data": {name: session_data[name] for name in _IN_SESSION_DATA if name in session_data},
            "summary": SessionSummary.from_dict(summary) if isinstance(summary, Mapping) else summary,
            "runs": [run if isinstance(run, RunOutput) else RunOutput.from_dict(run) for run in runs],
        }
        given = {name: value for name, value in data.items() if value is not None}
        return from_dict(cls, _from_agno(cls, given | parts))

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


@suggest_on_unknown_kwarg({}, convert=_from_agno, agno=OF_SESSIONS)
@dataclass(kw_only=True, repr=False)
class AgentSession(Session):
    """A session of an agent."""


@suggest_on_unknown_kwarg({}, convert=_from_agno, agno=OF_SESSIONS)
@dataclass(kw_only=True, repr=False)
class TeamSession(Session):
    """A session of a team."""

    session_type: SessionType = SessionType.TEAM

    def get_team_history(self, team_id: str | None = None, num_runs: int | None = None) -> list[tuple[str, str]]:
        """Return the inputs and outputs of the completed turns of a team, oldest first, or of the latest `num_runs`."""
        turns = [run for run in completed_turns(self.runs) if team_id is None or run.component_id == team_id]
        return _inputs_and_outputs(turns, num_runs)

    def get_team_history_context(self, team_id: str | None = None, num_runs: int | None = None) -> str | None:
        """Return :meth:`get_team_history` as text for a prompt, or None if there is none."""
        return history_as_text("team_history", self.get_team_history(team_id, num_runs))

    @suggest_on_unknown_kwarg({"run_response": "run"})
    def upsert_run(self, run: RunOutput) -> None:
        super().upsert_run(run)


@suggest_on_unknown_kwarg({}, convert=_from_agno, agno=OF_SESSIONS)
@dataclass(kw_only=True, repr=False)
class WorkflowSession(Session):
    """A session of a workflow."""

    session_type: SessionType = SessionType.WORKFLOW

    @cached_property
    def runs(self) -> list[RunOutput]:
        """The runs of the workflow, oldest first, including superseded attempts. Their `nested_runs` are the steps'."""
        return [run for run in super().runs if run.parent_run_id is None]

    def get_workflow_history(self, num_runs: int | None = None) -> list[tuple[str, str]]:
        """Return the inputs and outputs of the completed turns, oldest first, or of the latest `num_runs`."""
        return _inputs_and_outputs(completed_turns(self.runs), num_runs)

    def get_workflow_history_context(self, num_runs: int | None = None) -> str | None:
        """Return :meth:`get_workflow_history` as text for a prompt, or None if there is none."""
        return history_as_text("workflow_history", self.get_workflow_history(num_runs))


_UNFINISHED = (RunStatus.PAUSED, RunStatus.CANCELLED, RunStatus.ERROR)


def _tree(run: RunOutput) -> list[RunOutput]:
    return [run, *(nested for child in run.nested_runs for nested in _tree(child))]


def _inputs_and_outputs(turns: Sequence[RunOutput], num_runs: int | None) -> list[tuple[str, str]]:
    shown = turns if num_runs is None else turns[max(len(turns) - max(num_runs, 0), 0) :]
    return [(run.input, run.get_content_as_string()) for run in shown]


def history_as_text(tag: str, turns: Sequence[tuple[str, str]]) -> str | None:
    """Return inputs and outputs as text for a prompt, between tags; None if there are none."""
    if not turns:
        return None
    lines = [f"input: {turn_input}\noutput: {output}" for turn_input, output in turns]
    return "\n".join([f"<{tag}>", *lines, f"</{tag}>"])


def latest_messages(messages: Sequence[Message], limit: int | None) -> list[Message]:
    """Return the first system message and the latest others, at most `limit` messages in total.

    Results of tool calls that are beyond the limit are left out.
    """
    system = [message for message in messages if message.role == "system"][:1]
    others = [message for message in messages if message.role != "system"]
    if limit is None:
        return [*system, *others]
    if limit < 2:
        system = []
    others = others[max(0, len(others) - max(0, limit - len(system))) :]
    while others and others[0].role == "tool" and any(message.role == "assistant" for message in messages):
        del others[0]
    return [*system, *others]


SESSION_CLASSES: dict[SessionType, type[Session]] = {
    SessionType.AGENT: AgentSession,
    SessionType.TEAM: TeamSession,
    SessionType.WORKFLOW: WorkflowSession,
}
